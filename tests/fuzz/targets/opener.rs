//! A sealed body with any damage: nothing but a true prefix is released, and never a complete object.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use s3seal::format::{BulkCipher, ContentHeader, HeaderPrefix, Opener, Sealer, SingleSealer, Trailer};
use s3seal::keys::types::DataKey;

/// (header, plaintext, stored body) of `len` bytes.
fn sealed(len: usize) -> (ContentHeader, Vec<u8>, Vec<u8>) {
    let plaintext: Vec<u8> = (0..len).map(|i| (i * 7 + 3) as u8).collect();
    let (header, key) = ContentHeader::new(HeaderPrefix::single([9; 32]), &DataKey::new([7; 32]));
    let mut sealer = SingleSealer::new(BulkCipher::AwsLc, key, len as u64).unwrap();
    let (mut stored, mut rest) = (Vec::new(), plaintext.as_slice());
    while let Some(len) = sealer.next_chunk_len() {
        let (now, later) = rest.split_at(len);
        let mut chunk = now.to_vec();
        let tag = sealer.seal_chunk(&mut chunk).unwrap();
        stored.extend(chunk.iter().chain(tag.as_ref()));
        rest = later;
    }
    stored.extend_from_slice(&sealer.finish(&Trailer::default()).unwrap());
    (header, plaintext, stored)
}

// len: of the plaintext; cut: bytes taken off the end; damage: XORed in at `at`.
fuzz_target!(|input: (u32, u16, u32, &[u8])| {
    let (len, cut, at, damage) = input;
    let (header, plaintext, whole) = sealed(len as usize % 200_000);
    let mut stored = whole.clone();
    stored.truncate(stored.len() - usize::from(cut).min(stored.len()));
    let at = at as usize % (stored.len() + 1);
    for (byte, flip) in stored[at..].iter_mut().zip(damage) {
        *byte ^= flip;
    }
    let key = header.verify(&DataKey::new([7; 32])).unwrap();
    let Ok(mut opener) = Opener::single(BulkCipher::AwsLc, &key, stored.len() as u64) else {
        return assert_ne!(stored, whole);
    };
    let mut released = Vec::new();
    let pushed = opener.push(&mut BytesMut::from(&stored[..]), &mut |bytes| released.extend(bytes));
    let opened = pushed.and_then(|()| opener.finish());
    assert_eq!(opened.is_ok(), stored == whole);
    assert!(plaintext.starts_with(&released));
    assert!(opened.is_ok() || released.len() < plaintext.len() || plaintext.is_empty());
});
