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
use tokio::time::{Instant, timeout};

use crate::aws::{self, NoProvider};
use crate::config::upstream::Credentials as Configured;

/// There is nothing to sign with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The default chain found nothing.
    #[error(transparent)]
    NoProvider(#[from] NoProvider),
    /// The provider failed a moment ago, and is not asked again yet.
    #[error("credentials could not be had a moment ago")]
    Away,
    /// The provider does not answer.
    #[error("credentials: no answer in time")]
    Late,
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
    /// Whose they are, for the log: where they are configured.
    whose: String,
    provider: SharedCredentialsProvider,
    current: ArcSwapOption<Credentials>,
    refreshing: AtomicBool,
    // Held only while there are no valid credentials: then everybody has to wait anyway.
    first: Mutex<LastFailure>,
    pace: Pace,
}

#[derive(Clone, Copy)]
struct Pace {
    /// Between two failed refreshes: an outage must not become a storm of requests.
    pause: Duration,
    /// For a provider to answer; its own library may wait for ever.
    patience: Duration,
}

const PACE: Pace = Pace {
    pause: Duration::from_secs(10),
    patience: Duration::from_secs(10),
};

/// When credentials could not be had, if that was the last that happened.
type LastFailure = Option<Instant>;

impl CredentialSource {
    /// What the configuration says of the deployment's own. Credentials that expire are asked for once
    /// here, so that a deployment without any fails at start.
    pub async fn new(configured: &Configured, region: &str) -> Result<Self, CredentialsError> {
        let source = Self::unasked("upstream.credentials", configured, region).await?;
        if let Self::Refreshed(source) = &source {
            source.refresh().await?;
        }
        Ok(source)
    }

    /// What the configuration says of one client's. They are asked for in the background: where they
    /// cannot be had, that is a matter of this client's requests and of no other's.
    pub async fn of_client(
        access_key_id: &str,
        configured: &Configured,
        region: &str,
    ) -> Result<Self, CredentialsError> {
        let whose = format!("upstream_credentials of the client {access_key_id}");
        let source = Self::unasked(&whose, configured, region).await?;
        if let Self::Refreshed(source) = &source {
            source.refresh_in_background();
        }
        Ok(source)
    }

    async fn unasked(
        whose: &str,
        configured: &Configured,
        region: &str,
    ) -> Result<Self, CredentialsError> {
        if let Configured::Static(own) = configured {
            return Ok(Self::Static(Arc::new(aws::fixed(own))));
        }
        let provider = aws::provider(configured, region).await?;
        let source = Refreshed::new(whose, provider, PACE);
        Ok(Self::Refreshed(Arc::new(source)))
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
    fn new(whose: &str, provider: SharedCredentialsProvider, pace: Pace) -> Self {
        Self {
            whose: whose.to_owned(),
            provider,
            current: ArcSwapOption::empty(),
            refreshing: AtomicBool::new(false),
            first: Mutex::new(None),
            pace,
        }
    }

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
        let mut failed = source.first.lock().await;
        if let Some(current) = source.current.load_full()
            && time_left(&current).is_none_or(|left| left > Duration::ZERO)
        {
            return Ok(current);
        }
        // Whoever waited here would only ask again what was just refused to the one before.
        if failed.is_some_and(|at| at.elapsed() < source.pace.pause) {
            return Err(CredentialsError::Away);
        }
        let fresh = source.refresh().await;
        *failed = fresh.is_err().then(Instant::now);
        if let Err(error) = &fresh {
            tracing::warn!(%error, whose = source.whose, "no credentials for the upstream");
        }
        fresh
    }

    /// At most one refresh at a time, and no request waits for it.
    fn refresh_in_background(self: &Arc<Self>) {
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let source = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = source.refresh().await {
                let whose = &source.whose;
                tracing::warn!(%error, whose, "cannot refresh credentials for the upstream");
                tokio::time::sleep(source.pace.pause).await;
            }
            source.refreshing.store(false, Ordering::Release);
        });
    }

    async fn refresh(&self) -> Result<Arc<Credentials>, CredentialsError> {
        let fetching = timeout(self.pace.patience, self.provider.provide_credentials());
        let fetched = fetching.await.map_err(|_| CredentialsError::Late)?;
        let fresh = Arc::new(fetched?);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use aws_credential_types::provider::error::CredentialsError as ProviderError;
    use aws_credential_types::provider::{Result as Provided, future};
    use futures_util::future::join_all;

    use super::*;

    /// Counts who asks; answers nobody, or says no.
    #[derive(Clone, Debug, Default)]
    struct Scripted {
        asked: Arc<AtomicUsize>,
        is_silent: bool,
    }

    impl Scripted {
        async fn answer(&self) -> Provided {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.is_silent {
                std::future::pending::<()>().await;
            }
            Err(ProviderError::provider_error("no"))
        }
    }

    impl ProvideCredentials for Scripted {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(self.answer())
        }
    }

    fn source(scripted: &Scripted, pace: Pace) -> CredentialSource {
        let provider = SharedCredentialsProvider::new(scripted.clone());
        CredentialSource::Refreshed(Arc::new(Refreshed::new("tests", provider, pace)))
    }

    #[tokio::test]
    async fn a_provider_that_fails_is_asked_once_a_pause() {
        let scripted = Scripted::default();
        let long = source(&scripted, PACE);
        let answers = join_all((0..50).map(|_| long.current())).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(scripted.asked.load(Ordering::Relaxed), 1);
        let no_pause = Pace {
            pause: Duration::ZERO,
            ..PACE
        };
        let short = source(&scripted, no_pause);
        for asked in 2..5 {
            assert!(short.current().await.is_err());
            assert_eq!(scripted.asked.load(Ordering::Relaxed), asked);
        }
    }

    #[tokio::test]
    async fn a_provider_that_is_silent_is_not_waited_for_for_ever() {
        let scripted = Scripted {
            is_silent: true,
            ..Scripted::default()
        };
        let impatient = Pace {
            patience: Duration::from_millis(1),
            ..PACE
        };
        let source = source(&scripted, impatient);
        let answers = join_all((0..50).map(|_| source.current())).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(scripted.asked.load(Ordering::Relaxed), 1);
    }
}
