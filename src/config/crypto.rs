//! Choice of cipher implementation; the bytes written are the same with either.

use serde::Deserialize;

/// Which implementations are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// AES-256-GCM for bodies.
    pub bulk_cipher: BulkCipherName,
}

/// An implementation of AES-256-GCM for bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BulkCipherName {
    /// `RustCrypto`'s: pure Rust, portable, a quarter of the speed.
    AesGcm,
    /// AWS-LC's: assembly.
    AwsLc,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CryptoTable {
    bulk_cipher: Option<BulkCipherName>,
}

pub(super) fn check(table: &CryptoTable) -> Crypto {
    Crypto {
        bulk_cipher: table.bulk_cipher.unwrap_or(BulkCipherName::AwsLc),
    }
}
