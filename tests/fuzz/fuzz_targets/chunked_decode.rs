//! aws-chunked bodies: no input panics, and a split changes nothing.
#![no_main]
use libfuzzer_sys::fuzz_target;
use s3seal::s3::chunked::{ChunkedError, Decoder, Framing};

fuzz_target!(|input: (bool, bool, &[u8])| {
    let (signed, trailers, wire) = input;
    let run = |piece: usize| {
        let mut decoder = Decoder::new(Framing { signed, trailers });
        let mut pieces = wire.chunks(piece).map(bytes::Bytes::copy_from_slice);
        pieces.try_for_each(|p| decoder.push::<ChunkedError>(p, &mut |_| Ok(())))?;
        decoder.finish()
    };
    assert_eq!(run(1), run(wire.len().max(1)));
});
