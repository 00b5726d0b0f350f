//! What is logged, and in which form.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use super::problem::Check;

/// What is logged, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Form of a line.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`, known to parse: `"info"`, `"info,s3seal::keys=debug"`.
    pub filter: String,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogTable {
    format: Option<LogFormat>,
    filter: Option<String>,
}

pub(super) fn check(table: LogTable, check: &mut Check<'_>) -> Option<Log> {
    let filter = table.filter.unwrap_or_else(|| "info".to_owned());
    if let Err(error) = EnvFilter::builder().parse(&filter) {
        check.problem("log.filter", error.to_string());
        return None;
    }
    Some(Log {
        format: table.format.unwrap_or(LogFormat::Json),
        filter,
    })
}
