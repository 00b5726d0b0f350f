//! From steps of the history to rates, quantiles and lines of a graph.

use std::sync::Arc;

use serde::Serialize;

use crate::telemetry::history::{Calls, Counts, Step};

/// Calls over the last quarter of an hour. Lists have a value for each step, oldest first.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    /// In all steps.
    pub(super) count: u64,
    /// In the last minute.
    per_second: f64,
    /// Failed, in the last minute.
    errors_per_minute: f64,
    /// Refused for something that the caller did, in the last minute.
    refusals_per_minute: f64,
    /// Half of the calls of the last five minutes took no longer.
    p50_seconds: Option<f64>,
    /// Nineteen of twenty.
    p95_seconds: Option<f64>,
    rates: Vec<f64>,
    errors: Vec<u64>,
    p95s: Vec<Option<f64>>,
}

/// What `of` finds in each step.
pub(super) fn calls(steps: &[Arc<Step>], of: impl Fn(&Counts) -> Option<Calls>) -> Shown {
    let found: Vec<_> = steps
        .iter()
        .map(|step| of(&step.counts).unwrap_or_default())
        .collect();
    let recent = last(&found, RECENT_STEPS);
    let seconds = seconds_of(last(steps, RECENT_STEPS));
    let sum = |of: fn(&Calls) -> u64| recent.iter().map(of).sum::<u64>();
    let mut latency = Calls::default();
    for calls in last(&found, LATENCY_STEPS) {
        latency.add(calls);
    }
    let quantile = |share| latency.seconds.quantile(share).map(rounded);
    Shown {
        count: found.iter().map(Calls::all).sum(),
        per_second: rate(sum(Calls::all), seconds),
        errors_per_minute: rate(sum(|calls| calls.failed), seconds / 60.0),
        refusals_per_minute: rate(sum(|calls| calls.refused), seconds / 60.0),
        p50_seconds: quantile(0.5),
        p95_seconds: quantile(0.95),
        rates: steps
            .iter()
            .zip(&found)
            .map(|(step, calls)| rate(calls.all(), step.seconds))
            .collect(),
        errors: found.iter().map(|calls| calls.failed).collect(),
        p95s: found
            .iter()
            .map(|calls| calls.seconds.quantile(0.95).map(rounded))
            .collect(),
    }
}

/// Of what `of` counts, in the last minute.
pub(super) fn per_second(steps: &[Arc<Step>], of: impl Fn(&Step) -> u64) -> f64 {
    let recent = last(steps, RECENT_STEPS);
    let count = recent.iter().map(|step| of(step)).sum();
    rate(count, seconds_of(recent))
}

/// Of what `of` counts, in each step.
pub(super) fn rates(steps: &[Arc<Step>], of: impl Fn(&Step) -> u64) -> Vec<f64> {
    let rates = steps.iter().map(|step| rate(of(step), step.seconds));
    rates.collect()
}

/// `None` of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| rounded(part as f64 / whole as f64))
}

fn seconds_of(steps: &[Arc<Step>]) -> f64 {
    steps.iter().map(|step| step.seconds).sum()
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn rate(count: u64, time: f64) -> f64 {
    if time > 0.0 {
        rounded(count as f64 / time)
    } else {
        0.0
    }
}

/// More digits would be noise, and most of the document.
fn rounded(value: f64) -> f64 {
    (value * 1e5).round() / 1e5
}

fn last<T>(all: &[T], count: usize) -> &[T] {
    all.get(all.len().saturating_sub(count)..).unwrap_or(all)
}

/// A minute.
const RECENT_STEPS: usize = 12;

/// Five minutes.
const LATENCY_STEPS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::history::Durations;

    fn step(seconds: f64, good: u64, failed: u64) -> Arc<Step> {
        let upstream = Calls {
            good,
            failed,
            seconds: Durations {
                buckets: vec![(0.1, good), (0.2, 0)],
                longer: 0,
            },
            ..Calls::default()
        };
        Arc::new(Step {
            ended: 0,
            seconds,
            counts: Counts {
                upstream,
                ..Counts::default()
            },
        })
    }

    #[test]
    fn rates_are_of_the_last_minute_and_by_the_time_that_steps_took() {
        let mut steps: Vec<_> = (0..20).map(|_| step(5.0, 1000, 9)).collect();
        steps.extend((0..12).map(|_| step(10.0, 15, 5)));
        let shown = calls(&steps, |counts| Some(counts.upstream.clone()));
        let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-4, "{found}");
        near(shown.per_second, 2.0);
        near(shown.errors_per_minute, 30.0);
        near(shown.p50_seconds.unwrap(), 0.05);
        near(shown.rates[0], 201.8);
        near(shown.rates[31], 2.0);
        assert_eq!(shown.count, 20 * 1009 + 12 * 20);
        assert_eq!((shown.errors[0], shown.errors[31]), (9, 5));
        near(per_second(&steps, |step| step.counts.upstream.failed), 0.5);
    }

    #[test]
    fn nothing_is_no_number_without_end() {
        let shown = calls(&[], |_| None);
        assert!(shown.per_second.abs() < 1e-9 && shown.p95_seconds.is_none());
        let idle = calls(&[step(0.0, 0, 0)], |_| None);
        assert_eq!((idle.rates, idle.p95s), (vec![0.0], vec![None]));
        assert_eq!(ratio(0, 0), None);
        assert_eq!(ratio(1, 4), Some(0.25));
    }
}
