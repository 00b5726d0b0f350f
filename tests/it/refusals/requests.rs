//! Requests that are not implemented or not allowed, whoever sends them.

use std::time::Duration;

use super::{Gate, assert_refused};
use crate::support::client::PayloadHash;
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy, wire};

const OBJECT: &str = "/bucket/object";
const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn p45_p46_d6_d13_operations_that_are_not_implemented_are_not_forwarded() {
    let gate = Gate::start(Options::default()).await;
    for (method, target) in [
        ("GET", "/bucket/object?torrent"),
        ("PUT", "/bucket/object?renameObject"),
        ("POST", "/bucket/object?select&select-type=2"),
        ("POST", "/bucket/object"),
        ("PUT", "/bucket/object?append&position=0"),
        ("GET", "/bucket?session"),
        ("POST", "/WriteGetObjectResponse"),
        ("PUT", "/bucket/object?frobnicate"),
        ("GET", "/bucket/object?frobnicate=1"),
        ("DELETE", "/bucket/object?frobnicate"),
        ("PUT", "/bucket?frobnicate"),
        ("GET", "/bucket?list-type=2&frobnicate=1"),
        ("GET", "/?Action=AssumeRole"),
        ("PUT", "/bucket/object?acl&tagging"),
        ("PUT", "/bucket/object?acl&acl"),
        ("PUT", "/bucket/object?versionId=1"),
        ("PUT", "/bucket/object?partNumber=1"),
        ("PATCH", "/bucket/object"),
        (
            "GET",
            "/arn:aws:s3:us-east-1:123456789012:accesspoint%2Fx/object",
        ),
    ] {
        let what = format!("{method} {target}");
        let draft = gate.client.draft(method, target);
        gate.refuses(&what, draft, 501, "NotImplemented").await;
    }
    gate.stop().await;
}

#[tokio::test]
async fn d13_a_restore_that_selects_is_not_implemented() {
    let gate = Gate::start(Options::default()).await;
    for document in [
        "<RestoreRequest><Type>SELECT</Type></RestoreRequest>",
        "<RestoreRequest><SelectParameters/></RestoreRequest>",
        "<RestoreRequest><OutputLocation><S3/></OutputLocation></RestoreRequest>",
        "<RestoreRequest xmlns:s=\"x\"><s:OutputLocation><S3/></s:OutputLocation></RestoreRequest>",
        "<RestoreRequest><Type>SEL&#69;CT</Type></RestoreRequest>",
    ] {
        let draft = gate.client.draft("POST", "/bucket/object?restore");
        gate.refuses(document, draft.body(document), 501, "NotImplemented")
            .await;
    }
    gate.stop().await;
}

#[tokio::test]
async fn copies_that_cannot_be_understood_are_refused() {
    let gate = Gate::start(Options::default()).await;
    let source = ("x-amz-copy-source", "bucket/source");
    let customer = "x-amz-copy-source-server-side-encryption-customer";
    let (algorithm, key, md5) = (
        format!("{customer}-algorithm"),
        format!("{customer}-key"),
        format!("{customer}-key-md5"),
    );
    let customer_key = [
        source,
        (&*algorithm, "AES256"),
        (&*key, "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="),
        (&*md5, "mT2HRsMGJ5IX5C+0rreZ8Q=="),
    ];
    let cases: &[(&[(&str, &str)], u16, &str)] = &[
        (
            &[("x-amz-copy-source", "arn:aws:s3:::b/k")],
            501,
            "NotImplemented",
        ),
        (&[("x-amz-copy-source", "bucket")], 400, "InvalidArgument"),
        (&[("x-amz-copy-source", "bucket/")], 400, "InvalidArgument"),
        (&[("x-amz-copy-source", "../key")], 400, "InvalidBucketName"),
        (&customer_key, 400, "InvalidRequest"),
        (
            &[source, ("x-amz-metadata-directive", "copy")],
            400,
            "InvalidArgument",
        ),
        (
            &[source, ("x-amz-tagging-directive", "KEEP")],
            400,
            "InvalidArgument",
        ),
        (
            &[source, ("x-amz-checksum-algorithm", "CRC16")],
            400,
            "InvalidRequest",
        ),
        (
            &[source, ("x-amz-server-side-encryption", "rot13")],
            400,
            "InvalidArgument",
        ),
        (
            &[source, ("x-amz-meta-s3seal-key", "x")],
            400,
            "InvalidArgument",
        ),
    ];
    for (headers, status, code) in cases {
        let mut draft = gate.client.draft("PUT", OBJECT);
        for (name, value) in *headers {
            draft = draft.header(name, value);
        }
        gate.refuses(&format!("{headers:?}"), draft, *status, code)
            .await;
    }
    gate.stop().await;
}

#[tokio::test]
async fn p45_p46_unknown_amz_headers_are_not_implemented() {
    let gate = Gate::start(Options::default()).await;
    for name in [
        "x-amz-write-offset-bytes",
        "x-amz-new",
        "x-amz-rename-source",
        "x-amz-if-match-size",
        "x-amz-create-session-mode",
        "x-amz-client-token",
        "x-amz-region-set",
        "x-amz-checksum-new",
    ] {
        for method in ["PUT", "GET", "DELETE"] {
            let draft = gate.client.draft(method, OBJECT).header(name, "0");
            let answer = gate.refuses(name, draft, 501, "NotImplemented").await;
            assert_eq!(answer.element("Header"), name);
        }
    }
    let hoisted = gate
        .client
        .draft("PUT", "/bucket/object?x-amz-new=1")
        .presign(HOUR);
    gate.refuses("hoisted", hoisted, 501, "NotImplemented")
        .await;
    gate.stop().await;
}

#[tokio::test]
async fn p36_d4_reserved_metadata_is_refused() {
    let gate = Gate::start(Options::default()).await;
    for name in [
        "x-amz-meta-s3seal-header",
        "x-amz-meta-s3seal-key",
        "x-amz-meta-s3seal-anything",
        "x-amz-meta-s3seal_key",
        "x-amz-meta-s3seal-",
    ] {
        let draft = gate.client.draft("PUT", OBJECT).header(name, "AQ");
        let answer = gate.refuses(name, draft, 400, "InvalidArgument").await;
        assert_eq!(answer.element("ArgumentName"), name);
    }
    // Case is what an HTTP library would hide.
    let request = gate
        .client
        .draft("PUT", OBJECT)
        .header("x-amz-meta-s3seal-key", "AQ")
        .build();
    let address = gate.proxy.address;
    let answer = wire::exchange_spelled(address, &request, b"", str::to_uppercase).await;
    assert_eq!(answer.status(), 400, "{}", answer.head());
    assert!(String::from_utf8_lossy(answer.body()).contains("<Code>InvalidArgument</Code>"));
    gate.stop().await;
}

#[tokio::test]
async fn d3_metadata_has_room_for_what_ours_leaves() {
    /// What s3seal adds under the local key named `default`.
    const OURS: usize = 257;
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let put = |len: usize| {
        // The name counts as well.
        let value = "v".repeat(len - 1);
        proxy
            .client()
            .draft("PUT", OBJECT)
            .header("x-amz-meta-a", &value)
    };
    for len in [2048 - OURS + 1, 2048, 2049, 4000] {
        let answer = put(len).send().await;
        assert_refused(&len.to_string(), &answer, 400, "MetadataTooLarge");
        assert_eq!(answer.element("MaxSizeAllowed"), "2048");
        let size: usize = answer.element("Size").parse().unwrap();
        assert!(size == len || size == len + OURS, "{size} for {len}");
        assert!(!upstream.file("object").exists());
    }
    let answer = put(2048 - OURS).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    proxy.stop().await;
}

#[tokio::test]
async fn p37_keys_that_no_object_can_have_are_refused() {
    let gate = Gate::start(Options::default()).await;
    let long = format!("/bucket/{}", "k".repeat(1025));
    let long_utf8 = format!("/bucket/{}", "%C3%A9".repeat(513));
    for target in [long, long_utf8] {
        for method in ["PUT", "GET", "DELETE"] {
            let draft = gate.client.draft(method, &target);
            let answer = gate
                .refuses("long key", draft, 400, "KeyTooLongError")
                .await;
            assert_eq!(answer.element("MaxSizeAllowed"), "1024");
        }
    }
    for key in ["%FF", "a%C3", "%C0%AF", "%ED%A0%80", "a%2", "a%ZZ"] {
        for method in ["PUT", "GET", "DELETE"] {
            // Refused before anybody looks at the signature.
            let draft = gate.client.unsigned(method, &format!("/bucket/{key}"));
            gate.refuses(key, draft, 400, "InvalidURI").await;
        }
    }
    for bucket in ["..", ".", "%2F", "a%2Fb", "a%00b"] {
        let draft = gate.client.unsigned("PUT", &format!("/{bucket}/object"));
        gate.refuses(bucket, draft, 400, "InvalidBucketName").await;
    }
    gate.stop().await;
}

#[tokio::test]
async fn p23_p24_d2_lengths_are_checked_before_the_body_is_asked_for() {
    let gate = Gate::start(Options::default()).await;
    let put = || {
        gate.client
            .draft("PUT", OBJECT)
            .payload(PayloadHash::Unsigned)
    };
    let chunked = |length: &str| {
        let mode = PayloadHash::Text("STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned());
        put()
            .payload(mode)
            .header("content-encoding", "aws-chunked")
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .header("content-length", "9999999999")
            .header("x-amz-decoded-content-length", length)
    };
    let raw = |length: &str| put().header("content-length", length);
    for (draft, status, code) in [
        (raw("5367398577"), 400, "EntityTooLarge"),
        (chunked("5367398577"), 400, "EntityTooLarge"),
        (chunked("-1"), 400, "InvalidArgument"),
        (chunked("1e3"), 400, "InvalidArgument"),
        (
            raw("9")
                .header("x-amz-storage-class", "STANDARD")
                .header("x-amz-new", "1"),
            501,
            "NotImplemented",
        ),
        (
            raw("9").header("content-md5", "short"),
            400,
            "InvalidDigest",
        ),
        (
            raw("9").header("x-amz-server-side-encryption", "none"),
            400,
            "InvalidArgument",
        ),
        (
            raw("9").header("x-amz-checksum-crc32", "short"),
            400,
            "InvalidRequest",
        ),
        (
            raw("9").region("eu-central-1"),
            400,
            "AuthorizationHeaderMalformed",
        ),
    ] {
        let request = draft.header("expect", "100-continue").build();
        let answer = wire::exchange(gate.proxy.address, &request, b"").await;
        // The first line is the refusal: no 100 Continue came before it.
        assert_eq!(answer.status(), status, "{code}: {}", answer.head());
        let document = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(
            document.contains(&format!("<Code>{code}</Code>")),
            "{document}"
        );
    }

    let mut request = put().build();
    request.headers_mut().remove("content-length");
    request
        .headers_mut()
        .insert("transfer-encoding", "chunked".parse().unwrap());
    let answer = wire::exchange(gate.proxy.address, &request, b"1\r\nx\r\n0\r\n\r\n").await;
    assert_eq!(answer.status(), 411, "{}", answer.head());
    let streaming = PayloadHash::Text("STREAMING-AWS4-HMAC-SHA256-PAYLOAD".to_owned());
    gate.refuses(
        "no decoded length",
        put().payload(streaming),
        411,
        "MissingContentLength",
    )
    .await;
    gate.stop().await;
}

#[tokio::test]
async fn p32_p33_ranges_and_parts_that_do_not_exist() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    client.put(OBJECT, vec![7; 100_000]).await;
    client.put("/bucket/empty", "").await;
    let get = |target: &str| client.draft("GET", target);
    for (target, range, size) in [
        (OBJECT, "bytes=100000-", "100000"),
        (OBJECT, "bytes=100100-", "100000"),
        (OBJECT, "bytes=900000-900001", "100000"),
        (OBJECT, "bytes=-0", "100000"),
        ("/bucket/empty", "bytes=0-0", "0"),
        ("/bucket/empty", "bytes=0-", "0"),
        // bytes=-1 of an empty object: s3s-fs fails on suffixes longer than what is stored; the
        // conformance suite has it.
    ] {
        let answer = get(target).header("range", range).send().await;
        assert_refused(range, &answer, 416, "InvalidRange");
        assert_eq!(answer.element("ActualObjectSize"), size, "{range}");
        assert_eq!(answer.element("RangeRequested"), range);
        let head = client
            .draft("HEAD", target)
            .header("range", range)
            .send()
            .await;
        assert_eq!(head.status, 416, "{range}");
    }
    let answer = get("/bucket/object?partNumber=1")
        .header("range", "bytes=0-1")
        .send()
        .await;
    assert_refused("range and part", &answer, 400, "InvalidRequest");
    for part in ["2", "10000"] {
        let answer = get(&format!("/bucket/object?partNumber={part}"))
            .send()
            .await;
        assert_refused(part, &answer, 416, "InvalidPartNumber");
    }
    for part in ["0", "10001", "-1", "x", ""] {
        let answer = get(&format!("/bucket/object?partNumber={part}"))
            .send()
            .await;
        assert_refused(part, &answer, 400, "InvalidArgument");
    }
    proxy.stop().await;
}

/// What the upstream refuses is relayed with its own words.
#[tokio::test]
async fn p48_refusals_of_the_upstream_are_relayed() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let answer = client.get("/bucket/nothing").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (404, "NoSuchKey")
    );
    assert!(answer.header("x-s3seal-request-id").is_some());
    let answer = client.get("/no-such-bucket/nothing").await;
    assert_eq!(answer.status, 404, "{answer:?}");
    let answer = client.draft("HEAD", "/bucket/nothing").send().await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (404, 0));
    proxy.stop().await;
}
