//! Forms that browsers post: what they store, what they are answered, and what is refused.

use bytes::Bytes;
use time::Duration;
use tokio::time::timeout;

use crate::support::chunked::crc32;
use crate::support::client::{Answer, Client, Identity};
use crate::support::form::{CONTENT_TYPE, Form};
use crate::support::upstream::Embedded;
use crate::support::wire::{self, Untouched};
use crate::support::{APP, Options, Proxy};

const READER: Identity = Identity {
    id: "READER",
    secret: "reader-secret-of-the-tests",
};
const TEAM: Identity = Identity {
    id: "TEAM",
    secret: "team-secret-of-the-tests",
};
const NOBODY: Identity = Identity {
    id: "NOBODY",
    secret: "nobody-secret-of-the-tests",
};

fn body(len: usize) -> Bytes {
    let text = b"plaintext-of-the-tests-";
    text.iter().copied().cycle().take(len).collect()
}

async fn post(client: &Client, form: &Form) -> Answer {
    form.draft(client, "/bucket").send().await
}

#[tokio::test]
async fn p62_the_file_of_a_form_is_sealed_and_comes_back() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    // Short ones, one that is streamed, and what lies between.
    for len in [0, 1, 65_535, 65_536, 65_537, 1 << 20, 3_000_000] {
        let form = Form::new("folder/object", body(len))
            .field("Content-Type", "image/png")
            .field("Cache-Control", "no-store")
            .field("x-amz-meta-colour", "blue")
            .sign(APP);
        let done = post(&client, &form).await;
        assert_eq!(done.status, 204, "{len}: {done:?}");
        assert_eq!(done.body, "");
        assert_eq!(
            done.header("x-amz-server-side-encryption"),
            Some("aws:kms"),
            "{len}"
        );
        let get = client.get("/bucket/folder/object").await;
        assert_eq!(get.body, body(len), "{len}");
        assert_eq!(get.header("content-type"), Some("image/png"));
        assert_eq!(get.header("cache-control"), Some("no-store"));
        assert_eq!(get.header("x-amz-meta-colour"), Some("blue"));
        assert_eq!(get.header("etag"), done.header("etag"));
        assert!(done.header("etag").unwrap().ends_with("-0\""));
        let stored = std::fs::read(upstream.file("folder/object")).unwrap();
        let is_plain = stored.windows(16).any(|window| window == &body(16)[..]);
        assert!(!is_plain, "{len}: plaintext in the upstream");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn p62_a_form_is_answered_as_it_asks() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let form = || Form::new("a b/${filename}", body(10)).filename("C:\\dir\\x&y.txt");
    let status = |status| form().field("success_action_status", status).sign(APP);
    let url = format!("http://{}/bucket/a%20b/x%26y.txt", proxy.address);

    let created = post(&client, &status("201")).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.header("content-type"), Some("application/xml"));
    assert_eq!(created.header("location"), Some(&*url));
    assert_eq!(created.element("Location"), url);
    assert_eq!(created.element("Bucket"), "bucket");
    assert_eq!(created.element("Key"), "a b/x&amp;y.txt");
    let etag = created.header("etag").unwrap().replace('"', "&quot;");
    assert_eq!(created.element("ETag"), etag);

    for (asked, expected) in [("200", 200), ("204", 204), ("404", 204)] {
        let done = post(&client, &status(asked)).await;
        assert_eq!((done.status.as_u16(), done.body.len()), (expected, 0));
    }

    let page = "https://example.com/done?a=1";
    let redirect = form().field("success_action_redirect", page).sign(APP);
    let done = post(&client, &redirect).await;
    assert_eq!(done.status, 303, "{done:?}");
    let etag = done.header("etag").unwrap().replace('"', "%22");
    let expected = format!("{page}&bucket=bucket&key=a%20b%2Fx%26y.txt&etag={etag}");
    assert_eq!(done.header("location"), Some(&*expected));

    assert_eq!(client.get("/bucket/a%20b/x%26y.txt").await.body, body(10));
    proxy.stop().await;
}

#[tokio::test]
async fn p62_pages_are_told_in_a_header_whatever_their_address_holds() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    for (page, expected) in [
        (
            "https://example.com/d\u{e9}#\u{e9}",
            Some(("https://example.com/d%C3%A9", "#%C3%A9")),
        ),
        ("https://example.com/#a\r\nset-cookie: a=b", None),
        ("https://example.com/#a b", None),
    ] {
        let form = Form::new("object", body(10)).field("success_action_redirect", page);
        let done = post(&client, &form.sign(APP)).await;
        assert_eq!(done.header("set-cookie"), None);
        let Some((page, fragment)) = expected else {
            assert_eq!(done.status, 204, "{done:?}");
            continue;
        };
        assert_eq!(done.status, 303, "{done:?}");
        let location = done.header("location").unwrap();
        assert!(location.starts_with(&format!("{page}?bucket=bucket&key=object&etag=")));
        assert!(location.ends_with(fragment), "{location}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn p62_spaces_around_a_value_are_none_of_it() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    for len in [10, 2_000_000] {
        let form = Form::new("object", body(len))
            .field("Content-Type", " text/plain\t")
            .field("x-amz-meta-colour", "  light  blue ")
            .field("x-amz-meta-blank", "  ")
            .sign(APP);
        let done = post(&client, &form).await;
        assert_eq!(done.status, 204, "{len}: {done:?}");
        let head = client.draft("HEAD", "/bucket/object").send().await;
        assert_eq!(head.header("content-type"), Some("text/plain"));
        assert_eq!(head.header("x-amz-meta-colour"), Some("light  blue"));
    }
    proxy.stop().await;
}

#[tokio::test]
async fn p62_modes_checksums_and_tags_stand_in_fields() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let form = || Form::new("object", body(9));
    let managed = form()
        .field("x-amz-server-side-encryption", "AES256")
        .field("acl", "private")
        .field("x-amz-checksum-crc32", "0Q/lGw==");
    let refused = post(&client, &managed.clone().sign(APP)).await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.code()),
        (400, "BadDigest")
    );
    assert!(!upstream.file("object").exists());
    let crc = crc32(&body(9));
    let managed = form()
        .field("x-amz-server-side-encryption", "AES256")
        .field("x-amz-checksum-crc32", &crc);
    let done = post(&client, &managed.sign(APP)).await;
    assert_eq!(done.status, 204, "{done:?}");
    assert_eq!(done.header("x-amz-checksum-crc32"), Some(&*crc));
    let get = client
        .draft("GET", "/bucket/object")
        .header("x-amz-checksum-mode", "ENABLED");
    let get = get.send().await;
    assert_eq!(get.header("x-amz-server-side-encryption"), Some("AES256"));
    assert_eq!(get.header("x-amz-checksum-crc32"), Some(&*crc));
    proxy.stop().await;
}

#[tokio::test]
async fn p62_buckets_may_stand_in_the_host_and_names_in_any_case() {
    let upstream = Embedded::start().await;
    let options = Options {
        listen: "domains = [\"s3.example.test\"]".to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    let form = Form::new("object", body(10))
        .field("CONTENT-TYPE", "text/plain")
        .field("Success_Action_Status", "201")
        .sign(APP);
    let draft = form.draft(&client, "/").host("bucket.s3.example.test");
    let done = draft.send().await;
    assert_eq!(done.status, 201, "{done:?}");
    let url = "http://bucket.s3.example.test/object";
    assert_eq!(done.element("Location"), url);
    let get = client.get("/bucket/object").await;
    assert_eq!(get.body, body(10));
    assert_eq!(get.header("content-type"), Some("text/plain"));
    proxy.stop().await;
}

#[tokio::test]
async fn p62_d31_what_stands_behind_the_file_is_ignored_or_refused() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let short = Form::new("short", body(1000)).behind("x-amz-meta-late", "1");
    let done = post(&client, &short.behind("submit", "Send").sign(APP)).await;
    assert_eq!(done.status, 204, "{done:?}");
    let get = client.get("/bucket/short").await;
    assert_eq!(
        (get.body.clone(), get.header("x-amz-meta-late")),
        (body(1000), None)
    );

    let long = Form::new("long", body(2_000_000)).behind("submit", "Send");
    let refused = post(&client, &long.sign(APP)).await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.code()),
        (400, "MalformedPOSTRequest")
    );
    assert!(!upstream.file("long").exists());

    for len in [1000, 2_000_000] {
        let two = Form::new("two", body(len)).behind("file", "another");
        let refused = post(&client, &two.sign(APP)).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(!upstream.file("two").exists());
    }

    let late = Form::new("late", body(10)).sign(APP).without("key");
    let refused = post(&client, &late.behind("key", "late")).await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.code()),
        (400, "InvalidArgument")
    );
    assert!(!upstream.file("late").exists());
    proxy.stop().await;
}

#[tokio::test]
async fn p63_a_form_that_ends_early_stores_nothing() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    client.put("/bucket/object", body(10)).await;
    for len in [1000, 100_000, 3_000_000] {
        let form = Form::new("object", body(len)).sign(APP);
        let (head, rest) = form.parts();
        let whole = [head.as_slice(), &rest].concat();
        let request = client
            .unsigned("POST", "/bucket")
            .header("content-type", CONTENT_TYPE);
        // The connection breaks.
        let broken = request
            .header("content-length", &whole.len().to_string())
            .build();
        for cut in [20, 500, len / 2, len - 1] {
            let sent = &whole[..head.len() + cut.min(len)];
            wire::hang_up(proxy.address, &broken, sent).await;
        }
        // The request ends well, and the form in it does not.
        for cut in ["--\r\n".len() + 1, 40, rest.len() - 1] {
            let cut = whole[..whole.len() - cut].to_vec();
            let draft = client.unsigned("POST", "/bucket").body(cut);
            let draft = draft.header("content-type", CONTENT_TYPE);
            let refused = draft.send().await;
            assert_eq!(
                (refused.status.as_u16(), &*refused.code()),
                (400, "MalformedPOSTRequest"),
                "{len}"
            );
        }
    }
    assert_eq!(client.get("/bucket/object").await.body, body(10));
    proxy.stop().await;
}

#[tokio::test]
async fn p63_fields_that_take_longer_than_a_head_may_are_refused() {
    let upstream = Untouched::start().await;
    let options = Options {
        listen: "header_timeout_seconds = 1\nidle_timeout_seconds = 3600".to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    let (head, _) = Form::new("object", body(10)).sign(APP).parts();
    let request = client
        .unsigned("POST", "/bucket")
        .header("content-type", CONTENT_TYPE)
        .header("content-length", "10000")
        .build();
    let answer = wire::exchange(proxy.address, &request, &head[..300]);
    let answer = timeout(std::time::Duration::from_secs(20), answer).await;
    let answer = answer.expect("an answer while the client waits");
    assert_eq!(answer.status(), 400, "{}", answer.head());
    let document = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(
        document.contains("<Code>RequestTimeout</Code>"),
        "{document}"
    );
    proxy.stop().await;
    assert_eq!(upstream.calls(), 0, "the upstream was called");
}

#[tokio::test]
async fn p63_lengths_are_what_the_policy_allows() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let range = r#"["content-length-range", 10, 2000000]"#;
    for (len, code) in [
        (9, "EntityTooSmall"),
        (10, ""),
        (2_000_000, ""),
        (2_000_001, "EntityTooLarge"),
    ] {
        let key = len.to_string();
        let form = Form::new(&key, body(len)).condition(range).sign(APP);
        let done = post(&client, &form).await;
        let status = if code.is_empty() { 204 } else { 400 };
        assert_eq!((done.status.as_u16(), &*done.code()), (status, code));
        assert_eq!(upstream.file(&key).exists(), code.is_empty(), "{len}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn p63_p12_rules_hold_for_forms() {
    let upstream = Embedded::start().await;
    let tables = r#"
        [[rules]]
        buckets = ["bucket"]
        prefix = "plain/"
        encryption = "off"
        [[rules]]
        buckets = ["bucket"]
        prefix = "denied/"
        encryption = "deny"
        [[rules]]
        buckets = ["bucket"]
        prefix = "open/"
        encryption = "named-key"
        anonymous = "allow"
    "#;
    let options = Options {
        tables: tables.to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    for len in [0, 10, 2_000_000] {
        let form = Form::new("plain/object", body(len)).sign(APP);
        assert_eq!(post(&client, &form).await.status, 204);
        let stored = std::fs::read(upstream.file("plain/object")).unwrap();
        assert_eq!(stored, body(len));
    }
    let form = Form::new("denied/object", body(10)).sign(APP);
    let refused = post(&client, &form).await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.code()),
        (403, "AccessDenied")
    );

    let anonymous = |key: &str| Form::new(key, body(10)).extra("x-amz-meta-colour", "blue");
    let done = post(&client, &anonymous("open/object")).await;
    assert_eq!(done.status, 204, "{done:?}");
    let get = client.get("/bucket/open/object").await;
    assert_eq!(get.body, body(10));
    assert_eq!(get.header("x-amz-meta-colour"), Some("blue"));
    for key in ["object", "openobject", "denied/object"] {
        let refused = post(&client, &anonymous(key)).await;
        assert_eq!(
            (refused.status.as_u16(), &*refused.code()),
            (403, "AccessDenied"),
            "{key}"
        );
    }
    proxy.stop().await;
}

const TABLES: &str = r#"
[[clients]]
access_key_id = "READER"
secret_access_key = "reader-secret-of-the-tests"
read_only = true
[[clients]]
access_key_id = "TEAM"
secret_access_key = "team-secret-of-the-tests"
buckets = ["team-*"]
"#;

/// A form, and what it is refused with.
type Refused = (Form, u16, &'static str, &'static str);

fn signatures() -> Vec<Refused> {
    let form = || Form::new("object", body(10));
    let signed = || form().sign(APP);
    let wrong = "0".repeat(64);
    let mut cases = vec![
        (form(), 403, "AccessDenied", ""),
        (
            signed().with("x-amz-signature", &wrong),
            403,
            "SignatureDoesNotMatch",
            "",
        ),
        (
            signed().with("x-amz-signature", "x"),
            400,
            "AuthorizationQueryParametersError",
            "",
        ),
        (
            signed().with("policy", "e30="),
            403,
            "SignatureDoesNotMatch",
            "",
        ),
        (form().sign(NOBODY), 403, "InvalidAccessKeyId", ""),
        (form().sign(READER), 403, "AccessDenied", "Access Denied"),
        (form().sign(TEAM), 403, "AccessDenied", "Access Denied"),
        (
            form()
                .extra("AWSAccessKeyId", "APP")
                .extra("signature", "x"),
            400,
            "InvalidRequest",
            "AWS4-HMAC-SHA256",
        ),
        (
            signed().extra("x-amz-security-token", "t"),
            400,
            "InvalidToken",
            "",
        ),
        (
            signed().with("x-amz-algorithm", "AWS4-ECDSA-P256-SHA256"),
            501,
            "NotImplemented",
            "",
        ),
    ];
    for name in [
        "policy",
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
    ] {
        cases.push((signed().without(name), 400, "InvalidArgument", name));
    }
    cases
}

fn policies() -> Vec<Refused> {
    let form = || Form::new("object", body(10));
    vec![
        (
            form().expires_in(-Duration::SECOND).sign(APP),
            403,
            "AccessDenied",
            "Invalid according to Policy: Policy expired.",
        ),
        (
            form().sign(APP).extra("x-amz-meta-colour", "blue"),
            403,
            "AccessDenied",
            "Invalid according to Policy: Extra input fields: x-amz-meta-colour",
        ),
        (
            form().without_conditions().sign(APP),
            403,
            "AccessDenied",
            "Invalid according to Policy: Extra input fields: key, bucket",
        ),
        (
            form()
                .condition(r#"["starts-with", "$key", "u/"]"#)
                .sign(APP),
            403,
            "AccessDenied",
            "Invalid according to Policy: Policy Condition failed: [&quot;starts-with&quot;, \
             &quot;$key&quot;, &quot;u/&quot;]",
        ),
        (
            form().condition(r#"{"bucket": "other"}"#).sign(APP),
            403,
            "AccessDenied",
            "Policy Condition failed",
        ),
        (
            form().condition("[]").sign(APP),
            400,
            "InvalidPolicyDocument",
            "",
        ),
        (
            form().condition("}").sign(APP),
            400,
            "InvalidPolicyDocument",
            "",
        ),
    ]
}

fn fields() -> Vec<Refused> {
    let form = || Form::new("object", body(10));
    let long = "v".repeat(20 << 10);
    let key = "k".repeat(1025);
    vec![
        (
            form().sign(APP).without("key"),
            400,
            "InvalidArgument",
            "Bucket POST must contain a field named &apos;key&apos;",
        ),
        (
            form().sign(APP).extra("KEY", "x"),
            400,
            "InvalidArgument",
            "repeated",
        ),
        (
            Form::new(&key, body(10)).sign(APP),
            400,
            "KeyTooLongError",
            "",
        ),
        (
            form().extra("x-ignore-me", &long).sign(APP),
            400,
            "MaxPostPreDataLengthExceededError",
            "",
        ),
        (
            form().field("x-amz-new", "1").sign(APP),
            501,
            "NotImplemented",
            "",
        ),
        (
            form().field("x-amz-copy-source", "bucket/x").sign(APP),
            501,
            "NotImplemented",
            "",
        ),
        (
            form().field("x-amz-meta-s3seal-key", "x").sign(APP),
            400,
            "InvalidArgument",
            "reserved",
        ),
        (
            form().field("x-amz-meta-a", &"v".repeat(2048)).sign(APP),
            400,
            "MetadataTooLarge",
            "",
        ),
        (
            form()
                .field("x-amz-server-side-encryption", "rot13")
                .sign(APP),
            400,
            "InvalidArgument",
            "",
        ),
        (
            form()
                .field("x-amz-server-side-encryption", "aws:kms")
                .field("x-amz-server-side-encryption-aws-kms-key-id", "unknown")
                .sign(APP),
            400,
            "KMS.NotFoundException",
            "",
        ),
        (
            form().field("Content-Encoding", "aws-chunked").sign(APP),
            400,
            "InvalidRequest",
            "",
        ),
        (
            form().field("tagging", "a=b").sign(APP),
            400,
            "MalformedXML",
            "",
        ),
    ]
}

#[tokio::test]
async fn p63_forms_that_are_refused_reach_nobody() {
    let upstream = Untouched::start().await;
    let options = Options {
        tables: TABLES.to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    let cases = [signatures(), policies(), fields()].concat();
    for (index, (form, status, code, message)) in cases.iter().enumerate() {
        let answer = post(&client, form).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.code()),
            (*status, *code),
            "{index}: {answer:?}"
        );
        let shown = answer.element("Message");
        assert!(
            shown.contains(message) || answer.element("ArgumentName") == *message,
            "{shown}"
        );
    }
    proxy.stop().await;
    assert_eq!(upstream.calls(), 0, "the upstream was called");
}

#[tokio::test]
async fn p63_p24_heads_of_forms_are_checked_before_the_form_is_asked_for() {
    let upstream = Untouched::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let unsigned = || client.unsigned("POST", "/bucket");
    let form = || unsigned().header("content-type", CONTENT_TYPE);
    let len = "9";
    for (what, draft, len, status, code) in [
        (
            "signed",
            client
                .draft("POST", "/bucket")
                .header("content-type", CONTENT_TYPE),
            len,
            400,
            "InvalidRequest",
        ),
        (
            "acl",
            form().header("x-amz-acl", "private"),
            len,
            403,
            "AccessDenied",
        ),
        (
            "condition",
            form().header("if-none-match", "*"),
            len,
            501,
            "NotImplemented",
        ),
        (
            "boundary",
            unsigned().header("content-type", "multipart/form-data"),
            len,
            400,
            "MalformedPOSTRequest",
        ),
        ("length", form(), "6000000000", 400, "EntityTooLarge"),
    ] {
        let mut request = draft.header("expect", "100-continue").build();
        let headers = request.headers_mut();
        headers.insert("content-length", len.parse().unwrap());
        let answer = wire::exchange(proxy.address, &request, b"").await;
        assert_eq!(answer.status(), status, "{what}: {}", answer.head());
        let document = String::from_utf8_lossy(answer.body()).into_owned();
        let code = format!("<Code>{code}</Code>");
        assert!(document.contains(&code), "{what}: {document}");
    }
    let mut request = form().build();
    request.headers_mut().remove("content-length");
    request
        .headers_mut()
        .insert("transfer-encoding", "chunked".parse().unwrap());
    let answer = wire::exchange(proxy.address, &request, b"1\r\nx\r\n0\r\n\r\n").await;
    assert_eq!(answer.status(), 411, "{}", answer.head());
    let to_object = client.draft("POST", "/bucket/object");
    let to_object = to_object.header("content-type", CONTENT_TYPE);
    assert_eq!(to_object.send().await.status, 501);
    proxy.stop().await;
    assert_eq!(upstream.calls(), 0, "the upstream was called");
}
