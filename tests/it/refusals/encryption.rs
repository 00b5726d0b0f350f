//! What a client may ask of the encryption, and what not.

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use s3seal::keys::local::{Change, WhenMissing, update};

use super::{Gate, assert_refused};
use crate::support::client::Draft;
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy};

const OBJECT: &str = "/bucket/object";
const SSE: &str = "x-amz-server-side-encryption";
const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
const CONTEXT: &str = "x-amz-server-side-encryption-context";
const CUSTOMER_ALGORITHM: &str = "x-amz-server-side-encryption-customer-algorithm";
const CUSTOMER_KEY: &str = "x-amz-server-side-encryption-customer-key";
const CUSTOMER_MD5: &str = "x-amz-server-side-encryption-customer-key-md5";

/// 32 bytes of `k`, and their MD5.
const KEY: [(&str, &str); 3] = [
    (CUSTOMER_ALGORITHM, "AES256"),
    (CUSTOMER_KEY, "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="),
    (CUSTOMER_MD5, "mT2HRsMGJ5IX5C+0rreZ8Q=="),
];

fn with(draft: Draft, headers: &[(&str, &str)]) -> Draft {
    headers
        .iter()
        .fold(draft, |draft, (name, value)| draft.header(name, value))
}

#[tokio::test]
async fn p16_p46_encryption_that_a_write_cannot_have() {
    let gate = Gate::start(Options::default()).await;
    let long_id = "k".repeat(2049);
    let table: [(&str, &[(&str, &str)], u16, &str); 16] = [
        (
            "two layers",
            &[(SSE, "aws:kms:dsse")],
            501,
            "NotImplemented",
        ),
        (
            "another method",
            &[(SSE, "aws:fsx")],
            400,
            "InvalidArgument",
        ),
        (
            "a method's case",
            &[(SSE, "aes256")],
            400,
            "InvalidArgument",
        ),
        ("an empty method", &[(SSE, "")], 400, "InvalidArgument"),
        (
            "key id alone",
            &[(KEY_ID, "default")],
            400,
            "InvalidArgument",
        ),
        (
            "key id of managed",
            &[(SSE, "AES256"), (KEY_ID, "default")],
            400,
            "InvalidArgument",
        ),
        (
            "context alone",
            &[(CONTEXT, "e30=")],
            400,
            "InvalidArgument",
        ),
        (
            "context of managed",
            &[(SSE, "AES256"), (CONTEXT, "e30=")],
            400,
            "InvalidArgument",
        ),
        (
            "bucket key alone",
            &[(BUCKET_KEY, "true")],
            400,
            "InvalidArgument",
        ),
        (
            "no boolean",
            &[(SSE, "aws:kms"), (BUCKET_KEY, "yes")],
            400,
            "InvalidArgument",
        ),
        (
            "empty key id",
            &[(SSE, "aws:kms"), (KEY_ID, "")],
            400,
            "InvalidArgument",
        ),
        (
            "long key id",
            &[(SSE, "aws:kms"), (KEY_ID, &long_id)],
            400,
            "InvalidArgument",
        ),
        (
            "unknown key",
            &[(SSE, "aws:kms"), (KEY_ID, "nobody")],
            400,
            "KMS.NotFoundException",
        ),
        (
            "managed key by id",
            &[(SSE, "aws:kms"), (KEY_ID, "managed")],
            403,
            "AccessDenied",
        ),
        (
            "managed key by alias",
            &[(SSE, "aws:kms"), (KEY_ID, "alias/managed")],
            403,
            "AccessDenied",
        ),
        (
            "key outside the rule",
            &[(SSE, "aws:kms"), (KEY_ID, "tenant")],
            403,
            "AccessDenied",
        ),
    ];
    for (what, headers, status, code) in table {
        let draft = with(gate.client.draft("PUT", OBJECT), headers);
        gate.refuses(what, draft, status, code).await;
    }
    gate.stop().await;
}

#[tokio::test]
async fn p87_broken_customer_key_headers_are_refused_as_s3_refuses_them() {
    let gate = Gate::start(Options::default()).await;
    let [algorithm, key, md5] = KEY;
    let table: [(&str, &[(&str, &str)]); 6] = [
        ("no algorithm", &[key, md5]),
        (
            "another algorithm",
            &[(CUSTOMER_ALGORITHM, "AES128"), key, md5],
        ),
        ("no key", &[algorithm, md5]),
        ("no md5", &[algorithm, key]),
        (
            "another md5",
            &[algorithm, key, (CUSTOMER_MD5, "AAAAAAAAAAAAAAAAAAAAAA==")],
        ),
        ("two methods", &[algorithm, key, md5, (SSE, "AES256")]),
    ];
    for (what, headers) in table {
        let draft = with(gate.client.draft("PUT", OBJECT), headers);
        let answer = gate.refuses(what, draft, 400, "InvalidArgument").await;
        let document = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!document.contains(KEY[1].1), "{what}: {document}");
    }
    gate.stop().await;
}

#[tokio::test]
async fn encryption_contexts_that_are_none() {
    let gate = Gate::start(Options::default()).await;
    let long = format!(r#"{{"a":"{}"}}"#, "v".repeat(1024));
    for json in [
        "",
        "{",
        "[]",
        r#""text""#,
        r#"{"a":1}"#,
        r#"{"a":null}"#,
        r#"{"a":{"b":"c"}}"#,
        r#"{"a":"1","a":"2"}"#,
        r#"{"aws:s3:arn":"x"}"#,
        r#"{"s3seal:x":"x"}"#,
        "{\"a\":\"\u{fffd}\" trailing}",
        long.as_str(),
    ] {
        let headers = [
            (SSE, "aws:kms"),
            (CONTEXT, &*BASE64.encode(json.as_bytes())),
        ];
        let draft = with(gate.client.draft("PUT", OBJECT), &headers);
        gate.refuses(json, draft, 400, "InvalidArgument").await;
    }
    for not_base64 in ["{}", "e30", "e30=\t=", "_-8="] {
        let headers = [(SSE, "aws:kms"), (CONTEXT, not_base64)];
        let draft = with(gate.client.draft("PUT", OBJECT), &headers);
        gate.refuses(not_base64, draft, 400, "InvalidArgument")
            .await;
    }
    gate.stop().await;
}

#[tokio::test]
async fn p21_reads_take_no_encryption_headers() {
    let gate = Gate::start(Options::default()).await;
    for (name, value) in [
        (SSE, "AES256"),
        (SSE, "aws:kms"),
        (KEY_ID, "default"),
        (BUCKET_KEY, "false"),
        (CONTEXT, "e30="),
    ] {
        let get = gate.client.draft("GET", OBJECT).header(name, value);
        gate.refuses(name, get, 400, "InvalidArgument").await;
        let head = gate
            .client
            .draft("HEAD", OBJECT)
            .header(name, value)
            .send()
            .await;
        assert_eq!((head.status.as_u16(), head.body.len()), (400, 0), "{name}");
    }
    gate.stop().await;
}

/// Within the time a changed keyring takes to be noticed.
#[tokio::test]
async fn p17_p18_p19_a_disabled_key_neither_seals_nor_opens() {
    let upstream = Embedded::start().await;
    let options = Options {
        // Longer than the test: what is cached is forgotten because the keyring changed.
        tables: "[keys.cache]\nttl_seconds = 300\n".to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    assert_eq!(client.put("/bucket/old", "contents").await.status, 200);
    assert_eq!(client.get("/bucket/old").await.body, "contents");

    change(&proxy, Change::Disable);
    let probe = eventually(|| async { client.put("/bucket/probe", "").await }, 400).await;
    assert_refused("probe", &probe, 400, "KMS.DisabledException");
    let refused = client.put(OBJECT, "new").await;
    assert_refused("write", &refused, 400, "KMS.DisabledException");
    assert!(!upstream.file("object").exists());
    let refused = eventually(|| async { client.get("/bucket/old").await }, 400).await;
    assert_refused("read", &refused, 400, "KMS.DisabledException");
    let ranged = client
        .draft("GET", "/bucket/old")
        .header("range", "bytes=0-1");
    assert_refused("range", &ranged.send().await, 400, "KMS.DisabledException");

    change(&proxy, Change::Enable { force: false });
    let served = eventually(|| async { client.get("/bucket/old").await }, 200).await;
    assert_eq!(served.body, "contents");
    proxy.stop().await;
}

fn change(proxy: &Proxy, change: Change) {
    update(&proxy.keyring(), WhenMissing::Refuse, |keyring| {
        keyring.change("default", None, change)
    })
    .unwrap();
}

/// Asks again until the answer has this status; gives up after 20 seconds.
async fn eventually<F: Future<Output = crate::support::client::Answer>>(
    ask: impl Fn() -> F,
    status: u16,
) -> crate::support::client::Answer {
    let started = Instant::now();
    loop {
        let answer = ask().await;
        if answer.status == status || started.elapsed() > Duration::from_secs(20) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
