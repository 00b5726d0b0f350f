//! Operations that change no body: verified, signed anew, and relayed.

use crate::support::chaos::{Chaos, Reply, Step};
use crate::support::{Options, Proxy};

#[tokio::test]
async fn a_delete_needs_no_length() {
    let chaos = Chaos::start().await;
    let proxy = Proxy::start(chaos.address, Options::default()).await;
    for target in [
        "/bucket",
        "/bucket?tagging",
        "/bucket/key?tagging",
        "/bucket/key",
    ] {
        chaos.script([Step::Answer(Reply::new(204, ""))]);
        let draft = proxy.client().draft("DELETE", target);
        assert_eq!(draft.send().await.status, 204, "{target}");
        chaos.script([Step::Answer(Reply::new(204, ""))]);
        let draft = proxy
            .client()
            .draft("DELETE", target)
            .header("content-length", "0");
        assert_eq!(draft.send().await.status, 204, "{target} with a length");
    }
    assert!(chaos.seen().iter().all(|seen| seen.body.is_empty()));
}

#[tokio::test]
async fn a_new_bucket_is_located_without_naming_the_upstream() {
    let chaos = Chaos::start().await;
    let proxy = Proxy::start(chaos.address, Options::default()).await;
    for (location, shown) in [
        ("/bucket", Some("/bucket")),
        ("http://bucket.upstream.test/", None),
    ] {
        let reply = Reply::new(200, "").header("Location", location);
        chaos.script([Step::Answer(reply)]);
        let created = proxy.client().draft("PUT", "/bucket").send().await;
        assert_eq!(created.header("location"), shown);
    }
    chaos.script([Step::Answer(Reply::error(409, "BucketAlreadyExists"))]);
    let refused = proxy.client().draft("PUT", "/bucket").send().await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("location")),
        (409, None)
    );
}
