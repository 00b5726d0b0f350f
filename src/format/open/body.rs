//! Opens the chunks and the trailer of one body: what both layouts have in common.

use bytes::{Bytes, BytesMut};

use super::OpenError;
use crate::format::chunk::{ChunkSpan, Chunking};
use crate::format::cipher::{BodyCipher, BulkCipher};
use crate::format::derive::BodyKey;
use crate::format::nonce::NonceBase;
use crate::format::trailer::Trailer;
use crate::format::{TAG_LEN, TRAILER_LEN, TRAILER_PLAINTEXT_LEN};

/// Opens the pieces of one body: what both layouts have in common.
#[derive(Debug)]
pub(in crate::format) struct BodyOpener {
    cipher: BodyCipher,
    base: NonceBase,
}

impl BodyOpener {
    pub(in crate::format) fn new(cipher: BulkCipher, body: &BodyKey) -> Self {
        Self {
            cipher: BodyCipher::new(cipher, &body.key),
            base: body.base.clone(),
        }
    }

    /// Opens `chunk || tag` in place and returns the chunk.
    fn chunk(&self, index: u32, count: u32, mut sealed: BytesMut) -> Result<Bytes, OpenError> {
        let (chunk, tag) = sealed
            .split_last_chunk_mut::<TAG_LEN>()
            .ok_or(OpenError::Truncated)?;
        let length = chunk.len();
        self.cipher
            .open(self.base.chunk(index, count), NO_AAD, chunk, tag)
            .map_err(|_| OpenError::ChunkTag)?;
        sealed.truncate(length);
        Ok(sealed.freeze())
    }

    /// Opens `chunk || tag` into `plain`, which is as long as the chunk.
    fn chunk_apart(
        &self,
        (index, count): (u32, u32),
        sealed: &[u8],
        mut plain: BytesMut,
    ) -> Result<Bytes, OpenError> {
        let sealed = sealed
            .split_last_chunk::<TAG_LEN>()
            .ok_or(OpenError::Truncated)?;
        self.cipher
            .open_apart(self.base.chunk(index, count), NO_AAD, sealed, &mut plain)
            .map_err(|_| OpenError::ChunkTag)?;
        Ok(plain.freeze())
    }

    pub(in crate::format) fn trailer(
        &self,
        sealed: [u8; TRAILER_LEN],
    ) -> Result<Trailer, OpenError> {
        let mut content = [0; TRAILER_PLAINTEXT_LEN];
        let mut tag = [0; TAG_LEN];
        let (sealed_content, sealed_tag) = sealed.split_at(TRAILER_PLAINTEXT_LEN);
        content.copy_from_slice(sealed_content);
        tag.copy_from_slice(sealed_tag);
        self.cipher
            .open(self.base.trailer(), NO_AAD, &mut content, &tag)
            .map_err(|_| OpenError::TrailerTag)?;
        Ok(Trailer::parse(content)?)
    }
}

/// Opens consecutive chunks of one body.
#[derive(Debug)]
pub(in crate::format) struct ChunkOpener {
    body: BodyOpener,
    chunking: Chunking,
    /// `first <= next <= end`
    next: u32,
    /// Index behind the last chunk to open.
    end: u32,
}

impl ChunkOpener {
    pub(in crate::format) fn new(
        body: BodyOpener,
        chunking: Chunking,
        span: ChunkSpan,
    ) -> Result<Self, OpenError> {
        if span.first > span.last || span.last >= chunking.count() {
            return Err(OpenError::Span);
        }
        Ok(Self {
            body,
            chunking,
            next: span.first,
            end: span.last + 1,
        })
    }

    pub(in crate::format) fn chunking(&self) -> &Chunking {
        &self.chunking
    }

    /// Stored bytes of the next chunk, until all are opened.
    pub(in crate::format) fn wanted(&self) -> Option<usize> {
        (self.next < self.end).then(|| self.chunking.len_at(self.next) + TAG_LEN)
    }

    /// Opens the next chunk if it has been gathered.
    pub(in crate::format) fn next(
        &mut self,
        stored: &mut BytesMut,
    ) -> Result<Option<Bytes>, OpenError> {
        let Some(wanted) = self.wanted().filter(|wanted| *wanted <= stored.len()) else {
            return Ok(None);
        };
        let sealed = stored.split_to(wanted);
        let chunk = self.body.chunk(self.next, self.chunking.count(), sealed)?;
        self.next += 1;
        Ok(Some(chunk))
    }

    /// Opens the next chunk, which `sealed` is, into `plain`.
    pub(in crate::format) fn next_apart(
        &mut self,
        sealed: &[u8],
        plain: BytesMut,
    ) -> Result<Bytes, OpenError> {
        if self.wanted() != Some(sealed.len()) {
            return Err(OpenError::Span);
        }
        let place = (self.next, self.chunking.count());
        let chunk = self.body.chunk_apart(place, sealed, plain)?;
        self.next += 1;
        Ok(chunk)
    }

    /// Opens the trailer if it has been gathered.
    pub(in crate::format) fn trailer(
        &self,
        stored: &mut BytesMut,
    ) -> Result<Option<Trailer>, OpenError> {
        let Some(sealed) = stored.first_chunk::<TRAILER_LEN>() else {
            return Ok(None);
        };
        let trailer = self.body.trailer(*sealed)?;
        let _ = stored.split_to(TRAILER_LEN);
        Ok(Some(trailer))
    }
}

/// Bodies have no additional data: what they are bound to is in their keys.
const NO_AAD: &[u8] = &[];
