//! Keys whose time is over, for when their provider is away.
//!
//! They are used only where nobody answered. A refusal ends all that its key-encryption key
//! wrapped, at once: what was unwrapped before it is not used any more, and soon dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use moka::future::Cache;

use super::{CacheKey, CachedKey, drop_those};
use crate::keys::policy::KeyId;
use crate::keys::provider::KeyError;

/// Every key that was unwrapped, until the end of its time as a stale one.
pub(super) struct StaleKeys<K> {
    entries: Cache<CacheKey, CachedKey<K>>,
    /// By configured keys only, so it stays small.
    refusals: Mutex<HashMap<KeyId, Refusal>>,
}

#[derive(Clone, Copy)]
struct Refusal {
    at: Instant,
    /// Whether what it ended was dropped.
    is_done: bool,
}

impl<K: Send + Sync + 'static> StaleKeys<K> {
    pub(super) fn new(entries: Cache<CacheKey, CachedKey<K>>) -> Self {
        Self {
            entries,
            refusals: Mutex::default(),
        }
    }

    pub(super) async fn keep(&self, place: CacheKey, cached: CachedKey<K>) {
        self.entries.insert(place, cached).await;
    }

    /// A key that no refusal ended.
    pub(super) async fn find(&self, place: &CacheKey) -> Option<Arc<K>> {
        let cached = self.entries.get(place).await?;
        let refusal = self.refusals().get(&*cached.wrapped_by).copied();
        match refusal {
            Some(refusal) if cached.began <= refusal.at => None,
            Some(_) | None => Some(cached.unwrapped),
        }
    }

    /// Takes note of what a provider said instead of unwrapping.
    pub(super) async fn heed(&self, place: &CacheKey, wrapped_by: &KeyId, error: KeyError) {
        if error.is_absence() {
            return;
        }
        self.forget(place).await;
        if error.is_refusal() {
            let refusal = Refusal {
                at: Instant::now(),
                is_done: false,
            };
            self.refusals().insert(wrapped_by.clone(), refusal);
        }
    }

    pub(super) async fn forget(&self, place: &CacheKey) {
        self.entries.invalidate(place).await;
    }

    pub(super) fn purge(&self, wrapped_by: &KeyId) {
        let wrapped_by = wrapped_by.clone();
        drop_those(&self.entries, move |cached| {
            *cached.wrapped_by == wrapped_by
        });
    }

    /// Really drops what has expired, and what was refused: once, however often that was.
    pub(super) async fn maintain(&self) {
        let mut ended = Vec::new();
        for (id, refusal) in self.refusals().iter_mut() {
            if !refusal.is_done {
                refusal.is_done = true;
                ended.push((id.clone(), refusal.at));
            }
        }
        for (id, at) in ended {
            drop_those(&self.entries, move |cached| {
                *cached.wrapped_by == id && cached.began <= at
            });
        }
        self.entries.run_pending_tasks().await;
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.entry_count()
    }

    /// Held for a few instructions, never over an await.
    fn refusals(&self) -> MutexGuard<'_, HashMap<KeyId, Refusal>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
