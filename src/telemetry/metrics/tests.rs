//! The metrics as scraped, and as the manual tells them.

use std::collections::BTreeSet;

use super::connections::Refused;
use super::table::{ALL, Description, KEY_BUCKETS, Kind, REQUEST_BUCKETS, Stability};
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
    metrics.connections(Listener::S3, 1024);
    metrics.limited(Limited::Bandwidth);
    metrics.chunk_memory(ChunkMemory::Seal, 1 << 20, 1 << 30);
    metrics.certificate_not_after(Certificate::Listen, Some(1_900_000_000));
    metrics.config_reloaded(true);
    metrics.config_reloaded(false);
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
        "s3seal_connections_max{listener=\"s3\"} 1024",
        "s3seal_connections_refused_total{listener=\"admin\",reason=\"accept\"} 0",
        "s3seal_limited_requests_total{reason=\"bandwidth\"} 1",
        "s3seal_limited_requests_total{reason=\"rate\"} 0",
        "s3seal_chunk_memory_bytes{use=\"seal\"} 1048576",
        "s3seal_chunk_memory_max_bytes{use=\"seal\"} 1073741824",
        "s3seal_certificate_not_after_seconds{certificate=\"listen\"} 1900000000",
        "s3seal_config_reloads_total{outcome=\"ok\"} 1",
        "s3seal_config_reloads_total{outcome=\"failed\"} 1",
        "s3seal_config_stale 1",
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
fn connections_are_open_until_they_end() {
    let metrics = Metrics::new(&Registry::new(), []).unwrap();
    let clients = metrics.connections(Listener::S3, 8);
    let [_one, other] = [clients.opened(), clients.opened()];
    let _admin = metrics.connections(Listener::Admin, 4).opened();
    drop(other);
    clients.refused(Refused::Accept);
    let text = metrics.render();
    for line in [
        "s3seal_connections{listener=\"s3\"} 1\n",
        "s3seal_connections{listener=\"admin\"} 1\n",
        "s3seal_connections_max{listener=\"admin\"} 4\n",
        "s3seal_connections_refused_total{listener=\"s3\",reason=\"accept\"} 1\n",
        "s3seal_connections_refused_total{listener=\"s3\",reason=\"handshake\"} 0\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[test]
fn a_reload_that_works_ends_what_is_stale() {
    let metrics = Metrics::new(&Registry::new(), []).unwrap();
    let is_stale = || metrics.render().contains("\ns3seal_config_stale 1\n");
    assert!(!is_stale());
    metrics.config_reloaded(false);
    assert!(is_stale());
    metrics.config_reloaded(true);
    assert!(!is_stale());
}

#[test]
fn what_is_known_begins_at_zero() {
    let metrics = Metrics::new(&Registry::new(), ["GetObject"]).unwrap();
    metrics.begin_at_zero(&KnownLabels {
        auth_reasons: &["signature"],
        integrity_kinds: &["header"],
        upstream_kinds: &["connect"],
        providers: &["local", "transit"],
        key_calls: &["unwrap"],
        key_outcomes: &["ok", "denied"],
    });
    let text = metrics.render();
    for series in [
        "s3seal_requests_total{operation=\"GetObject\",status_class=\"5xx\"}",
        "s3seal_auth_failures_total{reason=\"signature\"}",
        "s3seal_integrity_failures_total{kind=\"header\"}",
        "s3seal_upstream_errors_total{kind=\"connect\"}",
        "s3seal_key_requests_total{call=\"unwrap\",outcome=\"denied\",provider=\"transit\"}",
        "s3seal_limited_requests_total{reason=\"concurrency\"}",
        "s3seal_config_reloads_total{outcome=\"failed\"}",
    ] {
        assert!(
            text.contains(&format!("\n{series} 0\n")),
            "{series}\n{text}"
        );
    }
}

#[test]
fn names_say_their_unit() {
    for metric in ALL {
        let prefixes = ["s3seal_", "process_"];
        let is_ours = prefixes
            .iter()
            .any(|prefix| metric.name.starts_with(prefix));
        assert!(is_ours, "{}", metric.name);
        let is_counter = metric.kind == Kind::Counter;
        assert_eq!(
            metric.name.ends_with("_total"),
            is_counter,
            "{}",
            metric.name
        );
        let is_duration = metric.unit == "seconds";
        let name = metric.name.trim_end_matches("_total");
        assert_eq!(name.ends_with("_seconds"), is_duration, "{}", metric.name);
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
