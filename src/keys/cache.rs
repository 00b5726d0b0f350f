//! Unwrapped data keys, for a short time: one provider call per key, however many ask.
//!
//! The time to live is the delay of a revocation, so it is bounded, and counted from the moment the
//! provider was asked. Keys that were cached together end apart, each a little before that. Values sit behind an `Arc`
//! and are wiped by its last drop, never by eviction: wiping a key that a request still uses
//! corrupts what that request reads. Failures are shared by those who wait, and then forgotten.

use std::future::Future;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use moka::Expiry;
use moka::future::Cache;
use thiserror::Error;

use self::stale::StaleKeys;
use crate::keys::policy::KeyId;
use crate::keys::provider::KeyError;

mod stale;

/// How long and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    ttl: Duration,
    max_entries: u64,
    stale: Duration,
}

impl CacheSettings {
    /// At most 300 seconds. A zero of either switches the cache off; requests that arrive
    /// together still share one unwrap.
    pub fn new(ttl: Duration, max_entries: u64) -> Result<Self, CacheSettingsError> {
        if ttl > MAX_TTL {
            return Err(CacheSettingsError(ttl));
        }
        Ok(Self {
            ttl,
            max_entries,
            stale: Duration::ZERO,
        })
    }

    /// Keys are used for up to `stale` more while their provider is away. Without a cache there
    /// are none.
    #[must_use]
    pub fn serve_stale(self, stale: Duration) -> Self {
        Self { stale, ..self }
    }

    fn keeps_stale(&self) -> bool {
        !self.ttl.is_zero() && self.max_entries > 0 && !self.stale.is_zero()
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_mins(1),
            max_entries: 10_000,
            stale: Duration::ZERO,
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
    fresh: Cache<CacheKey, CachedKey<K>>,
    stale: Option<StaleKeys<K>>,
    lifetimes: Spread,
    /// How often something was purged: an unwrap that a purge overtook must not stay.
    purges: AtomicU64,
}

/// A question to a provider, from before it was put.
#[derive(Debug)]
pub(super) struct Asking {
    wrapped_by: KeyId,
    /// A revocation after this may not have been seen.
    began: Instant,
    purges: u64,
}

/// What a look-up found, and where.
#[derive(Debug)]
pub(super) struct Found<K> {
    pub(super) key: Result<Arc<K>, KeyError>,
    pub(super) lookup: Lookup,
}

/// Where a key came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// The cache, or another request's unwrap.
    Hit,
    /// This request's own unwrap, be it a failure.
    Miss,
    /// The keys whose time is over.
    Stale,
}

#[derive(Debug)]
struct CachedKey<K> {
    wrapped_by: Arc<KeyId>,
    unwrapped: Arc<K>,
    began: Instant,
    /// Of its time as a fresh key.
    end: Instant,
}

// Derived, it would ask for keys that can be cloned.
impl<K> Clone for CachedKey<K> {
    fn clone(&self) -> Self {
        Self {
            wrapped_by: Arc::clone(&self.wrapped_by),
            unwrapped: Arc::clone(&self.unwrapped),
            began: self.began,
            end: self.end,
        }
    }
}

impl<K: Send + Sync + 'static> KeyCache<K> {
    pub(super) fn new(settings: CacheSettings) -> Self {
        Self {
            fresh: entries(settings, Duration::ZERO),
            stale: settings
                .keeps_stale()
                .then(|| StaleKeys::new(entries(settings, settings.stale))),
            lifetimes: Spread::up_to(settings.ttl),
            purges: AtomicU64::new(0),
        }
    }

    /// To be called before the provider is.
    pub(super) fn asking(&self, wrapped_by: KeyId) -> Asking {
        Asking {
            wrapped_by,
            began: Instant::now(),
            purges: self.purges.load(Ordering::Acquire),
        }
    }

    /// The cached key, or what `unwrap` gives; of concurrent calls for one key only one runs its
    /// `unwrap`.
    pub(super) async fn get_or_unwrap(
        &self,
        place: CacheKey,
        asking: Asking,
        unwrap: impl Future<Output = Result<K, KeyError>>,
    ) -> Found<K> {
        if let Some(cached) = self.fresh.get(&place).await {
            return Found {
                key: Ok(cached.unwrapped),
                lookup: Lookup::Hit,
            };
        }
        // Boxed: a hit does not carry the weight of a miss.
        Box::pin(self.unwrap(place, &asking, unwrap)).await
    }

    /// As [`Self::get_or_unwrap`], or a key whose time is over if the provider is away and the
    /// settings allow it.
    pub(super) async fn get_even_stale(
        &self,
        place: CacheKey,
        asking: Asking,
        unwrap: impl Future<Output = Result<K, KeyError>>,
    ) -> Found<K> {
        let found = self.get_or_unwrap(place, asking, unwrap).await;
        let (Err(error), Some(stale)) = (&found.key, &self.stale) else {
            return found;
        };
        if !error.is_absence() {
            return found;
        }
        match Box::pin(stale.find(&place)).await {
            Some(key) => Found {
                key: Ok(key),
                lookup: Lookup::Stale,
            },
            None => found,
        }
    }

    async fn unwrap(
        &self,
        place: CacheKey,
        asking: &Asking,
        unwrap: impl Future<Output = Result<K, KeyError>>,
    ) -> Found<K> {
        let mut lookup = Lookup::Hit;
        let fill = async {
            lookup = Lookup::Miss;
            let cached = CachedKey {
                unwrapped: Arc::new(unwrap.await?),
                wrapped_by: Arc::new(asking.wrapped_by.clone()),
                began: asking.began,
                end: asking.began + self.lifetimes.of(&place),
            };
            if let Some(stale) = &self.stale {
                stale.keep(place, cached.clone()).await;
            }
            Ok(cached)
        };
        let filled = self.fresh.try_get_with(place, fill).await;
        let key = filled
            .map(|cached| cached.unwrapped)
            .map_err(|error: Arc<KeyError>| *error);
        if let (Some(stale), Err(error)) = (&self.stale, &key) {
            stale.heed(&place, &asking.wrapped_by, *error).await;
        }
        if asking.purges != self.purges.load(Ordering::Acquire) {
            self.fresh.invalidate(&place).await;
            if let Some(stale) = &self.stale {
                stale.forget(&place).await;
            }
        }
        Found { key, lookup }
    }

    /// Drops every key that `wrapped_by` wrapped; requests that hold one keep theirs.
    pub(super) async fn purge(&self, wrapped_by: KeyId) {
        self.purges.fetch_add(1, Ordering::AcqRel);
        if let Some(stale) = &self.stale {
            stale.purge(&wrapped_by);
        }
        drop_those(&self.fresh, move |cached| *cached.wrapped_by == wrapped_by);
        self.maintain().await;
    }

    /// Really drops what has expired, which a cache that nobody asks would not do.
    pub(super) async fn maintain(&self) {
        self.fresh.run_pending_tasks().await;
        if let Some(stale) = &self.stale {
            stale.maintain().await;
        }
    }

    /// Keys held, exact after [`Self::maintain`].
    pub(super) fn len(&self) -> u64 {
        // A fresh key is among those that may become stale.
        let stale = self.stale.as_ref().map_or(0, StaleKeys::len);
        self.fresh.entry_count().max(stale)
    }
}

fn entries<K: Send + Sync + 'static>(
    settings: CacheSettings,
    beyond: Duration,
) -> Cache<CacheKey, CachedKey<K>> {
    Cache::builder()
        .max_capacity(settings.max_entries)
        .time_to_live(settings.ttl + beyond)
        .expire_after(Ends { beyond })
        .support_invalidation_closures()
        .build()
}

fn drop_those<K: Send + Sync + 'static>(
    entries: &Cache<CacheKey, CachedKey<K>>,
    which: impl Fn(&CachedKey<K>) -> bool + Send + Sync + 'static,
) {
    let dropped = entries.invalidate_entries_if(move |_, cached| which(cached));
    // Refused only by a cache built without closures, which `entries` never does; should that
    // ever change, too much is dropped rather than too little.
    if dropped.is_err() {
        entries.invalidate_all();
    }
}

/// Drops an entry a fixed time after its key's own end.
struct Ends {
    beyond: Duration,
}

impl Ends {
    fn after<K>(&self, cached: &CachedKey<K>, now: Instant) -> Duration {
        (cached.end + self.beyond).saturating_duration_since(now)
    }
}

impl<K> Expiry<CacheKey, CachedKey<K>> for Ends {
    fn expire_after_create(
        &self,
        _: &CacheKey,
        cached: &CachedKey<K>,
        now: Instant,
    ) -> Option<Duration> {
        Some(self.after(cached, now))
    }

    fn expire_after_update(
        &self,
        _: &CacheKey,
        cached: &CachedKey<K>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(self.after(cached, now))
    }
}

/// Lifetimes that differ: between four fifths of the longest and the longest. What began together
/// does not end together, in this process or in another.
#[derive(Debug)]
pub(super) struct Spread {
    longest: Duration,
    seed: RandomState,
}

impl Spread {
    pub(super) fn up_to(longest: Duration) -> Self {
        Self {
            longest,
            seed: RandomState::new(),
        }
    }

    /// The lifetime of what is found by `key`, always the same in this process.
    pub(super) fn of(&self, key: &impl Hash) -> Duration {
        let share = u32::try_from(self.seed.hash_one(key) % 1024).unwrap_or(0);
        let less = self.longest / (SPREAD * 1024) * share;
        self.longest.saturating_sub(less)
    }
}

/// One fifth of a lifetime.
const SPREAD: u32 = 5;

/// keys.md, "Caches".
const MAX_TTL: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests;
