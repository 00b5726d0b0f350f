//! Two ways to the same server, and the comparison of what they answer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::allowed::{Allowed, COPY_HEADERS, DOCUMENT_HEADERS, ELEMENTS, HEADERS, May, NAMESPACED};
use crate::support::client::{Answer, Client, Draft};
use crate::support::upstream::{Embedded, Server};
use crate::support::{BUCKET, Options, Proxy, UPSTREAM};

/// A way to a bucket.
pub struct Way {
    pub client: Client,
    pub bucket: String,
}

/// A direct way and one through the proxy, to two buckets that are alike.
pub struct Pair {
    /// Of the server.
    pub name: &'static str,
    pub direct: Way,
    pub proxied: Way,
    _proxy: Proxy,
    _upstreams: Vec<Embedded>,
}

/// What two answers to the same request say.
#[derive(Debug)]
pub struct Answers {
    pub direct: Answer,
    pub proxied: Answer,
}

impl Way {
    /// A request about the bucket: `rest` follows its name.
    pub fn draft(&self, method: &str, rest: &str) -> Draft {
        self.client
            .draft(method, &format!("/{}{rest}", self.bucket))
    }
}

impl Pair {
    /// Over two embedded servers with a bucket of the same name.
    pub async fn embedded() -> Option<Self> {
        let (direct, behind) = (Embedded::start().await, Embedded::start().await);
        let proxy = Proxy::start(behind.address, Options::default()).await;
        let bucket = BUCKET.to_owned();
        let way = Way {
            client: Client::new(direct.address, UPSTREAM),
            bucket: bucket.clone(),
        };
        let proxied = Way {
            client: proxy.client(),
            bucket,
        };
        Some(Self {
            name: "embedded",
            direct: way,
            proxied,
            _proxy: proxy,
            _upstreams: vec![direct, behind],
        })
    }

    /// Over SeaweedFS.
    pub async fn seaweedfs() -> Option<Self> {
        Self::over("seaweedfs", "S3SEAL_TEST_SEAWEEDFS", "").await
    }

    /// Over Ceph's gateway, which knows no `x-amz-checksum-*`.
    pub async fn ceph() -> Option<Self> {
        Self::over("ceph", "S3SEAL_TEST_CEPH", "checksum = \"none\"").await
    }

    async fn over(server_name: &'static str, variable: &str, upstream: &str) -> Option<Self> {
        let server = Server::from_environment(variable)?;
        let identity = Some(server.identity);
        let options = Options {
            upstream: upstream.to_owned(),
            identity,
            ..Options::default()
        };
        let proxy = Proxy::start(server.address, options).await;
        let name = unique();
        let direct = Client::new(server.address, server.identity);
        let pair = Self {
            name: server_name,
            direct: Way {
                client: direct,
                bucket: format!("it-d-{name}"),
            },
            proxied: Way {
                client: proxy.client(),
                bucket: format!("it-p-{name}"),
            },
            _proxy: proxy,
            _upstreams: Vec::new(),
        };
        pair.same("create the bucket", |way| way.draft("PUT", ""))
            .await;
        Some(pair)
    }

    /// Sends the same request both ways; the answers must be equal.
    pub async fn same(&self, what: &str, draft: impl Fn(&Way) -> Draft) -> Answers {
        let answers = self.both(draft).await;
        let Answers { direct, proxied } = &answers;
        assert_eq!(
            direct.status, proxied.status,
            "{what}: {direct:?}\n{proxied:?}"
        );
        let differences = self.differences(direct, proxied);
        assert!(
            differences.is_empty(),
            "{what}: {differences:#?}\n{direct:?}\n{proxied:?}"
        );
        answers
    }

    /// As [`Self::same`], and a success.
    pub async fn same_success(&self, what: &str, draft: impl Fn(&Way) -> Draft) -> Answers {
        let answers = self.same(what, draft).await;
        assert!(
            answers.direct.status.is_success(),
            "{what}: {:?}",
            answers.direct
        );
        answers
    }

    /// Sends the same request both ways.
    pub async fn both(&self, draft: impl Fn(&Way) -> Draft) -> Answers {
        let direct = draft(&self.direct).try_send();
        let proxied = draft(&self.proxied).try_send();
        let (direct, proxied) = tokio::join!(direct, proxied);
        let direct = direct.expect("the direct way failed");
        let proxied = proxied.expect("the way through the proxy failed");
        Answers { direct, proxied }
    }

    /// The same PUT both ways. It names a content type, because some servers guess one from bytes.
    pub async fn put(&self, rest: &str, body: impl Into<Bytes>) -> Answers {
        let body = body.into();
        let put = |way: &Way| {
            let draft = way
                .draft("PUT", rest)
                .header("content-type", "application/octet-stream");
            draft.body(body.clone())
        };
        self.same_success(rest, put).await
    }

    /// Everything in which two answers differ and may not.
    pub fn differences(&self, direct: &Answer, proxied: &Answer) -> Vec<String> {
        let name = |answer: &Answer, way: &Way| {
            let text = String::from_utf8_lossy(&answer.body).replace(&way.bucket, BUCKET);
            text.starts_with("<?xml").then_some(text)
        };
        let mut found = Vec::new();
        match (name(direct, &self.direct), name(proxied, &self.proxied)) {
            (Some(direct), Some(proxied)) => compare_documents(&direct, &proxied, &mut found),
            _ if direct.body != proxied.body => found.push("body".to_owned()),
            _ => {}
        }
        let is_document = direct.body.starts_with(b"<?xml");
        let is_copy = [&b"<CopyObjectResult"[..], b"<CopyPartResult"]
            .iter()
            .any(|tag| proxied.body.windows(tag.len()).any(|bytes| bytes == *tag));
        let of_copies = if is_copy { COPY_HEADERS } else { &[] };
        let extra = if is_document { DOCUMENT_HEADERS } else { &[] };
        let names = |answer: &Answer| {
            answer
                .headers
                .keys()
                .map(|name| name.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        let all: BTreeSet<_> = names(direct).into_iter().chain(names(proxied)).collect();
        for name in all {
            let values = |answer: &Answer, way: &Way| {
                let values = answer.headers.get_all(&name).iter();
                let text =
                    |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&way.bucket, BUCKET);
                values
                    .map(|value| text(value.as_bytes()))
                    .collect::<Vec<_>>()
            };
            let (direct, proxied) = (values(direct, &self.direct), values(proxied, &self.proxied));
            let may = may(&name, of_copies)
                .or_else(|| may(&name, HEADERS))
                .or_else(|| may(&name, extra));
            if !is_allowed(may, &direct, &proxied) {
                found.push(format!("header {name}: {direct:?} and {proxied:?}"));
            }
        }
        found
    }
}

fn may(name: &str, list: &[Allowed]) -> Option<May> {
    let is_meant = |allowed: &&Allowed| match allowed.name.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == allowed.name,
    };
    list.iter().find(is_meant).map(|allowed| allowed.may)
}

fn is_allowed(may: Option<May>, direct: &[String], proxied: &[String]) -> bool {
    match may {
        None => direct == proxied,
        Some(May::Vary) => true,
        Some(May::Differ) => direct.len() == proxied.len(),
        Some(May::BeAdded) => direct.is_empty() || direct == proxied,
        Some(May::BeDropped) => proxied.is_empty() || direct == proxied,
        Some(May::Become(value)) => proxied == [value] || direct == proxied,
    }
}

/// Compares two documents tag by tag.
fn compare_documents(direct: &str, proxied: &str, found: &mut Vec<String>) {
    let (direct, proxied) = (tokens(direct), tokens(proxied));
    for pair in direct.iter().zip(&proxied) {
        if pair.0 != pair.1 {
            found.push(format!("element {:?} and {:?}", pair.0, pair.1));
            return;
        }
    }
    if direct.len() != proxied.len() {
        found.push(format!("{} and {} tags", direct.len(), proxied.len()));
    }
}

/// Tags with the text behind them, without what may differ or be dropped.
fn tokens(document: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut dropping = false;
    for piece in document.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        let tag = match tag.split_once(" xmlns=") {
            Some((tag, _)) if NAMESPACED.iter().any(|named| named.name == tag) => tag,
            _ => tag,
        };
        match may(tag.trim_start_matches('/'), ELEMENTS) {
            Some(May::BeDropped | May::Vary | May::BeAdded) => dropping = !tag.starts_with('/'),
            Some(May::Differ) if !tag.starts_with('/') => {
                out.push((tag.to_owned(), "*".to_owned()));
            }
            Some(May::Differ | May::Become(_)) | None if !dropping => {
                out.push((tag.to_owned(), text.trim().to_owned()));
            }
            Some(May::Differ | May::Become(_)) | None => {}
        }
    }
    out
}

/// A name that no other run uses.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!(
        "{:x}-{}",
        nanos % (1 << 60),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Bytes in which no position looks like another.
pub fn plaintext(len: usize) -> Bytes {
    let byte = |index: usize| (index.wrapping_mul(31) ^ (index >> 8) ^ (index >> 16)) as u8;
    (0..len).map(byte).collect::<Vec<_>>().into()
}
