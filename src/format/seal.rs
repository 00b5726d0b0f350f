//! Seals a body chunk by chunk, in buffers of the caller.

use bytes::Bytes;
use thiserror::Error;

use super::chunk::Chunking;
use super::cipher::{BodyCipher, BulkCipher, Tag};
use super::derive::{BodyKey, ContentKey, FreshContentKey};
use super::nonce::{Nonce, SealNonces};
use super::segment::{PartNumber, SegmentFields};
use super::sizes::{SizeError, segment_stored_len, single_stored_len};
use super::trailer::Trailer;
use super::{Layout, SEGMENT_HEADER_LEN, TAG_LEN, TAG_SLOTS, TRAILER_LEN, TRAILER_PLAINTEXT_LEN};

/// Turns a plaintext of known length into a stored body: the prologue, every chunk with its tag
/// behind it, then what [`Sealer::finish`] returns.
///
/// A body can only be completed with exactly the bytes it was announced with. Whether these bytes
/// are what the client signed is for the caller to know before the last chunk and the end leave.
pub trait Sealer {
    /// Plaintext bytes of the whole body.
    fn plaintext_len(&self) -> u64;

    /// Stored bytes of the whole body.
    fn stored_len(&self) -> u64;

    /// What is stored before the first chunk; empty for a single object.
    fn prologue(&self) -> Bytes;

    /// Plaintext bytes of the next chunk; 0 for the only chunk of an empty body, `None` when all
    /// are sealed.
    fn next_chunk_len(&self) -> Option<usize>;

    /// Encrypts the next chunk in place; its tag is stored behind it. After an error of the cipher
    /// the body cannot be completed.
    fn seal_chunk(&mut self, chunk: &mut [u8]) -> Result<Tag, SealError>;

    /// Encrypts the next chunk from one buffer into another of the same length; otherwise as
    /// [`Sealer::seal_chunk`].
    fn seal_chunk_apart(&mut self, plain: &[u8], sealed: &mut [u8]) -> Result<Tag, SealError>;

    /// What is stored behind the last chunk. An error unless every chunk is sealed.
    fn finish(self, trailer: &Trailer) -> Result<Bytes, SealError>;
}

/// A body that cannot be sealed. The proxy is at fault, except for [`SealError::Size`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// Not the length that comes next.
    #[error("a chunk of {got} bytes came where one of {expected} is due")]
    ChunkLength {
        /// Bytes that [`Sealer::next_chunk_len`] says; 0 if all are sealed.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// The cipher failed, now or before.
    #[error("the cipher failed")]
    Cipher,
    /// The body was finished before all its bytes came.
    #[error("the body is not complete")]
    Incomplete,
    /// The key belongs to an object of the other layout.
    #[error("the key belongs to another layout")]
    Layout,
    /// The seal of an upload cannot be its first part.
    #[error("an upload cannot begin with its seal")]
    SealPart,
    /// The client's body is too large for one request.
    #[error(transparent)]
    Size(#[from] SizeError),
}

/// Seals a layout 01 object.
#[derive(Debug)]
pub struct SingleSealer {
    chunks: ChunkSealer,
    stored_len: u64,
}

/// Seals one part of a layout 02 object: one UploadPart attempt.
#[derive(Debug)]
pub struct SegmentSealer {
    header: [u8; SEGMENT_HEADER_LEN],
    chunks: ChunkSealer,
    stored_len: u64,
}

/// Seals the chunks and the trailer of one body: what both layouts have in common.
#[derive(Debug)]
pub(super) struct ChunkSealer {
    cipher: BodyCipher,
    chunking: Chunking,
    nonces: SealNonces,
    failed: bool,
}

impl SingleSealer {
    /// Takes the key by value, as nothing else may be sealed under it. `plaintext_len` is an input
    /// of the body's key: it must be known before the first byte.
    pub fn new(
        cipher: BulkCipher,
        key: FreshContentKey,
        plaintext_len: u64,
    ) -> Result<Self, SealError> {
        let key = ContentKey::from(key);
        if key.prefix().layout() != Layout::Single {
            return Err(SealError::Layout);
        }
        let stored_len = single_stored_len(plaintext_len)?;
        let chunking = Chunking::single(plaintext_len);
        let body = key.single(plaintext_len);
        Ok(Self {
            chunks: ChunkSealer::new(cipher, body, chunking),
            stored_len,
        })
    }
}

impl Sealer for SingleSealer {
    fn plaintext_len(&self) -> u64 {
        self.chunks.chunking.plaintext_len()
    }

    fn stored_len(&self) -> u64 {
        self.stored_len
    }

    fn prologue(&self) -> Bytes {
        Bytes::new()
    }

    fn next_chunk_len(&self) -> Option<usize> {
        self.chunks.next_chunk_len()
    }

    fn seal_chunk(&mut self, chunk: &mut [u8]) -> Result<Tag, SealError> {
        self.chunks.seal_chunk(chunk)
    }

    fn seal_chunk_apart(&mut self, plain: &[u8], sealed: &mut [u8]) -> Result<Tag, SealError> {
        self.chunks.seal_chunk_apart(plain, sealed)
    }

    fn finish(self, trailer: &Trailer) -> Result<Bytes, SealError> {
        let sealed = self.chunks.seal_trailer(trailer)?;
        Ok(Bytes::copy_from_slice(&sealed))
    }
}

impl SegmentSealer {
    /// `plaintext_len` is known before the first byte. `salt` is 32 fresh random bytes for every
    /// attempt to upload a part, of which no two may seal under the same key and nonces.
    pub fn new(
        cipher: BulkCipher,
        key: &ContentKey,
        part: PartNumber,
        plaintext_len: u64,
        salt: [u8; 32],
    ) -> Result<Self, SealError> {
        let fields = SegmentFields {
            part,
            plaintext_len,
            salt,
            seal: false,
        };
        Self::with_fields(cipher, key, &fields)
    }

    /// The whole seal: the empty segment behind a last part that is not TERMINAL. Its salt is
    /// derived, so every seal of a part number is the same bytes and concurrent Completes agree.
    pub fn closing(
        cipher: BulkCipher,
        key: &ContentKey,
        part: PartNumber,
    ) -> Result<Bytes, SealError> {
        if part == PartNumber::FIRST {
            return Err(SealError::SealPart);
        }
        let fields = SegmentFields {
            part,
            plaintext_len: 0,
            salt: key.seal_salt(part.get()),
            seal: true,
        };
        Self::with_fields(cipher, key, &fields)?.close()
    }

    pub(super) fn with_fields(
        cipher: BulkCipher,
        key: &ContentKey,
        fields: &SegmentFields,
    ) -> Result<Self, SealError> {
        if key.prefix().layout() != Layout::Segmented {
            return Err(SealError::Layout);
        }
        let stored_len = segment_stored_len(fields.plaintext_len)?;
        let encoded = fields.encode(key.prefix().object_id());
        let (body, commitment) = key.segment(&encoded);
        let mut header = [0; SEGMENT_HEADER_LEN];
        let (head, tail) = header.split_at_mut(encoded.len());
        head.copy_from_slice(&encoded);
        tail.copy_from_slice(&commitment);
        Ok(Self {
            header,
            chunks: ChunkSealer::new(cipher, body, fields.chunking()),
            stored_len,
        })
    }

    /// The whole segment of an empty part without checksums.
    pub(super) fn close(mut self) -> Result<Bytes, SealError> {
        let tag = self.seal_chunk(&mut [])?;
        let mut segment = self.header.to_vec();
        segment.extend_from_slice(tag.as_ref());
        segment.extend_from_slice(&self.finish(&Trailer::EMPTY)?);
        Ok(segment.into())
    }
}

impl Sealer for SegmentSealer {
    fn plaintext_len(&self) -> u64 {
        self.chunks.chunking.plaintext_len()
    }

    fn stored_len(&self) -> u64 {
        self.stored_len
    }

    fn prologue(&self) -> Bytes {
        Bytes::copy_from_slice(&self.header)
    }

    fn next_chunk_len(&self) -> Option<usize> {
        self.chunks.next_chunk_len()
    }

    fn seal_chunk(&mut self, chunk: &mut [u8]) -> Result<Tag, SealError> {
        self.chunks.seal_chunk(chunk)
    }

    fn seal_chunk_apart(&mut self, plain: &[u8], sealed: &mut [u8]) -> Result<Tag, SealError> {
        self.chunks.seal_chunk_apart(plain, sealed)
    }

    fn finish(self, trailer: &Trailer) -> Result<Bytes, SealError> {
        let mut end = vec![0; padding_len(&self.chunks.chunking)];
        end.extend_from_slice(&self.chunks.seal_trailer(trailer)?);
        Ok(end.into())
    }
}

/// Zeros between the last chunk of a segment and its trailer: one tag for each slot left over.
pub(super) fn padding_len(chunking: &Chunking) -> usize {
    let used = usize::try_from(chunking.count()).unwrap_or(usize::MAX);
    usize::from(TAG_SLOTS).saturating_sub(used) * TAG_LEN
}

impl ChunkSealer {
    pub(super) fn new(cipher: BulkCipher, body: BodyKey, chunking: Chunking) -> Self {
        Self {
            cipher: BodyCipher::new(cipher, &body.key),
            chunking,
            nonces: SealNonces::new(body.base, chunking.count()),
            failed: false,
        }
    }

    pub(super) fn next_chunk_len(&self) -> Option<usize> {
        let index = self.nonces.index()?;
        Some(self.chunking.len_at(index))
    }

    pub(super) fn seal_chunk(&mut self, chunk: &mut [u8]) -> Result<Tag, SealError> {
        self.check_len(chunk.len())?;
        let nonce = self.nonce()?;
        let sealed = self.cipher.seal(nonce, NO_AAD, chunk);
        self.failed |= sealed.is_err();
        sealed.map_err(|_| SealError::Cipher)
    }

    fn seal_chunk_apart(&mut self, plain: &[u8], sealed: &mut [u8]) -> Result<Tag, SealError> {
        self.check_len(plain.len())?;
        let nonce = self.nonce()?;
        let tag = self.cipher.seal_apart(nonce, NO_AAD, plain, sealed);
        self.failed |= tag.is_err();
        tag.map_err(|_| SealError::Cipher)
    }

    fn check_len(&self, got: usize) -> Result<(), SealError> {
        match self.next_chunk_len() {
            Some(expected) if expected == got => Ok(()),
            expected => Err(SealError::ChunkLength {
                expected: expected.unwrap_or_default(),
                got,
            }),
        }
    }

    /// The nonce is spent before the cipher runs, so that no error can bring it back.
    fn nonce(&mut self) -> Result<Nonce, SealError> {
        self.nonces.next_chunk().ok_or(SealError::Cipher)
    }

    pub(super) fn seal_trailer(self, trailer: &Trailer) -> Result<[u8; TRAILER_LEN], SealError> {
        if self.failed {
            return Err(SealError::Cipher);
        }
        let nonce = self.nonces.trailer().ok_or(SealError::Incomplete)?;
        let mut sealed = [0; TRAILER_LEN];
        let (content, tag_slot) = sealed.split_at_mut(TRAILER_PLAINTEXT_LEN);
        content.copy_from_slice(trailer.as_bytes());
        let tag = self
            .cipher
            .seal(nonce, NO_AAD, content)
            .map_err(|_| SealError::Cipher)?;
        tag_slot.copy_from_slice(tag.as_ref());
        Ok(sealed)
    }
}

/// Bodies have no additional data: what they are bound to is in their keys.
const NO_AAD: &[u8] = &[];
