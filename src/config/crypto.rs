//! Choice of cipher implementation; the bytes written are the same with either.

use serde::Deserialize;

use super::problem::{Bounds, Check};

/// Which implementations are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// AES-256-GCM for bodies.
    pub bulk_cipher: BulkCipherName,
    /// Bytes that chunks of more than 64 KiB may take in all requests together.
    pub chunk_memory: usize,
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
    chunk_memory_mib: Option<u64>,
}

pub(super) fn check_crypto(table: &CryptoTable, check: &mut Check<'_>) -> Crypto {
    let mib = check.count(
        "crypto.chunk_memory_mib",
        table.chunk_memory_mib,
        &CHUNK_MEMORY_MIB,
    );
    Crypto {
        bulk_cipher: table.bulk_cipher.unwrap_or(BulkCipherName::AwsLc),
        chunk_memory: mib << 20,
    }
}

/// At least what one request in either direction needs: three chunks of 8 MiB.
const CHUNK_MEMORY_MIB: Bounds = Bounds {
    min: 48,
    max: 1 << 20,
    default: 512,
};
