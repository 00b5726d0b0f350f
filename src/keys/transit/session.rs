//! The login that all calls share: kept alive by one task, which alone logs in.
//!
//! A storm of logins after an outage is how peers took their Vault down. Here requests only ever
//! read the token; one that was refused tells the task, which asks the server about the token once
//! for all of them, and never more often than once in [`ASK_PERIOD`].

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::api::{Api, Refusal};
use super::login::{self, Lease, Token};
use crate::config::keys::TransitAuth;
use crate::keys::entropy::random_bytes;
use crate::keys::provider::{KeyError, Outage};
use crate::secret::Secret;

/// The shared login. The task ends with it.
pub(super) struct Session {
    state: watch::Receiver<State>,
    doubt: Arc<Notify>,
    task: AbortHandle,
}

/// A token in use.
pub(super) struct Login {
    pub(super) token: Secret<String>,
}

/// What requests see.
#[derive(Clone)]
enum State {
    /// Before the first answer.
    Beginning,
    /// No token; what the last attempt said.
    Out(KeyError),
    /// A token that the server knew at `asked`, and knows until `end` at least, unless it is revoked.
    In {
        login: Arc<Login>,
        asked: Instant,
        end: Instant,
    },
}

impl Session {
    pub(super) fn start(api: Api, auth: TransitAuth, provider: String) -> Self {
        let (publish, state) = watch::channel(State::Beginning);
        let doubt = Arc::new(Notify::new());
        let keeper = Keeper {
            api,
            auth,
            provider,
            publish,
            doubt: Arc::clone(&doubt),
        };
        Self {
            state,
            doubt,
            task: tokio::spawn(keeper.run()).abort_handle(),
        }
    }

    /// The token in use. Waits for the first answer only.
    pub(super) async fn login(&self) -> Result<Arc<Login>, KeyError> {
        let mut state = self.state.clone();
        let began = state.wait_for(|state| !matches!(state, State::Beginning));
        let state = match timeout(WAIT_MAX, began).await {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) | Err(_) => return Err(Outage::Unreachable.into()),
        };
        match state {
            State::In { login, .. } => Ok(login),
            State::Out(error) => Err(error),
            State::Beginning => Err(Outage::Unreachable.into()),
        }
    }

    /// Another token than `refused`, or the reason why there is none: [`KeyError::Denied`] if the
    /// server knows the token, so that its policy must have refused.
    pub(super) async fn after_refusal(&self, refused: &Arc<Login>) -> Result<Arc<Login>, KeyError> {
        let now = Instant::now();
        let mut state = self.state.clone();
        let is_news = |state: &State| match state {
            State::In { login, asked, end } => {
                !Arc::ptr_eq(login, refused) || *asked + ASK_PERIOD > now && now < *end
            }
            State::Out(_) => true,
            State::Beginning => false,
        };
        if !is_news(&state.borrow()) {
            self.doubt.notify_one();
        }
        let found = match timeout(WAIT_MAX, state.wait_for(is_news)).await {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) | Err(_) => return Err(Outage::Timeout.into()),
        };
        match found {
            State::In { login, .. } if !Arc::ptr_eq(&login, refused) => Ok(login),
            State::In { .. } => Err(KeyError::Denied),
            State::Out(error) => Err(error),
            State::Beginning => Err(Outage::Unreachable.into()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task that logs in, renews and answers doubts.
struct Keeper {
    api: Api,
    auth: TransitAuth,
    provider: String,
    publish: watch::Sender<State>,
    doubt: Arc<Notify>,
}

impl Keeper {
    async fn run(self) {
        let mut good_until = None;
        loop {
            let token = self.log_in(good_until).await;
            let login = Arc::new(Login {
                token: token.secret,
            });
            good_until = self.keep(&login, token.lease).await;
        }
    }

    /// Until it works: sooner at first, and no two proxies at the same moment.
    /// Meanwhile a token that is still good stays in use.
    async fn log_in(&self, good_until: Option<Instant>) -> Token {
        let mut waits = BACKOFF.build();
        loop {
            let error = match login::log_in(&self.api, &self.auth).await {
                Ok(token) => return token,
                Err(error) => error,
            };
            let wait = waits.next().unwrap_or(BACKOFF_MAX);
            tracing::warn!(
                provider = self.provider,
                error = %error,
                next_attempt_in = ?wait,
                "key provider: login failed"
            );
            if good_until.is_none_or(|end| Instant::now() >= end) {
                self.publish.send_replace(State::Out(error.meaning()));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Uses a login until the server does not know it any more, or is about to forget it: then it says
    /// how long the token is good.
    async fn keep(&self, login: &Arc<Login>, mut lease: Lease) -> Option<Instant> {
        let mut asked = Instant::now();
        loop {
            let end = asked + lease.ttl.unwrap_or(FOR_EVER);
            self.publish.send_replace(State::In {
                login: Arc::clone(login),
                asked,
                end,
            });
            let renewal = asked + before_the_end(lease.ttl.unwrap_or(FOR_EVER));
            let doubted = tokio::select! {
                () = tokio::time::sleep_until(renewal) => false,
                () = self.doubt.notified() => true,
            };
            let answer = if doubted || !lease.is_renewable {
                // A doubt that was raised before the last answer needs no other one.
                if doubted && asked.elapsed() < ASK_PERIOD && Instant::now() < end {
                    continue;
                }
                login::look_up(&self.api, &login.token).await
            } else {
                login::renew(&self.api, &login.token).await
            };
            match answer {
                Ok(new) => {
                    let must_replace = !doubted && !lengthens(new, end);
                    (asked, lease) = (Instant::now(), new);
                    if must_replace && self.can_log_in() {
                        return Some(asked + lease.ttl.unwrap_or(FOR_EVER));
                    }
                }
                Err(Refusal::Denied) => return None,
                // Nobody knows: the token stays in use until it is refused, and is asked about
                // again after a while.
                Err(Refusal::Key(_)) => {
                    tracing::warn!(
                        provider = self.provider,
                        "key provider: the login could not be renewed"
                    );
                    if Instant::now() >= end {
                        return None;
                    }
                    tokio::time::sleep(RENEWAL_PAUSE).await;
                }
            }
        }
    }

    /// Whether a new login can give a better token than the present one.
    fn can_log_in(&self) -> bool {
        match self.auth {
            TransitAuth::Token { .. } => false,
            TransitAuth::AppRole { .. } | TransitAuth::Kubernetes { .. } => true,
        }
    }
}

/// Whether a renewed lease ends noticeably later than `end`: near its greatest age a token's
/// renewals give less and less.
fn lengthens(lease: Lease, end: Instant) -> bool {
    lease
        .ttl
        .is_none_or(|ttl| Instant::now() + ttl > end + LEAST_GAIN)
}

/// Two thirds of a lease, a little more or less, so that many proxies do not come at once.
fn before_the_end(ttl: Duration) -> Duration {
    let jitter = random_bytes::<1>().map_or(0, |bytes| bytes.iter().copied().map(u32::from).sum());
    let renewal = ttl * (2 * 1024 - jitter) / (3 * 1024);
    renewal.max(RENEWAL_PAUSE)
}

const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(500))
    .with_max_delay(BACKOFF_MAX)
    .without_max_times()
    .with_jitter();

const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// How often the server is asked about a token that was refused, at most.
const ASK_PERIOD: Duration = Duration::from_secs(10);

/// How long a request waits for news about the login; its own time is five seconds.
const WAIT_MAX: Duration = Duration::from_secs(4);

/// Between attempts to renew.
const RENEWAL_PAUSE: Duration = Duration::from_secs(2);

/// A renewal that prolongs by less is the last one.
const LEAST_GAIN: Duration = Duration::from_secs(1);

/// A token without an end is asked about once a day.
const FOR_EVER: Duration = Duration::from_hours(24);
