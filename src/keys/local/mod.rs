//! The local keyring: key-encryption keys in a file of mode 0600, the embedded default.
//!
//! ```text
//! wrap  = salt(32) || GCM(HKDF-SHA-512(material, salt, "s3seal.v1.local-wrap" || be32 version), nonce 0, data key, AAD = context)
//! check = HMAC-SHA-256(material, "s3seal.v1.check")[..8]
//! ```
//! A key per wrap, so the number of wraps has no limit that matters. [`Keyring`] holds the rules,
//! [`update`] changes a file by them, [`LocalProvider`] serves one. Material lies in the file as it is, or
//! under the seal of a [`Passphrase`].

use std::path::Path;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use crate::keys::entropy::random_bytes;
use crate::keys::provider::{KeyError, KeyProvider};
use crate::keys::service::ServedKey;
use crate::keys::types::{
    DataKey, FreshDataKey, KeyRef, ProviderKind, WrapContext, WrappedDataKey,
};
use crate::keys::wrap::{WrapError, WrapInfo, derived_unwrap, derived_wrap};

mod defect;
mod edit;
mod file;
mod keyring;
mod material;
mod seal;
mod stamp;
mod store;
#[cfg(test)]
mod tests;

pub use defect::Defect;
pub use edit::{Change, EditError, NewKey};
pub use file::ParseError;
pub use keyring::{Key, Keyring, Origin, State, Version};
pub use material::{CHECK_LEN, MATERIAL_LEN, Material, ZeroMaterial};
pub use seal::{Passphrase, SealError};
pub use store::{KeyringError, KeyringFile, UpdateError, WhenMissing, is_sealed, update};

/// A keyring file as a key provider.
///
/// Requests are served from memory and never wait for a reload, which swaps the whole keyring.
#[derive(Debug)]
pub struct LocalProvider {
    file: KeyringFile,
    loaded: ArcSwap<Loaded>,
}

/// A keyring file that was read and is not in use yet.
#[derive(Debug)]
pub struct ChangedKeyring(Loaded);

impl ChangedKeyring {
    /// The names that it would serve.
    pub fn served(&self) -> Vec<ServedKey> {
        self.0.served()
    }
}

#[derive(Debug)]
struct Loaded {
    keyring: Keyring,
    stamp: stamp::Stamp,
}

impl LocalProvider {
    /// Loads a keyring file that is not sealed. Blocks on the disk.
    pub fn open(path: &Path) -> Result<Self, KeyringError> {
        Self::load(KeyringFile::new(path.to_owned(), None))
    }

    /// Loads a keyring file, which must exist. Blocks on the disk, and while the key of a seal is
    /// made.
    pub fn load(file: KeyringFile) -> Result<Self, KeyringError> {
        Ok(Self {
            loaded: ArcSwap::from_pointee(Loaded::read(&file)?),
            file,
        })
    }

    /// Reads the file again if it is another one than is in use, and changes nothing: that is
    /// [`LocalProvider::take_over`]'s, after the caller has looked at what the file would serve.
    ///
    /// Blocks on the disk, and while the key of a new seal is made: not for request tasks. As long as a changed file is broken, every call
    /// fails again.
    pub fn read_if_changed(&self) -> Result<Option<ChangedKeyring>, KeyringError> {
        if stamp::Stamp::read(self.file.path())? == self.loaded.load().stamp {
            return Ok(None);
        }
        Loaded::read(&self.file).map(|loaded| Some(ChangedKeyring(loaded)))
    }

    /// Swaps a changed keyring in, as a whole. Keys that were unwrapped before stay in the cache
    /// until they expire or are purged.
    pub fn take_over(&self, changed: ChangedKeyring) {
        self.loaded.store(changed.0.into());
    }

    /// The names that the keyring serves now: what the key service routes by.
    pub fn served(&self) -> Vec<ServedKey> {
        self.loaded.load().served()
    }

    /// A look at the keyring in use: its keys, their versions and states.
    pub fn look<T>(&self, at: impl FnOnce(&Keyring) -> T) -> T {
        at(&self.loaded.load().keyring)
    }

    fn wrap_now(
        &self,
        key: &KeyRef,
        data_key: &DataKey,
        context: &WrapContext,
    ) -> Result<WrappedDataKey, KeyError> {
        let loaded = self.loaded.load();
        let material = loaded.keyring.wrapping(key)?;
        let salt = random_bytes()?;
        let (info, context) = (local(key), &context.bytes);
        Ok(derived_wrap(
            material.expose(),
            info,
            data_key,
            context,
            *salt,
        ))
    }

    /// Opens a wrap without waiting for anything: for offline use, and behind [`KeyProvider`].
    pub fn unwrap_now(
        &self,
        key: &KeyRef,
        wrapped: &WrappedDataKey,
        context: &WrapContext,
    ) -> Result<DataKey, KeyError> {
        let loaded = self.loaded.load();
        let material = loaded.keyring.unwrapping(key)?;
        let (info, context) = (local(key), &context.bytes);
        derived_unwrap(material.expose(), info, wrapped, context).map_err(KeyError::from)
    }
}

#[async_trait]
impl KeyProvider for LocalProvider {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Local
    }

    async fn describe(&self, name: &str) -> Result<KeyRef, KeyError> {
        self.loaded.load().keyring.active(name)
    }

    async fn generate(
        &self,
        key: &KeyRef,
        context: &WrapContext,
    ) -> Result<FreshDataKey, KeyError> {
        let data_key = DataKey::new(*random_bytes()?);
        let wrapped = self.wrap_now(key, &data_key, context)?;
        Ok(FreshDataKey { data_key, wrapped })
    }

    async fn wrap(
        &self,
        key: &KeyRef,
        data_key: &DataKey,
        context: &WrapContext,
    ) -> Result<WrappedDataKey, KeyError> {
        self.wrap_now(key, data_key, context)
    }

    async fn unwrap(
        &self,
        key: &KeyRef,
        wrapped: &WrappedDataKey,
        context: &WrapContext,
    ) -> Result<DataKey, KeyError> {
        self.unwrap_now(key, wrapped, context)
    }

    /// In memory: it can always answer.
    async fn probe(&self) -> Result<(), KeyError> {
        Ok(())
    }
}

impl Loaded {
    fn read(file: &KeyringFile) -> Result<Self, KeyringError> {
        let (keyring, stamp) = file.load_stamped()?;
        Ok(Self { keyring, stamp })
    }

    fn served(&self) -> Vec<ServedKey> {
        let keys = self.keyring.keys().iter();
        keys.map(|key| ServedKey {
            id: key.id().to_owned(),
            aliases: key.aliases().to_vec(),
        })
        .collect()
    }
}

/// What the wraps of a local key's version are derived for.
fn local(key: &KeyRef) -> WrapInfo {
    WrapInfo::Local {
        version: key.version,
    }
}

impl From<WrapError> for KeyError {
    fn from(error: WrapError) -> Self {
        match error {
            WrapError::Length => Self::Malformed,
            WrapError::Refused => Self::ContextMismatch,
        }
    }
}
