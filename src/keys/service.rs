//! The key service: from a name to a provider, with cache, time limit and bounded retries.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use thiserror::Error;

use crate::keys::cache::{CacheKey, CacheSettings, Found, KeyCache, Lookup};
use crate::keys::observer::KeyObserver;
use crate::keys::policy::{AcceptedKey, KeyId};
use crate::keys::provider::{ForeignWraps, KeyError, KeyProvider};
use crate::keys::types::{DataKey, FreshDataKey, KeyRef, Mode, WrapContext, WrappedDataKey};
use crate::keys::unwrapped::UnwrappedKey;

mod bucket_keys;
mod foreign;
mod line;
mod routes;
mod state;
#[cfg(test)]
mod tests;

use self::bucket_keys::BucketKeys;
pub use self::bucket_keys::{CurrentWrap, SealingBucketKey};
pub use self::foreign::ForeignUnwrap;
use self::line::Line;

pub use routes::{Roles, RouteError, ServedKey};
use routes::{Routes, Served};
pub use state::{BreakerState, KeyState, Part, ProviderState};

/// A configured provider with the keys it serves.
pub struct ProviderSetup {
    /// Its name in the configuration.
    pub name: String,
    /// The provider.
    pub provider: Arc<dyn KeyProvider>,
    /// The same, where it also opens what other programs wrapped.
    pub foreign: Option<Arc<dyn ForeignWraps>>,
    /// The keys that may be used; others that it might know are never asked for.
    pub served: Vec<ServedKey>,
}

/// What the service needs to know from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyServiceSettings {
    /// The default key and the managed ones.
    pub roles: Roles,
    /// The unwrapped-key cache.
    pub cache: CacheSettings,
    /// Time for one request's provider call, its retries and the wait for its turn included.
    pub provider_timeout: Duration,
    /// How long a bucket key wraps new data keys.
    pub bucket_key_lifetime: Duration,
}

impl Default for KeyServiceSettings {
    fn default() -> Self {
        Self {
            roles: Roles::default(),
            cache: CacheSettings::default(),
            provider_timeout: Duration::from_secs(5),
            bucket_key_lifetime: Duration::from_hours(24),
        }
    }
}

/// Wraps and unwraps data keys through whichever provider has the key.
pub struct KeyService {
    lines: Vec<Line>,
    /// In the order of `lines`.
    foreign: Vec<Option<Arc<dyn ForeignWraps>>>,
    routes: Routes,
    cache: KeyCache<UnwrappedKey>,
    bucket_keys: BucketKeys,
    observer: Arc<dyn KeyObserver>,
}

/// What has to be unwrapped, with everything that decides whether a cached answer is the same.
#[derive(Clone, Copy, Debug)]
pub struct UnwrapRequest<'a> {
    /// The key of the envelope, after the rule accepted it.
    pub key: &'a AcceptedKey,
    /// The wrap in the envelope.
    pub wrapped: &'a WrappedDataKey,
    /// What the wrap is bound to.
    pub context: &'a WrapContext,
    /// The content header, 72 bytes.
    pub header: &'a [u8],
    /// The whole key envelope that `key` and `wrapped` were parsed from.
    pub envelope: &'a [u8],
    /// What makes the caller's right to keys different from another caller's; equal bytes share
    /// cached keys.
    pub grant: &'a [u8],
}

impl KeyService {
    /// Refuses names that two keys share, and a default or managed key that nobody serves.
    pub fn new(
        setups: Vec<ProviderSetup>,
        settings: KeyServiceSettings,
        observer: Arc<dyn KeyObserver>,
    ) -> Result<Self, RouteError> {
        let mut lines = Vec::with_capacity(setups.len());
        let mut foreign = Vec::with_capacity(setups.len());
        let mut served = Vec::with_capacity(setups.len());
        for setup in setups {
            served.push(Served {
                provider: setup.name.clone(),
                kind: setup.provider.kind(),
                keys: setup.served,
            });
            let (observer, timeout) = (Arc::clone(&observer), settings.provider_timeout);
            lines.push(Line::new(setup.name, setup.provider, observer, timeout));
            foreign.push(setup.foreign);
        }
        Ok(Self {
            lines,
            foreign,
            routes: Routes::new(served, settings.roles)?,
            cache: KeyCache::new(settings.cache),
            bucket_keys: BucketKeys::new(settings.cache, settings.bucket_key_lifetime),
            observer,
        })
    }

    /// Replaces the keys that a provider serves, after its keyring was reloaded. A refusal
    /// leaves everything as it was.
    pub fn set_served(&self, provider: &str, served: Vec<ServedKey>) -> Result<(), RouteError> {
        self.routes.replace(provider, served)
    }

    /// The managed keys as they would be with other roles; refused where [`Self::assign`] would
    /// refuse.
    pub fn managed_under(&self, roles: &Roles) -> Result<Vec<KeyId>, RouteError> {
        Ok(self.routes.under(roles)?.managed_keys())
    }

    /// Replaces the names of the default and the managed keys. A refusal leaves everything as it
    /// was.
    pub fn assign(&self, roles: Roles) -> Result<(), RouteError> {
        self.routes.assign(roles)
    }

    /// Forgets every unwrapped key.
    pub async fn purge_all(&self) {
        for key in self.routes.current().keys() {
            self.purge(key.clone()).await;
        }
    }

    /// The canonical key behind a configured id or alias: no provider is asked.
    pub fn resolve(&self, name: &str) -> Option<KeyId> {
        self.routes.current().resolve(name)
    }

    /// The default named key.
    pub fn default_key(&self) -> Option<KeyId> {
        self.routes.current().default.clone()
    }

    /// Whether a key is the managed one, or was: never usable as a named key.
    pub fn is_managed(&self, key: &KeyId) -> bool {
        let routes = self.routes.current();
        routes.managed.as_ref() == Some(key) || routes.former_managed.contains(key)
    }

    /// The mode of the objects under a configured key.
    pub fn mode_of(&self, key: &KeyRef) -> Mode {
        if self.is_managed(&key.into()) {
            Mode::Managed
        } else {
            Mode::NamedKey
        }
    }

    /// The managed key and those that were.
    pub fn managed_keys(&self) -> Vec<KeyId> {
        self.routes.current().managed_keys()
    }

    /// The managed key.
    pub fn managed_key(&self) -> Option<KeyId> {
        self.routes.current().managed.clone()
    }

    /// The version of a configured key that wraps now, by id or alias.
    pub async fn describe(&self, name: &str) -> Result<KeyRef, KeyError> {
        let routes = self.routes.current();
        let line = self.line(routes.provider_of_name(name))?;
        // Answered from memory, also while the provider is away.
        let key = line
            .ask("describe", |provider| provider.describe(name))
            .await?;
        // An alias may have moved, in the provider, to a key that is not configured.
        if routes.provider_of(&KeyId::from(&key)) != routes.provider_of_name(name) {
            return Err(KeyError::NotFound);
        }
        Ok(key)
    }

    /// A new data key, wrapped by `key`.
    pub async fn generate(
        &self,
        key: &KeyRef,
        context: &WrapContext,
    ) -> Result<FreshDataKey, KeyError> {
        self.line_of(key)?
            .call("generate", |provider| provider.generate(key, context))
            .await
    }

    /// Wraps a data key by `key`.
    pub async fn wrap(
        &self,
        key: &KeyRef,
        data_key: &DataKey,
        context: &WrapContext,
    ) -> Result<WrappedDataKey, KeyError> {
        self.line_of(key)?
            .call("wrap", |provider| provider.wrap(key, data_key, context))
            .await
    }

    /// Opens a wrap, from the cache where it was opened a moment ago, or a while ago if the
    /// provider is away and the settings allow it.
    pub async fn unwrap(&self, request: UnwrapRequest<'_>) -> Result<Arc<UnwrappedKey>, KeyError> {
        let UnwrapRequest {
            key,
            wrapped,
            context,
            header,
            envelope,
            grant,
        } = request;
        let key = key.key();
        let line = self.line_of(key)?;
        let place = CacheKey::of(&[header, envelope, &context.bytes, grant]);
        let asking = self.cache.asking(key.into());
        let unwrap = async {
            line.call("unwrap", |provider| provider.unwrap(key, wrapped, context))
                .await
                .map(UnwrappedKey::new)
        };
        let found = self.cache.get_even_stale(place, asking, unwrap).await;
        self.observed(found)
    }

    fn observed<K>(&self, found: Found<K>) -> Result<Arc<K>, KeyError> {
        match found.lookup {
            Lookup::Hit => self.observer.cache_hit(),
            Lookup::Miss => self.observer.cache_miss(),
            Lookup::Stale => self.observer.cache_stale(),
        }
        found.key
    }

    /// Moves a data key from one wrap to another: same data key, other key, version or context.
    ///
    /// Within one provider the provider does it, if it can without showing the data key.
    pub async fn rewrap(
        &self,
        from: (&AcceptedKey, &WrapContext),
        wrapped: &WrappedDataKey,
        to: (&KeyRef, &WrapContext),
    ) -> Result<WrappedDataKey, KeyError> {
        let from = (from.0.key(), from.1);
        let (source, target) = (self.line_of(from.0)?, self.line_of(to.0)?);
        if std::ptr::eq(source, target) {
            return source
                .call("rewrap", |provider| provider.rewrap(from, wrapped, to))
                .await;
        }
        let data_key = source
            .call("unwrap", |provider| {
                provider.unwrap(from.0, wrapped, from.1)
            })
            .await?;
        self.wrap(to.0, &data_key, to.1).await
    }

    /// Wraps and unwraps once with every configured key: the self-test at start.
    ///
    /// A key that an operator switched off is no failure, unless it is the default or managed
    /// key: new objects need those.
    pub async fn probe(&self) -> Result<(), ProbeError> {
        let routes = self.routes.current();
        for id in routes.keys() {
            let is_needed = routes.for_new_objects().any(|needed| needed == id);
            match self.probe_key(id).await {
                Err(ProbeFailure::Key(KeyError::Disabled | KeyError::Destroyed)) if !is_needed => {}
                tested => tested.map_err(|source| ProbeError::of(id, source))?,
            }
        }
        Ok(())
    }

    /// Tests the default and the managed key of other roles, where they are not those of now.
    pub async fn probe_under(&self, roles: &Roles) -> Result<(), ProbeError> {
        // Names that nobody serves are for `managed_under` to refuse.
        let Ok(other) = self.routes.under(roles) else {
            return Ok(());
        };
        let current = self.routes.current();
        for id in other.for_new_objects() {
            if !current.for_new_objects().any(|needed| needed == id) {
                let tested = self.probe_key(id).await;
                tested.map_err(|source| ProbeError::of(id, source))?;
            }
        }
        Ok(())
    }

    /// Whether every provider answers now: readiness. Some look into their memory only, so the
    /// breakers neither stop this nor learn from it.
    pub async fn ready(&self) -> Result<(), KeyError> {
        // All of them, at once: one that is away hides nothing of the others.
        let asked = self.lines.iter().map(Line::ready);
        let found = join_all(asked).await;
        found.into_iter().collect()
    }

    /// Forgets every unwrapped key that `key` wrapped.
    pub async fn purge(&self, key: KeyId) {
        self.cache.purge(key.clone()).await;
        self.bucket_keys.opened.purge(key).await;
        self.observer.cache_entries(self.held());
    }

    /// Really drops cached keys that have expired, and tells which providers are left alone; to be
    /// called every second or so.
    pub async fn maintain(&self) {
        self.cache.maintain().await;
        self.bucket_keys.maintain().await;
        self.observer.cache_entries(self.held());
        for line in &self.lines {
            let kind = line.kind();
            let same = self.lines.iter().filter(|line| line.kind() == kind);
            let open = same.filter(|line| line.is_left_alone()).count();
            self.observer.open_breakers(kind, open);
        }
    }

    /// Unwrapped keys held now.
    fn held(&self) -> u64 {
        self.cache.len() + self.bucket_keys.opened.len()
    }

    async fn probe_key(&self, id: &KeyId) -> Result<(), ProbeFailure> {
        let key = self.describe(&id.id).await?;
        let line = self.line_of(&key)?;
        let context = |bytes: &[u8]| WrapContext {
            bytes: bytes.to_vec(),
            client: Vec::new(),
            bucket: None,
            object_key: None,
        };
        let (own, other) = (context(PROBE_CONTEXT), context(OTHER_CONTEXT));
        // Not wrap: Transit makes a key that is missing if its policy lets it.
        let fresh = self.generate(&key, &own).await?;
        let unwrap = async |context: &WrapContext| {
            let (key, wrapped) = (&key, &fresh.wrapped);
            line.call("unwrap", |provider| provider.unwrap(key, wrapped, context))
                .await
        };
        let opened = unwrap(&own).await?;
        if *opened.expose() != *fresh.data_key.expose() {
            return Err(KeyError::Malformed.into());
        }
        // A Transit key that is not derived would open it.
        match unwrap(&other).await {
            Err(KeyError::ContextMismatch) => Ok(()),
            Ok(_) => Err(ProbeFailure::Unbound),
            Err(error) => Err(error.into()),
        }
    }

    fn line_of(&self, key: &KeyRef) -> Result<&Line, KeyError> {
        self.line(self.routes.current().provider_of(&key.into()))
    }

    fn line(&self, index: Option<usize>) -> Result<&Line, KeyError> {
        index
            .and_then(|index| self.lines.get(index))
            .ok_or(KeyError::NotFound)
    }
}

/// A configured key that does not wrap and unwrap.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("key {:?} of a {} provider fails its self-test", .key.id, .key.provider.name())]
pub struct ProbeError {
    /// Which key.
    pub key: KeyId,
    /// What it answered.
    pub source: ProbeFailure,
}

impl ProbeError {
    fn of(key: &KeyId, source: ProbeFailure) -> Self {
        let key = key.clone();
        Self { key, source }
    }
}

/// What is wrong with a key that fails its self-test.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProbeFailure {
    /// The provider said so.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A wrap opened in the place of another: wraps could be moved between objects.
    #[error(
        "its wraps are not bound to what they are for (a Transit key has to be made with derived=true)"
    )]
    Unbound,
}

const PROBE_CONTEXT: &[u8] = b"s3seal.v1.probe";
const OTHER_CONTEXT: &[u8] = b"s3seal.v1.probe.other";
