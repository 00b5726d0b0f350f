//! Uploads that fail on either side: nothing incomplete becomes an object.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Bench, LEN, OBJECT, assert_refused, impatient, plaintext};
use crate::support::Options;
use crate::support::chaos::{Reply, Seen, Step};
use crate::support::client::{Draft, PayloadHash};
use crate::support::http1::Wire;

/// The upstream never got what it was promised, so that it stored nothing.
fn assert_nothing_stored(bench: &Bench, what: &str) {
    assert!(bench.chaos.stored(OBJECT).is_none(), "{what}");
    assert!(
        bench.chaos.seen().iter().all(|seen| !seen.is_complete),
        "{what}"
    );
}

fn wrong(bench: &Bench, name: &str, value: &str, len: usize) -> Draft {
    bench
        .client
        .draft("PUT", OBJECT)
        .header(name, value)
        .body(plaintext(len))
}

#[tokio::test]
async fn a_body_that_is_not_what_its_headers_claim_is_never_stored() {
    let bench = Bench::start(Options::default()).await;
    let md5 = "AAAAAAAAAAAAAAAAAAAAAA==";
    let sha256 = "00".repeat(32);
    for len in [1_000, LEN] {
        let content = PayloadHash::Text(sha256.clone());
        let by_hash = bench
            .client
            .draft("PUT", OBJECT)
            .body(plaintext(len))
            .payload(content);
        for (code, draft) in [
            ("BadDigest", wrong(&bench, "content-md5", md5, len)),
            (
                "BadDigest",
                wrong(&bench, "x-amz-checksum-crc32", "AAAAAA==", len),
            ),
            (
                "BadDigest",
                wrong(&bench, "x-amz-checksum-crc64nvme", "AAAAAAAAAAA=", len),
            ),
            ("XAmzContentSHA256Mismatch", by_hash),
        ] {
            assert_refused(&draft.send().await, 400, code);
            assert_nothing_stored(&bench, &format!("{code} of {len} bytes"));
        }
    }
    // The object that was there stays.
    assert_eq!(bench.client.put(OBJECT, "before").await.status, 200);
    bench.chaos.forget();
    assert_refused(
        &wrong(&bench, "content-md5", md5, LEN).send().await,
        400,
        "BadDigest",
    );
    assert_eq!(bench.client.get(OBJECT).await.body, "before");
}

#[tokio::test]
async fn an_unencrypted_body_is_proven_as_well() {
    for upstream in ["checksum = \"crc64nvme\"", "checksum = \"none\""] {
        let options = Options {
            encryption: "off",
            upstream: upstream.to_owned(),
            ..Options::default()
        };
        let bench = Bench::start(options).await;
        for len in [0, 1, 1_000, LEN] {
            let md5 = "AAAAAAAAAAAAAAAAAAAAAA==";
            let put = wrong(&bench, "content-md5", md5, len).send().await;
            assert_refused(&put, 400, "BadDigest");
            assert_nothing_stored(&bench, &format!("{upstream} {len} bytes"));
        }
    }
}

#[tokio::test]
async fn an_unencrypted_body_is_stored_as_it_is() {
    for upstream in ["checksum = \"crc64nvme\"", "checksum = \"none\""] {
        let options = Options {
            encryption: "off",
            upstream: upstream.to_owned(),
            ..Options::default()
        };
        let bench = Bench::start(options).await;
        for len in [0, 1, 1_000, LEN] {
            let put = bench.client.put(OBJECT, plaintext(len)).await;
            assert_eq!(put.status, 200, "{upstream} {len}: {put:?}");
            assert_eq!(bench.client.get(OBJECT).await.body, plaintext(len), "{len}");
            assert_eq!(bench.chaos.stored(OBJECT).unwrap().body, plaintext(len));
        }
    }
}

/// A PUT of which only some bytes are sent.
async fn partial_put(bench: &Bench, len: usize, sent: usize) -> Wire {
    let draft = bench
        .client
        .draft("PUT", OBJECT)
        .header("content-length", &len.to_string());
    let mut wire = Wire::connect(bench.proxy.address).await;
    wire.send_head(&draft.payload(PayloadHash::Unsigned).build())
        .await;
    wire.send(&plaintext(len)[..sent]).await;
    wire
}

#[tokio::test]
async fn a_client_that_leaves_an_upload_ends_the_upstream_request() {
    let bench = Bench::start(Options::default()).await;
    let wire = partial_put(&bench, LEN, LEN - 1).await;
    bench
        .chaos
        .wait_until("it started", |seen| {
            seen.len() == 1 && !seen[0].body.is_empty()
        })
        .await;
    wire.abandon();
    bench
        .chaos
        .wait_until("the upstream is left", |seen| seen[0].is_abandoned)
        .await;
    assert_nothing_stored(&bench, "a client that left");
}

#[tokio::test]
async fn a_client_that_stalls_is_told_so_after_the_idle_timeout() {
    let bench = Bench::start(impatient()).await;
    for (len, sent) in [(1_000, 10), (LEN, LEN - 1)] {
        let started = Instant::now();
        let mut wire = partial_put(&bench, len, sent).await;
        let head = wire.head().await.unwrap();
        assert_eq!(head.status(), 400);
        let document = wire.take(head.content_length()).await;
        let document = String::from_utf8(document).unwrap();
        assert!(
            document.contains("<Code>RequestTimeout</Code>"),
            "{document}"
        );
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    bench
        .chaos
        .wait_until("left", |seen| seen.iter().all(|seen| seen.is_abandoned))
        .await;
    assert_nothing_stored(&bench, "a client that stalled");
}

#[tokio::test]
async fn a_slow_but_moving_upload_is_not_cut() {
    let bench = Bench::start(impatient()).await;
    let body = plaintext(LEN);
    let mut wire = partial_put(&bench, LEN, 0).await;
    for piece in body.chunks(LEN / 5 + 1) {
        tokio::time::sleep(Duration::from_millis(600)).await;
        wire.send(piece).await;
    }
    assert_eq!(wire.head().await.unwrap().status(), 200);
    assert_eq!(bench.client.get(OBJECT).await.body, body);
}

#[tokio::test]
async fn an_upstream_that_stops_taking_an_upload_is_a_503() {
    let bench = Bench::start(impatient()).await;
    bench.chaos.script([Step::Deaf]);
    let answer = bench.client.draft("PUT", OBJECT).body(plaintext(64 << 20));
    let answer = answer.payload(PayloadHash::Unsigned).send().await;
    assert_refused(&answer, 503, "ServiceUnavailable");
    bench
        .chaos
        .wait_until("the upstream is left", |seen| seen[0].is_abandoned)
        .await;
}

#[tokio::test]
async fn an_early_refusal_is_relayed() {
    let bench = Bench::start(Options::default()).await;
    for (status, code) in [
        (403, "AccessDenied"),
        (412, "PreconditionFailed"),
        (503, "SlowDown"),
    ] {
        bench.chaos.forget();
        bench
            .chaos
            .script([Step::Refuse(Reply::error(status, code))]);
        // The client is slow: the refusal is there before the body.
        let mut wire = partial_put(&bench, LEN, 100_000).await;
        let head = wire.head().await.expect("an answer");
        assert_eq!(head.status(), status);
        let document = wire.take(head.content_length()).await;
        assert!(String::from_utf8(document).unwrap().contains(code));
        assert_eq!(bench.chaos.seen().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn an_early_success_is_not_believed() {
    let bench = Bench::start(Options::default()).await;
    bench
        .chaos
        .script([Step::Refuse(Reply::new(200, "").header("ETag", "\"x\""))]);
    let mut wire = partial_put(&bench, LEN, 100_000).await;
    let head = wire.head().await.expect("an answer");
    assert_eq!(head.status(), 500);
}

fn expecting(bench: &Bench, len: usize) -> Draft {
    let draft = bench
        .client
        .draft("PUT", OBJECT)
        .header("content-length", &len.to_string());
    draft
        .unsigned_header("expect", "100-continue")
        .payload(PayloadHash::Unsigned)
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_the_headers_are_fine() {
    let bench = Bench::start(Options::default()).await;
    for len in [1_000, LEN] {
        let mut wire = Wire::connect(bench.proxy.address).await;
        wire.send_head(&expecting(&bench, len).build()).await;
        assert_eq!(wire.head().await.unwrap().status(), 100, "{len}");
        wire.send(&plaintext(len)).await;
        assert_eq!(wire.head().await.unwrap().status(), 200, "{len}");
        assert_eq!(bench.client.get(OBJECT).await.body, plaintext(len));
    }
}

#[tokio::test]
async fn no_body_is_asked_for_when_a_header_is_not() {
    let bench = Bench::start(Options::default()).await;
    let draft = || expecting(&bench, LEN);
    let sse = "x-amz-server-side-encryption";
    let unknown_key = draft()
        .header(sse, "aws:kms")
        .header("x-amz-server-side-encryption-aws-kms-key-id", "unknown");
    for (index, (status, draft)) in [
        (400, draft().header("content-md5", "short")),
        (400, draft().header("x-amz-checksum-crc32", "not base64")),
        (400, draft().header("x-amz-meta-s3seal-key", "x")),
        (400, draft().header(sse, "rot13")),
        (400, unknown_key),
        (501, draft().header("x-amz-write-offset-bytes", "0")),
        (403, draft().unsigned_header("x-amz-meta-unsigned", "x")),
        (400, draft().region("elsewhere-1")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut wire = Wire::connect(bench.proxy.address).await;
        wire.send_head(&draft.build()).await;
        assert_eq!(wire.head().await.unwrap().status(), status, "case {index}");
    }
    assert!(bench.chaos.seen().is_empty(), "nothing went upstream");
}

#[tokio::test]
async fn what_goes_upstream_does_not_depend_on_how_the_body_arrives() {
    let bench = Bench::start(Options::default()).await;
    let body = plaintext(LEN);
    for piece in [1_017, 65_536, 99_999] {
        let mut wire = partial_put(&bench, LEN, 0).await;
        for piece in body.chunks(piece) {
            wire.send(piece).await;
        }
        assert_eq!(wire.head().await.unwrap().status(), 200);
        assert_eq!(bench.client.get(OBJECT).await.body, body);
    }
    let stored = |seen: &Seen| seen.head.method == "PUT";
    let (seen, len) = (
        bench.chaos.seen(),
        Bytes::from(bench.chaos.stored(OBJECT).unwrap().body).len(),
    );
    for put in seen.iter().filter(|seen| stored(seen)) {
        let announced = put.header("x-amz-decoded-content-length").unwrap();
        assert_eq!((announced.parse(), put.content().len()), (Ok(len), len));
    }
}
