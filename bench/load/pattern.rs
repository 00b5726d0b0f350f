//! The plaintext of every object: endless bytes that cost nothing to make and tell where they are.

use aws_lc_rs::digest;

/// A block of pseudo-random bytes, repeated. Its length is prime, so no chunk, page or part
/// boundary falls on the same bytes twice: chunks that changed places do not go unnoticed.
#[derive(Debug)]
pub(crate) struct Pattern {
    block: Vec<u8>,
}

impl Pattern {
    /// The same bytes in every process.
    pub(crate) fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let block = (0..BLOCK.div_ceil(8)).flat_map(|_| next_random(&mut state).to_le_bytes());
        Self {
            block: block.take(BLOCK).collect(),
        }
    }

    /// Some bytes of the pattern at `offset`: at least one, at most `limit`; none if `limit` is 0.
    pub(crate) fn at(&self, offset: u64, limit: u64) -> &[u8] {
        let start = usize::try_from(offset % BLOCK as u64).unwrap_or_default();
        let rest = self.block.get(start..).unwrap_or_default();
        usize::try_from(limit)
            .ok()
            .and_then(|limit| rest.get(..limit))
            .unwrap_or(rest)
    }

    /// Whether `bytes` are the pattern's at `offset`.
    pub(crate) fn matches(&self, mut offset: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let expected = self.at(offset, bytes.len() as u64);
            let Some(rest) = bytes.strip_prefix(expected) else {
                return false;
            };
            offset += expected.len() as u64;
            bytes = rest;
        }
        true
    }

    /// SHA-256 of the first `length` bytes, in hex.
    pub(crate) fn sha256(&self, length: u64) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut offset = 0;
        while offset < length {
            let piece = self.at(offset, length - offset);
            context.update(piece);
            offset += piece.len() as u64;
        }
        data_encoding::HEXLOWER.encode(context.finish().as_ref())
    }
}

/// Xorshift64: offsets and bytes that repeat from run to run.
pub(crate) fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A prime just under 1 MiB: larger than a socket write, small enough to stay in the cache.
const BLOCK: usize = 1_048_573;

#[cfg(test)]
#[allow(
    dead_code,
    unused_imports,
    reason = "the runner's target has no test harness"
)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_repeats_and_knows_its_place() {
        let pattern = Pattern::new();
        let seam = BLOCK as u64 - 3;
        let mut bytes = pattern.at(seam, 10).to_vec();
        assert_eq!(bytes.len(), 3);
        bytes.extend_from_slice(pattern.at(0, 7));
        assert!(pattern.matches(seam, &bytes));
        assert!(!pattern.matches(seam + 1, &bytes));
        assert!(!pattern.matches(65_536, pattern.at(0, 16)));
    }

    #[test]
    fn the_hash_is_of_the_same_bytes() {
        let pattern = Pattern::new();
        let hash = digest::digest(&digest::SHA256, pattern.at(0, 1000));
        assert_eq!(
            pattern.sha256(1000),
            data_encoding::HEXLOWER.encode(hash.as_ref())
        );
    }
}
