//! Processes: started on one core, watched through /proc, ended with the runner.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead as _, BufReader},
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

/// The CPU time a process has taken, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct CpuReading {
    /// utime + stime, in clock ticks of 10 ms; threads that ended are included.
    ticks: u64,
    /// Nanoseconds run, by thread; threads that ended are not included.
    threads: BTreeMap<u32, u64>,
}

impl CpuReading {
    /// Reads /proc/`process`.
    pub(crate) fn of(process: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let ticks = parse_stat(&stat).ok_or(io::ErrorKind::InvalidData)?;
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{process}/task"))? {
            let path = entry?.path();
            let thread = path
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            let run = fs::read_to_string(path.join("schedstat")).ok();
            let run = run.and_then(|text| text.split(' ').next()?.parse().ok());
            if let (Some(thread), Some(nanoseconds)) = (thread, run) {
                threads.insert(thread, nanoseconds);
            }
        }
        Ok(Self { ticks, threads })
    }

    /// The time taken since an earlier reading.
    ///
    /// The scheduler's nanoseconds, unless the clock ticks show that a thread ended and took its
    /// nanoseconds along, or the kernel does not count them.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let fine: u64 = self
            .threads
            .iter()
            .map(|(id, now)| {
                now.saturating_sub(earlier.threads.get(id).copied().unwrap_or_default())
            })
            .sum();
        let fine = Duration::from_nanos(fine);
        let coarse =
            TICK * u32::try_from(self.ticks.saturating_sub(earlier.ticks)).unwrap_or(u32::MAX);
        if coarse > fine + 3 * TICK {
            coarse
        } else {
            fine
        }
    }
}

/// The most memory the process ever had resident, in bytes (`VmHWM`).
pub(crate) fn peak_memory(process: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// utime + stime: fields 14 and 15, counted behind the name, which may hold anything.
fn parse_stat(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

/// `USER_HZ` is 100 on every architecture we run on.
const TICK: Duration = Duration::from_millis(10);

/// Much more than any of the servers needs, on a busy machine too.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Enough of a log to see why a program ended.
const LOG_LINES: usize = 20;

#[cfg(test)]
#[allow(
    dead_code,
    unused_imports,
    reason = "the runner's target has no test harness"
)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_the_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 1 2 3 4 70 30 5 6 20 0 1 0 99";
        assert_eq!(parse_stat(stat), Some(100));
        assert_eq!(parse_stat("42 (a)"), None);
    }

    #[test]
    fn an_ended_thread_is_found_in_the_ticks() {
        let reading = |ticks, threads: &[(u32, u64)]| CpuReading {
            ticks,
            threads: threads.iter().copied().collect(),
        };
        let before = reading(10, &[(1, 100_000_000), (2, 0)]);
        let steady = reading(30, &[(1, 295_000_000), (2, 0), (3, 1_000_000)]);
        assert_eq!(steady.since(&before), Duration::from_millis(196));
        let ended = reading(30, &[(1, 100_000_000)]);
        assert_eq!(ended.since(&before), Duration::from_millis(200));
    }

    #[test]
    fn our_own_process_can_be_read() {
        assert!(peak_memory(std::process::id()).unwrap() > 100_000);
        assert!(
            !CpuReading::of(std::process::id())
                .unwrap()
                .threads
                .is_empty()
        );
    }
}
