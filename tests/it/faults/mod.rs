//! An upstream that fails, lies or dies: the client sees an error or the right bytes, never a short
//! success and never a byte of wrong plaintext.

mod completions;
mod copies;
mod drain;
mod errors;
mod in_place;
mod privacy;
mod reads;
mod redirects;
mod retries;
mod stored;
mod uploads;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use crate::support::chaos::Chaos;
use crate::support::client::{Answer, Client};
use crate::support::http1::{Ending, Head, Wire};
use crate::support::{Options, Proxy};

/// The object most tests use.
const OBJECT: &str = "/bucket/object";

/// Four chunks, the last one short.
const LEN: usize = 200_000;

/// Stored bytes of a full chunk.
const STRIDE: usize = 65_552;

/// A proxy in front of a scripted upstream.
struct Bench {
    chaos: Chaos,
    proxy: Proxy,
    client: Client,
}

impl Bench {
    async fn start(options: Options) -> Self {
        let chaos = Chaos::start().await;
        let proxy = Proxy::start(chaos.address, options).await;
        let client = proxy.client();
        Self {
            chaos,
            proxy,
            client,
        }
    }

    /// With [`OBJECT`] written through the proxy.
    async fn with_object(options: Options, len: usize) -> Self {
        let bench = Self::start(options).await;
        let put = bench.client.put(OBJECT, plaintext(len)).await;
        assert_eq!(put.status, 200, "{put:?}");
        bench.chaos.forget();
        bench
    }

    /// A GET whose connection is watched to its end.
    async fn watch(&self, range: Option<&str>) -> Watched {
        let mut draft = self.client.draft("GET", OBJECT);
        if let Some(range) = range {
            draft = draft.header("range", range);
        }
        watch(
            &self.proxy,
            draft.unsigned_header("connection", "close").build(),
        )
        .await
    }

    async fn has_metric(&self, line: &str) -> bool {
        self.proxy
            .metrics()
            .await
            .lines()
            .any(|other| other == line)
    }
}

/// An answer with what became of its connection.
#[derive(Debug)]
struct Watched {
    /// Without a target where there was no answer at all.
    head: Head,
    body: Vec<u8>,
    ending: Ending,
}

impl Watched {
    /// 0 where the connection ended before the head.
    fn status(&self) -> u16 {
        self.head.target.parse().unwrap_or(0)
    }

    /// Whether the body is as long as the head said.
    fn is_whole(&self) -> bool {
        self.status() != 0 && self.body.len() == self.head.content_length()
    }

    /// A clear refusal, or a body that nobody takes for whole and whose bytes are all right.
    #[track_caller]
    fn assert_failed(&self, expected: &[u8], what: &str) {
        let (status, len) = (self.status(), self.body.len());
        if status >= 400 {
            assert!(self.is_whole(), "{what}: {status}");
            return;
        }
        assert!(!self.is_whole(), "{what}: a success of {len} bytes");
        assert_eq!(
            self.ending,
            Ending::Reset,
            "{what}: {status} with {len} bytes"
        );
        assert!(expected.starts_with(&self.body), "{what}: wrong plaintext");
    }
}

async fn watch(proxy: &Proxy, request: Request<Full<Bytes>>) -> Watched {
    let mut wire = Wire::connect(proxy.address).await;
    wire.send_head(&request).await;
    let head = wire.head().await.unwrap_or_default();
    let (body, ending) = wire.rest().await;
    Watched { head, body, ending }
}

/// Seconds instead of minutes.
fn impatient() -> Options {
    Options {
        listen: "idle_timeout_seconds = 1\nheader_timeout_seconds = 5".to_owned(),
        upstream: "idle_timeout_seconds = 1\nresponse_header_timeout_seconds = 1".to_owned(),
        ..Options::default()
    }
}

/// Bytes in which no position looks like another.
fn plaintext(len: usize) -> Bytes {
    let byte = |index: usize| (index.wrapping_mul(31) ^ (index >> 8) ^ (index >> 16)) as u8;
    (0..len).map(byte).collect::<Vec<_>>().into()
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (status, code),
        "{answer:?}"
    );
}
