//! What is counted: every metric of [`table`], registered on a registry that is passed in.
//!
//! Labels are bounded: values come from the code or the configuration, never from a request. The
//! manual's table (`src/manual/metrics.md`) is compared with ours by a test.

pub mod connections;
mod labels;
mod operations;
mod process;
mod register;
mod sample;
pub mod table;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use prometheus::{
    HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

pub use labels::{Certificate, ChunkMemory, Direction, KnownLabels, Limited, SpanLoss};
pub use sample::Gauges;

use connections::{Connections, Listener};
use labels::RELOADED;
use operations::{OperationSeries, StatusClass};
use process::Process;
use register::{counter, counters, gauge, gauges, histograms};
use table::{
    AUDIT_FAILURES, AUTH_FAILURES, BUILD_INFO, BYTES, CERTIFICATE_NOT_AFTER, CHUNK_MEMORY,
    CHUNK_MEMORY_MAX, CONFIG_RELOADS, CONFIG_STALE, CONFIG_WAITING, CONNECTIONS, CONNECTIONS_MAX,
    CONNECTIONS_REFUSED, FIRST_BYTE_SECONDS, INTEGRITY_FAILURES, KEY_BREAKERS_OPEN,
    KEY_CACHE_ENTRIES, KEY_CACHE_HITS, KEY_CACHE_MISSES, KEY_CACHE_STALE, KEY_REQUESTS,
    KEY_SECONDS, KEYRING_FAILURES, LIMITED_REQUESTS, PLAINTEXT_READS, REQUEST_SECONDS, REQUESTS,
    REQUESTS_IN_FLIGHT, S3EC_READS, SPANS_DROPPED, UPSTREAM_ERRORS, UPSTREAM_SECONDS,
};

/// All metrics. Methods are cheap: labels that requests use are resolved once.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    first_byte_seconds: HistogramVec,
    upstream_seconds: HistogramVec,
    operations: HashMap<&'static str, OperationSeries>,
    bytes: Bytes,
    bytes_total: IntCounterVec,
    in_flight: IntGauge,
    upstream_errors: IntCounterVec,
    auth_failures: IntCounterVec,
    integrity_failures: IntCounterVec,
    key_requests: IntCounterVec,
    key_seconds: HistogramVec,
    key_cache_hits: IntCounter,
    key_cache_misses: IntCounter,
    key_cache_stale: IntCounter,
    key_cache_entries: IntGauge,
    key_breakers_open: IntGaugeVec,
    keyring_failures: IntCounter,
    plaintext_reads: IntCounter,
    s3ec_reads: IntCounter,
    audit_failures: IntCounter,
    spans_dropped: IntCounterVec,
    connections: [(Listener, Connections); 2],
    connections_open: IntGaugeVec,
    connections_refused: IntCounterVec,
    connections_max: IntGaugeVec,
    limited: IntCounterVec,
    chunk_memory: IntGaugeVec,
    chunk_memory_max: IntGaugeVec,
    certificates: IntGaugeVec,
    config_reloads: IntCounterVec,
    config_stale: IntGauge,
    config_waiting: IntGauge,
}

/// Values by the label that tells them apart.
pub type Named<T> = BTreeMap<String, T>;

/// Counts a request as in flight for as long as it lives.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Metrics {
    /// Registers all metrics. `operations` are the names whose series are looked up without a lock;
    /// other names work, a little slower.
    ///
    /// Fails if the registry holds one of the names already.
    pub fn new(
        registry: &Registry,
        operations: impl IntoIterator<Item = &'static str>,
    ) -> prometheus::Result<Self> {
        let build_info = gauges(registry, &BUILD_INFO)?;
        build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        registry.register(Box::new(Process::new()?))?;
        let connections = gauges(registry, &CONNECTIONS)?;
        let connections_refused = counters(registry, &CONNECTIONS_REFUSED)?;
        let bytes = counters(registry, &BYTES)?;
        let metrics = Self {
            requests: counters(registry, &REQUESTS)?,
            request_seconds: histograms(registry, &REQUEST_SECONDS)?,
            first_byte_seconds: histograms(registry, &FIRST_BYTE_SECONDS)?,
            upstream_seconds: histograms(registry, &UPSTREAM_SECONDS)?,
            operations: operations
                .into_iter()
                .map(|name| (name, OperationSeries::default()))
                .collect(),
            bytes: Bytes::new(&bytes),
            bytes_total: bytes,
            in_flight: gauge(registry, &REQUESTS_IN_FLIGHT)?,
            upstream_errors: counters(registry, &UPSTREAM_ERRORS)?,
            auth_failures: counters(registry, &AUTH_FAILURES)?,
            integrity_failures: counters(registry, &INTEGRITY_FAILURES)?,
            key_requests: counters(registry, &KEY_REQUESTS)?,
            key_seconds: histograms(registry, &KEY_SECONDS)?,
            key_cache_hits: counter(registry, &KEY_CACHE_HITS)?,
            key_cache_misses: counter(registry, &KEY_CACHE_MISSES)?,
            key_cache_stale: counter(registry, &KEY_CACHE_STALE)?,
            key_cache_entries: gauge(registry, &KEY_CACHE_ENTRIES)?,
            key_breakers_open: gauges(registry, &KEY_BREAKERS_OPEN)?,
            keyring_failures: counter(registry, &KEYRING_FAILURES)?,
            plaintext_reads: counter(registry, &PLAINTEXT_READS)?,
            audit_failures: counter(registry, &AUDIT_FAILURES)?,
            spans_dropped: counters(registry, &SPANS_DROPPED)?,
            s3ec_reads: counter(registry, &S3EC_READS)?,
            connections: connections::all(&connections, &connections_refused),
            connections_open: connections,
            connections_refused,
            connections_max: gauges(registry, &CONNECTIONS_MAX)?,
            limited: counters(registry, &LIMITED_REQUESTS)?,
            chunk_memory: gauges(registry, &CHUNK_MEMORY)?,
            chunk_memory_max: gauges(registry, &CHUNK_MEMORY_MAX)?,
            certificates: gauges(registry, &CERTIFICATE_NOT_AFTER)?,
            config_reloads: counters(registry, &CONFIG_RELOADS)?,
            config_stale: gauge(registry, &CONFIG_STALE)?,
            config_waiting: gauge(registry, &CONFIG_WAITING)?,
            registry: registry.clone(),
        };
        metrics.begin();
        Ok(metrics)
    }

    /// What needs no knowledge of other rooms begins at 0.
    fn begin(&self) {
        for limit in Limited::ALL {
            self.limited.with_label_values(&[limit.name()]);
        }
        for loss in SpanLoss::ALL {
            self.spans_dropped.with_label_values(&[loss.name()]);
        }
        for outcome in RELOADED {
            self.config_reloads.with_label_values(&[outcome]);
        }
        for operation in self.operations.keys() {
            for class in StatusClass::WATCHED {
                self.requests.with_label_values(&[operation, class.name()]);
            }
        }
    }

    /// Lets counters with these labels exist at 0. A counter that appears with its first event has
    /// not risen in the eyes of Prometheus, and an alert would wait for the second.
    pub fn begin_at_zero(&self, known: &KnownLabels<'_>) {
        for (counters, labels) in [
            (&self.auth_failures, known.auth_reasons),
            (&self.integrity_failures, known.integrity_kinds),
            (&self.upstream_errors, known.upstream_kinds),
        ] {
            for label in labels {
                counters.with_label_values(&[label]);
            }
        }
        for provider in known.providers {
            for call in known.key_calls {
                for outcome in known.key_outcomes {
                    let labels = [provider, call, outcome];
                    self.key_requests.with_label_values(&labels);
                }
            }
        }
    }

    /// Everything in the registry, in Prometheus' text format.
    pub fn render(&self) -> String {
        // Fails on a family without metrics only, which a registry does not gather.
        let families = self.registry.gather();
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_default()
    }

    /// A request was answered to its end, or given up.
    pub fn request(&self, operation: &'static str, status: u16, duration: Duration) {
        let class = StatusClass::of(status);
        let resolve = || self.requests.with_label_values(&[operation, class.name()]);
        let seconds = || self.request_seconds.with_label_values(&[operation]);
        if let Some(series) = self.operations.get(operation) {
            series.requests(class).get_or_init(resolve).inc();
            let seconds = series.seconds.get_or_init(seconds);
            seconds.observe(duration.as_secs_f64());
        } else {
            resolve().inc();
            seconds().observe(duration.as_secs_f64());
        }
    }

    /// The first byte of an answer's body, or its head if it has none, was ready to be sent.
    pub fn first_byte(&self, operation: &'static str, duration: Duration) {
        let resolve = || self.first_byte_seconds.with_label_values(&[operation]);
        let seconds = duration.as_secs_f64();
        match self.operations.get(operation) {
            Some(series) => series.first_byte.get_or_init(resolve).observe(seconds),
            None => resolve().observe(seconds),
        }
    }

    /// The head of an upstream response came in.
    pub fn upstream(&self, operation: &'static str, duration: Duration) {
        let resolve = || self.upstream_seconds.with_label_values(&[operation]);
        let seconds = duration.as_secs_f64();
        match self.operations.get(operation) {
            Some(series) => series.upstream.get_or_init(resolve).observe(seconds),
            None => resolve().observe(seconds),
        }
    }

    /// Body bytes went past.
    pub fn bytes(&self, direction: Direction, count: u64) {
        let counter = match direction {
            Direction::ClientIn => &self.bytes.client_in,
            Direction::ClientOut => &self.bytes.client_out,
            Direction::UpstreamIn => &self.bytes.upstream_in,
            Direction::UpstreamOut => &self.bytes.upstream_out,
        };
        counter.inc_by(count);
    }

    /// A request came in; it is in flight until the guard is dropped.
    pub fn start_request(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// An upstream request failed without an S3 answer: `connect`, `timeout`, …
    pub fn upstream_error(&self, kind: &'static str) {
        self.upstream_errors.with_label_values(&[kind]).inc();
    }

    /// A request was refused for who sent it or how it was signed.
    pub fn auth_failure(&self, reason: &'static str) {
        self.auth_failures.with_label_values(&[reason]).inc();
    }

    /// Something stored is not what was written: alert on any increase.
    pub fn integrity_failure(&self, kind: &'static str) {
        self.integrity_failures.with_label_values(&[kind]).inc();
    }

    /// A key provider answered, or failed to. `provider` is the name of its kind.
    pub fn key_request(
        &self,
        provider: &str,
        call: &'static str,
        outcome: &'static str,
        duration: Duration,
    ) {
        let labels = [provider, call, outcome];
        self.key_requests.with_label_values(&labels).inc();
        let labels = [provider, call];
        let seconds = self.key_seconds.with_label_values(&labels);
        seconds.observe(duration.as_secs_f64());
    }

    /// An unwrapped key was found in the cache.
    pub fn key_cache_hit(&self) {
        self.key_cache_hits.inc();
    }

    /// An unwrapped key was not in the cache.
    pub fn key_cache_miss(&self) {
        self.key_cache_misses.inc();
    }

    /// An unwrapped key was used beyond its time: its provider was away.
    pub fn key_cache_stale(&self) {
        self.key_cache_stale.inc();
    }

    /// How many providers of a kind are left alone now.
    pub fn key_breakers_open(&self, provider: &str, count: usize) {
        self.key_breakers_open
            .with_label_values(&[provider])
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many unwrapped keys the cache holds.
    pub fn key_cache_entries(&self, count: u64) {
        self.key_cache_entries
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The counter of one direction, for a body to count on its own.
    pub fn byte_counter(&self, direction: Direction) -> IntCounter {
        match direction {
            Direction::ClientIn => &self.bytes.client_in,
            Direction::ClientOut => &self.bytes.client_out,
            Direction::UpstreamIn => &self.bytes.upstream_in,
            Direction::UpstreamOut => &self.bytes.upstream_out,
        }
        .clone()
    }

    /// A changed keyring file could not be taken over.
    pub fn keyring_failure(&self) {
        self.keyring_failures.inc();
    }

    /// An object without our metadata was served as it is.
    pub fn plaintext_read(&self) {
        self.plaintext_reads.inc();
    }

    /// An object of the S3 Encryption Client was served.
    pub fn s3ec_read(&self) {
        self.s3ec_reads.inc();
    }

    /// The audit log could not be written, or a request has no line in it.
    pub fn audit_failure(&self) {
        self.audit_failures.inc();
    }

    /// Spans never reached the collector.
    pub fn spans_dropped(&self, loss: SpanLoss, count: u64) {
        let counter = self.spans_dropped.with_label_values(&[loss.name()]);
        counter.inc_by(count);
    }

    /// The counts of a listener that serves at most `max` connections at once.
    pub fn connections(&self, listener: Listener, max: usize) -> Connections {
        self.connections_max
            .with_label_values(&[listener.name()])
            .set(i64::try_from(max).unwrap_or(i64::MAX));
        let [(first, of_first), (_, of_second)] = &self.connections;
        let counts = if listener == *first {
            of_first
        } else {
            of_second
        };
        counts.clone()
    }

    /// A request was refused because its client exceeded a limit of its own.
    pub fn limited(&self, limit: Limited) {
        self.limited.with_label_values(&[limit.name()]).inc();
    }

    /// How many bytes requests hold or wait for, of how many.
    pub fn chunk_memory(&self, of: ChunkMemory, bytes: usize, max: usize) {
        let gauge = |gauges: &IntGaugeVec, bytes| {
            gauges
                .with_label_values(&[of.name()])
                .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        };
        gauge(&self.chunk_memory, bytes);
        gauge(&self.chunk_memory_max, max);
    }

    /// When a certificate in use ends, in unix time: told at start and whenever another one is
    /// taken over. `None` where there is none, or its end cannot be read.
    pub fn certificate_not_after(&self, certificate: Certificate, unix_seconds: Option<i64>) {
        let labels = [certificate.name()];
        if let Some(ends) = unix_seconds {
            self.certificates.with_label_values(&labels).set(ends);
        } else {
            // Fails where there was none before.
            let _ = self.certificates.remove_label_values(&labels);
        }
    }

    /// Changed files were taken over, all of them, or what was read before stays in use.
    ///
    /// Several files that changed together are one attempt: the last call says whether anything is
    /// stale.
    pub fn config_reloaded(&self, ok: bool) {
        let [good, bad] = RELOADED;
        let outcome = if ok { good } else { bad };
        self.config_reloads.with_label_values(&[outcome]).inc();
        self.config_stale.set(i64::from(!ok));
    }

    /// How many keys of the configuration say something else than what is in use, until a restart.
    pub fn config_waiting(&self, keys: usize) {
        self.config_waiting
            .set(i64::try_from(keys).unwrap_or(i64::MAX));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Bytes {
    client_in: IntCounter,
    client_out: IntCounter,
    upstream_in: IntCounter,
    upstream_out: IntCounter,
}

impl Bytes {
    fn new(counters: &IntCounterVec) -> Self {
        Self {
            client_in: counters.with_label_values(&["client_in"]),
            client_out: counters.with_label_values(&["client_out"]),
            upstream_in: counters.with_label_values(&["upstream_in"]),
            upstream_out: counters.with_label_values(&["upstream_out"]),
        }
    }
}

#[cfg(test)]
mod tests;
