//! Objects that the Amazon S3 Encryption Client wrote, for reading: pure and sans-IO.
//!
//! A foreign format, which nothing here writes. Two of its versions are read, where what is needed lies
//! in the metadata of the object (facts: the specification of the library,
//! <https://github.com/awslabs/aws-encryption-sdk-specification/tree/master/s3-encryption>, and what
//! its implementations write):
//!
//! ```text
//! V2  body = GCM(data key, nonce = x-amz-iv, plaintext, AAD = "")
//!     x-amz-key-v2, x-amz-iv, x-amz-wrap-alg, x-amz-cek-alg = "AES/GCM/NoPadding", x-amz-tag-len = "128",
//!     x-amz-matdesc
//! V3  body = GCM(K, nonce = 12 bytes 01, plaintext, AAD = 00 73)
//!     K          = HKDF-SHA-512(data key, salt = message id, info = 00 73 "DERIVEKEY", 32 bytes)
//!     commitment = HKDF-SHA-512(data key, salt = message id, info = 00 73 "COMMITKEY", 28 bytes)
//!     x-amz-3 (wrapped key), x-amz-c = "115", x-amz-w ("02": AES/GCM, "12": kms+context), x-amz-i (message id),
//!     x-amz-d (commitment), x-amz-t (encryption context), x-amz-m (description of a raw key)
//!
//! wrap "AES/GCM"     = nonce(12) || GCM(raw key, nonce, data key, AAD = the content cipher's name as stored)
//! wrap "kms+context" = what KMS made, under an encryption context whose "aws:x-amz-cek-alg" is that name
//! ```
//! One tag stands for a whole body: not a byte of it may be released before the last one has arrived.
//! V2 commits to no key, and neither version to the place of an object.
//!
//! Whatever is older, wrapped in another way or kept in an instruction file is refused.

mod description;
mod metadata;
mod open;
#[cfg(test)]
mod tests;

pub use metadata::{Metadata, Wrap, is_name, plaintext_len};
pub use open::{ContentKey, RawKey, RawKeyLength};

use thiserror::Error;

/// Bytes of the only tag of a body.
pub const TAG_LEN: usize = 16;

/// Why an object of the library is not opened. Whoever wrote the stored object is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum S3ecError {
    /// The body does not verify.
    #[error("the body of a client-encrypted object does not verify")]
    Body,
    /// The data key is not the one that the object was encrypted under.
    #[error("a client-encrypted object does not commit to its data key")]
    Commitment,
    /// Metadata beside that of this proxy.
    #[error("the metadata of the S3 Encryption Client stands beside that of s3seal")]
    Doubled,
    /// None of the keys opens the wrap.
    #[error("no key that the rule names opens the data key of a client-encrypted object")]
    Key,
    /// V1, CBC, or a wrap that no cipher or context is bound to.
    #[error("the object was written in a legacy mode of the S3 Encryption Client")]
    Legacy,
    /// A value that cannot be read.
    #[error("the value of {0} cannot be read")]
    Malformed(&'static str),
    /// A name that has to be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Names of two versions.
    #[error("the metadata is of two versions of the S3 Encryption Client")]
    Mixed,
    /// A name twice.
    #[error("{0} is there twice")]
    Repeated(&'static str),
    /// A stored size that no such object has.
    #[error("no client-encrypted object is of this size")]
    Size,
    /// A wrap, cipher or place of the metadata that is not read here.
    #[error("this mode of the S3 Encryption Client is not read")]
    Unsupported,
}
