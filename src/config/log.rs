//! What is logged, and in which form.

use serde::Deserialize;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

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
    if let Err(error) = parse_filter(&filter) {
        check.problem("log.filter", error.to_string());
        return None;
    }
    Some(Log {
        format: table.format.unwrap_or(LogFormat::Json),
        filter,
    })
}

/// A filter cannot be used: who wrote it has to repair it.
#[derive(Debug, Error)]
pub enum FilterError {
    /// Longer than any that people write.
    #[error("longer than {FILTER_LEN_MAX} bytes")]
    Long,
    /// Not in the syntax of `tracing_subscriber::EnvFilter`.
    #[error(transparent)]
    Syntax(#[from] ParseError),
}

/// Reads directives of `tracing_subscriber::EnvFilter`. Values of fields stand for themselves: regular
/// expressions would be compiled whatever that costs.
pub fn parse_filter(text: &str) -> Result<EnvFilter, FilterError> {
    if text.len() > FILTER_LEN_MAX {
        return Err(FilterError::Long);
    }
    Ok(EnvFilter::builder().with_regex(false).parse(text)?)
}

const FILTER_LEN_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_short_and_hold_no_expressions() {
        let long = format!("info,{}", "a=info,".repeat(200));
        assert!(matches!(parse_filter(&long), Err(FilterError::Long)));
        assert!(matches!(parse_filter("=="), Err(FilterError::Syntax(_))));
        assert!(parse_filter("info,s3seal::keys=debug").is_ok());
        // As an expression it would be a table of 2^40 rows, or none that can be made.
        let costly = format!("[request{{id=(0|1)*1{}}}]=info", "(0|1)".repeat(40));
        assert!(parse_filter(&costly).is_ok());
    }
}
