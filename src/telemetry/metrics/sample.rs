//! The metrics read back: totals for the [history](crate::telemetry::history), and what is true now.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::Metric;

use super::operations::StatusClass;
use super::{Metrics, Named};
use crate::telemetry::history::{Calls, Counts, Durations, Lookups};

/// What is true at this moment, and what was counted since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Requests whose answer is not at its end.
    pub in_flight: i64,
    /// Open connections by listener.
    pub connections: Named<i64>,
    /// Connections served at once by listener.
    pub connections_max: Named<i64>,
    /// Unwrapped keys held.
    pub key_cache_entries: i64,
    /// When certificates end, in unix seconds.
    pub certificates: Named<i64>,
    /// Whether a changed file could not be taken over.
    pub is_config_stale: bool,
    /// Changed keyring files that could not be taken over.
    pub keyring_failures: u64,
    /// Stored objects that are not what was written, by kind, where there were any.
    pub integrity_failures: Named<u64>,
    /// Requests refused for who sent them, by reason, where there were any.
    pub auth_failures: Named<u64>,
    /// Connections that ended before a request could be sent, all listeners together.
    pub connections_refused: u64,
}

impl Metrics {
    /// The totals of now. Takes no lock that requests wait for longer than for a scrape.
    pub fn totals(&self) -> Counts {
        let mut counts = Counts {
            cache: Lookups {
                hits: self.key_cache_hits.get(),
                misses: self.key_cache_misses.get(),
                stale: self.key_cache_stale.get(),
            },
            bytes: by_label(counted(&self.bytes_total, "direction")),
            upstream_kinds: by_label(counted(&self.upstream_errors, "kind")),
            ..Counts::default()
        };
        self.add_operations(&mut counts);
        self.add_upstream(&mut counts);
        self.add_keys(&mut counts);
        counts
    }

    /// What is true now.
    pub fn gauges(&self) -> Gauges {
        let some = |counted: Vec<(String, u64)>| {
            by_label(counted.into_iter().filter(|(_, count)| *count > 0))
        };
        Gauges {
            in_flight: self.in_flight.get(),
            connections: measured(&self.connections_open, "listener"),
            connections_max: measured(&self.connections_max, "listener"),
            key_cache_entries: self.key_cache_entries.get(),
            certificates: measured(&self.certificates, "certificate"),
            is_config_stale: self.config_stale.get() != 0,
            keyring_failures: self.keyring_failures.get(),
            integrity_failures: some(counted(&self.integrity_failures, "kind")),
            auth_failures: some(counted(&self.auth_failures, "reason")),
            connections_refused: counted(&self.connections_refused, "reason")
                .iter()
                .map(|(_, count)| count)
                .sum(),
        }
    }

    fn add_operations(&self, counts: &mut Counts) {
        for metric in metrics(&self.requests) {
            let name = label(&metric, "operation").to_owned();
            let calls = counts.operations.entry(name).or_default();
            let class = label(&metric, "status_class");
            let count = whole(metric.get_counter().get_value());
            if class == StatusClass::ServerError.name() {
                calls.failed += count;
            } else if class == StatusClass::ClientError.name() {
                calls.refused += count;
            } else {
                calls.good += count;
            }
        }
        for metric in metrics(&self.first_byte_seconds) {
            let name = label(&metric, "operation").to_owned();
            let calls = counts.operations.entry(name).or_default();
            calls.seconds.add(&durations(&metric));
        }
    }

    fn add_upstream(&self, counts: &mut Counts) {
        for metric in metrics(&self.upstream_seconds) {
            counts.upstream.good += metric.get_histogram().get_sample_count();
            counts.upstream.seconds.add(&durations(&metric));
        }
        counts.upstream.failed = counts.upstream_kinds.values().sum();
    }

    fn add_keys(&self, counts: &mut Counts) {
        let is_call = |metric: &Metric| !OF_OURSELVES.contains(&label(metric, "call"));
        for metric in metrics(&self.key_requests).iter().filter(|it| is_call(it)) {
            let kind = label(metric, "provider").to_owned();
            let count = whole(metric.get_counter().get_value());
            let calls = counts.keys.entry(kind.clone()).or_default();
            let outcome = label(metric, "outcome");
            if outcome == "ok" {
                calls.good += count;
            } else if FAILURES.contains(&outcome) {
                calls.failed += count;
                let outcomes = counts.key_outcomes.entry(kind).or_default();
                *outcomes.entry(outcome.to_owned()).or_default() += count;
            } else {
                calls.refused += count;
            }
        }
        for metric in metrics(&self.key_seconds).iter().filter(|it| is_call(it)) {
            let kind = label(metric, "provider").to_owned();
            let calls: &mut Calls = counts.keys.entry(kind).or_default();
            calls.seconds.add(&durations(metric));
        }
    }
}

fn metrics(of: &impl Collector) -> Vec<Metric> {
    let families = of.collect();
    let metrics = families.into_iter().map(|mut family| family.take_metric());
    metrics.flatten().collect()
}

fn label<'a>(metric: &'a Metric, name: &str) -> &'a str {
    let mut labels = metric.get_label().iter();
    labels
        .find(|label| label.name() == name)
        .map_or("", |label| label.value())
}

fn counted(of: &impl Collector, name: &str) -> Vec<(String, u64)> {
    let counted = metrics(of).into_iter().map(|metric| {
        let count = whole(metric.get_counter().get_value());
        (label(&metric, name).to_owned(), count)
    });
    counted.collect()
}

fn measured(of: &impl Collector, name: &str) -> Named<i64> {
    let measured = metrics(of).into_iter().map(|metric| {
        let value = signed(metric.get_gauge().get_value());
        (label(&metric, name).to_owned(), value)
    });
    measured.collect()
}

fn by_label(counted: impl IntoIterator<Item = (String, u64)>) -> Named<u64> {
    let mut sums = BTreeMap::new();
    for (name, count) in counted {
        *sums.entry(name).or_default() += count;
    }
    sums
}

fn durations(metric: &Metric) -> Durations {
    let histogram = metric.get_histogram();
    let mut below = 0;
    let bucket = |bucket: &prometheus::proto::Bucket| {
        let until = bucket.cumulative_count();
        let count = until.saturating_sub(below);
        below = until;
        (bucket.upper_bound(), count)
    };
    let buckets = histogram.get_bucket().iter().map(bucket).collect();
    Durations {
        buckets,
        longer: histogram.get_sample_count().saturating_sub(below),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number that Prometheus' types hold as a float; casts saturate"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a whole number that Prometheus' types hold as a float; casts saturate"
)]
fn signed(value: f64) -> i64 {
    value as i64
}

/// Calls that no request waits for, or that are answered from memory.
const OF_OURSELVES: [&str; 2] = ["describe", "probe"];

/// Outcomes that are nobody's answer about a key: the provider is away, or does not let us.
const FAILURES: [&str; 4] = ["denied", "throttled", "timeout", "unavailable"];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::Registry;

    use super::*;
    use crate::telemetry::metrics::connections::Listener;
    use crate::telemetry::metrics::{Certificate, Direction};

    #[test]
    fn totals_are_what_was_counted() {
        let metrics = Metrics::new(&Registry::new(), ["GetObject"]).unwrap();
        let before = metrics.totals();
        let short = Duration::from_millis(3);
        for status in [200, 206, 304, 403, 404, 500, 503] {
            metrics.first_byte("GetObject", short);
            metrics.request("GetObject", status, short);
        }
        metrics.upstream("GetObject", short);
        metrics.upstream("PutObject", Duration::from_mins(15));
        metrics.upstream_error("timeout");
        metrics.bytes(Direction::ClientOut, 7);
        metrics.key_request("transit", "probe", "ok", short);
        metrics.key_request("transit", "unwrap", "ok", short);
        metrics.key_request("transit", "unwrap", "timeout", short);
        metrics.key_request("transit", "unwrap", "disabled", short);
        metrics.key_cache_hit();
        let counts = metrics.totals().since(&before);
        let get = &counts.operations["GetObject"];
        assert_eq!((get.good, get.refused, get.failed), (3, 2, 2));
        let seconds = &get.seconds;
        let in_bucket = seconds.buckets.iter().find(|(upper, _)| *upper >= 0.003);
        assert_eq!((in_bucket, seconds.longer), (Some(&(0.005, 7)), 0));
        assert_eq!((counts.upstream.good, counts.upstream.failed), (2, 1));
        assert_eq!(counts.upstream.seconds.longer, 1);
        assert_eq!(counts.bytes["client_out"], 7);
        let keys = &counts.keys["transit"];
        assert_eq!((keys.good, keys.refused, keys.failed), (1, 1, 1));
        assert_eq!(counts.key_outcomes["transit"]["timeout"], 1);
        assert_eq!(counts.cache.hits, 1);
        let nothing = metrics.totals().since(&metrics.totals());
        assert_eq!((nothing.operations.len(), nothing.upstream.all()), (0, 0));
    }

    #[test]
    fn gauges_are_what_is_true_now() {
        let metrics = Metrics::new(&Registry::new(), []).unwrap();
        let _open = metrics.connections(Listener::S3, 9).opened();
        let _running = metrics.start_request();
        metrics.certificate_not_after(Certificate::Listen, Some(1_900_000_000));
        metrics.integrity_failure("body");
        let now = metrics.gauges();
        assert_eq!((now.connections["s3"], now.connections_max["s3"]), (1, 9));
        assert_eq!(now.in_flight, 1);
        assert_eq!(now.certificates["listen"], 1_900_000_000);
        assert_eq!(now.integrity_failures["body"], 1);
        assert!(now.auth_failures.is_empty());
    }

    /// An outcome that is renamed would count as a refusal, and no longer as a failure.
    #[test]
    fn the_outcomes_exist() {
        let known = crate::keys::KeyError::OUTCOMES;
        assert!(FAILURES.iter().all(|outcome| known.contains(outcome)));
    }
}
