//! Told to stop, the proxy finishes what it has begun.

use std::time::Duration;

use tokio::net::TcpStream;

use super::{Bench, LEN, OBJECT, plaintext};
use crate::support::Options;
use crate::support::client::PayloadHash;
use crate::support::http1::Wire;

#[tokio::test]
async fn a_stopped_proxy_finishes_uploads_and_downloads_in_flight() {
    let len = 16 << 20;
    let bench = Bench::with_object(Options::default(), len).await;
    let address = bench.proxy.address;
    let mut download = Wire::connect(address).await;
    download
        .send_head(&bench.client.draft("GET", OBJECT).build())
        .await;
    assert_eq!(download.head().await.unwrap().status(), 200);
    let mut upload = Wire::connect(address).await;
    let put = bench
        .client
        .draft("PUT", "/bucket/upload")
        .header("content-length", &LEN.to_string());
    upload
        .send_head(&put.payload(PayloadHash::Unsigned).build())
        .await;
    upload.send(&plaintext(LEN)[..100_000]).await;
    bench
        .chaos
        .wait_until("both started", |seen| seen.len() == 2)
        .await;

    let Bench {
        chaos,
        proxy,
        client: _client,
    } = bench;
    let stopping = tokio::spawn(proxy.stop());
    let is_closed = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), is_closed)
        .await
        .expect("still accepting");
    assert!(!stopping.is_finished());

    assert!(download.take(len).await == plaintext(len));
    upload.send(&plaintext(LEN)[100_000..]).await;
    assert_eq!(upload.head().await.unwrap().status(), 200);
    tokio::time::timeout(Duration::from_secs(5), stopping)
        .await
        .unwrap()
        .unwrap();
    assert!(chaos.stored("/bucket/upload").is_some());
}

#[tokio::test]
async fn what_takes_longer_than_the_drain_time_is_cut() {
    let options = Options {
        listen: "drain_seconds = 1".to_owned(),
        ..Options::default()
    };
    let bench = Bench::start(options).await;
    let mut upload = Wire::connect(bench.proxy.address).await;
    let put = bench
        .client
        .draft("PUT", OBJECT)
        .header("content-length", &LEN.to_string());
    upload
        .send_head(&put.payload(PayloadHash::Unsigned).build())
        .await;
    upload.send(&plaintext(LEN)[..100_000]).await;
    bench
        .chaos
        .wait_until("it started", |seen| seen.len() == 1)
        .await;
    let Bench {
        chaos,
        proxy,
        client: _client,
    } = bench;
    tokio::time::timeout(Duration::from_secs(5), proxy.stop())
        .await
        .expect("drained");
    chaos
        .wait_until("the upstream is left", |seen| seen[0].is_abandoned)
        .await;
    assert!(chaos.stored(OBJECT).is_none());
}
