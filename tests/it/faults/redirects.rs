//! Buckets that live elsewhere: followed inside, never shown.

use super::{Bench, LEN, OBJECT, assert_refused, plaintext};
use crate::support::chaos::{Chaos, Reply, Step};
use crate::support::{Options, UPSTREAM};

fn to_region(status: u16) -> Step {
    let reply = Reply::error(status, "PermanentRedirect");
    Step::Answer(reply.header("x-amz-bucket-region", "eu-central-1"))
}

fn to_place(status: u16, place: &Chaos) -> Step {
    let location = format!("http://{}{OBJECT}", place.address);
    Step::Answer(Reply::error(status, "TemporaryRedirect").header("Location", &location))
}

fn region_of(authorization: &str) -> &str {
    authorization.split('/').nth(2).unwrap()
}

#[tokio::test]
async fn a_redirect_to_another_region_is_signed_again_and_remembered() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    bench.chaos.script([to_region(301)]);
    for _ in 0..2 {
        let answer = bench.client.get(OBJECT).await;
        assert_eq!(answer.body, plaintext(1_000));
        assert_eq!(answer.header("x-amz-bucket-region"), None);
    }
    let seen = bench.chaos.seen();
    let regions: Vec<_> = seen
        .iter()
        .map(|seen| region_of(seen.header("authorization").unwrap()))
        .collect();
    assert_eq!(regions, ["us-east-1", "eu-central-1", "eu-central-1"]);
}

#[tokio::test]
async fn a_redirect_to_another_host_is_followed_and_not_shown() {
    let bench = Bench::start(Options::default()).await;
    let elsewhere = Chaos::start().await;
    bench.chaos.script([to_place(307, &elsewhere)]);
    let put = bench.client.put(OBJECT, plaintext(1_000)).await;
    assert_eq!((put.status.as_u16(), put.header("location")), (200, None));
    let seen = elsewhere.only();
    assert_eq!(
        seen.header("host"),
        Some(elsewhere.address.to_string().as_str())
    );
    assert!(seen.header("authorization").unwrap().contains(UPSTREAM.id));
    assert_eq!(bench.client.get(OBJECT).await.body, plaintext(1_000));
    assert_eq!(bench.chaos.seen().len(), 1, "the place is remembered");
}

#[tokio::test]
async fn a_redirected_stream_is_a_503_and_the_next_attempt_goes_there() {
    let bench = Bench::start(Options::default()).await;
    let elsewhere = Chaos::start().await;
    bench.chaos.script([to_place(307, &elsewhere)]);
    assert_refused(
        &bench.client.put(OBJECT, plaintext(LEN)).await,
        503,
        "ServiceUnavailable",
    );
    assert_eq!(bench.client.put(OBJECT, plaintext(LEN)).await.status, 200);
    assert_eq!(elsewhere.seen().len(), 1);
    assert!(bench.chaos.stored(OBJECT).is_none());
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let bench = Bench::start(Options::default()).await;
    bench.chaos.script((0..50).map(|_| to_region(301)));
    let answer = bench.client.get(OBJECT).await;
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(
        bench.chaos.seen().len() <= 3,
        "{}",
        bench.chaos.seen().len()
    );
    // Nothing of it is remembered.
    let bench = Bench::with_object(Options::default(), 1_000).await;
    bench.chaos.script((0..2).map(|_| to_region(301)));
    assert_eq!(bench.client.get(OBJECT).await.status, 500);
    bench.chaos.forget();
    assert_eq!(bench.client.get(OBJECT).await.body, plaintext(1_000));
    let seen = bench.chaos.only();
    assert_eq!(
        region_of(seen.header("authorization").unwrap()),
        "us-east-1"
    );
}

#[tokio::test]
async fn a_place_where_nobody_listens_is_forgotten() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let location = format!("http://{}{OBJECT}", nobody.local_addr().unwrap());
    drop(nobody);
    let reply = Reply::error(307, "TemporaryRedirect").header("Location", &location);
    bench.chaos.script([Step::Answer(reply)]);
    for _ in 0..2 {
        let answer = bench.client.get(OBJECT).await;
        assert!(answer.status == 503 || answer.body == plaintext(1_000));
    }
    let answer = bench.client.get(OBJECT).await;
    assert_eq!(answer.body, plaintext(1_000), "{answer:?}");
}

#[tokio::test]
async fn redirects_that_cannot_be_followed_name_no_host() {
    let bench = Bench::start(Options::default()).await;
    for location in [
        "ftp://elsewhere.test/bucket/object",
        "/relative",
        "https://elsewhere.test/",
        "http://127.0.0.2:1/bucket/object",
        "http://169.254.169.254/latest/meta-data",
    ] {
        let reply = Reply::error(301, "PermanentRedirect").header("Location", location);
        bench.chaos.script([Step::Answer(reply)]);
        let answer = bench.client.get(OBJECT).await;
        assert!(!answer.status.is_success());
        assert_eq!(answer.header("location"), None, "{location}");
    }
}
