//! The keyring as a checked value: what a keyring file means, and which key serves which call.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::defect::Defect;
use super::material::{CHECK_LEN, Material};
use super::seal::{Seal, SealedMaterial};
use crate::keys::provider::{KeyError, Outage};
use crate::keys::types::{KeyRef, ProviderKind};

/// Named keys with their versions; every value that exists obeys the rules of keys.md.
#[derive(Debug, Default)]
pub struct Keyring {
    pub(super) keys: Vec<Key>,
    /// Ids and aliases to the index in `keys`. Keys are never removed, so indices stay valid.
    pub(super) names: HashMap<String, usize>,
    /// What the file's material is under; `None` where it lies there as it is.
    pub(super) seal: Option<Seal>,
}

impl Keyring {
    /// Checks keys one by one and against each other.
    pub(super) fn from_keys(keys: Vec<Key>) -> Result<Self, Defect> {
        let mut keyring = Self::default();
        for key in keys {
            keyring.push(key)?;
        }
        Ok(keyring)
    }

    /// Adds a key whose names are free, or nothing at all.
    pub(super) fn push(&mut self, mut key: Key) -> Result<(), Defect> {
        key.versions.sort_by_key(|version| version.number);
        key.check()?;
        let mut names = HashSet::new();
        for name in key.names() {
            check_name(name)?;
            if self.names.contains_key(name) || !names.insert(name) {
                return Err(Defect::DuplicateName(name.to_owned()));
            }
        }
        let index = self.keys.len();
        let names = names.into_iter().map(|name| (name.to_owned(), index));
        self.names.extend(names);
        self.keys.push(key);
        Ok(())
    }

    /// Another seal, or none.
    pub(super) fn set_seal(&mut self, seal: Option<Seal>) {
        self.seal = seal;
        let versions = self.keys.iter_mut().flat_map(|key| &mut key.versions);
        for live in versions.filter_map(|version| version.live.as_mut()) {
            live.sealed = None;
        }
    }

    /// Whether a passphrase seals the material in the file.
    pub fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }

    /// Every key, in the order of the file, destroyed ones included.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// A key by its id or one of its aliases.
    pub fn find(&self, name: &str) -> Option<&Key> {
        self.keys.get(*self.names.get(name)?)
    }

    /// The canonical name of the version that wraps now, by id or alias.
    pub fn active(&self, name: &str) -> Result<KeyRef, KeyError> {
        let key = self.find(name).ok_or(KeyError::NotFound)?;
        let version = key.active.ok_or_else(|| key.why_off())?;
        Ok(KeyRef {
            provider: ProviderKind::Local,
            id: key.id.clone(),
            version,
        })
    }

    /// The material that opens wraps of this very version.
    pub(super) fn unwrapping(&self, key: &KeyRef) -> Result<&Material, KeyError> {
        let version = self.version(key)?;
        match (version.state(), &version.live) {
            (State::Enabled | State::DecryptOnly, Some(live)) => Ok(&live.material),
            (State::Disabled | State::Retired, _) => Err(KeyError::Disabled),
            (State::Destroyed | State::Enabled | State::DecryptOnly, _) => Err(KeyError::Destroyed),
        }
    }

    /// The material that makes new wraps: of the active version only.
    pub(super) fn wrapping(&self, key: &KeyRef) -> Result<&Material, KeyError> {
        let material = self.unwrapping(key)?;
        if self.canonical(key)?.active != Some(key.version) {
            // It was active when it was described: a rotation came between.
            return Err(KeyError::Unavailable(Outage::Superseded));
        }
        Ok(material)
    }

    /// How many versions are tombstones.
    pub(super) fn tombstones(&self) -> usize {
        let versions = self.keys.iter().flat_map(|key| &key.versions);
        versions.filter(|version| version.live.is_none()).count()
    }

    fn version(&self, key: &KeyRef) -> Result<&Version, KeyError> {
        let found = self.canonical(key)?.version(key.version);
        found.ok_or(KeyError::NotFound)
    }

    /// Envelopes hold canonical ids: an alias there is not a name of this key.
    fn canonical(&self, key: &KeyRef) -> Result<&Key, KeyError> {
        self.find(&key.id)
            .filter(|found| key.provider == ProviderKind::Local && found.id == key.id)
            .ok_or(KeyError::NotFound)
    }
}

/// One key of the keyring: an id, aliases and versions.
#[derive(Debug)]
pub struct Key {
    pub(super) id: String,
    pub(super) aliases: Vec<String>,
    pub(super) description: String,
    pub(super) created: Timestamp,
    /// The version that wraps: an enabled one. `None` exactly while no version is usable, that is
    /// after a command that switched off or destroyed the key as a whole.
    pub(super) active: Option<u32>,
    /// Ascending by number, at least one.
    pub(super) versions: Vec<Version>,
}

impl Key {
    /// The canonical id: what envelopes hold.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Other names that clients and rules may use.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// The operator's note.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// When the key was made, RFC 3339.
    pub fn created(&self) -> &str {
        &self.created.0
    }

    /// The version that wraps, unless the key as a whole is off or destroyed.
    pub fn active(&self) -> Option<u32> {
        self.active
    }

    /// Every version, ascending, destroyed ones included.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// A version by its number.
    pub fn version(&self, number: u32) -> Option<&Version> {
        self.versions
            .iter()
            .find(|version| version.number == number)
    }

    /// The state of the key as a whole: that of its active version, else of the newest.
    pub fn state(&self) -> State {
        if self.active.is_some() {
            return State::Enabled;
        }
        let live = self.versions.iter().rev().map(Version::state);
        live.into_iter()
            .find(|state| *state != State::Destroyed)
            .unwrap_or(State::Destroyed)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    fn why_off(&self) -> KeyError {
        match self.state() {
            State::Destroyed => KeyError::Destroyed,
            State::Enabled | State::DecryptOnly | State::Disabled | State::Retired => {
                KeyError::Disabled
            }
        }
    }

    fn check(&self) -> Result<(), Defect> {
        let key = || self.id.clone();
        if self.versions.is_empty() {
            return Err(Defect::NoVersions(key()));
        }
        if self.description.len() > MAX_DESCRIPTION_LEN {
            return Err(Defect::Description(key()));
        }
        let mut last = 0;
        for version in &self.versions {
            if version.number == 0 {
                return Err(Defect::VersionZero(key()));
            }
            if version.number == last {
                return Err(Defect::DuplicateVersion(key(), last));
            }
            last = version.number;
        }
        match self.active {
            Some(number) if self.version(number).map(Version::state) != Some(State::Enabled) => {
                Err(Defect::ActiveNotEnabled(key(), number))
            }
            None if self
                .versions
                .iter()
                .any(|version| version.state().is_usable()) =>
            {
                Err(Defect::NoActive(key()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// One version of a key.
#[derive(Debug)]
pub struct Version {
    pub(super) number: u32,
    pub(super) created: Timestamp,
    pub(super) origin: Option<Origin>,
    /// `None` is a tombstone: the material is gone for good.
    pub(super) live: Option<Live>,
}

impl Version {
    /// Its number, from 1; part of every envelope.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// When it was made, RFC 3339.
    pub fn created(&self) -> &str {
        &self.created.0
    }

    /// Where the material came from, if the file says so.
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// What it may be used for.
    pub fn state(&self) -> State {
        self.live
            .as_ref()
            .map_or(State::Destroyed, |live| live.state.into())
    }

    /// The check value of the material; none for a tombstone. It tells materials apart and tells
    /// nothing about them.
    pub fn check(&self) -> Option<[u8; CHECK_LEN]> {
        self.live.as_ref().map(|live| live.material.check())
    }
}

/// Material with the state it is in: whatever is not destroyed.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) state: LiveState,
    pub(super) material: Material,
    /// As it stood in a sealed file, so that writing the file again changes what was changed only.
    pub(super) sealed: Option<SealedMaterial>,
}

/// The states in which a version still has its material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LiveState {
    Enabled,
    DecryptOnly,
    Disabled,
    Retired,
}

impl From<LiveState> for State {
    fn from(state: LiveState) -> Self {
        match state {
            LiveState::Enabled => Self::Enabled,
            LiveState::DecryptOnly => Self::DecryptOnly,
            LiveState::Disabled => Self::Disabled,
            LiveState::Retired => Self::Retired,
        }
    }
}

/// What a version may be used for (keys.md, "Local keyring").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Unwraps; the active one wraps.
    Enabled,
    /// Unwraps: what a rotation leaves behind.
    DecryptOnly,
    /// Neither; `enable` undoes it.
    Disabled,
    /// Neither; material kept, back only with `enable --force`.
    Retired,
    /// Material erased; the tombstone tells "destroyed" from "unknown".
    Destroyed,
}

impl State {
    /// The name in the file, in `--json` and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::DecryptOnly => "decrypt-only",
            Self::Disabled => "disabled",
            Self::Retired => "retired",
            Self::Destroyed => "destroyed",
        }
    }

    pub(super) fn is_usable(self) -> bool {
        match self {
            Self::Enabled | Self::DecryptOnly => true,
            Self::Disabled | Self::Retired | Self::Destroyed => false,
        }
    }
}

/// Where a version's material came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Drawn from the operating system.
    Generated,
    /// Brought by the operator.
    Imported,
}

/// A point in time as the file writes it: RFC 3339, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timestamp(pub(super) String);

impl Timestamp {
    pub(super) fn parse(text: String) -> Option<Self> {
        OffsetDateTime::parse(&text, &Rfc3339)
            .is_ok()
            .then_some(Self(text))
    }

    /// `now` to the second; `None` outside the years that RFC 3339 can write.
    pub(super) fn at(now: OffsetDateTime) -> Option<Self> {
        let seconds = now.replace_nanosecond(0).ok()?;
        seconds.format(&Rfc3339).ok().map(Self)
    }
}

/// Names go into headers, logs and configuration: printable, bounded, no spaces or quotes.
pub(super) fn check_name(name: &str) -> Result<(), Defect> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.:@+=-".contains(&byte);
    if (1..=MAX_NAME_LEN).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(Defect::Name)
    }
}

/// Longest id or alias: ids are in every envelope, whose room is 2,048 bytes of metadata.
pub(super) const MAX_NAME_LEN: usize = 128;
/// Longest description: a note, not a document.
pub(super) const MAX_DESCRIPTION_LEN: usize = 1024;
