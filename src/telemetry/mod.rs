//! Watching it: logs, metrics, access log, traces. A leaf: it knows no other room's types.

pub mod access_log;
pub mod audit;
pub mod certificate;
pub mod history;
pub mod metrics;
pub mod recent;
pub mod request_id;
pub mod traces;

use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::log::{FilterError, Log, LogFormat, parse_filter};

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one: the operator's to repair. Checked configurations have none such.
    #[error("log filter: {0}")]
    Filter(#[from] FilterError),
    /// Logging was set up before in this process: our bug.
    #[error("logging is set up already")]
    Twice(#[from] tracing::dispatcher::SetGlobalDefaultError),
    /// Log lines do not go through [`init`]: they never do in tests.
    #[error("logging was set up by somebody else")]
    Foreign,
}

/// Sends this process's log lines to stderr, for the rest of its life.
pub fn init(log: &Log) -> Result<(), LogError> {
    let (dispatch, control) = controlled(log, std::io::stderr)?;
    tracing::dispatcher::set_global_default(dispatch)?;
    let _ = CONTROL.set(control);
    Ok(())
}

/// Lets through what this filter lets through, from now on.
pub fn set_filter(filter: &str) -> Result<(), LogError> {
    let control = CONTROL.get().ok_or(LogError::Foreign)?;
    control.set(filter)
}

/// The filter in use; `None` where logging was set up by somebody else.
pub fn filter() -> Option<String> {
    CONTROL.get().map(Control::current)
}

/// The filter of this process's log lines, of which there is one, as there is one logging.
static CONTROL: OnceLock<Control> = OnceLock::new();

/// A filter that can be replaced.
struct Control {
    replace: Box<dyn Fn(EnvFilter) -> bool + Send + Sync>,
    current: Mutex<String>,
}

impl Control {
    fn set(&self, filter: &str) -> Result<(), LogError> {
        let parsed = parse_filter(filter)?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !(self.replace)(parsed) {
            return Err(LogError::Foreign);
        }
        filter.clone_into(&mut current);
        Ok(())
    }

    fn current(&self) -> String {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

/// Log lines in the configured form, to any writer: one write for each line.
pub fn dispatch<W>(log: &Log, writer: W) -> Result<Dispatch, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    Ok(controlled(log, writer)?.0)
}

fn controlled<W>(log: &Log, writer: W) -> Result<(Dispatch, Control), LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = parse_filter(&log.filter)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    let (dispatch, replace): (Dispatch, Box<dyn Fn(EnvFilter) -> bool + Send + Sync>) =
        match log.format {
            LogFormat::Json => {
                let lines = lines.json().flatten_event(true).with_span_list(false);
                let lines = lines.with_filter_reloading();
                let handle = lines.reload_handle();
                let replace = move |filter| handle.reload(filter).is_ok();
                (lines.into(), Box::new(replace))
            }
            LogFormat::Text => {
                let lines = lines.with_ansi(false).with_filter_reloading();
                let handle = lines.reload_handle();
                let replace = move |filter| handle.reload(filter).is_ok();
                (lines.into(), Box::new(replace))
            }
        };
    let current = Mutex::new(log.filter.clone());
    Ok((dispatch, Control { replace, current }))
}
