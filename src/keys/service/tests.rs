//! Routing, caching, retries and time limits, against the local provider and a faulty one.

use std::sync::Mutex;

use tempfile::TempDir;
use time::OffsetDateTime;

use super::*;
use crate::keys::local::{Change, LocalProvider, Material, NewKey, WhenMissing, update};
use crate::keys::observer::NoObserver;
use crate::keys::policy::{Accepted, AcceptedKeys, OpenPolicy};
use crate::keys::provider::Outage;
use crate::keys::test_support::{ALIAS, FaultyProvider, context};
use crate::keys::types::{Binding, Mode, ProviderKind};

mod bucket_keys;
mod outages;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

/// A local provider with the keys `ids`; the first has an alias.
struct Home {
    folder: TempDir,
    provider: Arc<LocalProvider>,
}

impl Home {
    fn with(ids: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring.json");
        for (index, id) in ids.iter().enumerate() {
            let aliases = if index == 0 {
                vec![ALIAS.to_owned()]
            } else {
                Vec::new()
            };
            let key = NewKey {
                id: (*id).to_owned(),
                aliases,
                description: String::new(),
            };
            let material = Material::generate().unwrap();
            update(&path, WhenMissing::Create, |ring| {
                ring.create(key, material, NOW)
            })
            .unwrap();
        }
        let provider = Arc::new(LocalProvider::open(&path).unwrap());
        Self { folder, provider }
    }

    fn change(&self, id: &str, change: Change) {
        let path = self.folder.path().join("keyring.json");
        update(&path, WhenMissing::Refuse, |ring| {
            ring.change(id, None, change)
        })
        .unwrap();
        let changed = self.provider.read_if_changed().unwrap();
        self.provider.take_over(changed.unwrap());
    }

    fn setup(&self, name: &str) -> ProviderSetup {
        self.setup_with(name, Arc::clone(&self.provider) as Arc<dyn KeyProvider>)
    }

    fn setup_with(&self, name: &str, provider: Arc<dyn KeyProvider>) -> ProviderSetup {
        ProviderSetup {
            name: name.to_owned(),
            provider,
            foreign: None,
            served: self.provider.served(),
        }
    }
}

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

impl KeyObserver for Recorder {
    fn provider_call(
        &self,
        provider: &'static str,
        call: &'static str,
        outcome: &'static str,
        seconds: f64,
    ) {
        assert!(seconds >= 0.0);
        self.note(format!("{provider} {call} {outcome}"));
    }

    fn cache_hit(&self) {
        self.note("hit".to_owned());
    }

    fn cache_miss(&self) {
        self.note("miss".to_owned());
    }

    fn cache_stale(&self) {
        self.note("stale".to_owned());
    }

    fn cache_entries(&self, entries: u64) {
        self.note(format!("entries {entries}"));
    }

    fn open_breakers(&self, provider: &'static str, count: usize) {
        if count > 0 {
            self.note(format!("{provider} {count} open"));
        }
    }
}

fn service(setups: Vec<ProviderSetup>, observer: Arc<dyn KeyObserver>) -> KeyService {
    KeyService::new(setups, KeyServiceSettings::default(), observer).unwrap()
}

fn accepted(key: &KeyRef) -> AcceptedKey {
    let policy = OpenPolicy {
        accepted: AcceptedKeys::new(None, [key.into()]),
        least_binding: Binding::None,
    };
    match policy.check(key, Mode::NamedKey, Binding::None).unwrap() {
        Accepted::Configured(key) => key,
        Accepted::Customer => panic!("a configured key"),
    }
}

struct Stored {
    key: AcceptedKey,
    wrapped: WrappedDataKey,
    context: WrapContext,
    data_key: DataKey,
}

async fn stored(service: &KeyService, name: &str) -> Stored {
    let key = service.describe(name).await.unwrap();
    let context = context("a");
    let FreshDataKey { data_key, wrapped } = service.generate(&key, &context).await.unwrap();
    Stored {
        key: accepted(&key),
        wrapped,
        context,
        data_key,
    }
}

impl Stored {
    fn request<'a>(&'a self, grant: &'a [u8]) -> UnwrapRequest<'a> {
        UnwrapRequest {
            key: &self.key,
            wrapped: &self.wrapped,
            context: &self.context,
            header: b"header",
            envelope: b"envelope",
            grant,
        }
    }
}

#[tokio::test]
async fn names_lead_to_the_provider_that_serves_them() {
    let (one, two) = (Home::with(&["one"]), Home::with(&["two"]));
    let mut second = two.setup("b");
    second.served[0].aliases.clear();
    let service = service(vec![one.setup("a"), second], Arc::new(NoObserver));
    assert_eq!(service.describe("one").await.unwrap().id, "one");
    assert_eq!(service.describe(ALIAS).await.unwrap().id, "one");
    assert_eq!(service.describe("two").await.unwrap().id, "two");
    assert_eq!(service.describe("three").await, Err(KeyError::NotFound));
    assert_eq!(service.resolve(ALIAS), service.resolve("one"));
    assert_eq!(service.resolve("three"), None);

    let stored = stored(&service, "one").await;
    let mut elsewhere = service.describe("one").await.unwrap();
    elsewhere.provider = ProviderKind::AwsKms;
    for key in [
        elsewhere,
        KeyRef {
            id: ALIAS.to_owned(),
            ..stored.key.key().clone()
        },
    ] {
        assert_eq!(
            service.generate(&key, &context("a")).await.unwrap_err(),
            KeyError::NotFound
        );
        let key = accepted(&key);
        let request = UnwrapRequest {
            key: &key,
            ..stored.request(b"")
        };
        assert_eq!(
            service.unwrap(request).await.unwrap_err(),
            KeyError::NotFound
        );
    }
}

#[test]
fn names_that_two_keys_share_and_missing_ones_are_refused() {
    let (one, two) = (Home::with(&["one"]), Home::with(&["two", "one"]));
    let build = |setups, default: Option<&str>, managed: Option<&str>| {
        let settings = KeyServiceSettings {
            roles: Roles {
                default: default.map(str::to_owned),
                managed: managed.map(str::to_owned),
                former_managed: Vec::new(),
            },
            ..KeyServiceSettings::default()
        };
        KeyService::new(setups, settings, Arc::new(NoObserver)).err()
    };
    let mut unaliased = two.setup("b");
    unaliased.served[0].aliases.clear();
    let same_id = build(vec![one.setup("a"), unaliased], None, None);
    assert_eq!(same_id, Some(RouteError::DuplicateName("one".to_owned())));
    let mut other = two.setup("b");
    other.served.truncate(1);
    let same_alias = build(vec![one.setup("a"), other], None, None);
    assert_eq!(
        same_alias,
        Some(RouteError::DuplicateName(ALIAS.to_owned()))
    );

    assert_eq!(build(vec![two.setup("b")], Some(ALIAS), Some("one")), None);
    let unknown = Some(RouteError::UnknownKey("x".to_owned()));
    assert_eq!(build(vec![one.setup("a")], Some("x"), None), unknown);
    assert_eq!(build(vec![one.setup("a")], None, Some("x")), unknown);
    let both = Some(RouteError::ManagedIsNamed("one".to_owned()));
    assert_eq!(build(vec![one.setup("a")], Some("one"), Some(ALIAS)), both);
}

#[tokio::test]
async fn reloaded_names_are_swapped_as_a_whole_or_not_at_all() {
    let home = Home::with(&["one"]);
    let settings = KeyServiceSettings {
        roles: Roles {
            default: Some("one".to_owned()),
            ..Roles::default()
        },
        ..Default::default()
    };
    let service = KeyService::new(vec![home.setup("a")], settings, Arc::new(NoObserver)).unwrap();
    let served = |id: &str| ServedKey {
        id: id.to_owned(),
        aliases: Vec::new(),
    };
    service
        .set_served("a", vec![served("one"), served("new")])
        .unwrap();
    assert!(service.resolve("new").is_some());
    assert!(service.resolve(ALIAS).is_none());
    for (provider, keys) in [
        ("a", vec![served("new")]),
        ("a", vec![served("one"), served("one")]),
        ("b", vec![served("one")]),
    ] {
        assert!(service.set_served(provider, keys).is_err());
        assert!(service.resolve("new").is_some());
        assert!(service.default_key().is_some());
    }
}

#[tokio::test]
async fn a_data_key_is_unwrapped_once_per_grant_and_again_after_a_purge() {
    let home = Home::with(&["one"]);
    let recorder = Arc::new(Recorder::default());
    let service = service(vec![home.setup("a")], recorder.clone());
    let stored = stored(&service, "one").await;
    recorder.take();
    for grant in [b"alice", b"alice", b"carol"] {
        let opened = service.unwrap(stored.request(grant)).await.unwrap();
        assert_eq!(opened.data_key().expose(), stored.data_key.expose());
    }
    let unwrap = "local unwrap ok";
    assert_eq!(recorder.take(), [unwrap, "miss", "hit", unwrap, "miss"]);
    service.maintain().await;
    assert_eq!(recorder.take(), ["entries 2"]);

    home.change("one", Change::Disable);
    service.unwrap(stored.request(b"alice")).await.unwrap();
    service.purge(stored.key.key().into()).await;
    assert_eq!(recorder.take(), ["hit", "entries 0"]);
    let refused = service.unwrap(stored.request(b"alice")).await;
    assert_eq!(refused.unwrap_err(), KeyError::Disabled);
    assert_eq!(recorder.take(), ["local unwrap disabled", "miss"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_concurrent_unwraps_call_the_provider_once() {
    let home = Home::with(&["one"]);
    let slow = FaultyProvider::new(Arc::clone(&home.provider) as Arc<dyn KeyProvider>);
    let slow = Arc::new(slow.delay(Duration::from_millis(50)));
    let service = Arc::new(service(
        vec![home.setup_with("a", slow.clone())],
        Arc::new(NoObserver),
    ));
    let stored = Arc::new(stored(&service, "one").await);
    let before = slow.calls();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (service, stored) = (service.clone(), stored.clone());
            tokio::spawn(async move { service.unwrap(stored.request(b"")).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(
            task.await.unwrap().unwrap().data_key().expose(),
            stored.data_key.expose()
        );
    }
    assert_eq!(slow.calls() - before, 1);
}

fn faulty(home: &Home, faults: &[KeyError], delay: Duration) -> Arc<FaultyProvider> {
    let inner = Arc::clone(&home.provider) as Arc<dyn KeyProvider>;
    Arc::new(
        FaultyProvider::new(inner)
            .fail(faults.iter().copied())
            .delay(delay),
    )
}

#[tokio::test]
async fn only_passing_failures_are_repeated_and_only_twice() {
    let throttled = KeyError::Throttled;
    let unreachable = KeyError::Unavailable(Outage::Unreachable);
    for (faults, calls, outcome) in [
        (vec![], 1, None),
        (vec![throttled], 2, None),
        (vec![throttled, unreachable], 3, None),
        (vec![throttled; 3], 3, Some(throttled)),
        (vec![unreachable; 9], 3, Some(unreachable)),
        (vec![KeyError::Denied; 9], 1, Some(KeyError::Denied)),
        (
            vec![KeyError::Unavailable(Outage::Entropy)],
            1,
            Some(Outage::Entropy.into()),
        ),
        (
            vec![throttled, KeyError::Disabled],
            2,
            Some(KeyError::Disabled),
        ),
    ] {
        let home = Home::with(&["one"]);
        let provider = faulty(&home, &faults, Duration::ZERO);
        let service = service(
            vec![home.setup_with("a", provider.clone())],
            Arc::new(NoObserver),
        );
        assert_eq!(service.describe("one").await.err(), outcome, "{faults:?}");
        assert_eq!(provider.calls(), calls, "{faults:?}");
    }
}

/// A service that gives its provider `timeout`.
fn hurried(setup: ProviderSetup, timeout: Duration, observer: Arc<dyn KeyObserver>) -> KeyService {
    let settings = KeyServiceSettings {
        provider_timeout: timeout,
        ..Default::default()
    };
    KeyService::new(vec![setup], settings, observer).unwrap()
}

#[tokio::test]
async fn a_hanging_provider_is_given_up_in_time() {
    let home = Home::with(&["one"]);
    let recorder = Arc::new(Recorder::default());
    let setup = home.setup_with("a", faulty(&home, &[], Duration::from_hours(1)));
    let service = hurried(setup, Duration::from_millis(100), recorder.clone());
    let timeout = KeyError::Unavailable(Outage::Timeout);
    assert_eq!(service.describe("one").await, Err(timeout));
    assert_eq!(service.ready().await, Err(timeout));
    assert_eq!(
        recorder.take(),
        ["local describe timeout", "local probe timeout"]
    );
}

#[tokio::test]
async fn retries_do_not_outlast_the_time_limit() {
    let home = Home::with(&["one"]);
    let slow = faulty(&home, &[KeyError::Throttled; 9], Duration::from_millis(400));
    let recorder = Arc::new(Recorder::default());
    let setup = home.setup_with("a", slow.clone());
    let service = hurried(setup, Duration::from_millis(500), recorder.clone());
    let refused = service.describe("one").await.unwrap_err();
    assert_eq!(refused, KeyError::Unavailable(Outage::Timeout));
    assert_eq!(slow.calls(), 2);
    assert_eq!(
        recorder.take(),
        ["local describe throttled", "local describe timeout"]
    );
}

#[tokio::test]
async fn rewrapping_keeps_the_data_key_within_and_across_providers() {
    let (one, two) = (Home::with(&["one", "uno"]), Home::with(&["two"]));
    let recorder = Arc::new(Recorder::default());
    let mut second = two.setup("b");
    second.served[0].aliases.clear();
    let service = service(vec![one.setup("a"), second], recorder.clone());
    let stored = stored(&service, "one").await;
    for (target, calls) in [
        ("uno", ["local describe ok", "local rewrap ok"].as_slice()),
        (
            "two",
            &["local describe ok", "local unwrap ok", "local wrap ok"],
        ),
    ] {
        recorder.take();
        let to = service.describe(target).await.unwrap();
        let b = context("b");
        let from = (&stored.key, &stored.context);
        let wrapped = service
            .rewrap(from, &stored.wrapped, (&to, &b))
            .await
            .unwrap();
        assert_eq!(recorder.take(), calls);
        let key = accepted(&to);
        let request = UnwrapRequest {
            key: &key,
            wrapped: &wrapped,
            context: &b,
            ..stored.request(b"")
        };
        let opened = service.unwrap(request).await.unwrap();
        assert_eq!(opened.data_key().expose(), stored.data_key.expose());
    }
}

#[tokio::test]
async fn the_self_test_uses_every_key_and_needs_the_configured_ones() {
    let home = Home::with(&["one", "two", "old"]);
    let recorder = Arc::new(Recorder::default());
    let settings = KeyServiceSettings {
        roles: Roles {
            default: Some(ALIAS.to_owned()),
            managed: Some("two".to_owned()),
            former_managed: Vec::new(),
        },
        ..KeyServiceSettings::default()
    };
    let service = KeyService::new(vec![home.setup("a")], settings, recorder.clone()).unwrap();
    service.probe().await.unwrap();
    let unwraps = recorder.take();
    assert_eq!(
        unwraps
            .iter()
            .filter(|call| *call == "local unwrap ok")
            .count(),
        3
    );

    home.change("old", Change::Destroy);
    service.probe().await.unwrap();
    for needed in ["two", "one"] {
        home.change(needed, Change::Disable);
        let refused = service.probe().await.unwrap_err();
        assert_eq!(
            (refused.key.id.as_str(), refused.source),
            (needed, KeyError::Disabled.into())
        );
    }
}
