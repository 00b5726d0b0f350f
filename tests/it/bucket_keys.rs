//! Bucket keys on the wire: who gets one, what is shown, how often the provider is asked, and what
//! comes of tampering.

use crate::multipart::{self, body};
use crate::support::client::{Answer, Client};
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy, UPSTREAM};

const SSE: &str = "x-amz-server-side-encryption";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
const ON: &str = "[keys.bucket_keys]\nenabled = true\n";
const MIB: usize = 1 << 20;

fn options(tables: &str) -> Options {
    Options {
        tables: tables.to_owned(),
        ..Options::default()
    }
}

fn has_one(answer: &Answer) -> bool {
    assert_eq!(answer.status.as_u16() / 100, 2, "{answer:?}");
    answer.header(BUCKET_KEY) == Some("true")
}

/// How often the provider was asked so.
async fn calls(proxy: &Proxy, call: &str) -> u64 {
    let metrics = proxy.metrics().await;
    let wanted =
        format!("s3seal_key_requests_total{{call=\"{call}\",outcome=\"ok\",provider=\"local\"}} ");
    let found = metrics.lines().find_map(|line| line.strip_prefix(&wanted));
    found.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn p91_a_bucket_key_saves_calls_and_replicas_open_what_it_wrapped() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, options(ON)).await;
    let client = proxy.client();
    let before = calls(&proxy, "generate").await;
    for number in 0..100 {
        let put = client
            .put(&format!("/bucket/{number}"), format!("contents {number}"))
            .await;
        assert!(has_one(&put));
    }
    assert_eq!(calls(&proxy, "generate").await - before, 1);

    let reader = Proxy::start_beside(&proxy, upstream.address, options("")).await;
    let before = calls(&reader, "unwrap").await;
    for number in 0..100 {
        let get = reader.client().get(&format!("/bucket/{number}")).await;
        assert!(has_one(&get));
        assert_eq!(get.body, format!("contents {number}"));
        let head = reader.client().draft("HEAD", &format!("/bucket/{number}"));
        assert!(has_one(&head.send().await));
    }
    assert_eq!(calls(&reader, "unwrap").await - before, 1);
    reader.stop().await;
    proxy.stop().await;
}

#[tokio::test]
async fn p92_configuration_rule_and_writer_choose() {
    for (enabled, rule, expected) in [
        ("", "", false), // remote providers only
        (ON, "", true),
        (ON, "bucket_keys = false", false),
        (
            "[keys.bucket_keys]\nenabled = false\n",
            "bucket_keys = true",
            true,
        ),
    ] {
        let upstream = Embedded::start().await;
        let options = Options {
            tables: enabled.to_owned(),
            rule: rule.to_owned(),
            ..Options::default()
        };
        let proxy = Proxy::start(upstream.address, options).await;
        let client = proxy.client();
        assert_eq!(
            has_one(&client.put("/bucket/a", "x").await),
            expected,
            "{rule}"
        );
        for asked in [true, false] {
            let put = client
                .draft("PUT", "/bucket/b")
                .header(SSE, "aws:kms")
                .header(BUCKET_KEY, &asked.to_string());
            assert_eq!(has_one(&put.send().await), asked, "{rule}");
            assert_eq!(has_one(&client.get("/bucket/b").await), asked, "{rule}");
        }
        let managed = client.draft("PUT", "/bucket/m").header(SSE, "AES256");
        assert!(!has_one(&managed.send().await), "shown for aws:kms only");
        assert_eq!(client.get("/bucket/m").await.status, 200);
        let said = client.get("/bucket?encryption").await;
        assert_eq!(said.element("BucketKeyEnabled"), expected.to_string());
        proxy.stop().await;
    }
}

#[tokio::test]
async fn p91_multipart_ranges_and_copies_work_as_without() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, options(ON)).await;
    let client = proxy.client();
    let whole = body(6 * MIB);
    let created = client.draft("POST", "/bucket/object?uploads").send().await;
    assert!(has_one(&created));
    let id = created.element("UploadId");
    let one = multipart::put(&client, "object", &id, 1, whole.slice(..5 * MIB)).await;
    let two = multipart::put(&client, "object", &id, 2, whole.slice(5 * MIB..)).await;
    let done = multipart::complete(&client, "object", &id, &[one, two]).await;
    assert!(has_one(&done));
    let range = client
        .draft("GET", "/bucket/object")
        .header("range", "bytes=-10");
    let range = range.send().await;
    assert!(has_one(&range) && range.body == whole.slice(6 * MIB - 10..));

    client.put("/bucket/source", whole.slice(..100_000)).await;
    let copy = client
        .draft("PUT", "/bucket/copy")
        .header("x-amz-copy-source", "bucket/source");
    assert!(has_one(&copy.send().await));
    let stored = |key: &str| std::fs::read(upstream.file(key)).unwrap();
    assert!(stored("source") == stored("copy"), "no byte was moved");
    // The copy has a wrap of its own, by another kind of key.
    let direct = client
        .draft("PUT", "/bucket/direct")
        .header("x-amz-copy-source", "bucket/source")
        .header(SSE, "aws:kms")
        .header(BUCKET_KEY, "false");
    assert!(!has_one(&direct.send().await));
    assert!(stored("source") == stored("direct"), "no byte was moved");
    client.draft("DELETE", "/bucket/source").send().await;
    for key in ["copy", "direct"] {
        let get = client.get(&format!("/bucket/{key}")).await;
        assert!(get.body == whole.slice(..100_000), "{key}");
    }
    proxy.stop().await;
}

/// The wrap in the envelope is bound to bucket, object and bucket key.
#[tokio::test]
async fn p14_envelopes_with_bucket_keys_do_not_open_other_objects() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, options(ON)).await;
    let client = proxy.client();
    client.put("/bucket/one", "contents of one").await;
    client.put("/bucket/two", "contents of two").await;
    // One's body and both its metadata values under two's name.
    let direct = Client::new(upstream.address, UPSTREAM);
    let copy = direct
        .draft("PUT", "/bucket/two")
        .header("x-amz-copy-source", "bucket/one");
    assert_eq!(copy.send().await.status, 200);
    let refused = client.get("/bucket/two").await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (500, "InternalError".to_owned())
    );
    assert_eq!(client.get("/bucket/one").await.body, "contents of one");
    proxy.stop().await;
}

#[tokio::test]
async fn p93_a_registry_has_every_bucket_key_before_its_first_object_and_clients_cannot_reach_it() {
    let upstream = Embedded::start().await;
    let ops = upstream.root().join("ops");
    let tables = format!("{ON}registry = \"s3://ops/keys\"\n");
    let proxy = Proxy::start(upstream.address, options(&tables)).await;
    let client = proxy.client();
    // What cannot be registered is not used: a file stands where its bucket would be.
    std::fs::write(&ops, "").unwrap();
    let refused = client.put("/bucket/object", "x").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(!upstream.file("object").exists());
    std::fs::remove_file(&ops).unwrap();
    std::fs::create_dir(&ops).unwrap();
    assert!(has_one(&client.put("/bucket/object", "x").await));
    let entries = || std::fs::read_dir(ops.join("keys")).unwrap().count();
    assert_eq!(entries(), 1);
    client.put("/bucket/object", "y").await;
    assert_eq!(entries(), 1);
    assert_eq!(client.get("/ops?list-type=2").await.status, 403);
    // losing it loses nothing
    std::fs::remove_dir_all(&ops).unwrap();
    let reader = Proxy::start_beside(&proxy, upstream.address, options(&tables)).await;
    assert_eq!(reader.client().get("/bucket/object").await.body, "y");
    reader.stop().await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_wrap_that_is_not_accepted_is_an_outage_while_the_registry_is_away() {
    let upstream = Embedded::start().await;
    let registry = tempfile::tempdir().unwrap();
    let folder = registry.path().join("keys");
    let tables = format!("{ON}registry = \"{}\"\n", folder.display());
    let writer = Proxy::start(upstream.address, options(&tables)).await;
    writer.client().put("/bucket/object", "x").await;
    // As after a move to another key: the registry alone knows whether this object has moved.
    let moved = Options {
        rule: "accept_keys = [\"managed\"]".to_owned(),
        ..options(&tables)
    };
    let reader = Proxy::start_beside(&writer, upstream.address, moved.clone()).await;
    assert_eq!(reader.client().get("/bucket/object").await.status, 500);
    // Something that cannot be read stands where the registry was.
    std::fs::rename(&folder, registry.path().join("aside")).unwrap();
    std::fs::write(&folder, "").unwrap();
    let late = Proxy::start_beside(&writer, upstream.address, moved).await;
    let read = late.client().get("/bucket/object").await;
    assert_eq!(
        (read.status.as_u16(), &*read.code()),
        (503, "ServiceUnavailable")
    );
    assert!(read.header("retry-after").is_some());
    for proxy in [late, reader, writer] {
        proxy.stop().await;
    }
}
