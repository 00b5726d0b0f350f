//! Watches the configuration and the files that it names, and has a change taken over.

use super::live::Live;
use super::{StartError, with_causes};
use crate::config::origin::{Files, Origin};
use crate::config::{Config, ConfigError};
use crate::telemetry::metrics::Metrics;

/// The watch over the files of a running proxy.
pub(super) struct Reloader {
    live: Live,
    /// What was last read, whether it could be used or not.
    read: Files,
    /// What was seen when we looked last.
    seen: Files,
    is_stale: bool,
}

/// Why everybody goes on with the configuration before.
enum Refusal {
    Config(ConfigError),
    Start(Files, StartError),
    /// Something changed while it was read: it is read again once it is still.
    Restless,
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
        }
    }

    /// Looks at the files, and reads the configuration again if one has changed and is not being
    /// written any more: a file that is half there may be a good one that says something else.
    ///
    /// `is_asked` reads it in any case; `has_other_keys` once more if that failed before.
    pub(super) async fn look(&mut self, is_asked: bool, has_other_keys: bool, metrics: &Metrics) {
        let Some(now) = blocking(self.read.clone(), Files::now).await else {
            return;
        };
        let is_still = now == self.seen;
        self.seen = now;
        let is_changed = self.seen != self.read && is_still;
        if is_asked || is_changed || self.is_stale && has_other_keys {
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
            Err(Refusal::Restless) => return,
        };
        self.read = files.clone();
        self.seen = files;
        self.is_stale = outcome.is_err();
        metrics.config_reloaded(!self.is_stale);
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
        let reading = blocking(self.live.origin.clone(), Origin::load_again);
        let config: Config = reading
            .await
            .ok_or(Refusal::Restless)?
            .map_err(Refusal::Config)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let read = config.origin.files.clone();
        let is_still = blocking(read.clone(), |read| read.now() == *read).await;
        if is_still != Some(true) {
            return Err(Refusal::Restless);
        }
        let replacing = Box::pin(self.live.replace(config));
        let replaced = replacing.await;
        replaced.map_err(|error| Refusal::Start(read, error))
    }
}

impl Refusal {
    fn log(&self) {
        match self {
            Self::Config(error) => {
                for problem in &error.problems {
                    tracing::error!(%problem, "{KEPT}");
                }
            }
            Self::Start(_, error) => tracing::error!(problem = with_causes(error), "{KEPT}"),
            Self::Restless => {}
        }
    }
}

/// Runs what reads files where it keeps nobody waiting. `None` if it panicked.
async fn blocking<T: Send + 'static, R: Send + 'static>(
    argument: T,
    read: impl FnOnce(&T) -> R + Send + 'static,
) -> Option<R> {
    let reading = tokio::task::spawn_blocking(move || read(&argument));
    reading.await.ok()
}

const KEPT: &str = "changed configuration not taken over; the one before stays in use";
