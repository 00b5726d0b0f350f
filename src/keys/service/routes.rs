//! Which provider has which key: names are unique over all providers, and swapped as a whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use thiserror::Error;

use crate::keys::policy::KeyId;
use crate::keys::types::ProviderKind;

/// A key that a provider may be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedKey {
    /// Canonical id: what envelopes hold.
    pub id: String,
    /// Other names that clients and rules may use.
    pub aliases: Vec<String>,
}

/// What one provider serves.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) provider: String,
    pub(super) kind: ProviderKind,
    pub(super) keys: Vec<ServedKey>,
}

/// The current table, replaced as a whole when a keyring is reloaded.
#[derive(Debug)]
pub(super) struct Routes {
    table: ArcSwap<Table>,
    source: Mutex<Source>,
}

/// What the table is made of.
#[derive(Clone, Debug)]
struct Source {
    served: Vec<Served>,
    roles: Roles,
}

/// The names of keys that have a part to play, by id or alias.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// The named key that is used when neither client nor rule names one.
    pub default: Option<String>,
    /// The managed key, which no client names.
    pub managed: Option<String>,
    /// Keys that were the managed one: they open managed objects and do nothing else.
    pub former_managed: Vec<String>,
}

impl Routes {
    pub(super) fn new(served: Vec<Served>, roles: Roles) -> Result<Self, RouteError> {
        let source = Source { served, roles };
        Ok(Self {
            table: ArcSwap::from_pointee(Table::build(&source)?),
            source: Mutex::new(source),
        })
    }

    pub(super) fn current(&self) -> Arc<Table> {
        self.table.load_full()
    }

    pub(super) fn replace(&self, provider: &str, keys: Vec<ServedKey>) -> Result<(), RouteError> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = source.clone();
        let entry = changed
            .served
            .iter_mut()
            .find(|served| served.provider == provider);
        let entry = entry.ok_or_else(|| RouteError::UnknownProvider(provider.to_owned()))?;
        entry.keys = keys;
        self.table.store(Arc::new(Table::build(&changed)?));
        *source = changed;
        Ok(())
    }

    /// What the table would be with other roles.
    pub(super) fn under(&self, roles: &Roles) -> Result<Table, RouteError> {
        let mut source = self
            .source
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        source.roles = roles.clone();
        Table::build(&source)
    }

    pub(super) fn assign(&self, roles: Roles) -> Result<(), RouteError> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = Source {
            roles,
            ..source.clone()
        };
        self.table.store(Arc::new(Table::build(&changed)?));
        *source = changed;
        Ok(())
    }
}

/// Names and ids to the index of their provider.
#[derive(Debug, Default)]
pub(super) struct Table {
    names: HashMap<String, KeyId>,
    providers: HashMap<KeyId, usize>,
    /// In the order of the configuration.
    order: Vec<KeyId>,
    pub(super) default: Option<KeyId>,
    pub(super) managed: Option<KeyId>,
    pub(super) former_managed: Vec<KeyId>,
}

impl Table {
    fn build(source: &Source) -> Result<Self, RouteError> {
        let Source { served, roles } = source;
        let mut table = Self::default();
        for (index, served) in served.iter().enumerate() {
            for key in &served.keys {
                table.add(index, served.kind, key)?;
            }
        }
        table.default = table.needed(roles.default.as_deref())?;
        table.managed = table.needed(roles.managed.as_deref())?;
        for name in &roles.former_managed {
            let former = table.needed(Some(name))?;
            table.former_managed.extend(former);
        }
        let mut managed = table.managed.iter().chain(&table.former_managed);
        match managed.find(|managed| table.default.as_ref() == Some(managed)) {
            Some(managed) => Err(RouteError::ManagedIsNamed(managed.id.clone())),
            None => Ok(table),
        }
    }

    fn add(
        &mut self,
        provider: usize,
        kind: ProviderKind,
        key: &ServedKey,
    ) -> Result<(), RouteError> {
        let id = KeyId {
            provider: kind,
            id: key.id.clone(),
        };
        for name in std::iter::once(&key.id).chain(&key.aliases) {
            if self.names.insert(name.clone(), id.clone()).is_some() {
                return Err(RouteError::DuplicateName(name.clone()));
            }
        }
        self.providers.insert(id.clone(), provider);
        self.order.push(id);
        Ok(())
    }

    fn needed(&self, name: Option<&str>) -> Result<Option<KeyId>, RouteError> {
        let Some(name) = name else { return Ok(None) };
        let found = self.resolve(name);
        found
            .map(Some)
            .ok_or_else(|| RouteError::UnknownKey(name.to_owned()))
    }

    pub(super) fn resolve(&self, name: &str) -> Option<KeyId> {
        self.names.get(name).cloned()
    }

    /// The keys that new objects need: the default and the managed one.
    pub(super) fn for_new_objects(&self) -> impl Iterator<Item = &KeyId> {
        self.default.iter().chain(&self.managed)
    }

    /// The managed key and those that were.
    pub(super) fn managed_keys(&self) -> Vec<KeyId> {
        let former = self.former_managed.iter();
        self.managed.iter().chain(former).cloned().collect()
    }

    pub(super) fn keys(&self) -> &[KeyId] {
        &self.order
    }

    pub(super) fn provider_of(&self, key: &KeyId) -> Option<usize> {
        self.providers.get(key).copied()
    }

    pub(super) fn provider_of_name(&self, name: &str) -> Option<usize> {
        self.provider_of(self.names.get(name)?)
    }
}

/// Why a set of providers cannot be used: the configuration's fault.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RouteError {
    /// Ids and aliases are unique over all providers.
    #[error("the key id or alias {0:?} is used twice over all key providers")]
    DuplicateName(String),
    /// A managed key is never usable as a named key.
    #[error("key {0:?} cannot be both the default and the managed key")]
    ManagedIsNamed(String),
    /// The default or managed key is nowhere.
    #[error("no key provider serves the key {0:?}")]
    UnknownKey(String),
    /// No provider of this name was configured.
    #[error("there is no key provider {0:?}")]
    UnknownProvider(String),
}
