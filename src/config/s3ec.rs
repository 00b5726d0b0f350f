//! Reading what the Amazon S3 Encryption Client wrote.

use std::sync::Arc;

use data_encoding::BASE64;
use serde::Deserialize;

use super::problem::{Bounds, Check};
use super::secret::SecretSource;
use crate::s3ec::RawKey;
use crate::secret::Secret;

/// What of it is read under a rule, and how.
#[derive(Clone, Debug)]
pub struct S3EncryptionClient {
    /// Keys of AWS KMS that may open data keys: ids or aliases, as their provider knows them.
    pub kms_keys: Vec<String>,
    /// AES keys that may.
    pub raw_keys: Vec<Arc<RawKey>>,
    /// The largest plaintext that is read, in bytes: each is held as a whole.
    pub size_max: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct S3EncryptionClientTable {
    kms_keys: Option<Vec<String>>,
    raw_keys: Option<Vec<SecretSource>>,
    max_size_mib: Option<u64>,
}

pub(super) fn check(
    key: &str,
    table: S3EncryptionClientTable,
    check: &mut Check<'_>,
) -> S3EncryptionClient {
    let kms_keys = table.kms_keys.unwrap_or_default();
    let sources = table.raw_keys.unwrap_or_default();
    if kms_keys.is_empty() && sources.is_empty() {
        check.problem(key, "needs kms_keys or raw_keys: nothing could be opened");
    }
    if kms_keys.len() > KMS_KEYS_MAX {
        let reason = format!("must be at most {KMS_KEYS_MAX}: objects do not say which is theirs");
        check.problem(format!("{key}.kms_keys"), reason);
    }
    let sources = sources.into_iter().enumerate();
    let raw_keys = sources.filter_map(|(index, source)| {
        raw_key(&format!("{key}.raw_keys[{index}]"), source, check).map(Arc::new)
    });
    let raw_keys = raw_keys.collect();
    let mib_key = format!("{key}.max_size_mib");
    S3EncryptionClient {
        kms_keys,
        raw_keys,
        size_max: check.number(&mib_key, table.max_size_mib, &SIZE_MIB) << 20,
    }
}

/// Checks that an object of the largest size can be held at all.
pub(super) fn check_memory(
    key: &str,
    reading: &S3EncryptionClient,
    chunk_memory: usize,
    check: &mut Check<'_>,
) {
    if reading.size_max > chunk_memory as u64 / 2 {
        check.problem(
            format!("{key}.max_size_mib"),
            "must be at most half of crypto.chunk_memory_mib, where objects that are read are held",
        );
    }
}

fn raw_key(key: &str, source: SecretSource, check: &mut Check<'_>) -> Option<RawKey> {
    let text = source.fetch(key, check)?;
    let bytes = BASE64.decode(text.expose().as_bytes()).map(Secret::new);
    let raw = bytes.ok().and_then(|bytes| RawKey::new(bytes).ok());
    if raw.is_none() {
        check.problem(key, "must be the base64 of 16, 24 or 32 bytes");
    }
    raw
}

/// Each that is not the one costs a call.
const KMS_KEYS_MAX: usize = 8;

const SIZE_MIB: Bounds = Bounds {
    min: 1,
    max: 1 << 16,
    default: 64,
};
