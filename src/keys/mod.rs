//! The key hierarchy: key-encryption keys in their providers, data keys that they wrap.
//!
//! ```text
//! KEK (in its provider, or the caller's SSE-C key)
//!  └─ data key (32 random bytes, fresh for every object written)      wrapped by the KEK
//!      └─ content keys and commitments                                HKDF, see `crate::format`
//! ```

pub mod types;
pub mod wrap;
