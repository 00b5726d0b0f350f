//! The local keyring, in clear and sealed: a file that is changed as the commands change it.

use std::path::Path;
use std::sync::Arc;

use s3seal::app::now;
use s3seal::keys::local::{
    Change, KeyringFile, LocalProvider, Material, NewKey, Passphrase, WhenMissing,
};
use s3seal::keys::{KeyError, KeyProvider};
use s3seal::secret::Secret;
use tempfile::TempDir;

use super::contract::{self, Rotation, Subject, shown_forms};

const KEY: &str = "default";
const ALIAS: &str = "alias/app";
const PASSPHRASE: &str = "correct horse battery";

struct LocalSubject<const SEALED: bool> {
    _folder: TempDir,
    /// The file as another process has it.
    file: KeyringFile,
    material: [u8; 32],
    provider: Arc<LocalProvider>,
}

/// A keyring file as one process has it.
fn file(path: &Path, sealed: bool) -> KeyringFile {
    let passphrase = || Passphrase::of_text(Secret::new(PASSPHRASE.to_owned()));
    KeyringFile::new(path.to_owned(), sealed.then(passphrase))
}

impl<const SEALED: bool> LocalSubject<SEALED> {
    fn change(&self, version: Option<u32>, change: Change) {
        self.file
            .update(WhenMissing::Refuse, |keyring| {
                keyring.change(KEY, version, change)
            })
            .unwrap();
        self.reload();
    }

    fn reload(&self) {
        let changed = self.provider.read_if_changed().unwrap();
        self.provider.take_over(changed.expect("another file"));
    }
}

impl<const SEALED: bool> Subject for LocalSubject<SEALED> {
    const ROTATION: Rotation = Rotation::Versions;
    const DISABLED: Option<KeyError> = Some(KeyError::Disabled);
    const RETIRED: Option<KeyError> = Some(KeyError::Disabled);
    const DESTROYED: Option<KeyError> = Some(KeyError::Destroyed);

    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring.json");
        let mut material = [0; 32];
        getrandom::fill(&mut material).unwrap();
        let key = NewKey {
            id: KEY.to_owned(),
            aliases: vec![ALIAS.to_owned()],
            ..NewKey::default()
        };
        let changed = file(&path, SEALED);
        changed
            .update(WhenMissing::Create, |keyring| {
                keyring.create(key, Material::new(&material).unwrap(), now())
            })
            .unwrap();
        Self {
            provider: Arc::new(LocalProvider::load(file(&path, SEALED)).unwrap()),
            _folder: folder,
            file: changed,
            material,
        }
    }

    fn provider(&self) -> Arc<dyn KeyProvider> {
        Arc::clone(&self.provider) as Arc<dyn KeyProvider>
    }

    fn id(&self) -> String {
        KEY.to_owned()
    }

    fn aliases(&self) -> Vec<String> {
        vec![ALIAS.to_owned()]
    }

    fn secrets(&self) -> Vec<Vec<u8>> {
        let mut secrets = shown_forms(&self.material);
        secrets.extend(shown_forms(PASSPHRASE.as_bytes()));
        secrets
    }

    async fn rotate(&self) {
        let material = Material::generate().unwrap();
        self.file
            .update(WhenMissing::Refuse, |keyring| {
                keyring.rotate(KEY, material, now())
            })
            .unwrap();
        self.reload();
    }

    async fn disable(&self) {
        self.change(None, Change::Disable);
    }

    async fn enable(&self) {
        self.change(None, Change::Enable { force: false });
    }

    async fn retire_old(&self) {
        self.change(Some(1), Change::Retire);
    }

    async fn destroy_old(&self) {
        self.change(Some(1), Change::Destroy);
    }
}

#[tokio::test]
async fn the_local_keyring_keeps_the_contract() {
    contract::run::<LocalSubject<false>>().await;
}

#[tokio::test]
async fn the_sealed_keyring_keeps_the_contract() {
    contract::run::<LocalSubject<true>>().await;
}

/// A running proxy follows a sealed file, and nothing but a sealed file of its passphrase.
#[test]
fn a_reload_needs_the_seal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyring.json");
    let create = |file: &KeyringFile, id: &str| {
        let id = id.to_owned();
        let key = NewKey {
            id,
            ..NewKey::default()
        };
        let material = Material::generate().unwrap();
        file.update(WhenMissing::Create, |keyring| {
            keyring.create(key, material, now())
        })
        .unwrap();
    };
    let sealed = file(&path, true);
    create(&sealed, "a");
    let provider = LocalProvider::load(file(&path, true)).unwrap();
    create(&sealed, "b");
    let changed = provider.read_if_changed().unwrap().unwrap();
    provider.take_over(changed);
    assert_eq!(provider.served().len(), 2);

    let another = Passphrase::of_text(Secret::new("another passphrase".to_owned()));
    sealed.reseal(Some(&another)).unwrap();
    assert!(provider.read_if_changed().is_err());
    let opened = KeyringFile::new(path.clone(), Some(another));
    opened.reseal(None).unwrap();
    assert!(provider.read_if_changed().is_err(), "in clear");
    create(&file(&path, false), "c");
    let again = Passphrase::of_text(Secret::new(PASSPHRASE.to_owned()));
    file(&path, false).reseal(Some(&again)).unwrap();
    let changed = provider.read_if_changed().unwrap().unwrap();
    provider.take_over(changed);
    assert_eq!(provider.served().len(), 3);
}
