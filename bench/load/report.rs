//! What a run found out: measured, compared, judged. As JSON it is for programs.

use std::{fs, ops::RangeInclusive};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    cells::{Cell, Compare, Metric, Round, Target},
    order::Outcome,
    stats::{Spread, Verdict},
};

/// Everything about one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The command line.
    pub(crate) command: String,
    /// When, in UTC.
    pub(crate) started: String,
    /// Where.
    pub(crate) machine: Machine,
    /// How many rounds.
    pub(crate) rounds: u32,
    /// Milliseconds from start to first answer.
    pub(crate) starts_ms: Vec<f64>,
    /// The cells.
    pub(crate) cells: Vec<CellReport>,
}

/// Where it was measured, and who else was busy there.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// Cores and model.
    pub(crate) processor: String,
    /// Linux release.
    pub(crate) kernel: String,
    /// One-minute load average before the run.
    pub(crate) load_before: String,
    /// And after it.
    pub(crate) load_after: String,
}

/// One cell, measured and judged.
#[derive(Debug, Serialize)]
pub(crate) struct CellReport {
    /// The cell's stable name.
    pub(crate) id: &'static str,
    /// What the table calls it.
    pub(crate) title: &'static str,
    /// What the next four numbers are; medians over the rounds.
    pub(crate) metric: Metric,
    /// Without a proxy.
    pub(crate) direct: Option<f64>,
    /// Through nginx.
    pub(crate) nginx: Option<f64>,
    /// Through the pass-through.
    pub(crate) pass_through: Option<f64>,
    /// Through s3seal.
    pub(crate) s3seal: Option<f64>,
    /// How the programs are compared.
    pub(crate) compare: Compare,
    /// The comparison over all rounds.
    pub(crate) compared: Option<Spread>,
    /// What it should come to.
    pub(crate) target: Option<Target>,
    /// What it says about the first target.
    pub(crate) first: Option<Verdict>,
    /// What it says about the goal.
    pub(crate) goal: Option<Verdict>,
    /// The same program twice.
    pub(crate) a_a: Option<Spread>,
    /// The part of the time a proxy waited for its core: the median of the worst program.
    pub(crate) waited: Option<f64>,
    /// Whether the machine was too busy for any of this to mean anything.
    pub(crate) noisy: bool,
    /// Everything measured.
    pub(crate) rounds: Vec<Round>,
}

impl Report {
    /// Notes the circumstances before a run.
    pub(crate) fn begin(rounds: u32) -> Self {
        let now = OffsetDateTime::now_utc().replace_nanosecond(0);
        Self {
            command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            started: now
                .ok()
                .and_then(|now| now.format(&Rfc3339).ok())
                .unwrap_or_default(),
            machine: Machine::look(),
            rounds,
            starts_ms: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// Notes the circumstances after it.
    pub(crate) fn end(&mut self) {
        self.machine.load_after = load_average();
    }

    /// Whether any cell's A/A pair left the band in which figures mean anything.
    pub(crate) fn is_noisy(&self) -> bool {
        self.cells.iter().any(|cell| cell.noisy)
    }

    /// Whether a cell missed its first target, or its goal.
    pub(crate) fn misses(&self, goal: bool) -> bool {
        let missed = |cell: &CellReport| if goal { cell.goal } else { cell.first };
        self.cells
            .iter()
            .any(|cell| missed(cell) == Some(Verdict::Missed))
    }
}

impl Machine {
    fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let model = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let model = model.map_or("", |model| model.trim_start_matches([' ', '\t', ':']));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            processor: format!("{cores} cores of {model}"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: load_average(),
            load_after: String::new(),
        }
    }
}

impl CellReport {
    /// Compares and judges the rounds.
    pub(crate) fn new(cell: &Cell, rounds: Vec<Round>) -> Self {
        let Cell {
            id,
            title,
            metric,
            compare,
            target,
            ..
        } = *cell;
        let median = |of: fn(&Round) -> Option<&Outcome>| {
            let samples = rounds.iter().filter_map(|round| metric.of(of(round)));
            Spread::of(samples).map(|spread| spread.median)
        };
        let compared = Spread::of(rounds.iter().filter_map(|round| compare.of(metric, round)));
        let a_a = Spread::of(rounds.iter().filter_map(|round| round.a_a(metric)));
        let programs: [fn(&Round) -> Option<&Outcome>; 3] = [
            |round| round.nginx.as_ref(),
            |round| round.pass_through.as_ref(),
            |round| round.s3seal.as_ref(),
        ];
        let waits = programs.into_iter().filter_map(|of| {
            let waits = rounds.iter().filter_map(|round| of(round)?.waited());
            Some(Spread::of(waits)?.median)
        });
        let waited = waits.max_by(f64::total_cmp);
        let judge =
            |limit: fn(Target) -> f64| Some(compared?.judge(limit(target?), compare.better()));
        Self {
            id,
            title,
            metric,
            compare,
            target,
            direct: median(|round| round.direct.as_ref()),
            nginx: median(|round| round.nginx.as_ref()),
            pass_through: median(|round| round.pass_through.as_ref()),
            s3seal: median(|round| round.s3seal.as_ref()),
            compared,
            a_a,
            first: judge(|target| target.first),
            goal: judge(|target| target.goal),
            waited,
            noisy: a_a.is_some_and(|a_a| !QUIET.contains(&a_a.median))
                || waited.is_some_and(|waited| waited > MAY_WAIT),
            rounds,
        }
    }
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Outside of this band a program measured against itself says that nothing can be measured.
pub(crate) const QUIET: RangeInclusive<f64> = 0.9..=1.1;

/// A proxy that had to wait for its core longer than this part of the time was not alone there:
/// its sockets filled up meanwhile, and larger batches make work look cheaper.
pub(crate) const MAY_WAIT: f64 = 0.05;
