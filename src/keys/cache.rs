//! Unwrapped data keys, for a short time: one provider call per key, however many ask.
//!
//! The time to live is the delay of a revocation, so it is bounded. Values sit behind an `Arc`
//! and are wiped by its last drop, never by eviction: wiping a key that a request still uses
//! corrupts what that request reads. Failures are shared by those who wait, and then forgotten.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use moka::future::Cache;
use thiserror::Error;

use crate::keys::policy::KeyId;
use crate::keys::provider::KeyError;

/// How long and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    ttl: Duration,
    max_entries: u64,
}

impl CacheSettings {
    /// At most 300 seconds. A zero of either switches the cache off; requests that arrive
    /// together still share one unwrap.
    pub fn new(ttl: Duration, max_entries: u64) -> Result<Self, CacheSettingsError> {
        if ttl > MAX_TTL {
            return Err(CacheSettingsError(ttl));
        }
        Ok(Self { ttl, max_entries })
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_mins(1),
            max_entries: 10_000,
        }
    }
}

/// A time to live above the bound of keys.md.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("unwrapped keys may be cached for at most {} seconds, not {}", MAX_TTL.as_secs(), .0.as_secs())]
pub struct CacheSettingsError(Duration);

/// What one unwrapped key is found by: everything that decided about the unwrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CacheKey([u8; 32]);

impl CacheKey {
    /// SHA-256 over what decided (for a data key: content header, key envelope, context and the
    /// principal's key grant), each part behind its length so that no two lists read the same.
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in parts {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(hash.finish().as_ref()) {
            *to = *from;
        }
        Self(key)
    }
}

/// The cache itself, of data keys or of bucket keys.
pub(super) struct KeyCache<K> {
    entries: Cache<CacheKey, CachedKey<K>>,
    /// How often something was purged: an unwrap that a purge overtook must not stay.
    purges: AtomicU64,
}

#[derive(Debug)]
struct CachedKey<K> {
    wrapped_by: Arc<KeyId>,
    unwrapped: Arc<K>,
}

// Derived, it would ask for keys that can be cloned.
impl<K> Clone for CachedKey<K> {
    fn clone(&self) -> Self {
        Self {
            wrapped_by: Arc::clone(&self.wrapped_by),
            unwrapped: Arc::clone(&self.unwrapped),
        }
    }
}

impl<K: Send + Sync + 'static> KeyCache<K> {
    pub(super) fn new(settings: CacheSettings) -> Self {
        let entries = Cache::builder()
            .max_capacity(settings.max_entries)
            .time_to_live(settings.ttl)
            .support_invalidation_closures()
            .build();
        Self {
            entries,
            purges: AtomicU64::new(0),
        }
    }

    /// The cached key, or what `unwrap` gives; of concurrent calls for one key only one runs its
    /// `unwrap`. Says whether it was a hit, that is whether this call's own `unwrap` did not run.
    pub(super) async fn get_or_unwrap(
        &self,
        key: CacheKey,
        wrapped_by: KeyId,
        unwrap: impl Future<Output = Result<K, KeyError>>,
    ) -> (Result<Arc<K>, KeyError>, bool) {
        if let Some(cached) = self.entries.get(&key).await {
            return (Ok(cached.unwrapped), true);
        }
        let purges = self.purges.load(Ordering::Acquire);
        let mut hit = true;
        let fill = async {
            hit = false;
            unwrap.await.map(|unwrapped| CachedKey {
                wrapped_by: Arc::new(wrapped_by),
                unwrapped: Arc::new(unwrapped),
            })
        };
        // Boxed: a hit does not carry the weight of a miss.
        let found = Box::pin(self.entries.try_get_with(key, fill)).await;
        if purges != self.purges.load(Ordering::Acquire) {
            self.entries.invalidate(&key).await;
        }
        let found = found.map(|cached| cached.unwrapped);
        (found.map_err(|error: Arc<KeyError>| *error), hit)
    }

    /// Drops every key that `wrapped_by` wrapped; requests that hold one keep theirs.
    pub(super) async fn purge(&self, wrapped_by: KeyId) {
        self.purges.fetch_add(1, Ordering::AcqRel);
        let purged = self
            .entries
            .invalidate_entries_if(move |_, cached| *cached.wrapped_by == wrapped_by);
        // Refused only by a cache built without closures, which `new` never does; should that
        // ever change, too much is dropped rather than too little.
        if purged.is_err() {
            self.entries.invalidate_all();
        }
        self.maintain().await;
    }

    /// Really drops what has expired, which a cache that nobody asks would not do.
    pub(super) async fn maintain(&self) {
        self.entries.run_pending_tasks().await;
    }

    /// Keys held, exact after [`Self::maintain`].
    pub(super) fn len(&self) -> u64 {
        self.entries.entry_count()
    }
}

/// keys.md, "Caches".
const MAX_TTL: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests;
