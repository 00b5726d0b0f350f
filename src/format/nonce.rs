//! Nonces of a body: base, role and index. A sealer gets each one once, and none can wrap.

use std::fmt;

/// What a ciphertext is in its body; the number is part of the nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Role {
    /// A chunk that another one follows.
    Chunk = 0,
    /// The last chunk.
    LastChunk = 1,
    /// The trailer.
    Trailer = 2,
}

/// The derived 12 bytes that every nonce of a body begins from.
#[derive(Clone)]
pub(super) struct NonceBase([u8; 12]);

/// A nonce, good for one call of the cipher: no `Clone`.
pub(super) struct Nonce([u8; 12]);

/// The nonces of one sealed body, in order: `count` chunks, then the trailer.
#[derive(Debug)]
pub(super) struct SealNonces {
    base: NonceBase,
    /// `0 <= next <= count`
    next: u32,
    count: u32,
}

impl NonceBase {
    pub(super) fn new(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// `base XOR (00*7 || role || be32(index))`
    pub(super) fn at(&self, role: Role, index: u32) -> Nonce {
        let mut bytes = self.0;
        bytes[7] ^= role as u8;
        for (byte, index) in bytes.iter_mut().skip(8).zip(index.to_be_bytes()) {
            *byte ^= index;
        }
        Nonce(bytes)
    }

    /// The nonce of the chunk at `index` in a body of `count` chunks.
    pub(super) fn chunk(&self, index: u32, count: u32) -> Nonce {
        let last = index.checked_add(1) == Some(count);
        self.at(if last { Role::LastChunk } else { Role::Chunk }, index)
    }

    /// The nonce of the trailer.
    pub(super) fn trailer(&self) -> Nonce {
        self.at(Role::Trailer, 0)
    }
}

impl fmt::Debug for NonceBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceBase([redacted])")
    }
}

impl Nonce {
    /// Any nonce, for vectors of the cipher alone.
    #[cfg(test)]
    pub(super) fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    pub(super) fn into_bytes(self) -> [u8; 12] {
        self.0
    }
}

impl SealNonces {
    pub(super) fn new(base: NonceBase, count: u32) -> Self {
        Self {
            base,
            next: 0,
            count,
        }
    }

    /// The index of the next chunk, until all are sealed.
    pub(super) fn index(&self) -> Option<u32> {
        (self.next < self.count).then_some(self.next)
    }

    /// The nonce of the next chunk; never the same twice.
    pub(super) fn next_chunk(&mut self) -> Option<Nonce> {
        let index = self.index()?;
        self.next += 1;
        Some(self.base.chunk(index, self.count))
    }

    /// The nonce of the trailer, once every chunk had its own.
    pub(super) fn trailer(self) -> Option<Nonce> {
        (self.next == self.count).then(|| self.base.trailer())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_nonce_of_a_body_repeats() {
        let mut nonces = SealNonces::new(NonceBase::new([0xA5; 12]), 300);
        let mut seen = HashSet::new();
        while let Some(nonce) = nonces.next_chunk() {
            assert!(seen.insert(nonce.into_bytes()));
        }
        assert!(nonces.next_chunk().is_none());
        assert!(seen.insert(nonces.trailer().unwrap().into_bytes()));
        assert_eq!(seen.len(), 301);
    }

    #[test]
    fn the_trailer_waits_for_every_chunk() {
        let mut nonces = SealNonces::new(NonceBase::new([0; 12]), 2);
        let _ = nonces.next_chunk();
        assert!(nonces.trailer().is_none());
    }

    #[test]
    fn role_and_index_have_their_own_bytes() {
        let base = NonceBase::new([0xFF; 12]);
        let nonce = base.at(Role::Trailer, 0x0102_0304).into_bytes();
        assert_eq!(nonce[..7], [0xFF; 7]);
        assert_eq!(nonce[7..], [0xFD, 0xFE, 0xFD, 0xFC, 0xFB]);
        assert_eq!(base.chunk(u32::MAX, 0).into_bytes()[7], 0xFF);
    }
}
