//! How much a client may ask for: beyond it 503 `SlowDown`, before a byte of a body is read.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;

use super::TENANT;
use crate::support::form::Form;
use crate::support::upstream::Embedded;
use crate::support::wire::{begin, begin_with};
use crate::support::{APP, Options, Proxy, client::Client};

async fn start(limits: &str) -> (Proxy, Embedded) {
    let upstream = Embedded::start().await;
    let tables = format!(
        "[[clients]]\naccess_key_id = \"{}\"\nsecret_access_key = \"{}\"\n{limits}",
        TENANT.id, TENANT.secret
    );
    let options = Options {
        tables,
        rule: "anonymous = \"allow\"".to_owned(),
        ..Options::default()
    };
    (Proxy::start(upstream.address, options).await, upstream)
}

/// Reads the answer to a request whose body never comes.
pub(super) async fn answer_to_head(proxy: &Proxy, draft: crate::support::client::Draft) -> String {
    let mut stream = begin(proxy.address, &draft.build()).await;
    let mut text = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut text));
    let read = read.await.expect("an answer before the body").unwrap();
    String::from_utf8_lossy(&text[..read]).to_lowercase()
}

#[tokio::test]
async fn p131_a_client_over_its_rate_is_told_to_slow_down_before_its_body_is_read() {
    let limits = "limits = { requests_per_second = 1, burst = 3 }\n[limits.anonymous]\nrequests_per_second = 1\n";
    let (proxy, _upstream) = start(limits).await;
    let owner = proxy.client();
    let tenant = owner.signing_as(TENANT);
    for _ in 0..3 {
        assert_eq!(tenant.put("/bucket/object", "text").await.status, 200);
    }
    let put = tenant.draft("PUT", "/bucket/object").body("text");
    let answer = answer_to_head(&proxy, put.header("content-length", "4")).await;
    assert!(answer.starts_with("http/1.1 503"), "{answer}");
    assert!(answer.contains("<code>slowdown</code>"), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    // Others have limits of their own, and so has who signs nothing.
    for _ in 0..10 {
        assert_eq!(owner.get("/bucket/object").await.status, 200);
    }
    let unsigned = |client: &Client| client.unsigned("GET", "/bucket?list-type=2").send();
    assert_eq!(unsigned(&owner).await.status, 200);
    let refused = unsigned(&owner).await;
    assert_eq!(refused.code(), "SlowDown", "{refused:?}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(tenant.get("/bucket/object").await.status, 200);
    let metrics = proxy.metrics().await;
    let line = "s3seal_limited_requests_total{reason=\"rate\"} 2";
    assert!(metrics.contains(line), "{metrics}");
    proxy.stop().await;
}

#[tokio::test]
async fn p131_a_client_has_so_many_requests_at_once() {
    let (proxy, _upstream) = start("limits = { concurrent_requests = 1 }\n").await;
    let owner = proxy.client();
    let tenant = owner.signing_as(TENANT);
    let slow = tenant.draft("PUT", "/bucket/object").body("text");
    let slow = slow.header("content-length", "4").build();
    let open = begin(proxy.address, &slow).await;
    while !proxy
        .metrics()
        .await
        .contains("s3seal_requests_in_flight 1")
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It counts as one of the proxy's a moment before it counts as one of its client's.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = tenant.get("/bucket?list-type=2").await;
    assert_eq!(refused.code(), "SlowDown", "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(owner.get("/bucket?list-type=2").await.status, 200);
    drop(open);
    for _ in 0..100 {
        if tenant.get("/bucket?list-type=2").await.status == 200 {
            proxy.stop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the place is never free again");
}

#[tokio::test]
async fn p132_bodies_go_as_fast_as_their_client_may_in_both_directions() {
    let (proxy, _upstream) = start("limits = { bytes_per_second = 200000 }\n").await;
    let owner = proxy.client();
    assert_eq!(
        owner
            .signing_as(APP)
            .put("/bucket/o", vec![1; 600_000])
            .await
            .status,
        200
    );
    let tenant = owner.signing_as(TENANT);
    // The first 200,000 are there from the start.
    let began = Instant::now();
    let got = tenant.get("/bucket/o").await;
    assert_eq!(got.body.len(), 600_000);
    assert!(
        began.elapsed() > Duration::from_millis(1200),
        "{:?}",
        began.elapsed()
    );
    let began = Instant::now();
    let put = tenant.put("/bucket/o", vec![2; 600_000]).await;
    assert_eq!(put.status, 200, "{put:?}");
    assert!(
        began.elapsed() > Duration::from_millis(1200),
        "{:?}",
        began.elapsed()
    );
    let began = Instant::now();
    assert_eq!(owner.get("/bucket/o").await.body.len(), 600_000);
    assert!(
        began.elapsed() < Duration::from_millis(1200),
        "{:?}",
        began.elapsed()
    );
    let metrics = proxy.metrics().await;
    let line = "s3seal_limited_requests_total{reason=\"bandwidth\"} 2";
    assert!(metrics.contains(line), "{metrics}");
    proxy.stop().await;
}

/// What the proxy reads and writes again for a client counts as if it went to it.
#[tokio::test]
async fn p132_a_copy_through_the_proxy_goes_as_fast_as_its_client_may() {
    let (proxy, _upstream) = start("limits = { bytes_per_second = 200000 }\n").await;
    let owner = proxy.client();
    let put = owner.put("/bucket/o", vec![1; 600_000]).await;
    assert_eq!(put.status, 200, "{put:?}");
    let copy = |client: &Client| {
        // For the checksum the plaintext has to be seen.
        let copy = client.draft("PUT", "/bucket/copy");
        let copy = copy.header("x-amz-checksum-algorithm", "SHA256");
        copy.header("x-amz-copy-source", "bucket/o").send()
    };
    for (client, is_slowed) in [(owner.signing_as(TENANT), true), (owner, false)] {
        let began = Instant::now();
        let done = copy(&client).await;
        assert_eq!(done.status, 200, "{done:?}");
        let (took, least) = (began.elapsed(), Duration::from_millis(1200));
        assert_eq!(took > least, is_slowed, "{took:?}");
    }
    let metrics = proxy.metrics().await;
    let line = "s3seal_limited_requests_total{reason=\"bandwidth\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    proxy.stop().await;
}

/// It holds memory for as long as it is slow.
#[tokio::test]
async fn p132_a_client_with_a_bandwidth_leaves_memory_to_others() {
    let limits = "limits = { bytes_per_second = 200000 }\n[crypto]\nchunk_memory_mib = 96\n";
    let (proxy, _upstream) = start(limits).await;
    let owner = proxy.client();
    // As many as there is memory for.
    let form = Form::new("slow", vec![0; (1 << 20) - 1000]).sign(TENANT);
    let (fields, rest) = form.parts();
    let len = (fields.len() + rest.len()).to_string();
    let mut open = Vec::new();
    for _ in 0..48 {
        let draft = form.draft(&owner, "/bucket").header("content-length", &len);
        open.push(begin_with(proxy.address, &draft.build(), &fields).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let form = Form::new("quick", vec![0; 100_000]).sign(APP);
    let answer = form.draft(&owner, "/bucket").send();
    let answer = tokio::time::timeout(Duration::from_secs(5), answer).await;
    assert_eq!(answer.expect("an answer at once").status, 204);
    drop(open);
    proxy.stop().await;
}

#[tokio::test]
async fn p131_forms_are_of_nobody_until_their_fields_are_there() {
    let anonymous = "[limits.anonymous]\nconcurrent_requests = 1\n";
    let (proxy, _upstream) = start(anonymous).await;
    let owner = proxy.client();
    let form = Form::new("form", "text").sign(APP);
    let slow = form
        .draft(&owner, "/bucket")
        .header("content-length", "2000");
    let open = begin(proxy.address, &slow.build()).await;
    proxy.wait_for_metric("s3seal_requests_in_flight 1").await;
    // It counts as one of the proxy's a moment before it counts as one of nobody's.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = form.draft(&owner, "/bucket").send().await;
    assert_eq!(refused.code(), "SlowDown", "{refused:?}");
    assert_eq!(owner.get("/bucket?list-type=2").await.status, 200);
    drop(open);
    proxy.wait_for_metric("s3seal_requests_in_flight 0").await;
    assert_eq!(form.draft(&owner, "/bucket").send().await.status, 204);
    // One whose fields are there is its signer's.
    let (fields, rest) = form.parts();
    let len = (fields.len() + rest.len()).to_string();
    let slow = form.draft(&owner, "/bucket").header("content-length", &len);
    let open = begin_with(proxy.address, &slow.build(), &fields).await;
    proxy.wait_for_metric("s3seal_requests_in_flight 1").await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while form.draft(&owner, "/bucket").send().await.status != 204 {
        assert!(Instant::now() < deadline, "its fields are there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(open);
    proxy.stop().await;
}
