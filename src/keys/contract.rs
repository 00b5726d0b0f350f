//! What every key provider has to do: one suite, run against each of them.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::keys::provider::{KeyError, KeyProvider, Outage};
use crate::keys::types::{
    DataKey, FreshDataKey, KeyRef, ProviderKind, WrapContext, WrappedDataKey,
};

/// A provider with the key [`KEY`], and what its operator can do to it.
pub(crate) trait Subject: Send + Sync {
    fn provider(&self) -> Arc<dyn KeyProvider>;
    fn rotate(&self) -> impl Future<Output = ()> + Send;
    fn disable(&self) -> impl Future<Output = ()> + Send;
    fn enable(&self) -> impl Future<Output = ()> + Send;
    fn retire(&self, version: u32) -> impl Future<Output = ()> + Send;
    fn destroy(&self, version: u32) -> impl Future<Output = ()> + Send;
    /// Material that no text may show, in the forms in which it could be shown.
    fn secrets(&self) -> Vec<Vec<u8>>;
}

pub(crate) const KEY: &str = "default";
pub(crate) const ALIAS: &str = "alias/app";

pub(crate) fn context(text: &str) -> WrapContext {
    WrapContext {
        bytes: text.as_bytes().to_vec(),
        client: vec![("tenant".to_owned(), text.to_owned())],
        bucket: Some("photos".to_owned()),
        object_key: Some(text.to_owned()),
    }
}

/// Runs every promise, each on a fresh subject.
pub(crate) async fn run<S: Subject>(subject: impl Fn() -> S) {
    names_resolve(&subject()).await;
    round_trip(&subject()).await;
    wrong_context(&subject()).await;
    tampered_blob(&subject()).await;
    disabled_key(&subject()).await;
    old_version_unwraps_after_rotate(&subject()).await;
    rewrap_keeps_the_data_key(&subject()).await;
    retired_version_is_refused(&subject()).await;
    destroyed_differs_from_unknown(&subject()).await;
    throttling_is_retryable(&subject()).await;
    nothing_secret_is_shown(&subject()).await;
}

async fn names_resolve(subject: &impl Subject) {
    let provider = subject.provider();
    let key = provider.describe(KEY).await.unwrap();
    assert_eq!(key, provider.describe(ALIAS).await.unwrap());
    assert_eq!((key.provider, key.id.as_str()), (provider.kind(), KEY));
    assert_eq!(provider.describe("nobody").await, Err(KeyError::NotFound));
    provider.probe().await.unwrap();
}

async fn round_trip(subject: &impl Subject) {
    let provider = subject.provider();
    let key = provider.describe(KEY).await.unwrap();
    let fresh = provider.generate(&key, &context("a")).await.unwrap();
    let opened = provider
        .unwrap(&key, &fresh.wrapped, &context("a"))
        .await
        .unwrap();
    assert_eq!(opened.expose(), fresh.data_key.expose());

    let again = provider.generate(&key, &context("a")).await.unwrap();
    assert_ne!(again.data_key.expose(), fresh.data_key.expose());

    let own = DataKey::new([7; 32]);
    let wrapped = provider.wrap(&key, &own, &context("a")).await.unwrap();
    let twice = provider.wrap(&key, &own, &context("a")).await.unwrap();
    assert_ne!(wrapped, twice, "every wrap is under fresh randomness");
    let opened = provider
        .unwrap(&key, &wrapped, &context("a"))
        .await
        .unwrap();
    assert_eq!(opened.expose(), own.expose());
}

async fn wrong_context(subject: &impl Subject) {
    let provider = subject.provider();
    let key = provider.describe(KEY).await.unwrap();
    let fresh = provider.generate(&key, &context("a")).await.unwrap();
    let refused = provider.unwrap(&key, &fresh.wrapped, &context("b")).await;
    assert_eq!(refused.unwrap_err(), KeyError::ContextMismatch);
}

async fn tampered_blob(subject: &impl Subject) {
    let provider = subject.provider();
    let key = provider.describe(KEY).await.unwrap();
    let WrappedDataKey(good) = provider
        .generate(&key, &context("a"))
        .await
        .unwrap()
        .wrapped;
    let flipped = (0..good.len()).map(|at| {
        let mut blob = good.clone();
        blob[at] ^= 1;
        blob
    });
    let cut = (0..good.len()).map(|len| good[..len].to_vec());
    let extended = [[good.as_slice(), &[0]].concat()];
    for blob in flipped.chain(cut).chain(extended) {
        let refused = provider
            .unwrap(&key, &WrappedDataKey(blob), &context("a"))
            .await;
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, KeyError::ContextMismatch | KeyError::Malformed),
            "{refused:?}"
        );
    }
}

async fn disabled_key(subject: &impl Subject) {
    let provider = subject.provider();
    let key = provider.describe(KEY).await.unwrap();
    let fresh = provider.generate(&key, &context("a")).await.unwrap();
    subject.disable().await;
    let (data_key, a) = (DataKey::new([7; 32]), context("a"));
    assert_eq!(provider.describe(KEY).await, Err(KeyError::Disabled));
    assert_eq!(
        provider.generate(&key, &a).await.unwrap_err(),
        KeyError::Disabled
    );
    assert_eq!(
        provider.wrap(&key, &data_key, &a).await,
        Err(KeyError::Disabled)
    );
    assert_eq!(
        provider.unwrap(&key, &fresh.wrapped, &a).await.unwrap_err(),
        KeyError::Disabled
    );
    subject.enable().await;
    let opened = provider.unwrap(&key, &fresh.wrapped, &a).await.unwrap();
    assert_eq!(opened.expose(), fresh.data_key.expose());
}

async fn old_version_unwraps_after_rotate(subject: &impl Subject) {
    let provider = subject.provider();
    let old = provider.describe(KEY).await.unwrap();
    let fresh = provider.generate(&old, &context("a")).await.unwrap();
    subject.rotate().await;
    let new = provider.describe(KEY).await.unwrap();
    assert!(new.version > old.version);
    let opened = provider
        .unwrap(&old, &fresh.wrapped, &context("a"))
        .await
        .unwrap();
    assert_eq!(opened.expose(), fresh.data_key.expose());
    assert!(
        provider
            .unwrap(&new, &fresh.wrapped, &context("a"))
            .await
            .is_err()
    );
    let late = provider.generate(&old, &context("a")).await.unwrap_err();
    assert_eq!(late, KeyError::Unavailable(Outage::Superseded));
}

async fn rewrap_keeps_the_data_key(subject: &impl Subject) {
    let provider = subject.provider();
    let old = provider.describe(KEY).await.unwrap();
    let (a, b) = (context("a"), context("b"));
    let fresh = provider.generate(&old, &a).await.unwrap();
    subject.rotate().await;
    let new = provider.describe(KEY).await.unwrap();
    let moved = provider
        .rewrap((&old, &a), &fresh.wrapped, (&new, &b))
        .await
        .unwrap();
    let opened = provider.unwrap(&new, &moved, &b).await.unwrap();
    assert_eq!(opened.expose(), fresh.data_key.expose());
    assert!(provider.unwrap(&new, &moved, &a).await.is_err());
    let wrong = provider
        .rewrap((&old, &b), &fresh.wrapped, (&new, &b))
        .await;
    assert_eq!(wrong, Err(KeyError::ContextMismatch));
}

async fn retired_version_is_refused(subject: &impl Subject) {
    let provider = subject.provider();
    let old = provider.describe(KEY).await.unwrap();
    let fresh = provider.generate(&old, &context("a")).await.unwrap();
    subject.rotate().await;
    subject.retire(old.version).await;
    let refused = provider.unwrap(&old, &fresh.wrapped, &context("a")).await;
    assert_eq!(refused.unwrap_err(), KeyError::Disabled);
    let new = provider.describe(KEY).await.unwrap();
    provider.generate(&new, &context("a")).await.unwrap();
}

async fn destroyed_differs_from_unknown(subject: &impl Subject) {
    let provider = subject.provider();
    let old = provider.describe(KEY).await.unwrap();
    let fresh = provider.generate(&old, &context("a")).await.unwrap();
    subject.rotate().await;
    subject.destroy(old.version).await;
    let a = context("a");
    let unknown = KeyRef {
        version: 4711,
        ..old.clone()
    };
    let nobody = KeyRef {
        id: "nobody".to_owned(),
        ..old.clone()
    };
    let alias = KeyRef {
        id: ALIAS.to_owned(),
        ..old.clone()
    };
    for (key, expected) in [
        (old, KeyError::Destroyed),
        (unknown, KeyError::NotFound),
        (nobody, KeyError::NotFound),
        (alias, KeyError::NotFound),
    ] {
        assert_eq!(
            provider.unwrap(&key, &fresh.wrapped, &a).await.unwrap_err(),
            expected
        );
    }
}

async fn throttling_is_retryable(subject: &impl Subject) {
    let faulty = FaultyProvider::new(subject.provider()).fail([KeyError::Throttled]);
    let key = faulty.describe(KEY).await.unwrap_err();
    assert!(key.is_transient());
    assert_eq!(key, KeyError::Throttled);
    faulty.describe(KEY).await.unwrap();
}

async fn nothing_secret_is_shown(subject: &impl Subject) {
    let provider = subject.provider();
    let key = provider.describe(KEY).await.unwrap();
    let fresh = provider.generate(&key, &context("a")).await.unwrap();
    let mismatch = provider
        .unwrap(&key, &fresh.wrapped, &context("b"))
        .await
        .unwrap_err();
    let mut texts = vec![format!("{:?} {:?}", fresh.data_key, key)];
    for error in [mismatch, KeyError::Malformed, Outage::Unreachable.into()] {
        texts.push(format!(
            "{error} {error:?} {:?}",
            std::error::Error::source(&error)
        ));
    }
    let mut secrets = subject.secrets();
    secrets.extend(shown_forms(fresh.data_key.expose()));
    for (text, secret) in texts
        .iter()
        .flat_map(|t| secrets.iter().map(move |s| (t, s)))
    {
        let found = text
            .as_bytes()
            .windows(secret.len())
            .any(|window| window == secret);
        assert!(!found, "{text}");
    }
}

/// A secret as text would show it: raw, hex, base64 and as `Debug` prints bytes.
pub(crate) fn shown_forms(secret: &[u8]) -> Vec<Vec<u8>> {
    vec![
        secret.to_vec(),
        data_encoding::HEXLOWER.encode(secret).into_bytes(),
        data_encoding::HEXUPPER.encode(secret).into_bytes(),
        data_encoding::BASE64.encode(secret).into_bytes(),
        data_encoding::BASE64URL_NOPAD.encode(secret).into_bytes(),
        format!("{secret:?}").into_bytes(),
    ]
}

/// A provider that counts calls, fails the next ones as told and takes its time.
pub(crate) struct FaultyProvider {
    inner: Arc<dyn KeyProvider>,
    faults: Mutex<VecDeque<KeyError>>,
    delay: Duration,
    calls: AtomicUsize,
}

impl FaultyProvider {
    pub(crate) fn new(inner: Arc<dyn KeyProvider>) -> Self {
        Self {
            inner,
            faults: Mutex::default(),
            delay: Duration::ZERO,
            calls: AtomicUsize::new(0),
        }
    }

    /// The next calls fail with these, one each.
    pub(crate) fn fail(self, faults: impl IntoIterator<Item = KeyError>) -> Self {
        self.faults.lock().unwrap().extend(faults);
        self
    }

    /// Every call takes at least this long.
    pub(crate) fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn enter(&self) -> Result<(), KeyError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        self.faults.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl KeyProvider for FaultyProvider {
    fn kind(&self) -> ProviderKind {
        self.inner.kind()
    }

    async fn describe(&self, name: &str) -> Result<KeyRef, KeyError> {
        self.enter().await?;
        self.inner.describe(name).await
    }

    async fn generate(
        &self,
        key: &KeyRef,
        context: &WrapContext,
    ) -> Result<FreshDataKey, KeyError> {
        self.enter().await?;
        self.inner.generate(key, context).await
    }

    async fn wrap(
        &self,
        key: &KeyRef,
        data_key: &DataKey,
        context: &WrapContext,
    ) -> Result<WrappedDataKey, KeyError> {
        self.enter().await?;
        self.inner.wrap(key, data_key, context).await
    }

    async fn unwrap(
        &self,
        key: &KeyRef,
        wrapped: &WrappedDataKey,
        context: &WrapContext,
    ) -> Result<DataKey, KeyError> {
        self.enter().await?;
        self.inner.unwrap(key, wrapped, context).await
    }

    async fn probe(&self) -> Result<(), KeyError> {
        self.enter().await?;
        self.inner.probe().await
    }
}
