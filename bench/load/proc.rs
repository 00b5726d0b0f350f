//! What /proc says about a process: CPU time and memory.

use std::{collections::BTreeMap, fs, io, time::Duration};

/// The CPU time a process has taken, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct CpuReading {
    /// utime + stime, in clock ticks of 10 ms; threads that ended are included.
    ticks: u64,
    /// What the scheduler counts, by thread; threads that ended are not included.
    threads: BTreeMap<u32, Scheduled>,
}

/// One thread's time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Scheduled {
    /// On a core.
    ran: u64,
    /// Ready to run, while somebody else had the core.
    waited: u64,
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
            let scheduled = fs::read_to_string(path.join("schedstat")).ok();
            let scheduled = scheduled.as_deref().and_then(parse_schedstat);
            if let (Some(thread), Some(scheduled)) = (thread, scheduled) {
                threads.insert(thread, scheduled);
            }
        }
        Ok(Self { ticks, threads })
    }

    /// The time taken since an earlier reading.
    ///
    /// The scheduler's nanoseconds, unless the clock ticks show that a thread ended and took its
    /// nanoseconds along, or the kernel does not count them.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let fine = self.sum_since(earlier, |scheduled| scheduled.ran);
        let coarse =
            TICK * u32::try_from(self.ticks.saturating_sub(earlier.ticks)).unwrap_or(u32::MAX);
        if coarse > fine + 3 * TICK {
            coarse
        } else {
            fine
        }
    }

    /// How long its threads were ready to run but did not have the core: the time others took.
    pub(crate) fn waited_since(&self, earlier: &Self) -> Duration {
        self.sum_since(earlier, |scheduled| scheduled.waited)
    }

    fn sum_since(&self, earlier: &Self, count: fn(Scheduled) -> u64) -> Duration {
        let before = |thread| earlier.threads.get(thread).copied().unwrap_or_default();
        let threads = self.threads.iter();
        let since = threads.map(|(id, now)| count(*now).saturating_sub(count(before(id))));
        Duration::from_nanos(since.sum())
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

/// The first two of the three numbers of a schedstat file.
fn parse_schedstat(text: &str) -> Option<Scheduled> {
    let mut numbers = text.split(' ').map(str::parse::<u64>);
    Some(Scheduled {
        ran: numbers.next()?.ok()?,
        waited: numbers.next()?.ok()?,
    })
}

/// `USER_HZ` is 100 on every architecture we run on.
const TICK: Duration = Duration::from_millis(10);

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
            threads: threads
                .iter()
                .map(|&(id, ran)| (id, Scheduled { ran, waited: 7 }))
                .collect(),
        };
        let before = reading(10, &[(1, 100_000_000), (2, 0)]);
        let steady = reading(30, &[(1, 295_000_000), (2, 0), (3, 1_000_000)]);
        assert_eq!(steady.since(&before), Duration::from_millis(196));
        assert_eq!(steady.waited_since(&before), Duration::from_nanos(7));
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
