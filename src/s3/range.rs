//! Byte ranges: the `Range` clients ask for, what it means for an object, and `Content-Range`.
//!
//! RFC 9110, section 14. S3 serves one range a request and ignores what it cannot read, so a
//! malformed or multiple range is no range at all.

use std::fmt;

/// A `Range` of one part, not yet held against a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=first-last`, both inclusive, `first <= last`.
    Closed {
        /// First byte.
        first: u64,
        /// Last byte; may lie behind the end of the object.
        last: u64,
    },
    /// `bytes=first-`.
    From {
        /// First byte.
        first: u64,
    },
    /// `bytes=-len`: the last `len` bytes.
    Suffix {
        /// Bytes wanted; 0 can never be satisfied.
        len: u64,
    },
}

impl ByteRange {
    /// Reads the value of a `Range` header; `None` means: serve the whole object.
    pub fn parse(value: &str) -> Option<Self> {
        let (unit, range) = value.trim().split_once('=')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = range.trim().split_once('-')?;
        match (first, last) {
            ("", len) => Some(Self::Suffix {
                len: saturating(len)?,
            }),
            (first, "") => Some(Self::From {
                first: saturating(first)?,
            }),
            (first, last) => {
                let (first, last) = (saturating(first)?, saturating(last)?);
                (first <= last).then_some(Self::Closed { first, last })
            }
        }
    }

    /// The bytes meant of an object of `size` bytes.
    pub fn resolve(self, size: u64) -> Result<ResolvedRange, Unsatisfiable> {
        let end = size.checked_sub(1).ok_or(Unsatisfiable)?;
        let (first, last) = match self {
            Self::Closed { first, last } => (first, last.min(end)),
            Self::From { first } => (first, end),
            Self::Suffix { len: 0 } => return Err(Unsatisfiable),
            Self::Suffix { len } => (size.saturating_sub(len), end),
        };
        if first > end {
            return Err(Unsatisfiable);
        }
        Ok(ResolvedRange { first, last })
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { first, last } => write!(f, "bytes={first}-{last}"),
            Self::From { first } => write!(f, "bytes={first}-"),
            Self::Suffix { len } => write!(f, "bytes=-{len}"),
        }
    }
}

/// No byte of the object lies in the range: 416 `InvalidRange`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the range lies outside the object")]
pub struct Unsatisfiable;

/// Bytes `first..=last` of an object; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolvedRange {
    first: u64,
    last: u64,
}

impl ResolvedRange {
    /// The bytes `first..=last`; `None` where `last < first` or the length exceeds a `u64`.
    pub fn new(first: u64, last: u64) -> Option<Self> {
        (first <= last && last - first < u64::MAX).then_some(Self { first, last })
    }

    /// First byte.
    pub fn first(self) -> u64 {
        self.first
    }

    /// Last byte, inclusive.
    pub fn last(self) -> u64 {
        self.last
    }

    /// Bytes in the range, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(self) -> u64 {
        self.last - self.first + 1
    }
}

/// A `Content-Range` of a 206: a range of an object of known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The bytes that follow.
    pub range: ResolvedRange,
    /// Size of the whole object in bytes, greater than `range.last()`.
    pub total: u64,
}

impl ContentRange {
    /// Reads `bytes first-last/total`; `None` for every other form, the unknown size `*` included.
    pub fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.trim().split_once(' ')?;
        let (range, total) = rest.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let range = ResolvedRange::new(exact(first)?, exact(last)?)?;
        let total = exact(total)?;
        (unit.eq_ignore_ascii_case("bytes") && range.last < total).then_some(Self { range, total })
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ResolvedRange { first, last } = self.range;
        write!(f, "bytes {first}-{last}/{}", self.total)
    }
}

/// Digits only. A number that no `u64` holds lies behind every object and is cut to the largest.
fn saturating(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Digits only, and no more than a `u64` holds.
fn exact(digits: &str) -> Option<u64> {
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
