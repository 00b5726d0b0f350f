//! Whether KMS answers, looked at now and then.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::keys::provider::KeyError;

/// What the last look said, and when it began.
pub(super) struct Health(Mutex<Look>);

struct Look {
    began: Instant,
    outcome: Result<(), KeyError>,
}

impl Health {
    /// As after a look at `now` that went well: a provider begins by asking for its keys.
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Look {
            began: now,
            outcome: Ok(()),
        }))
    }

    /// What the last look said. When that is some seconds ago, `look` begins in the background:
    /// who asks must not wait for a server that hangs.
    pub(super) fn current(
        self: &Arc<Self>,
        now: Instant,
        look: impl Future<Output = Result<(), KeyError>> + Send + 'static,
    ) -> Result<(), KeyError> {
        let outcome = {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if now.duration_since(last.began) < PAUSE {
                return last.outcome;
            }
            last.began = now;
            last.outcome
        };
        let health = Arc::clone(self);
        tokio::spawn(async move {
            let found = match look.await {
                // Too busy for this one, yet alive.
                Err(KeyError::Throttled) => Ok(()),
                found => found,
            };
            let mut last = health.0.lock().unwrap_or_else(PoisonError::into_inner);
            last.outcome = found;
        });
        outcome
    }
}

/// Longer than a look may take, so that there is one at a time.
const PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::provider::Outage;

    #[tokio::test]
    async fn looks_are_seldom_and_nobody_waits_for_them() {
        let down = Err(Outage::Unreachable.into());
        let start = Instant::now();
        let health = Arc::new(Health::new(start));
        for (seconds, next, outcome) in [
            (1, down, Ok(())),
            (10, down, Ok(())),
            (11, Ok(()), down),
            (20, Err(KeyError::Throttled), down),
            (30, down, Ok(())),
        ] {
            let now = start + Duration::from_secs(seconds);
            let found = health.current(now, async move { next });
            assert_eq!(found, outcome, "after {seconds} s");
            // Lets the look run, if there is one.
            tokio::task::yield_now().await;
        }
    }
}
