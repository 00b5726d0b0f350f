//! `s3seal check-config`: every problem of a configuration with file, key and reason.

use std::path::PathBuf;

use super::CommandError;
use crate::app::{self, with_causes};
use crate::config::{Config, Environment};

/// Arguments of `check-config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Loads what `serve` would load, up to keyring and certificates, and opens no socket.
pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = load(&args.config)?;
    for warning in &config.warnings {
        super::warn(warning);
    }
    app::check(&config).map_err(|error| {
        let (file, error) = (args.config.display(), with_causes(&error));
        CommandError::Usage(format!("{file}: {error}"))
    })
}

/// Loads a configuration, or says everything that is wrong with it.
pub(super) fn load(path: &std::path::Path) -> Result<Config, CommandError> {
    Config::load(path, &Environment::of_process())
        .map_err(|error| CommandError::Usage(error.to_string()))
}
