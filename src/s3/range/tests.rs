//! Ranges: grammar, arithmetic and their laws.

use proptest::prelude::*;

use super::*;

#[test]
fn reads_the_three_forms() {
    let cases = [
        ("bytes=0-0", ByteRange::Closed { first: 0, last: 0 }),
        ("bytes=5-9", ByteRange::Closed { first: 5, last: 9 }),
        ("Bytes=5-", ByteRange::From { first: 5 }),
        (" bytes=-7 ", ByteRange::Suffix { len: 7 }),
        ("bytes=-0", ByteRange::Suffix { len: 0 }),
        (
            "bytes=0-99999999999999999999999",
            ByteRange::Closed {
                first: 0,
                last: u64::MAX,
            },
        ),
    ];
    for (text, range) in cases {
        assert_eq!(ByteRange::parse(text), Some(range), "{text}");
    }
}

#[test]
fn ignores_what_it_cannot_read() {
    for text in [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-3",
        "bytes=0-1,3-4",
        "bytes=0-1,",
        "items=0-1",
        "bytes=+1-2",
        "bytes=1 -2",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes=0x1-2",
        "0-1",
    ] {
        assert_eq!(ByteRange::parse(text), None, "{text}");
    }
}

#[test]
fn clamps_to_the_object_and_refuses_what_lies_behind_it() {
    let resolve = |text: &str, size| {
        let range = ByteRange::parse(text).unwrap().resolve(size);
        range.map(|range| (range.first(), range.last(), range.len()))
    };
    assert_eq!(resolve("bytes=0-", 10), Ok((0, 9, 10)));
    assert_eq!(resolve("bytes=3-100", 10), Ok((3, 9, 7)));
    assert_eq!(resolve("bytes=9-9", 10), Ok((9, 9, 1)));
    assert_eq!(resolve("bytes=-3", 10), Ok((7, 9, 3)));
    assert_eq!(resolve("bytes=-100", 10), Ok((0, 9, 10)));
    assert_eq!(resolve("bytes=10-", 10), Err(Unsatisfiable));
    assert_eq!(resolve("bytes=-0", 10), Err(Unsatisfiable));
    for any in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
        assert_eq!(
            resolve(any, 0),
            Err(Unsatisfiable),
            "{any} of an empty object"
        );
    }
    assert_eq!(
        resolve("bytes=-5", u64::MAX),
        Ok((u64::MAX - 5, u64::MAX - 1, 5))
    );
}

#[test]
fn content_range_is_read_strictly() {
    let read = ContentRange::parse("bytes 0-127/144").unwrap();
    assert_eq!((read.range.len(), read.total), (128, 144));
    for text in [
        "bytes 0-127/*",
        "bytes */144",
        "bytes 5-4/10",
        "bytes 0-10/10",
        "0-1/2",
        "bytes=0-1/2",
        "bytes 0-1/99999999999999999999",
        "bytes +0-1/2",
        "bytes 0-1",
        "bytes  0-1/2",
        "",
    ] {
        assert_eq!(ContentRange::parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn printed_ranges_read_back(range in any_range()) {
        prop_assert_eq!(ByteRange::parse(&range.to_string()), Some(range));
    }

    /// A resolved range is the slice that a plain reading of RFC 9110 selects.
    #[test]
    fn resolving_selects_the_slice(size in 0u64..300, first in 0u64..400, extra in 0u64..400) {
        let bytes: Vec<u64> = (0..size).collect();
        let cases = [
            (ByteRange::Closed { first, last: first + extra }, first..first + extra + 1),
            (ByteRange::From { first }, first..size),
            (ByteRange::Suffix { len: first }, size.saturating_sub(first)..size),
        ];
        for (range, wanted) in cases {
            let slice: Vec<u64> = bytes.iter().copied().filter(|at| wanted.contains(at)).collect();
            match range.resolve(size) {
                Ok(got) => {
                    prop_assert_eq!(got.len(), slice.len() as u64);
                    prop_assert_eq!(Some(&got.first()), slice.first());
                    prop_assert_eq!(Some(&got.last()), slice.last());
                    let shown = ContentRange { range: got, total: size };
                    prop_assert_eq!(ContentRange::parse(&shown.to_string()), Some(shown));
                }
                Err(Unsatisfiable) => prop_assert!(slice.is_empty()),
            }
        }
    }

    #[test]
    fn any_text_is_survived(text in ".*", size in any::<u64>()) {
        if let Some(range) = ByteRange::parse(&text) {
            let _ = range.resolve(size);
        }
        let _ = ContentRange::parse(&text);
    }
}

fn any_range() -> impl Strategy<Value = ByteRange> {
    prop_oneof![
        (any::<u64>(), any::<u64>()).prop_map(|(a, b)| ByteRange::Closed {
            first: a.min(b),
            last: a.max(b)
        }),
        any::<u64>().prop_map(|first| ByteRange::From { first }),
        any::<u64>().prop_map(|len| ByteRange::Suffix { len }),
    ]
}
