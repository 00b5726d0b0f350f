//! Opens a stored body chunk by chunk, in place, in the buffer that gathered it.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::chunk::{ChunkSpan, Chunking};
use super::cipher::{BodyCipher, BulkCipher};
use super::derive::{BodyKey, ContentKey};
use super::nonce::NonceBase;
use super::sizes::{SizeError, single_plaintext_len};
use super::trailer::{Trailer, TrailerError};
use super::{Layout, TAG_LEN, TRAILER_LEN, TRAILER_PLAINTEXT_LEN};

/// Turns stored bytes into plaintext. No byte leaves before its chunk is verified, and the end of a
/// whole body not before all of it is. Once it has failed it stays failed.
#[derive(Debug)]
pub struct Opener {
    state: State,
}

/// Proof that every stored byte that was asked for came and was verified.
#[derive(Debug)]
pub struct Opened {
    plaintext_len: u64,
    trailer: Option<Trailer>,
}

/// A stored body that must not be used. Whoever holds the stored object is at fault, except for
/// [`OpenError::Layout`] and [`OpenError::Span`], which are bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// A chunk is not what was sealed.
    #[error("a chunk failed verification")]
    ChunkTag,
    /// Bytes came behind the end of the body or span.
    #[error("there are bytes behind the end of the body")]
    Extended,
    /// The key belongs to an object of the other layout.
    #[error("the key belongs to another layout")]
    Layout,
    /// No plaintext has this stored size.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// The chunks asked for are not in the body.
    #[error("the span is not part of the body")]
    Span,
    /// The trailer is verified and malformed.
    #[error(transparent)]
    TrailerContent(#[from] TrailerError),
    /// The trailer is not what was sealed.
    #[error("the trailer failed verification")]
    TrailerTag,
    /// The body ended too early.
    #[error("the body ended too early")]
    Truncated,
}

#[derive(Debug)]
enum State {
    Single(Box<SingleOpener>),
    Failed(OpenError),
}

impl Opener {
    /// Opens a whole layout 01 object of `stored_len` bytes. The last chunk is held back until the
    /// trailer has been verified.
    pub fn single(
        cipher: BulkCipher,
        key: &ContentKey,
        stored_len: u64,
    ) -> Result<Self, OpenError> {
        SingleOpener::new(cipher, key, stored_len, None).map(Self::from)
    }

    /// Opens some chunks of a layout 01 object of `stored_len` bytes from exactly their stored
    /// bytes; see [`super::single::SingleRange`].
    pub fn single_span(
        cipher: BulkCipher,
        key: &ContentKey,
        stored_len: u64,
        span: ChunkSpan,
    ) -> Result<Self, OpenError> {
        SingleOpener::new(cipher, key, stored_len, Some(span)).map(Self::from)
    }

    /// Takes what has been gathered and hands out what can be released, chunk by chunk, in slices
    /// of the same buffer. What is left in `stored` is the beginning of something incomplete: the
    /// caller appends to it and pushes again.
    pub fn push(
        &mut self,
        stored: &mut BytesMut,
        out: &mut impl FnMut(Bytes),
    ) -> Result<(), OpenError> {
        let result = match &mut self.state {
            State::Single(opener) => opener.push(stored, out),
            State::Failed(error) => Err(*error),
        };
        if let Err(error) = result {
            self.state = State::Failed(error);
        }
        result
    }

    /// Stored bytes that the next piece needs, so that a buffer can be sized for it; 0 at the end.
    pub fn wanted(&self) -> usize {
        match &self.state {
            State::Single(opener) => opener.wanted(),
            State::Failed(_) => 0,
        }
    }

    /// Call it when the stored bytes have ended, with nothing left in the buffer.
    pub fn finish(self) -> Result<Opened, OpenError> {
        match self.state {
            State::Single(opener) => opener.finish(),
            State::Failed(error) => Err(error),
        }
    }
}

impl Opened {
    /// Plaintext bytes that were released: of whole chunks, before any trimming to a range.
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// The trailer of a layout 01 object that was read as a whole.
    pub fn trailer(&self) -> Option<&Trailer> {
        self.trailer.as_ref()
    }
}

impl OpenError {
    /// The name of the check that failed, as in the frozen vectors.
    pub fn check(&self) -> &'static str {
        match self {
            Self::ChunkTag => "chunk tag",
            Self::Extended => "extended",
            Self::Layout => "layout",
            Self::Size(error) => error.check(),
            Self::Span => "span",
            Self::TrailerContent(_) => "trailer content",
            Self::TrailerTag => "trailer tag",
            Self::Truncated => "truncated",
        }
    }
}

impl From<SingleOpener> for Opener {
    fn from(opener: SingleOpener) -> Self {
        Self {
            state: State::Single(Box::new(opener)),
        }
    }
}

/// Opens the pieces of one body: what both layouts have in common.
#[derive(Debug)]
pub(super) struct BodyOpener {
    cipher: BodyCipher,
    base: NonceBase,
}

impl BodyOpener {
    pub(super) fn new(cipher: BulkCipher, body: &BodyKey) -> Self {
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

    pub(super) fn trailer(&self, sealed: [u8; TRAILER_LEN]) -> Result<Trailer, OpenError> {
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
pub(super) struct ChunkOpener {
    body: BodyOpener,
    chunking: Chunking,
    /// `first <= next <= end`
    next: u32,
    /// Index behind the last chunk to open.
    end: u32,
}

impl ChunkOpener {
    pub(super) fn new(
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

    /// Stored bytes of the next chunk, until all are opened.
    pub(super) fn wanted(&self) -> Option<usize> {
        (self.next < self.end).then(|| self.chunking.len_at(self.next) + TAG_LEN)
    }

    /// Opens the next chunk if it has been gathered.
    pub(super) fn next(&mut self, stored: &mut BytesMut) -> Result<Option<Bytes>, OpenError> {
        let Some(wanted) = self.wanted().filter(|wanted| *wanted <= stored.len()) else {
            return Ok(None);
        };
        let sealed = stored.split_to(wanted);
        let chunk = self.body.chunk(self.next, self.chunking.count(), sealed)?;
        self.next += 1;
        Ok(Some(chunk))
    }

    /// Opens the trailer if it has been gathered.
    pub(super) fn trailer(&self, stored: &mut BytesMut) -> Result<Option<Trailer>, OpenError> {
        let Some(sealed) = stored.first_chunk::<TRAILER_LEN>() else {
            return Ok(None);
        };
        let trailer = self.body.trailer(*sealed)?;
        let _ = stored.split_to(TRAILER_LEN);
        Ok(Some(trailer))
    }
}

#[derive(Debug)]
struct SingleOpener {
    chunks: ChunkOpener,
    /// Whether the trailer belongs to what is read.
    whole: bool,
    /// The last chunk of a whole object, until the trailer has been verified.
    held: Option<Bytes>,
    trailer: Option<Trailer>,
    released: u64,
}

impl SingleOpener {
    fn new(
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
            chunks: ChunkOpener::new(body, chunking, span.unwrap_or(chunking.whole()))?,
            whole: span.is_none(),
            held: None,
            trailer: None,
            released: 0,
        })
    }

    fn push(
        &mut self,
        stored: &mut BytesMut,
        out: &mut impl FnMut(Bytes),
    ) -> Result<(), OpenError> {
        while let Some(chunk) = self.chunks.next(stored)? {
            if self.whole && self.chunks.wanted().is_none() {
                self.held = Some(chunk);
            } else {
                self.release(chunk, out);
            }
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

    fn release(&mut self, chunk: Bytes, out: &mut impl FnMut(Bytes)) {
        self.released += chunk.len() as u64;
        if !chunk.is_empty() {
            out(chunk);
        }
    }

    fn wanted(&self) -> usize {
        let trailer = if self.whole && self.trailer.is_none() {
            TRAILER_LEN
        } else {
            0
        };
        self.chunks.wanted().unwrap_or(trailer)
    }

    fn finish(self) -> Result<Opened, OpenError> {
        if self.wanted() > 0 {
            return Err(OpenError::Truncated);
        }
        Ok(Opened {
            plaintext_len: self.released,
            trailer: self.trailer,
        })
    }
}

/// Bodies have no additional data: what they are bound to is in their keys.
const NO_AAD: &[u8] = &[];
