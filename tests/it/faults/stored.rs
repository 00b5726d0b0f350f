//! Stored objects that somebody with access to the storage has changed.

use data_encoding::BASE64URL_NOPAD;

use super::{Bench, LEN, OBJECT, STRIDE, assert_refused, plaintext};
use crate::support::Options;
use crate::support::chaos::Stored;
use crate::support::http1::Ending;

const HEADER: &str = "x-amz-meta-s3seal-header";
const KEY: &str = "x-amz-meta-s3seal-key";

/// Positions in every region of the stored bytes: chunks, their tags, the last chunk, the trailer.
fn regions(stored_len: usize) -> Vec<usize> {
    let trailer = stored_len - 128;
    vec![
        0,
        STRIDE / 2,
        STRIDE - 16,
        STRIDE - 1,
        STRIDE,
        2 * STRIDE - 1,
        3 * STRIDE - 17,
        3 * STRIDE,
        trailer - 17,
        trailer - 16,
        trailer - 1,
        trailer,
        trailer + 111,
        trailer + 112,
        stored_len - 1,
    ]
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_the_body_never_gives_wrong_plaintext() {
    let bench = Bench::with_object(Options::default(), LEN).await;
    let original = bench.chaos.stored(OBJECT).unwrap();
    for at in regions(original.body.len()) {
        let mut changed = original.clone();
        changed.body[at] ^= 0x40;
        bench.chaos.store(OBJECT, changed);
        bench
            .watch(None)
            .await
            .assert_failed(&plaintext(LEN), &format!("byte {at}"));
        // A range needs its own chunks only: right bytes, or an error.
        let range = bench.watch(Some("bytes=70000-140000")).await;
        let expected = &plaintext(LEN)[70_000..=140_000];
        if (STRIDE..3 * STRIDE).contains(&at) {
            range.assert_failed(expected, &format!("byte {at} in a range"));
        } else {
            assert_eq!(range.body, expected, "byte {at} outside a range");
        }
    }
    assert!(
        bench
            .has_metric("s3seal_integrity_failures_total{kind=\"body\"} 18")
            .await,
        "{}",
        bench.proxy.metrics().await
    );
}

#[tokio::test]
async fn a_change_in_a_small_object_is_a_clear_500_before_the_head() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    let original = bench.chaos.stored(OBJECT).unwrap();
    for at in [0, 999, 1_000, 1_015, 1_016, 1_143] {
        let mut changed = original.clone();
        changed.body[at] ^= 1;
        bench.chaos.store(OBJECT, changed);
        assert_refused(&bench.client.get(OBJECT).await, 500, "InternalError");
    }
}

#[tokio::test]
async fn a_change_behind_the_first_chunk_resets_the_connection() {
    let bench = Bench::with_object(Options::default(), LEN).await;
    let mut changed = bench.chaos.stored(OBJECT).unwrap();
    changed.body[2 * STRIDE] ^= 1;
    bench.chaos.store(OBJECT, changed);
    let answer = bench.watch(None).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.ending, Ending::Reset);
    assert_eq!(answer.head.content_length(), LEN);
    assert!(answer.body.len() <= 2 * 65_536 && plaintext(LEN).starts_with(&answer.body));
}

#[tokio::test]
async fn truncated_and_extended_objects_cannot_be_read_not_even_one_byte() {
    let bench = Bench::with_object(Options::default(), LEN).await;
    let original = bench.chaos.stored(OBJECT).unwrap();
    let whole = original.body.len();
    let mut lengths = vec![
        1,
        143,
        144,
        STRIDE,
        STRIDE + 128,
        3 * STRIDE,
        3 * STRIDE + 128,
    ];
    lengths.extend([
        whole - 128,
        whole - 16,
        whole - 1,
        whole + 1,
        whole + 128,
        whole + STRIDE,
    ]);
    for len in lengths {
        let mut changed = original.clone();
        changed.body.resize(len, 0);
        bench.chaos.store(OBJECT, changed);
        for range in [None, Some("bytes=0-0"), Some("bytes=-1"), Some("bytes=5-")] {
            let answer = bench.watch(range).await;
            assert!(
                answer.status() >= 400 || answer.body.is_empty(),
                "{len} {range:?}: {:?}",
                answer.head
            );
            answer.assert_failed(&[], &format!("{len} bytes, {range:?}"));
        }
    }
}

#[tokio::test]
async fn a_plaintext_object_is_refused_and_counted() {
    let bench = Bench::start(Options::default()).await;
    let plain = Stored {
        headers: Vec::new(),
        body: b"SECRET".repeat(100),
    };
    bench.chaos.store(OBJECT, plain);
    for range in [None, Some("bytes=0-5")] {
        let answer = bench.watch(range).await;
        assert_eq!(answer.status(), 403);
        assert!(
            String::from_utf8(answer.body)
                .unwrap()
                .contains("<Code>AccessDenied</Code>")
        );
    }
    let head = bench.client.draft("HEAD", OBJECT).send().await;
    assert_eq!((head.status.as_u16(), head.body.len()), (403, 0));
    assert!(
        bench
            .has_metric("s3seal_integrity_failures_total{kind=\"plaintext\"} 3")
            .await
    );
}

#[tokio::test]
async fn a_plaintext_object_is_served_unchanged_where_the_rule_says_so() {
    let options = Options {
        rule: "plaintext_reads = \"allow\"".to_owned(),
        ..Options::default()
    };
    let bench = Bench::start(options).await;
    let plain = Stored {
        headers: Vec::new(),
        body: plaintext(LEN).to_vec(),
    };
    bench.chaos.store(OBJECT, plain);
    assert_eq!(bench.client.get(OBJECT).await.body, plaintext(LEN));
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=70000-140000", 70_000, 140_000),
        ("bytes=-5", LEN - 5, LEN - 1),
        ("bytes=199999-", LEN - 1, LEN - 1),
    ] {
        let answer = bench.watch(Some(range)).await;
        assert_eq!(answer.status(), 206, "{range}");
        assert_eq!(answer.body, plaintext(LEN)[first..=last], "{range}");
        let shown = format!("bytes {first}-{last}/{LEN}");
        assert_eq!(answer.head.header("content-range"), Some(shown.as_str()));
    }
}

#[tokio::test]
async fn an_empty_object_without_metadata_is_refused_unless_it_is_a_folder() {
    let bench = Bench::start(Options::default()).await;
    bench.chaos.store(OBJECT, Stored::default());
    assert_refused(&bench.client.get(OBJECT).await, 403, "AccessDenied");
    bench.chaos.store("/bucket/folder/", Stored::default());
    let folder = bench.client.get("/bucket/folder/").await;
    assert_eq!((folder.status.as_u16(), folder.body.len()), (200, 0));
    // One with our metadata is never empty.
    bench.client.put("/bucket/folder/", "x").await;
    let mut emptied = bench.chaos.stored("/bucket/folder/").unwrap();
    emptied.body.clear();
    bench.chaos.store("/bucket/folder/", emptied);
    assert!(bench.client.get("/bucket/folder/").await.status.as_u16() >= 400);
}

#[tokio::test]
async fn metadata_that_is_missing_doubled_or_broken_is_refused() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    let original = bench.chaos.stored(OBJECT).unwrap();
    let refused = async |what: &str, change: &dyn Fn(&mut Stored)| {
        let mut changed = original.clone();
        change(&mut changed);
        bench.chaos.store(OBJECT, changed);
        for method in ["GET", "HEAD"] {
            let answer = bench.client.draft(method, OBJECT).send().await;
            assert_eq!(answer.status, 500, "{what}: {answer:?}");
        }
    };
    let twice = |name: &'static str| {
        move |stored: &mut Stored| {
            let value = stored.header(name).unwrap().to_owned();
            stored.headers.push((name.to_owned(), value));
        }
    };
    refused("no header", &|stored| stored.remove(HEADER)).await;
    refused("no key", &|stored| stored.remove(KEY)).await;
    refused("two headers", &twice(HEADER)).await;
    refused("two keys", &twice(KEY)).await;
    refused("another name", &|stored| {
        stored.set("x-amz-meta-s3seal-v2", "AA");
    })
    .await;
    for garbage in ["", "AA", "%%%%", "AAAA===="] {
        refused("a garbage header", &|stored| stored.set(HEADER, garbage)).await;
        refused("a garbage key", &|stored| stored.set(KEY, garbage)).await;
    }
    for name in [HEADER, KEY] {
        let truncated = original.header(name).unwrap()[4..].to_owned();
        refused("a truncated value", &|stored| stored.set(name, &truncated)).await;
    }
}

#[tokio::test]
async fn every_changed_byte_of_header_and_envelope_is_refused() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    let original = bench.chaos.stored(OBJECT).unwrap();
    for name in [HEADER, KEY] {
        let bytes = BASE64URL_NOPAD
            .decode(original.header(name).unwrap().as_bytes())
            .unwrap();
        for at in 0..bytes.len() {
            let mut changed = original.clone();
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            changed.set(name, &BASE64URL_NOPAD.encode(&bytes));
            bench.chaos.store(OBJECT, changed);
            let answer = bench.client.get(OBJECT).await;
            // A version of a key that does not exist is the key's trouble.
            let is_refused = matches!(answer.status.as_u16(), 400 | 500);
            assert!(is_refused, "{name} byte {at}: {answer:?}");
        }
    }
}

/// Replaces a byte, or a name of the same length, in the stored envelope.
fn edit_envelope(bench: &Bench, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut stored = bench.chaos.stored(OBJECT).unwrap();
    let mut bytes = BASE64URL_NOPAD
        .decode(stored.header(KEY).unwrap().as_bytes())
        .unwrap();
    edit(&mut bytes);
    stored.set(KEY, &BASE64URL_NOPAD.encode(&bytes));
    bench.chaos.store(OBJECT, stored);
}

fn rename_key(bytes: &mut [u8], to: &str) {
    let at = bytes
        .windows(7)
        .position(|window| window == b"default")
        .unwrap();
    bytes[at..at + 7].copy_from_slice(to.as_bytes());
}

#[tokio::test]
async fn an_envelope_that_names_another_key_never_reaches_a_provider() {
    for name in ["managed", "unknown"] {
        let bench = Bench::with_object(Options::default(), 1_000).await;
        edit_envelope(&bench, |bytes| rename_key(bytes, name));
        let before = unwraps(&bench).await;
        assert_refused(&bench.client.get(OBJECT).await, 500, "InternalError");
        let metrics = bench.proxy.metrics().await;
        assert!(
            metrics.contains("s3seal_integrity_failures_total{kind=\"policy\"} 1"),
            "{metrics}"
        );
        assert_eq!(unwraps(&bench).await, before);
    }
}

/// How often a provider was asked to unwrap; the probes of the start are among them.
async fn unwraps(bench: &Bench) -> Vec<String> {
    let metrics = bench.proxy.metrics().await;
    metrics
        .lines()
        .filter(|line| line.contains("call=\"unwrap\""))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn another_accepted_key_does_not_open_what_it_did_not_wrap() {
    let rule = "accept_keys = [\"default\", \"tenant\"]".to_owned();
    let bench = Bench::with_object(
        Options {
            rule,
            ..Options::default()
        },
        1_000,
    )
    .await;
    edit_envelope(&bench, |bytes| {
        let at = bytes
            .windows(7)
            .position(|window| window == b"default")
            .unwrap();
        bytes.splice(at..at + 7, *b"tenant");
        bytes[at - 1] = 6;
    });
    assert_refused(&bench.client.get(OBJECT).await, 500, "InternalError");
    assert!(
        bench
            .has_metric("s3seal_integrity_failures_total{kind=\"unwrap\"} 1")
            .await,
        "{}",
        bench.proxy.metrics().await
    );
}

#[tokio::test]
async fn a_binding_weaker_than_the_rule_is_refused() {
    let bench = Bench::with_object(Options::default(), 1_000).await;
    for binding in [0, 1] {
        edit_envelope(&bench, |bytes| bytes[4] = binding);
        assert_refused(&bench.client.get(OBJECT).await, 500, "InternalError");
    }
    assert!(
        bench
            .has_metric("s3seal_integrity_failures_total{kind=\"policy\"} 2")
            .await
    );
}

#[tokio::test]
async fn a_rewritten_binding_is_refused_where_the_rule_would_accept_it() {
    let options = Options {
        rule: "binding = \"none\"".to_owned(),
        ..Options::default()
    };
    let bench = Bench::with_object(options, 1_000).await;
    for binding in [1, 2] {
        edit_envelope(&bench, |bytes| bytes[4] = binding);
        assert_refused(&bench.client.get(OBJECT).await, 500, "InternalError");
    }
    assert!(
        bench
            .has_metric("s3seal_integrity_failures_total{kind=\"unwrap\"} 2")
            .await
    );
}

#[tokio::test]
async fn an_object_moved_to_another_key_or_bucket_is_refused() {
    let bench = Bench::with_object(Options::default(), LEN).await;
    let stored = bench.chaos.stored(OBJECT).unwrap();
    for place in ["/bucket/moved", "/another/object"] {
        bench.chaos.store(place, stored.clone());
        assert_refused(&bench.client.get(place).await, 500, "InternalError");
        let range = bench
            .client
            .draft("GET", place)
            .header("range", "bytes=0-0")
            .send()
            .await;
        assert_refused(&range, 500, "InternalError");
    }
    assert!(
        bench
            .has_metric("s3seal_integrity_failures_total{kind=\"unwrap\"} 4")
            .await
    );
}

#[tokio::test]
async fn metadata_of_one_object_does_not_open_the_body_of_another() {
    let bench = Bench::with_object(Options::default(), LEN).await;
    let first = bench.chaos.stored(OBJECT).unwrap();
    bench.client.put(OBJECT, plaintext(LEN)).await;
    let mut spliced = bench.chaos.stored(OBJECT).unwrap();
    assert_ne!(spliced.body, first.body, "the same plaintext twice");
    spliced.body[..STRIDE].copy_from_slice(&first.body[..STRIDE]);
    bench.chaos.store(OBJECT, spliced.clone());
    bench
        .watch(None)
        .await
        .assert_failed(&[], "a chunk of another version");
    spliced.body = first.body;
    bench.chaos.store(OBJECT, spliced);
    bench
        .watch(None)
        .await
        .assert_failed(&[], "the body of another version");
}
