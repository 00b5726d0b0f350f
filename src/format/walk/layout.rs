//! The proven layout of a segmented object: where its segments, and ranges of it, are stored.

use std::iter;

use super::WalkError;
use crate::format::chunk::{Chunking, SpanPlan};
use crate::format::segment::{PartNumber, SegmentHead, is_terminal};
use crate::format::single::StoredRange;
use crate::format::{MAX_SEGMENT_LEN, SEGMENT_HEADER_LEN, SEGMENT_OVERHEAD};

/// Sizes and places of all segments of an object. Holds for one `ETag` or version of it: every read
/// that relies on it must be conditional on that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentedLayout {
    sizes: Sizes,
}

/// A range of a segmented object: what to read, and what to trim.
///
/// The stored bytes begin with a segment header, or with a chunk of a segment whose header must be
/// read on its own; the following segments have theirs inline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentedRange {
    pub(in crate::format) first: Placed,
    pub(in crate::format) last: Placed,
    /// How the range lies in the first segment, from there to its end or to the end of the range.
    pub(in crate::format) first_plan: SpanPlan,
    /// How the range lies in the last segment.
    pub(in crate::format) last_plan: SpanPlan,
    take: u64,
}

/// A segment and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::format) struct Placed {
    pub(in crate::format) part: PartNumber,
    stored_offset: u64,
    plaintext_offset: u64,
    plaintext_len: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sizes {
    /// All parts but the last are of `part` bytes.
    Equal {
        parts: PartNumber,
        part: u64,
        last: u64,
    },
    /// Plaintext offset behind each part: one entry at least.
    Walked { ends: Vec<u64> },
}

impl SegmentedLayout {
    /// `None` if a part before the last were TERMINAL.
    pub(super) fn equal(parts: PartNumber, part: u64, last: u64) -> Option<Self> {
        if parts == PartNumber::FIRST {
            return Some(Self {
                sizes: Sizes::Equal {
                    parts,
                    part: last,
                    last,
                },
            });
        }
        (!is_terminal(PartNumber::FIRST, part)).then_some(Self {
            sizes: Sizes::Equal { parts, part, last },
        })
    }

    /// The layout of parts of these plaintext lengths, which a finished [`super::Walk`] accepted in
    /// this order. `None` if there is none, more than 10,000, or one that is too large.
    pub fn walked(part_lens: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut end = 0;
        let mut ends = Vec::new();
        for length in part_lens {
            if length > MAX_SEGMENT_LEN {
                return None;
            }
            end += length;
            ends.push(end);
        }
        u32::try_from(ends.len()).ok().and_then(PartNumber::new)?;
        Some(Self {
            sizes: Sizes::Walked { ends },
        })
    }

    /// Bytes of memory besides the value itself.
    pub fn memory(&self) -> usize {
        match &self.sizes {
            Sizes::Equal { .. } => 0,
            Sizes::Walked { ends } => ends.capacity() * size_of::<u64>(),
        }
    }

    /// The number of parts as clients see it: without a seal, and without an empty last part, which
    /// looks the same.
    pub fn shown_parts(&self) -> u32 {
        let parts = self.parts();
        let is_seal = parts > PartNumber::FIRST && self.part_range(parts).is_none();
        parts.get() - u32::from(is_seal)
    }

    /// The number of segments, the seal included.
    pub fn parts(&self) -> PartNumber {
        match &self.sizes {
            Sizes::Equal { parts, .. } => *parts,
            Sizes::Walked { ends } => u32::try_from(ends.len())
                .ok()
                .and_then(PartNumber::new)
                .unwrap_or(PartNumber::FIRST),
        }
    }

    /// Plaintext bytes of the object.
    pub fn plaintext_len(&self) -> u64 {
        self.place(self.parts())
            .map_or(0, |last| last.plaintext_offset + last.plaintext_len)
    }

    /// First and last plaintext byte of a part; `None` if there is no such part, or it is empty.
    pub fn part_range(&self, part: PartNumber) -> Option<(u64, u64)> {
        let place = self.place(part)?;
        let last = place.plaintext_len.checked_sub(1)?;
        Some((place.plaintext_offset, place.plaintext_offset + last))
    }

    /// Plaintext bytes of the largest chunk.
    pub fn chunk_len_max(&self) -> usize {
        let largest = match &self.sizes {
            Sizes::Equal { part, last, .. } => *part.max(last),
            Sizes::Walked { ends } => {
                let starts = iter::once(&0).chain(ends);
                let lens = ends.iter().zip(starts).map(|(end, start)| end - start);
                lens.max().unwrap_or_default()
            }
        };
        Chunking::segment(largest).chunk_len()
    }

    /// Where the header of a part is stored.
    pub fn header_offset(&self, part: PartNumber) -> Option<u64> {
        self.place(part).map(|place| place.stored_offset)
    }

    /// Checks that a segment is the one that the layout says.
    pub fn check(&self, head: &SegmentHead) -> Result<(), WalkError> {
        let place = self.place(head.part()).ok_or(WalkError::Order)?;
        if place.plaintext_len == head.plaintext_len() {
            Ok(())
        } else {
            Err(WalkError::PartCount)
        }
    }

    /// Where the plaintext bytes `first` to `last`, both included, are stored; `last` is clamped.
    /// `None` if no byte is there, which clients see as 416.
    pub fn range(&self, first: u64, last: u64) -> Option<SegmentedRange> {
        let last = last.min(self.plaintext_len().checked_sub(1)?);
        let take = last.checked_sub(first)? + 1;
        let (first_place, last_place) = (self.find(first)?, self.find(last)?);
        Some(SegmentedRange {
            first: first_place,
            last: last_place,
            first_plan: first_place.plan(first, last)?,
            last_plan: last_place.plan(first, last)?,
            take,
        })
    }

    fn place(&self, part: PartNumber) -> Option<Placed> {
        let before = part.get() - 1;
        let (plaintext_offset, plaintext_len) = match &self.sizes {
            Sizes::Equal { parts, .. } if part > *parts => return None,
            Sizes::Equal {
                parts,
                part: len,
                last,
            } => {
                let length = if part == *parts { *last } else { *len };
                (u64::from(before) * len, length)
            }
            Sizes::Walked { ends } => {
                let index = usize::try_from(before).ok()?;
                let end = *ends.get(index)?;
                let start = index
                    .checked_sub(1)
                    .map_or(Some(0), |at| ends.get(at).copied())?;
                (start, end - start)
            }
        };
        Some(Placed {
            part,
            stored_offset: plaintext_offset + u64::from(before) * SEGMENT_OVERHEAD,
            plaintext_offset,
            plaintext_len,
        })
    }

    /// The segment that holds the plaintext byte at `offset`, which must be in the object.
    fn find(&self, offset: u64) -> Option<Placed> {
        let index = match &self.sizes {
            Sizes::Equal { parts, part, .. } => {
                (offset / (*part).max(1)).min(u64::from(parts.get()) - 1)
            }
            Sizes::Walked { ends } => ends.partition_point(|end| *end <= offset) as u64,
        };
        let number = u32::try_from(index).ok()?.checked_add(1)?;
        self.place(PartNumber::new(number)?)
    }
}

impl SegmentedRange {
    /// Stored bytes to read: to the end of the last chunk, from the first one, or from the segment
    /// header before it if it is the first of its segment.
    pub fn stored(&self) -> StoredRange {
        let first = match self.separate_header() {
            Some(_) => self.first.chunks_offset() + self.first_plan.stored_first,
            None => self.first.stored_offset,
        };
        let end = self.last.chunks_offset() + self.last_plan.stored_first;
        StoredRange {
            first,
            last: end + self.last_plan.stored_len - 1,
        }
    }

    /// Stored offset of the 128 header bytes that must be read besides [`Self::stored`].
    pub fn separate_header(&self) -> Option<u64> {
        (self.first_plan.chunks.first() > 0).then_some(self.first.stored_offset)
    }

    /// The segment that the range begins in.
    pub fn first_part(&self) -> PartNumber {
        self.first.part
    }

    /// The segment that the range ends in.
    pub fn last_part(&self) -> PartNumber {
        self.last.part
    }

    /// Plaintext bytes of the first chunk that lie before the range.
    pub fn skip(&self) -> u64 {
        self.first_plan.skip
    }

    /// Plaintext bytes of the range.
    pub fn take(&self) -> u64 {
        self.take
    }
}

impl Placed {
    fn chunks_offset(&self) -> u64 {
        self.stored_offset + SEGMENT_HEADER_LEN as u64
    }

    /// How the part of the object's bytes `first` to `last` that lies in this segment is stored.
    fn plan(&self, first: u64, last: u64) -> Option<SpanPlan> {
        let first = first.saturating_sub(self.plaintext_offset);
        let last = last.checked_sub(self.plaintext_offset)?;
        Chunking::segment(self.plaintext_len).plan(first, last)
    }
}
