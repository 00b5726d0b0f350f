//! `/status.json` as a type: its names are documented in the manual, and stay.

use std::collections::BTreeMap;

use serde::Serialize;

use super::calls::Shown;
use super::key_table::Key;
use super::summary::Summary;

#[derive(Serialize)]
pub(super) struct Document<'a> {
    pub(super) schema: u32,
    pub(super) now_unix: i64,
    pub(super) state: &'static str,
    pub(super) reason: Option<String>,
    pub(super) uptime_seconds: u64,
    pub(super) build: Build,
    pub(super) window: Window,
    pub(super) upstream: Upstream<'a>,
    pub(super) providers: Vec<Provider>,
    pub(super) keys: Vec<Key>,
    pub(super) requests: Shown,
    pub(super) operations: Vec<Operation>,
    pub(super) bytes: BTreeMap<String, Bytes>,
    pub(super) in_flight: i64,
    pub(super) connections: BTreeMap<String, Connections>,
    pub(super) connections_refused: u64,
    pub(super) key_cache: Cache,
    pub(super) certificates: Vec<Certificate>,
    pub(super) integrity_failures: BTreeMap<String, u64>,
    pub(super) auth_failures: BTreeMap<String, u64>,
    pub(super) keyring_reload_failures: u64,
    pub(super) config_stale: bool,
    pub(super) failures: Vec<Failed>,
    pub(super) refusals: Vec<Failed>,
    pub(super) configuration: &'a Summary,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Build {
    pub(super) version: &'static str,
    pub(super) commit: Option<&'static str>,
    pub(super) rustc: &'static str,
}

#[derive(Serialize)]
pub(super) struct Window {
    pub(super) step_seconds: u64,
    pub(super) steps_max: usize,
    pub(super) steps: usize,
}

#[derive(Serialize)]
pub(super) struct Upstream<'a> {
    pub(super) endpoint: &'a str,
    pub(super) last_answer_unix: Option<i64>,
    pub(super) last_error_unix: Option<i64>,
    pub(super) last_error: Option<String>,
    pub(super) calls: Shown,
}

#[derive(Serialize)]
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) ready: Option<bool>,
    pub(super) reason: Option<String>,
    pub(super) breaker: &'static str,
    pub(super) last_call_unix: Option<i64>,
    pub(super) last_error_unix: Option<i64>,
    pub(super) last_error: Option<String>,
    pub(super) calls: Shown,
}

#[derive(Serialize)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) calls: Shown,
}

#[derive(Serialize)]
pub(super) struct Bytes {
    pub(super) total: u64,
    pub(super) per_second: f64,
    pub(super) rates: Vec<f64>,
}

#[derive(Serialize)]
pub(super) struct Connections {
    pub(super) open: i64,
    pub(super) max: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct Cache {
    pub(super) entries: i64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) stale: u64,
    pub(super) hit_ratio: Option<f64>,
}

#[derive(Serialize)]
pub(super) struct Certificate {
    pub(super) name: String,
    pub(super) ends_unix: i64,
}

#[derive(Serialize)]
pub(super) struct Failed {
    pub(super) at_unix: i64,
    pub(super) request_id: String,
    pub(super) operation: &'static str,
    pub(super) status: u16,
    pub(super) code: Option<&'static str>,
    pub(super) fault: Option<&'static str>,
    pub(super) bucket: Option<String>,
    pub(super) complete: bool,
}
