//! Watches the configuration and the files that it names, and has a change taken over.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::live::{Fresh, Live};
use super::{StartError, with_causes};
use crate::config::ConfigError;
use crate::config::origin::{Files, Origin};
use crate::server::wake::every;
use crate::telemetry::metrics::Metrics;

/// The watch over the files of a running proxy.
pub(super) struct Reloader {
    live: Live,
    /// What was last read, whether it could be used or not.
    read: Files,
    /// What was seen when we looked last.
    seen: Files,
    is_stale: bool,
    retry: Option<Retry>,
}

/// Why to read the configuration although its files are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nudge {
    /// By SIGHUP.
    Asked,
    /// A keyring was taken over: its keys may be what was missing.
    OtherKeys,
}

/// When to try again what the world around the files had refused.
#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    pause: Duration,
}

/// Why everybody goes on with the configuration before.
enum Refusal {
    Config(ConfigError),
    Start(Files, StartError),
    /// Something changed while it was read: it is read again once it is still.
    Restless,
    /// Reading it failed: a bug.
    Died(Files),
}

impl Reloader {
    /// Watches the files that this was made of.
    pub(super) fn new(live: Live) -> Self {
        let read = live.origin.files.clone();
        Self {
            seen: read.clone(),
            read,
            live,
            is_stale: false,
            retry: None,
        }
    }

    /// Looks after the files until it is aborted.
    pub(super) async fn watch(mut self, mut nudges: mpsc::Receiver<Nudge>, metrics: &Metrics) {
        let mut ticks = every(PERIOD);
        loop {
            let nudge = tokio::select! {
                _ = ticks.tick() => None,
                nudge = nudges.recv() => nudge,
            };
            self.look(nudge, metrics).await;
        }
    }

    /// Reads the configuration again if one of its files has changed and is not being written any
    /// more: a file that is half there may be a good one that says something else.
    async fn look(&mut self, nudge: Option<Nudge>, metrics: &Metrics) {
        let Some(now) = blocking(self.read.clone(), |read| read.now()).await else {
            return;
        };
        let is_still = now == self.seen;
        self.seen = now;
        let is_changed = self.seen != self.read && is_still;
        let is_due = self.retry.is_some_and(|retry| retry.at <= Instant::now());
        let is_nudged = match nudge {
            None => false,
            Some(Nudge::Asked) => true,
            Some(Nudge::OtherKeys) => self.is_stale,
        };
        if is_changed || is_due || is_nudged {
            self.reload(metrics).await;
        }
    }

    async fn reload(&mut self, metrics: &Metrics) {
        let before = self.seen.clone();
        let outcome = self.try_reload().await;
        let files = match &outcome {
            Ok(_) => self.live.origin.files.clone(),
            // What stays in use is watched as well: either may be what comes next.
            Err(Refusal::Config(error)) => before.with(&error.files),
            Err(Refusal::Start(files, _)) => before.with(files),
            Err(Refusal::Died(files)) => files.clone(),
            Err(Refusal::Restless) => return,
        };
        self.read = files.clone();
        self.seen = files;
        self.is_stale = outcome.is_err();
        metrics.config_reloaded(!self.is_stale);
        let is_passing = outcome.as_ref().is_err_and(Refusal::is_passing);
        self.retry = is_passing.then(|| Retry::after(self.retry));
        match outcome {
            Ok(waiting) if waiting.is_empty() => tracing::info!("configuration reloaded"),
            Ok(waiting) => tracing::warn!(
                waiting = waiting.join(", "),
                "configuration reloaded; what these keys say needs a restart, and was not taken over"
            ),
            Err(refusal) => refusal.log(),
        }
    }

    async fn try_reload(&mut self) -> Result<Vec<String>, Refusal> {
        let (origin, seen) = (self.live.origin.clone(), self.seen.clone());
        let reading = blocking(origin, |origin| read(&origin));
        let fresh = reading.await.unwrap_or(Err(Refusal::Died(seen)))?;
        for warning in &fresh.config.warnings {
            tracing::warn!("{warning}");
        }
        let files = fresh.config.origin.files.clone();
        let replacing = Box::pin(self.live.replace(fresh));
        let replaced = replacing.await;
        replaced.map_err(|error| Refusal::Start(files, error))
    }
}

/// The configuration with everything that it names. Blocks.
fn read(origin: &Origin) -> Result<Fresh, Refusal> {
    let config = origin.load_again().map_err(Refusal::Config)?;
    let files = config.origin.files.clone();
    let fresh = Fresh::read(config);
    if files.now() != files {
        return Err(Refusal::Restless);
    }
    fresh.map_err(|error| Refusal::Start(files, error))
}

impl Retry {
    fn after(before: Option<Self>) -> Self {
        let pause = before.map_or(PAUSE, |before| PAUSE_MAX.min(before.pause * 2));
        let at = Instant::now() + pause;
        Self { at, pause }
    }
}

impl Refusal {
    /// Whether the same files may do another time.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Start(_, error) if !error.is_configuration())
    }

    fn log(&self) {
        match self {
            Self::Config(error) => {
                for problem in &error.problems {
                    tracing::error!(%problem, "{KEPT}");
                }
            }
            Self::Start(_, error) => tracing::error!(problem = with_causes(error), "{KEPT}"),
            Self::Died(_) => tracing::error!(problem = "a bug: please report it", "{KEPT}"),
            Self::Restless => {}
        }
    }
}

/// Runs what reads files where it keeps nobody waiting. `None` if it panicked.
async fn blocking<T: Send + 'static, R: Send + 'static>(
    argument: T,
    read: impl FnOnce(T) -> R + Send + 'static,
) -> Option<R> {
    let reading = tokio::task::spawn_blocking(move || read(argument));
    reading.await.ok()
}

const KEPT: &str = "changed configuration not taken over; the one before stays in use";

/// How long a changed file goes unnoticed, and has to be still.
const PERIOD: Duration = Duration::from_secs(1);

/// Before the same files are tried again, doubled each time.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_mins(5);
