//! The metrics as scraped, and as the manual tells them.

use std::collections::BTreeSet;

use super::table::{ALL, KEY_BUCKETS, REQUEST_BUCKETS, Stability};
use super::*;

const MANUAL: &str = include_str!("../../manual/metrics.md");

fn used() -> Metrics {
    let metrics = Metrics::new(&Registry::new(), ["GetObject"]).unwrap();
    let moment = Duration::from_millis(3);
    for operation in ["GetObject", "PutObject"] {
        metrics.request(operation, 206, moment);
        metrics.request(operation, 206, moment);
        metrics.request(operation, 503, moment);
        metrics.first_byte(operation, moment);
        metrics.upstream(operation, moment);
    }
    metrics.bytes(Direction::ClientIn, 1);
    metrics.bytes(Direction::ClientOut, 2);
    metrics.bytes(Direction::UpstreamIn, 3);
    metrics.bytes(Direction::UpstreamOut, 1 << 40);
    metrics.upstream_error("connect");
    metrics.auth_failure("signature");
    metrics.integrity_failure("chunk");
    metrics.key_request("local", "unwrap", "ok", Duration::from_micros(50));
    metrics.key_cache_hit();
    metrics.key_cache_miss();
    metrics.key_cache_stale();
    metrics.key_cache_entries(7);
    metrics.key_breakers_open("transit", 1);
    metrics.plaintext_read();
    metrics.s3ec_read();
    metrics
}

#[test]
fn what_is_counted_is_rendered() {
    let metrics = used();
    let guards = [metrics.start_request(), metrics.start_request()];
    let [first, _second] = guards;
    drop(first);
    let text = metrics.render();
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        "s3seal_requests_total{operation=\"GetObject\",status_class=\"2xx\"} 2",
        "s3seal_requests_total{operation=\"PutObject\",status_class=\"5xx\"} 1",
        "s3seal_request_seconds_bucket{operation=\"GetObject\",le=\"0.0025\"} 0",
        "s3seal_request_seconds_bucket{operation=\"GetObject\",le=\"0.005\"} 3",
        "s3seal_first_byte_seconds_count{operation=\"PutObject\"} 1",
        "s3seal_upstream_seconds_count{operation=\"GetObject\"} 1",
        "s3seal_bytes_total{direction=\"client_in\"} 1",
        "s3seal_bytes_total{direction=\"upstream_out\"} 1099511627776",
        "s3seal_requests_in_flight 1",
        "s3seal_upstream_errors_total{kind=\"connect\"} 1",
        "s3seal_auth_failures_total{reason=\"signature\"} 1",
        "s3seal_integrity_failures_total{kind=\"chunk\"} 1",
        "s3seal_key_requests_total{call=\"unwrap\",outcome=\"ok\",provider=\"local\"} 1",
        "s3seal_key_seconds_bucket{call=\"unwrap\",provider=\"local\",le=\"0.0001\"} 1",
        "s3seal_key_cache_hits_total 1",
        "s3seal_key_cache_misses_total 1",
        "s3seal_key_cache_stale_total 1",
        "s3seal_key_cache_entries 7",
        "s3seal_key_breakers_open{provider=\"transit\"} 1",
        "s3seal_plaintext_reads_total 1",
        "s3seal_s3_encryption_client_reads_total 1",
        &format!("s3seal_build_info{{version=\"{version}\"}} 1"),
    ] {
        assert!(
            text.lines().any(|rendered| rendered == line),
            "{line}\n{text}"
        );
    }
}

#[test]
fn the_table_names_what_is_registered() {
    let metrics = used();
    let registered: BTreeSet<_> = metrics
        .registry
        .gather()
        .iter()
        .map(|family| (family.name().to_owned(), family.help().to_owned()))
        .collect();
    let described = ALL
        .iter()
        .map(|metric| (metric.name.to_owned(), metric.help.to_owned()));
    assert_eq!(registered, described.collect());
}

#[test]
fn names_say_their_unit() {
    for metric in ALL {
        assert!(metric.name.starts_with("s3seal_"), "{}", metric.name);
        let is_counter = metric.kind == Kind::Counter;
        assert_eq!(
            metric.name.ends_with("_total"),
            is_counter,
            "{}",
            metric.name
        );
        let is_duration = metric.unit == "seconds";
        assert_eq!(
            metric.name.ends_with("_seconds"),
            is_duration,
            "{}",
            metric.name
        );
    }
}

#[test]
fn unknown_statuses_are_our_errors() {
    let metrics = Metrics::new(&Registry::new(), []).unwrap();
    metrics.request("GetObject", 0, Duration::ZERO);
    let line = "s3seal_requests_total{operation=\"GetObject\",status_class=\"5xx\"} 1";
    assert!(metrics.render().contains(line));
}

#[test]
fn a_registry_takes_them_once() {
    let registry = Registry::new();
    assert!(Metrics::new(&registry, []).is_ok());
    assert!(Metrics::new(&registry, []).is_err());
}

#[test]
fn the_manual_has_the_same_table() {
    let rows: Vec<_> = MANUAL
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let expected: Vec<_> = ALL.iter().map(row).collect();
    assert_eq!(rows, expected);
    for buckets in [REQUEST_BUCKETS, KEY_BUCKETS] {
        let listed: Vec<_> = buckets.iter().map(f64::to_string).collect();
        let sentence = listed.join(", ");
        assert!(MANUAL.replace('\n', " ").contains(&sentence), "{sentence}");
    }
}

fn row(metric: &Description) -> String {
    let Description {
        name, help, unit, ..
    } = metric;
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let stability = match metric.stability {
        Stability::Stable => "stable",
    };
    let labels = match metric.labels {
        [] => "–".to_owned(),
        labels => format!("`{}`", labels.join("`, `")),
    };
    format!("| `{name}` | {kind} | {labels} | {unit} | {help} | {stability} |")
}
