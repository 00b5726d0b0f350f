//! Data keys that another program wrapped: the rule has named the keys, one of them is tried.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::KeyService;
use crate::keys::cache::CacheKey;
use crate::keys::policy::KeyId;
use crate::keys::provider::KeyError;
use crate::keys::types::WrappedDataKey;
use crate::keys::unwrapped::UnwrappedKey;

/// What has to be unwrapped, with everything that decides whether a cached answer is the same.
#[derive(Clone, Copy, Debug)]
pub struct ForeignUnwrap<'a> {
    /// The wrap, as it was stored.
    pub wrapped: &'a WrappedDataKey,
    /// The pairs it is bound to.
    pub context: &'a BTreeMap<String, String>,
    /// See [`UnwrapRequest::grant`](super::UnwrapRequest::grant).
    pub grant: &'a [u8],
}

impl KeyService {
    /// Opens a wrap of another program by a key that a rule names for that, from the cache where it
    /// was opened a moment ago.
    pub async fn unwrap_foreign(
        &self,
        key: &KeyId,
        request: ForeignUnwrap<'_>,
    ) -> Result<Arc<UnwrappedKey>, KeyError> {
        let ForeignUnwrap {
            wrapped,
            context,
            grant,
        } = request;
        let index = self.routes.current().provider_of(key);
        let line = self.line(index)?;
        let foreign = index.and_then(|index| self.foreign.get(index)?.as_ref());
        let foreign = foreign.ok_or(KeyError::NotFound)?;
        let mut parts = vec![CACHE_LABEL, key.id.as_bytes(), &wrapped.0, grant];
        for (name, value) in context {
            parts.extend([name.as_bytes(), value.as_bytes()]);
        }
        let place = CacheKey::of(&parts);
        let asking = self.cache.asking(key.clone());
        let unwrap = async {
            line.call("unwrap", |_provider| {
                foreign.unwrap_foreign(&key.id, wrapped, context)
            })
            .await
            .map(UnwrappedKey::new)
        };
        let found = self.cache.get_even_stale(place, asking, unwrap).await;
        self.observed(found)
    }
}

/// Where our own entries have a content header, which is longer.
const CACHE_LABEL: &[u8] = b"foreign";
