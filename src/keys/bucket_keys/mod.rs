//! Bucket keys: between a key-encryption key and the data keys of one bucket, so that a remote
//! provider is asked once a bucket and lifetime, and not once an object.
//!
//! ```text
//! bucket context                = "s3seal.v1.bucket" || provider || key id || key version || bucket key id || logical bucket
//! data key under a bucket key   = salt(32) || GCM(HKDF-SHA-512(bucket key, salt, "s3seal.v1.bucket-wrap" || bucket key id), nonce 0, data key, AAD = context)
//! ```
//! The wrapped bucket key is embedded in every envelope. What wraps new data keys is remembered
//! wrapped, for its lifetime; unwrapped it is held no longer than other unwrapped keys, so a
//! revocation also stops writers within that time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;

use crate::keys::cache::Spread;
use crate::keys::entropy::{EntropyError, random_bytes};
use crate::keys::provider::KeyError;
use crate::keys::types::{DataKey, KeyRef, WrapContext, WrappedDataKey};
use crate::keys::wrap::{WrapInfo, bucket_key_context, derived_unwrap, derived_wrap};

pub mod file;
pub mod registry;

pub use crate::format::BUCKET_KEY_ID_LEN;

/// The random id of a bucket key.
pub type BucketKeyId = [u8; BUCKET_KEY_ID_LEN];

/// A bucket key under the wrap of its key-encryption key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedBucketKey {
    /// Its id.
    pub id: BucketKeyId,
    /// What wrapped it.
    pub kek: KeyRef,
    /// The wrap.
    pub wrapped: WrappedDataKey,
}

impl WrappedBucketKey {
    /// What the wrap is bound to. An error if a name has more than 65,535 bytes.
    pub fn context(&self, logical_bucket: &str) -> Result<WrapContext, KeyError> {
        context(&self.kek, &self.id, logical_bucket)
    }
}

/// What the wrap of a bucket key is bound to.
pub fn context(
    kek: &KeyRef,
    id: &BucketKeyId,
    logical_bucket: &str,
) -> Result<WrapContext, KeyError> {
    let bytes = bucket_key_context(kek, id, logical_bucket).ok_or(KeyError::Malformed)?;
    Ok(WrapContext {
        bytes,
        client: Vec::new(),
        bucket: Some(logical_bucket.to_owned()),
        object_key: None,
    })
}

/// A bucket key that its key-encryption key unwrapped.
#[derive(Debug)]
pub struct BucketKey {
    id: BucketKeyId,
    // It has the size and the care of a data key, and is never used as one.
    key: DataKey,
}

impl BucketKey {
    /// What the wrap of this id held.
    pub fn new(id: BucketKeyId, key: DataKey) -> Self {
        Self { id, key }
    }

    /// Wraps a data key.
    pub fn wrap(
        &self,
        data_key: &DataKey,
        context: &WrapContext,
    ) -> Result<WrappedDataKey, EntropyError> {
        let salt = random_bytes()?;
        let key = self.key.expose();
        Ok(derived_wrap(
            key,
            self.info(),
            data_key,
            &context.bytes,
            *salt,
        ))
    }

    /// Opens a wrap of [`Self::wrap`].
    pub fn unwrap(
        &self,
        wrapped: &WrappedDataKey,
        context: &WrapContext,
    ) -> Result<DataKey, KeyError> {
        let key = self.key.expose();
        derived_unwrap(key, self.info(), wrapped, &context.bytes).map_err(KeyError::from)
    }

    fn info(&self) -> WrapInfo {
        WrapInfo::BucketKey { id: self.id }
    }
}

/// The bucket keys that wrap new data keys, each under its wrap.
#[derive(Debug)]
pub(super) struct SealingKeys {
    active: Cache<Place, Arc<Active>>,
}

/// What a bucket key is for: one key-encryption key, as it is now, and one logical bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    kek: KeyRef,
    logical_bucket: String,
}

#[derive(Debug)]
struct Active {
    key: WrappedBucketKey,
    wraps: AtomicU64,
}

impl SealingKeys {
    pub(super) fn new(lifetime: Duration) -> Self {
        let active = Cache::builder()
            .max_capacity(PLACES_MAX)
            .time_to_live(lifetime)
            .expire_after(Spread::up_to(lifetime))
            .build();
        Self { active }
    }

    /// The bucket key in use, or what `make` gives; of concurrent calls only one makes one.
    pub(super) async fn get_or_make(
        &self,
        kek: &KeyRef,
        logical_bucket: &str,
        make: impl Future<Output = Result<WrappedBucketKey, KeyError>>,
    ) -> Result<WrappedBucketKey, KeyError> {
        let place = Place {
            kek: kek.clone(),
            logical_bucket: logical_bucket.to_owned(),
        };
        if let Some(used_up) = self.active.get(&place).await
            && used_up.wraps.load(Ordering::Relaxed) >= WRAPS_MAX
        {
            self.active.invalidate(&place).await;
        }
        let made = async {
            make.await.map(|key| {
                let wraps = AtomicU64::new(0);
                Arc::new(Active { key, wraps })
            })
        };
        let active = self.active.try_get_with(place, made).await;
        let active = active.map_err(|error: Arc<KeyError>| *error)?;
        active.wraps.fetch_add(1, Ordering::Relaxed);
        Ok(active.key.clone())
    }

    pub(super) async fn maintain(&self) {
        self.active.run_pending_tasks().await;
    }
}

/// All buckets begin at the same moment after a restart, and would all ask for their next keys at
/// the same moment, too.
impl Expiry<Place, Arc<Active>> for Spread {
    fn expire_after_create(&self, place: &Place, _: &Arc<Active>, _: Instant) -> Option<Duration> {
        Some(self.of(place))
    }
}

/// Data keys under one bucket key (keys.md, "The hierarchy").
const WRAPS_MAX: u64 = 1 << 30;

/// Buckets and keys for which bucket keys are remembered.
const PLACES_MAX: u64 = 100_000;
