//! What may be done to a keyring: the rules behind the `key` commands. Pure; all or nothing.
//!
//! ```text
//!            rotate                disable            retire            destroy
//! enabled ----------> decrypt-only -------> disabled -------> retired ---------> destroyed
//!    ^                                         |                 |
//!    +------------------- enable --------------+-- enable --force+
//! ```
//! Steps may be skipped to the right; nothing comes back from `destroyed`. A version that comes
//! back without becoming the active one is decrypt-only, as a rotation would have left it.

use thiserror::Error;
use time::OffsetDateTime;

use super::defect::Defect;
use super::keyring::{Key, Keyring, Live, LiveState, Origin, State, Timestamp, Version};
use super::material::Material;

/// The names of a key to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewKey {
    /// Canonical id: in every envelope, for ever.
    pub id: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// A note for people.
    pub description: String,
}

/// A change of state of one version or of a whole key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Bring back what was disabled; with `force` also what was retired.
    Enable {
        /// Whether retired versions come back, too.
        force: bool,
    },
    /// Switch off, to be enabled again at will.
    Disable,
    /// Switch off for good, keeping the material.
    Retire,
    /// Erase the material.
    Destroy,
}

impl Keyring {
    /// Adds a key with one version, which is active.
    pub fn create(
        &mut self,
        key: NewKey,
        material: Material,
        now: OffsetDateTime,
    ) -> Result<u32, EditError> {
        self.add(key, 1, (material, Origin::Generated), now)
    }

    /// Gives a key a new active version; the one before becomes decrypt-only.
    pub fn rotate(
        &mut self,
        name: &str,
        material: Material,
        now: OffsetDateTime,
    ) -> Result<u32, EditError> {
        let key = self.find_mut(name)?;
        let number = key.next_number()?;
        key.insert(number, (material, Origin::Generated), now)?;
        Ok(number)
    }

    /// Adds material from outside: a new key, or a new version of a key that is on.
    ///
    /// A version newer than the active one becomes active; an older one (`version` given) is
    /// decrypt-only. Aliases and description are for new keys only.
    pub fn import(
        &mut self,
        key: NewKey,
        version: Option<u32>,
        material: Material,
        now: OffsetDateTime,
    ) -> Result<u32, EditError> {
        if self.find(&key.id).is_none() {
            let number = version.unwrap_or(1);
            return self.add(key, number, (material, Origin::Imported), now);
        }
        if !key.aliases.is_empty() || !key.description.is_empty() {
            return Err(EditError::Exists(key.id));
        }
        let found = self.find_mut(&key.id)?;
        let number = match version {
            Some(number) => number,
            None => found.next_number()?,
        };
        found.insert(number, (material, Origin::Imported), now)?;
        Ok(number)
    }

    /// Changes the state of one version, or of the whole key.
    ///
    /// The active version alone can only be replaced (by `rotate`), never switched off: that takes
    /// the whole key. A change that is already true is no error.
    pub fn change(
        &mut self,
        name: &str,
        version: Option<u32>,
        change: Change,
    ) -> Result<(), EditError> {
        let key = self.find_mut(name)?;
        match version {
            Some(number) => key.change_version(number, change),
            None => key.change_all(change),
        }
    }

    fn add(
        &mut self,
        key: NewKey,
        number: u32,
        (material, origin): (Material, Origin),
        now: OffsetDateTime,
    ) -> Result<u32, EditError> {
        let created = Timestamp::at(now).ok_or(EditError::Clock)?;
        let live = Some(Live {
            state: LiveState::Enabled,
            material,
            sealed: None,
        });
        let version = Version {
            number,
            created: created.clone(),
            origin: Some(origin),
            live,
        };
        self.push(Key {
            id: key.id,
            aliases: key.aliases,
            description: key.description,
            created,
            active: Some(number),
            versions: vec![version],
        })?;
        Ok(number)
    }

    fn find_mut(&mut self, name: &str) -> Result<&mut Key, EditError> {
        let index = self.names.get(name).copied();
        index
            .and_then(|index| self.keys.get_mut(index))
            .ok_or_else(|| EditError::UnknownKey(name.to_owned()))
    }
}

impl Key {
    fn next_number(&self) -> Result<u32, EditError> {
        let newest = self.versions.last().map_or(0, |version| version.number);
        newest.checked_add(1).ok_or(EditError::VersionsExhausted)
    }

    fn insert(
        &mut self,
        number: u32,
        (material, origin): (Material, Origin),
        now: OffsetDateTime,
    ) -> Result<(), EditError> {
        let created = Timestamp::at(now).ok_or(EditError::Clock)?;
        let active = self.active.ok_or_else(|| self.off())?;
        if number == 0 {
            return Err(EditError::Defect(Defect::VersionZero(self.id.clone())));
        }
        let Err(place) = self
            .versions
            .binary_search_by_key(&number, |version| version.number)
        else {
            return Err(EditError::VersionTaken(number));
        };
        let live = Some(Live {
            state: LiveState::DecryptOnly,
            material,
            sealed: None,
        });
        let version = Version {
            number,
            created,
            origin: Some(origin),
            live,
        };
        self.versions.insert(place, version);
        self.activate(number.max(active));
        Ok(())
    }

    fn change_version(&mut self, number: u32, change: Change) -> Result<(), EditError> {
        let version = self
            .version(number)
            .ok_or(EditError::UnknownVersion(number))?;
        let next = change.next(version.state())?;
        match change {
            Change::Enable { .. } => {}
            Change::Disable | Change::Retire | Change::Destroy => {
                if self.active == Some(number) {
                    return Err(EditError::ActiveAlone(number));
                }
            }
        }
        self.apply(|version| (version.number == number).then_some(next));
        Ok(())
    }

    fn change_all(&mut self, change: Change) -> Result<(), EditError> {
        // The newest version speaks for the key if the change fits none of them.
        let mut refusal = Err(EditError::Destroyed);
        for version in &self.versions {
            refusal = change.next(version.state()).map(drop);
            if refusal.is_ok() {
                break;
            }
        }
        refusal?;
        self.apply(|version| change.next(version.state()).ok());
        Ok(())
    }

    /// Puts each version into the state that `next` gives it, then settles which one is active.
    fn apply(&mut self, next: impl Fn(&Version) -> Option<State>) {
        let mut newest = self.active;
        for version in &mut self.versions {
            let Some(state) = next(version) else { continue };
            if state == version.state() {
                continue;
            }
            version.enter(state);
            if state.is_usable() {
                newest = newest.max(Some(version.number));
            }
        }
        let usable = |number: &u32| self.version(*number).is_some_and(|v| v.state().is_usable());
        match newest.filter(usable) {
            Some(number) => self.activate(number),
            None => self.active = None,
        }
    }

    /// Makes a usable version the active one, and the one before it decrypt-only.
    fn activate(&mut self, number: u32) {
        let before = self.active.replace(number);
        for version in &mut self.versions {
            if version.number == number {
                version.enter(State::Enabled);
            } else if before == Some(version.number) && version.state().is_usable() {
                version.enter(State::DecryptOnly);
            }
        }
    }

    fn off(&self) -> EditError {
        match self.state() {
            State::Destroyed => EditError::Destroyed,
            State::Enabled | State::DecryptOnly | State::Disabled | State::Retired => {
                EditError::Off(self.id.clone())
            }
        }
    }
}

impl Version {
    /// A tombstone stays one: there is no material to come back with.
    fn enter(&mut self, state: State) {
        let state = match state {
            State::Enabled => LiveState::Enabled,
            State::DecryptOnly => LiveState::DecryptOnly,
            State::Disabled => LiveState::Disabled,
            State::Retired => LiveState::Retired,
            State::Destroyed => {
                self.live = None;
                return;
            }
        };
        if let Some(live) = &mut self.live {
            live.state = state;
        }
    }
}

impl Change {
    /// The state after this change, or why it cannot be.
    fn next(self, now: State) -> Result<State, EditError> {
        match (self, now) {
            (Self::Destroy, _) => Ok(State::Destroyed),
            (_, State::Destroyed) => Err(EditError::Destroyed),
            (Self::Enable { .. }, State::Enabled | State::DecryptOnly) => Ok(now),
            (Self::Enable { .. }, State::Disabled)
            | (Self::Enable { force: true }, State::Retired) => Ok(State::DecryptOnly),
            (Self::Enable { force: false } | Self::Disable, State::Retired) => {
                Err(EditError::Retired)
            }
            (Self::Disable, State::Enabled | State::DecryptOnly | State::Disabled) => {
                Ok(State::Disabled)
            }
            (
                Self::Retire,
                State::Enabled | State::DecryptOnly | State::Disabled | State::Retired,
            ) => Ok(State::Retired),
        }
    }
}

/// Why a change to a keyring is refused; the keyring is as it was.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EditError {
    /// The key would be left without a version that wraps.
    #[error(
        "version {0} is the active one and cannot be switched off or destroyed alone: rotate \
         first, or act on the whole key"
    )]
    ActiveAlone(u32),
    /// A date that RFC 3339 cannot write.
    #[error("the system clock is outside the years 0 to 9999")]
    Clock,
    /// A name that is not allowed, or used already.
    #[error(transparent)]
    Defect(#[from] Defect),
    /// Nothing comes back from destroyed.
    #[error("it is destroyed")]
    Destroyed,
    /// Aliases and description belong to new keys.
    #[error("key {0:?} exists already: aliases and description are for a new key")]
    Exists(String),
    /// The whole key is disabled or retired.
    #[error("key {0:?} is off: enable it first")]
    Off(String),
    /// Retired versions come back with force only.
    #[error("it is retired: only enable with --force brings it back")]
    Retired,
    /// No such key.
    #[error("there is no key {0:?}")]
    UnknownKey(String),
    /// No such version of the key.
    #[error("there is no version {0}")]
    UnknownVersion(u32),
    /// A version is written once.
    #[error("version {0} exists already")]
    VersionTaken(u32),
    /// 4,294,967,295 versions.
    #[error("there is no version number left")]
    VersionsExhausted,
}
