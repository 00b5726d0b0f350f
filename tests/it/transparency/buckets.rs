//! Bucket operations: relayed, signed anew.

use super::pair::{Pair, Way};
use crate::support::chunked;

pub async fn bucket_calls_pass(pair: &Pair) {
    pair.same_success("head", |way| way.draft("HEAD", "")).await;
    pair.same_success("location", |way| way.draft("GET", "?location"))
        .await;
    for sub_resource in [
        "versioning",
        "cors",
        "policy",
        "lifecycle",
        "tagging",
        "acl",
        "notification",
        "logging",
        "website",
        "replication",
        "object-lock",
        "policyStatus",
        "ownershipControls",
        "publicAccessBlock",
    ] {
        let query = format!("?{sub_resource}");
        pair.same(&query, |way| way.draft("GET", &query)).await;
    }
    let tags = "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet><Tag><Key>team</Key>\
                <Value>x</Value></Tag></TagSet></Tagging>";
    let md5 = chunked::md5(tags.as_bytes());
    let put = |way: &Way| {
        way.draft("PUT", "?tagging")
            .header("content-md5", &md5)
            .body(tags)
    };
    pair.same("put tags", put).await;
    pair.same("get tags", |way| way.draft("GET", "?tagging"))
        .await;
    pair.same("delete tags", |way| way.draft("DELETE", "?tagging"))
        .await;
    let other = |way: &Way| format!("/{}-2", way.bucket);
    pair.same_success("create", |way| way.client.draft("PUT", &other(way)))
        .await;
    pair.same_success("list", |way| way.client.draft("GET", &other(way)))
        .await;
    pair.same_success("delete", |way| way.client.draft("DELETE", &other(way)))
        .await;
    pair.same("delete again", |way| {
        way.client.draft("DELETE", &other(way))
    })
    .await;
}

pub async fn errors_of_buckets_pass(pair: &Pair) {
    for method in ["GET", "HEAD", "DELETE"] {
        let draft = |way: &Way| way.client.draft(method, &format!("/{}-none", way.bucket));
        let missing = pair.same(method, draft).await;
        assert_eq!(missing.proxied.status, 404, "{method}");
    }
    pair.put("/key", "x").await;
    pair.same("a bucket that is not empty", |way| way.draft("DELETE", ""))
        .await;
}
