//! The key hierarchy: key-encryption keys in their providers, data keys that they wrap.
//!
//! ```text
//! KEK (in its provider, or the caller's SSE-C key)
//!  └─ data key (32 random bytes, fresh for every object written)      wrapped by the KEK
//!      └─ content keys and commitments                                HKDF, see `crate::format`
//! ```

pub mod policy;
pub mod types;
pub mod wrap;

#[cfg(feature = "proxy")]
pub mod entropy;
#[cfg(feature = "proxy")]
pub mod observer;
#[cfg(feature = "proxy")]
pub mod provider;

#[cfg(feature = "proxy")]
pub use self::{
    observer::KeyObserver,
    provider::{KeyError, KeyProvider, Outage},
};
pub use policy::{AcceptedKey, AcceptedKeys, KeyId, OpenPolicy, PolicyRefusal};
