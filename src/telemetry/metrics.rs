//! What is counted: every metric of [`table`], registered on a registry that is passed in.
//!
//! Labels are bounded: values come from the code or the configuration, never from a request. The
//! manual's table (`src/manual/metrics.md`) is compared with ours by a test.

pub mod table;

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use table::{
    AUTH_FAILURES, BUILD_INFO, BYTES, Description, FIRST_BYTE_SECONDS, INTEGRITY_FAILURES,
    KEY_BREAKERS_OPEN, KEY_CACHE_ENTRIES, KEY_CACHE_HITS, KEY_CACHE_MISSES, KEY_CACHE_STALE,
    KEY_REQUESTS, KEY_SECONDS, KEYRING_FAILURES, Kind, PLAINTEXT_READS, REQUEST_SECONDS, REQUESTS,
    REQUESTS_IN_FLIGHT, S3EC_READS, UPSTREAM_ERRORS, UPSTREAM_SECONDS,
};

/// Which way body bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client to us.
    ClientIn,
    /// From us to a client.
    ClientOut,
    /// From the upstream to us.
    UpstreamIn,
    /// From us to the upstream.
    UpstreamOut,
}

/// All metrics. Methods are cheap: labels that requests use are resolved once.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    first_byte_seconds: HistogramVec,
    upstream_seconds: HistogramVec,
    operations: HashMap<&'static str, OperationSeries>,
    bytes: Bytes,
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
}

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
        Ok(Self {
            requests: counters(registry, &REQUESTS)?,
            request_seconds: histograms(registry, &REQUEST_SECONDS)?,
            first_byte_seconds: histograms(registry, &FIRST_BYTE_SECONDS)?,
            upstream_seconds: histograms(registry, &UPSTREAM_SECONDS)?,
            operations: operations
                .into_iter()
                .map(|name| (name, OperationSeries::default()))
                .collect(),
            bytes: Bytes::new(&counters(registry, &BYTES)?),
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
            s3ec_reads: counter(registry, &S3EC_READS)?,
            registry: registry.clone(),
        })
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
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Series of one operation, each made when it is first needed: no empty ones are exported.
#[derive(Default)]
struct OperationSeries {
    requests: [OnceLock<IntCounter>; 5],
    seconds: OnceLock<Histogram>,
    first_byte: OnceLock<Histogram>,
    upstream: OnceLock<Histogram>,
}

impl OperationSeries {
    fn requests(&self, class: StatusClass) -> &OnceLock<IntCounter> {
        let [informational, success, redirect, client, server] = &self.requests;
        match class {
            StatusClass::Informational => informational,
            StatusClass::Success => success,
            StatusClass::Redirect => redirect,
            StatusClass::ClientError => client,
            StatusClass::ServerError => server,
        }
    }
}

#[derive(Clone, Copy)]
enum StatusClass {
    Informational,
    Success,
    Redirect,
    ClientError,
    ServerError,
}

impl StatusClass {
    /// Anything that is no status counts as our error.
    fn of(status: u16) -> Self {
        match status {
            100..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirect,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
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

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn options(metric: &Description) -> Opts {
    Opts::new(metric.name, metric.help)
}

fn counter(registry: &Registry, metric: &Description) -> prometheus::Result<IntCounter> {
    register(registry, IntCounter::with_opts(options(metric))?)
}

fn counters(registry: &Registry, metric: &Description) -> prometheus::Result<IntCounterVec> {
    register(
        registry,
        IntCounterVec::new(options(metric), metric.labels)?,
    )
}

fn gauge(registry: &Registry, metric: &Description) -> prometheus::Result<IntGauge> {
    register(registry, IntGauge::with_opts(options(metric))?)
}

fn gauges(registry: &Registry, metric: &Description) -> prometheus::Result<IntGaugeVec> {
    register(registry, IntGaugeVec::new(options(metric), metric.labels)?)
}

fn histograms(registry: &Registry, metric: &Description) -> prometheus::Result<HistogramVec> {
    let mut options = HistogramOpts::from(options(metric));
    if let Kind::Histogram(buckets) = metric.kind {
        options = options.buckets(buckets.to_vec());
    }
    register(registry, HistogramVec::new(options, metric.labels)?)
}

#[cfg(test)]
mod tests;
