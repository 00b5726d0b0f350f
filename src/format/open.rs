//! Opens a stored body chunk by chunk: in place, in the buffer that gathered it, or straight out of
//! the buffer it arrived in.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::chunk::ChunkSpan;
use super::cipher::BulkCipher;
use super::derive::ContentKey;
use super::segment::{SegmentError, SegmentHead};
use super::sizes::SizeError;
use super::trailer::{Trailer, TrailerError};
use super::walk::{SegmentedLayout, SegmentedRange, Walk, WalkError};
use segmented::SegmentedOpener;
use single::SingleOpener;

mod body;
mod segmented;
mod single;

pub(super) use body::BodyOpener;

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
    /// A segment header is not what was sealed.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// No plaintext has this stored size.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// The padding of a segment is not zero.
    #[error("the padding of a segment is not zero")]
    Padding,
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
    /// The segments do not make an object.
    #[error(transparent)]
    Walk(#[from] WalkError),
}

#[derive(Debug)]
enum State {
    Single(Box<SingleOpener>),
    Segmented(Box<SegmentedOpener>),
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
        let opener = SingleOpener::new(cipher, key, stored_len, None)?;
        Ok(Self {
            state: State::Single(Box::new(opener)),
        })
    }

    /// Opens some chunks of a layout 01 object of `stored_len` bytes from exactly their stored
    /// bytes; see [`super::single::SingleRange`].
    pub fn single_span(
        cipher: BulkCipher,
        key: &ContentKey,
        stored_len: u64,
        span: ChunkSpan,
    ) -> Result<Self, OpenError> {
        let opener = SingleOpener::new(cipher, key, stored_len, Some(span))?;
        Ok(Self {
            state: State::Single(Box::new(opener)),
        })
    }

    /// Opens a whole layout 02 object. The end of the plaintext is held back until the last segment
    /// and its trailer have been verified.
    pub fn segmented(cipher: BulkCipher, key: Arc<ContentKey>, walk: Walk) -> Self {
        Self {
            state: State::Segmented(Box::new(SegmentedOpener::whole(cipher, key, walk))),
        }
    }

    /// Opens a range of a layout 02 object from exactly the stored bytes of
    /// [`SegmentedRange::stored`]. `head` is the verified header of the first segment, if it is
    /// not among them (see [`SegmentedRange::separate_header`]).
    pub fn segmented_range(
        cipher: BulkCipher,
        key: Arc<ContentKey>,
        layout: Arc<SegmentedLayout>,
        range: SegmentedRange,
        head: Option<&SegmentHead>,
    ) -> Result<Self, OpenError> {
        let opener = SegmentedOpener::range(cipher, key, layout, range, head)?;
        Ok(Self {
            state: State::Segmented(Box::new(opener)),
        })
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
            State::Segmented(opener) => opener.push(stored, out),
            State::Failed(error) => Err(*error),
        };
        self.settle(result)
    }

    /// Stored bytes of the next piece, if that is a chunk with its tag: what
    /// [`Opener::push_apart`] takes.
    pub fn wanted_chunk(&self) -> Option<usize> {
        match &self.state {
            State::Single(opener) => opener.wanted_chunk(),
            State::Segmented(opener) => opener.wanted_chunk(),
            State::Failed(_) => None,
        }
    }

    /// Opens the next chunk out of a buffer that is not ours to write to, into `plain`.
    ///
    /// `sealed` is exactly the [`Opener::wanted_chunk`] bytes that come next, behind whatever was
    /// pushed before; `plain` has the length of the chunk without its tag, and any content.
    pub fn push_apart(
        &mut self,
        sealed: &[u8],
        plain: BytesMut,
        out: &mut impl FnMut(Bytes),
    ) -> Result<(), OpenError> {
        let result = match &mut self.state {
            State::Single(opener) => opener.push_apart(sealed, plain, out),
            State::Segmented(opener) => opener.push_apart(sealed, plain, out),
            State::Failed(error) => Err(*error),
        };
        self.settle(result)
    }

    /// A failure is final.
    fn settle(&mut self, result: Result<(), OpenError>) -> Result<(), OpenError> {
        if let Err(error) = result {
            self.state = State::Failed(error);
        }
        result
    }

    /// Stored bytes that the next piece needs, so that a buffer can be sized for it; 0 at the end.
    pub fn wanted(&self) -> usize {
        match &self.state {
            State::Single(opener) => opener.wanted(),
            State::Segmented(opener) => opener.wanted(),
            State::Failed(_) => 0,
        }
    }

    /// Call it when the stored bytes have ended, with nothing left in the buffer.
    pub fn finish(self) -> Result<Opened, OpenError> {
        match self.state {
            State::Single(opener) => opener.finish(),
            State::Segmented(opener) => opener.finish(),
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
            Self::Padding => "padding",
            Self::Segment(error) => error.check(),
            Self::Size(error) => error.check(),
            Self::Span => "span",
            Self::TrailerContent(_) => "trailer content",
            Self::TrailerTag => "trailer tag",
            Self::Truncated => "truncated",
            Self::Walk(error) => error.check(),
        }
    }
}
