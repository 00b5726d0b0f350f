//! The `x-amz-checksum-*` algorithms: names, header values, running hashers.

use std::fmt;

use aws_lc_rs::digest;
use crc_fast::CrcAlgorithm;
use data_encoding::BASE64;
use md5::{Digest as _, Md5};
use thiserror::Error;

/// A checksum algorithm S3 knows ("Checking object integrity", S3 User Guide).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChecksumAlgorithm {
    /// CRC-32/ISO-HDLC, the zlib one.
    Crc32,
    /// CRC-32/ISCSI (Castagnoli).
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// MD5 (RFC 1321).
    Md5,
    /// SHA-1 (FIPS 180-4).
    Sha1,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
    /// XXH3, 64 bits: known by name, not computed here.
    Xxhash3,
    /// XXH64: known by name, not computed here.
    Xxhash64,
    /// XXH3, 128 bits: known by name, not computed here.
    Xxhash128,
}

impl ChecksumAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Md5,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Xxhash3,
        Self::Xxhash64,
        Self::Xxhash128,
    ];

    /// Reads the value of `x-amz-sdk-checksum-algorithm` or `x-amz-checksum-algorithm`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Reads a header or trailer name, in any case.
    pub fn from_header(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.header().eq_ignore_ascii_case(name))
    }

    /// The name in the S3 API: `CRC32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Xxhash3 => "XXHASH3",
            Self::Xxhash64 => "XXHASH64",
            Self::Xxhash128 => "XXHASH128",
        }
    }

    /// The header or trailer that carries the value: `x-amz-checksum-crc32`.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Md5 => "x-amz-checksum-md5",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha512 => "x-amz-checksum-sha512",
            Self::Xxhash3 => "x-amz-checksum-xxhash3",
            Self::Xxhash64 => "x-amz-checksum-xxhash64",
            Self::Xxhash128 => "x-amz-checksum-xxhash128",
        }
    }

    /// Bytes of a value before base64.
    #[expect(
        clippy::len_without_is_empty,
        reason = "the length of values, never zero"
    )]
    pub fn len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::Xxhash3 | Self::Xxhash64 => 8,
            Self::Md5 | Self::Xxhash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => MAX_LEN,
        }
    }

    /// A fresh hasher, or `None` for the algorithms that are not computed here.
    pub fn hasher(self) -> Option<Hasher> {
        let running = match self {
            Self::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            Self::Md5 => Running::Md5(Md5::new()),
            Self::Sha1 => Running::Sha(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            Self::Sha256 => Running::Sha(digest::Context::new(&digest::SHA256)),
            Self::Sha512 => Running::Sha(digest::Context::new(&digest::SHA512)),
            Self::Xxhash3 | Self::Xxhash64 | Self::Xxhash128 => return None,
        };
        Some(Hasher {
            algorithm: self,
            running,
        })
    }
}

/// A value of one algorithm, of that algorithm's length.
///
/// `Debug` shows the algorithm only: a hash of plaintext does not belong into logs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    algorithm: ChecksumAlgorithm,
    /// Zero behind the algorithm's length.
    bytes: [u8; MAX_LEN],
}

impl Checksum {
    /// Takes the raw bytes of a value; the client's fault if their number is wrong.
    pub fn new(algorithm: ChecksumAlgorithm, value: &[u8]) -> Result<Self, ChecksumError> {
        if value.len() != algorithm.len() {
            return Err(ChecksumError::Length);
        }
        let mut bytes = [0; MAX_LEN];
        for (slot, byte) in bytes.iter_mut().zip(value) {
            *slot = *byte;
        }
        Ok(Self { algorithm, bytes })
    }

    /// Reads a header value: base64 with padding (RFC 4648 section 4), nothing else.
    pub fn parse(algorithm: ChecksumAlgorithm, value: &[u8]) -> Result<Self, ChecksumError> {
        let decoded = BASE64.decode(value).map_err(|_| ChecksumError::Encoding)?;
        Self::new(algorithm, &decoded)
    }

    /// The algorithm.
    pub fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }

    /// The raw bytes, big-endian for the CRCs.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.algorithm.len()).unwrap_or_default()
    }

    /// The header value.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.bytes())
    }
}

/// The checksum of bytes of which `first` is that of the beginning and `second` that of the last
/// `second_len`; `None` unless both are of the same CRC.
pub fn combine(first: &Checksum, second: &Checksum, second_len: u64) -> Option<Checksum> {
    let algorithm = first.algorithm;
    let crc = match algorithm {
        ChecksumAlgorithm::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
        ChecksumAlgorithm::Crc32c => CrcAlgorithm::Crc32Iscsi,
        ChecksumAlgorithm::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Md5
        | ChecksumAlgorithm::Sha1
        | ChecksumAlgorithm::Sha256
        | ChecksumAlgorithm::Sha512
        | ChecksumAlgorithm::Xxhash3
        | ChecksumAlgorithm::Xxhash64
        | ChecksumAlgorithm::Xxhash128 => return None,
    };
    if second.algorithm != algorithm {
        return None;
    }
    let number = |checksum: &Checksum| {
        let bytes = checksum.bytes().iter();
        bytes.fold(0, |number: u64, byte| number << 8 | u64::from(*byte))
    };
    let both = crc_fast::checksum_combine(crc, number(first), number(second), second_len);
    let bytes = both.to_be_bytes();
    let skip = bytes.len().saturating_sub(algorithm.len());
    Checksum::new(algorithm, bytes.get(skip..)?).ok()
}

/// The checksum over the checksums of the parts (S3's COMPOSITE, without the number of parts);
/// `None` unless all are of the same algorithm.
pub fn composite(parts: &[Checksum]) -> Option<Checksum> {
    let algorithm = parts.first()?.algorithm;
    let mut hasher = algorithm.hasher()?;
    for part in parts {
        if part.algorithm != algorithm {
            return None;
        }
        hasher.update(part.bytes());
    }
    Some(hasher.finish())
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({})", self.algorithm.name())
    }
}

/// Computes one checksum over bytes in order.
pub struct Hasher {
    algorithm: ChecksumAlgorithm,
    running: Running,
}

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.running {
            Running::Crc(crc) => crc.update(data),
            Running::Md5(md5) => md5.update(data),
            Running::Sha(sha) => sha.update(data),
        }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }

    /// The checksum of everything taken.
    pub fn finish(self) -> Checksum {
        let mut bytes = [0; MAX_LEN];
        let mut fill = |value: &[u8]| {
            for (slot, byte) in bytes.iter_mut().zip(value) {
                *slot = *byte;
            }
        };
        match self.running {
            // The CRC stands in the low bytes.
            Running::Crc(crc) => {
                let value = crc.finalize().to_be_bytes();
                let skip = value.len().saturating_sub(self.algorithm.len());
                fill(value.get(skip..).unwrap_or_default());
            }
            Running::Md5(md5) => fill(&md5.finalize()),
            Running::Sha(sha) => fill(sha.finish().as_ref()),
        }
        Checksum {
            algorithm: self.algorithm,
            bytes,
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher({})", self.algorithm.name())
    }
}

/// Why a checksum value cannot be one: the client's fault.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ChecksumError {
    /// Not padded base64.
    #[error("checksum is not base64")]
    Encoding,
    /// Not the algorithm's number of bytes.
    #[error("checksum has the wrong length")]
    Length,
}

enum Running {
    /// Boxed: its tables are three times the size of the others.
    Crc(Box<crc_fast::Digest>),
    Md5(Md5),
    Sha(digest::Context),
}

fn crc(algorithm: CrcAlgorithm) -> Running {
    Running::Crc(Box::new(crc_fast::Digest::new(algorithm)))
}

/// Bytes of the longest value (SHA-512).
const MAX_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values of "123456789": the CRC catalogue, RFC 1321, FIPS 180-4.
    #[test]
    fn known_answers_hold_under_any_split() {
        let cases = [
            (ChecksumAlgorithm::Crc32, "y/Q5Jg=="),
            (ChecksumAlgorithm::Crc32c, "4waSgw=="),
            (ChecksumAlgorithm::Crc64Nvme, "rosUhgp5mIg="),
            (ChecksumAlgorithm::Md5, "JfnnlDI7RTiF9RgfG2JNCw=="),
            (ChecksumAlgorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
        ];
        for (algorithm, expected) in cases {
            for cut in 0..=9 {
                let (head, tail) = b"123456789".split_at(cut);
                let mut hasher = algorithm.hasher().unwrap();
                hasher.update(head);
                hasher.update(tail);
                assert_eq!(hasher.finish().to_base64(), expected, "{algorithm:?}");
            }
        }
    }

    #[test]
    fn sha2_of_nothing_is_the_published_value() {
        let of_nothing = |algorithm: ChecksumAlgorithm| algorithm.hasher().unwrap().finish();
        let hex = data_encoding::HEXLOWER.encode(of_nothing(ChecksumAlgorithm::Sha256).bytes());
        assert!(hex.starts_with("e3b0c44298fc1c149afbf4c8996fb924"));
        let hex = data_encoding::HEXLOWER.encode(of_nothing(ChecksumAlgorithm::Sha512).bytes());
        assert!(hex.starts_with("cf83e1357eefb8bdf1542850d66d8007"));
    }

    #[test]
    fn checksums_of_parts_make_the_whole() {
        let of = |algorithm: ChecksumAlgorithm, data: &[u8]| {
            let mut hasher = algorithm.hasher().unwrap();
            hasher.update(data);
            hasher.finish()
        };
        for algorithm in ChecksumAlgorithm::ALL {
            if algorithm.hasher().is_none() {
                continue;
            }
            let (head, tail) = (of(algorithm, b"12345"), of(algorithm, b"6789"));
            let expected = algorithm
                .name()
                .starts_with("CRC")
                .then(|| of(algorithm, b"123456789"));
            assert_eq!(combine(&head, &tail, 4), expected, "{algorithm:?}");
            let both = [head.bytes(), tail.bytes()].concat();
            assert_eq!(composite(&[head, tail]), Some(of(algorithm, &both)));
        }
        let mixed = [
            of(ChecksumAlgorithm::Crc32, b"1"),
            of(ChecksumAlgorithm::Crc32c, b"2"),
        ];
        assert_eq!(composite(&mixed), None);
        assert_eq!(combine(&mixed[0], &mixed[1], 1), None);
        assert_eq!(composite(&[]), None);
    }

    #[test]
    fn names_round_trip_and_values_are_strict() {
        for algorithm in ChecksumAlgorithm::ALL {
            assert_eq!(
                ChecksumAlgorithm::from_name(algorithm.name()),
                Some(algorithm)
            );
            let header = algorithm.header().to_uppercase();
            assert_eq!(ChecksumAlgorithm::from_header(&header), Some(algorithm));
            let value = Checksum::new(algorithm, &vec![7; algorithm.len()]).unwrap();
            let parsed = Checksum::parse(algorithm, value.to_base64().as_bytes());
            assert_eq!(parsed, Ok(value));
            let long = Checksum::new(algorithm, &vec![7; algorithm.len() + 1]);
            assert_eq!(long, Err(ChecksumError::Length));
        }
        assert_eq!(ChecksumAlgorithm::from_header("x-amz-checksum-mode"), None);
        for bad in ["y/Q5Jg", "y/Q5Jg= ", "y_Q5Jg==", "", "y/Q5Jh=="] {
            assert!(
                Checksum::parse(ChecksumAlgorithm::Crc32, bad.as_bytes()).is_err(),
                "{bad}"
            );
        }
        assert!(ChecksumAlgorithm::Xxhash3.hasher().is_none());
    }
}
