//! Who we are to the upstream: fixed credentials, or ones that expire (of the AWS default chain, or of
//! a role), refreshed before they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::aws::{self, NoProvider};
use crate::config::upstream::Credentials as Configured;

/// There is nothing to sign with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The default chain found nothing.
    #[error(transparent)]
    NoProvider(#[from] NoProvider),
    /// The provider failed, and no earlier credentials are still valid.
    #[error("credentials: {0}")]
    Provider(#[from] aws_credential_types::provider::error::CredentialsError),
}

/// Where credentials come from.
pub enum CredentialSource {
    /// Fixed ones.
    Static(Arc<Credentials>),
    /// Ones that expire.
    Refreshed(Arc<Refreshed>),
}

/// Credentials of a provider, with the current ones at hand.
pub struct Refreshed {
    provider: SharedCredentialsProvider,
    current: ArcSwapOption<Credentials>,
    refreshing: AtomicBool,
    // Held only while there are no valid credentials: then everybody has to wait anyway.
    first: Mutex<()>,
}

impl CredentialSource {
    /// What the configuration says. Credentials that expire are asked for once here, so that a
    /// deployment without any fails at start.
    pub async fn new(configured: &Configured, region: &str) -> Result<Self, CredentialsError> {
        if let Configured::Static(own) = configured {
            return Ok(Self::Static(Arc::new(aws::fixed(own))));
        }
        let source = Arc::new(Refreshed {
            provider: aws::provider(configured, region).await?,
            current: ArcSwapOption::empty(),
            refreshing: AtomicBool::new(false),
            first: Mutex::new(()),
        });
        source.refresh().await?;
        Ok(Self::Refreshed(source))
    }

    /// Credentials that are valid now.
    pub async fn current(&self) -> Result<Arc<Credentials>, CredentialsError> {
        match self {
            Self::Static(credentials) => Ok(Arc::clone(credentials)),
            Self::Refreshed(source) => Refreshed::current(source).await,
        }
    }
}

impl Refreshed {
    async fn current(source: &Arc<Self>) -> Result<Arc<Credentials>, CredentialsError> {
        if let Some(current) = source.current.load_full() {
            let left = time_left(&current);
            if left.is_none_or(|left| left > REFRESH_BEFORE) {
                return Ok(current);
            }
            if left.is_some_and(|left| left > Duration::ZERO) {
                source.refresh_in_background();
                return Ok(current);
            }
        }
        let _turn = source.first.lock().await;
        match source.current.load_full() {
            Some(current) if time_left(&current).is_none_or(|left| left > Duration::ZERO) => {
                Ok(current)
            }
            Some(_) | None => source.refresh().await,
        }
    }

    /// At most one refresh at a time, and no request waits for it.
    fn refresh_in_background(self: &Arc<Self>) {
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let source = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = source.refresh().await {
                tracing::warn!(%error, "cannot refresh upstream credentials, keeping the old ones");
                // One attempt per pause: an outage must not become a storm of requests.
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            source.refreshing.store(false, Ordering::Release);
        });
    }

    async fn refresh(&self) -> Result<Arc<Credentials>, CredentialsError> {
        let fresh = Arc::new(self.provider.provide_credentials().await?);
        self.current.store(Some(Arc::clone(&fresh)));
        Ok(fresh)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "expiry is wall-clock time of the provider"
)]
fn time_left(credentials: &Credentials) -> Option<Duration> {
    let expiry = credentials.expiry()?;
    Some(
        expiry
            .duration_since(SystemTime::now())
            .unwrap_or(Duration::ZERO),
    )
}

/// Credentials are renewed this long before they expire.
const REFRESH_BEFORE: Duration = Duration::from_mins(5);

/// Between two failed refreshes.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
