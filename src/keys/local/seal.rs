//! The seal of a keyring: material under a key that Argon2id (RFC 9106) makes of a passphrase.
//!
//! ```text
//! seal key        = Argon2id(passphrase, salt(16), memory, passes, lanes), 32 bytes
//! seal check      = HMAC-SHA-256(seal key, "s3seal.v1.seal-check")[..8]
//! sealed material = salt(32) || GCM(HKDF-SHA-512(seal key, salt, "s3seal.v1.keyring-seal"), nonce 0, material,
//!                                   AAD = "s3seal.v1.keyring-seal" || be16 len || key id || be32 version)
//! ```
//! Deriving takes a noticeable time and 64 MiB, on purpose: it blocks, and belongs on no thread that
//! serves requests. The derived key is kept in memory, so that a changed file of the same seal is
//! read without it.
//!
//! The seal keeps material secret and in its place. Names and states are as open to whoever can write
//! the file as they are without a seal.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::hmac;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use super::material::{MATERIAL_LEN, Material};
use crate::config::keys::SecretPlace;
use crate::keys::entropy::{EntropyError, random_bytes};
use crate::keys::types::{DataKey, WrappedDataKey};
use crate::keys::wrap::{WrapInfo, derived_unwrap, derived_wrap};
use crate::secret::Secret;

/// What opens a sealed keyring, and the key that was last made of it.
///
/// The passphrase is read when a key has to be made, and not kept: a file may be replaced.
#[derive(Debug)]
pub struct Passphrase {
    place: Arc<SecretPlace>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The last seal that opened.
    seal: Option<Seal>,
    /// The last one that did not, and the passphrase that did not open it: a broken file is read
    /// again every second, and must not cost a derivation each time.
    refused: Option<(Head, Secret<String>)>,
}

impl Passphrase {
    /// A passphrase, read from its place when it is needed.
    pub fn new(place: Arc<SecretPlace>) -> Self {
        Self {
            place,
            known: Mutex::default(),
        }
    }

    /// A passphrase at hand.
    pub fn of_text(text: Secret<String>) -> Self {
        Self::new(Arc::new(SecretPlace::Fixed(text)))
    }

    /// A new seal, with a salt of its own. Blocks while the key is made.
    pub(super) fn make_seal(&self) -> Result<Seal, SealError> {
        let passphrase = self.read()?;
        if passphrase.expose().chars().count() < MIN_PASSPHRASE_CHARS {
            return Err(SealError::TooShort);
        }
        let salt: &[u8; SALT_LEN] = &*random_bytes()?;
        let cost = Cost::CHOSEN;
        let key = SealKey::derive(&passphrase, cost, salt)?;
        let seal = Seal {
            head: Head {
                cost,
                salt: *salt,
                check: key.check(),
            },
            key: Arc::new(key),
        };
        self.known().seal = Some(seal.clone());
        Ok(seal)
    }

    /// The key of a seal. Blocks while it is made, if it is not known.
    pub(super) fn open(&self, head: &Head) -> Result<Seal, SealError> {
        if let Some(seal) = self.known().seal.clone()
            && seal.head == *head
        {
            return Ok(seal);
        }
        let passphrase = self.read()?;
        if let Some((refused, with)) = &self.known().refused
            && refused == head
            && with.ct_eq(passphrase.expose().as_bytes())
        {
            return Err(SealError::WrongPassphrase);
        }
        let key = SealKey::derive(&passphrase, head.cost, &head.salt)?;
        if !bool::from(key.check().ct_eq(&head.check)) {
            self.known().refused = Some((head.clone(), passphrase));
            return Err(SealError::WrongPassphrase);
        }
        let seal = Seal {
            head: head.clone(),
            key: Arc::new(key),
        };
        self.known().seal = Some(seal.clone());
        Ok(seal)
    }

    fn read(&self) -> Result<Secret<String>, SealError> {
        let read = self.place.read();
        let passphrase = read.map_err(|error| SealError::Unreadable(error.to_string()))?;
        if passphrase.expose().len() > MAX_PASSPHRASE_LEN {
            return Err(SealError::TooLong);
        }
        Ok(passphrase)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing in it is ever half-written.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a seal cannot be made or opened.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SealError {
    /// A later program's, or nonsense that would take all memory or none at all.
    #[error(
        "the seal's parameters are not argon2id with 64 to 1024 MiB, 3 to 16 passes, 1 to 4 lanes"
    )]
    Bounds,
    /// No random bytes, no salt.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// Not enough memory to make the key.
    #[error("there is not enough memory to derive the key of the seal")]
    Memory,
    /// Sealed, and nobody gave a passphrase.
    #[error("it is sealed, and no passphrase is given")]
    NoPassphrase,
    /// A passphrase says that the file is sealed: one that is not may be somebody else's.
    #[error("it is not sealed, although a passphrase is given")]
    NotSealed,
    /// Salt or check value that are none.
    #[error("the seal's salt or check value is not as it must be")]
    Syntax,
    /// Longer than any passphrase.
    #[error("the passphrase has more than {MAX_PASSPHRASE_LEN} bytes")]
    TooLong,
    /// Too few characters for a new seal.
    #[error("a passphrase must have at least {MIN_PASSPHRASE_CHARS} characters")]
    TooShort,
    /// The file with the passphrase.
    #[error("the passphrase cannot be read: {0}")]
    Unreadable(String),
    /// It does not open the seal.
    #[error("the passphrase is wrong, or the seal was changed")]
    WrongPassphrase,
}

/// A seal with its key.
#[derive(Clone, Debug)]
pub(super) struct Seal {
    head: Head,
    key: Arc<SealKey>,
}

impl Seal {
    /// As the file writes it.
    pub(super) fn head(&self) -> FileSeal {
        FileSeal {
            kdf: KDF.to_owned(),
            memory_kib: self.head.cost.memory_kib,
            passes: self.head.cost.passes,
            lanes: self.head.cost.lanes,
            salt: BASE64.encode(&self.head.salt),
            check: HEXLOWER.encode(&self.head.check),
        }
    }

    /// Seals material in the place of one key and version, under a salt of its own.
    pub(super) fn seal(
        &self,
        material: &Material,
        key: &str,
        version: u32,
    ) -> Result<SealedMaterial, EntropyError> {
        let carried = DataKey::new(*material.expose());
        let (context, salt) = (context(key, version), random_bytes()?);
        let sealed = derived_wrap(
            &self.key.0,
            WrapInfo::KeyringSeal,
            &carried,
            &context,
            *salt,
        );
        Ok(SealedMaterial(BASE64.encode(&sealed.0)))
    }

    /// Opens material that was sealed in this place; `None` if it was not.
    pub(super) fn open(
        &self,
        sealed: &SealedMaterial,
        key: &str,
        version: u32,
    ) -> Option<Zeroizing<[u8; MATERIAL_LEN]>> {
        let sealed = WrappedDataKey(BASE64.decode(sealed.0.as_bytes()).ok()?);
        let context = context(key, version);
        let opened = derived_unwrap(&self.key.0, WrapInfo::KeyringSeal, &sealed, &context).ok()?;
        Some(Zeroizing::new(*opened.expose()))
    }
}

/// Sealed material as the file writes it: base64, no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SealedMaterial(pub(super) String);

/// What a key is made with, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    cost: Cost,
    salt: [u8; SALT_LEN],
    check: [u8; CHECK_LEN],
}

/// What a key costs to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// The second recommendation of RFC 9106, but for the lanes: they would only pay off with threads.
    const CHOSEN: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };

    /// Never cheaper than what is written; never so dear that reading a file is an attack.
    fn is_within_bounds(self) -> bool {
        (Self::CHOSEN.memory_kib..=1024 * 1024).contains(&self.memory_kib)
            && (Self::CHOSEN.passes..=16).contains(&self.passes)
            && (Self::CHOSEN.lanes..=4).contains(&self.lanes)
    }
}

/// The field `sealed` of a keyring file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSeal {
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    check: String,
}

impl FileSeal {
    pub(super) fn check(&self) -> Result<Head, SealError> {
        let cost = Cost {
            memory_kib: self.memory_kib,
            passes: self.passes,
            lanes: self.lanes,
        };
        if self.kdf != KDF || !cost.is_within_bounds() {
            return Err(SealError::Bounds);
        }
        let salt = BASE64.decode(self.salt.as_bytes()).ok();
        let check = HEXLOWER.decode(self.check.as_bytes()).ok();
        Ok(Head {
            cost,
            salt: array(salt).ok_or(SealError::Syntax)?,
            check: array(check).ok_or(SealError::Syntax)?,
        })
    }
}

fn array<const N: usize>(bytes: Option<Vec<u8>>) -> Option<[u8; N]> {
    bytes?.try_into().ok()
}

/// The key that a passphrase gives.
struct SealKey(Zeroizing<[u8; 32]>);

impl SealKey {
    fn derive(passphrase: &Secret<String>, cost: Cost, salt: &[u8]) -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; 32]);
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(key.len()));
        let params = params.map_err(|_| SealError::Bounds)?;
        // Our own memory, because that of the library is not wiped.
        let mut memory = Zeroizing::new(Vec::new());
        let reserved = memory.try_reserve_exact(params.block_count());
        reserved.map_err(|_| SealError::Memory)?;
        memory.resize(params.block_count(), Block::default());
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(
                passphrase.expose().as_bytes(),
                salt,
                key.as_mut_slice(),
                memory.as_mut_slice(),
            )
            .map_err(|_| SealError::Bounds)?;
        Ok(Self(key))
    }

    /// Tells a wrong passphrase from a changed file.
    fn check(&self) -> [u8; CHECK_LEN] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let tag = hmac::sign(&key, b"s3seal.v1.seal-check");
        let mut check = [0; CHECK_LEN];
        for (to, from) in check.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        check
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey([redacted])")
    }
}

/// What sealed material is bound to: its place in the keyring. Ids have at most 128 bytes.
fn context(key: &str, version: u32) -> Vec<u8> {
    let len = u16::try_from(key.len()).unwrap_or(u16::MAX);
    let mut context = b"s3seal.v1.keyring-seal".to_vec();
    context.extend_from_slice(&len.to_be_bytes());
    context.extend_from_slice(key.as_bytes());
    context.extend_from_slice(&version.to_be_bytes());
    context
}

const KDF: &str = "argon2id";
const SALT_LEN: usize = 16;
const CHECK_LEN: usize = 8;
/// Argon2id buys time, not entropy.
const MIN_PASSPHRASE_CHARS: usize = 12;
/// A generous sentence; a file that is longer is not a passphrase.
const MAX_PASSPHRASE_LEN: usize = 1024;

#[cfg(test)]
mod tests;
