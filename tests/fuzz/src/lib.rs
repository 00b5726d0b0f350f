//! What the targets share: small sealed objects to break.

use std::sync::Arc;

use bytes::BytesMut;
use s3seal::format::{
    Announced, BulkCipher, ContentHeader, ContentKey, Ending, HeaderPrefix, OpenEnds, Opener,
    PartNumber, Sealer, SegmentSealer, SingleSealer, Trailer, Walk,
};
use s3seal::keys::types::DataKey;

/// An object of up to 64 KiB, of either layout.
pub struct Sealed {
    key: Arc<ContentKey>,
    segmented: bool,
    pub stored: Vec<u8>,
}

impl Sealed {
    pub fn new(segmented: bool, len: u16) -> Self {
        let prefix = match segmented {
            true => HeaderPrefix::segmented([1; 32], Ending::Terminal),
            false => HeaderPrefix::single([1; 32]),
        };
        let data_key = DataKey::new([2; 32]);
        let (header, fresh) = ContentHeader::new(prefix, &data_key);
        let key = Arc::new(header.verify(&data_key).unwrap());
        let (cipher, part) = (BulkCipher::AwsLc, PartNumber::FIRST);
        let stored = match segmented {
            true => seal(SegmentSealer::new(cipher, &key, part, len.into(), [3; 32]).unwrap()),
            false => seal(SingleSealer::new(cipher, fresh, len.into()).unwrap()),
        };
        Self {
            key,
            segmented,
            stored,
        }
    }

    /// Opens a body, in pieces of `step` bytes: how many bytes it holds, or that it is refused.
    pub fn open(&self, stored: &[u8], step: u16) -> Option<usize> {
        let announced = Announced {
            stored_len: stored.len() as u64,
            parts: Some(1),
        };
        let cipher = BulkCipher::AwsLc;
        let mut opener = if self.segmented {
            let walk = Walk::new(self.key.prefix(), announced, OpenEnds::Refuse).ok()?;
            Opener::segmented(cipher, Arc::clone(&self.key), walk)
        } else {
            Opener::single(cipher, &self.key, announced.stored_len).ok()?
        };
        let (mut buffer, mut opened) = (BytesMut::new(), 0);
        for piece in stored.chunks(usize::from(step).max(1)) {
            buffer.extend_from_slice(piece);
            let _ = opener.push(&mut buffer, &mut |chunk| opened += chunk.len());
        }
        opener.finish().ok().map(|_| opened)
    }
}

fn seal(mut sealer: impl Sealer) -> Vec<u8> {
    let mut stored = sealer.prologue().to_vec();
    while let Some(length) = sealer.next_chunk_len() {
        let mut chunk = vec![0; length];
        let tag = sealer.seal_chunk(&mut chunk).unwrap();
        stored.extend_from_slice(&chunk);
        stored.extend_from_slice(tag.as_ref());
    }
    stored.extend_from_slice(&sealer.finish(&Trailer::EMPTY).unwrap());
    stored
}
