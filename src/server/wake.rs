//! What makes a process look after its files: a clock, and SIGHUP.

use std::future::pending;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior};

/// A clock that does not hurry after it was late.
pub fn every(period: Duration) -> Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// SIGHUP, where the system lets it be watched.
pub struct Hangup(Option<Signal>);

impl Hangup {
    /// From here on. To be made before the first wait: unwatched, the signal would end the process.
    pub fn watch() -> Self {
        Self(signal(SignalKind::hangup()).ok())
    }

    /// Resolves with the next one.
    pub async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => pending().await,
        }
    }
}
