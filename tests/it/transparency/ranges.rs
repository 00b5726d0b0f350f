//! Ranges of plaintext, wherever the chunks of the ciphertext begin.

use super::pair::{Pair, Way, plaintext};

const LEN: usize = 2 << 20;

pub async fn five_hundred_random_ranges_equal_slices(pair: &Pair) {
    let body = plaintext(LEN);
    let put = pair
        .proxied
        .draft("PUT", "/key")
        .body(body.clone())
        .send()
        .await;
    assert_eq!(put.status, 200);
    let mut random = Random(0x5eed_0fa1_1ab1_e000);
    for index in 0..500 {
        let magnitude = random.below(19);
        let (first, len) = (random.below(LEN), 1 + random.below(1 << magnitude));
        let (range, slice) = match index % 5 {
            0 => (format!("{first}-"), first..LEN),
            1 => (format!("-{len}"), LEN.saturating_sub(len)..LEN),
            2 => (format!("{first}-{}", LEN + len), first..LEN),
            // Around the edges of chunks.
            3 => {
                let edge = 65_536 * (1 + random.below(30));
                let first = edge - random.below(3);
                (format!("{first}-{}", edge + 1), first..edge + 2)
            }
            _ => (
                format!("{first}-{}", first + len - 1),
                first..(first + len).min(LEN),
            ),
        };
        let get = pair
            .proxied
            .draft("GET", "/key")
            .header("range", &format!("bytes={range}"));
        let answer = get.send().await;
        assert_eq!(answer.status, 206, "{range}");
        let shown = format!("bytes {}-{}/{LEN}", slice.start, slice.end - 1);
        assert_eq!(
            answer.header("content-range"),
            Some(shown.as_str()),
            "{range}"
        );
        assert_eq!(
            answer.header("content-length"),
            Some(slice.len().to_string().as_str())
        );
        assert!(answer.body == body[slice], "{range}");
    }
}

pub async fn edge_cases_of_ranges_are_answered_alike(pair: &Pair) {
    let len = 150_000;
    pair.put("/key", plaintext(len)).await;
    pair.put("/empty", "").await;
    for range in [
        "bytes=0-0",
        "bytes=149999-149999",
        "bytes=149999-",
        "bytes=-1",
        "bytes=-4000",
        "bytes=0-149999",
        "bytes=0-",
        "bytes=65535-65536",
        "bytes=65536-131071",
        "bytes=131072-999999",
    ] {
        let get = |way: &Way| way.draft("GET", "/key").header("range", range);
        let answers = pair.same_success(range, get).await;
        assert_eq!(answers.proxied.status, 206, "{range}");
    }
    // Servers differ in the details of the error document, and in what they think malformed.
    for range in ["bytes=150000-", "bytes=150000-150001", "bytes=-0"] {
        let read = pair
            .proxied
            .draft("GET", "/key")
            .header("range", range)
            .send()
            .await;
        assert_eq!(
            (read.status.as_u16(), read.code().as_str()),
            (416, "InvalidRange"),
            "{range}"
        );
        assert_eq!(read.element("ActualObjectSize"), len.to_string(), "{range}");
    }
    for range in [
        "bytes=2-1",
        "bytes=x-",
        "octets=0-1",
        "bytes=0-1,5-6",
        "bytes=--1",
        "bytes=",
    ] {
        let read = pair
            .proxied
            .draft("GET", "/key")
            .header("range", range)
            .send()
            .await;
        assert_eq!(
            (read.status.as_u16(), read.body.len()),
            (200, len),
            "{range}"
        );
    }
    let empty = pair
        .proxied
        .draft("GET", "/empty")
        .header("range", "bytes=0-0")
        .send()
        .await;
    assert_eq!(
        (
            empty.status.as_u16(),
            empty.element("ActualObjectSize").as_str()
        ),
        (416, "0")
    );
}

/// The embedded server fails where a suffix is longer than the object.
pub async fn suffixes_longer_than_the_object_give_all_of_it(pair: &Pair) {
    for len in [1, 1_000, 150_000] {
        pair.put("/key", plaintext(len)).await;
        for suffix in [len, len + 1, len + 70_000, 1 << 40] {
            let get = |way: &Way| {
                way.draft("GET", "/key")
                    .header("range", &format!("bytes=-{suffix}"))
            };
            let answers = pair.same_success("a long suffix", get).await;
            assert_eq!(answers.proxied.body, plaintext(len));
        }
    }
}

/// Random enough, and the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}
