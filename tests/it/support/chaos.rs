//! A scripted upstream: a small S3 in memory that records every request and does to the next
//! answers what the test says.
//!
//! It speaks HTTP/1.1 over a bare socket, because an HTTP library refuses to lie about lengths.
//! Signatures are recorded, not checked: the embedded server does that.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::http1::{self, Head};

/// The scripted upstream.
pub struct Chaos {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub head: Head,
    /// Wire bytes of the body.
    pub body: Vec<u8>,
    /// Whether all of the announced body arrived.
    pub is_complete: bool,
    /// Whether the proxy closed the connection before it had the whole answer.
    pub is_abandoned: bool,
}

/// A stored object.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Without `Content-Length`, which is `announced` or else follows from the body.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub announced: Option<u64>,
    pub end: End,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// Whole; the connection stays open.
    Whole,
    /// A reset behind this many body bytes.
    ResetAfter(usize),
    /// An orderly close behind this many body bytes.
    CloseAfter(usize),
    /// Silence behind this many body bytes, until the proxy leaves.
    StallAfter(usize),
}

/// What becomes of one request.
pub enum Step {
    /// What an S3 does.
    Serve,
    /// What an S3 does, changed on the way out.
    Mangle(Box<dyn FnOnce(&mut Reply) + Send>),
    /// This, after the body was read; nothing is stored.
    Answer(Reply),
    /// This, so much later.
    Late(Duration, Reply),
    /// This, before a byte of the body is read; then the connection is closed.
    Refuse(Reply),
    /// A reset without an answer, once the body was read.
    Reset,
    /// Nothing at all, until the proxy leaves.
    Hang,
    /// Reads nothing of the body and says nothing, until the proxy leaves.
    Deaf,
}

#[derive(Default)]
struct State {
    objects: HashMap<String, Stored>,
    script: VecDeque<Step>,
    seen: Vec<Seen>,
    etags: u64,
    ignores_conditions: bool,
    tags: Option<Reply>,
}

impl Chaos {
    /// Starts one without objects that serves as an S3 does.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    /// Adds steps for the next requests; behind them it serves as an S3 does.
    pub fn script(&self, steps: impl IntoIterator<Item = Step>) {
        self.state().script.extend(steps);
    }

    /// The next answer, changed.
    pub fn mangle(&self, change: impl FnOnce(&mut Reply) + Send + 'static) {
        self.script([Step::Mangle(Box::new(change))]);
    }

    /// Takes no notice of conditions on copies from now on.
    pub fn ignore_conditions(&self) {
        self.state().ignores_conditions = true;
    }

    /// What is said of the tags of every object from now on.
    pub fn script_tags(&self, reply: Reply) {
        self.state().tags = Some(reply);
    }

    /// Replaces an object behind the proxy's back, once the next request has been served.
    pub fn replace_after_the_next(&self, path: &str, object: Stored) {
        let (state, path) = (Arc::clone(&self.state), path.to_owned());
        self.mangle(move |_| {
            state.lock().unwrap().objects.insert(path, object);
        });
    }

    /// What is stored under `/bucket/key`.
    pub fn stored(&self, path: &str) -> Option<Stored> {
        self.state().objects.get(path).cloned()
    }

    /// Stores something behind the proxy's back.
    pub fn store(&self, path: &str, object: Stored) {
        self.state().objects.insert(path.to_owned(), object);
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.state().seen.clear();
    }

    /// The only request since [`Self::forget`].
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().unwrap()
    }

    /// Waits until `holds` is true of the requests, for 5 seconds at most.
    pub async fn wait_until(&self, what: &str, holds: impl Fn(&[Seen]) -> bool) {
        for _ in 0..500 {
            if holds(&self.state().seen) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let seen = self.seen();
        let heads: Vec<_> = seen
            .iter()
            .map(|s| (&s.head, s.body.len(), s.is_abandoned))
            .collect();
        panic!("not within 5 s: {what}: {heads:?}");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Stored {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        http1::find(&self.headers, name)
    }

    /// Sets a header.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Removes a header.
    pub fn remove(&mut self, name: &str) {
        self.headers
            .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    }
}

impl Reply {
    /// An answer without headers.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let (headers, body) = (Vec::new(), body.into());
        Self {
            status,
            headers,
            body,
            announced: None,
            end: End::Whole,
        }
    }

    /// An S3 error.
    pub fn error(status: u16, code: &str) -> Self {
        let document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>as \
             scripted</Message><RequestId>1</RequestId></Error>"
        );
        Self::new(status, document).header("Content-Type", "application/xml")
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Seen {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as it is stored: without aws-chunked framing.
    pub fn content(&self) -> Vec<u8> {
        match self.header("x-amz-content-sha256") {
            Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER") => http1::unframe(&self.body),
            _ => self.body.clone(),
        }
    }
}

async fn connection(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut buffer = Vec::new();
    while let Ok(head) = http1::read_head(&mut stream, &mut buffer).await {
        let (index, step) = {
            let mut state = state.lock().unwrap();
            let seen = Seen {
                head,
                body: Vec::new(),
                is_complete: false,
                is_abandoned: false,
            };
            state.seen.push(seen);
            (
                state.seen.len() - 1,
                state.script.pop_front().unwrap_or(Step::Serve),
            )
        };
        let mut exchange = Exchange {
            stream: &mut stream,
            state: &state,
            index,
        };
        if exchange.run(step, &mut buffer).await.is_none() {
            return;
        }
    }
}

/// One request on a connection. `None` from its functions ends the connection.
struct Exchange<'a> {
    stream: &'a mut TcpStream,
    state: &'a Arc<Mutex<State>>,
    index: usize,
}

impl Exchange<'_> {
    async fn run(&mut self, step: Step, buffer: &mut Vec<u8>) -> Option<()> {
        match step {
            Step::Deaf => return self.wait_for_leave().await,
            Step::Refuse(reply) => {
                self.send(reply).await?;
                let _ = self.stream.shutdown().await;
                return self.wait_for_leave().await;
            }
            Step::Serve
            | Step::Mangle(_)
            | Step::Answer(_)
            | Step::Late(..)
            | Step::Reset
            | Step::Hang => {}
        }
        self.read_body(buffer).await?;
        match step {
            Step::Serve => {
                let reply = self.serve();
                self.send(reply).await
            }
            Step::Mangle(change) => {
                let mut reply = self.serve();
                change(&mut reply);
                self.send(reply).await
            }
            Step::Answer(reply) => self.send(reply).await,
            Step::Late(after, reply) => {
                tokio::time::sleep(after).await;
                self.send(reply).await
            }
            Step::Reset => {
                self.stream.set_zero_linger().unwrap();
                None
            }
            Step::Hang | Step::Deaf | Step::Refuse(_) => self.wait_for_leave().await,
        }
    }

    async fn read_body(&mut self, buffer: &mut Vec<u8>) -> Option<()> {
        let mut left = self.seen(|seen| seen.head.content_length());
        loop {
            let take = left.min(buffer.len());
            left -= take;
            let is_complete = left == 0;
            self.seen(|seen| {
                seen.body.extend(buffer.drain(..take));
                seen.is_complete = is_complete;
            });
            if is_complete {
                return Some(());
            }
            if !matches!(self.stream.read_buf(buffer).await, Ok(1..)) {
                self.seen(|seen| seen.is_abandoned = true);
                return None;
            }
        }
    }

    async fn send(&mut self, reply: Reply) -> Option<()> {
        let is_head = self.seen(|seen| seen.head.method == "HEAD");
        let announced = reply.announced.unwrap_or(reply.body.len() as u64);
        let mut lines = vec![format!("HTTP/1.1 {} As Scripted", reply.status)];
        for (name, value) in &reply.headers {
            lines.push(format!("{name}: {value}"));
        }
        lines.push(format!("Content-Length: {announced}\r\n\r\n"));
        let body = if is_head { &[][..] } else { &reply.body };
        let (cut, end) = match reply.end {
            End::Whole => (body.len(), None),
            End::ResetAfter(len) | End::CloseAfter(len) | End::StallAfter(len) => {
                (len.min(body.len()), Some(reply.end))
            }
        };
        let wire = [lines.join("\r\n").as_bytes(), &body[..cut]].concat();
        if self.stream.write_all(&wire).await.is_err() {
            self.seen(|seen| seen.is_abandoned = true);
            return None;
        }
        match end {
            None => Some(()),
            Some(End::StallAfter(_)) => self.wait_for_leave().await,
            Some(End::ResetAfter(_)) => {
                // A reset discards what the proxy has not read yet.
                tokio::time::sleep(Duration::from_millis(50)).await;
                self.stream.set_zero_linger().unwrap();
                None
            }
            Some(End::CloseAfter(_) | End::Whole) => None,
        }
    }

    /// Discards what still comes.
    async fn wait_for_leave(&mut self) -> Option<()> {
        let mut discarded = vec![0; 65_536];
        while matches!(self.stream.read(&mut discarded).await, Ok(1..)) {}
        self.seen(|seen| seen.is_abandoned = true);
        None
    }

    fn serve(&self) -> Reply {
        let mut state = self.state.lock().unwrap();
        let seen = state.seen[self.index].clone();
        let is_cors = seen.head.target.ends_with("?cors");
        let path = if is_cors {
            seen.head.target.clone()
        } else {
            seen.head.path().to_owned()
        };
        match seen.head.method.as_str() {
            "PUT" => {
                let source = match seen.header("x-amz-copy-source") {
                    None => None,
                    Some(source) => match source_of(&state, &seen, source) {
                        Ok(source) => Some(source),
                        Err(refused) => return refused,
                    },
                };
                state.etags += 1;
                let etag = format!("\"{:032x}\"", state.etags);
                let mut stored = put(&seen, &etag);
                let is_copy = source.is_some();
                if let Some(source) = source {
                    stored.body = source.body;
                }
                state.objects.insert(path, stored);
                if is_copy {
                    let document =
                        format!("<CopyObjectResult><ETag>{etag}</ETag></CopyObjectResult>");
                    return Reply::new(200, document);
                }
                Reply::new(200, "").header("ETag", &etag)
            }
            "GET" if seen.head.target.contains("tagging=") => {
                let none = || Reply::error(404, "NoSuchTagSet");
                state.tags.clone().unwrap_or_else(none)
            }
            "GET" if seen.head.target.contains("acl=") => Reply::error(501, "NotImplemented"),
            "GET" | "HEAD" => match state.objects.get(&path) {
                Some(object) => get(&seen, object),
                None if is_cors => Reply::error(404, "NoSuchCORSConfiguration"),
                None => Reply::error(404, "NoSuchKey"),
            },
            "DELETE" => {
                state.objects.remove(&path);
                Reply::new(204, "")
            }
            _ => Reply::error(501, "NotImplemented"),
        }
    }

    fn seen<T>(&self, work: impl FnOnce(&mut Seen) -> T) -> T {
        // The index may be gone after `forget`.
        let mut state = self.state.lock().unwrap();
        let mut gone = Seen {
            head: Head::default(),
            body: Vec::new(),
            is_complete: false,
            is_abandoned: false,
        };
        work(state.seen.get_mut(self.index).unwrap_or(&mut gone))
    }
}

/// The object that a copy names, if its condition holds.
fn source_of(state: &State, seen: &Seen, source: &str) -> Result<Stored, Reply> {
    let path = format!("/{}", source.trim_start_matches('/'));
    let object = state.objects.get(&path);
    let object = object.ok_or_else(|| Reply::error(404, "NoSuchKey"))?;
    let condition = seen.header("x-amz-copy-source-if-match");
    let holds = condition.is_none_or(|etag| object.header("ETag") == Some(etag));
    if holds || state.ignores_conditions {
        Ok(object.clone())
    } else {
        Err(Reply::error(412, "PreconditionFailed"))
    }
}

fn put(seen: &Seen, etag: &str) -> Stored {
    let kept = |name: &str| {
        let name = name.to_ascii_lowercase();
        name == "content-type" || name == "content-encoding" || name.starts_with("x-amz-meta-")
    };
    let mut stored = Stored {
        headers: Vec::new(),
        body: seen.content(),
    };
    stored.headers.extend(
        seen.head
            .headers
            .iter()
            .filter(|(name, _)| kept(name))
            .cloned(),
    );
    stored.set("ETag", etag);
    stored.set("Last-Modified", "Tue, 03 Feb 2026 04:05:06 GMT");
    stored
}

fn get(seen: &Seen, object: &Stored) -> Reply {
    let total = object.body.len();
    let mut reply = Reply::new(200, object.body.clone());
    reply.headers.clone_from(&object.headers);
    let Some(range) = seen
        .header("range")
        .and_then(|range| range.strip_prefix("bytes="))
    else {
        return reply;
    };
    let (first, last) = match range.split_once('-').unwrap() {
        ("", len) => (total.saturating_sub(len.parse().unwrap()), usize::MAX),
        (first, "") => (first.parse().unwrap(), usize::MAX),
        (first, last) => (first.parse().unwrap(), last.parse().unwrap()),
    };
    if first >= total {
        return Reply::error(416, "InvalidRange");
    }
    let last = last.min(total - 1);
    reply.status = 206;
    reply.body = object.body[first..=last].to_vec();
    reply.header("Content-Range", &format!("bytes {first}-{last}/{total}"))
}
