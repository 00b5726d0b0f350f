//! Everything that can stop a run.

use std::{io, path::PathBuf};

use crate::{chunked::ChunkError, wire::WireError};

/// Why a run ended early. The machine, a program under test, or an answer that is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The program under test (or the origin) answered something else than it should have.
    #[error("{target}: {reason}")]
    Answer {
        /// Which target, and for which request.
        target: String,
        /// What came instead.
        reason: String,
    },
    /// The client or the origin sent a chunked body that does not parse.
    #[error("chunked body: {0}")]
    Chunk(#[from] ChunkError),
    /// A program stopped before it was asked to.
    #[error("{name} ended ({status}); the end of its log:\n{log}")]
    Died {
        /// The program's role.
        name: &'static str,
        /// Its exit status.
        status: String,
        /// The last lines it wrote.
        log: String,
    },
    /// The machine: a file or socket call failed.
    #[error("{context}: {source}")]
    Io {
        /// What was being done.
        context: String,
        /// What the system said.
        source: io::Error,
    },
    /// Two of our own processes do not understand each other.
    #[error("message between runner and worker: {0}")]
    Message(#[from] serde_json::Error),
    /// A program that has to be installed or built is not there.
    #[error("{program} cannot be started ({source}); {hint}")]
    Missing {
        /// The program.
        program: PathBuf,
        /// How to get it.
        hint: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A request could not be signed.
    #[error("cannot sign: {0}")]
    Sign(String),
    /// The work took longer than any sound program needs.
    #[error("{target}: no end after {seconds} s")]
    Stalled {
        /// Which target, and for which request.
        target: String,
        /// The limit that passed.
        seconds: u64,
    },
    /// The command line asks for something that cannot be done.
    #[error("{0}")]
    Usage(String),
    /// A response is not HTTP/1.1 as we read it.
    #[error("response: {0}")]
    Wire(#[from] WireError),
}

impl LoadError {
    /// An adapter for `map_err` that says what was being done.
    pub(crate) fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let context = context.into();
        |source| Self::Io { context, source }
    }
}
