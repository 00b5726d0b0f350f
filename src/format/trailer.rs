//! The trailer of a body: checksums of its plaintext, sealed with it.

use thiserror::Error;

use super::TRAILER_PLAINTEXT_LEN;
use super::cursor::Cursor;

/// A checksum that a trailer can hold; the number is its type in the trailer and in upload ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SealedChecksum {
    /// `Content-MD5`.
    Md5 = 1,
    /// `x-amz-checksum-crc32`.
    Crc32 = 2,
    /// `x-amz-checksum-crc32c`.
    Crc32c = 3,
    /// `x-amz-checksum-crc64nvme`.
    Crc64Nvme = 4,
    /// `x-amz-checksum-sha1`.
    Sha1 = 5,
    /// `x-amz-checksum-sha256`.
    Sha256 = 6,
    /// `x-amz-checksum-sha512`.
    Sha512 = 7,
}

/// What a trailer holds: checksums that the client sent and the proxy verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// TLVs as [`Trailer::parse`] accepts them.
    bytes: [u8; TRAILER_PLAINTEXT_LEN],
}

/// Contents that no trailer can have. On reading, whoever sealed it is at fault; on writing, the
/// proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TrailerError {
    /// Types not ascending, a length that is wrong, or bytes behind the end.
    #[error("the trailer is malformed")]
    Content,
    /// More than 112 bytes.
    #[error("the checksums do not fit into a trailer")]
    Full,
    /// A checksum that is not as long as its kind says.
    #[error("a checksum has the wrong length")]
    Length,
    /// The same kind twice.
    #[error("a checksum is given twice")]
    Repeated,
}

impl SealedChecksum {
    const ALL: [Self; 7] = [
        Self::Md5,
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
    ];

    /// Reads a trailer's type byte. The reserved ones (XXH3, XXH64, XXH128) are not known here.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Bytes of a checksum of this kind.
    pub fn byte_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl Trailer {
    /// The trailer of a body whose client sent no checksum.
    pub const EMPTY: Self = Self {
        bytes: [0; TRAILER_PLAINTEXT_LEN],
    };

    /// A trailer with these checksums, in any order.
    pub fn new(checksums: &[(SealedChecksum, &[u8])]) -> Result<Self, TrailerError> {
        let mut checksums = checksums.to_vec();
        checksums.sort_by_key(|(kind, _)| *kind);
        let mut tlvs = Vec::with_capacity(TRAILER_PLAINTEXT_LEN);
        let mut previous = None;
        for (kind, value) in checksums {
            if previous.replace(kind) == Some(kind) {
                return Err(TrailerError::Repeated);
            }
            let length = u8::try_from(value.len()).map_err(|_| TrailerError::Length)?;
            if value.len() != kind.byte_len() {
                return Err(TrailerError::Length);
            }
            tlvs.extend_from_slice(&[kind as u8, length]);
            tlvs.extend_from_slice(value);
        }
        let mut trailer = Self::EMPTY;
        let room = trailer.bytes.get_mut(..tlvs.len());
        room.ok_or(TrailerError::Full)?.copy_from_slice(&tlvs);
        Ok(trailer)
    }

    /// Reads an opened trailer. Types it does not know are skipped.
    pub(super) fn parse(bytes: [u8; TRAILER_PLAINTEXT_LEN]) -> Result<Self, TrailerError> {
        let mut tlvs = Tlvs(Cursor::new(&bytes));
        let mut last = 0;
        for (kind, value) in tlvs.by_ref() {
            let known = SealedChecksum::from_byte(kind);
            let right_length = known.is_none_or(|known| known.byte_len() == value.len());
            if kind <= last || !right_length {
                return Err(TrailerError::Content);
            }
            last = kind;
        }
        // Behind the last TLV there is nothing but zeros; a broken TLV is something.
        if tlvs.0.rest().iter().any(|byte| *byte != 0) {
            return Err(TrailerError::Content);
        }
        Ok(Self { bytes })
    }

    /// The checksum of this kind, if the trailer holds one.
    pub fn checksum(&self, kind: SealedChecksum) -> Option<&[u8]> {
        self.checksums()
            .find_map(|(held, value)| (held == kind).then_some(value))
    }

    /// All checksums that the trailer holds.
    pub fn checksums(&self) -> impl Iterator<Item = (SealedChecksum, &[u8])> {
        Tlvs(Cursor::new(&self.bytes))
            .filter_map(|(kind, value)| Some((SealedChecksum::from_byte(kind)?, value)))
    }

    /// The 112 bytes to seal.
    pub(super) fn as_bytes(&self) -> &[u8; TRAILER_PLAINTEXT_LEN] {
        &self.bytes
    }
}

impl Default for Trailer {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// The TLVs up to the first zero type, or to the first that is cut off.
struct Tlvs<'a>(Cursor<'a>);

impl<'a> Iterator for Tlvs<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut after = self.0;
        let kind = after.u8().filter(|kind| *kind != 0)?;
        let length = after.u8()?;
        let value = after.take(length.into())?;
        self.0 = after;
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(tlvs: &[u8]) -> Result<Trailer, TrailerError> {
        let mut bytes = [0; TRAILER_PLAINTEXT_LEN];
        bytes[..tlvs.len()].copy_from_slice(tlvs);
        Trailer::parse(bytes)
    }

    #[test]
    fn checksums_read_back_in_order() {
        let trailer = Trailer::new(&[
            (SealedChecksum::Crc64Nvme, &[4; 8]),
            (SealedChecksum::Md5, &[1; 16]),
        ])
        .unwrap();
        let read = Trailer::parse(*trailer.as_bytes()).unwrap();
        let held: Vec<_> = read.checksums().map(|(kind, _)| kind).collect();
        assert_eq!(held, [SealedChecksum::Md5, SealedChecksum::Crc64Nvme]);
        assert_eq!(read.checksum(SealedChecksum::Md5), Some([1; 16].as_slice()));
        assert_eq!(read.checksum(SealedChecksum::Sha1), None);
        assert_eq!(Trailer::EMPTY.checksums().count(), 0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let crc = (SealedChecksum::Crc32, [2; 4].as_slice());
        assert_eq!(Trailer::new(&[crc, crc]), Err(TrailerError::Repeated));
        let short = (SealedChecksum::Crc32, [2; 3].as_slice());
        assert_eq!(Trailer::new(&[short]), Err(TrailerError::Length));
        let all = SealedChecksum::ALL.map(|kind| (kind, vec![kind as u8; kind.byte_len()]));
        let all: Vec<_> = all
            .iter()
            .map(|(kind, value)| (*kind, value.as_slice()))
            .collect();
        assert_eq!(Trailer::new(&all), Err(TrailerError::Full));
    }

    #[test]
    fn unknown_types_are_skipped() {
        let trailer = parse(&[2, 4, 1, 2, 3, 4, 9, 2, 0, 0, 200, 0]).unwrap();
        assert_eq!(trailer.checksums().count(), 1);
    }

    #[test]
    fn malformed_trailers_are_refused() {
        for tlvs in [
            [2, 4, 1, 2, 3, 4, 2, 4, 1, 2, 3, 4].as_slice(), // twice
            &[3, 4, 1, 2, 3, 4, 2, 4, 1, 2, 3, 4],           // descending
            &[2, 3, 1, 2, 3],                                // wrong length
            &[9, 111],                                       // beyond the end
            &[0, 0, 0, 1],                                   // bytes behind the end
        ] {
            assert_eq!(parse(tlvs), Err(TrailerError::Content), "{tlvs:?}");
        }
        let mut cut_off = [0; TRAILER_PLAINTEXT_LEN];
        cut_off[..2].copy_from_slice(&[9, 109]);
        cut_off[111] = 10;
        assert_eq!(Trailer::parse(cut_off), Err(TrailerError::Content));
    }
}
