use proptest::prelude::*;

use super::*;

const SIGNED: Framing = Framing {
    signed: true,
    trailers: false,
};
const SIGNED_TRAILERS: Framing = Framing {
    signed: true,
    trailers: true,
};
const UNSIGNED_TRAILERS: Framing = Framing {
    signed: false,
    trailers: true,
};

/// What a body decodes to: the sizes of its chunks, all data, the trailers.
#[derive(Debug, Default, PartialEq)]
struct Decoded {
    chunks: Vec<u64>,
    ended: usize,
    data: Vec<u8>,
    trailers: Vec<(String, String)>,
}

fn decode<'a>(
    framing: Framing,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Decoded, ChunkedError> {
    let mut decoder = Decoder::new(framing);
    let mut out = Decoded::default();
    for piece in pieces {
        decoder.push::<ChunkedError>(Bytes::copy_from_slice(piece), &mut |event| {
            match event {
                Event::Chunk { len, signature } => {
                    assert_eq!(signature.is_some(), framing.signed);
                    out.chunks.push(len);
                }
                Event::Data(data) => {
                    assert!(!data.is_empty());
                    out.data.extend_from_slice(&data);
                }
                Event::ChunkEnd => out.ended += 1,
                Event::Trailer { name, value } => {
                    out.trailers.push((name.to_owned(), value.to_owned()));
                }
            }
            Ok(())
        })?;
    }
    decoder.finish()?;
    assert_eq!(out.ended, out.chunks.len());
    Ok(out)
}

fn encode(framing: Framing, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = Vec::new();
    for chunk in chunks.iter().map(Vec::as_slice).chain([b"".as_slice()]) {
        wire.extend_from_slice(format!("{:x}", chunk.len()).as_bytes());
        if framing.signed {
            wire.extend_from_slice(b";chunk-signature=");
            wire.extend_from_slice(&[b'a'; 64]);
        }
        wire.extend_from_slice(b"\r\n");
        if !chunk.is_empty() {
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
    }
    if framing.trailers {
        wire.extend_from_slice(b"x-amz-checksum-crc32:AAAAAA==\r\n");
    }
    wire.extend_from_slice(b"\r\n");
    wire
}

fn framings() -> impl Strategy<Value = Framing> {
    prop::sample::select(vec![SIGNED, SIGNED_TRAILERS, UNSIGNED_TRAILERS])
}

proptest! {
    #[test]
    fn any_split_decodes_to_the_same(
        framing in framings(),
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let wire = encode(framing, &chunks);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        cuts.extend([0, wire.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &wire[cut[0]..cut[1]]);
        let split = decode(framing, pieces).unwrap();
        prop_assert_eq!(&split.data, &chunks.concat());
        prop_assert_eq!(&split, &decode(framing, wire.chunks(1)).unwrap());
        prop_assert_eq!(split, decode(framing, [wire.as_slice()]).unwrap());
    }

    #[test]
    fn every_truncation_is_refused(
        framing in framings(),
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..3),
        cut in any::<prop::sample::Index>(),
    ) {
        let wire = encode(framing, &chunks);
        let cut = &wire[..cut.index(wire.len())];
        prop_assert_eq!(decode(framing, [cut]), Err(ChunkedError::Truncated));
    }

    #[test]
    fn any_bytes_end_in_a_verdict(framing in framings(), wire: Vec<u8>) {
        let whole = decode(framing, [wire.as_slice()]);
        prop_assert_eq!(whole, decode(framing, wire.chunks(1)));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn malformed_bodies_are_refused() {
    let signature = "a".repeat(64);
    let signed = [
        ("size without signature", "0\r\n\r\n".to_owned()),
        (
            "short signature",
            "0;chunk-signature=abc\r\n\r\n".to_owned(),
        ),
        (
            "other extension",
            format!("0;chunk-signaturE={signature}\r\n\r\n"),
        ),
        ("bare LF", format!("0;chunk-signature={signature}\n\n")),
        (
            "empty size",
            format!(";chunk-signature={signature}\r\n\r\n"),
        ),
        (
            "17 digits",
            format!("{};chunk-signature={signature}\r\n\r\n", "0".repeat(17)),
        ),
        (
            "signed size",
            format!("+0;chunk-signature={signature}\r\n\r\n"),
        ),
        (
            "blank before size",
            format!(" 0;chunk-signature={signature}\r\n\r\n"),
        ),
    ];
    for (case, wire) in signed {
        let refused = decode(SIGNED, [wire.as_bytes()]);
        assert_eq!(refused, Err(ChunkedError::Header), "{case}");
    }
    let unsigned = [
        (
            format!("0;chunk-signature={signature}\r\n\r\n"),
            ChunkedError::Header,
        ),
        ("0;a=b\r\n\r\n".to_owned(), ChunkedError::Header),
        ("g\r\n".to_owned(), ChunkedError::Header),
        ("3\r\nabcd\r\n".to_owned(), ChunkedError::ChunkEnd),
        ("3\r\nabc\n".to_owned(), ChunkedError::ChunkEnd),
        ("3\r\nabc\r\r\n".to_owned(), ChunkedError::ChunkEnd),
        ("0\r\nno colon\r\n\r\n".to_owned(), ChunkedError::Trailer),
        (
            "0\r\na:\u{fffd}\r\n".replace('\u{fffd}', "\u{1}"),
            ChunkedError::Truncated,
        ),
        (
            format!("0\r\n{}", "\r\n".repeat(9)),
            ChunkedError::TooManyTrailers,
        ),
        ("0".repeat(MAX_CHUNK_LINE), ChunkedError::LineTooLong),
        (
            format!("0\r\na:{}", "b".repeat(MAX_TRAILER_LINE)),
            ChunkedError::LineTooLong,
        ),
    ];
    for (wire, error) in unsigned {
        for piece in [1, wire.len()] {
            let refused = decode(UNSIGNED_TRAILERS, wire.as_bytes().chunks(piece));
            assert_eq!(refused, Err(error), "{wire:?}");
        }
    }
    let excess = format!("0;chunk-signature={signature}\r\n\r\nx");
    assert_eq!(
        decode(SIGNED, [excess.as_bytes()]),
        Err(ChunkedError::Excess)
    );
    let invalid_text = b"0\r\na:\xff\r\n\r\n".as_slice();
    assert_eq!(
        decode(UNSIGNED_TRAILERS, [invalid_text]),
        Err(ChunkedError::Trailer)
    );
}

#[test]
fn blank_lines_between_trailers_are_read_over() {
    let checksum = ("x-amz-checksum-crc32".to_owned(), "AAAAAA==".to_owned());
    for wire in [
        "0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
        "0\r\n\r\nx-amz-checksum-crc32: AAAAAA== \r\n\r\n",
        "0\r\nx-amz-checksum-crc32:AAAAAA==\n\r\n",
        "0\r\nx-amz-checksum-crc32:AAAAAA==\n\r\n\r\n",
    ] {
        let decoded = decode(UNSIGNED_TRAILERS, [wire.as_bytes()]).unwrap();
        assert_eq!(
            decoded.trailers,
            std::slice::from_ref(&checksum),
            "{wire:?}"
        );
    }
    let open = b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n".as_slice();
    assert_eq!(
        decode(UNSIGNED_TRAILERS, [open]),
        Err(ChunkedError::Truncated)
    );
}

#[test]
fn data_is_a_slice_of_what_was_pushed() {
    let wire = Bytes::from_static(b"5\r\nhello\r\n");
    let range = wire.as_ptr_range();
    let mut decoder = Decoder::new(UNSIGNED_TRAILERS);
    let mut seen = 0;
    decoder
        .push::<ChunkedError>(wire, &mut |event| {
            if let Event::Data(data) = event {
                assert!(range.contains(&data.as_ptr()));
                seen += data.len();
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, 5);
}

#[test]
fn an_error_is_final() {
    let mut decoder = Decoder::new(UNSIGNED_TRAILERS);
    let bad = decoder.push(Bytes::from_static(b"zz\r\n"), &mut |_| Ok(()));
    assert_eq!(bad, Err(ChunkedError::Header));
    let good = decoder.push(Bytes::from_static(b"0\r\n\r\n"), &mut |_| Ok(()));
    assert_eq!(good, Err(ChunkedError::Failed));
    assert_eq!(decoder.finish(), Err(ChunkedError::Failed));

    let mut decoder = Decoder::new(UNSIGNED_TRAILERS);
    let sink = &mut |_: Event<'_>| Err(ChunkedError::Excess);
    assert!(
        decoder
            .push(Bytes::from_static(b"0\r\n\r\n"), sink)
            .is_err()
    );
    assert_eq!(decoder.finish(), Err(ChunkedError::Failed));
}

#[test]
fn a_chunk_may_announce_any_size() {
    let mut decoder = Decoder::new(UNSIGNED_TRAILERS);
    let mut announced = 0;
    decoder
        .push::<ChunkedError>(
            Bytes::from_static(b"FFFFffffFFFFffff\r\nabc"),
            &mut |event| {
                if let Event::Chunk { len, .. } = event {
                    announced = len;
                }
                Ok(())
            },
        )
        .unwrap();
    assert_eq!(announced, u64::MAX);
}
