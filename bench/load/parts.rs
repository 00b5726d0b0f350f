//! The largest number of parts: uploaded out of order and in parallel, listed, completed, and the
//! memory that takes.

use std::time::Instant;

use serde::Serialize;

use crate::{
    bed::{Bed, BedOptions, Via},
    cells::{Cell, Compare, Metric},
    error::LoadError,
    multipart::{self, Upload},
    order::{Check, MIB, Order, Payload, Work},
    pattern::next_random,
};

/// What to upload.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PartsOptions {
    #[command(flatten)]
    bed: BedOptions,
    /// How many parts
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    parts: u64,
    /// Their size in MiB; S3 takes no smaller ones but the last
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(5..=5_120))]
    size: u64,
    /// How many at once
    #[arg(long, default_value_t = 16)]
    connections: usize,
}

/// What it took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct PartsReport {
    /// How many.
    pub(crate) parts: u64,
    /// Bytes of each.
    pub(crate) size: u64,
    /// Parts at once.
    pub(crate) connections: usize,
    /// Seconds of wall time for all parts.
    pub(crate) upload_seconds: f64,
    /// Seconds of wall time to list and complete.
    pub(crate) complete_seconds: f64,
    /// Peak resident memory once all parts were there.
    pub(crate) uploaded_peak: u64,
    /// The same in the end.
    pub(crate) completed_peak: u64,
}

/// Uploads through s3seal to an origin that keeps nothing but sizes.
pub(crate) fn parts(options: &PartsOptions) -> Result<PartsReport, LoadError> {
    let bed = BedOptions {
        via: vec![Via::S3seal],
        ..options.bed.clone()
    };
    upload(&bed, options.parts, options.size * MIB, options.connections)
}

/// Uploads `count` parts of `size` bytes, and looks at all that is said of them.
pub(crate) fn upload(
    options: &BedOptions,
    count: u64,
    size: u64,
    connections: usize,
) -> Result<PartsReport, LoadError> {
    let bed = Bed::start(options)?;
    let target = bed.address(Via::S3seal)?;
    let upload = Upload::create(target, PATH)?;
    let started = Instant::now();
    for numbers in shuffled(count).chunks(BATCH) {
        let paths = numbers.iter().map(|number| upload.part(*number)).collect();
        put_all(&bed, Via::S3seal, paths, size, connections)?;
    }
    let upload_seconds = started.elapsed().as_secs_f64();
    let uploaded_peak = bed.peak_memory(Via::S3seal)?;
    let started = Instant::now();
    let listed = upload.list()?;
    let is_whole = listed.len() as u64 == count
        && (1..)
            .zip(&listed)
            .all(|(number, part)| part.number == number && part.size == size);
    if !is_whole {
        return Err(wrong(format!(
            "{} parts are listed, or other ones",
            listed.len()
        )));
    }
    upload.complete()?;
    let shown = multipart::size(target, PATH)?;
    if shown != count * size {
        return Err(wrong(format!("HEAD shows {shown} bytes")));
    }
    Ok(PartsReport {
        parts: count,
        size,
        connections,
        upload_seconds,
        complete_seconds: started.elapsed().as_secs_f64(),
        uploaded_peak,
        completed_peak: bed.peak_memory(Via::S3seal)?,
    })
}

/// Sends bodies of `size` bytes to `paths`, one to each.
pub(crate) fn put_all(
    bed: &Bed,
    via: Via,
    paths: Vec<String>,
    size: u64,
    connections: usize,
) -> Result<(), LoadError> {
    let cell = cell(size);
    bed.generate(&Order {
        requests: paths.len() as u64,
        paths,
        in_turn: true,
        connections,
        ..bed.order(via, &cell, Check::Status)?
    })
    .map(drop)
}

/// Parts, as the order of a cell that no table has.
pub(crate) fn cell(size: u64) -> Cell {
    Cell {
        id: "parts",
        title: "parts",
        work: Work::Put {
            size,
            payload: Payload::Unsigned,
        },
        size,
        objects: 0,
        connections: 1,
        requests: 1,
        warmup: 0,
        metric: Metric::CpuPerGib,
        compare: Compare::NginxOverSeal,
        target: None,
    }
}

/// The numbers from 1, in an order that is the same in every run and no order at all.
fn shuffled(count: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (1..=count).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for last in (1..numbers.len()).rev() {
        let other = usize::try_from(next_random(&mut state) % (last as u64 + 1));
        numbers.swap(last, other.unwrap_or(last));
    }
    numbers
}

fn wrong(reason: String) -> LoadError {
    LoadError::Answer {
        target: PATH.to_owned(),
        reason,
    }
}

const PATH: &str = "/sink/parts";

/// Parts of one order: their signatures are made together, and one generator sends them.
const BATCH: usize = 500;
