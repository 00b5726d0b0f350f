//! The last minutes of the metrics, in bounded memory: what can be shown without a Prometheus.
//!
//! Nothing is counted a second time: every few seconds the totals of the metrics are taken, and the difference to
//! the ones before is kept. Requests do not notice.

mod counts;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use counts::{Calls, Counts, Durations, Lookups, OTHER};

/// What happened in one step of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When it ended, in unix seconds.
    pub ended: i64,
    /// How long it was.
    pub seconds: f64,
    /// What happened in it.
    pub counts: Counts,
}

/// When something was last seen to happen, in unix seconds: at the end of the step it happened in. Kept for longer than steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastSeen {
    /// A call that went well, or was answered by a refusal.
    pub good: Option<i64>,
    /// A call that failed, and how.
    pub failed: Option<(i64, String)>,
}

/// The steps of the last quarter of an hour.
#[derive(Debug, Default)]
pub struct History(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    totals: Option<Counts>,
    steps: VecDeque<Arc<Step>>,
    upstream: LastSeen,
    keys: BTreeMap<String, LastSeen>,
}

impl History {
    /// Takes the totals of now, `seconds` after those before. The first ones begin the history.
    pub fn take(&self, totals: Counts, ended: i64, seconds: f64) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = inner.totals.take() {
            let counts = totals.since(&before).with_operations(OPERATIONS_MAX);
            inner.look(&counts, ended);
            if inner.steps.len() >= STEPS_MAX {
                inner.steps.pop_front();
            }
            inner.steps.push_back(Arc::new(Step {
                ended,
                seconds,
                counts,
            }));
        }
        inner.totals = Some(totals);
    }

    /// The steps, oldest first.
    pub fn steps(&self) -> Vec<Arc<Step>> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.steps.iter().cloned().collect()
    }

    /// When the upstream was last seen.
    pub fn upstream(&self) -> LastSeen {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.upstream.clone()
    }

    /// When the key providers of a kind were last seen.
    pub fn keys(&self, kind: &str) -> LastSeen {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.keys.get(kind).cloned().unwrap_or_default()
    }
}

impl Inner {
    fn look(&mut self, counts: &Counts, at: i64) {
        let kinds = &counts.upstream_kinds;
        self.upstream.look(&counts.upstream, kinds.keys(), at);
        for (kind, calls) in &counts.keys {
            let seen = self.keys.entry(kind.clone()).or_default();
            let outcomes = counts.key_outcomes.get(kind);
            seen.look(calls, outcomes.into_iter().flat_map(|it| it.keys()), at);
        }
    }
}

impl LastSeen {
    fn look<'a>(&mut self, calls: &Calls, failures: impl Iterator<Item = &'a String>, at: i64) {
        if calls.good + calls.refused > 0 {
            self.good = Some(at);
        }
        if calls.failed > 0 {
            let failures: Vec<_> = failures.map(String::as_str).collect();
            self.failed = Some((at, failures.join(", ")));
        }
    }
}

/// How often totals are taken.
pub const STEP: Duration = Duration::from_secs(5);

/// A quarter of an hour.
pub const STEPS_MAX: usize = 180;

/// Operations kept apart in one step. Each is some 300 bytes, so that all steps together stay below 2 MB, and
/// far below with the handful of operations that clients use.
const OPERATIONS_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(answers: u64, errors: u64) -> Counts {
        let upstream = Calls {
            good: answers,
            failed: errors,
            ..Calls::default()
        };
        let kinds = (errors > 0).then(|| ("connect".to_owned(), errors));
        Counts {
            upstream_kinds: kinds.into_iter().collect(),
            upstream,
            ..Counts::default()
        }
    }

    #[test]
    fn a_step_is_the_difference_of_totals() {
        let history = History::default();
        history.take(totals(100, 0), 1000, 0.0);
        assert!(history.steps().is_empty());
        history.take(totals(107, 0), 1005, 5.0);
        history.take(totals(107, 2), 1010, 5.0);
        let steps = history.steps();
        let upstream = |index: usize| &steps[index].counts.upstream;
        assert_eq!((upstream(0).good, upstream(0).failed), (7, 0));
        assert_eq!((upstream(1).good, upstream(1).failed), (0, 2));
        let seen = history.upstream();
        assert_eq!(seen.good, Some(1005));
        assert_eq!(seen.failed, Some((1010, "connect".to_owned())));
    }

    #[test]
    fn only_a_quarter_of_an_hour_is_kept_and_last_sights_for_longer() {
        let history = History::default();
        history.take(totals(0, 0), 0, 0.0);
        history.take(totals(1, 1), 1, 5.0);
        for at in 2..1000 {
            history.take(totals(1, 1), at, 5.0);
        }
        let steps = history.steps();
        assert_eq!(steps.len(), STEPS_MAX);
        assert_eq!(steps.last().unwrap().ended, 999);
        assert_eq!(history.upstream().good, Some(1));
        assert_eq!(history.upstream().failed, Some((1, "connect".to_owned())));
    }

    #[test]
    fn operations_are_bounded() {
        let history = History::default();
        history.take(Counts::default(), 0, 0.0);
        let one = Calls {
            good: 1,
            ..Calls::default()
        };
        let many = (0..1000).map(|number| (format!("operation {number}"), one.clone()));
        let counts = Counts {
            operations: many.collect(),
            ..Counts::default()
        };
        history.take(counts, 5, 5.0);
        let steps = history.steps();
        let kept = &steps[0].counts.operations;
        assert_eq!(kept.len(), OPERATIONS_MAX);
        assert_eq!(kept.values().map(Calls::all).sum::<u64>(), 1000);
    }
}
