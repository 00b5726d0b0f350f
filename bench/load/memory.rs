//! Peak memory against object size: it must not depend on it.

use serde::Serialize;

use crate::{
    bed::{Bed, BedOptions, Via},
    cells::{Cell, Compare, Metric, Target},
    error::LoadError,
    order::{Check, GIB, MIB, Order, Payload, Work},
};

/// What to watch.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MemoryOptions {
    #[command(flatten)]
    bed: BedOptions,
    /// The largest object in MiB; the origin holds it in memory
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u64).range(16..))]
    largest: u64,
}

/// The peaks of all programs.
#[derive(Debug, Serialize)]
pub(crate) struct MemoryReport {
    /// One row per program and object size.
    pub(crate) rows: Vec<Peak>,
}

/// What one fresh instance of a program needed at most (`VmHWM`, bytes).
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Peak {
    /// The program.
    pub(crate) via: Via,
    /// Bytes per object.
    pub(crate) size: u64,
    /// After one PUT and one GET, whole.
    pub(crate) one: u64,
    /// After PUTs and GETs over 64 connections at once, as far as 4 GiB went.
    pub(crate) crowd: u64,
}

/// Peak resident memory at 64 connections, in MiB.
pub(crate) const CROWD_TARGET: Target = Target {
    first: 64.0,
    goal: 40.0,
};
/// How much more the largest object takes than one of 16 MiB, in MiB.
pub(crate) const GROWTH_TARGET: Target = Target {
    first: 32.0,
    goal: 8.0,
};

/// Watches objects of 16 MiB up to the largest, each eight times the one before.
pub(crate) fn memory(options: &MemoryOptions) -> Result<MemoryReport, LoadError> {
    let largest = options.largest * MIB;
    let mut sizes: Vec<u64> = std::iter::successors(Some(16 * MIB), |size| Some(size * 8))
        .take_while(|&size| size < largest)
        .collect();
    sizes.push(largest);
    watch(&options.bed, &sizes, 4 * GIB)
}

/// Watches every program with objects of these sizes; crowds move `volume` bytes each way.
pub(crate) fn watch(
    options: &BedOptions,
    sizes: &[u64],
    volume: u64,
) -> Result<MemoryReport, LoadError> {
    let mut rows = Vec::new();
    let programs = options
        .via
        .iter()
        .copied()
        .filter(|&via| via != Via::Direct);
    for via in programs {
        let alone = BedOptions {
            via: vec![via],
            ..options.clone()
        };
        for &size in sizes {
            eprintln!("{}: objects of {} MiB", via.name(), size / MIB);
            let one = peak(&alone, via, size, None)?;
            let crowd = peak(&alone, via, size, Some(volume))?;
            rows.push(Peak {
                via,
                size,
                one,
                crowd,
            });
        }
    }
    Ok(MemoryReport { rows })
}

/// The peak of a fresh instance after one PUT and one GET, or after a crowd of them.
fn peak(options: &BedOptions, via: Via, size: u64, crowd: Option<u64>) -> Result<u64, LoadError> {
    let bed = Bed::start(options)?;
    let put = Work::Put {
        size,
        payload: Payload::Unsigned,
    };
    let connections = if crowd.is_some() { CROWD } else { 1 };
    let cell = Cell {
        id: "memory",
        title: "memory",
        work: Work::Get,
        size,
        objects: 1,
        connections,
        requests: connections as u64,
        warmup: 0,
        metric: Metric::CpuPerGib,
        compare: Compare::NginxOverSeal,
        target: None,
    };
    bed.store(&cell)?;
    let order = |work, folder, check| -> Result<Order, LoadError> {
        let paths = cell.paths_below(folder);
        let order = bed.order(via, &cell, check)?;
        Ok(Order {
            work,
            paths,
            warmup: 0,
            stop_after: crowd,
            ..order
        })
    };
    bed.generate(&order(put, "/sink", Check::Status)?)?;
    bed.generate(&order(Work::Get, "/store", Check::Length(size))?)?;
    bed.peak_memory(via)
}

/// Connections of a crowd.
const CROWD: usize = 64;
