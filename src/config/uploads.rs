//! Multipart uploads.

use std::time::Duration;

use serde::Deserialize;

use super::place::{S3Place, s3_place};
use super::problem::{Bounds, Check};

/// Multipart uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploads {
    /// How long an upload may take from its creation to its completion.
    pub max_age: Duration,
    /// Where the ids of running uploads are kept for all replicas.
    pub state: Option<S3Place>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadsTable {
    max_age_seconds: Option<u64>,
    state: Option<String>,
}

pub(super) fn check(table: &UploadsTable, check: &mut Check<'_>) -> Uploads {
    let state = table.state.as_ref();
    Uploads {
        state: state.and_then(|url| s3_place("uploads.state", url, check)),
        max_age: check.seconds(
            "uploads.max_age_seconds",
            table.max_age_seconds,
            &MAX_AGE_SECONDS,
        ),
    }
}

/// S3 itself never ends an upload; lifecycle rules commonly do after a week.
const MAX_AGE_SECONDS: Bounds = Bounds {
    min: 1,
    max: 31_536_000,
    default: 604_800,
};
