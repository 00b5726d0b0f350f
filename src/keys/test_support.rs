//! What tests of this room share: a context, a faulty provider, the ways to show a secret.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::keys::provider::{KeyError, KeyProvider};
use crate::keys::types::{
    DataKey, FreshDataKey, KeyRef, ProviderKind, WrapContext, WrappedDataKey,
};

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
        self.fail_next(faults);
        self
    }

    /// The same, later.
    pub(crate) fn fail_next(&self, faults: impl IntoIterator<Item = KeyError>) {
        self.faults.lock().unwrap().extend(faults);
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
