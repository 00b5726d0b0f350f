//! Single objects in and out, over the embedded server.

use bytes::Bytes;

use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy};

/// Sizes around every boundary of layout 01.
const SIZES: [usize; 8] = [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000, 1 << 20];

fn body(len: usize) -> Bytes {
    (0..len)
        .map(|index| (index * 7 + index / 251) as u8)
        .collect::<Vec<_>>()
        .into()
}

#[tokio::test]
async fn objects_come_back_bit_exact() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    for size in SIZES {
        let put = client.put("/bucket/object", body(size)).await;
        assert_eq!(put.status, 200, "{size}: {put:?}");
        let get = client.get("/bucket/object").await;
        assert_eq!(get.status, 200, "{size}: {get:?}");
        assert_eq!(get.body, body(size), "{size}");
        assert_eq!(
            get.header("content-length"),
            Some(size.to_string().as_str())
        );
        let head = client.draft("HEAD", "/bucket/object").send().await;
        assert_eq!(head.header("content-length"), get.header("content-length"));
        let stored = std::fs::read(upstream.file("object")).unwrap();
        assert_eq!(stored.len(), size + 16 * size.div_ceil(65_536).max(1) + 128);
    }
    proxy.stop().await;
}

/// Resuming a download of what has become a smaller object: all of the new one, and no 416.
#[tokio::test]
async fn a_range_that_a_stale_if_range_asks_for_is_the_whole() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    for (size, range) in [(10, "bytes=1000000-"), (10, "bytes=5-"), (0, "bytes=0-")] {
        client.put("/bucket/object", vec![b'x'; size]).await;
        let get = client
            .draft("GET", "/bucket/object")
            .header("range", range)
            .header("if-range", "\"another-1\"")
            .send()
            .await;
        assert_eq!(
            (get.status.as_u16(), get.body.len()),
            (200, size),
            "{get:?}"
        );
    }
    let etag = client.get("/bucket/object").await;
    let etag = etag.header("etag").unwrap().to_owned();
    let refused = client
        .draft("GET", "/bucket/object")
        .header("range", "bytes=1000000-")
        .header("if-range", &etag);
    assert_eq!(refused.send().await.status, 416);
    proxy.stop().await;
}
