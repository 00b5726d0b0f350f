//! From a wrapped data key to a plaintext.

use std::fmt;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{self, HKDF_SHA512, KeyType, Salt};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use super::metadata::{Content, Metadata};
use super::{S3ecError, TAG_LEN};
use crate::keys::types::{DATA_KEY_LEN, DataKey};
use crate::secret::Secret;

/// An AES key that wraps data keys, as the library's raw keyring has it.
pub struct RawKey(Secret<Vec<u8>>);

/// Not 16, 24 or 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an AES key has 16, 24 or 32 bytes")]
pub struct RawKeyLength;

impl RawKey {
    /// Takes the bytes of a key.
    pub fn new(bytes: Secret<Vec<u8>>) -> Result<Self, RawKeyLength> {
        algorithm(bytes.expose().len()).ok_or(RawKeyLength)?;
        Ok(Self(bytes))
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        let bytes = self.0.expose();
        let key = UnboundKey::new(algorithm(bytes.len())?, bytes).ok()?;
        Some(LessSafeKey::new(key))
    }
}

impl fmt::Debug for RawKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawKey([redacted])")
    }
}

fn algorithm(len: usize) -> Option<&'static aead::Algorithm> {
    match len {
        16 => Some(&aead::AES_128_GCM),
        24 => Some(&aead::AES_192_GCM),
        32 => Some(&aead::AES_256_GCM),
        _ => None,
    }
}

impl Metadata {
    /// Opens the wrap of a raw AES key. The tag covers the name of the content's cipher, too.
    pub fn unwrap_raw(&self, key: &RawKey) -> Result<DataKey, S3ecError> {
        let aad = Aad::from(self.content.cipher_name());
        let (nonce, sealed) = self
            .wrapped
            .split_first_chunk::<NONCE_LEN>()
            .filter(|(_, sealed)| sealed.len() == DATA_KEY_LEN + TAG_LEN)
            .ok_or(S3ecError::Key)?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let cipher = key.cipher().ok_or(S3ecError::Key)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = cipher.open_in_place(nonce, aad, &mut sealed);
        let opened = opened.map_err(|_| S3ecError::Key)?;
        let bytes: &[u8; DATA_KEY_LEN] = (&*opened).try_into().map_err(|_| S3ecError::Key)?;
        Ok(DataKey::new(*bytes))
    }

    /// The key of the body, if the object commits to this data key, or does not commit to any.
    pub fn content_key(&self, data_key: &DataKey) -> Result<ContentKey, S3ecError> {
        match &self.content {
            Content::Gcm { iv } => Ok(ContentKey {
                cipher: body_cipher(data_key.expose())?,
                nonce: *iv,
                aad: &[],
            }),
            Content::Committing {
                message_id,
                commitment,
            } => {
                let salt = Salt::new(HKDF_SHA512, message_id);
                let prk = salt.extract(data_key.expose());
                let own: Zeroizing<[u8; 28]> = expand(&prk, b"COMMITKEY")?;
                if !bool::from(own.as_slice().ct_eq(commitment)) {
                    return Err(S3ecError::Commitment);
                }
                let key: Zeroizing<[u8; 32]> = expand(&prk, b"DERIVEKEY")?;
                Ok(ContentKey {
                    cipher: body_cipher(&key)?,
                    nonce: [1; NONCE_LEN],
                    aad: SUITE,
                })
            }
        }
    }
}

/// What opens one body.
pub struct ContentKey {
    cipher: LessSafeKey,
    nonce: [u8; NONCE_LEN],
    aad: &'static [u8],
}

impl ContentKey {
    /// Opens a whole stored body in place: the plaintext is what comes before the tag. What `stored`
    /// holds after an error must not be used.
    pub fn open(self, stored: &mut [u8]) -> Result<usize, S3ecError> {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = self
            .cipher
            .open_in_place(nonce, Aad::from(self.aad), stored);
        opened
            .map(|plaintext| plaintext.len())
            .map_err(|_| S3ecError::Body)
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey([redacted])")
    }
}

fn body_cipher(key: &[u8; DATA_KEY_LEN]) -> Result<LessSafeKey, S3ecError> {
    let key = UnboundKey::new(&aead::AES_256_GCM, key).map_err(|_| S3ecError::Body)?;
    Ok(LessSafeKey::new(key))
}

/// `HKDF-Expand(PRK, suite || label, N)` with SHA-512.
fn expand<const N: usize>(prk: &hkdf::Prk, label: &[u8]) -> Result<Zeroizing<[u8; N]>, S3ecError> {
    let info = [SUITE, label];
    let mut out = Zeroizing::new([0; N]);
    let okm = prk.expand(&info, Length(N));
    let filled = okm.and_then(|okm| okm.fill(out.as_mut_slice()));
    filled.map_err(|_| S3ecError::Commitment)?;
    Ok(out)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The number of the committing suite, as bytes.
const SUITE: &[u8] = &[0x00, 0x73];

const NONCE_LEN: usize = 12;
