//! Which key a request used, for the audit log.

use std::sync::{Arc, OnceLock};

use crate::keys::types::KeyRef;

pub use crate::keys::types::Mode;

/// What was used, if anybody wants to know. Clones share it: the reads and writes that make up one
/// request.
#[derive(Clone, Default)]
pub struct Trail(Option<Arc<Used>>);

#[derive(Default)]
struct Used {
    sealed: OnceLock<KeyUse>,
    opened: OnceLock<KeyUse>,
}

/// A key-encryption key, and the mode in which it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// The mode.
    pub mode: Mode,
    /// The key; `None` for the caller's own.
    pub key: Option<KeyRef>,
}

impl Trail {
    /// One that somebody wants to know.
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// Something is to be sealed so.
    pub fn seals(&self, mode: Mode, key: Option<&KeyRef>) {
        if let Some(used) = &self.0 {
            used.sealed.get_or_init(|| KeyUse::of(mode, key));
        }
    }

    /// Something is to be opened so.
    pub fn opens(&self, mode: Mode, key: Option<&KeyRef>) {
        if let Some(used) = &self.0 {
            used.opened.get_or_init(|| KeyUse::of(mode, key));
        }
    }

    /// What was first sealed with, or else opened with.
    pub fn shown(&self) -> Option<&KeyUse> {
        let used = self.0.as_ref()?;
        used.sealed.get().or_else(|| used.opened.get())
    }
}

impl KeyUse {
    fn of(mode: Mode, key: Option<&KeyRef>) -> Self {
        let key = key.cloned();
        Self { mode, key }
    }
}
