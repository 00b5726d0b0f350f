//! What a run found out, as tables for people.

use std::fmt::Write as _;

use crate::{
    bed::Via,
    cells::{Compare, Metric, Round, Target},
    memory::{CROWD_TARGET, GROWTH_TARGET, MemoryReport, Peak},
    order::{MIB, Outcome},
    parts::PartsReport,
    report::{CellReport, MAY_WAIT, Machine, QUIET, Report},
    stats::{Better, Spread, Verdict},
};

impl Report {
    /// The tables.
    pub(crate) fn text(&self) -> String {
        let mut text = self.circumstances();
        text += "\nwhat the proxy costs, medians of all rounds\n";
        text += &line(&COST, &COST.map(|(name, _)| name.to_owned()));
        for cell in &self.cells {
            text += &line(&COST, &cell.cost());
        }
        text += "\nfor information: MB/s and p50 us; ! marks a round under a third of the median speed\n";
        text += &line(&SPEED, &SPEED.map(|(name, _)| name.to_owned()));
        for cell in &self.cells {
            text += &line(&SPEED, &cell.speed());
        }
        text + "\n" + &self.starts() + &self.noise()
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

    fn starts(&self) -> String {
        let starts = self.starts_ms.iter().copied();
        Spread::of(starts).map_or_else(String::new, |spread| {
            let Target { first, goal } = START_TARGET;
            format!(
                "start to first answer: {:.1} ms ({:.1}..{:.1}); first {first}, goal {goal}: {}\n",
                spread.median,
                spread.q1,
                spread.q3,
                verdicts(&spread, START_TARGET, Better::Lower),
            )
        })
    }

    fn noise(&self) -> String {
        let pairs = self.cells.iter().filter_map(|cell| Some(cell.a_a?.median));
        let low = pairs.clone().min_by(f64::total_cmp);
        let high = pairs.max_by(f64::total_cmp);
        let waits = self.cells.iter().filter_map(|cell| cell.waited);
        let wait = waits.max_by(f64::total_cmp);
        format!(
            "noise: nginx against itself came to {}..{} ({}..{} allowed); proxies waited for their \
             core up to {} % of the time ({} % allowed): {}\n",
            number(low),
            number(high),
            QUIET.start(),
            QUIET.end(),
            number(wait.map(|wait| wait * 100.0)),
            MAY_WAIT * 100.0,
            if self.is_noisy() {
                "TOO NOISY, throw away the cells marked so"
            } else {
                "quiet"
            },
        )
    }
}

impl CellReport {
    fn cost(&self) -> [String; COST.len()] {
        let unit = match self.metric {
            Metric::CpuPerGib => "cpu s/GiB",
            Metric::CpuPerRequest => "cpu us/req",
            Metric::MedianLatency => "p50 us",
        };
        let compare = match self.compare {
            Compare::NginxOverSeal => "nginx/s3seal",
            Compare::SealMinusDirect => "-direct us",
            Compare::SealMinusPassThrough => "-pass ms",
            Compare::SealOverPassThrough => "s3seal/pass",
        };
        let range = |spread: Spread| format!("{}..{}", three(spread.q1), three(spread.q3));
        let verdict = match (self.noisy, &self.compared, self.target) {
            (true, _, _) => "noisy".to_owned(),
            (false, Some(spread), Some(target)) => verdicts(spread, target, self.compare.better()),
            (false, _, _) => NOTHING.to_owned(),
        };
        [
            self.title.to_owned(),
            unit.to_owned(),
            number(self.direct),
            number(self.nginx),
            number(self.pass_through),
            number(self.s3seal),
            compare.to_owned(),
            number(self.compared.map(|spread| spread.median)),
            self.compared.map_or_else(|| NOTHING.to_owned(), range),
            limit(self.target.map(|target| target.first)),
            limit(self.target.map(|target| target.goal)),
            number(self.a_a.map(|spread| spread.median)),
            number(self.waited.map(|part| part * 100.0)),
            verdict,
        ]
    }

    fn speed(&self) -> [String; SPEED.len()] {
        [
            self.title.to_owned(),
            self.speed_of(|round| round.direct.as_ref()),
            self.speed_of(|round| round.nginx.as_ref()),
            self.speed_of(|round| round.pass_through.as_ref()),
            self.speed_of(|round| round.s3seal.as_ref()),
        ]
    }

    fn speed_of(&self, program: fn(&Round) -> Option<&Outcome>) -> String {
        let outcomes = || self.rounds.iter().filter_map(program);
        let speeds = || outcomes().map(Outcome::megabytes_per_second);
        let median = Spread::of(speeds()).map(|spread| spread.median);
        let slowest = speeds().min_by(f64::total_cmp);
        let stalled = median
            .zip(slowest)
            .is_some_and(|(median, slowest)| slowest < median / STALL);
        let latency = Spread::of(outcomes().map(|outcome| outcome.p50_us));
        format!(
            "{}{} {}",
            number(median),
            if stalled { "!" } else { "" },
            number(latency.map(|spread| spread.median)),
        )
    }
}

impl MemoryReport {
    /// The table and its verdicts.
    pub(crate) fn text(&self) -> String {
        let mut text = "peak resident memory of a fresh process, MiB\n".to_owned();
        text += &peaks("object MiB", "PUT+GET", &self.rows);
        text += &peaks("part MiB", "multipart", &self.parts);
        let ours = || self.rows.iter().filter(|row| row.via == Via::S3seal);
        let crowd = ours().map(|row| row.crowd).max();
        let growth = |(small, large): (&Peak, &Peak)| large.one.saturating_sub(small.one);
        let growth = ours().next().zip(ours().next_back()).map(growth);
        text += &judged("at 64 connections", crowd, CROWD_TARGET);
        text += &judged(
            "growth from the smallest to the largest",
            growth,
            GROWTH_TARGET,
        );
        text
    }
}

impl PartsReport {
    /// What it took, in words.
    pub(crate) fn text(&self) -> String {
        let Self {
            parts,
            size,
            connections,
            upload_seconds,
            complete_seconds,
            uploaded_peak,
            completed_peak,
        } = self;
        format!(
            "{parts} parts of {} MiB out of order, {connections} at once: {upload_seconds:.0} s; \
             listed and completed in {complete_seconds:.1} s\npeak resident memory: {} MiB with \
             all parts uploaded, {} MiB in the end",
            size / MIB,
            three(mebibytes(*uploaded_peak)),
            three(mebibytes(*completed_peak)),
        )
    }
}

/// A table of peaks: alone, and in a crowd.
fn peaks(size: &str, work: &str, rows: &[Peak]) -> String {
    let names = [
        String::new(),
        size.to_owned(),
        format!("{work} c1"),
        format!("{work} c64"),
    ];
    let mut text = line(&MEMORY, &names);
    for row in rows {
        let cells = [
            row.via.name().to_owned(),
            (row.size / MIB).to_string(),
            three(mebibytes(row.one)),
            three(mebibytes(row.crowd)),
        ];
        text += &line(&MEMORY, &cells);
    }
    text
}

/// One line about a peak that is judged.
fn judged(what: &str, peak: Option<u64>, target: Target) -> String {
    peak.map_or_else(String::new, |peak| {
        let mib = mebibytes(peak);
        let spread = Spread {
            q1: mib,
            median: mib,
            q3: mib,
        };
        let Target { first, goal } = target;
        let verdicts = verdicts(&spread, target, Better::Lower);
        format!("s3seal, {what}: {mib:.1} MiB; first {first}, goal {goal}: {verdicts}\n")
    })
}

fn verdicts(spread: &Spread, target: Target, better: Better) -> String {
    let word = |limit| match spread.judge(limit, better) {
        Verdict::Met => "met",
        Verdict::Missed => "MISSED",
        Verdict::Unclear => "unclear",
    };
    format!("first {}, goal {}", word(target.first), word(target.goal))
}

/// A table line: the first column to the left, the others to the right.
fn line<const N: usize>(columns: &[(&str, usize); N], cells: &[String; N]) -> String {
    let mut text = String::new();
    for (number, ((_, width), cell)) in columns.iter().zip(cells).enumerate() {
        // A String takes everything.
        let _ = if number == 0 {
            write!(text, "{cell:<width$}")
        } else {
            write!(text, " {cell:>width$}")
        };
    }
    text + "\n"
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), three)
}

fn limit(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| value.to_string())
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

/// Start to first answer, in milliseconds.
const START_TARGET: Target = Target {
    first: 100.0,
    goal: 30.0,
};

/// A round so many times slower than the median is marked: a prototype once stalled for a whole
/// round, and a median would have hidden it.
const STALL: f64 = 3.0;

/// What stands for a number that was not measured.
const NOTHING: &str = "-";

/// Columns and their widths.
const COST: [(&str, usize); 14] = [
    ("", 36),
    ("unit", 10),
    ("direct", 6),
    ("nginx", 6),
    ("pass", 6),
    ("s3seal", 6),
    ("compared", 12),
    ("median", 6),
    ("IQR", 11),
    ("first", 5),
    ("goal", 5),
    ("A/A", 5),
    ("wait%", 5),
    ("verdict", 24),
];
const SPEED: [(&str, usize); 5] = [
    ("", 36),
    ("direct", 16),
    ("nginx", 16),
    ("pass-through", 16),
    ("s3seal", 16),
];
const MEMORY: [(&str, usize); 4] = [("", 14), ("size", 12), ("alone", 14), ("crowd", 14)];
