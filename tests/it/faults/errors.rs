//! What of an upstream's error clients see: everything but its hosts, and nothing of our signature.

use std::time::Duration;

use super::{Bench, OBJECT, assert_refused, plaintext};
use crate::support::Options;
use crate::support::chaos::{Reply, Step};
use crate::support::chunked;

fn refusal(status: u16, code: &str) -> Step {
    let document = format!(
        "<Error><Code>{code}</Code><Message>m</Message><BucketName>bucket</BucketName><Token-0>our-session-token</Token-0>\
         <Endpoint>inside.example.test</Endpoint><HostId>machine-7</HostId></Error>"
    );
    Step::Answer(Reply::new(status, document))
}

#[tokio::test]
async fn errors_pass_without_the_hosts_in_them() {
    let bench = Bench::start(Options::default()).await;
    bench.chaos.script([refusal(404, "NoSuchBucket")]);
    let answer = bench.client.get(OBJECT).await;
    assert_refused(&answer, 404, "NoSuchBucket");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.contains("<BucketName>bucket</BucketName>"), "{text}");
    assert!(
        ["inside", "machine", "our-session"]
            .iter()
            .all(|other| !text.contains(other)),
        "{text}"
    );
}

#[tokio::test]
async fn errors_about_our_own_signature_are_not_the_clients() {
    let bench = Bench::start(Options::default()).await;
    for code in [
        "ExpiredToken",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
    ] {
        bench.chaos.script([refusal(403, code)]);
        let answer = bench.client.get(OBJECT).await;
        assert_refused(&answer, 503, "ServiceUnavailable");
        bench.chaos.script([refusal(403, code)]);
        let answer = bench.client.put(OBJECT, plaintext(10)).await;
        assert_refused(&answer, 503, "ServiceUnavailable");
    }
}

#[tokio::test]
async fn what_is_no_error_document_is_not_shown() {
    let bench = Bench::start(Options::default()).await;
    let html = Reply::new(400, "<html>proxy at inside.example.test</html>");
    bench.chaos.script([Step::Answer(html)]);
    let answer = bench.client.get(OBJECT).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn a_presigned_upload_may_carry_its_checksum_in_the_query() {
    let bench = Bench::start(Options::default()).await;
    let body = plaintext(1_000);
    for (value, status) in [
        (chunked::crc32(&body), 200),
        (chunked::crc32(b"other"), 400),
    ] {
        let value = value
            .replace('/', "%2F")
            .replace('+', "%2B")
            .replace('=', "%3D");
        let target = format!("{OBJECT}?x-amz-checksum-crc32={value}");
        let put = bench.client.draft("PUT", &target).body(body.clone());
        let answer = put.presign(Duration::from_mins(1)).send().await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(bench.client.get(OBJECT).await.body, body);
}

#[tokio::test]
async fn a_denied_prefix_is_not_reached_through_its_bucket() {
    let tables = "[[rules]]\nbuckets = [\"bucket\"]\nprefix = \"secret/\"\nencryption = \"deny\"\n";
    let options = Options {
        tables: tables.to_owned(),
        ..Options::default()
    };
    let bench = Bench::start(options).await;
    let document = "<Delete><Object><Key>secret/x</Key></Object></Delete>";
    for (target, status) in [("/bucket?delete", 403), ("/other?delete", 200)] {
        bench
            .chaos
            .script([Step::Answer(Reply::new(200, "<DeleteResult/>"))]);
        let post = bench.client.draft("POST", target).body(document);
        let answer = post
            .header("content-md5", &chunked::md5(document.as_bytes()))
            .send()
            .await;
        assert_eq!(answer.status, status, "{target}: {answer:?}");
    }
}

#[tokio::test]
async fn anonymous_callers_read_list_and_put_and_nothing_else() {
    let options = Options {
        rule: "anonymous = \"allow\"".to_owned(),
        ..Options::default()
    };
    let bench = Bench::start(options).await;
    bench.client.put(OBJECT, plaintext(10)).await;
    for (method, target) in [
        ("DELETE", OBJECT),
        ("DELETE", "/bucket"),
        ("PUT", "/bucket?policy"),
        ("PUT", "/bucket/object?acl"),
        ("GET", "/bucket?policy"),
        ("POST", "/bucket?delete"),
    ] {
        let answer = bench.client.unsigned(method, target).send().await;
        assert_refused(&answer, 403, "AccessDenied");
    }
    let target = format!("{OBJECT}?response-content-type=text/html");
    let answer = bench.client.unsigned("GET", &target).send().await;
    assert_refused(&answer, 400, "InvalidRequest");
    assert!(bench.chaos.stored(OBJECT).is_some());
    let answer = bench
        .client
        .unsigned("PUT", OBJECT)
        .body(plaintext(9))
        .send()
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
