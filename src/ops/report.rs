//! What is counted and logged of a request that failed, whether the client learns of it by the status
//! or behind a 200.

use http::StatusCode;

use crate::error::{Error, Fault};
use crate::telemetry::metrics::Metrics;

/// Counts and logs a failure, once: where it becomes an answer.
pub fn failure(error: &Error, status: StatusCode, metrics: &Metrics) {
    if let Error::Auth(error) = error {
        metrics.auth_failure(error.reason());
    }
    if let Error::Upstream(error) = error {
        metrics.upstream_error(error.kind());
    }
    if let Some(kind) = error.integrity_alert() {
        metrics.integrity_failure(kind);
        tracing::error!(kind, %error, "integrity alert: a stored object was refused");
        return;
    }
    let fault = error.fault().name();
    match error.fault() {
        Fault::Client => tracing::debug!(%error, fault, status = status.as_u16(), "refused"),
        Fault::Keys | Fault::Upstream | Fault::Stored | Fault::Proxy => {
            tracing::warn!(%error, fault, status = status.as_u16(), "request failed");
        }
    }
}
