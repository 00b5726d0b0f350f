//! Layout 01: one object in one body, and the stored bytes of its ranges.
//!
//! A range is read in one of two ways:
//!
//! * The stored size is not known yet: ask for [`stored_span`] or [`stored_suffix_len`], learn the
//!   stored size T from `Content-Range`, and make a [`SingleRange`] from T. Of the response, which
//!   may begin before the span and reach into the trailer, feed only the bytes that
//!   [`SingleRange::cut`] names.
//! * It is known: make the [`SingleRange`] first and ask for exactly [`SingleRange::stored`].

use super::chunk::{ChunkSpan, Chunking, SpanPlan};
use super::cipher::BulkCipher;
use super::derive::ContentKey;
use super::open::{self, OpenError};
use super::sizes::{SizeError, single_plaintext_len};
use super::trailer::Trailer;
use super::{CHUNK_LEN, Layout, TAG_LEN, TRAILER_LEN};

/// A stored range, first and last byte included, as in a `Range` or `Content-Range` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte; `first <= last`.
    pub last: u64,
}

/// A range of a layout 01 object whose stored size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SingleRange {
    plan: SpanPlan,
}

/// Which bytes of a response to feed to an opener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes to drop first.
    pub skip: u64,
    /// Bytes to feed; whatever follows is dropped.
    pub take: u64,
}

/// Stored bytes to ask for when the size of the object is not known: those of all chunks that hold
/// the plaintext bytes `first` to `last`, without an end where `last` is `None` or beyond any
/// object. The upstream clamps it, and it may reach into the trailer.
pub fn stored_span(first: u64, last: Option<u64>) -> (u64, Option<u64>) {
    let start = (first / CHUNK).saturating_mul(STRIDE);
    let end = last.and_then(|last| (last / CHUNK + 1).checked_mul(STRIDE));
    (start, end.map(|end| end - 1))
}

/// Stored bytes to ask for, counted from the end, when the last `len` plaintext bytes are wanted
/// and the size is not known: the trailer, and one chunk more than `len` bytes fill.
pub fn stored_suffix_len(len: u64) -> u64 {
    (len.div_ceil(CHUNK) + 1)
        .saturating_mul(STRIDE)
        .saturating_add(TRAILER_LEN as u64)
}

/// Opens the trailer of an object alone: 128 bytes that prove its size and hold its checksums.
///
/// `stored` is the last 128 of `stored_len` bytes.
pub fn open_trailer(
    cipher: BulkCipher,
    key: &ContentKey,
    stored_len: u64,
    stored: [u8; TRAILER_LEN],
) -> Result<Trailer, OpenError> {
    if key.prefix().layout() != Layout::Single {
        return Err(OpenError::Layout);
    }
    let body = open::BodyOpener::new(cipher, &key.single(single_plaintext_len(stored_len)?));
    body.trailer(stored)
}

impl SingleRange {
    /// The plaintext bytes `first` to `last`, both included, of an object of `stored_len` bytes;
    /// `last` is clamped. `None` if no byte is there, which clients see as 416 with the plaintext
    /// size.
    pub fn new(stored_len: u64, first: u64, last: u64) -> Result<Option<Self>, SizeError> {
        let chunking = Chunking::single(single_plaintext_len(stored_len)?);
        Ok(chunking.plan(first, last).map(|plan| Self { plan }))
    }

    /// The last `len` plaintext bytes. `None` if no byte is there.
    pub fn suffix(stored_len: u64, len: u64) -> Result<Option<Self>, SizeError> {
        let plaintext_len = single_plaintext_len(stored_len)?;
        if len == 0 {
            return Ok(None);
        }
        Self::new(stored_len, plaintext_len.saturating_sub(len), u64::MAX)
    }

    /// The chunks that hold the range.
    pub fn chunks(&self) -> ChunkSpan {
        self.plan.chunks
    }

    /// The stored bytes of exactly these chunks: never the trailer.
    pub fn stored(&self) -> StoredRange {
        let SpanPlan {
            stored_first,
            stored_len,
            ..
        } = self.plan;
        StoredRange {
            first: stored_first,
            last: stored_first + stored_len - 1,
        }
    }

    /// The plaintext range, first and last byte included.
    pub fn plaintext(&self) -> (u64, u64) {
        let first = u64::from(self.plan.chunks.first) * CHUNK + self.plan.skip;
        (first, first + self.plan.take - 1)
    }

    /// Plaintext bytes of the first chunk that lie before the range.
    pub fn skip(&self) -> u64 {
        self.plan.skip
    }

    /// Plaintext bytes of the range.
    pub fn take(&self) -> u64 {
        self.plan.take
    }

    /// Which bytes of a response with this `Content-Range` to feed to the opener. `None` if it does
    /// not hold the whole span: not the response that was asked for.
    pub fn cut(&self, response: StoredRange) -> Option<Cut> {
        let wanted = self.stored();
        if response.last < wanted.last {
            return None;
        }
        Some(Cut {
            skip: wanted.first.checked_sub(response.first)?,
            take: self.plan.stored_len,
        })
    }
}

const CHUNK: u64 = CHUNK_LEN as u64;

/// Stored bytes of a whole chunk.
const STRIDE: u64 = CHUNK + TAG_LEN as u64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::{MAX_SINGLE_LEN, single_stored_len};

    /// What an S3 server answers to the ranges of the two cold reads.
    fn response(stored_len: u64, first: u64, last: Option<u64>) -> Option<StoredRange> {
        let last = last.unwrap_or(u64::MAX).min(stored_len - 1);
        (first <= last).then_some(StoredRange { first, last })
    }

    fn suffix_response(stored_len: u64, len: u64) -> StoredRange {
        StoredRange {
            first: stored_len.saturating_sub(len),
            last: stored_len - 1,
        }
    }

    #[test]
    fn cold_spans_never_overflow() {
        assert_eq!(stored_span(0, Some(0)), (0, Some(65_551)));
        assert_eq!(stored_span(65_536, None), (65_552, None));
        assert_eq!(stored_span(u64::MAX, Some(u64::MAX)), (u64::MAX, None));
        assert_eq!(stored_suffix_len(1), 128 + 2 * 65_552);
        assert_eq!(stored_suffix_len(u64::MAX), u64::MAX);
    }

    #[test]
    fn an_empty_object_has_no_range() {
        assert_eq!(SingleRange::new(144, 0, u64::MAX), Ok(None));
        assert_eq!(SingleRange::suffix(144, 1), Ok(None));
        assert_eq!(SingleRange::suffix(145, 0), Ok(None));
        assert!(SingleRange::new(143, 0, 0).is_err());
    }

    #[test]
    fn a_response_that_lacks_bytes_is_no_answer() {
        let range = SingleRange::new(200_192, 70_000, 140_000).unwrap().unwrap();
        assert_eq!(
            range.stored(),
            StoredRange {
                first: 65_552,
                last: 196_655
            }
        );
        assert_eq!(
            range.cut(StoredRange {
                first: 65_552,
                last: 196_654
            }),
            None
        );
        assert_eq!(
            range.cut(StoredRange {
                first: 65_553,
                last: 196_655
            }),
            None
        );
    }

    proptest! {
        #[test]
        fn a_cold_range_holds_the_span(
            len in 1..=MAX_SINGLE_LEN, first: u64, span in 0..1_000_000_u64, open_end: bool,
        ) {
            let stored_len = single_stored_len(len).unwrap();
            let first = first % len;
            let last = if open_end { u64::MAX } else { first + span };
            let range = SingleRange::new(stored_len, first, last).unwrap().unwrap();
            prop_assert_eq!(range.plaintext(), (first, last.min(len - 1)));
            let (start, end) = stored_span(first, (!open_end).then_some(last));
            let response = response(stored_len, start, end).unwrap();
            let cut = range.cut(response).unwrap();
            prop_assert_eq!(cut.skip, 0);
            prop_assert!(cut.take <= response.last - response.first + 1);
            prop_assert!(range.stored().last < stored_len - 128);
        }

        #[test]
        fn a_cold_suffix_holds_the_span(len in 1..=MAX_SINGLE_LEN, suffix in 1..1_000_000_u64) {
            let stored_len = single_stored_len(len).unwrap();
            let range = SingleRange::suffix(stored_len, suffix).unwrap().unwrap();
            prop_assert_eq!(range.plaintext(), (len.saturating_sub(suffix), len - 1));
            let response = suffix_response(stored_len, stored_suffix_len(suffix));
            prop_assert!(range.cut(response).is_some());
        }
    }
}
