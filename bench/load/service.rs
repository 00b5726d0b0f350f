//! Server processes: started on one core, awaited, ended with the runner.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::error::LoadError;

/// The core of the generator and the origin.
pub(crate) const LOAD_CORE: usize = 0;
/// The core of the proxy under test.
pub(crate) const PROXY_CORE: usize = 1;

/// A server process on a core of its own; killed when dropped.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Service {
    /// Starts a server that listens where it was told, and waits until it takes connections.
    pub(crate) fn start(launch: Launch<'_>, address: SocketAddr) -> Result<Self, LoadError> {
        let mut service = Self::spawn(launch, address)?;
        service.until_listening()?;
        Ok(service)
    }

    /// Starts a server without waiting for it.
    pub(crate) fn spawn(launch: Launch<'_>, address: SocketAddr) -> Result<Self, LoadError> {
        let log = launch.directory.join(format!("{}.log", launch.name));
        let file = File::create(&log).map_err(LoadError::io("creating a log file"))?;
        let errors = file
            .try_clone()
            .map_err(LoadError::io("creating a log file"))?;
        let name = launch.name;
        let mut command = launch.command();
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = command
            .spawn()
            .map_err(LoadError::io(format!("starting {name}")))?;
        Ok(Self {
            name,
            child,
            address,
            log,
        })
    }

    /// Starts one of our own workers, which picks its port and prints its address.
    pub(crate) fn announce(launch: Launch<'_>) -> Result<Self, LoadError> {
        let name = launch.name;
        let log = launch.directory.join(format!("{name}.log"));
        let errors = File::create(&log).map_err(LoadError::io("creating a log file"))?;
        let mut command = launch.command();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut child = command
            .spawn()
            .map_err(LoadError::io(format!("starting {name}")))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            let read = BufReader::new(out).read_line(&mut line);
            read.map_err(LoadError::io(format!("reading from {name}")))?;
        }
        let mut service = Self {
            name,
            child,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            log,
        };
        match line.trim().parse() {
            Ok(address) => service.address = address,
            Err(_) => return Err(service.died()),
        }
        Ok(service)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id: `setpriv` and `taskset` replace themselves, so it is the server's own.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended.
    pub(crate) fn check(&mut self) -> Result<(), LoadError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(_) => Err(self.died()),
        }
    }

    fn until_listening(&mut self) -> Result<(), LoadError> {
        let started = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            self.check()?;
            if started.elapsed() > START_LIMIT {
                return Err(LoadError::Stalled {
                    target: format!("{} opening {}", self.name, self.address),
                    seconds: START_LIMIT.as_secs(),
                });
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn died(&mut self) -> LoadError {
        let _ = self.child.kill();
        let status = self
            .child
            .wait()
            .map_or_else(|e| e.to_string(), |status| status.to_string());
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let skip = log.lines().count().saturating_sub(LOG_LINES);
        let log = log.lines().skip(skip).collect::<Vec<_>>().join("\n");
        LoadError::Died {
            name: self.name,
            status,
            log,
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What to start and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch<'a> {
    /// The program's role, for messages and its log.
    pub(crate) name: &'static str,
    /// The executable.
    pub(crate) program: &'a Path,
    /// Its arguments.
    pub(crate) arguments: &'a [&'a str],
    /// The core it stays on.
    pub(crate) core: usize,
    /// The scratch folder.
    pub(crate) directory: &'a Path,
}

impl Launch<'_> {
    /// The command: it dies with the runner, even a killed one, and stays on its core.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        // Variables of whoever runs the bench would be taken for overrides of the configuration.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("S3SEAL_") {
                command.env_remove(name);
            }
        }
        command.args(["--pdeathsig", "KILL", "--", "taskset", "-c"]);
        command
            .arg(self.core.to_string())
            .arg(self.program)
            .args(self.arguments);
        command.current_dir(self.directory);
        command
    }
}

/// An address that was free a moment ago, for servers that cannot pick one themselves.
pub(crate) fn free_address() -> Result<SocketAddr, LoadError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(LoadError::io("looking for a free port"))
}

/// Much more than any of the servers needs, on a busy machine too.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Enough of a log to see why a program ended.
const LOG_LINES: usize = 20;
