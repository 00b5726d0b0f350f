//! Versioned buckets.

use super::listings::{check, entries};
use super::pair::{Pair, Way, plaintext};
use crate::support::chunked;

async fn fill(pair: &Pair) -> [Vec<String>; 2] {
    let document = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                    <Status>Enabled</Status></VersioningConfiguration>";
    let md5 = chunked::md5(document.as_bytes());
    let enable = |way: &Way| {
        way.draft("PUT", "?versioning")
            .header("content-md5", &md5)
            .body(document)
    };
    pair.same_success("enable versions", enable).await;
    pair.same_success("read it back", |way| way.draft("GET", "?versioning"))
        .await;
    let mut ids = [Vec::new(), Vec::new()];
    for len in [10, 70_000] {
        let stored = pair.put("/key", plaintext(len)).await;
        for (ids, answer) in ids.iter_mut().zip([&stored.direct, &stored.proxied]) {
            ids.push(answer.header("x-amz-version-id").unwrap().to_owned());
        }
    }
    ids
}

pub async fn versions_and_delete_markers_pass(pair: &Pair) {
    let [direct, proxied] = fill(pair).await;
    let version = |way: &Way, index: usize| {
        let ids = if way.bucket == pair.direct.bucket {
            &direct
        } else {
            &proxied
        };
        format!("/key?versionId={}", ids[index])
    };
    let marker = pair
        .same_success("delete", |way| way.draft("DELETE", "/key"))
        .await;
    assert_eq!(marker.proxied.header("x-amz-delete-marker"), Some("true"));
    assert_eq!(
        pair.same("deleted", |way| way.draft("GET", "/key"))
            .await
            .proxied
            .status,
        404
    );
    for (index, len) in [10, 70_000].into_iter().enumerate() {
        for method in ["GET", "HEAD"] {
            let read = |way: &Way| way.draft(method, &version(way, index));
            let read = pair.same_success("a version", read).await;
            assert_eq!(
                read.proxied.header("content-length"),
                Some(len.to_string().as_str())
            );
        }
        let read = |way: &Way| {
            way.draft("GET", &version(way, index))
                .header("range", "bytes=-5")
        };
        let read = pair.same_success("a range of a version", read).await;
        assert_eq!(read.proxied.body, plaintext(len)[len - 5..]);
    }
    pair.same_success("delete a version", |way| {
        way.draft("DELETE", &version(way, 0))
    })
    .await;
    let gone = pair
        .same("a version that is gone", |way| {
            way.draft("GET", &version(way, 0))
        })
        .await;
    assert_eq!(gone.proxied.status, 404);
}

pub async fn version_listings_say_the_same(pair: &Pair) {
    fill(pair).await;
    for len in [0, 65_536, 65_537] {
        pair.put(&format!("/size-{len}"), plaintext(len)).await;
    }
    pair.same_success("delete", |way| way.draft("DELETE", "/size-0"))
        .await;
    for query in [
        "?versions",
        "?versions&encoding-type=url",
        "?versions&prefix=size-&max-keys=2",
    ] {
        pair.same_success(query, |way| way.draft("GET", query))
            .await;
    }
    let listed = pair
        .proxied
        .draft("GET", "?versions&prefix=size-6")
        .send()
        .await;
    let entries = entries(&listed.body, "Version");
    assert_eq!(entries.len(), 2);
    for entry in entries {
        check(&pair.proxied, &entry).await;
    }
}
