//! Multipart uploads.

use std::time::Duration;

use serde::Deserialize;

use super::problem::{Bounds, Check};

/// Multipart uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploads {
    /// How long an upload may take from its creation to its completion.
    pub max_age: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadsTable {
    max_age_seconds: Option<u64>,
    state: Option<String>,
}

pub(super) fn check(table: &UploadsTable, check: &mut Check<'_>) -> Uploads {
    if let Some(state) = &table.state {
        check_s3_url("uploads.state", state, check);
        check.unavailable("uploads.state", "keeping the state of uploads");
    }
    Uploads {
        max_age: check.seconds(
            "uploads.max_age_seconds",
            table.max_age_seconds,
            &MAX_AGE_SECONDS,
        ),
    }
}

/// `s3://bucket` or `s3://bucket/prefix`.
pub(super) fn check_s3_url(key: &str, url: &str, check: &mut Check<'_>) {
    let bucket = url
        .strip_prefix("s3://")
        .and_then(|rest| rest.split('/').next());
    if bucket.is_none_or(str::is_empty) {
        check.problem(key, "must be s3://bucket/prefix");
    }
}

/// S3 itself never ends an upload; lifecycle rules commonly do after a week.
const MAX_AGE_SECONDS: Bounds = Bounds {
    min: 1,
    max: 31_536_000,
    default: 604_800,
};
