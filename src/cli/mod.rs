//! The command line: parsing and dispatch, nothing else.

pub mod bulk;
pub mod check_config;
pub mod encrypt;
pub mod inspect;
pub mod key;
pub mod open;
pub mod passphrase;
pub mod rewrap;
pub mod serve;
pub mod usage;
pub mod verify;
pub mod webhook;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use thiserror::Error;

use crate::app::{StartError, with_causes};

/// A transparent client-side-encryption proxy in front of S3.
#[derive(Debug, Parser)]
#[command(name = "s3seal", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it: an embedded S3 server on a folder, a keyring, and the proxy
    #[cfg(feature = "dev")]
    Dev(crate::dev::Args),
    /// Run the proxy
    Serve(serve::Args),
    /// Check a configuration and say what is wrong with it
    CheckConfig(check_config::Args),
    /// Manage the keys of a keyring file
    Key(key::KeyArgs),
    /// Encrypt objects that were stored before the proxy, in place
    Encrypt(encrypt::Args),
    /// Show how a stored object is encrypted; shows no secret
    Inspect(inspect::Args),
    /// Give data keys another wrap: by another key, or by the same key's current version
    Rewrap(rewrap::Args),
    /// Count objects and bytes by key, version and mode
    Usage(usage::Args),
    /// Read and authenticate every object
    Verify(verify::Args),
    /// Decrypt a stored object offline, without proxy or S3
    Open(open::Args),
    /// Give pods of Kubernetes the sidecar that they ask for: a mutating admission webhook
    Webhook(webhook::Args),
    /// Print shell completions
    Completions {
        /// For this shell
        shell: Shell,
    },
}

/// Why a command failed, as one sentence for a person, and the exit code it gives.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Bad usage or configuration: 64.
    #[error("{0}")]
    Usage(String),
    /// Something failed: 1.
    #[error("{0}")]
    Failed(String),
}

impl CommandError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Failed(_) => EXIT_FAILED,
        }
    }
}

impl From<StartError> for CommandError {
    /// Bad configuration, or a failure of what it names: whether trying again is of use.
    fn from(error: StartError) -> Self {
        let text = with_causes(&error);
        if error.is_configuration() {
            Self::Usage(text)
        } else {
            Self::Failed(text)
        }
    }
}

/// Runs the command of the process and returns its exit code: 0 done, 1 something failed, 64 bad
/// usage or configuration.
pub fn main() -> ExitCode {
    // Core dumps hold keys.
    crate::app::prepare_process();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "s3seal: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command) -> Result<(), CommandError> {
    match command {
        #[cfg(feature = "dev")]
        Command::Dev(args) => crate::dev::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Key(args) => run_key(&args),
        Command::Encrypt(args) => encrypt::run(&args),
        Command::Rewrap(args) => rewrap::run(&args),
        Command::Usage(args) => usage::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Open(args) => open::run(&args),
        Command::Webhook(args) => webhook::run(args),
        Command::Completions { shell } => {
            let mut completions = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "s3seal", &mut completions);
            std::io::stdout()
                .write_all(&completions)
                .map_err(|error| CommandError::Failed(error.to_string()))
        }
    }
}

fn run_key(args: &key::KeyArgs) -> Result<(), CommandError> {
    let stdin = std::io::stdin();
    let mut ask = passphrase::ask_terminal;
    let mut io = key::KeyIo {
        interactive: stdin.is_terminal(),
        passphrases: passphrase::Passphrases::of_process(&mut ask),
        input: &mut stdin.lock(),
        output: &mut std::io::stdout().lock(),
        now: crate::app::now(),
    };
    key::run(args, &mut io).map_err(|error| match error.exit_code() {
        EXIT_USAGE => CommandError::Usage(with_causes(&error)),
        _ => CommandError::Failed(with_causes(&error)),
    })
}

/// Something to look at that is no error.
fn warn(text: &impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "s3seal: warning: {text}");
}

const EXIT_FAILED: u8 = 1;

/// `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;
