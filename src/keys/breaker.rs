//! When a provider that is away is left alone: a state machine without clock, chance or lock.
//!
//! ```text
//! closed --three outages in a row--> open: calls are refused with the outage that was seen last
//! open   --its time is over--------> one call is let through, and the time begins anew, doubled
//! open   --any answer--------------> closed
//! ```
//! The time begins anew when the one call is let through, not when it fails: one that hangs delays
//! the recovery by no more than the open time itself.

use std::time::{Duration, Instant};

use crate::keys::provider::{KeyError, Outage};

/// The breaker of one provider.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: State,
    /// Openings and closings so far: outages of calls from before the last one say nothing new.
    changes: u64,
}

#[derive(Debug)]
enum State {
    Closed {
        outages_in_a_row: u32,
    },
    Open {
        until: Instant,
        /// What refused calls are told.
        outage: Outage,
        /// Calls let through since it opened.
        trials: u32,
    },
}

/// Leave to call the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    changes: u64,
}

/// What a call's end says about the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answered, if only to refuse.
    Answered,
    /// It did not answer.
    Away(Outage),
    /// It answered that it is asked too often: no outage, and no sign of health.
    Busy,
    /// Nothing: something else failed.
    Unclear,
}

/// Time and chance, which are the caller's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    /// By how much an open time is shortened, from not at all to half, so that many proxies do not
    /// come back at once.
    pub(super) jitter: u8,
}

/// What became of the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened,
    Closed,
}

impl Breaker {
    /// Whether the provider may be called.
    pub(super) fn admit(&mut self, moment: Moment) -> Result<Pass, Outage> {
        if let State::Open {
            until,
            outage,
            trials,
        } = &mut self.state
        {
            if moment.now < *until {
                return Err(*outage);
            }
            *trials = trials.saturating_add(1);
            *until = moment.now + open_time(*trials, moment.jitter);
        }
        Ok(Pass {
            changes: self.changes,
        })
    }

    /// Takes note of how a call ended.
    pub(super) fn settle(
        &mut self,
        pass: Pass,
        verdict: Verdict,
        moment: Moment,
    ) -> Option<Change> {
        match (&mut self.state, verdict) {
            (State::Open { .. }, Verdict::Answered | Verdict::Busy) => {
                self.change(State::default());
                return Some(Change::Closed);
            }
            (State::Closed { outages_in_a_row }, Verdict::Answered) => *outages_in_a_row = 0,
            (State::Closed { outages_in_a_row }, Verdict::Away(outage)) => {
                // It began before an outage that is over.
                if pass.changes != self.changes {
                    return None;
                }
                *outages_in_a_row += 1;
                if *outages_in_a_row >= OUTAGES_IN_A_ROW {
                    self.change(State::Open {
                        until: moment.now + open_time(0, moment.jitter),
                        outage,
                        trials: 0,
                    });
                    return Some(Change::Opened);
                }
            }
            (State::Open { outage, .. }, Verdict::Away(last)) => *outage = last,
            (State::Closed { .. }, Verdict::Busy)
            | (State::Open { .. } | State::Closed { .. }, Verdict::Unclear) => {}
        }
        None
    }

    /// Whether it is open, be it that the next call would be let through.
    pub(super) fn is_open(&self) -> bool {
        match self.state {
            State::Open { .. } => true,
            State::Closed { .. } => false,
        }
    }

    /// What a call would be told, if it were refused now.
    pub(super) fn refusal(&self, now: Instant) -> Option<Outage> {
        match self.state {
            State::Open { until, outage, .. } => (now < until).then_some(outage),
            State::Closed { .. } => None,
        }
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.changes += 1;
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Closed {
            outages_in_a_row: 0,
        }
    }
}

impl Verdict {
    /// What the result of a call says.
    pub(super) fn of<T>(result: &Result<T, KeyError>) -> Self {
        let error = match result {
            Ok(_) => return Self::Answered,
            Err(error) => *error,
        };
        match error {
            KeyError::ContextMismatch
            | KeyError::Denied
            | KeyError::Destroyed
            | KeyError::Disabled
            | KeyError::Malformed
            | KeyError::NotFound => Self::Answered,
            KeyError::Throttled => Self::Busy,
            KeyError::Unavailable(outage @ (Outage::Timeout | Outage::Unreachable)) => {
                Self::Away(outage)
            }
            // Nonsense and a refused login are answers, too: those who give them are there.
            KeyError::Unavailable(Outage::Answer | Outage::Login | Outage::Superseded) => {
                Self::Answered
            }
            KeyError::Unavailable(Outage::Entropy | Outage::Registry) => Self::Unclear,
        }
    }
}

/// How long calls are refused after `trials` calls that were let through in vain.
fn open_time(trials: u32, jitter: u8) -> Duration {
    let doubled = OPEN_MIN.saturating_mul(1 << trials.min(16));
    let longest = doubled.min(OPEN_MAX);
    longest.saturating_sub(longest / 512 * u32::from(jitter))
}

/// Calls that fail in a row, each after its own retries, until the breaker opens.
const OUTAGES_IN_A_ROW: u32 = 3;

/// The first open time.
const OPEN_MIN: Duration = Duration::from_secs(1);

/// The longest: also how long a recovery may go unnoticed.
const OPEN_MAX: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
