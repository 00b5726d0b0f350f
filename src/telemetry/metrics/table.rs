//! The table of metrics: what each is called and means.

use super::process;

/// What is known about a metric.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Prometheus name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it counts.
    pub help: &'static str,
    /// Label names.
    pub labels: &'static [&'static str],
    /// Unit of its value.
    pub unit: &'static str,
    /// Whether it may change.
    pub stability: Stability,
}

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Distribution over buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// Whether a metric may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Name, labels and meaning stay within a major version.
    Stable,
}

/// Every metric there is.
pub const ALL: [Description; 38] = [
    REQUESTS,
    REQUEST_SECONDS,
    FIRST_BYTE_SECONDS,
    BYTES,
    REQUESTS_IN_FLIGHT,
    UPSTREAM_SECONDS,
    UPSTREAM_ERRORS,
    AUTH_FAILURES,
    INTEGRITY_FAILURES,
    KEY_REQUESTS,
    KEY_SECONDS,
    KEY_CACHE_HITS,
    KEY_CACHE_MISSES,
    KEY_CACHE_STALE,
    KEY_CACHE_ENTRIES,
    KEY_BREAKERS_OPEN,
    KEYRING_FAILURES,
    PLAINTEXT_READS,
    S3EC_READS,
    AUDIT_FAILURES,
    SPANS_DROPPED,
    CONNECTIONS,
    CONNECTIONS_MAX,
    CONNECTIONS_REFUSED,
    LIMITED_REQUESTS,
    CHUNK_MEMORY,
    CHUNK_MEMORY_MAX,
    CERTIFICATE_NOT_AFTER,
    CONFIG_RELOADS,
    CONFIG_STALE,
    CONFIG_WAITING,
    BUILD_INFO,
    process::CPU_SECONDS,
    process::RESIDENT_MEMORY,
    process::OPEN_FDS,
    process::MAX_FDS,
    process::THREADS,
    process::START_TIME,
];

/// Requests: from an answer out of memory to a large object over a slow line.
pub(super) const REQUEST_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
/// Key providers: from a keyring in memory to a token or a service under load.
pub(super) const KEY_BUCKETS: &[f64] = &[
    0.000_01, 0.000_1, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

pub(super) const REQUESTS: Description = Description {
    name: "s3seal_requests_total",
    kind: Kind::Counter,
    help: "Requests answered, by S3 operation and class of the status, or of an error behind a 200",
    labels: &["operation", "status_class"],
    unit: "requests",
    stability: Stability::Stable,
};
pub(super) const REQUEST_SECONDS: Description = Description {
    name: "s3seal_request_seconds",
    kind: Kind::Histogram(REQUEST_BUCKETS),
    help: "From a request's head to the end of its answer",
    labels: &["operation"],
    unit: "seconds",
    stability: Stability::Stable,
};
pub(super) const FIRST_BYTE_SECONDS: Description = Description {
    name: "s3seal_first_byte_seconds",
    kind: Kind::Histogram(REQUEST_BUCKETS),
    help: "From a request's head to the first byte of its answer's body",
    labels: &["operation"],
    unit: "seconds",
    stability: Stability::Stable,
};
pub(super) const BYTES: Description = Description {
    name: "s3seal_bytes_total",
    kind: Kind::Counter,
    help: "Body bytes, by direction: client_in, client_out, upstream_in, upstream_out",
    labels: &["direction"],
    unit: "bytes",
    stability: Stability::Stable,
};
pub(super) const REQUESTS_IN_FLIGHT: Description = Description {
    name: "s3seal_requests_in_flight",
    kind: Kind::Gauge,
    help: "Requests whose answer is not yet at its end",
    labels: &[],
    unit: "requests",
    stability: Stability::Stable,
};
pub(super) const UPSTREAM_SECONDS: Description = Description {
    name: "s3seal_upstream_seconds",
    kind: Kind::Histogram(REQUEST_BUCKETS),
    help: "From the start of an upstream request to the head of its response",
    labels: &["operation"],
    unit: "seconds",
    stability: Stability::Stable,
};
pub(super) const UPSTREAM_ERRORS: Description = Description {
    name: "s3seal_upstream_errors_total",
    kind: Kind::Counter,
    help: "Upstream requests that ended without an S3 answer, by kind of failure",
    labels: &["kind"],
    unit: "requests",
    stability: Stability::Stable,
};
pub(super) const AUTH_FAILURES: Description = Description {
    name: "s3seal_auth_failures_total",
    kind: Kind::Counter,
    help: "Requests refused for who sent them or how they were signed, by reason",
    labels: &["reason"],
    unit: "requests",
    stability: Stability::Stable,
};
pub(super) const INTEGRITY_FAILURES: Description = Description {
    name: "s3seal_integrity_failures_total",
    kind: Kind::Counter,
    help: "Stored objects that are not what was written, by kind: alert on any increase",
    labels: &["kind"],
    unit: "objects",
    stability: Stability::Stable,
};
pub(super) const KEY_REQUESTS: Description = Description {
    name: "s3seal_key_requests_total",
    kind: Kind::Counter,
    help: "Calls of key providers, by provider, call and outcome",
    labels: &["provider", "call", "outcome"],
    unit: "calls",
    stability: Stability::Stable,
};
pub(super) const KEY_SECONDS: Description = Description {
    name: "s3seal_key_seconds",
    kind: Kind::Histogram(KEY_BUCKETS),
    help: "Duration of calls of key providers",
    labels: &["provider", "call"],
    unit: "seconds",
    stability: Stability::Stable,
};
pub(super) const KEY_CACHE_HITS: Description = Description {
    name: "s3seal_key_cache_hits_total",
    kind: Kind::Counter,
    help: "Unwrapped keys found in the cache",
    labels: &[],
    unit: "look-ups",
    stability: Stability::Stable,
};
pub(super) const KEY_CACHE_MISSES: Description = Description {
    name: "s3seal_key_cache_misses_total",
    kind: Kind::Counter,
    help: "Unwrapped keys not found in the cache",
    labels: &[],
    unit: "look-ups",
    stability: Stability::Stable,
};
pub(super) const KEY_CACHE_STALE: Description = Description {
    name: "s3seal_key_cache_stale_total",
    kind: Kind::Counter,
    help: "Unwrapped keys used beyond their time because their provider was away",
    labels: &[],
    unit: "look-ups",
    stability: Stability::Stable,
};
pub(super) const KEY_CACHE_ENTRIES: Description = Description {
    name: "s3seal_key_cache_entries",
    kind: Kind::Gauge,
    help: "Unwrapped keys in the cache",
    labels: &[],
    unit: "keys",
    stability: Stability::Stable,
};
pub(super) const KEY_BREAKERS_OPEN: Description = Description {
    name: "s3seal_key_breakers_open",
    kind: Kind::Gauge,
    help: "Key providers of a kind that are left alone for a moment, after outages in a row",
    labels: &["provider"],
    unit: "providers",
    stability: Stability::Stable,
};
pub(super) const KEYRING_FAILURES: Description = Description {
    name: "s3seal_keyring_reload_failures_total",
    kind: Kind::Counter,
    help: "Changed keyring files that could not be taken over; the keys from before stay in use",
    labels: &[],
    unit: "attempts",
    stability: Stability::Stable,
};
pub(super) const PLAINTEXT_READS: Description = Description {
    name: "s3seal_plaintext_reads_total",
    kind: Kind::Counter,
    help: "Objects served that were never encrypted, as plaintext_reads allows",
    labels: &[],
    unit: "objects",
    stability: Stability::Stable,
};
pub(super) const AUDIT_FAILURES: Description = Description {
    name: "s3seal_audit_failures_total",
    kind: Kind::Counter,
    help: "Failed attempts to write the audit log, and requests refused or without a line because of that",
    labels: &[],
    unit: "failures",
    stability: Stability::Stable,
};
pub(super) const SPANS_DROPPED: Description = Description {
    name: "s3seal_trace_spans_dropped_total",
    kind: Kind::Counter,
    help: "Spans of traces that never reached the collector, by reason",
    labels: &["reason"],
    unit: "spans",
    stability: Stability::Stable,
};
pub(super) const S3EC_READS: Description = Description {
    name: "s3seal_s3_encryption_client_reads_total",
    kind: Kind::Counter,
    help: "Objects served that the Amazon S3 Encryption Client wrote, as s3_encryption_client allows",
    labels: &[],
    unit: "objects",
    stability: Stability::Stable,
};
pub(super) const CONNECTIONS: Description = Description {
    name: "s3seal_connections",
    kind: Kind::Gauge,
    help: "Open connections of clients, by listener",
    labels: &["listener"],
    unit: "connections",
    stability: Stability::Stable,
};
pub(super) const CONNECTIONS_MAX: Description = Description {
    name: "s3seal_connections_max",
    kind: Kind::Gauge,
    help: "Connections that a listener serves at once; more wait",
    labels: &["listener"],
    unit: "connections",
    stability: Stability::Stable,
};
pub(super) const CONNECTIONS_REFUSED: Description = Description {
    name: "s3seal_connections_refused_total",
    kind: Kind::Counter,
    help: "Connections that ended before a request could be sent, by listener and reason",
    labels: &["listener", "reason"],
    unit: "connections",
    stability: Stability::Stable,
};
pub(super) const LIMITED_REQUESTS: Description = Description {
    name: "s3seal_limited_requests_total",
    kind: Kind::Counter,
    help: "Requests refused, or slowed down, because a client exceeded a limit of its own, by limit",
    labels: &["reason"],
    unit: "requests",
    stability: Stability::Stable,
};
pub(super) const CHUNK_MEMORY: Description = Description {
    name: "s3seal_chunk_memory_bytes",
    kind: Kind::Gauge,
    help: "Memory that requests hold or wait for in crypto.chunk_memory_mib, by what it is for",
    labels: &["use"],
    unit: "bytes",
    stability: Stability::Stable,
};
pub(super) const CHUNK_MEMORY_MAX: Description = Description {
    name: "s3seal_chunk_memory_max_bytes",
    kind: Kind::Gauge,
    help: "Memory that requests can hold, by what it is for: each a half of crypto.chunk_memory_mib",
    labels: &["use"],
    unit: "bytes",
    stability: Stability::Stable,
};
pub(super) const CERTIFICATE_NOT_AFTER: Description = Description {
    name: "s3seal_certificate_not_after_seconds",
    kind: Kind::Gauge,
    help: "Unix time at which a certificate in use ends",
    labels: &["certificate"],
    unit: "seconds",
    stability: Stability::Stable,
};
pub(super) const CONFIG_RELOADS: Description = Description {
    name: "s3seal_config_reloads_total",
    kind: Kind::Counter,
    help: "Attempts to take over changed files, by outcome",
    labels: &["outcome"],
    unit: "attempts",
    stability: Stability::Stable,
};
pub(super) const CONFIG_STALE: Description = Description {
    name: "s3seal_config_stale",
    kind: Kind::Gauge,
    help: "1 while a changed file could not be taken over, and what was read before is in use",
    labels: &[],
    unit: "1",
    stability: Stability::Stable,
};
pub(super) const CONFIG_WAITING: Description = Description {
    name: "s3seal_config_waiting",
    kind: Kind::Gauge,
    help: "Keys of the configuration whose changed values wait for a restart",
    labels: &[],
    unit: "keys",
    stability: Stability::Stable,
};
pub(super) const BUILD_INFO: Description = Description {
    name: "s3seal_build_info",
    kind: Kind::Gauge,
    help: "Always 1; the label says which version runs",
    labels: &["version"],
    unit: "1",
    stability: Stability::Stable,
};
