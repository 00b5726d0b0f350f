//! Copies: within a bucket, between buckets, of versions, of parts; the answers and what comes out.

use bytes::Bytes;

use super::multipart::Upload;
use super::pair::{Pair, Way, plaintext};
use crate::support::chunked;
use crate::support::client::Draft;

const MIB: usize = 1 << 20;

const TAGS: &str = "a=1&b=2";

/// A copy within the bucket; `source` is a key.
fn copy(way: &Way, source: &str, to: &str) -> Draft {
    let source = format!("{}{source}", way.bucket);
    way.draft("PUT", to).header("x-amz-copy-source", &source)
}

/// An object with everything that a copy takes along.
async fn put_described(pair: &Pair, key: &str, tags: &str, body: Bytes) {
    let put = |way: &Way| {
        let draft = way
            .draft("PUT", key)
            .header("content-type", "text/x-source")
            .header("cache-control", "no-cache")
            .header("content-disposition", "attachment")
            .header("content-language", "de")
            .header("x-amz-meta-colour", "blue")
            .body(body.clone());
        match tags {
            "" => draft,
            tags => draft.header("x-amz-tagging", tags),
        }
    };
    pair.same_success("the source", put).await;
}

/// The same object both ways, and this one.
async fn holds(pair: &Pair, key: &str, body: &Bytes) {
    let get = pair
        .same_success(key, |way| way.draft("GET", key))
        .await
        .proxied;
    assert!(get.body == *body, "{key}: {} bytes", get.body.len());
    let head = pair.same_success(key, |way| way.draft("HEAD", key)).await;
    assert_eq!(head.proxied.header("etag"), get.header("etag"), "{key}");
}

pub async fn a_copy_is_the_same_object(pair: &Pair) {
    for len in [0, 1, 65_536, 200_000] {
        let (body, source) = (plaintext(len), format!("/source%20{len}"));
        put_described(pair, &source, TAGS, body.clone()).await;
        let to = format!("/copies/of%2B{len}");
        let done = pair
            .same_success("copy", |way| copy(way, &source, &to))
            .await;
        let etag = done.proxied.element("ETag");
        let head = pair.proxied.draft("HEAD", &to).send().await;
        assert_eq!(head.header("etag"), Some(&*etag.replace("&quot;", "\"")));
        holds(pair, &to, &body).await;
        holds(pair, &source, &body).await;
    }
}

pub async fn tags_are_copied(pair: &Pair) {
    put_described(pair, "/tagged", TAGS, plaintext(1000)).await;
    pair.same_success("copied", |way| copy(way, "/tagged", "/with-tags"))
        .await;
    let read = |way: &Way| way.draft("GET", "/with-tags?tagging");
    let tags = pair.same_success("tags", read).await;
    assert_eq!(tags.proxied.elements("Value"), ["1", "2"]);
}

/// Ceph ignores the directive; the proxy does not.
pub async fn tags_are_replaced_where_it_is_said(pair: &Pair) {
    put_described(pair, "/tagged", TAGS, plaintext(1000)).await;
    let way = &pair.proxied;
    let replaced = copy(way, "/tagged", "/other-tags")
        .header("x-amz-tagging-directive", "REPLACE")
        .header("x-amz-tagging", "c=3");
    assert_eq!(replaced.send().await.status, 200);
    let none = copy(way, "/tagged", "/no-tags").header("x-amz-tagging-directive", "REPLACE");
    assert_eq!(none.send().await.status, 200);
    for (key, expected) in [("/other-tags", vec!["3"]), ("/no-tags", vec![])] {
        let tags = way.draft("GET", &format!("{key}?tagging")).send().await;
        assert_eq!(tags.elements("Value"), expected, "{key}");
    }
}

pub async fn metadata_is_replaced_where_it_is_said(pair: &Pair) {
    let body = plaintext(100_000);
    put_described(pair, "/described", "", body.clone()).await;
    for to in ["/replaced", "/described"] {
        let replace = |way: &Way| {
            copy(way, "/described", to)
                .header("x-amz-metadata-directive", "REPLACE")
                .header("content-type", "text/x-new")
                .header("x-amz-meta-size", "large")
        };
        pair.same_success(to, replace).await;
        holds(pair, to, &body).await;
        let head = pair.proxied.draft("HEAD", to).send().await;
        assert_eq!(head.header("x-amz-meta-colour"), None);
        assert_eq!(head.header("x-amz-meta-size"), Some("large"));
        assert_eq!(head.header("content-type"), Some("text/x-new"));
    }
}

/// As S3 documents them; Ceph goes by other names.
pub async fn conditions_on_the_source_hold(pair: &Pair) {
    pair.put("/source", plaintext(5000)).await;
    let way = &pair.proxied;
    let head = way.draft("HEAD", "/source").send().await;
    let right = head.header("etag").unwrap();
    let wrong = "\"00000000000000000000000000000000\"";
    let (past, future) = (
        "Sat, 01 Jan 2000 00:00:00 GMT",
        "Fri, 01 Jan 2100 00:00:00 GMT",
    );
    for (conditions, status) in [
        (vec![("if-match", right)], 200),
        (vec![("if-match", wrong)], 412),
        (vec![("if-none-match", right)], 412),
        (vec![("if-none-match", wrong)], 200),
        (vec![("if-modified-since", past)], 200),
        (vec![("if-unmodified-since", past)], 412),
        (vec![("if-unmodified-since", future)], 200),
        (
            vec![("if-match", right), ("if-unmodified-since", past)],
            200,
        ),
        (
            vec![("if-none-match", right), ("if-modified-since", past)],
            412,
        ),
    ] {
        let mut draft = copy(way, "/source", "/conditional");
        for (name, value) in &conditions {
            draft = draft.header(&format!("x-amz-copy-source-{name}"), value);
        }
        let answer = draft.send().await;
        assert_eq!(answer.status, status, "{conditions:?}: {answer:?}");
        if status == 412 {
            assert_eq!(answer.code(), "PreconditionFailed", "{conditions:?}");
        }
    }
}

pub async fn copies_between_buckets_are_the_same_object(pair: &Pair) {
    let body = plaintext(150_000);
    put_described(pair, "/source", "", body.clone()).await;
    let other = |way: &Way| format!("{}-other", way.bucket);
    let make = |way: &Way| way.client.draft("PUT", &format!("/{}", other(way)));
    pair.same_success("the other bucket", make).await;
    let copy = |way: &Way| {
        let target = format!("/{}/copy", other(way));
        let source = format!("/{}/source", way.bucket);
        way.client
            .draft("PUT", &target)
            .header("x-amz-copy-source", &source)
    };
    pair.same_success("copy", copy).await;
    let read = |way: &Way| way.client.draft("GET", &format!("/{}/copy", other(way)));
    let read = pair.same_success("read", read).await;
    assert!(read.proxied.body == body);
}

pub async fn versions_are_copied(pair: &Pair) {
    let document = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                    <Status>Enabled</Status></VersioningConfiguration>";
    let md5 = chunked::md5(document.as_bytes());
    let enable = |way: &Way| {
        let draft = way.draft("PUT", "?versioning").body(document);
        draft.header("content-md5", &md5)
    };
    pair.same_success("enable versions", enable).await;
    let old = plaintext(70_000);
    let first = pair.put("/key", old.clone()).await;
    pair.put("/key", plaintext(10)).await;
    let restore = |way: &Way| {
        let stored = if way.bucket == pair.direct.bucket {
            &first.direct
        } else {
            &first.proxied
        };
        let version = stored.header("x-amz-version-id").unwrap();
        copy(way, &format!("/key?versionId={version}"), "/key")
    };
    let done = pair.same_success("restore", restore).await;
    assert!(
        done.proxied
            .header("x-amz-copy-source-version-id")
            .is_some()
    );
    holds(pair, "/key", &old).await;
}

pub async fn multipart_objects_are_copied(pair: &Pair) {
    for (key, lens) in [("/one", vec![70_000]), ("/two", vec![5 * MIB + 3, 65_537])] {
        let body = Upload::create(&pair.proxied, key).await.whole(&lens).await;
        let to = format!("{key}-copy");
        let way = &pair.proxied;
        let done = copy(way, key, &to).send().await;
        assert_eq!(done.status, 200, "{done:?}");
        let get = way.draft("GET", &to).send().await;
        assert!(get.body == body, "{to}: {get:?}");
        let head = way.draft("HEAD", &to).send().await;
        let len = body.len().to_string();
        assert_eq!(head.header("content-length"), Some(&*len));
        let listed = way.draft("GET", &format!("?prefix={}", &to[1..]));
        assert_eq!(listed.send().await.elements("Size"), [len]);
        let range = way.draft("GET", &to).header("range", "bytes=60000-69999");
        assert_eq!(range.send().await.body, body.slice(60_000..70_000));
    }
}

pub async fn parts_are_copied(pair: &Pair) {
    let whole = plaintext(5 * MIB + 300_000);
    pair.put("/source", whole.clone()).await;
    let mut answers = Vec::new();
    for way in [&pair.direct, &pair.proxied] {
        let upload = Upload::create(way, "/assembled").await;
        let mut parts = Vec::new();
        for (number, range) in [(1, None), (2, Some("bytes=65530-65545"))] {
            let mut draft = way
                .draft("PUT", &upload.part_target(number))
                .header("x-amz-copy-source", &format!("{}/source", way.bucket));
            if let Some(range) = range {
                draft = draft.header("x-amz-copy-source-range", range);
            }
            let done = draft.send().await;
            assert_eq!(done.status, 200, "{done:?}");
            parts.push((number, done.element("ETag").replace("&quot;", "")));
            answers.push(done);
        }
        let done = upload.complete(&parts).await;
        assert_eq!(done.status, 200, "{done:?}");
        let get = way.draft("GET", "/assembled").send().await;
        let expected = [&whole[..], &whole[65_530..65_546]].concat();
        assert!(get.body == expected, "{get:?}");
    }
    assert_eq!(answers[0].elements("LastModified").len(), 1);
    assert_eq!(answers[2].elements("LastModified").len(), 1);
}

pub async fn copies_that_cannot_be_are_refused_alike(pair: &Pair) {
    pair.put("/source", plaintext(100)).await;
    for (source, to, what) in [
        ("/missing", "/copy", "no source"),
        ("/source", "/source", "onto itself"),
    ] {
        let answers = pair.both(|way| copy(way, source, to)).await;
        let (direct, proxied) = (&answers.direct, &answers.proxied);
        assert_eq!(direct.status, proxied.status, "{what}: {answers:?}");
        assert_eq!(direct.code(), proxied.code(), "{what}");
    }
    let elsewhere = |way: &Way| {
        way.draft("PUT", "/copy")
            .header("x-amz-copy-source", "no-such-bucket-here/key")
    };
    let answers = pair.both(elsewhere).await;
    assert_eq!(answers.direct.status, answers.proxied.status, "{answers:?}");
    assert_eq!(answers.direct.code(), answers.proxied.code());
}
