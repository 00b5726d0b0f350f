//! The way to one provider: a bounded number of calls, each in time, repeated if its failure may
//! pass, and none for a while after outages.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::keys::breaker::{Breaker, Change, Moment, Pass, Verdict};
use crate::keys::entropy::random_bytes;
use crate::keys::observer::KeyObserver;
use crate::keys::provider::{KeyError, KeyProvider, Outage};
use crate::keys::service::state::{BreakerState, ProviderState};

/// One provider, and what stands before it.
pub(super) struct Line {
    name: String,
    provider: Arc<dyn KeyProvider>,
    observer: Arc<dyn KeyObserver>,
    timeout: Duration,
    places: Semaphore,
    breaker: Mutex<Breaker>,
    // What the last look said; none before the first.
    readiness: Mutex<Option<Result<(), KeyError>>>,
}

impl Line {
    pub(super) fn new(
        name: String,
        provider: Arc<dyn KeyProvider>,
        observer: Arc<dyn KeyObserver>,
        timeout: Duration,
    ) -> Self {
        Self {
            name,
            provider,
            observer,
            timeout,
            places: Semaphore::new(CALLS_MAX),
            breaker: Mutex::default(),
            readiness: Mutex::default(),
        }
    }

    /// The name of the provider in the configuration.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The label of the provider's kind.
    pub(super) fn kind(&self) -> &'static str {
        self.provider.kind().name()
    }

    /// Whether calls are refused now.
    pub(super) fn is_left_alone(&self) -> bool {
        self.refusal().is_some()
    }

    /// Whether the provider answers now, for which it is asked.
    pub(super) async fn ready(&self) -> Result<(), KeyError> {
        let found = self.ask("probe", KeyProvider::probe).await;
        *self.readiness() = Some(found);
        found
    }

    /// What is known without asking.
    pub(super) fn state(&self) -> ProviderState {
        let breaker = self.breaker();
        let is_open = breaker.is_open();
        let is_refusing = breaker.refusal(Instant::now().into_std()).is_some();
        drop(breaker);
        ProviderState {
            name: self.name.clone(),
            kind: self.provider.kind(),
            breaker: match (is_open, is_refusing) {
                (false, _) => BreakerState::Closed,
                (true, true) => BreakerState::Open,
                (true, false) => BreakerState::Trying,
            },
            readiness: *self.readiness(),
        }
    }

    /// A call that needs the provider: repeated twice if its failure may pass, all of it in time,
    /// waiting for a place included.
    ///
    /// The place is kept between repetitions: a provider that throttles is asked by fewer for it.
    pub(super) async fn call<'a, T, F>(
        &'a self,
        name: &'static str,
        call: impl Fn(&'a dyn KeyProvider) -> F,
    ) -> Result<T, KeyError>
    where
        F: Future<Output = Result<T, KeyError>>,
    {
        let deadline = Instant::now() + self.timeout;
        // Not only with a place: calls that hang may hold all of them.
        if let Some(outage) = self.refusal() {
            return Err(outage.into());
        }
        let _place = self.place(deadline).await?;
        let trial = self.admit(deadline)?;
        let may_repeat = |error: &KeyError| error.is_transient() && !self.breaker().is_open();
        let result = self.repeat(name, deadline, may_repeat, call).await;
        trial.end(&result);
        result
    }

    /// A question that providers answer from memory, or that shall be asked whatever happened
    /// before. Nothing is concluded from the answer.
    pub(super) async fn ask<'a, T, F>(
        &'a self,
        name: &'static str,
        call: impl Fn(&'a dyn KeyProvider) -> F,
    ) -> Result<T, KeyError>
    where
        F: Future<Output = Result<T, KeyError>>,
    {
        let deadline = Instant::now() + self.timeout;
        self.repeat(name, deadline, |error| error.is_transient(), call)
            .await
    }

    async fn repeat<'a, T, F>(
        &'a self,
        name: &'static str,
        deadline: Instant,
        may_repeat: impl FnMut(&KeyError) -> bool,
        call: impl Fn(&'a dyn KeyProvider) -> F,
    ) -> Result<T, KeyError>
    where
        F: Future<Output = Result<T, KeyError>>,
    {
        let attempt = || async {
            let started = Instant::now();
            let watch = self.observer.begin_call(self.kind(), name);
            let result = match timeout_at(deadline, call(self.provider.as_ref())).await {
                Ok(result) => result,
                Err(_elapsed) => Err(KeyError::Unavailable(Outage::Timeout)),
            };
            let outcome = result
                .as_ref()
                .map_or_else(|error| error.outcome(), |_| "ok");
            if let Some(watch) = watch {
                watch.end(outcome);
            }
            let seconds = started.elapsed().as_secs_f64();
            self.observer
                .provider_call(self.kind(), name, outcome, seconds);
            result
        };
        attempt.retry(RETRY).when(may_repeat).await
    }

    /// One of the calls that may be under way, in the order of asking.
    async fn place(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, KeyError> {
        match timeout_at(deadline, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            // Never closed; were it, nobody could call.
            Ok(Err(_)) | Err(_) => Err(Outage::Timeout.into()),
        }
    }

    fn refusal(&self) -> Option<Outage> {
        self.breaker().refusal(Instant::now().into_std())
    }

    fn admit(&self, deadline: Instant) -> Result<Trial<'_>, KeyError> {
        let pass = self.breaker().admit(moment())?;
        Ok(Trial {
            line: self,
            pass: Some(pass),
            began: Instant::now(),
            deadline,
        })
    }

    fn settle(&self, pass: Pass, verdict: Verdict) {
        let change = self.breaker().settle(pass, verdict, moment());
        let name = self.name.as_str();
        match change {
            Some(Change::Opened) => {
                tracing::warn!(name, "key provider: away, left alone for a moment");
            }
            Some(Change::Closed) => tracing::info!(name, "key provider: answers again"),
            None => {}
        }
    }

    /// As [`Self::breaker`].
    fn readiness(&self) -> MutexGuard<'_, Option<Result<(), KeyError>>> {
        let known = self.readiness.lock();
        known.unwrap_or_else(PoisonError::into_inner)
    }

    /// Held for a few instructions, never over an await.
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way, of which the breaker will hear how it ended.
struct Trial<'a> {
    line: &'a Line,
    pass: Option<Pass>,
    began: Instant,
    deadline: Instant,
}

impl Trial<'_> {
    fn end<T>(mut self, result: &Result<T, KeyError>) {
        let verdict = Verdict::of(result);
        let is_cut = verdict == TIMEOUT && Instant::now() >= self.deadline;
        self.settle(if is_cut { self.cut_short() } else { verdict });
    }

    /// What it says that we waited no longer: nothing, if the wait for a place left little time.
    fn cut_short(&self) -> Verdict {
        if self.began.elapsed() < self.line.timeout / 2 {
            return Verdict::Unclear;
        }
        TIMEOUT
    }

    fn settle(&mut self, verdict: Verdict) {
        if let Some(pass) = self.pass.take() {
            self.line.settle(pass, verdict);
        }
    }
}

/// Clients may be less patient than we are: a call that they gave up is as good as one that timed
/// out, if it had the time to be answered.
impl Drop for Trial<'_> {
    fn drop(&mut self) {
        let verdict = self.cut_short();
        self.settle(verdict);
    }
}

fn moment() -> Moment {
    let jitter = random_bytes::<1>().map_or(0, |bytes| {
        let [byte] = *bytes;
        byte
    });
    Moment {
        now: Instant::now().into_std(),
        jitter,
    }
}

const TIMEOUT: Verdict = Verdict::Away(Outage::Timeout);

/// Calls of one provider under way. More than any that answers needs (64 at 5 ms are 12,800 a
/// second), and no storm for one that does not when many cached keys end.
const CALLS_MAX: usize = 64;

/// Two more attempts, about 50 and 100 ms apart, spread so that many proxies do not come at once.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_millis(500))
    .with_max_times(2)
    .with_jitter();
