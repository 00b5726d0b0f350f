//! Opens layout 02: a whole object segment by segment, or a range of it.

use std::mem;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::body::{BodyOpener, ChunkOpener};
use super::{OpenError, Opened};
use crate::format::chunk::ChunkSpan;
use crate::format::cipher::BulkCipher;
use crate::format::derive::ContentKey;
use crate::format::seal::padding_len;
use crate::format::segment::SegmentHead;
use crate::format::walk::{SegmentedLayout, SegmentedRange, Walk, WalkError};
use crate::format::{SEGMENT_HEADER_LEN, TRAILER_LEN};

#[derive(Debug)]
pub(super) struct SegmentedOpener {
    cipher: BulkCipher,
    key: Arc<ContentKey>,
    guide: Guide,
    stage: Stage,
    /// The last bytes of a whole object, until all of it has been verified.
    held: Option<Bytes>,
    /// Plaintext bytes that were opened, `held` included.
    opened: u64,
}

/// Which segments may come.
#[derive(Debug)]
enum Guide {
    Whole(Walk),
    Range {
        layout: Arc<SegmentedLayout>,
        range: SegmentedRange,
        /// Number of the segment whose header comes next.
        next: u32,
    },
}

/// What comes next.
#[derive(Debug)]
enum Stage {
    Header,
    Chunks(ChunkOpener),
    Padding { segment: ChunkOpener, left: usize },
    Trailer(ChunkOpener),
    End,
}

impl SegmentedOpener {
    pub(super) fn whole(cipher: BulkCipher, key: Arc<ContentKey>, walk: Walk) -> Self {
        Self {
            cipher,
            key,
            guide: Guide::Whole(walk),
            stage: Stage::Header,
            held: None,
            opened: 0,
        }
    }

    pub(super) fn range(
        cipher: BulkCipher,
        key: Arc<ContentKey>,
        layout: Arc<SegmentedLayout>,
        range: SegmentedRange,
        head: Option<&SegmentHead>,
    ) -> Result<Self, OpenError> {
        if head.is_some() != range.separate_header().is_some() {
            return Err(OpenError::Span);
        }
        let next = range.first_part().get();
        let mut opener = Self {
            cipher,
            key,
            guide: Guide::Range {
                layout,
                range,
                next,
            },
            stage: Stage::Header,
            held: None,
            opened: 0,
        };
        if let Some(head) = head {
            opener.begin_segment(head)?;
        }
        Ok(opener)
    }

    pub(super) fn push(
        &mut self,
        stored: &mut BytesMut,
        out: &mut impl FnMut(Bytes),
    ) -> Result<(), OpenError> {
        while self.step(stored, out)? {}
        Ok(())
    }

    /// Stored bytes that the next step needs; 0 at the end.
    pub(super) fn wanted(&self) -> usize {
        match &self.stage {
            Stage::Header => SEGMENT_HEADER_LEN,
            Stage::Chunks(segment) => segment.wanted().unwrap_or(1),
            Stage::Padding { left, .. } => *left,
            Stage::Trailer(_) => TRAILER_LEN,
            Stage::End => 0,
        }
    }

    pub(super) fn wanted_chunk(&self) -> Option<usize> {
        match &self.stage {
            Stage::Chunks(segment) => segment.wanted(),
            Stage::Header | Stage::Padding { .. } | Stage::Trailer(_) | Stage::End => None,
        }
    }

    pub(super) fn push_apart(
        &mut self,
        sealed: &[u8],
        plain: BytesMut,
        out: &mut impl FnMut(Bytes),
    ) -> Result<(), OpenError> {
        let Stage::Chunks(mut segment) = mem::replace(&mut self.stage, Stage::End) else {
            return Err(OpenError::Span);
        };
        let chunk = segment.next_apart(sealed, plain)?;
        self.release(chunk, out);
        self.stage = self.behind_chunk(segment);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Opened, OpenError> {
        match self.stage {
            Stage::End if self.held.is_none() => Ok(Opened {
                plaintext_len: self.opened,
                trailer: None,
            }),
            Stage::End
            | Stage::Header
            | Stage::Chunks(_)
            | Stage::Padding { .. }
            | Stage::Trailer(_) => Err(OpenError::Truncated),
        }
    }

    /// Does what the gathered bytes allow next. Whether there may be more to do.
    fn step(
        &mut self,
        stored: &mut BytesMut,
        out: &mut impl FnMut(Bytes),
    ) -> Result<bool, OpenError> {
        match mem::replace(&mut self.stage, Stage::End) {
            Stage::Header => self.read_header(stored),
            Stage::Chunks(segment) => self.read_chunk(segment, stored, out),
            Stage::Padding { segment, left } => self.read_padding(segment, left, stored),
            Stage::Trailer(segment) => self.read_trailer(segment, stored),
            Stage::End => {
                if !stored.is_empty() {
                    return Err(OpenError::Extended);
                }
                self.held.take().into_iter().for_each(out);
                Ok(false)
            }
        }
    }

    fn read_header(&mut self, stored: &mut BytesMut) -> Result<bool, OpenError> {
        let Some(header) = stored.first_chunk::<SEGMENT_HEADER_LEN>() else {
            self.stage = Stage::Header;
            return Ok(false);
        };
        let head = SegmentHead::verify(&self.key, header)?;
        self.begin_segment(&head)?;
        let _ = stored.split_to(SEGMENT_HEADER_LEN);
        Ok(true)
    }

    fn begin_segment(&mut self, head: &SegmentHead) -> Result<(), OpenError> {
        let span = self.guide.accept(head)?;
        let body = BodyOpener::new(self.cipher, &head.body);
        self.stage = Stage::Chunks(ChunkOpener::new(body, head.chunking(), span)?);
        Ok(())
    }

    fn read_chunk(
        &mut self,
        mut segment: ChunkOpener,
        stored: &mut BytesMut,
        out: &mut impl FnMut(Bytes),
    ) -> Result<bool, OpenError> {
        let chunk = segment.next(stored)?;
        let progress = chunk.is_some();
        if let Some(chunk) = chunk {
            self.release(chunk, out);
        }
        let opened_all = segment.wanted().is_none();
        self.stage = self.behind_chunk(segment);
        Ok(progress || opened_all)
    }

    /// What comes behind the chunk that was opened last.
    fn behind_chunk(&self, segment: ChunkOpener) -> Stage {
        if segment.wanted().is_some() {
            return Stage::Chunks(segment);
        }
        if self.guide.ends_with_chunk() {
            return Stage::End;
        }
        let left = padding_len(segment.chunking());
        Stage::Padding { segment, left }
    }

    fn read_padding(
        &mut self,
        segment: ChunkOpener,
        left: usize,
        stored: &mut BytesMut,
    ) -> Result<bool, OpenError> {
        let padding = stored.split_to(left.min(stored.len()));
        if padding.iter().any(|byte| *byte != 0) {
            return Err(OpenError::Padding);
        }
        let left = left - padding.len();
        self.stage = if left == 0 {
            Stage::Trailer(segment)
        } else {
            Stage::Padding { segment, left }
        };
        Ok(left == 0)
    }

    fn read_trailer(
        &mut self,
        segment: ChunkOpener,
        stored: &mut BytesMut,
    ) -> Result<bool, OpenError> {
        let verified = segment.trailer(stored)?.is_some();
        self.stage = match (verified, self.guide.more_segments()) {
            (false, _) => Stage::Trailer(segment),
            (true, true) => Stage::Header,
            (true, false) => Stage::End,
        };
        Ok(verified)
    }

    /// Releases a chunk, unless it may be the end of a whole object.
    fn release(&mut self, chunk: Bytes, out: &mut impl FnMut(Bytes)) {
        if chunk.is_empty() {
            return;
        }
        self.opened += chunk.len() as u64;
        if self.guide.may_end_at(self.opened) {
            self.held.replace(chunk).into_iter().for_each(out);
        } else {
            out(chunk);
        }
    }
}

impl Guide {
    /// Checks that a segment belongs where it came, and says which of its chunks to open.
    fn accept(&mut self, head: &SegmentHead) -> Result<ChunkSpan, WalkError> {
        let whole = head.chunking().whole();
        match self {
            Self::Whole(walk) => {
                walk.accept(head)?;
                Ok(whole)
            }
            Self::Range {
                layout,
                range,
                next,
            } => {
                let part = head.part();
                if part.get() != *next {
                    return Err(WalkError::Order);
                }
                layout.check(head)?;
                *next += 1;
                let (first, last) = (range.first_part(), range.last_part());
                Ok(ChunkSpan {
                    first: if part == first {
                        range.first_plan.chunks.first
                    } else {
                        whole.first
                    },
                    last: if part == last {
                        range.last_plan.chunks.last
                    } else {
                        whole.last
                    },
                })
            }
        }
    }

    /// Whether what is read ends with a chunk of the segment that was accepted last.
    fn ends_with_chunk(&self) -> bool {
        match self {
            Self::Whole(_) => false,
            Self::Range { range, next, .. } => *next > range.last_part().get(),
        }
    }

    /// Whether a segment follows the one that was accepted last.
    fn more_segments(&self) -> bool {
        match self {
            Self::Whole(walk) => walk.next_header().is_some(),
            Self::Range { .. } => true,
        }
    }

    /// Whether the plaintext may end here: if its length is not known, it may anywhere.
    fn may_end_at(&self, opened: u64) -> bool {
        match self {
            Self::Whole(walk) => walk.plaintext_len().is_none_or(|len| opened >= len),
            Self::Range { .. } => false,
        }
    }
}
