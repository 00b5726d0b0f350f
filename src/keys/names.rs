//! Keys that a provider knows by name alone: no versions, no aliases, and nothing to ask.

use crate::keys::provider::KeyError;
use crate::keys::service::ServedKey;
use crate::keys::types::{KeyRef, ProviderKind};

/// The configured names of one provider's keys.
pub struct Names {
    provider: ProviderKind,
    ids: Vec<String>,
}

impl Names {
    /// Each name is the id of a key.
    pub fn new(provider: ProviderKind, ids: &[String]) -> Self {
        Self {
            provider,
            ids: ids.to_vec(),
        }
    }

    /// What the key service routes by.
    pub fn served(&self) -> Vec<ServedKey> {
        let served = |id: &String| ServedKey {
            id: id.clone(),
            aliases: Vec::new(),
        };
        self.ids.iter().map(served).collect()
    }

    /// The key of a name. Envelopes say version 0 where versions are the provider's own business.
    pub(super) fn key(&self, id: &str) -> Result<KeyRef, KeyError> {
        if !self.ids.iter().any(|known| known == id) {
            return Err(KeyError::NotFound);
        }
        Ok(KeyRef {
            provider: self.provider,
            id: id.to_owned(),
            version: 0,
        })
    }

    /// The name of a key that is served under exactly this id and version.
    pub(super) fn name_of<'a>(&self, key: &'a KeyRef) -> Result<&'a str, KeyError> {
        if self.key(&key.id)? != *key {
            return Err(KeyError::NotFound);
        }
        Ok(&key.id)
    }
}
