//! The keys in use: their versions, as far as memory tells, and the rules that name them.

use serde::Serialize;

use super::summary::Rule;
use crate::app::upkeep::Keyring;
use crate::keys::policy::KeyId;
use crate::keys::service::KeyState;
use crate::keys::{KeyService, local};

/// One key. What its provider keeps to itself is `None`.
#[derive(Serialize)]
pub(super) struct Key {
    id: String,
    provider: String,
    part: &'static str,
    state: Option<&'static str>,
    active_version: Option<u32>,
    versions: Option<Vec<Version>>,
    /// Rules, by their place, under which objects are written with it.
    written_by: Vec<usize>,
    /// Rules under which it opens objects.
    opens: Vec<usize>,
}

#[derive(Serialize)]
struct Version {
    version: u32,
    state: &'static str,
}

/// Every key in the order of the configuration. No provider is asked.
pub(super) fn key_table(keys: &KeyService, keyrings: &[Keyring], rules: &[Rule]) -> Vec<Key> {
    let is = |id: &KeyId, names: &[String]| {
        let mut resolved = names.iter().map(|name| keys.resolve(name));
        resolved.any(|found| found.as_ref() == Some(id))
    };
    let places = |id: &KeyId, of: fn(&Rule) -> &[String]| {
        let found = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| is(id, of(rule)));
        found.map(|(place, _)| place).collect()
    };
    let row = |key: KeyState| {
        let keyring = keyrings.iter().find(|it| it.name == key.provider);
        let known = keyring.and_then(|keyring| known(keyring, &key.id.id));
        let (state, active_version, versions) = known.map_or((None, None, None), |known| {
            (Some(known.0), known.1, Some(known.2))
        });
        Key {
            written_by: places(&key.id, |rule| &rule.write_keys),
            opens: places(&key.id, |rule| &rule.accept_keys),
            part: key.part.name(),
            provider: key.provider,
            id: key.id.id,
            state,
            active_version,
            versions,
        }
    };
    keys.keys().into_iter().map(row).collect()
}

fn known(keyring: &Keyring, id: &str) -> Option<(&'static str, Option<u32>, Vec<Version>)> {
    keyring.provider.look(|keyring| {
        let key = keyring.find(id)?;
        let versions = key
            .versions()
            .iter()
            .map(|version: &local::Version| Version {
                version: version.number(),
                state: version.state().name(),
            });
        Some((key.state().name(), key.active(), versions.collect()))
    })
}
