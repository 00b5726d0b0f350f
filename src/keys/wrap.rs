//! The wraps that are derived from a key at hand: local keyring, customer key, bucket key, the seal
//! of a keyring.
//!
//! ```text
//! wrap = salt(32) || GCM(HKDF-SHA-512(ikm, salt, info), nonce 0, data key, AAD = context)
//! ```
//!
//! Every wrap has a key of its own, as its salt is fresh: the nonce may be constant, and the number
//! of wraps under one key has no limit.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use aws_lc_rs::{digest, hkdf};
use thiserror::Error;
use zeroize::Zeroizing;

use super::types::{DATA_KEY_LEN, DataKey, KeyRef, WrappedDataKey};

/// What a wrapping key is derived for: the HKDF info.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrapInfo {
    /// A bucket key wraps a data key.
    BucketKey {
        /// The random id of the bucket key.
        id: [u8; 16],
    },
    /// The caller's key wraps a data key (SSE-C).
    Customer,
    /// The seal of a keyring wraps material.
    KeyringSeal,
    /// A version of a key in the local keyring.
    Local {
        /// The version.
        version: u32,
    },
}

/// A wrap that does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WrapError {
    /// Not 80 bytes.
    #[error("a derived wrap is {DERIVED_WRAP_LEN} bytes long")]
    Length,
    /// Another key, another context, or a changed wrap: they cannot be told apart.
    #[error("the wrap does not open under this key and context")]
    Refused,
}

/// Bytes of a derived wrap: salt, data key, tag.
pub const DERIVED_WRAP_LEN: usize = SALT_LEN + DATA_KEY_LEN + TAG_LEN;

/// Wraps a data key under `ikm`, bound to `context`. The salt is 32 fresh random bytes.
pub fn derived_wrap(
    ikm: &[u8; 32],
    info: WrapInfo,
    data_key: &DataKey,
    context: &[u8],
    salt: [u8; SALT_LEN],
) -> WrappedDataKey {
    let mut sealed = Zeroizing::new(*data_key.expose());
    let tag = encrypt(&wrapping_key(ikm, info, &salt), context, &mut sealed);
    WrappedDataKey([salt.as_slice(), sealed.as_slice(), &tag].concat())
}

/// Unwraps what [`derived_wrap`] wrapped under the same key, for the same purpose and context.
pub fn derived_unwrap(
    ikm: &[u8; 32],
    info: WrapInfo,
    wrapped: &WrappedDataKey,
    context: &[u8],
) -> Result<DataKey, WrapError> {
    let wrapped: &[u8; DERIVED_WRAP_LEN] = wrapped
        .0
        .as_slice()
        .try_into()
        .map_err(|_| WrapError::Length)?;
    let (salt, sealed) = wrapped.split_first_chunk().ok_or(WrapError::Length)?;
    let (sealed, tag) = sealed.split_first_chunk().ok_or(WrapError::Length)?;
    let tag: &[u8; TAG_LEN] = tag.try_into().map_err(|_| WrapError::Length)?;
    let mut data_key: Zeroizing<[u8; DATA_KEY_LEN]> = Zeroizing::new(*sealed);
    wrapping_key(ikm, info, salt)
        .decrypt_inout_detached(
            &NONCE.into(),
            context,
            data_key.as_mut_slice().into(),
            tag.into(),
        )
        .map_err(|_| WrapError::Refused)?;
    Ok(DataKey::new(*data_key))
}

/// What the wrap of a bucket key by its KEK is bound to. `None` if the key id or the bucket has
/// more than 65,535 bytes.
pub fn bucket_key_context(key: &KeyRef, id: &[u8; 16], logical_bucket: &str) -> Option<Vec<u8>> {
    let mut context = b"s3seal.v1.bucket".to_vec();
    context.push(key.provider as u8);
    put_field(&mut context, key.id.as_bytes())?;
    context.extend_from_slice(&key.version.to_be_bytes());
    context.extend_from_slice(id);
    put_field(&mut context, logical_bucket.as_bytes())?;
    Some(context)
}

/// SHA-256 of a context, for providers that take only a short one.
pub fn context_digest(context: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, context).as_ref());
    bytes
}

impl WrapInfo {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::BucketKey { id } => [b"s3seal.v1.bucket-wrap".as_slice(), &id].concat(),
            Self::Customer => b"s3seal.v1.customer".to_vec(),
            Self::KeyringSeal => b"s3seal.v1.keyring-seal".to_vec(),
            Self::Local { version } => {
                [b"s3seal.v1.local-wrap".as_slice(), &version.to_be_bytes()].concat()
            }
        }
    }
}

impl WrapError {
    /// The name of the check that failed, as in the frozen vectors.
    pub fn check(&self) -> &'static str {
        match self {
            Self::Length | Self::Refused => "wrap",
        }
    }
}

/// `HKDF-SHA-512(ikm, salt, info)`, Extract then Expand (RFC 5869), 32 bytes.
fn wrapping_key(ikm: &[u8; 32], info: WrapInfo, salt: &[u8; SALT_LEN]) -> Aes256Gcm {
    let mut key = Zeroizing::new([0; 32]);
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA512, salt).extract(ikm);
    #[expect(clippy::expect_used, reason = "the only error is an output of 16 KiB")]
    prk.expand(&[&info.to_bytes()], KeyLength)
        .and_then(|okm| okm.fill(key.as_mut_slice()))
        .expect("32 bytes");
    Aes256Gcm::new((&*key).into())
}

fn encrypt(key: &Aes256Gcm, context: &[u8], data_key: &mut [u8; DATA_KEY_LEN]) -> [u8; TAG_LEN] {
    #[expect(
        clippy::expect_used,
        reason = "the only error is an input of gigabytes"
    )]
    key.encrypt_inout_detached(&NONCE.into(), context, data_key.as_mut_slice().into())
        .expect("32 bytes")
        .into()
}

fn put_field(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend_from_slice(&u16::try_from(bytes.len()).ok()?.to_be_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

struct KeyLength;

impl hkdf::KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

const SALT_LEN: usize = 32;
const TAG_LEN: usize = 16;
const NONCE: [u8; 12] = [0; 12];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info() -> impl Strategy<Value = WrapInfo> {
        prop_oneof![
            any::<[u8; 16]>().prop_map(|id| WrapInfo::BucketKey { id }),
            Just(WrapInfo::Customer),
            Just(WrapInfo::KeyringSeal),
            any::<u32>().prop_map(|version| WrapInfo::Local { version }),
        ]
    }

    #[test]
    fn other_lengths_are_refused() {
        for length in [0, 79, 81] {
            let wrapped = WrappedDataKey(vec![0; length]);
            let result = derived_unwrap(&[0; 32], WrapInfo::Customer, &wrapped, b"");
            assert_eq!(result.unwrap_err(), WrapError::Length);
        }
    }

    proptest! {
        #[test]
        fn opens_only_as_it_was_wrapped(
            ikm: [u8; 32], other_ikm: [u8; 32], info in info(), other_info in info(),
            key: [u8; 32], context: Vec<u8>, other_context: Vec<u8>, salt: [u8; 32],
            bit in 0..DERIVED_WRAP_LEN * 8,
        ) {
            let wrapped = derived_wrap(&ikm, info, &DataKey::new(key), &context, salt);
            prop_assert_eq!(wrapped.0.len(), DERIVED_WRAP_LEN);
            let unwrap = |ikm, info, wrapped, context: &[u8]| {
                derived_unwrap(ikm, info, wrapped, context).map(|key| *key.expose())
            };
            prop_assert_eq!(unwrap(&ikm, info, &wrapped, &context), Ok(key));
            let mut changed = wrapped.clone();
            changed.0[bit / 8] ^= 1 << (bit % 8);
            for (ikm, info, wrapped, context, same) in [
                (&other_ikm, info, &wrapped, &context, other_ikm == ikm),
                (&ikm, other_info, &wrapped, &context, other_info == info),
                (&ikm, info, &wrapped, &other_context, other_context == context),
                (&ikm, info, &changed, &context, false),
            ] {
                if !same {
                    prop_assert_eq!(unwrap(ikm, info, wrapped, context), Err(WrapError::Refused));
                }
            }
        }
    }
}
