//! Sizes where they are proven or looked up, instead of computed.

use bytes::Bytes;

use crate::support::chaos::Chaos;
use crate::support::client::Client;
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy, UPSTREAM};

fn body(len: usize) -> Bytes {
    (0..len).map(|index| (index ^ (index >> 8)) as u8).collect()
}

/// (key, size) of every entry.
async fn listed(client: &Client, query: &str) -> Vec<(String, String)> {
    let listing = client.get(&format!("/bucket?{query}")).await;
    assert_eq!(listing.status, 200, "{listing:?}");
    let (keys, sizes) = (listing.elements("Key"), listing.elements("Size"));
    assert_eq!(keys.len(), sizes.len());
    let mut entries: Vec<_> = keys.into_iter().zip(sizes).collect();
    entries.sort();
    entries
}

#[tokio::test]
async fn listings_by_head_are_right_for_plaintext_as_well() {
    let upstream = Embedded::start().await;
    let options = Options {
        upstream: "list_sizes = \"head\"".to_owned(),
        rule: "plaintext_reads = \"allow\"".to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    client.put("/bucket/sealed", body(100_000)).await;
    client.put("/bucket/em%20p+ty", body(0)).await;
    let direct = Client::new(upstream.address, UPSTREAM);
    direct.put("/bucket/plain", body(70_000)).await;
    let expected = |empty: &str| {
        let entries = [(empty, "0"), ("plain", "70000"), ("sealed", "100000")];
        entries.map(|(key, size)| (key.to_owned(), size.to_owned()))
    };
    assert_eq!(listed(&client, "list-type=2").await, expected("em p+ty"));
    assert_eq!(listed(&client, "").await, expected("em p+ty"));
    // Other bytes of the same stored length under a name that was listed before.
    direct.put("/bucket/sealed", body(100_160)).await;
    client.put("/bucket/plain", body(69_840)).await;
    let sizes: Vec<_> = listed(&client, "")
        .await
        .into_iter()
        .map(|it| it.1)
        .collect();
    assert_eq!(sizes, ["0", "69840", "100160"]);
    proxy.stop().await;
}

#[tokio::test]
async fn verified_sizes_are_proven_or_refused() {
    let chaos = Chaos::start().await;
    let options = Options {
        rule: "verify_sizes = true".to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(chaos.address, options).await;
    let client = proxy.client();
    client.put("/bucket/object", body(200_000)).await;
    let head = client.draft("HEAD", "/bucket/object").send().await;
    assert_eq!(head.status, 200, "{head:?}");
    assert_eq!(head.header("content-length"), Some("200000"));
    let mut stored = chaos.stored("/bucket/object").unwrap();
    stored.body.truncate(100_000 + 2 * 16 + 128);
    chaos.store("/bucket/object", stored);
    let head = client.draft("HEAD", "/bucket/object").send().await;
    assert!(head.status.is_server_error(), "{head:?}");
    proxy.stop().await;
}
