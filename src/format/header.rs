//! The content header: 72 bytes that say how a body is encrypted and commit to its data key.

use subtle::ConstantTimeEq;
use thiserror::Error;

use super::cursor::Cursor;
use super::derive::{ContentKey, FreshContentKey};
use super::{FORMAT_VERSION, HEADER_LEN, OBJECT_ID_LEN, PREFIX_LEN, SUITE, TAG_SLOTS};
use crate::keys::types::DataKey;

/// How a body is laid out; the number is the header's layout byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Layout {
    /// One PutObject or POST object.
    Single = 1,
    /// A multipart upload: one segment for each part.
    Segmented = 2,
}

/// How the end of a segmented object is marked; the header's `OPEN_END` flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The last segment is TERMINAL: dropped trailing parts are detected.
    Terminal,
    /// The last segment need not be TERMINAL, for upstreams that demand equal parts. Dropped
    /// trailing parts are not detected.
    Open,
}

/// The header without its commitment: what the commitment and every key are derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeaderPrefix {
    /// Always the bytes that [`HeaderPrefix::build`] makes.
    bytes: [u8; PREFIX_LEN],
    layout: Layout,
    ending: Ending,
    object_id: [u8; OBJECT_ID_LEN],
}

/// A content header as stored in `x-amz-meta-s3seal-header`. Never changes while the body lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHeader {
    prefix: HeaderPrefix,
    commitment: [u8; 32],
}

/// A header that must not be used. Whoever wrote the stored object is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The data key is not the one that the object was written under.
    #[error("the content header does not commit to this data key")]
    Commitment,
    /// Not 72 bytes.
    #[error("the content header is not 72 bytes long")]
    Length,
    /// Neither layout 01 nor 02.
    #[error("the content header names an unknown layout")]
    Layout,
    /// Chunk size or tag slots are not those of the layout.
    #[error("the content header is not in canonical form")]
    NotCanonical,
    /// A flag that version 1 does not know, or that the layout does not have.
    #[error("the content header has an unknown flag")]
    UnknownFlag,
    /// Not version 1, suite 1.
    #[error("the content header has an unknown version or suite")]
    Version,
}

impl HeaderPrefix {
    /// The header of an object that one request uploads. `object_id` is 32 fresh random bytes.
    pub fn single(object_id: [u8; OBJECT_ID_LEN]) -> Self {
        Self::build(Layout::Single, Ending::Terminal, object_id)
    }

    /// The header of a multipart upload. `object_id` is 32 fresh random bytes.
    pub fn segmented(object_id: [u8; OBJECT_ID_LEN], ending: Ending) -> Self {
        Self::build(Layout::Segmented, ending, object_id)
    }

    /// How the body is laid out.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// How the end of the object is marked; [`Ending::Terminal`] for layout 01.
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// The object's random id: the same in every segment and every server-side copy.
    pub fn object_id(&self) -> &[u8; OBJECT_ID_LEN] {
        &self.object_id
    }

    /// The 40 bytes.
    pub fn as_bytes(&self) -> &[u8; PREFIX_LEN] {
        &self.bytes
    }

    fn build(layout: Layout, ending: Ending, object_id: [u8; OBJECT_ID_LEN]) -> Self {
        let (log2_chunk, tag_slots) = match layout {
            Layout::Single => (0x10, 0),
            Layout::Segmented => (0x0E, TAG_SLOTS),
        };
        let flags = match ending {
            Ending::Terminal => 0,
            Ending::Open => FLAG_OPEN_END,
        };
        let [flags_high, flags_low] = flags.to_be_bytes();
        let [slots_high, slots_low] = tag_slots.to_be_bytes();
        let mut bytes = [0; PREFIX_LEN];
        let (fields, id) = bytes.split_at_mut(PREFIX_LEN - OBJECT_ID_LEN);
        fields.copy_from_slice(&[
            FORMAT_VERSION,
            SUITE,
            layout as u8,
            log2_chunk,
            flags_high,
            flags_low,
            slots_high,
            slots_low,
        ]);
        id.copy_from_slice(&object_id);
        Self {
            bytes,
            layout,
            ending,
            object_id,
        }
    }

    /// Reads the 40 bytes; refuses whatever [`HeaderPrefix::build`] would not write.
    fn parse(bytes: &[u8; PREFIX_LEN]) -> Result<Self, HeaderError> {
        let [
            version,
            suite,
            layout,
            _,
            flags_high,
            flags_low,
            _,
            _,
            id @ ..,
        ] = *bytes;
        if (version, suite) != (FORMAT_VERSION, SUITE) {
            return Err(HeaderError::Version);
        }
        let layout = [Layout::Single, Layout::Segmented]
            .into_iter()
            .find(|known| *known as u8 == layout)
            .ok_or(HeaderError::Layout)?;
        let ending = match (u16::from_be_bytes([flags_high, flags_low]), layout) {
            (0, _) => Ending::Terminal,
            (FLAG_OPEN_END, Layout::Segmented) => Ending::Open,
            _ => return Err(HeaderError::UnknownFlag),
        };
        let prefix = Self::build(layout, ending, id);
        if prefix.bytes == *bytes {
            Ok(prefix)
        } else {
            Err(HeaderError::NotCanonical)
        }
    }
}

impl ContentHeader {
    /// The header of a new object, and the key that its body is sealed under. The data key must be
    /// fresh: nothing else may ever have been sealed under it.
    pub fn new(prefix: HeaderPrefix, data_key: &DataKey) -> (Self, FreshContentKey) {
        let key = ContentKey::extract(prefix, data_key);
        let commitment = key.commitment();
        (Self { prefix, commitment }, FreshContentKey(key))
    }

    /// Reads a stored header. Nothing about it is proven before [`ContentHeader::verify`].
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut cursor = Cursor::new(bytes);
        let (Some(prefix), Some(commitment), true) =
            (cursor.array(), cursor.array(), cursor.is_empty())
        else {
            return Err(HeaderError::Length);
        };
        Ok(Self {
            prefix: HeaderPrefix::parse(&prefix)?,
            commitment,
        })
    }

    /// The 72 bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let (prefix, commitment) = bytes.split_at_mut(PREFIX_LEN);
        prefix.copy_from_slice(self.prefix.as_bytes());
        commitment.copy_from_slice(&self.commitment);
        bytes
    }

    /// The header without its commitment.
    pub fn prefix(&self) -> &HeaderPrefix {
        &self.prefix
    }

    /// Checks, in constant time and before anything else, that the object was written under this
    /// data key.
    pub fn verify(&self, data_key: &DataKey) -> Result<ContentKey, HeaderError> {
        let key = ContentKey::extract(self.prefix, data_key);
        if bool::from(key.commitment().ct_eq(&self.commitment)) {
            Ok(key)
        } else {
            Err(HeaderError::Commitment)
        }
    }
}

impl HeaderError {
    /// The name of the check that failed, as in the frozen vectors.
    pub fn check(&self) -> &'static str {
        match self {
            Self::Commitment => "commitment",
            Self::Length => "header length",
            Self::Layout => "layout",
            Self::NotCanonical => "header not canonical",
            Self::UnknownFlag => "unknown flag",
            Self::Version => "version",
        }
    }
}

/// Header flag, layout 02 only: see [`Ending::Open`].
const FLAG_OPEN_END: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(prefix: HeaderPrefix) -> [u8; HEADER_LEN] {
        ContentHeader::new(prefix, &DataKey::new([1; 32]))
            .0
            .to_bytes()
    }

    #[test]
    fn every_header_reads_back() {
        for prefix in [
            HeaderPrefix::single([7; 32]),
            HeaderPrefix::segmented([7; 32], Ending::Terminal),
            HeaderPrefix::segmented([7; 32], Ending::Open),
        ] {
            let (header, _) = ContentHeader::new(prefix, &DataKey::new([1; 32]));
            assert_eq!(ContentHeader::parse(&header.to_bytes()), Ok(header));
            assert!(header.verify(&DataKey::new([1; 32])).is_ok());
            let other = header.verify(&DataKey::new([2; 32]));
            assert_eq!(other.unwrap_err(), HeaderError::Commitment);
        }
    }

    #[test]
    fn every_changed_bit_is_refused() {
        for prefix in [
            HeaderPrefix::single([7; 32]),
            HeaderPrefix::segmented([7; 32], Ending::Open),
        ] {
            let good = header(prefix);
            for bit in 0..HEADER_LEN * 8 {
                let mut bad = good;
                bad[bit / 8] ^= 1 << (bit % 8);
                let result = ContentHeader::parse(&bad)
                    .and_then(|header| header.verify(&DataKey::new([1; 32])));
                assert!(result.is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn every_refusal_has_its_name() {
        let good = header(HeaderPrefix::single([7; 32]));
        let with = |at: usize, byte: u8| {
            let mut bytes = good;
            bytes[at] = byte;
            ContentHeader::parse(&bytes).unwrap_err().check()
        };
        assert_eq!(with(0, 2), "version");
        assert_eq!(with(1, 2), "version");
        assert_eq!(with(2, 3), "layout");
        assert_eq!(with(3, 17), "header not canonical");
        assert_eq!(with(4, 1), "unknown flag");
        assert_eq!(with(5, 1), "unknown flag");
        assert_eq!(with(7, 1), "header not canonical");
        let length = ContentHeader::parse(&good[..71]).unwrap_err();
        assert_eq!(length.check(), "header length");
    }
}
