//! Which key a request used, for the audit log.

use std::sync::{Arc, OnceLock};

use crate::keys::types::KeyRef;

pub use crate::keys::types::Mode;

/// What was used. Clones share it: the reads and writes that make up one request.
#[derive(Clone, Default)]
pub struct Trail(Arc<Used>);

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
    /// Something is to be sealed so.
    pub fn seals(&self, mode: Mode, key: Option<&KeyRef>) {
        let key = key.cloned();
        let _first_stays = self.0.sealed.set(KeyUse { mode, key });
    }

    /// Something is to be opened so.
    pub fn opens(&self, mode: Mode, key: Option<&KeyRef>) {
        let key = key.cloned();
        let _first_stays = self.0.opened.set(KeyUse { mode, key });
    }

    /// What was sealed with, or else opened with.
    pub fn shown(&self) -> Option<&KeyUse> {
        self.0.sealed.get().or_else(|| self.0.opened.get())
    }
}
