//! Repeated where nobody can notice, and never more often than that.

use super::{Bench, LEN, OBJECT, assert_refused, plaintext};
use crate::support::Options;
use crate::support::chaos::{Reply, Step};

fn failures(count: usize, status: u16) -> impl Iterator<Item = Step> {
    (0..count).map(move |_| Step::Answer(Reply::error(status, "InternalError")))
}

fn resets(count: usize) -> impl Iterator<Item = Step> {
    (0..count).map(|_| Step::Reset)
}

#[tokio::test]
async fn a_read_survives_two_failures() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    for status in [500, 502, 504] {
        bench.chaos.forget();
        bench.chaos.script(failures(2, status));
        assert_eq!(bench.client.get(OBJECT).await.body, plaintext(1_000));
        assert_eq!(bench.chaos.seen().len(), 3);
    }
    bench.chaos.forget();
    bench.chaos.script(failures(1, 500).chain(resets(1)));
    assert_eq!(bench.client.draft("HEAD", OBJECT).send().await.status, 200);
    assert_eq!(bench.chaos.seen().len(), 3);
}

#[tokio::test]
async fn a_third_failure_is_the_answer() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    bench.chaos.script(failures(3, 500));
    assert_refused(&bench.client.get(OBJECT).await, 500, "InternalError");
    assert_eq!(bench.chaos.seen().len(), 3);
    bench.chaos.forget();
    bench.chaos.script(resets(3));
    assert_refused(&bench.client.get(OBJECT).await, 503, "ServiceUnavailable");
    assert_eq!(bench.chaos.seen().len(), 3);
}

#[tokio::test]
async fn slow_down_is_for_the_client_to_obey() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    bench
        .chaos
        .script([Step::Answer(Reply::error(503, "SlowDown"))]);
    assert_refused(&bench.client.get(OBJECT).await, 503, "SlowDown");
    assert_eq!(bench.chaos.seen().len(), 1);
}

#[tokio::test]
async fn a_small_put_is_repeated_with_the_same_ciphertext() {
    let bench = Bench::start(Options::default()).await;
    bench.chaos.script(failures(1, 500).chain(resets(1)));
    assert_eq!(bench.client.put(OBJECT, plaintext(1_000)).await.status, 200);
    let seen = bench.chaos.seen();
    assert_eq!(seen.len(), 3);
    for other in &seen[1..] {
        assert_eq!(other.body, seen[0].body);
        for name in [
            "x-amz-meta-s3seal-header",
            "x-amz-meta-s3seal-key",
            "x-amz-checksum-crc64nvme",
        ] {
            assert_eq!(other.header(name), seen[0].header(name));
        }
    }
    assert_eq!(bench.client.get(OBJECT).await.body, plaintext(1_000));
}

#[tokio::test]
async fn a_conditional_put_is_sent_once() {
    let bench = Bench::start(Options::default()).await;
    let conditional = |name: &str, value: &str| {
        bench
            .client
            .draft("PUT", OBJECT)
            .header(name, value)
            .body(plaintext(1_000))
    };
    for (name, value) in [("if-none-match", "*"), ("if-match", "\"abc\"")] {
        bench.chaos.forget();
        bench.chaos.script(failures(1, 500));
        assert_refused(&conditional(name, value).send().await, 500, "InternalError");
        assert_eq!(bench.chaos.seen().len(), 1, "{name}");
        bench.chaos.forget();
        bench.chaos.script(resets(1));
        assert_refused(
            &conditional(name, value).send().await,
            503,
            "ServiceUnavailable",
        );
        assert_eq!(bench.chaos.only().header(name), Some(value));
    }
}

#[tokio::test]
async fn a_streamed_put_is_sent_once() {
    let bench = Bench::start(Options::default()).await;
    bench.chaos.script(failures(1, 500));
    assert_refused(
        &bench.client.put(OBJECT, plaintext(LEN)).await,
        500,
        "InternalError",
    );
    assert_eq!(bench.chaos.seen().len(), 1);
    bench.chaos.forget();
    bench.chaos.script(resets(1));
    assert_refused(
        &bench.client.put(OBJECT, plaintext(LEN)).await,
        503,
        "ServiceUnavailable",
    );
    assert_eq!(bench.chaos.seen().len(), 1);
    assert!(bench.chaos.stored(OBJECT).is_none());
}

#[tokio::test]
async fn deletes_and_bucket_calls_are_sent_once() {
    let bench = Bench::start(Options::default()).await;
    for (method, target, body) in [
        ("DELETE", OBJECT, ""),
        ("PUT", "/bucket", ""),
        ("PUT", "/bucket?tagging", "<Tagging/>"),
    ] {
        let draft = bench.client.draft(method, target).body(body);
        bench.chaos.forget();
        bench.chaos.script(failures(1, 500));
        assert_eq!(draft.send().await.status, 500, "{method} {target}");
        assert_eq!(bench.chaos.seen().len(), 1, "{method} {target}");
    }
}

#[tokio::test]
async fn no_upstream_at_all_is_a_503() {
    let free = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let proxy = crate::support::Proxy::start(nobody, Options::default()).await;
    for len in [0, 1_000, LEN] {
        let put = proxy.client().put(OBJECT, plaintext(len)).await;
        assert_refused(&put, 503, "ServiceUnavailable");
    }
    assert_refused(&proxy.client().get(OBJECT).await, 503, "ServiceUnavailable");
}

/// An hour behind, as far as the upstream is concerned.
fn refused_for_the_time() -> Step {
    let later = time::OffsetDateTime::now_utc() + time::Duration::hours(1);
    let date = later
        .format(&time::format_description::well_known::Rfc2822)
        .unwrap()
        .replace("+0000", "GMT");
    let refusal = Reply::error(403, "RequestTimeTooSkewed").header("date", &date);
    Step::Answer(refusal)
}

#[tokio::test]
async fn a_request_is_signed_again_by_the_clock_of_the_upstream() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    bench.chaos.forget();
    bench.chaos.script([refused_for_the_time()]);
    assert_eq!(bench.client.get(OBJECT).await.body, plaintext(1_000));
    let seen = bench.chaos.seen();
    assert_eq!(seen.len(), 2);
    let date = |at: usize| seen[at].header("x-amz-date").unwrap();
    assert!(date(0) < date(1), "{} {}", date(0), date(1));
}

#[tokio::test]
async fn a_clock_is_corrected_once_for_each_request() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    bench.chaos.forget();
    let refusals = [refused_for_the_time(), refused_for_the_time()];
    bench.chaos.script(refusals);
    let answer = bench.client.get(OBJECT).await;
    assert_refused(&answer, 503, "ServiceUnavailable");
    assert_eq!(bench.chaos.seen().len(), 2);
}
