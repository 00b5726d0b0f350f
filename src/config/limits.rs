//! How much a client may ask for.

use serde::Deserialize;

use super::problem::Check;

/// The limits of one client, or of everybody who signs nothing; no limit where `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests a second.
    pub requests_per_second: Option<u32>,
    /// Requests at once after a pause; as many as in a second where `None`.
    pub burst: Option<u32>,
    /// Requests whose answer is not yet at its end.
    pub concurrent_requests: Option<u32>,
    /// Body bytes a second, both directions together.
    pub bytes_per_second: Option<u64>,
}

/// Of `[limits]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefaultLimits {
    /// Of every client that has none of its own.
    pub clients: Limits,
    /// Of all unsigned requests together.
    pub anonymous: Limits,
}

impl Limits {
    /// With another's where it has none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        // A burst belongs to its rate.
        let rate = if self.requests_per_second.is_some() {
            self
        } else {
            other
        };
        Self {
            requests_per_second: rate.requests_per_second,
            burst: self.burst.or(rate.burst),
            concurrent_requests: self.concurrent_requests.or(other.concurrent_requests),
            bytes_per_second: self.bytes_per_second.or(other.bytes_per_second),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultsTable {
    requests_per_second: Option<u32>,
    burst: Option<u32>,
    concurrent_requests: Option<u32>,
    bytes_per_second: Option<u64>,
    anonymous: Option<Limits>,
}

pub(super) fn check_defaults(table: &DefaultsTable, check: &mut Check<'_>) -> DefaultLimits {
    let clients = Limits {
        requests_per_second: table.requests_per_second,
        burst: table.burst,
        concurrent_requests: table.concurrent_requests,
        bytes_per_second: table.bytes_per_second,
    };
    let clients = check_limits("limits", clients, check);
    let anonymous = table.anonymous.unwrap_or_default();
    DefaultLimits {
        clients,
        anonymous: check_limits("limits.anonymous", anonymous, check).or(clients),
    }
}

pub(super) fn check_limits(key: &str, limits: Limits, check: &mut Check<'_>) -> Limits {
    for (name, value) in [
        ("requests_per_second", limits.requests_per_second),
        ("burst", limits.burst),
        ("concurrent_requests", limits.concurrent_requests),
    ] {
        if value == Some(0) {
            check.problem(format!("{key}.{name}"), "must be at least 1");
        }
    }
    if limits
        .bytes_per_second
        .is_some_and(|it| it < BYTES_PER_SECOND_MIN)
    {
        check.problem(
            format!("{key}.bytes_per_second"),
            format!("must be at least {BYTES_PER_SECOND_MIN}: the upstream would give up before"),
        );
    }
    limits
}

/// One piece of a body a second.
const BYTES_PER_SECOND_MIN: u64 = 64 << 10;
