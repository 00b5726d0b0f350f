//! The test bed: an origin and the proxies before it, and generators sent against them.

use std::{
    env,
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ChildStdout, Stdio},
};

use serde::Serialize;
use tempfile::TempDir;

use crate::{
    cells::Cell,
    error::LoadError,
    nginx,
    order::{Check, Order, Outcome, Payload, Work},
    proc::peak_memory,
    s3seal::{Seal, SealOptions},
    service::{LOAD_CORE, Launch, PROXY_CORE, Service},
};

/// Which way requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Via {
    /// To the origin itself.
    Direct,
    /// Through nginx with 64 KiB buffers.
    Nginx,
    /// Through the plain hyper pass-through.
    PassThrough,
    /// Through s3seal.
    S3seal,
}

impl Via {
    /// What tables and messages call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::PassThrough => "pass-through",
            Self::S3seal => "s3seal",
        }
    }
}

/// What to start.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BedOptions {
    /// Programs to measure, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = EVERYTHING)]
    pub(crate) via: Vec<Via>,
    #[command(flatten)]
    pub(crate) seal: SealOptions,
}

/// A running origin and the proxies that were asked for. Everything ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Bed {
    nginx: Option<Service>,
    pass_through: Option<Service>,
    s3seal: Option<(Seal, Service)>,
    origin: Service,
    runner: PathBuf,
    directory: TempDir,
}

impl Bed {
    /// Starts the origin, then every proxy.
    pub(crate) fn start(options: &BedOptions) -> Result<Self, LoadError> {
        let directory = TempDir::with_prefix("s3seal-load-");
        let directory = directory.map_err(LoadError::io("creating a scratch folder"))?;
        let path = directory.path();
        let runner = env::current_exe().map_err(LoadError::io("finding this program"))?;
        let wanted = |via| options.via.contains(&via);

        let worker = |name, arguments, core| {
            Service::announce(Launch {
                name,
                program: &runner,
                arguments,
                core,
                directory: path,
            })
        };
        let origin = worker("origin", &["origin"], LOAD_CORE)?;
        let upstream = origin.address();
        let forward_to = ["pass-through", &upstream.to_string()];
        let pass_through = wanted(Via::PassThrough)
            .then(|| worker("pass-through", &forward_to, PROXY_CORE))
            .transpose()?;
        let nginx = wanted(Via::Nginx)
            .then(|| nginx::start(upstream, path))
            .transpose()?;
        let s3seal = wanted(Via::S3seal)
            .then(|| start_s3seal(options, upstream, path))
            .transpose()?;
        Ok(Self {
            nginx,
            pass_through,
            s3seal,
            origin,
            runner,
            directory,
        })
    }

    /// Where requests that go this way are sent; an error if it was not started.
    fn service(&self, via: Via) -> Result<&Service, LoadError> {
        let service = match via {
            Via::Direct => Some(&self.origin),
            Via::Nginx => self.nginx.as_ref(),
            Via::PassThrough => self.pass_through.as_ref(),
            Via::S3seal => self.s3seal.as_ref().map(|(_, service)| service),
        };
        service.ok_or_else(|| LoadError::Usage(format!("{} was not started", via.name())))
    }

    /// Where requests that go this way are sent.
    pub(crate) fn address(&self, via: Via) -> Result<SocketAddr, LoadError> {
        self.service(via).map(Service::address)
    }

    /// The program that stores the objects all the others read: s3seal if it is there.
    pub(crate) fn writer(&self) -> Via {
        if self.s3seal.is_some() {
            Via::S3seal
        } else {
            Via::Direct
        }
    }

    /// How to start more instances of s3seal, if it is measured at all.
    pub(crate) fn seal(&self) -> Option<&Seal> {
        self.s3seal.as_ref().map(|(seal, _)| seal)
    }

    /// The most memory this program has had resident, in bytes.
    pub(crate) fn peak_memory(&self, via: Via) -> Result<u64, LoadError> {
        let id = self.service(via)?.id();
        peak_memory(id).map_err(LoadError::io(format!(
            "reading the memory of {}",
            via.name()
        )))
    }

    /// Stores the objects that the cell reads; returns the size in which they are stored.
    pub(crate) fn store(&self, cell: &Cell) -> Result<u64, LoadError> {
        if cell.objects == 0 {
            return Ok(cell.size);
        }
        let put = Order {
            work: Work::Put {
                size: cell.size,
                payload: Payload::Unsigned,
            },
            paths: cell.paths_below("/store"),
            connections: 1,
            requests: cell.objects as u64,
            warmup: 0,
            ..self.order(self.writer(), cell, Check::Status)?
        };
        self.generate(&put)?;
        let look = Order {
            work: Work::Get,
            connections: 1,
            requests: 1,
            warmup: 0,
            ..put
        };
        let look = Order {
            target: self.origin.address(),
            process: None,
            ..look
        };
        Ok(self.generate(&look)?.bytes)
    }

    /// The cell's measured work, sent this way.
    pub(crate) fn order(&self, via: Via, cell: &Cell, check: Check) -> Result<Order, LoadError> {
        let service = self.service(via)?;
        Ok(Order {
            name: format!("{}: {}", via.name(), cell.title),
            target: service.address(),
            process: (via != Via::Direct).then(|| service.id()),
            work: cell.work,
            paths: cell.paths(),
            in_turn: false,
            connections: cell.connections,
            requests: cell.requests,
            warmup: cell.warmup,
            check,
            stop_after: None,
        })
    }

    /// Runs one order in a generator process of its own.
    pub(crate) fn generate(&self, order: &Order) -> Result<Outcome, LoadError> {
        let launch = Launch {
            name: "generator",
            program: &self.runner,
            arguments: &["generate"],
            core: LOAD_CORE,
            directory: self.directory.path(),
        };
        let mut command = launch.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let context = || LoadError::io("talking to the generator");
        let mut child = command.spawn().map_err(context())?;
        if let Some(mut input) = child.stdin.take() {
            input
                .write_all(&serde_json::to_vec(order)?)
                .map_err(context())?;
        }
        let answer = child
            .stdout
            .take()
            .map(read_all)
            .transpose()
            .map_err(context())?;
        let status = child.wait().map_err(context())?;
        if status.success() {
            return Ok(serde_json::from_slice(&answer.unwrap_or_default())?);
        }
        // It has said on stderr, which is ours, what went wrong.
        Err(LoadError::Answer {
            target: order.name.clone(),
            reason: "see above".to_owned(),
        })
    }
}

fn start_s3seal(
    options: &BedOptions,
    origin: SocketAddr,
    directory: &Path,
) -> Result<(Seal, Service), LoadError> {
    let seal = Seal::prepare(&options.seal, origin, directory)?;
    let service = seal.start()?;
    Ok((seal, service))
}

fn read_all(mut out: ChildStdout) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    out.read_to_end(&mut bytes)?;
    Ok(bytes)
}

const EVERYTHING: [Via; 4] = [Via::Direct, Via::Nginx, Via::PassThrough, Via::S3seal];
