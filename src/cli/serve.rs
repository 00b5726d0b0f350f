//! `s3seal serve`: the proxy.

use std::path::PathBuf;

use super::{CommandError, check_config};
use crate::app::{self, App};
use crate::config::Config;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Serves until SIGTERM or SIGINT, then drains.
pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = check_config::load(&args.config)?;
    app::init_log(&config.log).map_err(|error| CommandError::Usage(error.to_string()))?;
    app::runtime()
        .map_err(|error| CommandError::Failed(format!("runtime: {error}")))?
        .block_on(serve(config))
}

/// Builds the proxy and runs it: the listeners and upkeep in the current runtime, requests on
/// threads of their own.
pub async fn serve(config: Config) -> Result<(), CommandError> {
    let app = Box::pin(App::build(config)).await?;
    app.run(app::shutdown_signal()).await;
    Ok(())
}
