//! An upstream that misbehaves while an object is read.

use std::time::{Duration, Instant};

use super::{Bench, LEN, OBJECT, STRIDE, assert_refused, impatient, plaintext};
use crate::support::Options;
use crate::support::chaos::{End, Reply, Seen, Step};
use crate::support::http1::{Ending, Wire, find};

#[tokio::test]
async fn a_body_that_ends_early_is_never_a_short_success() {
    let bench = Bench::with_object(Options::default(), LEN).await;
    let stored_len = bench.chaos.stored(OBJECT).unwrap().body.len();
    for len in [
        0,
        1,
        STRIDE - 1,
        STRIDE,
        2 * STRIDE + 7,
        stored_len - 128,
        stored_len - 1,
    ] {
        for end in [End::CloseAfter(len), End::ResetAfter(len)] {
            bench.chaos.mangle(move |reply| reply.end = end);
            bench
                .watch(None)
                .await
                .assert_failed(&plaintext(LEN), &format!("{end:?}"));
        }
    }
    for len in [0, 1, STRIDE, 2 * STRIDE - 1] {
        bench
            .chaos
            .mangle(move |reply| reply.end = End::CloseAfter(len));
        let range = bench.watch(Some("bytes=70000-140000")).await;
        range.assert_failed(&plaintext(LEN)[70_000..=140_000], &format!("range, {len}"));
    }
}

#[tokio::test]
async fn a_small_body_that_ends_early_is_a_clear_error() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    for len in [0, 1, 1_143] {
        bench
            .chaos
            .mangle(move |reply| reply.end = End::CloseAfter(len));
        assert_refused(&bench.client.get(OBJECT).await, 503, "ServiceUnavailable");
    }
}

#[tokio::test]
async fn bytes_behind_the_announced_body_are_not_read() {
    let bench = Bench::with_object(Options::default(), LEN).await;
    bench.chaos.mangle(|reply| {
        reply.announced = Some(reply.body.len() as u64);
        reply
            .body
            .extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake");
    });
    assert_eq!(bench.client.get(OBJECT).await.body, plaintext(LEN));
    // They are not the answer to the next request either.
    assert_eq!(bench.client.get(OBJECT).await.body, plaintext(LEN));
}

#[tokio::test]
async fn a_body_that_is_longer_or_shorter_than_stored_is_refused() {
    let bench = Bench::with_object(Options::default(), LEN).await;
    bench
        .chaos
        .mangle(|reply| reply.body.extend_from_slice(&[0; 16]));
    bench.watch(None).await.assert_failed(&[], "16 bytes more");
    bench.chaos.mangle(|reply| {
        let len = reply.body.len();
        reply.body.truncate(len - 16);
    });
    bench.watch(None).await.assert_failed(&[], "16 bytes less");
}

#[tokio::test]
async fn a_wrong_content_range_is_refused() {
    let bench = Bench::with_object(Options::default(), LEN).await;
    let total = bench.chaos.stored(OBJECT).unwrap().body.len();
    let (first, last) = (STRIDE, 3 * STRIDE - 1);
    let expected = &plaintext(LEN)[70_000..=140_000];
    for wrong in [
        format!("bytes {first}-{last}/{}", total + 1),
        format!("bytes {first}-{last}/{}", total - STRIDE),
        format!("bytes {}-{}/{total}", first + 1, last + 1),
        format!("bytes 0-{}/{total}", last - first),
        format!("bytes {}-{}/{total}", first + STRIDE, last + STRIDE),
        format!("bytes {first}-{last}/*"),
        format!("bytes {last}-{first}/{total}"),
        format!("bytes {first}-{total}/{total}"),
        "bytes".to_owned(),
        String::new(),
    ] {
        let told = wrong.clone();
        bench.chaos.mangle(move |reply| {
            reply.headers.retain(|(name, _)| name != "Content-Range");
            reply.headers.push(("Content-Range".to_owned(), told));
        });
        bench
            .watch(Some("bytes=70000-140000"))
            .await
            .assert_failed(expected, &wrong);
    }
    bench
        .chaos
        .mangle(|reply| reply.headers.retain(|(name, _)| name != "Content-Range"));
    let range = bench
        .client
        .draft("GET", OBJECT)
        .header("range", "bytes=1-2")
        .send()
        .await;
    assert_refused(&range, 500, "InternalError");
}

#[tokio::test]
async fn a_part_of_the_object_is_not_taken_for_the_whole() {
    let bench = Bench::with_object(Options::default(), LEN).await;
    bench.chaos.mangle(|reply| {
        let total = reply.body.len();
        reply.status = 206;
        reply.body.truncate(STRIDE);
        let range = format!("bytes 0-{}/{total}", STRIDE - 1);
        reply.headers.push(("Content-Range".to_owned(), range));
    });
    bench
        .watch(None)
        .await
        .assert_failed(&plaintext(LEN), "206 to a full read");
}

#[tokio::test]
async fn an_upstream_that_ignores_ranges_gives_the_right_range() {
    let bench = Bench::with_object(Options::default(), LEN).await;
    let whole = bench.chaos.stored(OBJECT).unwrap();
    for (range, first, last) in [
        ("bytes=70000-140000", 70_000, 140_000),
        ("bytes=-5", LEN - 5, LEN - 1),
        ("bytes=0-0", 0, 0),
        ("bytes=131072-", 131_072, LEN - 1),
    ] {
        let whole = whole.clone();
        bench.chaos.mangle(move |reply| {
            reply.status = 200;
            reply.body = whole.body;
            reply.headers.retain(|(name, _)| name != "Content-Range");
        });
        let answer = bench
            .client
            .draft("GET", OBJECT)
            .header("range", range)
            .send()
            .await;
        assert_eq!(answer.status, 206, "{range}: {answer:?}");
        assert_eq!(answer.body, plaintext(LEN)[first..=last], "{range}");
        let shown = format!("bytes {first}-{last}/{LEN}");
        assert_eq!(answer.header("content-range"), Some(shown.as_str()));
    }
}

#[tokio::test]
async fn a_stalled_body_is_cut_after_the_idle_timeout() {
    let bench = Bench::with_object(impatient(), LEN).await;
    let started = Instant::now();
    bench
        .chaos
        .mangle(|reply| reply.end = End::StallAfter(STRIDE + 100));
    let answer = bench.watch(None).await;
    answer.assert_failed(&plaintext(LEN), "a stall");
    let waited = started.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(5)).contains(&waited),
        "{waited:?}"
    );
    bench
        .chaos
        .wait_until("the upstream is left", |seen| seen[0].is_abandoned)
        .await;
}

#[tokio::test]
async fn a_stalled_small_body_is_a_clear_error() {
    let bench = Bench::with_object(impatient(), 1_000).await;
    bench.chaos.mangle(|reply| reply.end = End::StallAfter(10));
    assert_refused(&bench.client.get(OBJECT).await, 503, "ServiceUnavailable");
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_a_503_after_the_timeout() {
    let bench = Bench::start(impatient()).await;
    for method in ["GET", "PUT", "HEAD"] {
        bench.chaos.forget();
        bench.chaos.script([Step::Hang]);
        let started = Instant::now();
        let answer = bench.client.draft(method, OBJECT).body("").send().await;
        assert_eq!(answer.status, 503, "{method}: {answer:?}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "{:?}",
            started.elapsed()
        );
        let is_left = |seen: &[_]| seen.iter().all(|s: &Seen| s.is_abandoned);
        bench
            .chaos
            .wait_until("the upstream is left", is_left)
            .await;
        assert_eq!(bench.chaos.seen().len(), 1, "a timeout is not repeated");
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_download_ends_the_upstream_request() {
    let bench = Bench::with_object(Options::default(), 8 << 20).await;
    bench
        .chaos
        .mangle(|reply| reply.end = End::StallAfter(1 << 20));
    let mut wire = Wire::connect(bench.proxy.address).await;
    wire.send_head(&bench.client.draft("GET", OBJECT).build())
        .await;
    assert_eq!(wire.head().await.unwrap().status(), 200);
    assert_eq!(wire.take(65_536).await, plaintext(65_536));
    wire.abandon();
    bench
        .chaos
        .wait_until("the upstream is left", |seen| seen[0].is_abandoned)
        .await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_after_the_idle_timeout() {
    let bench = Bench::with_object(impatient(), 32 << 20).await;
    let mut wire = Wire::connect(bench.proxy.address).await;
    wire.send_head(&bench.client.draft("GET", OBJECT).build())
        .await;
    assert_eq!(wire.head().await.unwrap().status(), 200);
    let abandoned = |seen: &[Seen]| seen[0].is_abandoned;
    bench
        .chaos
        .wait_until("the upstream is left", abandoned)
        .await;
    let (body, ending) = wire.rest().await;
    assert_eq!(ending, Ending::Reset);
    assert!(body.len() < 32 << 20);
}

#[tokio::test]
async fn errors_of_the_upstream_pass_with_their_status_and_code() {
    let bench = Bench::start(Options::default()).await;
    for (status, code) in [
        (404, "NoSuchKey"),
        (403, "InvalidObjectState"),
        (412, "PreconditionFailed"),
        (409, "OperationAborted"),
        (503, "SlowDown"),
    ] {
        bench
            .chaos
            .script([Step::Answer(Reply::error(status, code))]);
        assert_refused(&bench.client.get(OBJECT).await, status, code);
    }
    bench
        .chaos
        .script([Step::Answer(Reply::new(304, "").header("ETag", "\"x\""))]);
    let not_modified = bench.client.get(OBJECT).await;
    assert_eq!(
        (not_modified.status.as_u16(), not_modified.body.len()),
        (304, 0)
    );
    let seen = bench.chaos.seen();
    assert_eq!(seen.len(), 6, "none of these is repeated");
    assert!(find(&seen[0].head.headers, "range").is_none());
}

#[tokio::test]
async fn a_listing_that_ends_early_is_never_a_short_success() {
    let bench = Bench::start(Options::default()).await;
    let entry = "<Contents><Key>k</Key><ETag>&quot;x&quot;</ETag><Size>144</Size></Contents>";
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult>{}</ListBucketResult>",
        entry.repeat(500)
    );
    let whole = Reply::new(200, document.clone()).header("Content-Type", "application/xml");
    bench.chaos.script([Step::Answer(whole.clone())]);
    let listed = bench.client.get("/bucket?list-type=2").await;
    let expected = document.replace("<Size>144<", "<Size>0<");
    assert_eq!(String::from_utf8(listed.body.to_vec()).unwrap(), expected);
    for len in [0, 10, 60, 5_000, document.len() - 1] {
        for is_announced in [true, false] {
            let mut short = whole.clone();
            if is_announced {
                short.end = End::CloseAfter(len);
            } else {
                // Well-formed HTTP around half a document.
                short.body.truncate(len);
            }
            bench.chaos.script([Step::Answer(short)]);
            let listed = bench
                .client
                .draft("GET", "/bucket?list-type=2")
                .try_send()
                .await;
            let is_refused = listed
                .as_ref()
                .is_ok_and(|answer| answer.status.as_u16() >= 400);
            assert!(
                is_refused || listed.is_err(),
                "{len} {is_announced}: {listed:?}"
            );
        }
    }
}
