//! What a run says: tables for people, JSON for programs.

use std::{fmt::Write as _, fs, time::Duration};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    bed::Via,
    cells::{Cell, Compare, Metric, Round, Target},
    memory::{CROWD_TARGET, GROWTH_TARGET, MemoryReport, Peak},
    order::{MIB, Outcome},
    stats::{Better, Spread, Verdict},
};

/// Everything about one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    command: String,
    started: String,
    machine: Machine,
    rounds: u32,
    /// Times from start to first answer.
    pub(crate) starts: Vec<Duration>,
    /// The cells.
    pub(crate) cells: Vec<CellReport>,
}

/// Where it was measured, and who else was busy there.
#[derive(Debug, Serialize)]
struct Machine {
    processor: String,
    kernel: String,
    load_before: String,
    load_after: String,
}

/// One cell, measured and judged.
#[derive(Debug, Serialize)]
pub(crate) struct CellReport {
    id: &'static str,
    title: &'static str,
    metric: Metric,
    compare: Compare,
    target: Option<Target>,
    direct: Option<f64>,
    nginx: Option<f64>,
    pass_through: Option<f64>,
    s3seal: Option<f64>,
    /// The comparison over all rounds.
    compared: Option<Spread>,
    /// The same program twice.
    a_a: Option<Spread>,
    first: Option<Verdict>,
    goal: Option<Verdict>,
    noisy: bool,
    rounds: Vec<Round>,
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
            starts: Vec::new(),
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

    /// The tables.
    pub(crate) fn text(&self) -> String {
        let mut text = self.circumstances();
        text.push_str(CELL_HEADER);
        for cell in &self.cells {
            text.push_str(&cell.row());
        }
        text.push_str(SPEED_HEADER);
        for cell in &self.cells {
            text.push_str(&cell.speed_row());
        }
        text.push_str(&self.start_line());
        text.push_str(&self.noise_line());
        text
    }

    fn circumstances(&self) -> String {
        let Machine {
            processor,
            kernel,
            load_before,
            load_after,
        } = &self.machine;
        format!(
            "load {}\n{}, {} rounds; {processor}, Linux {kernel}; load {load_before} before, \
             {load_after} after\n",
            self.command, self.started, self.rounds
        )
    }

    fn start_line(&self) -> String {
        let starts = self.starts.iter().map(|start| start.as_secs_f64() * 1e3);
        Spread::of(starts).map_or_else(String::new, |spread| {
            let Target { first, goal } = START_TARGET;
            format!(
                "\nstart to first answer: {:.1} ms ({:.1} to {:.1}); first {first}, goal {goal}: {}\n",
                spread.median,
                spread.q1,
                spread.q3,
                verdicts(&spread, START_TARGET, Better::Lower),
            )
        })
    }

    fn noise_line(&self) -> String {
        let medians = self.cells.iter().filter_map(|cell| Some(cell.a_a?.median));
        let Some(spread) = Spread::of(medians.clone()) else {
            return "\nnoise: not measured (nginx was left out)\n".to_owned();
        };
        let (low, high) = medians.fold((spread.median, spread.median), |(low, high), median| {
            (low.min(median), high.max(median))
        });
        let verdict = if self.is_noisy() {
            "TOO NOISY: figures of the cells marked so say nothing"
        } else {
            "quiet enough"
        };
        format!(
            "\nnoise: nginx against itself came to {low:.2} to {high:.2} over the cells; {verdict} \
             ({QUIET_LOW} to {QUIET_HIGH} are allowed)\n"
        )
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
            noisy: a_a.is_some_and(|a_a| !(QUIET_LOW..=QUIET_HIGH).contains(&a_a.median)),
            rounds,
        }
    }

    fn row(&self) -> String {
        let unit = match self.metric {
            Metric::CpuPerGib => "cpu s/GiB",
            Metric::CpuPerRequest => "cpu us/req",
            Metric::MedianLatency => "p50 us",
        };
        let compare = match self.compare {
            Compare::NginxOverSeal => "nginx/s3seal",
            Compare::SealMinusDirect => "-direct, us",
            Compare::SealMinusPassThrough => "-pass, ms",
            Compare::SealOverPassThrough => "s3seal/pass",
        };
        let verdict = match (self.noisy, &self.compared, self.target) {
            (true, _, _) => "noisy".to_owned(),
            (false, Some(spread), Some(target)) => verdicts(spread, target, self.compare.better()),
            (false, _, _) => "-".to_owned(),
        };
        let range = |spread: Option<Spread>| {
            let show = |spread: Spread| format!("{}..{}", three(spread.q1), three(spread.q3));
            spread.map_or_else(|| "-".to_owned(), show)
        };
        format!(
            "{:<36}{unit:<11}{:>8}{:>8}{:>8}{:>8}  {compare:<13}{:>6} {:<13}{:>5}{:>5}  {:>5}  {verdict}\n",
            self.title,
            number(self.direct),
            number(self.nginx),
            number(self.pass_through),
            number(self.s3seal),
            number(self.compared.map(|spread| spread.median)),
            range(self.compared),
            number_plain(self.target.map(|target| target.first)),
            number_plain(self.target.map(|target| target.goal)),
            number(self.a_a.map(|spread| spread.median)),
        )
    }

    fn speed_row(&self) -> String {
        let mut row = format!("{:<36}", self.title);
        let pick: [fn(&Round) -> Option<&Outcome>; 4] = [
            |round| round.direct.as_ref(),
            |round| round.nginx.as_ref(),
            |round| round.pass_through.as_ref(),
            |round| round.s3seal.as_ref(),
        ];
        for pick in pick {
            let outcomes = || self.rounds.iter().filter_map(pick);
            let speed = Spread::of(outcomes().map(Outcome::megabytes_per_second));
            let slowest = outcomes()
                .map(Outcome::megabytes_per_second)
                .fold(f64::MAX, f64::min);
            let latency = Spread::of(outcomes().map(|outcome| outcome.p50_us));
            let stall = match speed {
                Some(speed) if slowest < speed.median / STALL => "!",
                Some(_) | None => " ",
            };
            let cell = format!(
                "{}{stall}/ {}",
                number(speed.map(|spread| spread.median)),
                number(latency.map(|spread| spread.median)),
            );
            let _ = write!(row, "{cell:>18}"); // a String takes everything
        }
        row + "\n"
    }
}

impl MemoryReport {
    /// The table and its verdicts.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from(MEMORY_HEADER);
        for row in &self.rows {
            let _ = writeln!(
                text,
                "{:<14}{:>10} {:>14.1} {:>14.1}",
                row.via.name(),
                row.size / MIB,
                mebibytes(row.one),
                mebibytes(row.crowd)
            ); // a String takes everything
        }
        let ours: Vec<&Peak> = self
            .rows
            .iter()
            .filter(|row| row.via == Via::S3seal)
            .collect();
        let crowd = ours.iter().map(|row| row.crowd).max();
        let growth = ours.first().zip(ours.last());
        let growth = growth.map(|(small, large)| large.one.saturating_sub(small.one));
        for (what, peak, target) in [
            ("peak at 64 connections", crowd, CROWD_TARGET),
            (
                "growth from the smallest to the largest",
                growth,
                GROWTH_TARGET,
            ),
        ] {
            let Some(peak) = peak else { continue };
            let mib = mebibytes(peak);
            let spread = Spread {
                q1: mib,
                median: mib,
                q3: mib,
            };
            let _ = writeln!(
                text,
                "s3seal, {what}: {mib:.1} MiB; first {}, goal {}: {}",
                target.first,
                target.goal,
                verdicts(&spread, target, Better::Lower)
            );
        }
        text
    }
}

fn verdicts(spread: &Spread, target: Target, better: Better) -> String {
    let word = |verdict| match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "MISSED",
        Verdict::Unclear => "unclear",
    };
    let (first, goal) = (
        spread.judge(target.first, better),
        spread.judge(target.goal, better),
    );
    format!("first {}, goal {}", word(first), word(goal))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), three)
}

fn number_plain(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// About three significant digits.
fn three(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Start to first answer, in milliseconds.
const START_TARGET: Target = Target {
    first: 100.0,
    goal: 30.0,
};

/// Outside of this band a program measured against itself says that nothing can be measured.
const QUIET_LOW: f64 = 0.9;
const QUIET_HIGH: f64 = 1.1;

/// A round so many times slower than the median is marked: a prototype once stalled for a whole
/// round, and a median would have hidden it.
const STALL: f64 = 3.0;

const CELL_HEADER: &str = "
cost of the proxy (median of rounds)           unit         direct   nginx    pass  s3seal  compared       median IQR          first goal    A/A  verdict
";
const SPEED_HEADER: &str = "
for information: MB/s / p50 us                    direct             nginx      pass-through            s3seal   (! = a round under a third of the median speed)
";
const MEMORY_HEADER: &str = "
program        object MiB  PUT+GET c1 MiB      c64 MiB   (peak resident memory of a fresh process)
";
