//! AES-256-GCM with detached tags, in place or from one buffer into another, by either of two
//! libraries behind one type.

use std::fmt;

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use aws_lc_rs::aead::{self, LessSafeKey, UnboundKey};
use thiserror::Error;

use super::TAG_LEN;
use super::nonce::Nonce;

/// Which library encrypts bodies. Both write the same bytes (NIST SP 800-38D).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BulkCipher {
    /// `aws-lc-rs`: four times as fast where the CPU has AES instructions.
    #[default]
    AwsLc,
    /// `aes-gcm`: portable Rust, and the independent check of the other one.
    AesGcm,
}

/// An authentication tag: what is stored behind a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a chunk cannot be opened without its tag"]
pub struct Tag(pub(super) [u8; TAG_LEN]);

impl AsRef<[u8]> for Tag {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The cipher refused: a wrong tag, or an input beyond what GCM allows. Says nothing more, as no
/// caller may tell the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the cipher refused its input")]
pub(super) struct CipherError;

/// One AES-256 key, ready to seal and open.
///
/// Both libraries wipe their key schedules when dropped.
pub(super) struct BodyCipher(Library);

enum Library {
    AwsLc(LessSafeKey),
    // Boxed: the expanded key is large, and would be copied with every move of an opener.
    AesGcm(Box<Aes256Gcm>),
}

impl BodyCipher {
    pub(super) fn new(choice: BulkCipher, key: &[u8; 32]) -> Self {
        Self(match choice {
            BulkCipher::AwsLc => {
                #[expect(clippy::expect_used, reason = "the only error is a wrong key length")]
                let key = UnboundKey::new(&aead::AES_256_GCM, key).expect("32 bytes");
                Library::AwsLc(LessSafeKey::new(key))
            }
            BulkCipher::AesGcm => Library::AesGcm(Box::new(Aes256Gcm::new(key.into()))),
        })
    }

    /// Encrypts `data` in place.
    pub(super) fn seal(
        &self,
        nonce: Nonce,
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<Tag, CipherError> {
        match &self.0 {
            Library::AwsLc(key) => {
                let nonce = aead::Nonce::assume_unique_for_key(nonce.into_bytes());
                let tag = key
                    .seal_in_place_separate_tag(nonce, aead::Aad::from(aad), data)
                    .map_err(|_| CipherError)?;
                let tag = tag.as_ref().try_into().map_err(|_| CipherError)?;
                Ok(Tag(tag))
            }
            Library::AesGcm(key) => {
                let tag = key
                    .encrypt_inout_detached(&nonce.into_bytes().into(), aad, data.into())
                    .map_err(|_| CipherError)?;
                Ok(Tag(tag.into()))
            }
        }
    }

    /// Encrypts `plain` into `sealed`, which is as long.
    pub(super) fn seal_apart(
        &self,
        nonce: Nonce,
        aad: &[u8],
        plain: &[u8],
        sealed: &mut [u8],
    ) -> Result<Tag, CipherError> {
        match &self.0 {
            Library::AwsLc(key) => {
                let nonce = aead::Nonce::assume_unique_for_key(nonce.into_bytes());
                let mut tag = [0; TAG_LEN];
                let aad = aead::Aad::from(aad);
                key.seal_out_of_place_scatter(nonce, aad, plain, sealed, &[], &mut tag)
                    .map_err(|_| CipherError)?;
                Ok(Tag(tag))
            }
            Library::AesGcm(key) => {
                let data = InOutBuf::new(plain, sealed).map_err(|_| CipherError)?;
                let tag = key
                    .encrypt_inout_detached(&nonce.into_bytes().into(), aad, data)
                    .map_err(|_| CipherError)?;
                Ok(Tag(tag.into()))
            }
        }
    }

    /// Decrypts `data` in place if the tag is right; what `data` holds otherwise must not be used.
    pub(super) fn open(
        &self,
        nonce: Nonce,
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), CipherError> {
        match &self.0 {
            Library::AwsLc(key) => {
                let nonce = aead::Nonce::assume_unique_for_key(nonce.into_bytes());
                key.open_in_place_separate_tag(nonce, aead::Aad::from(aad), tag, data)
                    .map_err(|_| CipherError)?;
                Ok(())
            }
            Library::AesGcm(key) => key
                .decrypt_inout_detached(&nonce.into_bytes().into(), aad, data.into(), tag.into())
                .map_err(|_| CipherError),
        }
    }

    /// Decrypts `sealed` into `plain`, which is as long, if the tag is right; what `plain` holds
    /// otherwise must not be used.
    pub(super) fn open_apart(
        &self,
        nonce: Nonce,
        aad: &[u8],
        sealed: (&[u8], &[u8; TAG_LEN]),
        plain: &mut [u8],
    ) -> Result<(), CipherError> {
        let (sealed, tag) = sealed;
        match &self.0 {
            Library::AwsLc(key) => {
                let nonce = aead::Nonce::assume_unique_for_key(nonce.into_bytes());
                key.open_separate_gather(nonce, aead::Aad::from(aad), sealed, tag, plain)
                    .map_err(|_| CipherError)
            }
            Library::AesGcm(key) => {
                let data = InOutBuf::new(sealed, plain).map_err(|_| CipherError)?;
                key.decrypt_inout_detached(&nonce.into_bytes().into(), aad, data, tag.into())
                    .map_err(|_| CipherError)
            }
        }
    }
}

impl fmt::Debug for BodyCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyCipher([redacted])")
    }
}
