//! Key material: 32 bytes that wrap data keys, and their check value.

use std::fmt;

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::keys::entropy::{EntropyError, random_bytes};
use crate::secret::Secret;

/// 32 bytes of key-encryption key, never all zero.
pub struct Material(Secret<[u8; MATERIAL_LEN]>);

impl Material {
    /// Takes over 32 bytes; all-zero ones are somebody's uninitialised buffer, not a key.
    pub fn new(bytes: &[u8; MATERIAL_LEN]) -> Result<Self, ZeroMaterial> {
        if bool::from(bytes.ct_eq(&[0; MATERIAL_LEN])) {
            return Err(ZeroMaterial);
        }
        Ok(Self(Secret::new(*bytes)))
    }

    /// Fresh material from the operating system.
    pub fn generate() -> Result<Self, EntropyError> {
        // All zeros from a working generator is as likely as guessing the key.
        Self::new(&*random_bytes()?).map_err(|ZeroMaterial| EntropyError)
    }

    /// The bytes: for wrapping and for writing the file.
    pub(super) fn expose(&self) -> &[u8; MATERIAL_LEN] {
        self.0.expose()
    }

    /// `HMAC-SHA-256(material, "s3seal.v1.check")[..8]`: finds a damaged file.
    pub(super) fn check(&self) -> [u8; CHECK_LEN] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.expose());
        let tag = hmac::sign(&key, CHECK_LABEL);
        let mut check = [0; CHECK_LEN];
        for (to, from) in check.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        check
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Material([redacted])")
    }
}

/// Key material of 32 zero bytes.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the material is all zeros")]
pub struct ZeroMaterial;

/// Bytes of key material (AES-256-sized input of the wrap's HKDF).
pub const MATERIAL_LEN: usize = 32;
/// Bytes of a check value.
pub const CHECK_LEN: usize = 8;
const CHECK_LABEL: &[u8] = b"s3seal.v1.check";
