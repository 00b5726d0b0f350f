//! The process as the kernel sees it, under the names that all Prometheus clients use.
//!
//! Read at each scrape. A value that the kernel does not tell is left out.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::register::options;
use super::table::{Description, Kind, Stability};

/// Collects what the kernel knows of this process.
pub(super) struct Process {
    /// Only describes: what is collected is new each time, since a counter cannot be set.
    cpu: Counter,
    gauges: Vec<(Gauge, Read)>,
}

/// Reads one value.
type Read = fn() -> Option<f64>;

impl Process {
    pub(super) fn new() -> prometheus::Result<Self> {
        let gauges: [(&Description, Read); 5] = [
            (&RESIDENT_MEMORY, resident_bytes),
            (&OPEN_FDS, open_fds),
            (&MAX_FDS, max_fds),
            (&THREADS, threads),
            (&START_TIME, start_time),
        ];
        let gauge = |(metric, read)| Ok((Gauge::with_opts(options(metric))?, read));
        Ok(Self {
            cpu: cpu(0.0)?,
            gauges: gauges
                .into_iter()
                .map(gauge)
                .collect::<prometheus::Result<_>>()?,
        })
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.cpu.desc();
        all.extend(self.gauges.iter().flat_map(|(gauge, _)| gauge.desc()));
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut all = cpu(cpu_seconds()).map_or_else(|_| Vec::new(), |cpu| cpu.collect());
        for (gauge, read) in &self.gauges {
            if let Some(value) = read() {
                gauge.set(value);
                all.extend(gauge.collect());
            }
        }
        all
    }
}

fn cpu(seconds: f64) -> prometheus::Result<Counter> {
    let counter = Counter::with_opts(options(&CPU_SECONDS))?;
    counter.inc_by(seconds);
    Ok(counter)
}

#[expect(clippy::cast_precision_loss, reason = "a CPU time below 2^53 seconds")]
fn cpu_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

fn resident_bytes() -> Option<f64> {
    let kib = status_field(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")?;
    Some(kib * 1024.0)
}

fn threads() -> Option<f64> {
    status_field(&fs::read_to_string("/proc/self/status").ok()?, "Threads:")
}

#[expect(clippy::cast_precision_loss, reason = "a count of files")]
fn open_fds() -> Option<f64> {
    // One of them is the folder that is being read.
    let open = fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    Some(open as f64)
}

#[expect(clippy::cast_precision_loss, reason = "exact where it matters")]
fn max_fds() -> Option<f64> {
    Some(getrlimit(Resource::Nofile).current? as f64)
}

fn start_time() -> Option<f64> {
    let boot = status_field(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
    let ticks = start_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
    Some(boot + ticks / TICKS_PER_SECOND)
}

/// The number behind a name at the beginning of a line.
fn status_field(text: &str, name: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

/// Field 22 of `proc_pid_stat(5)`. The name of the program, in parentheses, may hold anything.
fn start_ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// `USER_HZ`: on x86-64 and arm64 the kernel shows times in this unit, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) const CPU_SECONDS: Description = Description {
    name: "process_cpu_seconds_total",
    kind: Kind::Counter,
    help: "CPU time of the process, of the program and of the kernel for it",
    labels: &[],
    unit: "seconds",
    stability: Stability::Stable,
};
pub(super) const RESIDENT_MEMORY: Description = Description {
    name: "process_resident_memory_bytes",
    kind: Kind::Gauge,
    help: "Memory of the process that is in RAM",
    labels: &[],
    unit: "bytes",
    stability: Stability::Stable,
};
pub(super) const OPEN_FDS: Description = Description {
    name: "process_open_fds",
    kind: Kind::Gauge,
    help: "Open file descriptors",
    labels: &[],
    unit: "descriptors",
    stability: Stability::Stable,
};
pub(super) const MAX_FDS: Description = Description {
    name: "process_max_fds",
    kind: Kind::Gauge,
    help: "File descriptors that the process may have open",
    labels: &[],
    unit: "descriptors",
    stability: Stability::Stable,
};
pub(super) const THREADS: Description = Description {
    name: "process_threads",
    kind: Kind::Gauge,
    help: "Threads of the process",
    labels: &[],
    unit: "threads",
    stability: Stability::Stable,
};
pub(super) const START_TIME: Description = Description {
    name: "process_start_time_seconds",
    kind: Kind::Gauge,
    help: "Unix time at which the process started",
    labels: &[],
    unit: "seconds",
    stability: Stability::Stable,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_is_asked() {
        let before = open_fds().unwrap();
        let _open = fs::File::open("/proc/self/status").unwrap();
        // Other tests open files meanwhile: only a bound holds.
        assert!(before >= 3.0, "{before}");
        assert!(max_fds().unwrap() > before);
        assert!(threads().unwrap() >= 1.0);
        assert!(resident_bytes().unwrap() > 1e6);
        let one = cpu_seconds();
        let burnt: u64 = (0..3_000_000).map(std::hint::black_box).sum();
        assert!(burnt > 0 && cpu_seconds() > one);
    }

    #[test]
    fn the_process_started_a_moment_ago() {
        let now = u32::try_from(crate::app::now().unix_timestamp()).unwrap();
        let age = f64::from(now) - start_time().unwrap();
        assert!((-2.0..3600.0).contains(&age), "{age} seconds old");
    }

    #[test]
    fn a_program_may_be_called_anything() {
        let fields: Vec<_> = (3..=52).map(|field| field.to_string()).collect();
        let stat = format!("7 (a) b (c) {}", fields.join(" "));
        assert_eq!(start_ticks(&stat), Some(22.0));
        assert_eq!(start_ticks("7 (x) 1 2"), None);
        assert_eq!(
            status_field("VmRSSX: 1\nVmRSS:\t  12 kB\n", "VmRSS:"),
            Some(12.0)
        );
    }
}
