//! SSE-C: the caller's own key on every operation that carries bytes or sizes, and its refusals.

use bytes::Bytes;

use crate::multipart::{self, body, target};
use crate::support::chaos::Chaos;
use crate::support::client::{Answer, Client};
use crate::support::customer_key::{Key, PREFIX, SOURCE};
use crate::support::form::Form;
use crate::support::upstream::Embedded;
use crate::support::{APP, Options, Proxy};

const MIB: usize = 1 << 20;

async fn send(client: &Client, method: &str, target: &str, key: Key, body: Bytes) -> Answer {
    let draft = client.draft(method, target).body(body);
    key.on(draft, PREFIX).send().await
}

async fn read(client: &Client, method: &str, target: &str, key: Key) -> Answer {
    send(client, method, target, key, Bytes::new()).await
}

/// The response says which key it was, and no other mode.
fn assert_shown(answer: &Answer, key: Key) {
    assert_eq!(answer.status.as_u16() / 100, 2, "{answer:?}");
    let shown = |name: &str| answer.header(&format!("{PREFIX}{name}"));
    assert_eq!(shown("algorithm"), Some("AES256"), "{answer:?}");
    assert_eq!(shown("key-md5"), Some(&*key.md5()), "{answer:?}");
    assert_eq!(shown("key"), None);
    assert_eq!(answer.header("x-amz-server-side-encryption"), None);
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    let is = (answer.status.as_u16(), answer.code());
    assert_eq!(is, (status, code.to_owned()), "{answer:?}");
}

struct Running {
    upstream: Embedded,
    proxy: Proxy,
    client: Client,
}

async fn start(rule: &str) -> Running {
    let upstream = Embedded::start().await;
    let options = Options {
        tls: true,
        rule: rule.to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.tls_client();
    Running {
        upstream,
        proxy,
        client,
    }
}

#[tokio::test]
async fn p86_an_object_opens_with_its_own_key_only() {
    let running = start("").await;
    let client = &running.client;
    let whole = body(300_000);
    let (right, wrong) = (Key(b'r'), Key(b'w'));
    let put = send(client, "PUT", "/bucket/object", right, whole.clone()).await;
    assert_shown(&put, right);
    let stored = std::fs::read(running.upstream.file("object")).unwrap();
    assert!(!stored.windows(32).any(|window| window == &whole[..32]));

    // The right one comes first: nothing of it is remembered.
    for _ in 0..2 {
        let get = read(client, "GET", "/bucket/object", right).await;
        assert_shown(&get, right);
        assert_eq!(get.body, whole);
        let head = read(client, "HEAD", "/bucket/object", right).await;
        assert_shown(&head, right);
        assert_eq!(head.header("content-length"), Some("300000"));
        let range = client.draft("GET", "/bucket/object");
        let range = right.on(range, PREFIX).header("range", "bytes=70000-70009");
        let range = range.send().await;
        assert_shown(&range, right);
        assert_eq!(range.body, whole.slice(70_000..70_010));

        let refused = read(client, "GET", "/bucket/object", wrong).await;
        assert_refused(&refused, 403, "AccessDenied");
        let refused = client.draft("GET", "/bucket/object");
        let refused = wrong.on(refused, PREFIX).header("range", "bytes=0-1");
        assert_refused(&refused.send().await, 403, "AccessDenied");
        assert_eq!(
            read(client, "HEAD", "/bucket/object", wrong).await.status,
            403
        );
        let refused = client.get("/bucket/object").await;
        assert_refused(&refused, 400, "InvalidRequest");
        let head = client.draft("HEAD", "/bucket/object").send().await;
        assert_eq!(head.status, 400);
    }
    let metrics = running.proxy.metrics().await;
    assert!(metrics.contains("s3seal_integrity_failures_total{kind=\"unwrap\"} 0\n"));
    running.proxy.stop().await;
}

#[tokio::test]
async fn p86_a_key_for_an_object_that_has_none_is_refused() {
    let running = start("").await;
    let client = &running.client;
    client.put("/bucket/object", "contents").await;
    let refused = read(client, "GET", "/bucket/object", Key(1)).await;
    assert_refused(&refused, 400, "InvalidRequest");
    assert_eq!(
        read(client, "HEAD", "/bucket/object", Key(1)).await.status,
        400
    );
    running.proxy.stop().await;
}

#[tokio::test]
async fn p87_a_key_over_plain_http_is_refused_and_nothing_is_stored() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = Client::new(proxy.address, APP);
    for method in ["PUT", "GET"] {
        let refused = read(&client, method, "/bucket/object", Key(1)).await;
        assert_refused(&refused, 400, "InvalidRequest");
        let message = refused.element("Message");
        assert!(
            message.ends_with("must be made over a secure connection."),
            "{message}"
        );
    }
    assert_eq!(
        read(&client, "HEAD", "/bucket/object", Key(1)).await.status,
        400
    );
    assert!(!upstream.file("object").exists());
    proxy.stop().await;
}

#[tokio::test]
async fn p88_parts_need_the_key_of_their_upload() {
    let running = start("").await;
    let client = &running.client;
    let (right, wrong) = (Key(b'r'), Key(b'w'));
    let whole = body(11 * MIB);
    let created = read(client, "POST", "/bucket/object?uploads", right).await;
    assert_shown(&created, right);
    let id = created.element("UploadId");
    let part = |n: usize| whole.slice((n - 1) * 5 * MIB..(n * 5 * MIB).min(whole.len()));
    let mut etags = Vec::new();
    for number in 1..=3 {
        let at = target("object", &id, Some(number));
        let refused = client.put(&at, part(number)).await;
        assert_refused(&refused, 400, "InvalidRequest");
        let refused = send(client, "PUT", &at, wrong, part(number)).await;
        assert_refused(&refused, 400, "InvalidRequest");
        let put = send(client, "PUT", &at, right, part(number)).await;
        assert_shown(&put, right);
        etags.push(put.header("etag").unwrap().to_owned());
    }
    // needs no key: the last part is a small one, and ends the object
    let listed = client.get(&target("object", &id, None)).await;
    let mut sizes = listed.elements("Size");
    sizes.sort(); // s3s-fs lists parts in no order
    assert_eq!(sizes, ["1048576", "5242880", "5242880"]);
    let done = multipart::complete(client, "object", &id, &etags).await;
    assert_eq!(done.status, 200, "{done:?}");

    let get = read(client, "GET", "/bucket/object", right).await;
    assert_shown(&get, right);
    assert!(get.body == whole);
    for key in [wrong, right, wrong] {
        let range = client.draft("GET", "/bucket/object");
        let range = key.on(range, PREFIX).header("range", "bytes=-5");
        let range = range.send().await;
        if key.0 == right.0 {
            assert_eq!(range.body, whole.slice(whole.len() - 5..));
        } else {
            assert_refused(&range, 403, "AccessDenied");
        }
        let head = read(client, "HEAD", "/bucket/object", key).await;
        assert_eq!(head.status == 200, key.0 == right.0);
    }
    assert_refused(&client.get("/bucket/object").await, 400, "InvalidRequest");
    running.proxy.stop().await;
}

#[tokio::test]
async fn p88_d41_an_upload_that_has_to_be_sealed_is_completed_with_its_key() {
    let running = start("").await;
    let client = &running.client;
    let (right, wrong) = (Key(b'r'), Key(b'w'));
    let created = read(client, "POST", "/bucket/object?uploads", right).await;
    let id = created.element("UploadId");
    let at = target("object", &id, Some(1));
    let put = send(client, "PUT", &at, right, body(5 * MIB)).await;
    let etag = put.header("etag").unwrap().to_owned();
    let refused = multipart::complete(client, "object", &id, std::slice::from_ref(&etag)).await;
    assert_refused(&refused, 400, "InvalidRequest");
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let at = target("object", &id, None);
    let refused = send(client, "POST", &at, wrong, document.clone().into()).await;
    assert_refused(&refused, 400, "InvalidRequest");
    let done = send(client, "POST", &at, right, document.into()).await;
    assert_shown(&done, right);
    let get = read(client, "GET", "/bucket/object", right).await;
    assert!(get.body == body(5 * MIB));
    // An id says nothing about other objects.
    let elsewhere = target("elsewhere", &id, Some(1));
    let refused = send(client, "PUT", &elsewhere, right, body(5)).await;
    assert_refused(&refused, 400, "InvalidRequest");
    running.proxy.stop().await;
}

#[tokio::test]
async fn p89_copies_read_with_one_key_and_write_with_another() {
    let running = start("").await;
    let client = &running.client;
    let (old, new) = (Key(b'o'), Key(b'n'));
    let whole = body(200_000);
    send(client, "PUT", "/bucket/source", old, whole.clone()).await;
    let copy = |to: &str| {
        client
            .draft("PUT", to)
            .header("x-amz-copy-source", "bucket/source")
    };

    assert_refused(&copy("/bucket/copy").send().await, 400, "InvalidRequest");
    let refused = new.on(copy("/bucket/copy"), SOURCE).send().await;
    assert_refused(&refused, 403, "AccessDenied");
    let refused = new.on(copy("/bucket/copy"), PREFIX).send().await;
    assert_refused(&refused, 400, "InvalidRequest");
    assert!(!running.upstream.file("copy").exists());

    // to the rule's own key
    let done = old.on(copy("/bucket/copy"), SOURCE).send().await;
    assert_eq!(done.header("x-amz-server-side-encryption"), Some("aws:kms"));
    assert_eq!(client.get("/bucket/copy").await.body, whole);
    // to another of the customer's
    let both = old.on(new.on(copy("/bucket/other"), PREFIX), SOURCE);
    assert_shown(&both.send().await, new);
    let get = read(client, "GET", "/bucket/other", new).await;
    assert!(get.body == whole);
    assert_refused(
        &read(client, "GET", "/bucket/other", old).await,
        403,
        "AccessDenied",
    );
    // onto itself: another key is a change
    let both = old.on(new.on(copy("/bucket/source"), PREFIX), SOURCE);
    assert_shown(&both.send().await, new);
    assert!(read(client, "GET", "/bucket/source", new).await.body == whole);

    // a part of an upload under a third
    let third = Key(b't');
    let created = read(client, "POST", "/bucket/parts?uploads", third).await;
    let id = created.element("UploadId");
    let part = client
        .draft("PUT", &target("parts", &id, Some(1)))
        .header("x-amz-copy-source", "bucket/source");
    let part = new.on(third.on(part, PREFIX), SOURCE).send().await;
    assert_shown(&part, third);
    let etag = part.element("ETag").replace("&quot;", "\"");
    let done = multipart::complete(client, "parts", &id, &[etag]).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert!(read(client, "GET", "/bucket/parts", third).await.body == whole);
    running.proxy.stop().await;
}

#[tokio::test]
async fn attributes_and_forms_take_the_key() {
    let running = start("").await;
    let client = &running.client;
    let key = Key(b'k');
    send(client, "PUT", "/bucket/object", key, body(1000)).await;
    let asked = client
        .draft("GET", "/bucket/object?attributes")
        .header("x-amz-object-attributes", "ObjectSize");
    let answer = key.on(asked, PREFIX).send().await;
    assert_eq!(answer.element("ObjectSize"), "1000", "{answer:?}");
    let asked = client
        .draft("GET", "/bucket/object?attributes")
        .header("x-amz-object-attributes", "ObjectSize");
    assert_refused(&asked.send().await, 400, "InvalidRequest");

    let form = Form::new("form", "contents")
        .field(&format!("{PREFIX}algorithm"), "AES256")
        .field(&format!("{PREFIX}key"), &key.base64())
        .field(&format!("{PREFIX}key-md5"), &key.md5())
        .sign(APP);
    let posted = form.draft(client, "/bucket").send().await;
    assert_shown(&posted, key);
    let get = read(client, "GET", "/bucket/form", key).await;
    assert_eq!(get.body, "contents");
    running.proxy.stop().await;
}

#[tokio::test]
async fn p90_rules_require_or_forbid_customer_keys() {
    let running = start("allow = [\"named-key\"]").await;
    let refused = send(&running.client, "PUT", "/bucket/object", Key(1), body(5)).await;
    assert_refused(&refused, 403, "AccessDenied");
    assert_eq!(running.client.put("/bucket/object", "x").await.status, 200);
    running.proxy.stop().await;

    let upstream = Embedded::start().await;
    let options = Options {
        tls: true,
        encryption: "customer-key",
        rule: "allow = [\"customer-key\"]".to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.tls_client();
    let refused = client.put("/bucket/object", "x").await;
    assert_refused(&refused, 403, "AccessDenied");
    let named = client
        .draft("PUT", "/bucket/object")
        .header("x-amz-server-side-encryption", "aws:kms");
    assert_refused(&named.send().await, 403, "AccessDenied");
    let put = send(&client, "PUT", "/bucket/object", Key(1), body(5)).await;
    assert_shown(&put, Key(1));
    let asked = client.get("/bucket?encryption").await;
    assert_refused(
        &asked,
        404,
        "ServerSideEncryptionConfigurationNotFoundError",
    );
    proxy.stop().await;
}

/// Nothing of the key goes up, in no header and no form.
#[tokio::test]
async fn p2_customer_keys_never_go_upstream() {
    let upstream = Chaos::start().await;
    let options = Options {
        tls: true,
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.tls_client();
    let key = Key(0xA7);
    send(&client, "PUT", "/bucket/object", key, body(1000)).await;
    read(&client, "GET", "/bucket/object", key).await;
    read(&client, "HEAD", "/bucket/object", key).await;
    let copy = client
        .draft("PUT", "/bucket/copy")
        .header("x-amz-copy-source", "bucket/object");
    key.on(key.on(copy, PREFIX), SOURCE).send().await;
    let seen = upstream.seen();
    assert!(seen.len() >= 4, "{}", seen.len());
    for request in seen {
        let head = format!("{:?}", request.head);
        for secret in [key.base64(), key.md5(), "customer".to_owned()] {
            assert!(!head.contains(&secret), "{head}");
        }
        assert!(!request.body.windows(32).any(|window| window == [0xA7; 32]));
    }
    proxy.stop().await;
}
