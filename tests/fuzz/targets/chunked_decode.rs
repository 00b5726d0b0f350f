//! An aws-chunked body in any shape: no panic, and the same result however it was split.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use s3seal::s3::chunked::{ChunkedError, Decoder, Event, Framing};

/// The data, everything else as text, and whether the body was complete.
fn decode(framing: Framing, wire: &[u8], piece: usize) -> Option<(Vec<u8>, Vec<String>)> {
    let (mut data, mut marks, mut decoder) = (Vec::new(), Vec::new(), Decoder::new(framing));
    for part in wire.chunks(piece) {
        let sink = &mut |event: Event<'_>| {
            match event {
                Event::Data(bytes) => data.extend_from_slice(&bytes),
                other => marks.push(format!("{other:?}")),
            }
            Ok::<(), ChunkedError>(())
        };
        decoder.push(Bytes::copy_from_slice(part), sink).ok()?;
    }
    decoder.finish().ok().map(|()| (data, marks))
}

fuzz_target!(|input: (bool, bool, &[u8])| {
    let (signed, trailers, wire) = input;
    let framing = Framing { signed, trailers };
    let whole = decode(framing, wire, wire.len().max(1));
    assert_eq!(whole, decode(framing, wire, 1));
    assert_eq!(whole, decode(framing, wire, 7));
});
