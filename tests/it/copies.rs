//! What copies do upstream, and what they refuse.

use std::collections::HashSet;

use bytes::Bytes;

use crate::support::client::{Client, Draft, Identity};
use crate::support::upstream::Embedded;
use crate::support::wire;
use crate::support::{Options, Proxy};

const HALF: Identity = Identity {
    id: "HALF",
    secret: "half-secret-of-the-tests",
};

fn body(len: usize) -> Bytes {
    let byte = |index: usize| (index.wrapping_mul(37) ^ (index >> 8)) as u8;
    (0..len).map(byte).collect::<Vec<_>>().into()
}

fn copy(client: &Client, source: &str, to: &str) -> Draft {
    client.draft("PUT", to).header("x-amz-copy-source", source)
}

#[tokio::test]
async fn p59_a_copy_within_a_bucket_stores_the_same_bytes() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    client.put("/bucket/source", body(100_000)).await;
    let done = copy(&client, "bucket/source", "/bucket/copy").send().await;
    assert_eq!(done.status, 200, "{done:?}");
    let stored = |key: &str| std::fs::read(upstream.file(key)).unwrap();
    assert_eq!(stored("source"), stored("copy"), "no byte was moved");
    assert_eq!(client.get("/bucket/copy").await.body, body(100_000));
    client.draft("DELETE", "/bucket/source").send().await;
    assert_eq!(client.get("/bucket/copy").await.body, body(100_000));
    proxy.stop().await;
}

#[tokio::test]
async fn p59_a_copy_under_another_key_or_checksum_is_sealed_anew() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    client.put("/bucket/source", body(100_000)).await;
    let mut stored = HashSet::from([std::fs::read(upstream.file("source")).unwrap()]);
    for (key, name, value) in [
        ("managed", "x-amz-server-side-encryption", "AES256"),
        ("summed", "x-amz-checksum-algorithm", "CRC32C"),
        ("hashed", "x-amz-checksum-algorithm", "SHA256"),
    ] {
        let to = format!("/bucket/{key}");
        let draft = copy(&client, "bucket/source", &to).header(name, value);
        let done = draft.send().await;
        assert_eq!(done.status, 200, "{key}: {done:?}");
        let file = std::fs::read(upstream.file(key)).unwrap();
        assert!(stored.insert(file), "{key}");
        let get = client
            .draft("GET", &to)
            .header("x-amz-checksum-mode", "ENABLED");
        let get = get.send().await;
        assert_eq!(get.body, body(100_000), "{key}");
        if value != "AES256" {
            let name = format!("x-amz-checksum-{}", value.to_lowercase());
            let shown = done.element(&format!("Checksum{value}"));
            assert_eq!(get.header(&name), Some(&*shown));
        }
    }
    proxy.stop().await;
}

#[tokio::test]
async fn p59_copies_between_buckets_share_a_data_key_only_where_the_rule_says_so() {
    let upstream = Embedded::start().await;
    for (copy_policy, is_shared) in [("same-bucket", false), ("server-side", true)] {
        let options = Options {
            rule: format!("copy = \"{copy_policy}\""),
            ..Options::default()
        };
        let proxy = Proxy::start(upstream.address, options).await;
        let client = proxy.client();
        client.draft("PUT", "/other").send().await;
        client.put("/bucket/source", body(1000)).await;
        let done = copy(&client, "bucket/source", "/other/copy").send().await;
        assert_eq!(done.status, 200, "{done:?}");
        assert_eq!(client.get("/other/copy").await.body, body(1000));
        let there = std::fs::read(upstream.root().join("other/copy")).unwrap();
        let here = std::fs::read(upstream.file("source")).unwrap();
        assert_eq!(there == here, is_shared, "{copy_policy}");
        proxy.stop().await;
    }
}

#[tokio::test]
async fn p60_a_copy_onto_itself_must_change_something() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let put = client
        .draft("PUT", "/bucket/object")
        .header("x-amz-meta-colour", "blue");
    put.body(body(10)).send().await;
    let onto_itself = || copy(&client, "/bucket/object", "/bucket/object");
    let refused = onto_itself().send().await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.code()),
        (400, "InvalidRequest")
    );
    assert!(refused.element("Message").contains("without changing"));
    let changed = onto_itself().header("x-amz-server-side-encryption", "AES256");
    assert_eq!(changed.send().await.status, 200);
    let get = client.get("/bucket/object").await;
    assert_eq!(get.body, body(10));
    assert_eq!(get.header("x-amz-meta-colour"), Some("blue"));
    assert_eq!(get.header("x-amz-server-side-encryption"), Some("AES256"));
    proxy.stop().await;
}

#[tokio::test]
async fn p60_nobody_copies_what_it_may_not_read() {
    let upstream = Embedded::start().await;
    let tables = r#"
        [[clients]]
        access_key_id = "HALF"
        secret_access_key = "half-secret-of-the-tests"
        buckets = ["half"]
    "#;
    let options = Options {
        tables: tables.to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let app = proxy.client();
    app.draft("PUT", "/half").send().await;
    app.put("/bucket/source", body(10)).await;
    let half = Client::new(proxy.address, HALF);
    let refused = copy(&half, "bucket/source", "/half/copy").send().await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.code()),
        (403, "AccessDenied")
    );
    let refused = copy(&half, "half/x", "/bucket/copy").send().await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.code()),
        (403, "AccessDenied")
    );
    assert_eq!(half.get("/half/copy").await.status, 404);
    proxy.stop().await;
}

#[tokio::test]
async fn p60_a_source_that_was_tampered_with_is_not_copied() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    client.put("/bucket/source", body(300_000)).await;
    let mut stored = std::fs::read(upstream.file("source")).unwrap();
    stored[200_000] ^= 1;
    std::fs::write(upstream.file("source"), stored).unwrap();
    let anew =
        copy(&client, "bucket/source", "/bucket/copy").header("x-amz-checksum-algorithm", "CRC32");
    let refused = anew.send().await;
    assert!(refused.status.is_server_error(), "{refused:?}");
    assert_eq!(client.get("/bucket/copy").await.status, 404);
    assert!(!upstream.file("copy").exists());
    proxy.stop().await;
}

#[tokio::test]
async fn copies_from_and_to_plain_buckets_change_what_is_stored() {
    let upstream = Embedded::start().await;
    let tables = r#"
        [[rules]]
        buckets = ["plain"]
        encryption = "off"
    "#;
    let options = Options {
        tables: tables.to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    client.draft("PUT", "/plain").send().await;
    let text = body(70_000);
    client.put("/bucket/sealed", text.clone()).await;
    client.put("/plain/open", text.clone()).await;
    for (source, to) in [
        ("bucket/sealed", "/plain/opened"),
        ("plain/open", "/bucket/closed"),
        ("plain/open", "/plain/open2"),
    ] {
        let done = copy(&client, source, to).send().await;
        assert_eq!(done.status, 200, "{source} {to}: {done:?}");
        assert_eq!(client.get(to).await.body, text, "{to}");
    }
    let stored = |bucket: &str, key: &str| {
        let path = upstream.root().join(bucket).join(key);
        std::fs::read(path).unwrap()
    };
    assert_eq!(stored("plain", "opened"), text);
    assert_ne!(stored("bucket", "closed").len(), text.len());
    proxy.stop().await;
}

#[tokio::test]
async fn a_copy_need_not_say_that_it_has_no_body() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    client.put("/bucket/source", body(10)).await;
    let mut request = copy(&client, "bucket/source", "/bucket/copy")
        .header("x-amz-api-version", "2006-03-01")
        .build();
    request.headers_mut().remove("content-length");
    let answer = wire::exchange(proxy.address, &request, b"").await;
    assert_eq!(answer.status(), 200, "{}", answer.head());
    assert_eq!(client.get("/bucket/copy").await.body, body(10));
    proxy.stop().await;
}

#[tokio::test]
async fn a_presigned_copy_is_a_copy() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    client.put("/bucket/source", body(10)).await;
    let target = "/bucket/copy?x-amz-copy-source=bucket%2Fsource";
    let presigned = client.draft("PUT", target);
    let presigned = presigned.presign(std::time::Duration::from_secs(60));
    let done = client.send(presigned.build()).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(client.get("/bucket/copy").await.body, body(10));
    proxy.stop().await;
}
