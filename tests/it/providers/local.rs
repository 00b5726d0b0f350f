//! The local keyring: a file that is changed as the commands change it.

use std::path::PathBuf;
use std::sync::Arc;

use s3seal::app::now;
use s3seal::keys::local::{Change, LocalProvider, Material, NewKey, WhenMissing, update};
use s3seal::keys::{KeyError, KeyProvider};
use tempfile::TempDir;

use super::contract::{self, Rotation, Subject, shown_forms};

const KEY: &str = "default";
const ALIAS: &str = "alias/app";

struct LocalSubject {
    _folder: TempDir,
    path: PathBuf,
    material: [u8; 32],
    provider: Arc<LocalProvider>,
}

impl LocalSubject {
    fn change(&self, version: Option<u32>, change: Change) {
        update(&self.path, WhenMissing::Refuse, |keyring| {
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

impl Subject for LocalSubject {
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
        update(&path, WhenMissing::Create, |keyring| {
            keyring.create(key, Material::new(&material).unwrap(), now())
        })
        .unwrap();
        Self {
            provider: Arc::new(LocalProvider::open(&path).unwrap()),
            _folder: folder,
            path,
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
        shown_forms(&self.material)
    }

    async fn rotate(&self) {
        let material = Material::generate().unwrap();
        update(&self.path, WhenMissing::Refuse, |keyring| {
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
    contract::run::<LocalSubject>().await;
}
