//! Tests of the format as a whole: frozen vectors, laws, and the reference model.

#![expect(
    clippy::cast_possible_truncation,
    reason = "sizes in tests fit every usize"
)]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::keys::types::DataKey;

mod interop;
mod laws;
mod segmented;
mod spec_example;
mod vectors;
mod wycheproof;

const CIPHERS: [BulkCipher; 2] = [BulkCipher::AwsLc, BulkCipher::AesGcm];

/// The plaintext of the vectors: byte i is (7 * i + 3) mod 256.
fn pattern(len: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..=255_u8)
        .map(|i| i.wrapping_mul(7).wrapping_add(3))
        .collect();
    period.iter().copied().cycle().take(len).collect()
}

/// The whole stored body. Every other chunk is sealed into another buffer.
fn seal(mut sealer: impl Sealer, plaintext: &[u8], trailer: &Trailer) -> Vec<u8> {
    let stored_len = sealer.stored_len();
    let mut stored = sealer.prologue().to_vec();
    let mut left = plaintext;
    let mut apart = false;
    while let Some(length) = sealer.next_chunk_len() {
        let (plain, rest) = left.split_at(length);
        left = rest;
        let mut chunk = plain.to_vec();
        let tag = if apart {
            chunk.fill(0xFF);
            sealer.seal_chunk_apart(plain, &mut chunk).unwrap()
        } else {
            sealer.seal_chunk(&mut chunk).unwrap()
        };
        apart = !apart;
        stored.extend_from_slice(&chunk);
        stored.extend_from_slice(tag.as_ref());
    }
    assert!(left.is_empty());
    stored.extend_from_slice(&sealer.finish(trailer).unwrap());
    assert_eq!(stored.len() as u64, stored_len);
    stored
}

fn seal_single(
    cipher: BulkCipher,
    data_key: &DataKey,
    object_id: [u8; 32],
    plaintext: &[u8],
    trailer: &Trailer,
) -> (ContentHeader, Vec<u8>) {
    let (header, key) = ContentHeader::new(HeaderPrefix::single(object_id), data_key);
    let sealer = SingleSealer::new(cipher, key, plaintext.len() as u64).unwrap();
    (header, seal(sealer, plaintext, trailer))
}

/// Pushes `stored` in pieces of these sizes, over and over, and checks on the way that a failure
/// is final. Whole chunks at the beginning of pieces of odd sizes are opened into another buffer.
/// Returns what was released, and how it ended.
fn open(
    mut opener: Opener,
    stored: &[u8],
    steps: impl IntoIterator<Item = usize>,
) -> (Vec<u8>, Result<Opened, OpenError>) {
    let mut plaintext = Vec::new();
    let mut buffer = BytesMut::new();
    let mut left = stored;
    let mut release = |chunk: Bytes| plaintext.extend_from_slice(&chunk);
    for step in steps {
        let (piece, rest) = left.split_at(step.min(left.len()));
        left = rest;
        let mut pushed = Ok(());
        let mut piece = piece;
        while pushed.is_ok()
            && step % 2 == 1
            && buffer.is_empty()
            && let Some(length) = opener.wanted_chunk()
            && let Some((chunk, behind)) = piece.split_at_checked(length)
        {
            let plain = BytesMut::from(vec![0xFF; length - TAG_LEN].as_slice());
            pushed = opener.push_apart(chunk, plain, &mut release);
            piece = behind;
        }
        buffer.extend_from_slice(piece);
        // Whoever has nothing more to push may finish at once.
        let is_all = piece.is_empty() && buffer.is_empty();
        let pushed = match pushed {
            Ok(()) if !is_all => opener.push(&mut buffer, &mut release),
            pushed => pushed,
        };
        if let Err(error) = pushed {
            let apart = opener.push_apart(&[], BytesMut::new(), &mut release);
            assert_eq!(apart, Err(error), "a failed opener stays failed");
            let again = opener.push(&mut BytesMut::new(), &mut release);
            assert_eq!(again, Err(error), "a failed opener stays failed");
            assert_eq!(opener.finish().unwrap_err(), error);
            return (plaintext, Err(error));
        }
        if left.is_empty() {
            break;
        }
    }
    assert!(left.is_empty(), "the steps end before the body does");
    let result = opener.finish();
    if result.is_ok() {
        assert!(buffer.is_empty());
    }
    (plaintext, result)
}

/// As [`open`] does it, all at once.
fn open_whole(opener: Opener, stored: &[u8]) -> (Vec<u8>, Result<Opened, OpenError>) {
    open(opener, stored, [usize::MAX])
}
