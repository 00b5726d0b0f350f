//! What never goes upstream: plaintext, its checksums, and whatever belongs to the client alone.

use data_encoding::{BASE64, HEXLOWER};

use super::{Bench, OBJECT};
use crate::support::chaos::{Seen, Stored};
use crate::support::chunked::{self, Framing};
use crate::support::client::PayloadHash;
use crate::support::http1::Wire;
use crate::support::{APP, Options, UPSTREAM};

/// What to look for.
const MARKER: &[u8] = b"plaintext-marker-";

fn marked(len: usize) -> Vec<u8> {
    MARKER.iter().copied().cycle().take(len).collect()
}

#[track_caller]
fn assert_holds_nothing(bench: &Bench, needle: &[u8], what: &str) {
    for seen in bench.chaos.seen() {
        let head = format!("{:?}", seen.head);
        for haystack in [head.as_bytes(), &seen.body] {
            let found = haystack
                .windows(needle.len())
                .any(|window| window == needle);
            assert!(
                !found,
                "{what}: {:?} in {head}",
                String::from_utf8_lossy(needle)
            );
        }
    }
}

#[track_caller]
fn assert_signed_by_the_proxy(seen: &Seen) {
    let authorization = seen.header("authorization").unwrap();
    assert!(authorization.contains(UPSTREAM.id) && !authorization.contains(APP.id));
    let signed = authorization
        .split("SignedHeaders=")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    let signed: Vec<_> = signed.split(';').collect();
    for (name, _) in &seen.head.headers {
        let name = name.to_ascii_lowercase();
        let must = name.starts_with("x-amz-") || name == "host" || name == "content-type";
        assert!(
            !must || signed.contains(&name.as_str()),
            "{name} is not signed: {signed:?}"
        );
    }
    if let Some(hash) = seen
        .header("x-amz-content-sha256")
        .filter(|hash| hash.len() == 64)
    {
        assert_eq!(hash, sha256(&seen.body));
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    HEXLOWER.encode(digest.as_ref())
}

#[tokio::test]
async fn no_payload_mode_lets_plaintext_or_its_hashes_through() {
    let bench = Bench::start(Options::default()).await;
    for len in [MARKER.len(), 1_000, 65_536, 65_537, 200_000, 2 << 20] {
        let body = marked(len);
        for payload in [PayloadHash::OfBody, PayloadHash::Unsigned] {
            let put = bench
                .client
                .draft("PUT", OBJECT)
                .body(body.clone())
                .payload(payload.clone());
            assert_eq!(put.send().await.status, 200);
            assert_eq!(bench.client.get(OBJECT).await.body, body, "{payload:?}");
        }
        for framing in Framing::ALL {
            let mut wire = Wire::connect(bench.proxy.address).await;
            let (head, framed) = chunked::put(&bench.client, OBJECT, &body, framing);
            wire.send_head(&head).await;
            wire.send(&framed).await;
            let answer = wire.head().await.unwrap();
            assert_eq!(
                answer.status(),
                200,
                "{framing:?} {len}: {:?}",
                wire.take(answer.content_length()).await
            );
            assert_eq!(bench.client.get(OBJECT).await.body, body, "{framing:?}");
        }
        assert_holds_nothing(&bench, MARKER, "plaintext");
        assert_holds_nothing(&bench, sha256(&body).as_bytes(), "its SHA-256");
        let raw = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
        assert_holds_nothing(
            &bench,
            BASE64.encode(raw.as_ref()).as_bytes(),
            "its SHA-256",
        );
        bench
            .chaos
            .seen()
            .iter()
            .for_each(assert_signed_by_the_proxy);
        bench.chaos.forget();
    }
}

#[tokio::test]
async fn what_belongs_to_the_client_stays_with_the_proxy() {
    let bench = Bench::start(Options::default()).await;
    for len in [1_000, 200_000] {
        bench.chaos.forget();
        let body = marked(len);
        let crc32 = chunked::crc32(&body);
        let put = bench
            .client
            .draft("PUT", OBJECT)
            .header("content-md5", &chunked::md5(&body))
            .header("x-amz-checksum-crc32", &crc32)
            .header("x-amz-sdk-checksum-algorithm", "CRC32")
            .header("x-amz-server-side-encryption", "aws:kms")
            .header("x-amz-server-side-encryption-aws-kms-key-id", "default")
            .header(
                "x-amz-server-side-encryption-context",
                &BASE64.encode(b"{\"a\":\"b\"}"),
            )
            .header("x-amz-te", "append-md5")
            .header("x-amz-user-agent", "sdk/1")
            .header("content-encoding", "gzip")
            .unsigned_header("expect", "100-continue")
            .body(body.clone())
            .send()
            .await;
        assert_eq!(put.status, 200, "{put:?}");
        assert_eq!(put.header("x-amz-checksum-crc32"), Some(crc32.as_str()));
        let seen = bench.chaos.only();
        for gone in [
            "content-md5",
            "x-amz-checksum-crc32",
            "x-amz-sdk-checksum-algorithm",
            "x-amz-server-side-encryption",
            "x-amz-server-side-encryption-aws-kms-key-id",
            "x-amz-server-side-encryption-context",
            "x-amz-te",
            "x-amz-user-agent",
            "expect",
            "transfer-encoding",
            "x-amz-security-token",
        ] {
            assert_eq!(seen.header(gone), None, "{gone}");
        }
        assert_signed_by_the_proxy(&seen);
        let stored = bench.chaos.stored(OBJECT).unwrap();
        let encoding = stored
            .header("content-encoding")
            .unwrap()
            .replace("aws-chunked,", "");
        assert_eq!(encoding, "gzip");
        assert_holds_nothing(&bench, APP.id.as_bytes(), "the client's name");
        let shown = bench.client.draft("HEAD", OBJECT).send().await;
        assert_eq!(shown.header("content-encoding"), Some("gzip"));
    }
}

#[tokio::test]
async fn reads_ask_for_no_checksum_and_no_compression() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    for method in ["GET", "HEAD"] {
        bench.chaos.forget();
        let read = bench
            .client
            .draft(method, OBJECT)
            .header("x-amz-checksum-mode", "ENABLED")
            .unsigned_header("accept-encoding", "gzip, br")
            .unsigned_header("if-range", "\"x\"");
        assert_eq!(read.send().await.status, 200, "{method}");
        for seen in bench.chaos.seen() {
            assert_eq!(seen.header("x-amz-checksum-mode"), None);
            assert_eq!(seen.header("accept-encoding"), Some("identity"));
            assert_eq!(seen.header("if-range"), None);
            assert_signed_by_the_proxy(&seen);
        }
    }
}

#[tokio::test]
async fn presigned_parameters_stay_with_the_proxy() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    let target = format!("{OBJECT}?response-content-type=text%2Fplain&x-id=GetObject");
    let get = bench
        .client
        .draft("GET", &target)
        .presign(std::time::Duration::from_mins(1));
    assert_eq!(get.send().await.status, 200);
    let target = bench.chaos.only().head.target;
    assert_eq!(
        target,
        format!("{OBJECT}?response-content-type=text%2Fplain&x-id=GetObject")
    );
    assert_holds_nothing(&bench, APP.id.as_bytes(), "the client's name");
}

#[tokio::test]
async fn hop_by_hop_headers_are_not_forwarded() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    let get = bench
        .client
        .draft("GET", OBJECT)
        .unsigned_header("connection", "keep-alive, x-internal")
        .unsigned_header("x-internal", "secret")
        .unsigned_header("te", "trailers")
        .unsigned_header("keep-alive", "timeout=5")
        .unsigned_header("proxy-authorization", "Basic eDp5")
        .unsigned_header("upgrade", "h2c");
    assert_eq!(get.send().await.status, 200);
    let seen = bench.chaos.only();
    for name in [
        "x-internal",
        "te",
        "keep-alive",
        "proxy-authorization",
        "upgrade",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn nothing_about_the_ciphertext_or_the_upstream_is_shown() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    let mut stored: Stored = bench.chaos.stored(OBJECT).unwrap();
    for (name, value) in [
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
        ("x-amz-checksum-type", "FULL_OBJECT"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-server-side-encryption-bucket-key-enabled", "true"),
        ("x-amz-bucket-region", "moon-north-1"),
        ("Keep-Alive", "timeout=5"),
    ] {
        stored.set(name, value);
    }
    bench.chaos.store(OBJECT, stored);
    for method in ["GET", "HEAD"] {
        let read = bench
            .client
            .draft(method, OBJECT)
            .header("x-amz-checksum-mode", "ENABLED");
        let answer = read.send().await;
        assert_eq!(answer.status, 200);
        for name in [
            "x-amz-checksum-crc64nvme",
            "x-amz-checksum-type",
            "x-amz-server-side-encryption-bucket-key-enabled",
            "x-amz-meta-s3seal-header",
            "x-amz-meta-s3seal-key",
            "keep-alive",
        ] {
            assert_eq!(answer.header(name), None, "{method} {name}");
        }
        assert_eq!(
            answer.header("x-amz-server-side-encryption"),
            Some("aws:kms")
        );
        assert!(
            answer
                .header("x-amz-bucket-region")
                .is_none_or(|region| region == "us-east-1")
        );
        assert_eq!(answer.header("content-length"), Some("1000"));
    }
}
