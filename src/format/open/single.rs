//! Opens layout 01: a whole object, or some of its chunks.

use bytes::{Bytes, BytesMut};

use super::body::{BodyOpener, ChunkOpener};
use super::{OpenError, Opened};
use crate::format::chunk::{ChunkSpan, Chunking};
use crate::format::cipher::BulkCipher;
use crate::format::derive::ContentKey;
use crate::format::sizes::single_plaintext_len;
use crate::format::trailer::Trailer;
use crate::format::{Layout, TRAILER_LEN};

#[derive(Debug)]
pub(super) struct SingleOpener {
    chunks: ChunkOpener,
    /// Whether the trailer belongs to what is read.
    whole: bool,
    /// The last chunk of a whole object, until the trailer has been verified.
    held: Option<Bytes>,
    trailer: Option<Trailer>,
    released: u64,
}

impl SingleOpener {
    pub(super) fn new(
        cipher: BulkCipher,
        key: &ContentKey,
        stored_len: u64,
        span: Option<ChunkSpan>,
    ) -> Result<Self, OpenError> {
        if key.prefix().layout() != Layout::Single {
            return Err(OpenError::Layout);
        }
        let plaintext_len = single_plaintext_len(stored_len)?;
        let chunking = Chunking::single(plaintext_len);
        let body = BodyOpener::new(cipher, &key.single(plaintext_len));
        Ok(Self {
            chunks: ChunkOpener::new(body, chunking, span.unwrap_or_else(|| chunking.whole()))?,
            whole: span.is_none(),
            held: None,
            trailer: None,
            released: 0,
        })
    }

    pub(super) fn push(
        &mut self,
        stored: &mut BytesMut,
        out: &mut impl FnMut(Bytes),
    ) -> Result<(), OpenError> {
        while let Some(chunk) = self.chunks.next(stored)? {
            self.opened(chunk, out);
        }
        if self.chunks.wanted().is_some() {
            return Ok(());
        }
        if self.whole && self.trailer.is_none() {
            self.trailer = self.chunks.trailer(stored)?;
            if self.trailer.is_none() {
                return Ok(());
            }
        }
        if !stored.is_empty() {
            return Err(OpenError::Extended);
        }
        if let Some(chunk) = self.held.take() {
            self.release(chunk, out);
        }
        Ok(())
    }

    pub(super) fn wanted_chunk(&self) -> Option<usize> {
        self.chunks.wanted()
    }

    pub(super) fn push_apart(
        &mut self,
        sealed: &[u8],
        plain: BytesMut,
        out: &mut impl FnMut(Bytes),
    ) -> Result<(), OpenError> {
        let chunk = self.chunks.next_apart(sealed, plain)?;
        self.opened(chunk, out);
        Ok(())
    }

    /// Releases the chunk that was opened last, unless the trailer comes behind it.
    fn opened(&mut self, chunk: Bytes, out: &mut impl FnMut(Bytes)) {
        if self.whole && self.chunks.wanted().is_none() {
            self.held = Some(chunk);
        } else {
            self.release(chunk, out);
        }
    }

    fn release(&mut self, chunk: Bytes, out: &mut impl FnMut(Bytes)) {
        self.released += chunk.len() as u64;
        if !chunk.is_empty() {
            out(chunk);
        }
    }

    pub(super) fn wanted(&self) -> usize {
        let trailer = if self.whole && self.trailer.is_none() {
            TRAILER_LEN
        } else {
            0
        };
        self.chunks.wanted().unwrap_or(trailer)
    }

    pub(super) fn finish(self) -> Result<Opened, OpenError> {
        if self.wanted() > 0 {
            return Err(OpenError::Truncated);
        }
        Ok(Opened {
            plaintext_len: self.released,
            trailer: self.trailer,
        })
    }
}
