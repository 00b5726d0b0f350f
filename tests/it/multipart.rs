//! Multipart uploads over replicas, and stored objects whose parts were tampered with.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::client::{Answer, Client, PayloadHash};
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy, wire};

const MIB: usize = 1 << 20;

pub fn body(len: usize) -> Bytes {
    let byte = |index: usize| (index.wrapping_mul(29) ^ (index >> 9) ^ (index >> 17)) as u8;
    (0..len).map(byte).collect::<Vec<_>>().into()
}

pub async fn create(client: &Client, key: &str) -> String {
    let created = client
        .draft("POST", &format!("/bucket/{key}?uploads"))
        .send()
        .await;
    assert_eq!(created.status, 200, "{created:?}");
    created.element("UploadId")
}

pub fn target(key: &str, id: &str, number: Option<usize>) -> String {
    let id = s3seal::s3::uri::encode_component(id.as_bytes());
    match number {
        Some(number) => format!("/bucket/{key}?partNumber={number}&uploadId={id}"),
        None => format!("/bucket/{key}?uploadId={id}"),
    }
}

pub async fn put(client: &Client, key: &str, id: &str, number: usize, part: Bytes) -> String {
    let answer = client.put(&target(key, id, Some(number)), part).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("etag").unwrap().to_owned()
}

pub async fn complete(client: &Client, key: &str, id: &str, etags: &[String]) -> Answer {
    let mut document = "<CompleteMultipartUpload>".to_owned();
    for (index, etag) in etags.iter().enumerate() {
        let number = index + 1;
        document.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        ));
    }
    document.push_str("</CompleteMultipartUpload>");
    client
        .draft("POST", &target(key, id, None))
        .body(document)
        .send()
        .await
}

#[tokio::test]
async fn an_upload_goes_on_over_replicas_that_share_nothing() {
    let upstream = Embedded::start().await;
    let first = Proxy::start(upstream.address, Options::default()).await;
    let second = Proxy::start_beside(&first, upstream.address, Options::default()).await;
    let whole = body(10 * MIB + 5);
    let id = create(&first.client(), "object").await;
    let part = |n: usize| whole.slice((n - 1) * 5 * MIB..(n * 5 * MIB).min(whole.len()));
    let two = put(&second.client(), "object", &id, 2, part(2)).await;
    first.stop().await;
    let third = Proxy::start_beside(&second, upstream.address, Options::default()).await;
    let three = put(&third.client(), "object", &id, 3, part(3)).await;
    let one = put(&second.client(), "object", &id, 1, part(1)).await;
    let done = complete(&third.client(), "object", &id, &[one, two, three]).await;
    assert_eq!(done.status, 200, "{done:?}");
    for proxy in [&second, &third] {
        let get = proxy.client().get("/bucket/object").await;
        assert!(get.status == 200 && get.body == whole);
    }
    second.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn a_part_that_is_sent_twice_is_sealed_under_two_keys() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let mut stored = Vec::new();
    let id = create(&client, "object").await;
    for _ in 0..2 {
        put(&client, "object", &id, 1, body(100_000)).await;
        stored.push(std::fs::read(part_file(&upstream, &id, 1)).unwrap());
    }
    let [first, second] = <[Vec<u8>; 2]>::try_from(stored).unwrap();
    assert_eq!(first.len(), 100_000 + 16_640);
    assert_ne!(first[32..64], second[32..64], "the salt");
    let same = first[128..100_000].iter().zip(&second[128..100_000]);
    let same = same.filter(|(a, b)| a == b).count();
    assert!(same < 1000, "{same} equal bytes: the keystream is the same");
    proxy.stop().await;
}

/// s3s-fs keeps the parts of uploads in files of its own.
fn part_file(upstream: &Embedded, id: &str, number: u32) -> std::path::PathBuf {
    let upstream_id = id.rsplit('.').next().unwrap();
    upstream
        .root()
        .join(format!(".upload_id-{upstream_id}.part-{number}"))
}

#[tokio::test]
async fn the_location_is_the_address_that_was_asked_for() {
    let upstream = Embedded::start().await;
    let options = Options {
        listen: "domains = [\"s3.test\"]".to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    let key = "a%20folder/%C3%A9+";
    let of_client = format!("http://{}/bucket/{key}", proxy.address);
    for (host, path, location) in [
        (proxy.address.to_string(), "/bucket/", of_client),
        (
            "bucket.s3.test".to_owned(),
            "/",
            format!("http://bucket.s3.test/{key}"),
        ),
    ] {
        let id = create(&client, key).await;
        let etag = put(&client, key, &id, 1, body(10)).await;
        let id = s3seal::s3::uri::encode_component(id.as_bytes()).into_owned();
        let part = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
        let draft = client.draft("POST", &format!("{path}{key}?uploadId={id}"));
        let document = format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>");
        let done = draft.host(&host).body(document).send().await;
        assert_eq!(done.status, 200, "{done:?}");
        assert_eq!(done.element("Location"), location);
    }
    proxy.stop().await;
}

#[tokio::test]
async fn a_part_with_another_checksum_than_was_announced_is_refused() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let created = client.draft("POST", "/bucket/object?uploads");
    let created = created
        .header("x-amz-checksum-algorithm", "CRC32")
        .send()
        .await;
    let id = created.element("UploadId");
    let part = target("object", &id, Some(1));
    for (name, value, status) in [
        ("x-amz-checksum-crc32c", "crUfeA==", 400),
        ("x-amz-checksum-crc32", "DUoRhQ==", 200),
    ] {
        let put = client.draft("PUT", &part).header(name, value);
        let put = put.body("hello world").send().await;
        assert_eq!(put.status.as_u16(), status, "{put:?}");
        assert!(
            status == 200
                || put
                    .element("Message")
                    .contains("expected checksum Type: crc32,")
        );
    }
    proxy.stop().await;
}

#[tokio::test]
async fn upload_ids_of_other_places_are_not_found() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let id = create(&client, "object").await;
    let other = create(&client, "other").await;
    let (head, upstream_id) = id.rsplit_once('.').unwrap();
    let flipped = |at: usize| {
        let token = head.strip_prefix("s3seal1.").unwrap();
        let mut bytes = BASE64URL_NOPAD.decode(token.as_bytes()).unwrap();
        let at = if at < bytes.len() {
            at
        } else {
            bytes.len() - 1
        };
        bytes[at] ^= 1;
        format!("s3seal1.{}.{upstream_id}", BASE64URL_NOPAD.encode(&bytes))
    };
    for (key, id, what) in [
        ("other", id.clone(), "another key"),
        ("object", other.clone(), "another upload"),
        (
            "object",
            format!("{head}.{}", other.rsplit('.').next().unwrap()),
            "another upstream id",
        ),
        ("object", flipped(8), "another time of creation"),
        ("object", flipped(usize::MAX), "another mac"),
        ("object", format!("{head}."), "no upstream id"),
        ("object", "s3seal1.".to_owned(), "nothing"),
        (
            "object",
            format!("s3seal1.AAAA.{upstream_id}"),
            "a short token",
        ),
        ("object", "unknown".to_owned(), "a bare id of nobody"),
    ] {
        let refused = client.put(&target(key, &id, Some(1)), body(10)).await;
        assert_eq!(
            (refused.status.as_u16(), &*refused.code()),
            (404, "NoSuchUpload"),
            "{what}"
        );
    }
    // With the upstream's id, which ListMultipartUploads shows elsewhere, this replica goes on.
    let etag = put(&client, "object", upstream_id, 1, body(10)).await;
    assert_eq!(
        complete(&client, "object", upstream_id, &[etag])
            .await
            .status,
        200
    );
    assert!(client.get("/bucket/object").await.body == body(10));
    proxy.stop().await;
}

#[tokio::test]
async fn stored_parts_that_were_tampered_with_are_refused() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let whole = body(15 * MIB);
    let id = create(&client, "object").await;
    let mut etags = Vec::new();
    for number in 1..=3 {
        let part = whole.slice((number - 1) * 5 * MIB..number * 5 * MIB);
        etags.push(put(&client, "object", &id, number, part).await);
    }
    assert_eq!(complete(&client, "object", &id, &etags).await.status, 200);
    assert!(client.get("/bucket/object").await.body == whole);
    let file = upstream.file("object");
    let stored = std::fs::read(&file).unwrap();
    let segment = 5 * MIB + 16_640;
    assert_eq!(
        stored.len(),
        3 * segment + 16_640,
        "three parts and the seal"
    );
    let (one, two) = (&stored[..segment], &stored[segment..2 * segment]);
    let rest = &stored[2 * segment..];
    let flipped = |at: usize| {
        let mut changed = stored.clone();
        changed[at] ^= 1;
        changed
    };
    for (changed, what) in [
        ([two, one, rest].concat(), "swapped"),
        ([one, one, rest].concat(), "doubled in place"),
        ([one, rest].concat(), "dropped"),
        ([one, two, two, rest].concat(), "added"),
        (
            stored[..2 * segment].to_vec(),
            "without the last part and the seal",
        ),
        (stored[..3 * segment].to_vec(), "without the seal"),
        (stored[..stored.len() - 1].to_vec(), "a byte short"),
        ([&stored[..], b"x"].concat(), "a byte long"),
        (
            vec![0; 4 * 16_640],
            "emptied: no byte is announced, and none verified",
        ),
        (flipped(40), "salt"),
        (flipped(segment + 5000), "a chunk"),
        (flipped(2 * segment - 130), "a trailer"),
        (flipped(stored.len() - 1000), "padding of the seal"),
    ] {
        std::fs::write(&file, &changed).unwrap();
        let get = client.draft("GET", "/bucket/object").try_send().await;
        let refused = match get {
            Err(_reset) => true,
            Ok(answer) => answer.status.as_u16() == 500,
        };
        assert!(refused, "{what}");
    }
    proxy.stop().await;
}

/// More parts than headers of parts are remembered.
#[tokio::test]
async fn ranges_over_borders_of_many_parts_are_read_in_any_order() {
    const PARTS: usize = 36;
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let part = body(5 * MIB);
    let id = create(&client, "object").await;
    let mut etags = Vec::new();
    for number in 1..=PARTS {
        etags.push(put(&client, "object", &id, number, part.clone()).await);
    }
    assert_eq!(complete(&client, "object", &id, &etags).await.status, 200);
    // From the last border to the first: what is remembered is of later parts than what is read.
    for border in (1..PARTS).rev().chain(1..4) {
        let at = border * 5 * MIB;
        let range = format!("bytes={}-{}", at - 20_000, at + 20_000);
        let get = client
            .draft("GET", "/bucket/object")
            .header("range", &range);
        let get = get.send().await;
        assert_eq!(get.status, 206, "{border}: {get:?}");
        let expected = [&part[5 * MIB - 20_000..], &part[..20_001]].concat();
        assert!(get.body == expected, "{border}");
    }
    proxy.stop().await;
}

/// Reading the headers of all parts of a long range first would take too long: the layout of equal
/// parts, which first and last header bear out, is taken on trust until a part is not where it says.
#[tokio::test]
async fn a_long_range_that_a_guess_breaks_off_is_read_whole_the_next_time() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let mut lens = [5 * MIB + 1000; 20];
    (lens[9], lens[10]) = (5 * MIB + 2000, 5 * MIB);
    let whole = body(lens.iter().sum());
    let id = create(&client, "object").await;
    let mut etags = Vec::new();
    let mut start = 0;
    for (index, len) in lens.into_iter().enumerate() {
        let part = whole.slice(start..start + len);
        etags.push(put(&client, "object", &id, index + 1, part).await);
        start += len;
    }
    assert_eq!(complete(&client, "object", &id, &etags).await.status, 200);
    let range = format!("bytes=100000-{}", whole.len() - 100_000);
    let read = || {
        client
            .draft("GET", "/bucket/object")
            .header("range", &range)
    };
    read().try_send().await.expect_err("it breaks off");
    let again = read().send().await;
    assert_eq!(again.status, 206);
    assert!(again.body == whole.slice(100_000..=whole.len() - 100_000));
    proxy.stop().await;
}

/// Readers that come while an object is walked wait for what comes of it.
#[tokio::test]
async fn an_object_is_walked_once_however_many_read_it() {
    let upstream = Embedded::start().await;
    let options = Options {
        rule: "range_layout = \"walk\"".to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    let parts = 8;
    let whole = body(parts * 5 * MIB + 100);
    let id = create(&client, "object").await;
    let mut etags = Vec::new();
    for number in 1..=parts {
        let end = if number == parts {
            whole.len()
        } else {
            number * 5 * MIB
        };
        let part = whole.slice((number - 1) * 5 * MIB..end);
        etags.push(put(&client, "object", &id, number, part).await);
    }
    assert_eq!(complete(&client, "object", &id, &etags).await.status, 200);
    let before = upstream_requests(&proxy).await;
    let reads = (0..20).map(|index| {
        let first = index * 2 * MIB;
        let range = format!("bytes={first}-{}", first + 9);
        let draft = client
            .draft("GET", "/bucket/object")
            .header("range", &range);
        let expected = whole.slice(first..first + 10);
        async move { assert!(draft.send().await.body == expected, "{range}") }
    });
    futures_util::future::join_all(reads).await;
    let requests = upstream_requests(&proxy).await - before;
    // Of each reader: a look, the first header, one more header and the bytes; and of one the walk.
    let bound = 20 * 4 + parts as u64 + 1;
    assert!(requests <= bound, "{requests} requests, and not {bound}");
    proxy.stop().await;
}

async fn upstream_requests(proxy: &Proxy) -> u64 {
    let metrics = proxy.metrics().await;
    let name = "s3seal_upstream_seconds_count{operation=\"GetObject\"}";
    let line = metrics.lines().find(|line| line.starts_with(name));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// What the proxy knows of an object is of one entity tag: an upstream that ignores `If-Match` does
/// not get bytes of another one through.
#[tokio::test]
async fn a_multipart_object_is_not_mixed_with_the_one_that_replaced_it() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    for (turn, byte) in [b'a', b'b', b'c'].into_iter().enumerate() {
        let part = Bytes::from(vec![byte; 6 * MIB + turn]);
        let id = create(&client, "object").await;
        let etag = put(&client, "object", &id, 1, part.clone()).await;
        assert_eq!(complete(&client, "object", &id, &[etag]).await.status, 200);
        for range in ["bytes=100000-100009", "bytes=-10", "bytes=5000000-"] {
            let get = client.draft("GET", "/bucket/object").header("range", range);
            let get = get.send().await;
            assert_eq!(get.status, 206, "{range}");
            assert!(get.body.iter().all(|it| *it == byte), "{range}");
        }
        let part = client.get("/bucket/object?partNumber=1").await;
        assert_eq!(
            (part.status.as_u16(), part.body.len()),
            (206, 6 * MIB + turn)
        );
    }
    proxy.stop().await;
}

#[tokio::test]
async fn a_part_that_is_too_large_is_refused_before_it_is_read() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let id = create(&client, "object").await;
    for (len, code) in [
        (5_368_692_481_u64, "EntityTooLarge"),
        (u64::MAX, "EntityTooLarge"),
    ] {
        let put = client.draft("PUT", &target("object", &id, Some(1)));
        let put = put
            .payload(PayloadHash::Text(
                "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
            ))
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", &len.to_string())
            .header("x-amz-trailer", "x-amz-checksum-crc32");
        let refused = put.body("0\r\n\r\n").send().await;
        assert_eq!(
            (refused.status.as_u16(), &*refused.code()),
            (400, code),
            "{len}"
        );
    }
    for number in ["0", "10001", "x", "-1", "%2B1", "%201", ""] {
        let id = s3seal::s3::uri::encode_component(id.as_bytes()).into_owned();
        let target = format!("/bucket/object?partNumber={number}&uploadId={id}");
        let refused = client.put(&target, "x").await;
        assert_eq!(
            (refused.status.as_u16(), &*refused.code()),
            (400, "InvalidArgument"),
            "{number}"
        );
    }
    proxy.stop().await;
}

/// Room for the largest chunks of one request in either direction.
fn little_room() -> Options {
    Options {
        tables: "[crypto]\nchunk_memory_mib = 48".to_owned(),
        ..Options::default()
    }
}

/// Announces a part, whose body is sent once it is asked for.
async fn announce(client: &Client, address: SocketAddr, target: &str, len: u64) -> TcpStream {
    let draft = client.draft("PUT", target).payload(PayloadHash::Unsigned);
    let mut request = draft.header("expect", "100-continue").build();
    let headers = request.headers_mut();
    headers.insert("content-length", len.into());
    wire::begin(address, &request).await
}

/// Whether the body is asked for within this time.
async fn is_asked_for(stream: &mut TcpStream, patience: Duration) -> bool {
    let mut answer = [0; 12];
    let read = timeout(patience, stream.read_exact(&mut answer)).await;
    read.is_ok_and(|read| {
        read.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100");
        true
    })
}

#[tokio::test]
async fn p85_parts_with_large_chunks_wait_for_room() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, little_room()).await;
    let client = proxy.client();
    let id = create(&client, "object").await;
    let part = |number| target("object", &id, Some(number));
    let (long, short) = (Duration::from_secs(60), Duration::from_secs(1));
    let mut first = announce(&client, proxy.address, &part(1), 5_368_000_000).await;
    assert!(is_asked_for(&mut first, long).await);
    let mut large = announce(&client, proxy.address, &part(2), 70 << 20).await;
    assert!(!is_asked_for(&mut large, short).await, "there is no room");
    let mut usual = announce(&client, proxy.address, &part(3), 64 << 20).await;
    assert!(is_asked_for(&mut usual, long).await, "it needs none");
    drop(first);
    assert!(is_asked_for(&mut large, long).await, "now there is");
    drop((large, usual));
    proxy.stop().await;
}

#[tokio::test]
async fn p85_parts_with_large_chunks_are_written_read_and_copied_in_little_room() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, little_room()).await;
    let client = proxy.client();
    let whole = body(66 * MIB);
    let id = create(&client, "object").await;
    let etag = put(&client, "object", &id, 1, whole.clone()).await;
    let done = complete(&client, "object", &id, &[etag]).await;
    assert_eq!(done.status, 200, "{done:?}");
    let id = create(&client, "copy").await;
    let copy = client.draft("PUT", &target("copy", &id, Some(1)));
    let copy = copy
        .header("x-amz-copy-source", "bucket/object")
        .send()
        .await;
    assert_eq!(copy.status, 200, "{copy:?}");
    let etag = copy.element("ETag").replace("&quot;", "\"");
    let done = complete(&client, "copy", &id, &[etag]).await;
    assert_eq!(done.status, 200, "{done:?}");
    for key in ["object", "copy"] {
        let get = client.get(&format!("/bucket/{key}")).await;
        assert!(get.body == whole, "{key} came back changed");
        let range = client.draft("GET", &format!("/bucket/{key}"));
        let range = range.header("range", "bytes=1000000-2000000").send().await;
        assert!(range.body == whole[1_000_000..=2_000_000]);
    }
    proxy.stop().await;
}

/// An answer that made no sense once spoils no walk that comes after.
#[tokio::test]
async fn a_walk_that_failed_is_begun_anew() {
    let upstream = Embedded::start().await;
    let options = Options {
        rule: "range_layout = \"walk\"".to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    let whole = body(10 * MIB);
    let id = create(&client, "object").await;
    let mut etags = Vec::new();
    for number in 1..=2 {
        let part = whole.slice((number - 1) * 5 * MIB..number * 5 * MIB);
        etags.push(put(&client, "object", &id, number, part).await);
    }
    assert_eq!(complete(&client, "object", &id, &etags).await.status, 200);
    let file = upstream.file("object");
    let stored = std::fs::read(&file).unwrap();
    let mut broken = stored.clone();
    broken[5 * MIB + 16_640 + 40] ^= 1; // in the header of part 2
    let range = || {
        client
            .draft("GET", "/bucket/object")
            .header("range", "bytes=-5")
    };
    std::fs::write(&file, &broken).unwrap();
    assert_eq!(range().send().await.status, 500);
    std::fs::write(&file, &stored).unwrap();
    assert_eq!(range().send().await.body, whole.slice(10 * MIB - 5..));
    proxy.stop().await;
}

/// D42: what a completion leaves out is not kept for another one.
#[tokio::test]
async fn d42_a_completion_may_leave_parts_out() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let id = create(&client, "object").await;
    let one = put(&client, "object", &id, 1, body(5 * MIB)).await;
    put(&client, "object", &id, 2, body(7)).await;
    let done = complete(&client, "object", &id, &[one]).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert!(client.get("/bucket/object").await.body == body(5 * MIB));
    proxy.stop().await;
}
