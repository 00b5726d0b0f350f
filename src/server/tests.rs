//! The server over real sockets.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::server::tls::Terms;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::connections::Listener;

mod admin;
mod tls;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Nothing times out: a busy machine may be slow at anything.
const LIMITS: Limits = Limits {
    max_connections: 8,
    tls_handshake_timeout: PATIENCE,
    header_timeout: PATIENCE,
    write_timeout: PATIENCE,
    drain: PATIENCE,
};
const HASTE: Duration = Duration::from_millis(300);

/// What the path asks for.
#[derive(Default)]
struct Script {
    panics: AtomicUsize,
}

/// A body that promises `length` bytes and fails after `sent`, or goes on until they are out.
struct Promise {
    length: u64,
    sent: u64,
    fails_after: u64,
    /// Bytes of a frame at most.
    frame: u64,
    /// Before the second frame.
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Body for Promise {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        if self.sent > 0
            && let Some(pause) = &mut self.pause
        {
            std::task::ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.sent >= self.fails_after {
            return Poll::Ready(Some(Err("a chunk did not verify")));
        }
        let left = self.length - self.sent;
        if left == 0 {
            return Poll::Ready(None);
        }
        let chunk = vec![b'x'; usize::try_from(left.min(self.frame)).unwrap()];
        self.sent += chunk.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(chunk.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length - self.sent)
    }
}

impl Handler for Script {
    type Body = Promise;

    async fn handle(
        &self,
        request: Request<Incoming>,
        connection: Connection,
    ) -> Response<Promise> {
        let promise = |length, fails_after| {
            Response::new(Promise {
                length,
                sent: 0,
                fails_after,
                frame: 65_536,
                pause: None,
            })
        };
        match request.uri().path() {
            "/panic" => {
                self.panics.fetch_add(1, Ordering::SeqCst);
                panic!("scripted");
            }
            "/fail" => promise(1 << 20, 128 << 10),
            "/slow" => {
                tokio::time::sleep(Duration::from_millis(400)).await;
                promise(5, u64::MAX)
            }
            "/hang" => std::future::pending().await,
            "/pause" => promise(2, u64::MAX).map(|body| Promise {
                frame: 1,
                pause: Some(Box::pin(tokio::time::sleep(HASTE * 3))),
                ..body
            }),
            "/large" => promise(2 << 20, u64::MAX).map(|body| Promise {
                frame: 2 << 20,
                ..body
            }),
            "/endless" => promise(1 << 40, u64::MAX),
            "/echo" => {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                promise(body.len() as u64, u64::MAX)
            }
            "/tls" => promise(u64::from(connection.is_tls), u64::MAX),
            _ => promise(5, u64::MAX),
        }
    }
}

/// A running server, its address, and the switch that ends it.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<usize>,
    metrics: Metrics,
}

async fn start(tls: Option<Terms>, limits: Limits) -> Running {
    start_with(tls, limits, Arc::new(Script::default())).await
}

async fn start_with<H: Handler>(tls: Option<Terms>, limits: Limits, handler: Arc<H>) -> Running {
    let runtime = Handle::current();
    start_on(tls, limits, vec![Worker { runtime, handler }]).await
}

async fn start_on<H: Handler>(
    tls: Option<Terms>,
    limits: Limits,
    workers: Vec<Worker<H>>,
) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let metrics = Metrics::new(&prometheus::Registry::new(), []).unwrap();
    let connections = metrics.connections(Listener::S3, limits.max_connections);
    let tls = tls.map(Greeting::from);
    let ended = tokio::spawn(serve(listener, tls, limits, workers, connections, async {
        let _ = stopped.await;
    }));
    Running {
        address,
        stop,
        ended,
        metrics,
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One raw exchange: what the server sends until it closes, or the error that ended it.
    async fn exchange(&self, request: &str) -> (String, std::io::Result<()>) {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    /// Connections are counted by tasks that end a little after what the client sees.
    async fn wait_for_metric(&self, line: &str) {
        let shown = async {
            while !self.metrics.render().contains(line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let shown = timeout(PATIENCE, shown).await;
        assert!(shown.is_ok(), "{line}\n{}", self.metrics.render());
    }

    async fn stop(self) -> usize {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.ended).await.unwrap().unwrap()
    }
}

async fn read_all(stream: &mut TcpStream) -> (String, std::io::Result<()>) {
    let mut received = Vec::new();
    let outcome = timeout(PATIENCE, stream.read_to_end(&mut received))
        .await
        .unwrap();
    (
        String::from_utf8_lossy(&received).into_owned(),
        outcome.map(|_| ()),
    )
}

/// Reads until the text has been received.
async fn read_until(stream: &mut TcpStream, text: &str) {
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains(text) {
        assert_ne!(
            timeout(PATIENCE, stream.read_buf(&mut received))
                .await
                .unwrap()
                .unwrap(),
            0
        );
    }
}

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const GET_AND_CLOSE: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn serves_and_keeps_connections() {
    let server = start(None, LIMITS).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(GET.as_bytes()).await.unwrap();
        read_until(&mut stream, "xxxxx").await;
    }
    drop(stream);
    let (answer, outcome) = server.exchange(GET_AND_CLOSE).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && outcome.is_ok(),
        "{answer}"
    );
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_body_error_resets_the_connection() {
    let server = start(None, LIMITS).await;
    for version in ["1.1", "1.0"] {
        let request = format!("GET /fail HTTP/{version}\r\nhost: x\r\n\r\n");
        let (_, outcome) = server.exchange(&request).await;
        let kind = outcome.unwrap_err().kind();
        assert_eq!(kind, std::io::ErrorKind::ConnectionReset, "HTTP/{version}");
    }
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_panic_ends_its_connection_only() {
    let handler = Arc::new(Script::default());
    let server = start_with(None, LIMITS, Arc::clone(&handler)).await;
    let mut other = server.connect().await;
    other.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut other, "xxxxx").await;

    let (answer, outcome) = server
        .exchange("GET /panic HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    assert!(
        answer.is_empty() && outcome.is_err(),
        "{answer} {outcome:?}"
    );
    assert_eq!(handler.panics.load(Ordering::SeqCst), 1);

    other.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut other, "xxxxx").await;
    let (answer, _) = server.exchange(GET_AND_CLOSE).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_slow_head_and_an_idle_connection_are_closed() {
    let limits = Limits {
        header_timeout: HASTE,
        ..LIMITS
    };
    let server = start(None, limits).await;
    for beginning in ["", "GET / HTTP/1.1\r\nhost:"] {
        let started = tokio::time::Instant::now();
        let (answer, _) = server.exchange(beginning).await;
        assert!(!answer.contains("200"), "{answer}");
        assert!(started.elapsed() >= HASTE, "{beginning}");
    }
    // An answer that the client has not read yet survives the end of the connection.
    let mut idle = server.connect().await;
    idle.write_all(GET.as_bytes()).await.unwrap();
    tokio::time::sleep(HASTE * 3).await;
    let (answer, outcome) = read_all(&mut idle).await;
    assert!(
        answer.ends_with("xxxxx") && outcome.is_ok(),
        "{answer} {outcome:?}"
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let limits = Limits {
        max_connections: 1,
        write_timeout: HASTE,
        ..LIMITS
    };
    let server = start(None, limits).await;
    let mut deaf = server.connect().await;
    deaf.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    // It holds the only slot: the next request is served once it is cut.
    let (answer, _) = server.exchange(GET_AND_CLOSE).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let limits = Limits {
        max_connections: 1,
        ..LIMITS
    };
    let server = start(None, limits).await;
    let mut first = server.connect().await;
    first.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut first, "xxxxx").await;

    let mut second = server.connect().await;
    second.write_all(GET_AND_CLOSE.as_bytes()).await.unwrap();
    let mut byte = [0];
    let early = timeout(Duration::from_millis(200), second.read(&mut byte)).await;
    assert!(early.is_err(), "served beyond the limit");
    let open = "s3seal_connections{listener=\"s3\"} 1\n";
    server.wait_for_metric(open).await;
    drop(first);
    let (answer, _) = read_all(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.wait_for_metric(&open.replace('1', "0")).await;
}

#[tokio::test]
async fn too_long_heads_are_refused() {
    let server = start(None, LIMITS).await;
    let head = |size: usize| {
        let filler = "a".repeat(size);
        format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-filler: {filler}\r\n\r\n")
    };
    let (answer, _) = server.exchange(&head(15 * 1024)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (answer, _) = server.exchange(&head(17 * 1024)).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = "a: b\r\n".repeat(101);
    let (answer, _) = server
        .exchange(&format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

/// The refusal of an upload arrives although its body was never read.
#[tokio::test]
async fn an_answer_before_the_end_of_the_body_arrives() {
    let server = start(None, LIMITS).await;
    let mut stream = server.connect().await;
    let length = 64 << 20;
    let head = format!("PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // A client that looks for the answer only after it has sent a good deal.
    for _ in 0..256 {
        stream.write_all(&[0; 16_384]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut answer = vec![0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn draining_finishes_requests_and_closes_idle_connections() {
    let server = start(None, LIMITS).await;
    let address = server.address;
    let mut idle = server.connect().await;
    idle.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut idle, "xxxxx").await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut fresh = server.connect().await;
    tokio::time::sleep(Duration::from_millis(100)).await;

    let stopping = tokio::spawn(server.stop());
    let (answer, outcome) = read_all(&mut busy).await;
    assert!(
        answer.contains("200 OK") && answer.ends_with("xxxxx"),
        "{answer}"
    );
    outcome.unwrap();
    assert!(read_all(&mut idle).await.0.is_empty());
    assert!(read_all(&mut fresh).await.0.is_empty());
    assert_eq!(stopping.await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn draining_cuts_what_takes_too_long() {
    let limits = Limits {
        drain: Duration::from_millis(200),
        ..LIMITS
    };
    let server = start(None, limits).await;
    let mut stuck = server.connect().await;
    stuck
        .write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.stop().await, 1);
    let (answer, outcome) = read_all(&mut stuck).await;
    assert!(
        answer.is_empty() && outcome.is_err(),
        "{answer} {outcome:?}"
    );
}

#[tokio::test]
async fn bodies_reach_the_handler() {
    let server = start(None, LIMITS).await;
    let body = "b".repeat(300_000);
    let request = format!(
        "PUT /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (answer, _) = server.exchange(&request).await;
    assert!(
        answer.contains("content-length: 300000\r\n"),
        "{}",
        &answer[..100]
    );
}

/// Answers with the name of its thread.
struct Named;

impl Handler for Named {
    type Body = Full<Bytes>;

    async fn handle(&self, _: Request<Incoming>, _: Connection) -> Response<Full<Bytes>> {
        let thread = std::thread::current();
        Response::new(thread.name().unwrap_or_default().to_owned().into())
    }
}

/// The name of the thread that serves a connection, asked twice.
async fn served_by(connection: &mut TcpStream) -> String {
    let mut names = Vec::new();
    for _ in 0..2 {
        let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        connection.write_all(request).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = connection.read(&mut answer).await.unwrap();
        let text = String::from_utf8(answer[..read].to_vec()).unwrap();
        names.push(text.rsplit("\r\n").next().unwrap().to_owned());
    }
    assert_eq!(names[0], names[1], "a connection stays where it is");
    names.remove(0)
}

#[tokio::test]
async fn connections_are_spread_over_the_workers_and_stay_there() {
    let threads = workers::Threads::start().unwrap();
    let handler = Arc::new(Named);
    let worker = |runtime: &Handle| Worker {
        runtime: runtime.clone(),
        handler: Arc::clone(&handler),
    };
    let workers: Vec<_> = threads.runtimes().iter().map(worker).collect();
    let count = workers.len();
    let server = start_on(None, LIMITS, workers).await;
    let mut open = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..count.min(LIMITS.max_connections) {
        let mut connection = server.connect().await;
        names.insert(served_by(&mut connection).await);
        open.push(connection);
    }
    assert_eq!(names.len(), open.len(), "{names:?}");
    assert!(
        names.iter().all(|name| name.starts_with("s3seal-")),
        "{names:?}"
    );
    drop(open);
    assert_eq!(server.stop().await, 0);
}
