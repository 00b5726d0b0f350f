//! What the status page and `/status.json` show: from memory alone, whatever the state of the world.

mod calls;
mod document;
mod key_table;
mod summary;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use http::HeaderValue;
use time::OffsetDateTime;

use self::calls::{calls, per_second, rates};
use self::document::{
    Build, Bytes, Cache, Certificate, Connections, Document, Failed, Operation, Provider, Upstream,
    Window,
};
use self::key_table::key_table;
pub(super) use self::summary::Summary;
use super::upkeep::Keyring;
use crate::keys::KeyService;
use crate::server::admin::Page;
use crate::telemetry::history::{Calls, History, LastSeen, Lookups, STEP, STEPS_MAX, Step};
use crate::telemetry::metrics::{Gauges, Metrics};
use crate::telemetry::recent::{Failure, Recent};

/// Where it is all known.
pub(super) struct Status {
    pub(super) began: Instant,
    /// Of the configuration in force.
    pub(super) summary: Arc<ArcSwap<Summary>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) keys: Arc<KeyService>,
    pub(super) keyrings: Vec<Keyring>,
    pub(super) not_ready: Arc<ArcSwap<Option<String>>>,
    pub(super) history: Arc<History>,
    pub(super) recent: Arc<Recent>,
}

impl Status {
    /// The document as JSON. `now` is the time to show; an empty object if it cannot be written, which it can.
    pub(super) fn render(&self, now: OffsetDateTime, is_draining: bool) -> String {
        let summary = self.summary.load();
        let document = self.document(&summary, now, is_draining);
        serde_json::to_string(&document).unwrap_or_else(|_| "{}".to_owned())
    }

    fn document<'a>(
        &'a self,
        summary: &'a Summary,
        now: OffsetDateTime,
        is_draining: bool,
    ) -> Document<'a> {
        let steps = self.history.steps();
        let (gauges, totals) = (self.metrics.gauges(), self.metrics.totals());
        let reason = self.not_ready.load().as_ref().clone();
        let uptime = self.began.elapsed().as_secs();
        Document {
            schema: 1,
            now_unix: now.unix_timestamp(),
            state: match (is_draining, &reason) {
                (true, _) => "draining",
                (false, Some(_)) => "not-ready",
                (false, None) => "ready",
            },
            reason,
            uptime_seconds: uptime,
            build: BUILD,
            window: Window {
                step_seconds: STEP.as_secs(),
                steps_max: STEPS_MAX,
                steps: steps.len(),
            },
            upstream: self.upstream(&summary.upstream.endpoint, &steps),
            providers: self.providers(&steps),
            keys: key_table(&self.keys, &self.keyrings, &summary.rules),
            requests: calls(&steps, |counts| {
                let mut all = Calls::default();
                counts.operations.values().for_each(|one| all.add(one));
                Some(all)
            }),
            operations: operations(&steps),
            bytes: bytes(totals.bytes, &steps),
            in_flight: gauges.in_flight,
            connections: connections(&gauges),
            key_cache: cache(&totals.cache, &steps, gauges.key_cache_entries),
            certificates: certificates(&gauges),
            integrity_failures: gauges.integrity_failures,
            auth_failures: gauges.auth_failures,
            keyring_reload_failures: gauges.keyring_failures,
            config_stale: gauges.is_config_stale,
            connections_refused: gauges.connections_refused,
            failures: self.recent.failures().into_iter().map(failed).collect(),
            refusals: self.recent.refusals().into_iter().map(failed).collect(),
            configuration: summary,
        }
    }

    fn upstream<'a>(&self, endpoint: &'a str, steps: &[Arc<Step>]) -> Upstream<'a> {
        let LastSeen { good, failed } = self.history.upstream();
        Upstream {
            endpoint,
            last_answer_unix: good,
            last_error_unix: failed.as_ref().map(|(at, _)| *at),
            last_error: failed.map(|(_, kind)| kind),
            calls: calls(steps, |counts| Some(counts.upstream.clone())),
        }
    }

    fn providers(&self, steps: &[Arc<Step>]) -> Vec<Provider> {
        let provider = |state: crate::keys::service::ProviderState| {
            let kind = state.kind.name();
            let LastSeen { good, failed } = self.history.keys(kind);
            let readiness = state.readiness;
            Provider {
                name: state.name,
                kind,
                ready: readiness.map(|found| found.is_ok()),
                reason: readiness
                    .and_then(Result::err)
                    .map(|error| error.to_string()),
                breaker: state.breaker.name(),
                last_call_unix: good.max(failed.as_ref().map(|(at, _)| *at)),
                last_error_unix: failed.as_ref().map(|(at, _)| *at),
                last_error: failed.map(|(_, outcomes)| outcomes),
                calls: calls(steps, |counts| counts.keys.get(kind).cloned()),
            }
        };
        self.keys.providers().into_iter().map(provider).collect()
    }
}

/// Those that there were any of, most frequent first.
fn operations(steps: &[Arc<Step>]) -> Vec<Operation> {
    let mut names: Vec<&str> = Vec::new();
    for step in steps {
        let of_step = step.counts.operations.keys().map(String::as_str);
        names.extend(of_step);
    }
    names.sort_unstable();
    names.dedup();
    let operation = |name: &str| Operation {
        name: name.to_owned(),
        calls: calls(steps, |counts| counts.operations.get(name).cloned()),
    };
    let mut operations: Vec<_> = names.into_iter().map(operation).collect();
    operations.sort_by_key(|operation| std::cmp::Reverse(operation.calls.count));
    operations
}

fn bytes(totals: BTreeMap<String, u64>, steps: &[Arc<Step>]) -> BTreeMap<String, Bytes> {
    let of_direction = |(direction, total): (String, u64)| {
        let moved = |step: &Step| step.counts.bytes.get(&direction).copied();
        let moved = |step: &Step| moved(step).unwrap_or_default();
        let bytes = Bytes {
            total,
            per_second: per_second(steps, moved),
            rates: rates(steps, moved),
        };
        (direction, bytes)
    };
    totals.into_iter().map(of_direction).collect()
}

fn connections(gauges: &Gauges) -> BTreeMap<String, Connections> {
    let of_listener = |(listener, open): (&String, &i64)| {
        let max = gauges.connections_max.get(listener).copied();
        let connections = Connections { open: *open, max };
        (listener.clone(), connections)
    };
    gauges.connections.iter().map(of_listener).collect()
}

/// The ratio is of the last minutes, or of no time if nothing was looked up.
fn cache(total: &Lookups, steps: &[Arc<Step>], entries: i64) -> Cache {
    let sum = |of: fn(&Lookups) -> u64| -> u64 {
        let counts = steps.iter().map(|step| of(&step.counts.cache));
        counts.sum()
    };
    let (hits, misses) = (sum(|it| it.hits), sum(|it| it.misses));
    Cache {
        entries,
        hits: total.hits,
        misses: total.misses,
        stale: total.stale,
        hit_ratio: calls::ratio(hits, hits + misses),
    }
}

fn certificates(gauges: &Gauges) -> Vec<Certificate> {
    let certificates = gauges.certificates.iter();
    let certificate = |(name, ends): (&String, &i64)| Certificate {
        name: name.clone(),
        ends_unix: *ends,
    };
    certificates.map(certificate).collect()
}

fn failed(failure: Failure) -> Failed {
    Failed {
        at_unix: failure.at,
        request_id: failure.request_id.to_string(),
        operation: failure.operation,
        status: failure.status,
        code: failure.code,
        fault: failure.fault,
        bucket: failure.bucket,
        complete: failure.is_complete,
    }
}

/// The page, and a policy that lets run what is in it and nothing else: it is known by its hashes.
pub(super) fn page() -> Page {
    let hash = |tag: &str| {
        let inner = inner(PAGE, tag).unwrap_or_default();
        format!(
            "'sha256-{}'",
            BASE64.encode(digest(&SHA256, inner.as_bytes()).as_ref())
        )
    };
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    );
    let policy = HeaderValue::try_from(policy);
    Page {
        text: PAGE,
        policy: policy.unwrap_or(HeaderValue::from_static("default-src 'none'")),
    }
}

/// What stands in the first element of this name.
fn inner<'a>(html: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = html.split_once(&format!("<{tag}>"))?;
    rest.split_once(&format!("</{tag}>"))
        .map(|(inner, _)| inner)
}

const PAGE: &str = include_str!("status/page.html");

const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    commit: option_env!("S3SEAL_COMMIT"),
    rustc: env!("S3SEAL_RUSTC"),
};

#[cfg(test)]
mod tests;
