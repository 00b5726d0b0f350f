//! The caller's own key (SSE-C) as a key-encryption key: there for one request, never cached.
//!
//! ```text
//! wrap = salt(32) || GCM(HKDF-SHA-512(customer key, salt, "s3seal.v1.customer"), nonce 0, data key, AAD = context)
//! ```
//! Nothing is remembered of what such a key opened: another caller would be served from the cache
//! with any key (keys.md, "Caches").

use thiserror::Error;

use crate::keys::entropy::{EntropyError, random_bytes};
use crate::keys::types::{DataKey, KeyRef, ProviderKind, WrapContext, WrappedDataKey};
use crate::keys::wrap::{WrapError, WrapInfo, derived_unwrap, derived_wrap};

/// What an envelope says in the place of a key id and version.
pub fn key_ref() -> KeyRef {
    KeyRef {
        provider: ProviderKind::Customer,
        id: String::new(),
        version: 0,
    }
}

/// Wraps a data key under the caller's.
pub fn wrap(
    customer_key: &[u8; 32],
    data_key: &DataKey,
    context: &WrapContext,
) -> Result<WrappedDataKey, EntropyError> {
    let salt = random_bytes()?;
    let (info, context) = (WrapInfo::Customer, &context.bytes);
    Ok(derived_wrap(customer_key, info, data_key, context, *salt))
}

/// Opens a wrap with the key that came with the request.
pub fn unwrap(
    customer_key: &[u8; 32],
    wrapped: &WrappedDataKey,
    context: &WrapContext,
) -> Result<DataKey, CustomerKeyError> {
    derived_unwrap(customer_key, WrapInfo::Customer, wrapped, &context.bytes).map_err(|error| {
        match error {
            WrapError::Length => CustomerKeyError::Malformed,
            WrapError::Refused => CustomerKeyError::Wrong,
        }
    })
}

/// Why a caller's key did not open a wrap.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CustomerKeyError {
    /// The wrap has an impossible shape: the stored object was damaged.
    #[error("the wrapped key is malformed")]
    Malformed,
    /// It is not the key that the object was written with, or the wrap was made for another object:
    /// nobody can tell.
    #[error("not the key that the object was written with")]
    Wrong,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::test_support::context;

    #[test]
    fn a_wrap_opens_under_its_own_key_and_context_only() {
        let data_key = DataKey::new([3; 32]);
        let wrapped = wrap(&[1; 32], &data_key, &context("a")).unwrap();
        let opened = unwrap(&[1; 32], &wrapped, &context("a")).unwrap();
        assert_eq!(opened.expose(), data_key.expose());
        for (key, place) in [(2, "a"), (1, "b")] {
            let refused = unwrap(&[key; 32], &wrapped, &context(place));
            assert_eq!(refused.unwrap_err(), CustomerKeyError::Wrong);
        }
        let cut = WrappedDataKey(wrapped.0.split_last().unwrap().1.to_vec());
        let refused = unwrap(&[1; 32], &cut, &context("a"));
        assert_eq!(refused.unwrap_err(), CustomerKeyError::Malformed);
    }
}
