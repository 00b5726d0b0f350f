//! How a plaintext is cut into chunks, and which stored bytes hold a range of it.

use super::{CHUNK_LEN, TAG_LEN, TAG_SLOTS};

/// A plaintext of known length and its chunks: a layout 01 object, or one segment of layout 02.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunking {
    plaintext_len: u64,
    log2_chunk: u8,
    /// `max(1, ceil(plaintext_len / 2^log2_chunk))`
    count: u32,
}

/// Some chunks of a body, first and last included: `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSpan {
    pub(super) first: u32,
    pub(super) last: u32,
}

/// How to read a range of a plaintext: which chunks, where they are stored, what to trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanPlan {
    /// The chunks that hold the range.
    pub chunks: ChunkSpan,
    /// Stored offset of the first of them, in bytes from the first chunk of the body.
    pub stored_first: u64,
    /// Stored bytes of all of them, tags included; never the padding or the trailer.
    pub stored_len: u64,
    /// Plaintext bytes of the first chunk that lie before the range.
    pub skip: u64,
    /// Plaintext bytes of the range.
    pub take: u64,
}

impl Chunking {
    /// The chunks of a layout 01 object. `plaintext_len` is at most `MAX_SINGLE_LEN`.
    pub(super) fn single(plaintext_len: u64) -> Self {
        Self::new(plaintext_len, CHUNK_LEN.ilog2())
    }

    /// The chunks of a segment: the smallest that need no more than the 1,024 tag slots.
    /// `plaintext_len` is at most `MAX_SEGMENT_LEN`.
    pub(super) fn segment(plaintext_len: u64) -> Self {
        let slots = u64::from(TAG_SLOTS);
        let log2_chunk = plaintext_len.div_ceil(slots).max(1);
        let log2_chunk = log2_chunk.next_power_of_two().ilog2();
        Self::new(plaintext_len, log2_chunk.max(MIN_LOG2_SEGMENT_CHUNK))
    }

    fn new(plaintext_len: u64, log2_chunk: u32) -> Self {
        let count = plaintext_len.div_ceil(1 << log2_chunk).max(1);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "lengths are limited by the callers"
        )]
        Self {
            plaintext_len,
            log2_chunk: log2_chunk as u8,
            count: count as u32,
        }
    }

    /// Bytes of the plaintext.
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// Number of chunks: at least one, as an empty plaintext has an empty chunk.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Base 2 logarithm of the chunk length.
    pub fn log2_chunk(&self) -> u8 {
        self.log2_chunk
    }

    /// Plaintext bytes of every chunk but the last.
    pub fn chunk_len(&self) -> usize {
        1 << self.log2_chunk
    }

    /// Plaintext bytes of the chunk at `index`; 0 behind the last.
    pub fn len_at(&self, index: u32) -> usize {
        let start = u64::from(index) << self.log2_chunk;
        let left = self.plaintext_len.saturating_sub(start);
        let chunk = self.chunk_len();
        usize::try_from(left).map_or(chunk, |left| left.min(chunk))
    }

    /// Stored bytes of all chunks with their tags.
    pub fn stored_len(&self) -> u64 {
        self.plaintext_len + u64::from(self.count) * TAG_LEN as u64
    }

    /// All chunks.
    pub fn whole(&self) -> ChunkSpan {
        ChunkSpan {
            first: 0,
            last: self.count - 1,
        }
    }

    /// How to read the plaintext bytes `first` to `last`, both included; `last` is clamped to the
    /// end of the plaintext. `None` if no byte is there, which clients see as 416.
    pub fn plan(&self, first: u64, last: u64) -> Option<SpanPlan> {
        let last = last.min(self.plaintext_len.checked_sub(1)?);
        let take = last.checked_sub(first)? + 1;
        let stride = (1 << self.log2_chunk) + TAG_LEN as u64;
        let (first_chunk, last_chunk) = (first >> self.log2_chunk, last >> self.log2_chunk);
        let stored_first = first_chunk * stride;
        let stored_end = ((last_chunk + 1) * stride).min(self.stored_len());
        Some(SpanPlan {
            chunks: ChunkSpan {
                first: u32::try_from(first_chunk).ok()?,
                last: u32::try_from(last_chunk).ok()?,
            },
            stored_first,
            stored_len: stored_end - stored_first,
            skip: first - (first_chunk << self.log2_chunk),
            take,
        })
    }
}

impl ChunkSpan {
    /// Index of the first chunk.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// Index of the last chunk.
    pub fn last(&self) -> u32 {
        self.last
    }
}

/// Segments have chunks of at least 16 KiB.
const MIN_LOG2_SEGMENT_CHUNK: u32 = 14;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::{MAX_SEGMENT_LEN, MAX_SINGLE_LEN};

    /// As format.md says it, and slow.
    fn log2_by_definition(plaintext_len: u64) -> u8 {
        let mut log2 = 14;
        while plaintext_len.div_ceil(1 << log2) > 1024 {
            log2 += 1;
        }
        log2
    }

    fn assert_chunks_cover(chunking: Chunking) {
        let count = chunking.count();
        assert!(chunking.len_at(0) <= chunking.chunk_len());
        assert_eq!(chunking.len_at(count), 0);
        let whole_chunks = u64::from(count - 1) * chunking.chunk_len() as u64;
        let last = chunking.len_at(count - 1) as u64;
        assert_eq!(whole_chunks + last, chunking.plaintext_len());
        assert!(last > 0 || chunking.plaintext_len() == 0);
    }

    #[test]
    fn chunks_of_parts_grow_with_the_part() {
        for (mebibytes, log2) in [(0, 14), (5, 14), (16, 14), (17, 15), (64, 16), (1024, 20)] {
            let chunking = Chunking::segment(mebibytes << 20);
            assert_eq!(chunking.log2_chunk(), log2, "{mebibytes} MiB");
        }
        assert_eq!(Chunking::segment((16 << 20) + 1).log2_chunk(), 15);
        assert_eq!(Chunking::segment(MAX_SEGMENT_LEN).chunk_len(), 8 << 20);
    }

    #[test]
    fn a_plan_needs_a_byte_that_is_there() {
        let empty = Chunking::single(0);
        assert_eq!(empty.plan(0, u64::MAX), None);
        let chunking = Chunking::single(100);
        assert_eq!(chunking.plan(100, 200), None);
        assert_eq!(chunking.plan(5, 4), None);
        assert_eq!(chunking.plan(99, u64::MAX).unwrap().take, 1);
    }

    proptest! {
        #[test]
        fn chunks_cover_the_plaintext(single in 0..=MAX_SINGLE_LEN, part in 0..=MAX_SEGMENT_LEN) {
            assert_chunks_cover(Chunking::single(single));
            let segment = Chunking::segment(part);
            assert_chunks_cover(segment);
            prop_assert!(segment.count() <= 1024);
            prop_assert_eq!(segment.log2_chunk(), log2_by_definition(part));
        }

        #[test]
        fn a_plan_reads_what_the_range_needs(
            len in 1..=MAX_SEGMENT_LEN, first: u64, span in 0..10_000_000_u64, single: bool,
        ) {
            let len = if single { len.min(MAX_SINGLE_LEN) } else { len };
            let chunking = if single { Chunking::single(len) } else { Chunking::segment(len) };
            let first = first % len;
            let plan = chunking.plan(first, first + span).unwrap();
            let chunk = chunking.chunk_len() as u64;
            prop_assert_eq!(plan.take, (span + 1).min(len - first));
            prop_assert_eq!(u64::from(plan.chunks.first) * chunk + plan.skip, first);
            prop_assert!(plan.skip < chunk);
            prop_assert_eq!(plan.stored_first, u64::from(plan.chunks.first) * (chunk + 16));
            let plaintext: u64 = (plan.chunks.first..=plan.chunks.last)
                .map(|index| chunking.len_at(index) as u64 + 16)
                .sum();
            prop_assert_eq!(plan.stored_len, plaintext);
            prop_assert!(plan.stored_first + plan.stored_len <= chunking.stored_len());
        }
    }
}
