//! Every key of an object from its data key: HKDF-SHA-512 (RFC 5869), one label for each purpose.
//!
//! A [`ContentKey`] is the only way to a key that encrypts, and only a header's commitment leads to
//! a `ContentKey`.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::header::HeaderPrefix;
use super::nonce::NonceBase;
use crate::keys::types::DataKey;

/// What an object's keys are derived from: the PRK, and the header prefix that is part of every
/// label. Wiped when dropped.
pub struct ContentKey {
    /// As the key of a MAC: each expansion would otherwise hash it twice more.
    prk: hmac::Key,
    prefix: HeaderPrefix,
}

/// The content key of an object that is being made: nothing has been sealed under it yet.
///
/// A single body takes it by value, so that no second body can be sealed under the same key and
/// nonces. Uploads turn it into a [`ContentKey`]: each of their segments has a salt of its own.
#[derive(Debug)]
pub struct FreshContentKey(pub(super) ContentKey);

/// Key and nonce base of one body.
pub(super) struct BodyKey {
    pub(super) key: Zeroizing<[u8; 32]>,
    pub(super) base: NonceBase,
}

impl ContentKey {
    /// `PRK = HKDF-Extract(SHA-512, salt = object id, ikm = data key)`
    pub(super) fn extract(prefix: HeaderPrefix, data_key: &DataKey) -> Self {
        let salt = hmac::Key::new(hmac::HMAC_SHA512, prefix.object_id());
        let prk = mac(&salt, data_key.expose());
        Self {
            prk: hmac::Key::new(hmac::HMAC_SHA512, prk.as_slice()),
            prefix,
        }
    }

    /// The first 40 bytes of the content header this key belongs to.
    pub fn prefix(&self) -> &HeaderPrefix {
        &self.prefix
    }

    pub(super) fn commitment(&self) -> [u8; 32] {
        *self.expand(LABEL_COMMIT, &[])
    }

    /// The key of a layout 01 body: another one for every plaintext length.
    pub(super) fn single(&self, plaintext_len: u64) -> BodyKey {
        let okm: Zeroizing<[u8; 44]> = self.expand(LABEL_SINGLE, &plaintext_len.to_be_bytes());
        BodyKey::split(okm.as_slice()).0
    }

    /// The key of a segment and its commitment.
    pub(super) fn segment(&self, fields: &[u8; 96]) -> (BodyKey, [u8; 32]) {
        let okm: Zeroizing<[u8; 76]> = self.expand(LABEL_SEGMENT, fields);
        let (key, commitment) = BodyKey::split(okm.as_slice());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(commitment);
        (key, bytes)
    }

    /// The salt of the seal behind the last part of an upload.
    pub(super) fn seal_salt(&self, part: u32) -> [u8; 32] {
        *self.expand(LABEL_SEAL, &part.to_be_bytes())
    }

    /// The key of the mac in an upload id.
    pub(super) fn upload_mac(&self) -> Zeroizing<[u8; 32]> {
        self.expand(LABEL_UPLOAD, &[])
    }

    /// `HKDF-Expand(PRK, label || prefix || info, N)`: `T(i) = HMAC(PRK, T(i-1) || info || i)`, put
    /// together (RFC 5869, section 2.3).
    fn expand<const N: usize>(&self, label: &[u8], info: &[u8]) -> Zeroizing<[u8; N]> {
        let mut out = Zeroizing::new([0; N]);
        let mut input = Zeroizing::new(Vec::with_capacity(INPUT_LEN_MAX));
        let mut block: Option<Zeroizing<[u8; MAC_LEN]>> = None;
        for (counter, part) in (1_u8..).zip(out.chunks_mut(MAC_LEN)) {
            input.clear();
            if let Some(previous) = &block {
                input.extend_from_slice(previous.as_slice());
            }
            input.extend_from_slice(label);
            input.extend_from_slice(self.prefix.as_bytes());
            input.extend_from_slice(info);
            input.push(counter);
            let next = block.insert(mac(&self.prk, &input));
            part.copy_from_slice(next.split_at(part.len()).0);
        }
        out
    }
}

/// HMAC-SHA-512.
fn mac(key: &hmac::Key, input: &[u8]) -> Zeroizing<[u8; MAC_LEN]> {
    let mut out = Zeroizing::new([0; MAC_LEN]);
    #[expect(clippy::expect_used, reason = "the buffer is as long as a SHA-512 tag")]
    hmac::sign_to_buffer(key, input, out.as_mut_slice()).expect("64 bytes");
    out
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey([redacted])")
    }
}

impl FreshContentKey {
    /// The first 40 bytes of the content header this key belongs to.
    pub fn prefix(&self) -> &HeaderPrefix {
        self.0.prefix()
    }
}

impl From<FreshContentKey> for ContentKey {
    fn from(fresh: FreshContentKey) -> Self {
        fresh.0
    }
}

impl fmt::Debug for BodyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyKey([redacted])")
    }
}

impl BodyKey {
    /// `key(32) || base(12) || rest`
    fn split(okm: &[u8]) -> (Self, &[u8]) {
        let mut key = Zeroizing::new([0; 32]);
        let mut base = [0; 12];
        let (head, rest) = okm.split_at(44);
        let (head_key, head_base) = head.split_at(32);
        key.copy_from_slice(head_key);
        base.copy_from_slice(head_base);
        let base = NonceBase::new(base);
        (Self { key, base }, rest)
    }
}

/// Bytes of a SHA-512 tag.
const MAC_LEN: usize = 64;
/// A block, the longest label, the prefix, the fields of a segment, the counter: never moved, so
/// that no copy is left behind.
const INPUT_LEN_MAX: usize = 256;

const LABEL_COMMIT: &[u8] = b"s3seal.v1.commit";
const LABEL_SINGLE: &[u8] = b"s3seal.v1.single";
const LABEL_SEGMENT: &[u8] = b"s3seal.v1.segment";
const LABEL_SEAL: &[u8] = b"s3seal.v1.seal";
const LABEL_UPLOAD: &[u8] = b"s3seal.v1.upload";
