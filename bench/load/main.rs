//! The load runner: what does s3seal cost next to nginx, a plain pass-through, and no proxy?
//!
//! ```text
//! cargo bench --bench load -- run       # nine rounds of every cell: a quarter of an hour
//! cargo bench --bench load -- memory    # peak memory against the size of objects and parts
//! cargo bench --bench load -- kms       # calls of a key provider per object: needs OpenBao
//! cargo bench --bench load -- parts     # an upload of 10,000 parts: 49 GiB, some minutes
//! cargo test --bench load -- smoke      # seconds: does every cell work, are all bodies right
//! ```
//!
//! Needs two cores, nginx (`apt-get install nginx-light`), `setpriv` and `taskset` (util-linux).
//! The generator and the origin stay on core 0, the proxy under test on core 1. What counts is
//! CPU time of the proxy's process over a fixed amount of work; programs are measured back to
//! back within a round, and judged by the median of the rounds' ratios. A ratio is a failure only
//! if its whole interquartile range is past the limit, and a cell says nothing if nginx measured
//! twice differs from itself by more than a tenth, or if a proxy had to wait for its core. On a
//! machine with other users, `nice -n -15` before the command keeps them off.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool"
)]

mod bed;
mod cells;
mod chunked;
mod connection;
mod error;
mod generator;
mod kms;
mod memory;
mod multipart;
mod nginx;
mod order;
mod origin;
mod parts;
mod passthrough;
mod pattern;
mod proc;
mod report;
mod run;
mod s3seal;
mod service;
mod sign;
mod smoke;
mod stats;
mod table;
mod text;
mod uploads;
mod wire;

use std::{fs, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::{
    error::LoadError, kms::KmsOptions, memory::MemoryOptions, parts::PartsOptions, run::RunOptions,
    smoke::SmokeOptions,
};

/// Measures s3seal against nginx, a plain hyper pass-through and no proxy, in one run
#[derive(Debug, Parser)]
#[command(name = "load", bin_name = "cargo bench --bench load --")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Given by cargo; means nothing
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure and judge every cell
    Run {
        #[command(flatten)]
        options: RunOptions,
        /// Fail if a target is missed (exit 1) or the machine is too noisy to say (exit 75)
        #[arg(long, value_enum)]
        gate: Option<Gate>,
        /// Also write everything measured, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Watch peak memory against the size of objects and parts
    Memory {
        #[command(flatten)]
        options: MemoryOptions,
        /// Also write everything measured, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Count calls of a key provider per object, with bucket keys and without
    Kms {
        #[command(flatten)]
        options: KmsOptions,
        /// Also write everything measured, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Upload as many parts as S3 takes, out of order, and watch peak memory
    Parts {
        #[command(flatten)]
        options: PartsOptions,
        /// Also write everything measured, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Check in seconds that every cell works and every body is right
    Smoke(SmokeOptions),
    /// Worker: carry out the order on stdin
    #[command(hide = true)]
    Generate,
    /// Worker: the origin
    #[command(hide = true)]
    Origin,
    /// Worker: the pass-through
    #[command(hide = true)]
    PassThrough {
        /// Where to forward
        origin: SocketAddr,
    },
}

/// The column of the target table that a run must meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Gate {
    First,
    Goal,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Some(command) => command.carry_out(),
        // `cargo bench` and `cargo test --all-targets` come without a command.
        None => Arguments::command()
            .print_help()
            .map_err(LoadError::io("printing"))
            .map(|()| SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("load: {error}");
        ExitCode::FAILURE
    })
}

impl Command {
    fn carry_out(self) -> Result<ExitCode, LoadError> {
        match self {
            Self::Run {
                options,
                gate,
                json,
            } => {
                let report = run::run(&options)?;
                println!("{}", report.text());
                write_json(json, &report)?;
                Ok(match gate {
                    Some(_) if report.is_noisy() => ExitCode::from(TRY_AGAIN),
                    Some(gate) if report.misses(gate == Gate::Goal) => ExitCode::FAILURE,
                    None | Some(_) => SUCCESS,
                })
            }
            Self::Memory { options, json } => {
                let report = memory::memory(&options)?;
                println!("{}", report.text());
                write_json(json, &report).map(|()| SUCCESS)
            }
            Self::Kms { options, json } => {
                let report = kms::kms(&options)?;
                println!("{}", report.text());
                write_json(json, &report).map(|()| SUCCESS)
            }
            Self::Parts { options, json } => {
                let report = parts::parts(&options)?;
                println!("{}", report.text());
                write_json(json, &report).map(|()| SUCCESS)
            }
            Self::Smoke(options) => smoke::smoke(&options).map(|()| SUCCESS),
            Self::Generate => generator::work().map(|()| SUCCESS),
            Self::Origin => origin::work().map(|()| SUCCESS),
            Self::PassThrough { origin } => passthrough::work(origin).map(|()| SUCCESS),
        }
    }
}

fn write_json(file: Option<PathBuf>, report: &impl Serialize) -> Result<(), LoadError> {
    let Some(file) = file else { return Ok(()) };
    let json = serde_json::to_vec_pretty(report)?;
    fs::write(&file, json).map_err(LoadError::io(format!("writing {}", file.display())))
}

const SUCCESS: ExitCode = ExitCode::SUCCESS;

/// `EX_TEMPFAIL` of sysexits.
const TRY_AGAIN: u8 = 75;
