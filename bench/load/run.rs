//! The measurement: every cell, every program, round by round.

use crate::{
    bed::{Bed, BedOptions, Via},
    cells::{Cell, Round},
    error::LoadError,
    order::{Check, KIB, Outcome, Work},
    report::{CellReport, Report},
    table,
};

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) bed: BedOptions,
    /// Rounds; the documents' figures need nine
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Only cells whose name contains one of these, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "TEXT")]
    pub(crate) cell: Vec<String>,
}

/// Measures and judges.
pub(crate) fn run(options: &RunOptions) -> Result<Report, LoadError> {
    let chosen = |cell: &Cell| {
        options.cell.is_empty()
            || options
                .cell
                .iter()
                .any(|text| cell.id.contains(text.as_str()))
    };
    let cells: Vec<Cell> = table::cells().into_iter().filter(chosen).collect();
    if cells.is_empty() {
        let names: Vec<_> = table::cells().iter().map(|cell| cell.id).collect();
        return Err(LoadError::Usage(format!(
            "no such cell; there are {}",
            names.join(", ")
        )));
    }
    measure(&options.bed, cells, options.rounds)
}

/// Measures `cells`, whatever their size.
pub(crate) fn measure(
    options: &BedOptions,
    cells: Vec<Cell>,
    rounds: u32,
) -> Result<Report, LoadError> {
    let mut report = Report::begin(rounds);
    let bed = Bed::start(options)?;
    let mut measured = Vec::new();
    for cell in cells {
        let stored = match cell.work {
            Work::Get | Work::GetRange { .. } => bed.store(&cell)?,
            Work::List | Work::Put { .. } => 0,
        };
        measured.push(Measured {
            cell,
            stored,
            rounds: Vec::new(),
        });
    }
    for number in 1..=rounds {
        for measured in &mut measured {
            eprintln!("round {number} of {rounds}: {}", measured.cell.title);
            let round = measured.round(&bed, options, number % 2 == 0)?;
            measured.rounds.push(round);
        }
    }
    report.starts_ms = time_starts(&bed, rounds)?;
    report.cells = measured
        .into_iter()
        .map(|done| CellReport::new(&done.cell, done.rounds))
        .collect();
    report.end();
    Ok(report)
}

struct Measured {
    cell: Cell,
    /// Size in which its objects are stored.
    stored: u64,
    rounds: Vec<Round>,
}

impl Measured {
    /// One round: there and back in turn, so that a drift of the machine favours nobody, and
    /// s3seal always between nginx and the pass-through.
    fn round(&self, bed: &Bed, options: &BedOptions, backwards: bool) -> Result<Round, LoadError> {
        let mut round = Round::default();
        let mut steps = [
            (Via::Direct, &mut round.direct),
            (Via::Nginx, &mut round.nginx),
            (Via::S3seal, &mut round.s3seal),
            (Via::PassThrough, &mut round.pass_through),
            (Via::Nginx, &mut round.nginx_again),
        ];
        if backwards {
            steps.reverse();
        }
        for (via, slot) in steps {
            if options.via.contains(&via) {
                *slot = Some(self.measure(bed, via)?);
            }
        }
        Ok(round)
    }

    fn measure(&self, bed: &Bed, via: Via) -> Result<Outcome, LoadError> {
        let opened = via == Via::S3seal || bed.writer() != Via::S3seal;
        let check = match self.cell.work {
            Work::Get => Check::Length(if opened { self.cell.size } else { self.stored }),
            Work::GetRange { length, .. } => Check::Length(length),
            Work::List | Work::Put { .. } => Check::Status,
        };
        bed.generate(&bed.order(via, &self.cell, check)?)
    }
}

/// Milliseconds that s3seal takes from being started to its first answer.
fn time_starts(bed: &Bed, rounds: u32) -> Result<Vec<f64>, LoadError> {
    let Some(seal) = bed.seal() else {
        return Ok(Vec::new());
    };
    let mut probe = table::cells().into_iter().find(|cell| cell.size == KIB);
    let Some(cell) = probe.as_mut() else {
        return Ok(Vec::new());
    };
    cell.objects = 1;
    bed.store(cell)?;
    let paths = cell.paths_below("/store");
    let path = paths.first().map_or("/", String::as_str);
    let milliseconds = |_| Ok(seal.time_start(path)?.as_secs_f64() * 1e3);
    (0..rounds).map(milliseconds).collect()
}
