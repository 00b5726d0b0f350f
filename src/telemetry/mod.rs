//! Watching it: logs, metrics, access log. A leaf: it knows no other room's types.

pub mod access_log;
pub mod audit;
pub mod certificate;
pub mod history;
pub mod metrics;
pub mod recent;
pub mod request_id;

use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::log::{Log, LogFormat};

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one: the operator's to repair. Checked configurations have none such.
    #[error("log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logging was set up before in this process: our bug.
    #[error("logging is set up already")]
    Twice(#[from] tracing::dispatcher::SetGlobalDefaultError),
}

/// Sends this process's log lines to stderr, for the rest of its life.
pub fn init(log: &Log) -> Result<(), LogError> {
    let dispatch = dispatch(log, std::io::stderr)?;
    Ok(tracing::dispatcher::set_global_default(dispatch)?)
}

/// Log lines in the configured form, to any writer: one write for each line.
pub fn dispatch<W>(log: &Log, writer: W) -> Result<Dispatch, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(&log.filter)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    Ok(match log.format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .into(),
        LogFormat::Text => lines.with_ansi(false).into(),
    })
}
