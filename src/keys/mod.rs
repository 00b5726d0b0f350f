//! The key hierarchy: key-encryption keys in their providers, data keys that they wrap.
//!
//! ```text
//! KEK (in its provider, or the caller's SSE-C key)
//!  └─ data key (32 random bytes, fresh for every object written)      wrapped by the KEK
//!      └─ content keys and commitments                                HKDF, see `crate::format`
//! ```
//!
//! A name (id or alias) goes to the [`service`], which finds the provider and asks it for the key's
//! canonical name and version; wraps are bound to both. What comes back from storage goes through
//! [`policy`] first, then to the cache, then to the provider: a key that a bucket's rule does not
//! accept is never asked for. [`provider`] is the one seam; [`local`] is the embedded keyring.
//!
//! [`customer`] keys come with the request and are never cached.

pub mod policy;
pub mod types;
pub mod wrap;

#[cfg(feature = "proxy")]
pub mod aws_kms;
#[cfg(feature = "proxy")]
mod breaker;
#[cfg(feature = "proxy")]
pub mod bucket_keys;
#[cfg(feature = "proxy")]
mod cache;
#[cfg(feature = "proxy")]
pub mod customer;
#[cfg(feature = "proxy")]
pub mod entropy;
#[cfg(feature = "proxy")]
pub mod local;
#[cfg(feature = "proxy")]
pub mod names;
#[cfg(feature = "proxy")]
pub mod observer;
#[cfg(feature = "proxy")]
pub mod pkcs11;
#[cfg(feature = "proxy")]
pub mod provider;
#[cfg(feature = "proxy")]
pub mod service;
#[cfg(all(test, feature = "proxy"))]
pub(crate) mod test_support;
#[cfg(feature = "proxy")]
pub mod transit;
#[cfg(feature = "proxy")]
pub mod unwrapped;

#[cfg(feature = "proxy")]
pub use self::{
    cache::{CacheSettings, CacheSettingsError},
    observer::KeyObserver,
    provider::{ForeignWraps, KeyError, KeyProvider, Outage},
    service::{
        KeyService, KeyServiceSettings, ProbeError, ProbeFailure, ProviderSetup, Roles, RouteError,
        ServedKey, UnwrapRequest,
    },
    unwrapped::UnwrappedKey,
};
pub use policy::{Accepted, AcceptedKey, AcceptedKeys, KeyId, OpenPolicy, PolicyRefusal};
