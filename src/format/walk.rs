//! Layout 02: which segments make an object, and where a range of it is stored.
//!
//! * [`Walk`] checks the segments of an object one after the other: full reads, and objects whose
//!   part sizes are not known.
//! * [`ColdRead`] proves the layout of an object of equal parts from its first and last header.
//! * [`SegmentedLayout`] is what both lead to: it can be cached, and places ranges.

use thiserror::Error;

use super::chunk::Chunking;
use super::header::{Ending, HeaderPrefix};
use super::segment::{PartNumber, SegmentHead};
use super::sizes::{SizeError, segmented_plaintext_len};
use super::{LAST_PART, Layout, MAX_SEGMENT_LEN, SEGMENT_OVERHEAD};

mod layout;

pub use layout::{SegmentedLayout, SegmentedRange};

/// Whether the rule of the bucket lets objects be read whose end is not marked (see
/// [`Ending::Open`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenEnds {
    /// They are refused.
    #[default]
    Refuse,
    /// They are read; dropped trailing parts are not detected.
    Allow,
}

/// What the upstream says about a stored object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Stored bytes of the whole object: T.
    pub stored_len: u64,
    /// Number of parts, from the `-N` of the `ETag` or a parts count: N. `None` for a copy that was made
    /// without the proxy and lost it.
    pub parts: Option<u32>,
}

impl Announced {
    /// The plaintext bytes of a chunk if all parts are of one size.
    pub fn chunk_len(&self) -> usize {
        let parts = u64::from(self.parts.unwrap_or(1).max(1));
        let part = self.stored_len.div_ceil(parts).min(MAX_SEGMENT_LEN);
        Chunking::segment(part).chunk_len()
    }
}

/// Segments that do not make an object. Whoever holds the stored object is at fault, except for
/// [`WalkError::Layout`], which is a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WalkError {
    /// A segment follows one that must be the last.
    #[error("a segment follows the one that ends the object")]
    AfterTerminal,
    /// The object is not of layout 02.
    #[error("the key belongs to another layout")]
    Layout,
    /// The last segment does not end the object: parts were dropped.
    #[error("the object does not end with its last segment")]
    NotTerminated,
    /// The object has no marked end, and the rule does not allow that.
    #[error("the object has no marked end")]
    OpenEnd,
    /// Part numbers do not run 1, 2, 3 and so on.
    #[error("a segment is not the one that comes next")]
    Order,
    /// The segments are not as many, or not as large, as the upstream announced.
    #[error("the segments are not those that were announced")]
    PartCount,
    /// The announced sizes are impossible.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// A segment ends behind the end of the object.
    #[error("the object ended too early")]
    Truncated,
}

/// The state of a read that passes every segment of an object in order. A segment must be accepted
/// before a byte of it is released.
#[derive(Debug)]
pub struct Walk {
    announced: Announced,
    /// T - 16,640 N, where N is announced.
    plaintext_len: Option<u64>,
    open_end: bool,
    /// Stored bytes of the segments that were accepted: `0 <= offset <= stored_len`.
    offset: u64,
    /// Plaintext bytes of the segments that were accepted.
    plaintext: u64,
    /// Number of the last segment that was accepted.
    previous: u32,
}

impl Walk {
    /// Begins before the first segment.
    pub fn new(
        header: &HeaderPrefix,
        announced: Announced,
        open_ends: OpenEnds,
    ) -> Result<Self, WalkError> {
        let open_end = check_ending(header, open_ends)?;
        let plaintext_len = announced
            .parts
            .map(|parts| segmented_plaintext_len(announced.stored_len, parts))
            .transpose()?;
        // One part is the least: an object of layout 02 is never shorter.
        segmented_plaintext_len(announced.stored_len, 1)?;
        Ok(Self {
            announced,
            plaintext_len,
            open_end,
            offset: 0,
            plaintext: 0,
            previous: 0,
        })
    }

    /// Plaintext bytes that the announced sizes imply, where the number of parts is known.
    pub fn plaintext_len(&self) -> Option<u64> {
        self.plaintext_len
    }

    /// Stored offset of the next segment header; `None` at the end of the object.
    pub fn next_header(&self) -> Option<u64> {
        (self.offset < self.announced.stored_len).then_some(self.offset)
    }

    /// Takes the header at [`Walk::next_header`] and checks that the segment belongs there.
    pub fn accept(&mut self, head: &SegmentHead) -> Result<(), WalkError> {
        let part = head.part().get();
        if part != self.previous + 1 {
            return Err(WalkError::Order);
        }
        let end = self.offset.saturating_add(head.stored_len());
        let plaintext = self.plaintext.saturating_add(head.plaintext_len());
        if end > self.announced.stored_len {
            return Err(WalkError::Truncated);
        }
        let last = end == self.announced.stored_len;
        let (parts, limit) = (self.announced.parts, self.plaintext_len);
        let count_fits = parts.is_none_or(|parts| part <= parts && last == (part == parts));
        if !count_fits || limit.is_some_and(|limit| plaintext > limit) {
            return Err(WalkError::PartCount);
        }
        match (last, head.is_terminal()) {
            (false, true) => return Err(WalkError::AfterTerminal),
            (true, false) if !self.open_end => return Err(WalkError::NotTerminated),
            (true, true | false) | (false, false) => {}
        }
        self.offset = end;
        self.plaintext = plaintext;
        self.previous = part;
        Ok(())
    }
}

/// A read of an object whose layout is not known, by the guess that all its parts but the last are
/// as large as the first. The guess is proven before a byte is released, or the object is walked.
#[derive(Clone, Copy, Debug)]
pub struct ColdRead {
    stored_len: u64,
    /// N
    parts: PartNumber,
    /// p1
    part_len: u64,
    open_end: bool,
}

impl ColdRead {
    /// Begins with the header of part 1. `None` if the guess cannot be true: the object must be
    /// walked.
    pub fn new(
        header: &HeaderPrefix,
        announced: Announced,
        open_ends: OpenEnds,
        first: &SegmentHead,
    ) -> Result<Option<Self>, WalkError> {
        let open_end = check_ending(header, open_ends)?;
        if first.part() != PartNumber::FIRST {
            return Err(WalkError::Order);
        }
        let guess = announced.stored_len.div_ceil(first.stored_len());
        let parts = announced.parts.or_else(|| u32::try_from(guess).ok());
        Ok(parts.and_then(PartNumber::new).map(|parts| Self {
            stored_len: announced.stored_len,
            parts,
            part_len: first.plaintext_len(),
            open_end,
        }))
    }

    /// The number of the last segment, whose header is the second half of the proof.
    pub fn last_part(&self) -> PartNumber {
        self.parts
    }

    /// Where the header of this part is stored, if the guess is true.
    pub fn header_offset(&self, part: PartNumber) -> u64 {
        u64::from(part.get() - 1) * (self.part_len + SEGMENT_OVERHEAD)
    }

    /// What the guess is, to read by it what must not be released before it is proven. `None` if
    /// it cannot be true.
    pub fn guess(&self) -> Option<SegmentedLayout> {
        let last = self
            .stored_len
            .checked_sub(self.header_offset(self.parts))?
            .checked_sub(SEGMENT_OVERHEAD)?;
        if last > MAX_SEGMENT_LEN {
            return None;
        }
        SegmentedLayout::equal(self.parts, self.part_len, last)
    }

    /// The layout, if the header of the last segment proves the guess. `wanted` are the headers of
    /// other segments that were read along. `None`: the object must be walked.
    pub fn prove(&self, wanted: &[&SegmentHead], last: &SegmentHead) -> Option<SegmentedLayout> {
        let ends = self
            .header_offset(self.parts)
            .checked_add(last.stored_len())?;
        if last.part() != self.parts || ends != self.stored_len {
            return None;
        }
        if !last.is_terminal() && !self.open_end {
            return None;
        }
        let layout = SegmentedLayout::equal(self.parts, self.part_len, last.plaintext_len())?;
        let proven = wanted.iter().all(|head| layout.check(head).is_ok());
        proven.then_some(layout)
    }
}

impl WalkError {
    /// The name of the check that failed, as in the frozen vectors.
    pub fn check(&self) -> &'static str {
        match self {
            Self::AfterTerminal => "segment after terminal",
            Self::Layout => "layout",
            Self::NotTerminated => "not terminated",
            Self::OpenEnd => "open end",
            Self::Order => "segment order",
            Self::PartCount => "part count",
            Self::Size(error) => error.check(),
            Self::Truncated => "truncated",
        }
    }
}

/// Whether the last segment need not be TERMINAL.
fn check_ending(header: &HeaderPrefix, open_ends: OpenEnds) -> Result<bool, WalkError> {
    if header.layout() != Layout::Segmented {
        return Err(WalkError::Layout);
    }
    match (header.ending(), open_ends) {
        (Ending::Terminal, OpenEnds::Refuse | OpenEnds::Allow) => Ok(false),
        (Ending::Open, OpenEnds::Allow) => Ok(true),
        (Ending::Open, OpenEnds::Refuse) => Err(WalkError::OpenEnd),
    }
}

const _: () = assert!(LAST_PART < u32::MAX);
