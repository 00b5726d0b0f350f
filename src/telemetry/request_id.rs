//! Request ids: 16 upper-case hexadecimal digits, as S3's own.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::HEXUPPER;
use http::HeaderValue;

/// Names one request in the response, in logs and to the operator. Not a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; LENGTH]);

/// Hands out request ids that do not repeat within a process, nor, but for chance, between them.
#[derive(Debug)]
pub struct RequestIds(AtomicU64);

impl RequestId {
    /// The id that writes these bytes.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        let mut digits = [0; LENGTH];
        HEXUPPER.encode_mut(&bytes, &mut digits);
        Self(digits)
    }

    /// The 16 digits.
    pub fn as_str(&self) -> &str {
        // Hexadecimal digits are ASCII: the fallback is never taken.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The 16 digits for a header.
    pub fn header_value(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or(HeaderValue::from_static(""))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl RequestIds {
    /// Starts at a place that `seed` chooses.
    pub fn new(seed: [u8; 8]) -> Self {
        Self(AtomicU64::new(u64::from_le_bytes(seed)))
    }

    /// Starts at a place that the operating system's entropy chooses. Asked once, not per request.
    pub fn from_os() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed)?;
        Ok(Self::new(seed))
    }

    /// The next id.
    pub fn next(&self) -> RequestId {
        // SplitMix64: a counter with a large odd step, then a bijection that scatters it.
        let counted = self.0.fetch_add(STEP, Ordering::Relaxed);
        let mixed = (counted ^ (counted >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        RequestId::from_bytes((mixed ^ (mixed >> 31)).to_be_bytes())
    }
}

const LENGTH: usize = 16;
/// 2^64 divided by the golden ratio, made odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_sixteen_upper_case_digits() {
        let id = RequestId::from_bytes([0x44, 0x42, 0x58, 0x7f, 0xb7, 0xd0, 0xa2, 0xf9]);
        assert_eq!(id.as_str(), "4442587FB7D0A2F9");
        assert_eq!(id.header_value(), "4442587FB7D0A2F9");
        assert_eq!(format!("{id} {id:?}"), "4442587FB7D0A2F9 4442587FB7D0A2F9");
    }

    #[test]
    fn ids_do_not_repeat() {
        let ids = RequestIds::from_os().unwrap();
        let seen: HashSet<_> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(seen.len(), 10_000);
        let first = RequestIds::new([1; 8]).next();
        assert_ne!(first, RequestIds::new([2; 8]).next());
        assert_eq!(first, RequestIds::new([1; 8]).next());
    }
}
