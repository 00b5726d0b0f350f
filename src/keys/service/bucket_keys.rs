//! Bucket keys in the key service: made, registered, opened by way of the cache.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::KeyService;
use crate::format::{KeyEnvelope, Wrapped};
use crate::keys::bucket_keys::registry::{Found, Registry, RegistryError, RegistryStore};
use crate::keys::bucket_keys::{self, BucketKey, SealingKeys, WrappedBucketKey};
use crate::keys::cache::{CacheKey, CacheSettings, KeyCache};
use crate::keys::entropy::random_bytes;
use crate::keys::policy::AcceptedKey;
use crate::keys::provider::{KeyError, Outage};
use crate::keys::types::{DataKey, KeyRef, WrapContext, WrappedDataKey};
use crate::keys::unwrapped::UnwrappedKey;

/// What the service holds of bucket keys.
pub(super) struct BucketKeys {
    pub(super) opened: KeyCache<BucketKey>,
    sealing: SealingKeys,
    registry: ArcSwapOption<Registry>,
}

impl BucketKeys {
    pub(super) fn new(cache: CacheSettings, lifetime: Duration) -> Self {
        Self {
            opened: KeyCache::new(cache),
            sealing: SealingKeys::new(lifetime),
            registry: ArcSwapOption::empty(),
        }
    }

    pub(super) async fn maintain(&self) {
        self.opened.maintain().await;
        self.sealing.maintain().await;
    }
}

/// The wrap of an envelope's data key as it is now, which a registry may have renewed.
#[derive(Clone, Debug)]
pub enum CurrentWrap<'a> {
    /// The provider wrapped the data key.
    Direct {
        /// What wrapped it.
        kek: &'a KeyRef,
        /// The wrap.
        wrapped: &'a WrappedDataKey,
    },
    /// A bucket key did.
    BucketKey {
        /// The bucket key, under the wrap in use.
        bucket_key: WrappedBucketKey,
        /// The wrap of the data key.
        wrapped: &'a WrappedDataKey,
        /// Whether the registry, which may have a newer wrap, could not be asked.
        is_unsure: bool,
    },
}

impl CurrentWrap<'_> {
    /// That the key-encryption key is not accepted, or opens nothing, says nothing where the registry
    /// may have another: it is an outage then.
    pub fn is_unsure(&self) -> bool {
        match self {
            Self::Direct { .. } => false,
            Self::BucketKey { is_unsure, .. } => *is_unsure,
        }
    }

    /// The key-encryption key of the wrap in use: what the rule has to accept, and what clients
    /// are shown.
    pub fn kek(&self) -> &KeyRef {
        match self {
            Self::Direct { kek, .. } => kek,
            Self::BucketKey { bucket_key, .. } => &bucket_key.kek,
        }
    }
}

/// A bucket key that wraps new data keys, with what envelopes embed of it.
pub struct SealingBucketKey {
    /// What goes into envelopes.
    pub wrapped: WrappedBucketKey,
    /// What wraps.
    pub key: Arc<BucketKey>,
}

impl KeyService {
    /// Sets the registry of bucket keys, once there is a way to it.
    pub fn set_registry(&self, store: Arc<dyn RegistryStore>) {
        let registry = Registry::new(store);
        self.bucket_keys.registry.store(Some(Arc::new(registry)));
    }

    /// The registry of bucket keys, if one is configured.
    pub fn registry(&self) -> Option<Arc<Registry>> {
        self.bucket_keys.registry.load_full()
    }

    /// The wrap of an envelope in use: the registry's if it has one, or else the embedded one.
    pub async fn current_wrap<'a>(
        &self,
        envelope: &'a KeyEnvelope,
        logical_bucket: &str,
    ) -> Result<CurrentWrap<'a>, KeyError> {
        let (id, embedded, wrapped) = match envelope.wrapped() {
            Wrapped::Direct(wrapped) => {
                let kek = envelope.head().key();
                return Ok(CurrentWrap::Direct { kek, wrapped });
            }
            Wrapped::BucketKey {
                id,
                wrapped_bucket_key,
                wrapped,
            } => (id, wrapped_bucket_key, wrapped),
        };
        let mut is_unsure = false;
        if let Some(registry) = self.registry() {
            // Boxed: objects without a bucket key do not carry the weight of this.
            match Box::pin(registry.find(logical_bucket, id)).await {
                Ok(Found {
                    entry: Some(entry),
                    is_old,
                }) => {
                    return Ok(CurrentWrap::BucketKey {
                        bucket_key: (*entry).clone(),
                        wrapped,
                        is_unsure: is_old,
                    });
                }
                Ok(Found { entry: None, .. }) => {}
                // The embedded copy is as good as long as its key lives.
                Err(error) => {
                    is_unsure = matches!(*error, RegistryError::Away(_));
                    tracing::warn!(%error, "the wrap in the object is used instead");
                }
            }
        }
        if embedded.is_empty() {
            return Err(Outage::Registry.into());
        }
        let bucket_key = WrappedBucketKey {
            id: *id,
            kek: envelope.head().key().clone(),
            wrapped: WrappedDataKey(embedded.clone()),
        };
        Ok(CurrentWrap::BucketKey {
            bucket_key,
            wrapped,
            is_unsure,
        })
    }

    /// Opens a data key under a bucket key, which comes from the cache where it was opened a moment
    /// ago. The data key itself is not remembered: it would live longer than it may.
    pub async fn unwrap_by_bucket_key(
        &self,
        kek: &AcceptedKey,
        bucket_key: &WrappedBucketKey,
        logical_bucket: &str,
        (wrapped, context): (&WrappedDataKey, &WrapContext),
    ) -> Result<Arc<UnwrappedKey>, KeyError> {
        // The accepted key is the one that was compared; anything else would be a mistake of ours.
        if *kek.key() != bucket_key.kek {
            return Err(KeyError::Malformed);
        }
        let key = Box::pin(self.open_bucket_key(bucket_key, logical_bucket, Use::Open)).await?;
        let data_key = key.unwrap(wrapped, context)?;
        Ok(Arc::new(UnwrappedKey::new(data_key)))
    }

    /// The bucket key that wraps new data keys of a bucket under `kek`. One that is new is in the
    /// registry, if there is one, before it is used.
    pub async fn sealing_bucket_key(
        &self,
        kek: &KeyRef,
        logical_bucket: &str,
    ) -> Result<SealingBucketKey, KeyError> {
        let make = Box::pin(self.make_bucket_key(kek, logical_bucket));
        let sealing = &self.bucket_keys.sealing;
        let wrapped = Box::pin(sealing.get_or_make(kek, logical_bucket, make)).await?;
        let key = Box::pin(self.open_bucket_key(&wrapped, logical_bucket, Use::Seal)).await?;
        Ok(SealingBucketKey { wrapped, key })
    }

    /// Moves a bucket key to another key-encryption key, or to its current version.
    pub async fn rewrap_bucket_key(
        &self,
        from: &AcceptedKey,
        bucket_key: &WrappedBucketKey,
        to: &KeyRef,
        logical_bucket: &str,
    ) -> Result<WrappedBucketKey, KeyError> {
        let from_context = bucket_key.context(logical_bucket)?;
        let to_context = bucket_keys::context(to, &bucket_key.id, logical_bucket)?;
        let from = (from, &from_context);
        let wrapped = self
            .rewrap(from, &bucket_key.wrapped, (to, &to_context))
            .await?;
        Ok(WrappedBucketKey {
            id: bucket_key.id,
            kek: to.clone(),
            wrapped,
        })
    }

    async fn make_bucket_key(
        &self,
        kek: &KeyRef,
        logical_bucket: &str,
    ) -> Result<WrappedBucketKey, KeyError> {
        let id = *random_bytes()?;
        let context = bucket_keys::context(kek, &id, logical_bucket)?;
        let cache = &self.bucket_keys.opened;
        let asking = cache.asking(kek.into());
        let fresh = self.generate(kek, &context).await?;
        let made = WrappedBucketKey {
            id,
            kek: kek.clone(),
            wrapped: fresh.wrapped,
        };
        if let Some(registry) = self.registry() {
            Box::pin(registry.put(logical_bucket, &made)).await.map_err(|error| {
                tracing::error!(%error, "a new bucket key cannot be registered and is not used");
                KeyError::from(Outage::Registry)
            })?;
        }
        // The first use needs no unwrap.
        let place = place(&made, &context);
        let opened = async { Ok(BucketKey::new(id, fresh.data_key)) };
        cache.get_or_unwrap(place, asking, opened).await.key?;
        Ok(made)
    }

    async fn open_bucket_key(
        &self,
        bucket_key: &WrappedBucketKey,
        logical_bucket: &str,
        purpose: Use,
    ) -> Result<Arc<BucketKey>, KeyError> {
        let (kek, id) = (&bucket_key.kek, bucket_key.id);
        let context = bucket_key.context(logical_bucket)?;
        let line = self.line_of(kek)?;
        let opened = async {
            let wrapped = &bucket_key.wrapped;
            line.call("unwrap", |provider| provider.unwrap(kek, wrapped, &context))
                .await
                .map(|key: DataKey| BucketKey::new(id, key))
        };
        let place = place(bucket_key, &context);
        let cache = &self.bucket_keys.opened;
        let asking = cache.asking(kek.into());
        self.observed(match purpose {
            Use::Open => cache.get_even_stale(place, asking, opened).await,
            Use::Seal => cache.get_or_unwrap(place, asking, opened).await,
        })
    }
}

/// What a bucket key is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Data keys of objects that are there.
    Open,
    /// New data keys: no provider, no write, however long outdated keys may still be read with.
    Seal,
}

/// Never by the id alone: it says nothing about the bytes of the wrap.
fn place(bucket_key: &WrappedBucketKey, context: &WrapContext) -> CacheKey {
    CacheKey::of(&[b"bucket-key", &bucket_key.wrapped.0, &context.bytes])
}
