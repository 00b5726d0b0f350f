//! What somebody tries who can write to the upstream, or who has the rights of another tenant: one
//! test per attack. Each says which check refuses, that every way to the bytes is refused with the
//! right code and without a byte of plaintext, and that what was not touched still opens.

mod bucket_keys;
mod customer_keys;
mod envelope;
mod forgeries;
mod moves;
mod parts;
mod registry;
mod replays;
mod tenants;
mod uploads;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::multipart;
use crate::support::attacker::{Attacker, Loot};
use crate::support::client::{Answer, Client, Draft, Identity};
use crate::support::http1::{Ending, Wire};
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy};

const SSE: &str = "x-amz-server-side-encryption";
const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";

/// In every plaintext of the victim's.
const SECRET: &str = "what-nobody-else-may-read";

/// In every plaintext that the attacker wants to be taken for the victim's.
const FORGERY: &str = "what-the-attacker-made-up";

/// Another client of the victim's proxy.
const TENANT: Identity = Identity {
    id: "TENANT-OF-THE-TESTS",
    secret: "tenant-secret-of-the-tests",
};

/// It may use another named key than the victim, and no other.
const TENANTS_TABLE: &str = "[[clients]]\naccess_key_id = \"TENANT-OF-THE-TESTS\"\n\
    secret_access_key = \"tenant-secret-of-the-tests\"\nkeys = [\"tenant\"]\n";

/// The check that refuses an object, by the label of `s3seal_integrity_failures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Header or envelope are not such as this format has.
    Metadata,
    /// The rule: before any key provider is asked.
    Policy,
    /// The wrap, which is bound to something else or was made by another key.
    Unwrap,
}

impl By {
    fn label(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Policy => "policy",
            Self::Unwrap => "unwrap",
        }
    }
}

/// A victim's proxy, and somebody who can write to its upstream.
struct Site {
    upstream: Embedded,
    proxy: Proxy,
    client: Client,
    attacker: Attacker,
    options: Options,
}

impl Site {
    async fn start(mut options: Options) -> Self {
        // HEAD takes nothing on trust.
        options.rule.push_str("\nverify_sizes = true");
        let upstream = Embedded::start().await;
        let proxy = Proxy::start(upstream.address, options.clone()).await;
        Self {
            client: proxy.client(),
            attacker: Attacker::of(&upstream),
            upstream,
            proxy,
            options,
        }
    }

    /// The same site, seen by another replica: it has cached nothing yet.
    async fn restart(self) -> Self {
        let address = self.upstream.address;
        let proxy = Proxy::start_beside(&self.proxy, address, self.options.clone()).await;
        self.proxy.stop().await;
        Self {
            client: proxy.client(),
            proxy,
            ..self
        }
    }

    /// Writes an object of the victim's; what is stored of it.
    async fn write(&self, path: &str) -> Loot {
        self.write_as(path, |draft| draft).await
    }

    /// As [`Self::write`], by a request with more headers.
    async fn write_as(&self, path: &str, more: impl FnOnce(Draft) -> Draft) -> Loot {
        let put = more(self.client.draft("PUT", path)).body(secret(path));
        let put = put.send().await;
        assert_eq!(put.status, 200, "{put:?}");
        self.attacker.take(path).await
    }

    /// What [`Self::write`] wrote is there, and nothing else.
    async fn opens(&self, path: &str) {
        self.opens_as(path, secret(path)).await;
    }

    async fn opens_as(&self, path: &str, plaintext: impl Into<Bytes>) {
        let (get, plaintext) = (self.client.get(path).await, plaintext.into());
        assert!(
            get.status == 200 && get.body == plaintext,
            "{path}: {get:?}"
        );
    }

    /// Puts `forged` in the place of an object, which every way to its bytes then refuses for that
    /// one reason; and opens again once the object is back.
    async fn refuses_instead(&self, path: &str, forged: &Loot, by: By, what: &str) {
        let original = self.attacker.take(path).await;
        assert_ne!(*forged, original, "{what}: nothing was changed");
        self.attacker.plant(path, forged).await;
        self.refuses(path, by, what).await;
        self.attacker.plant(path, &original).await;
        self.opens(path).await;
    }

    /// Every way to the bytes of an object is refused for that one reason.
    async fn refuses(&self, path: &str, by: By, what: &str) {
        let upload = self.begin_theft().await;
        let (mut expected, asked) = (self.failures().await, self.asked().await);
        for (way, draft) in self.ways_to(path, &upload) {
            let answer = draft.send().await;
            let what = format!("{what}, {way}");
            assert_eq!(answer.status, 500, "{what}: {answer:?}");
            if way == "HEAD" {
                assert!(answer.body.is_empty(), "{what}");
            } else {
                assert_eq!(answer.code(), "InternalError", "{what}: {answer:?}");
            }
            assert_tells_nothing(&answer, &what);
            *expected.entry(by.label().to_owned()).or_default() += 1;
            assert_eq!(self.failures().await, expected, "{what}");
        }
        if by != By::Unwrap {
            assert_eq!(self.asked().await, asked, "{what}: a provider was asked");
        }
        let stolen = self.attacker.finds("/bucket/stolen").await;
        assert!(!stolen, "{what}: a copy was stored");
    }

    /// An upload into which bytes could be copied.
    async fn begin_theft(&self) -> String {
        let upload = multipart::create(&self.client, "stolen").await;
        multipart::put(&self.client, "stolen", &upload, 2, "x".into()).await;
        upload
    }

    fn ways_to(&self, path: &str, upload: &str) -> Vec<(&'static str, Draft)> {
        let get = |query: &str| self.client.draft("GET", &format!("{path}{query}"));
        let copy_to = |target: &str| {
            let draft = self.client.draft("PUT", target);
            draft.header("x-amz-copy-source", path)
        };
        let copy = || copy_to("/bucket/stolen");
        let part = multipart::target("stolen", upload, Some(1));
        vec![
            ("GET", get("")),
            ("a range", get("").header("range", "bytes=0-0")),
            ("a suffix", get("").header("range", "bytes=-1")),
            ("a part", get("?partNumber=1")),
            ("HEAD", self.client.draft("HEAD", path)),
            (
                "attributes",
                get("?attributes").header("x-amz-object-attributes", "ObjectSize"),
            ),
            ("a copy", copy()),
            (
                "a copy sealed anew",
                copy().header("x-amz-checksum-algorithm", "CRC32"),
            ),
            ("a part copied", copy_to(&part)),
        ]
    }

    /// Integrity failures by kind.
    async fn failures(&self) -> BTreeMap<String, u64> {
        let metrics = self.proxy.metrics().await;
        let lines = metrics.lines();
        let counts =
            lines.filter_map(|line| line.strip_prefix("s3seal_integrity_failures_total{kind=\""));
        let counts = counts.filter_map(|line| line.split_once("\"} "));
        let counts = counts.map(|(kind, count)| (kind.to_owned(), count.parse().unwrap()));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// How often providers were asked to open a key.
    async fn asked(&self) -> Vec<String> {
        let metrics = self.proxy.metrics().await;
        let calls = metrics
            .lines()
            .filter(|line| line.starts_with("s3seal_key_requests_total"));
        let is_opening =
            |line: &&str| line.contains("call=\"unwrap\"") || line.contains("call=\"rewrap\"");
        calls.filter(is_opening).map(str::to_owned).collect()
    }

    /// A GET that gives no wrong byte, and no end that anybody takes for one: what came out of it.
    async fn breaks_off(&self, path: &str, range: Option<&str>, expected: &[u8], what: &str) {
        let mut draft = self.client.draft("GET", path);
        if let Some(range) = range {
            draft = draft.header("range", range);
        }
        let request = draft.unsigned_header("connection", "close").build();
        let mut wire = Wire::connect(self.proxy.address).await;
        wire.send_head(&request).await;
        let head = wire.head().await;
        let (body, ending) = wire.rest().await;
        match head {
            Some(head) if head.status() >= 400 => {
                assert_eq!(head.status(), 500, "{what}: {head:?}");
                let text = String::from_utf8_lossy(&body);
                assert!(text.contains("<Code>InternalError</Code>"), "{what}");
                assert!(!text.contains(SECRET), "{what}");
            }
            Some(head) => {
                assert!(body.len() < head.content_length(), "{what}: a clean end");
                assert_eq!(ending, Ending::Reset, "{what}");
                assert!(expected.starts_with(&body), "{what}: a wrong byte");
            }
            None => assert_eq!(ending, Ending::Reset, "{what}"),
        }
    }

    async fn stop(self) {
        self.proxy.stop().await;
    }
}

/// The plaintext of the victim's object of this name: four chunks.
fn secret(path: &str) -> Bytes {
    repeated(&format!("{SECRET} {path} "))
}

/// The attacker's plaintext, which is as long.
fn forgery() -> Bytes {
    repeated(&format!("{FORGERY} "))
}

fn repeated(line: &str) -> Bytes {
    line.bytes().cycle().take(200_000).collect()
}

#[track_caller]
fn assert_tells_nothing(answer: &Answer, what: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    let shown = [SECRET, FORGERY].iter().any(|mark| text.contains(mark));
    assert!(!shown, "{what}: {text}");
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str, what: &str) {
    let is = (answer.status.as_u16(), &*answer.code());
    assert_eq!(is, (status, code), "{what}: {answer:?}");
    assert_tells_nothing(answer, what);
}

fn rule(rule: &str) -> Options {
    Options {
        rule: rule.to_owned(),
        ..Options::default()
    }
}
