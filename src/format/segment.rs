//! Layout 02: the header of a segment, which is one stored UploadPart.

use subtle::ConstantTimeEq;
use thiserror::Error;

use super::chunk::Chunking;
use super::cursor::Cursor;
use super::derive::{BodyKey, ContentKey};
use super::{
    FORMAT_VERSION, LAST_PART, Layout, MAX_SEGMENT_LEN, MIN_PART_STORED_LEN, OBJECT_ID_LEN,
    SEGMENT_HEADER_LEN, SEGMENT_OVERHEAD,
};

/// The number of a part, 1 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartNumber(u32);

/// A segment header that was proven to belong to the object: its commitment and every field.
#[derive(Debug)]
pub struct SegmentHead {
    fields: SegmentFields,
    chunking: Chunking,
    pub(super) body: BodyKey,
}

/// A segment header that must not be used. Whoever holds the stored object is at fault, except for
/// [`SegmentError::Layout`], which is a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SegmentError {
    /// The segment was not sealed under the object's data key with this header.
    #[error("the segment header does not commit to this data key")]
    Commitment,
    /// Not a segment, or one of another object.
    #[error("there is no segment of this object")]
    Header,
    /// The object is not of layout 02.
    #[error("the key belongs to another layout")]
    Layout,
    /// A field is not what the part implies.
    #[error("the segment header is not in canonical form")]
    NotCanonical,
}

/// What a segment header says; everything else in it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentFields {
    pub(super) part: PartNumber,
    pub(super) plaintext_len: u64,
    pub(super) salt: [u8; 32],
    pub(super) seal: bool,
}

impl PartNumber {
    /// The first part.
    pub const FIRST: Self = Self(1);

    /// `None` unless it is 1 to 10,000.
    pub fn new(number: u32) -> Option<Self> {
        (1..=LAST_PART).contains(&number).then_some(Self(number))
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl SegmentHead {
    /// Reads a segment header; the commitment is compared in constant time.
    pub fn verify(
        key: &ContentKey,
        bytes: &[u8; SEGMENT_HEADER_LEN],
    ) -> Result<Self, SegmentError> {
        if key.prefix().layout() != Layout::Segmented {
            return Err(SegmentError::Layout);
        }
        let (encoded, stored_commitment) = bytes.split_first_chunk().ok_or(SegmentError::Header)?;
        let raw = RawFields::parse(encoded).ok_or(SegmentError::Header)?;
        if raw.object_id != *key.prefix().object_id() {
            return Err(SegmentError::Header);
        }
        let (body, commitment) = key.segment(encoded);
        if !bool::from(commitment.ct_eq(stored_commitment)) {
            return Err(SegmentError::Commitment);
        }
        let fields = raw.fields().ok_or(SegmentError::NotCanonical)?;
        let legal_seal = fields.plaintext_len == 0
            && fields.part != PartNumber::FIRST
            && fields.salt == key.seal_salt(fields.part.get());
        if fields.encode(&raw.object_id) != *encoded || (fields.seal && !legal_seal) {
            return Err(SegmentError::NotCanonical);
        }
        Ok(Self {
            fields,
            chunking: fields.chunking(),
            body,
        })
    }

    /// The number of the part.
    pub fn part(&self) -> PartNumber {
        self.fields.part
    }

    /// Plaintext bytes of the part.
    pub fn plaintext_len(&self) -> u64 {
        self.fields.plaintext_len
    }

    /// Stored bytes of the segment, header included.
    pub fn stored_len(&self) -> u64 {
        self.fields.plaintext_len + SEGMENT_OVERHEAD
    }

    /// The chunks of the part.
    pub fn chunking(&self) -> Chunking {
        self.chunking
    }

    /// Whether the object must end with this segment.
    pub fn is_terminal(&self) -> bool {
        is_terminal(self.fields.part, self.fields.plaintext_len)
    }

    /// Whether it is the seal that the proxy put behind the client's last part.
    pub fn is_seal(&self) -> bool {
        self.fields.seal
    }
}

impl SegmentError {
    /// The name of the check that failed, as in the frozen vectors.
    pub fn check(&self) -> &'static str {
        match self {
            Self::Commitment => "segment commitment",
            Self::Header => "segment header",
            Self::Layout => "layout",
            Self::NotCanonical => "segment header not canonical",
        }
    }
}

/// Whether a part of this number and plaintext length is TERMINAL: the upstream takes it only as
/// the last one. A last part that is not TERMINAL needs a seal behind it.
pub fn is_terminal(part: PartNumber, plaintext_len: u64) -> bool {
    plaintext_len.saturating_add(SEGMENT_OVERHEAD) < MIN_PART_STORED_LEN || part.0 == LAST_PART
}

impl SegmentFields {
    pub(super) fn chunking(&self) -> Chunking {
        Chunking::segment(self.plaintext_len)
    }

    /// The header without its commitment.
    pub(super) fn encode(&self, object_id: &[u8; OBJECT_ID_LEN]) -> [u8; FIELDS_LEN] {
        let chunking = self.chunking();
        let mut flags = 0;
        if is_terminal(self.part, self.plaintext_len) {
            flags |= FLAG_TERMINAL;
        }
        if self.seal {
            flags |= FLAG_SEAL;
        }
        let fields = [
            MAGIC.as_slice(),
            &[FORMAT_VERSION, chunking.log2_chunk()],
            &flags.to_be_bytes(),
            &self.part.0.to_be_bytes(),
            &chunking.count().to_be_bytes(),
            &self.plaintext_len.to_be_bytes(),
            &[0; 8],
            &self.salt,
            object_id,
        ];
        let mut bytes = [0; FIELDS_LEN];
        let values = fields.into_iter().flatten();
        bytes
            .iter_mut()
            .zip(values)
            .for_each(|(byte, value)| *byte = *value);
        bytes
    }
}

/// The fields that are read; the others are compared with what these imply.
struct RawFields {
    flags: u16,
    part: u32,
    plaintext_len: u64,
    salt: [u8; 32],
    object_id: [u8; OBJECT_ID_LEN],
}

impl RawFields {
    /// `None` if it is no segment header of version 1.
    fn parse(bytes: &[u8; FIELDS_LEN]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != MAGIC || cursor.u8()? != FORMAT_VERSION {
            return None;
        }
        let _log2_chunk = cursor.u8()?;
        let flags = cursor.be16()?;
        let part = cursor.be32()?;
        let _count = cursor.be32()?;
        let plaintext_len = cursor.be64()?;
        let _zero = cursor.be64()?;
        Some(Self {
            flags,
            part,
            plaintext_len,
            salt: cursor.array()?,
            object_id: cursor.array()?,
        })
    }

    fn fields(&self) -> Option<SegmentFields> {
        Some(SegmentFields {
            part: PartNumber::new(self.part)?,
            plaintext_len: Some(self.plaintext_len).filter(|len| *len <= MAX_SEGMENT_LEN)?,
            salt: self.salt,
            seal: self.flags & FLAG_SEAL != 0,
        })
    }
}

const MAGIC: [u8; 4] = *b"S3SL";

/// The segment must be the last one.
const FLAG_TERMINAL: u16 = 1;

/// The segment closes an upload whose last part is not TERMINAL.
const FLAG_SEAL: u16 = 2;

/// Bytes of a segment header without its commitment.
pub(super) const FIELDS_LEN: usize = SEGMENT_HEADER_LEN - 32;
