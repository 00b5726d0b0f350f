//! The audit log of a running proxy.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::limits::answer_to_head;
use super::{CLIENTS, TENANT};
use crate::support::chaos::{Chaos, Reply, Step};
use crate::support::form::Form;
use crate::support::upstream::Embedded;
use crate::support::wire::{Untouched, begin, hang_up};
use crate::support::{APP, Options, Proxy};

/// Waits for so many lines.
async fn lines(path: &std::path::Path, count: usize) -> (String, Vec<Value>) {
    for _ in 0..200 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count {
            let parsed = text.lines().map(|line| serde_json::from_str(line).unwrap());
            let parsed: Vec<Value> = parsed.collect();
            assert_eq!(parsed.len(), count, "{text}");
            return (text, parsed);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not {count} lines: {:?}", std::fs::read_to_string(path));
}

fn audited(file: &std::path::Path, required: bool) -> Options {
    Options {
        tables: format!(
            "[audit]\nfile = \"{}\"\nrequired = {required}\n{CLIENTS}",
            file.display()
        ),
        ..Options::default()
    }
}

#[tokio::test]
async fn p133_every_request_has_one_line_and_no_secret_is_in_it() {
    let upstream = Embedded::start().await;
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("audit.jsonl");
    let proxy = Proxy::start(upstream.address, audited(&file, true)).await;
    let owner = proxy.client();
    let tenant = owner.signing_as(TENANT);
    assert_eq!(
        owner.put("/bucket/a%20%22b%22", "plain text").await.status,
        200
    );
    assert_eq!(
        owner.get("/bucket/a%20%22b%22?versionId=null").await.status,
        200
    );
    let presigned = owner.draft("GET", "/bucket/a%20%22b%22");
    assert_eq!(
        presigned
            .presign(Duration::from_secs(60))
            .send()
            .await
            .status,
        200
    );
    let copy = owner.draft("PUT", "/bucket/copy");
    let copy = copy.header("x-amz-copy-source", "bucket/a%20%22b%22");
    assert_eq!(copy.send().await.status, 200);
    let managed = owner.draft("PUT", "/bucket/managed").body("text");
    let managed = managed.header("x-amz-server-side-encryption", "AES256");
    assert_eq!(managed.send().await.status, 200);
    let form = Form::new("form", "text").sign(APP);
    assert_eq!(form.draft(&owner, "/bucket").send().await.status, 204);
    assert_eq!(
        owner.draft("DELETE", "/bucket/copy").send().await.status,
        204
    );
    let denied = tenant.draft("PUT", "/bucket/denied").body("text");
    let answer = answer_to_head(&proxy, denied.header("content-length", "4")).await;
    assert!(answer.starts_with("http/1.1 403"), "{answer}");
    let unknown = owner.draft("GET", "/bucket/a").region("eu-west-1");
    assert_eq!(unknown.send().await.status, 400);
    assert_eq!(owner.unsigned("GET", "/bucket/a").send().await.status, 403);
    let long = format!("/bucket/{}", "k".repeat(2000));
    assert_eq!(owner.get(&long).await.status, 400);
    let (text, lines) = lines(&file, 11).await;
    let told = |line: usize, names: &[&str]| -> String {
        let value = |name: &&str| {
            let value = &lines[line][*name];
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        names.iter().map(value).collect::<Vec<_>>().join(" ")
    };
    let what = [
        "operation",
        "key",
        "client",
        "scheme",
        "status",
        "error",
        "outcome",
    ];
    let expected = [
        "PutObject a \"b\" APP-OF-THE-TESTS header 200 null ok",
        "GetObject a \"b\" APP-OF-THE-TESTS header 200 null ok",
        "GetObject a \"b\" APP-OF-THE-TESTS presigned 200 null ok",
        "CopyObject copy APP-OF-THE-TESTS header 200 null ok",
        "PutObject managed APP-OF-THE-TESTS header 200 null ok",
        "PostObject form APP-OF-THE-TESTS form 204 null ok",
        "DeleteObject copy APP-OF-THE-TESTS header 204 null ok",
        "PutObject denied TENANT-B-OF-THE-TESTS header 403 AccessDenied refused",
        "GetObject a null null 400 AuthorizationHeaderMalformed refused",
        "GetObject a null anonymous 403 AccessDenied refused",
    ];
    for (line, expected) in expected.iter().enumerate() {
        assert_eq!(told(line, &what), *expected, "{}", lines[line]);
    }
    let key = ["mode", "provider", "key_id", "key_version"];
    for (line, expected) in [
        (0, "named-key local default 1"),
        (1, "named-key local default 1"),
        (4, "managed local managed 1"),
        (6, "null null null null"),
        (7, "null null null null"),
    ] {
        assert_eq!(told(line, &key), expected, "{}", lines[line]);
    }
    assert_eq!(lines[1]["version_id"], "null");
    assert_eq!(told(3, &SOURCE), "bucket a \"b\" null null");
    assert_eq!(
        (&lines[0]["bytes_in"], &lines[2]["bytes_out"]),
        (&10.into(), &10.into())
    );
    // Refused by its head: nothing of the body was read.
    assert_eq!(lines[7]["bytes_in"], 0);
    assert_eq!(lines[0]["target"], "s3seal::audit");
    assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
    for secret in [
        APP.secret,
        TENANT.secret,
        "plain text",
        "ignature=",
        "X-Amz",
        "SHA256",
    ] {
        assert!(!text.contains(secret), "{secret}");
    }
    proxy.stop().await;
}

/// What a copy reads, as parsed, or else as sent.
const SOURCE: [&str; 4] = ["source_bucket", "source_key", "source_version_id", "source"];

#[tokio::test]
async fn p133_the_source_of_a_copy_is_told_as_it_is_read_however_it_is_spelled() {
    let upstream = Untouched::start().await;
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("audit.jsonl");
    let proxy = Proxy::start(upstream.address, audited(&file, true)).await;
    let tenant = proxy.client().signing_as(TENANT);
    let long = format!("bucket/{}", "%6b".repeat(1000));
    let sources = [
        "bucket/%73%65%63ret?versionId=v%2B1",
        "%62ucket%2fsecret",
        &long,
        "no-key",
        "bucket/%ff",
    ];
    for source in sources {
        let copy = tenant.draft("PUT", "/team-b/copy");
        let copy = copy.header("x-amz-copy-source", source);
        assert!(copy.send().await.status.is_client_error(), "{source}");
    }
    let (_, lines) = lines(&file, sources.len()).await;
    let told = |line: usize| SOURCE.map(|name| lines[line][name].as_str().unwrap_or("-"));
    assert_eq!(told(0), ["bucket", "secret", "v+1", "-"]);
    assert_eq!(told(1), ["bucket", "secret", "-", "-"]);
    assert_eq!(told(2), ["bucket", &"k".repeat(1000), "-", "-"]);
    assert_eq!(told(3), ["-", "-", "-", "no-key"]);
    assert_eq!(told(4), ["-", "-", "-", "bucket/%ff"]);
    proxy.stop().await;
}

/// The head of the answer says 200 and has long been sent.
#[tokio::test]
async fn p133_what_is_refused_in_the_document_is_told_as_failed() {
    const TAG: &str = "0123456789abcdef0123456789abcdef";
    let chaos = Chaos::start().await;
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("audit.jsonl");
    let proxy = Proxy::start(chaos.address, audited(&file, true)).await;
    let owner = proxy.client();
    let created = "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>object</Key>\
                   <UploadId>up</UploadId></InitiateMultipartUploadResult>";
    let listed = format!(
        "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber>\
         <ETag>{TAG}</ETag><Size>16740</Size></Part></ListPartsResult>"
    );
    chaos.script([
        Step::Answer(Reply::new(200, created)),
        Step::Answer(Reply::new(200, listed)),
        Step::Late(Duration::from_secs(11), Reply::error(503, "SlowDown")),
    ]);
    let begun = owner.draft("POST", "/bucket/object?uploads").send().await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;{TAG}-0&quot;</ETag>\
         </Part></CompleteMultipartUpload>"
    );
    let complete = owner.draft("POST", "/bucket/object?uploadId=up");
    let refused = complete.body(document).send().await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.code()),
        (200, "SlowDown")
    );
    let (_, lines) = lines(&file, 2).await;
    let line = &lines[1];
    let told = ["operation", "error", "outcome"].map(|name| line[name].as_str());
    let expected = ["CompleteMultipartUpload", "SlowDown", "failed"];
    assert_eq!(told, expected.map(Some), "{line}");
    assert_eq!(line["status"], 200, "what was sent: {line}");
    let counted =
        "s3seal_requests_total{operation=\"CompleteMultipartUpload\",status_class=\"5xx\"} 1";
    assert!(proxy.metrics().await.contains(counted));
    proxy.stop().await;
}

#[tokio::test]
async fn p133_a_client_that_leaves_before_the_answer_has_a_line() {
    let chaos = Chaos::start().await;
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("audit.jsonl");
    let proxy = Proxy::start(chaos.address, audited(&file, true)).await;
    chaos.script([Step::Hang]);
    let delete = proxy.client().draft("DELETE", "/bucket/object").build();
    let open = begin(proxy.address, &delete).await;
    chaos.wait_until("it asks", |seen| !seen.is_empty()).await;
    drop(open);
    let (_, lines) = lines(&file, 1).await;
    let told = ["operation", "key", "client", "outcome"].map(|name| lines[0][name].as_str());
    let expected = ["DeleteObject", "object", APP.id, "cut"];
    assert_eq!(told, expected.map(Some), "{}", lines[0]);
    assert_eq!(lines[0]["status"], 499);
    proxy.stop().await;
}

#[tokio::test]
async fn p133_a_request_that_breaks_has_a_line_too() {
    let upstream = Embedded::start().await;
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("audit.jsonl");
    let proxy = Proxy::start(upstream.address, audited(&file, false)).await;
    let owner = proxy.client();
    let put = owner.draft("PUT", "/bucket/broken").body("text");
    let put = put.header("content-length", "4").build();
    hang_up(proxy.address, &put, b"te").await;
    let (_, lines) = lines(&file, 1).await;
    assert_ne!(lines[0]["outcome"], "ok", "{}", lines[0]);
    assert_eq!(lines[0]["bytes_in"], 2, "{}", lines[0]);
    proxy.stop().await;
}

#[tokio::test]
async fn p134_without_its_audit_log_a_proxy_that_needs_it_does_nothing() {
    let upstream = Untouched::start().await;
    let full = std::path::Path::new("/dev/full");
    let proxy = Proxy::start(upstream.address, audited(full, true)).await;
    let tenant = proxy.client().signing_as(TENANT);
    // What it says does not fit, which the next requests feel.
    assert_eq!(tenant.get("/team-a/object").await.status, 403);
    let mut refused = tenant.get("/team-a/object").await;
    for _ in 0..100 {
        if refused.status == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        refused = tenant.get("/team-a/object").await;
    }
    assert_eq!(refused.code(), "ServiceUnavailable", "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let put = proxy.client().draft("PUT", "/bucket/object").body("text");
    let answer = answer_to_head(&proxy, put.header("content-length", "4")).await;
    assert!(answer.starts_with("http/1.1 503"), "{answer}");
    let metrics = proxy.metrics().await;
    assert!(!metrics.contains("s3seal_audit_failures_total 0"));
    assert_eq!(upstream.calls(), 0, "the upstream was called");
    proxy.stop().await;
}

#[tokio::test]
async fn p134_without_its_audit_log_a_proxy_that_does_not_need_it_counts() {
    let upstream = Embedded::start().await;
    let full = std::path::Path::new("/dev/full");
    let proxy = Proxy::start(upstream.address, audited(full, false)).await;
    let owner = proxy.client();
    for _ in 0..5 {
        assert_eq!(owner.put("/bucket/object", "text").await.status, 200);
    }
    for _ in 0..100 {
        if !proxy
            .metrics()
            .await
            .contains("s3seal_audit_failures_total 0")
        {
            proxy.stop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing is counted");
}
