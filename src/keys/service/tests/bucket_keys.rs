//! Bucket keys: how often a provider is asked, what opens what, and what a registry changes.

use std::collections::HashMap;

use async_trait::async_trait;
use proptest::prelude::*;

use super::*;
use crate::format::{ClientContext, EnvelopeHead, KeyEnvelope, WrapKind, Wrapped};
use crate::keys::bucket_keys::file::RegistryFolder;
use crate::keys::bucket_keys::registry::{self, RegistryError, RegistryStore};
use crate::keys::bucket_keys::{BucketKeyId, WrappedBucketKey};

const BUCKET: &str = "photos";

/// A service over a counted provider.
fn counted(home: &Home) -> (KeyService, Arc<FaultyProvider>) {
    let provider = Arc::new(FaultyProvider::new(Arc::clone(&home.provider) as Arc<_>));
    let setup = home.setup_with("a", Arc::clone(&provider) as Arc<_>);
    (service(vec![setup], Arc::new(NoObserver)), provider)
}

/// An envelope as a write makes it, with its data key.
async fn sealed(service: &KeyService, kek: &KeyRef, bucket: &str) -> (KeyEnvelope, DataKey) {
    let made = service.sealing_bucket_key(kek, bucket).await.unwrap();
    let data_key = DataKey::new(*crate::keys::entropy::random_bytes().unwrap());
    let wrapped = Wrapped::BucketKey {
        id: made.wrapped.id,
        wrapped: made.key.wrap(&data_key, &context("object")).unwrap(),
        wrapped_bucket_key: made.wrapped.wrapped.0,
    };
    let head = EnvelopeHead::new(
        kek.clone(),
        WrapKind::BucketKey,
        Mode::NamedKey,
        Binding::None,
        ClientContext::default(),
    );
    (KeyEnvelope::new(head.unwrap(), wrapped).unwrap(), data_key)
}

/// Opens it as a read does.
async fn open(
    service: &KeyService,
    envelope: &KeyEnvelope,
    bucket: &str,
) -> Result<[u8; 32], KeyError> {
    let current = service.current_wrap(envelope, bucket).await?;
    let kek = accepted(current.kek());
    let CurrentWrap::BucketKey {
        bucket_key,
        wrapped,
        ..
    } = current
    else {
        panic!("a direct wrap");
    };
    let context = context("object");
    let opened = service
        .unwrap_by_bucket_key(&kek, &bucket_key, bucket, (wrapped, &context))
        .await?;
    Ok(*opened.data_key().expose())
}

#[tokio::test]
async fn a_provider_is_asked_once_a_bucket_and_key() {
    let home = Home::with(&["one", "two"]);
    let (service, provider) = counted(&home);
    let one = service.describe("one").await.unwrap();
    let two = service.describe("two").await.unwrap();
    let before = provider.calls();
    let places = [(&one, "a"), (&one, "b"), (&two, "a")];
    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        for (kek, bucket) in places {
            let (envelope, data_key) = sealed(&service, kek, bucket).await;
            assert_eq!(
                open(&service, &envelope, bucket).await,
                Ok(*data_key.expose())
            );
            let Wrapped::BucketKey { id, .. } = envelope.wrapped() else {
                panic!("a direct wrap");
            };
            ids.insert(*id);
        }
    }
    assert_eq!(ids.len(), 3);
    assert_eq!(provider.calls() - before, 3);
}

#[tokio::test]
async fn many_at_once_make_one_bucket_key() {
    let home = Home::with(&["one"]);
    let (service, provider) = counted(&home);
    let kek = service.describe("one").await.unwrap();
    let before = provider.calls();
    let all = (0..100).map(|_| service.sealing_bucket_key(&kek, BUCKET));
    for made in join_all(all).await {
        made.unwrap();
    }
    assert_eq!(provider.calls() - before, 1);
}

#[tokio::test]
async fn another_replica_opens_all_of_a_bucket_with_one_call() {
    let home = Home::with(&["one"]);
    let (writer, _) = counted(&home);
    let (reader, provider) = counted(&home);
    let kek = writer.describe("one").await.unwrap();
    for _ in 0..50 {
        let (envelope, data_key) = sealed(&writer, &kek, BUCKET).await;
        assert_eq!(
            open(&reader, &envelope, BUCKET).await,
            Ok(*data_key.expose())
        );
    }
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn a_bucket_key_ends_with_its_lifetime_and_with_a_rotation() {
    let home = Home::with(&["one"]);
    let settings = KeyServiceSettings {
        bucket_key_lifetime: Duration::from_millis(50),
        ..KeyServiceSettings::default()
    };
    let service = KeyService::new(vec![home.setup("a")], settings, Arc::new(NoObserver)).unwrap();
    let kek = service.describe("one").await.unwrap();
    let first = service.sealing_bucket_key(&kek, BUCKET).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let second = service.sealing_bucket_key(&kek, BUCKET).await.unwrap();
    assert_ne!(first.wrapped.id, second.wrapped.id);
    let rotated = KeyRef {
        version: kek.version + 1,
        ..kek
    };
    // unknown: made anew, and not taken from the old version
    assert!(service.sealing_bucket_key(&rotated, BUCKET).await.is_err());
}

#[tokio::test]
async fn a_disabled_key_stops_writers_and_readers_once_it_is_purged() {
    let home = Home::with(&["one"]);
    let (service, _) = counted(&home);
    let kek = service.describe("one").await.unwrap();
    let (envelope, _) = sealed(&service, &kek, BUCKET).await;
    home.change("one", Change::Disable);
    service.purge(KeyId::from(&kek)).await;
    let refused = service.sealing_bucket_key(&kek, BUCKET).await.err();
    assert_eq!(refused, Some(KeyError::Disabled));
    assert_eq!(
        open(&service, &envelope, BUCKET).await,
        Err(KeyError::Disabled)
    );
}

/// What somebody with access to the storage can put together.
#[tokio::test]
async fn pieces_of_other_objects_open_nothing() {
    let home = Home::with(&["one"]);
    let (service, _) = counted(&home);
    let kek = service.describe("one").await.unwrap();
    let (mine, _) = sealed(&service, &kek, BUCKET).await;
    let (theirs, _) = sealed(&service, &kek, "theirs").await;
    let Wrapped::BucketKey {
        id,
        wrapped_bucket_key,
        wrapped,
    } = mine.wrapped().clone()
    else {
        panic!("a direct wrap");
    };
    let Wrapped::BucketKey {
        id: their_id,
        wrapped_bucket_key: their_key,
        ..
    } = theirs.wrapped().clone()
    else {
        panic!("a direct wrap");
    };
    let forged = |id: BucketKeyId, wrapped_bucket_key: Vec<u8>| {
        let wrapped = wrapped.clone();
        let last = Wrapped::BucketKey {
            id,
            wrapped_bucket_key,
            wrapped,
        };
        KeyEnvelope::new(mine.head().clone(), last).unwrap()
    };
    for (what, envelope) in [
        (
            "another bucket key's id",
            forged(their_id, wrapped_bucket_key.clone()),
        ),
        ("another bucket key", forged(id, their_key.clone())),
        ("another bucket's", forged(their_id, their_key)),
        ("no bucket key", forged(id, vec![0; 80])),
    ] {
        let refused = open(&service, &envelope, BUCKET).await;
        assert_eq!(refused, Err(KeyError::ContextMismatch), "{what}");
    }
    // The whole envelope in another bucket.
    let refused = open(&service, &mine, "theirs").await;
    assert_eq!(refused, Err(KeyError::ContextMismatch));
    let gone = open(&service, &forged(id, Vec::new()), BUCKET).await;
    assert_eq!(gone, Err(Outage::Registry.into()));
    assert!(open(&service, &mine, BUCKET).await.is_ok());
}

/// A registry in memory that can be broken.
#[derive(Default)]
struct Memory {
    entries: Mutex<HashMap<String, Vec<u8>>>,
    is_broken: std::sync::atomic::AtomicBool,
}

impl Memory {
    fn check(&self) -> Result<(), RegistryError> {
        if self.is_broken.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(RegistryError::Away("broken on purpose".to_owned()));
        }
        Ok(())
    }

    fn set_broken(&self, is_broken: bool) {
        let order = std::sync::atomic::Ordering::Relaxed;
        self.is_broken.store(is_broken, order);
    }
}

#[async_trait]
impl RegistryStore for Memory {
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        self.check()?;
        Ok(self.entries.lock().unwrap().get(name).cloned())
    }

    async fn put(&self, name: &str, entry: Vec<u8>) -> Result<(), RegistryError> {
        self.check()?;
        self.entries.lock().unwrap().insert(name.to_owned(), entry);
        Ok(())
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, RegistryError> {
        self.check()?;
        let entries = self.entries.lock().unwrap();
        let names = entries.keys().filter_map(|name| name.split_once('/'));
        let names = names.filter(|(of, _)| *of == folder);
        Ok(names.map(|(_, name)| name.to_owned()).collect())
    }
}

#[tokio::test]
async fn a_bucket_key_is_registered_before_its_first_use() {
    let home = Home::with(&["one"]);
    let (service, _) = counted(&home);
    let store = Arc::new(Memory::default());
    service.set_registry(Arc::clone(&store) as Arc<_>);
    let kek = service.describe("one").await.unwrap();
    store.set_broken(true);
    let refused = service.sealing_bucket_key(&kek, BUCKET).await.err();
    assert_eq!(refused, Some(Outage::Registry.into()));
    store.set_broken(false);
    let made = service.sealing_bucket_key(&kek, BUCKET).await.unwrap();
    let entries = store.entries.lock().unwrap().clone();
    let entry = &entries[&registry::name(BUCKET, &made.wrapped.id)];
    assert_eq!(registry::parse(entry), Some(made.wrapped));
    assert_eq!(entries.len(), 1);
}

#[tokio::test]
async fn a_newer_wrap_in_the_registry_wins_and_its_key_counts() {
    let home = Home::with(&["one", "two"]);
    let (writer, _) = counted(&home);
    let store = Arc::new(Memory::default());
    writer.set_registry(Arc::clone(&store) as Arc<_>);
    let one = writer.describe("one").await.unwrap();
    let two = writer.describe("two").await.unwrap();
    let (envelope, data_key) = sealed(&writer, &one, BUCKET).await;

    let registry = writer.registry().unwrap();
    let [id] = <[BucketKeyId; 1]>::try_from(registry.ids(BUCKET).await.unwrap()).unwrap();
    let entry = registry.find(BUCKET, &id).await.unwrap().entry.unwrap();
    let moved = writer
        .rewrap_bucket_key(&accepted(&one), &entry, &two, BUCKET)
        .await
        .unwrap();
    registry.put(BUCKET, &moved).await.unwrap();
    home.change("one", Change::Destroy);

    let (reader, _) = counted(&home);
    reader.set_registry(Arc::clone(&store) as Arc<_>);
    let current = reader.current_wrap(&envelope, BUCKET).await.unwrap();
    assert_eq!(current.kek(), &two);
    assert_eq!(
        open(&reader, &envelope, BUCKET).await,
        Ok(*data_key.expose())
    );
    // without the registry there is only what the object carries
    let (alone, _) = counted(&home);
    let refused = open(&alone, &envelope, BUCKET).await;
    assert_eq!(refused, Err(KeyError::Destroyed));
}

#[tokio::test]
async fn a_registry_that_is_away_or_lies_opens_no_more_than_the_object_itself() {
    let home = Home::with(&["one"]);
    let (service, _) = counted(&home);
    let kek = service.describe("one").await.unwrap();
    let (envelope, data_key) = sealed(&service, &kek, BUCKET).await;
    let (other, _) = sealed(&service, &kek, "theirs").await;
    let (
        Wrapped::BucketKey { id, .. },
        Wrapped::BucketKey {
            id: their_id,
            wrapped_bucket_key,
            ..
        },
    ) = (envelope.wrapped(), other.wrapped())
    else {
        panic!("direct wraps");
    };
    let theirs = WrappedBucketKey {
        id: *their_id,
        kek: kek.clone(),
        wrapped: WrappedDataKey(wrapped_bucket_key.clone()),
    };
    let as_mine = WrappedBucketKey {
        id: *id,
        ..theirs.clone()
    };
    let entry = |key: &WrappedBucketKey| registry::encode(key).unwrap();
    for (what, stored, opens) in [
        ("nothing", None, true),
        ("junk", Some(b"junk".to_vec()), true),
        (
            "the entry of another bucket key",
            Some(entry(&theirs)),
            true,
        ),
        (
            "another bucket key under this id",
            Some(entry(&as_mine)),
            false,
        ),
    ] {
        let store = Arc::new(Memory::default());
        if let Some(stored) = stored {
            store
                .put(&registry::name(BUCKET, id), stored)
                .await
                .unwrap();
        }
        service.set_registry(store);
        let opened = open(&service, &envelope, BUCKET).await;
        let expected = opens.then(|| *data_key.expose());
        assert_eq!(opened, expected.ok_or(KeyError::ContextMismatch), "{what}");
    }
    let away = Arc::new(Memory::default());
    away.set_broken(true);
    service.set_registry(away);
    assert_eq!(
        open(&service, &envelope, BUCKET).await,
        Ok(*data_key.expose())
    );
}

#[tokio::test]
async fn a_folder_keeps_entries_apart_by_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let store = RegistryFolder::new(folder.path().join("keys"));
    assert_eq!(store.names("a").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.get("a/00").await.unwrap(), None);
    store.put("a/00", b"one".to_vec()).await.unwrap();
    store.put("a/00", b"two".to_vec()).await.unwrap();
    store.put("b/01", b"three".to_vec()).await.unwrap();
    let found = store.get("a/00").await.unwrap();
    assert_eq!(found.as_deref(), Some(b"two".as_slice()));
    assert_eq!(store.names("a").await.unwrap(), ["00"]);
    assert_eq!(store.names("b").await.unwrap(), ["01"]);
}

#[test]
fn names_of_entries_leave_their_folder_by_no_bucket_name() {
    let id = [7; 16];
    assert_eq!(
        registry::name("photos-1.x", &id),
        "photos-1.x/07070707070707070707070707070707"
    );
    let mut names = std::collections::HashSet::new();
    for bucket in [
        "..", "../x", "a/b", "", ".hidden", "UPPER", "a b", "\u{e9}", "_x",
    ] {
        let name = registry::name(bucket, &id);
        assert!(
            name.starts_with('_') && name.len() == 1 + 64 + 1 + 32,
            "{name}"
        );
        assert!(names.insert(name), "{bucket}");
    }
}

proptest! {
    #[test]
    fn entries_have_one_encoding(
        id: [u8; 16],
        kek in "[a-z:/]{1,80}",
        version: u32,
        wrapped in proptest::collection::vec(any::<u8>(), 1..300),
        at: usize,
    ) {
        let key = WrappedBucketKey {
            id,
            kek: KeyRef { provider: ProviderKind::AwsKms, id: kek, version },
            wrapped: WrappedDataKey(wrapped),
        };
        let entry = registry::encode(&key).unwrap();
        prop_assert_eq!(registry::parse(&entry), Some(key));
        let cut = at % entry.len();
        prop_assert_eq!(registry::parse(&entry[..cut]), None);
        prop_assert_eq!(registry::parse(&[entry.as_slice(), &[0]].concat()), None);
    }
}
