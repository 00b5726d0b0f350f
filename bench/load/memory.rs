//! Peak memory against the size of objects, and of the parts of multipart uploads: it must not depend
//! on the one, nor on the other up to 64 MiB.

use serde::Serialize;

use crate::{
    bed::{Bed, BedOptions, Via},
    cells::{Cell, Compare, Metric, Target},
    error::LoadError,
    multipart::Upload,
    order::{Check, GIB, MIB, Order, Payload, Work},
    parts::{cell, put_all},
};

/// What to watch.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MemoryOptions {
    #[command(flatten)]
    bed: BedOptions,
    /// The largest object in MiB; the origin holds it in memory
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u64).range(16..))]
    largest: u64,
    /// Sizes of parts in MiB, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = [5, 64, 256, 1024])]
    parts: Vec<u64>,
}

/// The peaks of all programs.
#[derive(Debug, Serialize)]
pub(crate) struct MemoryReport {
    /// One row per program and object size.
    pub(crate) rows: Vec<Peak>,
    /// One row per program and part size: `size` is that of a part.
    pub(crate) parts: Vec<Peak>,
}

/// What one fresh instance of a program needed at most (`VmHWM`, bytes).
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Peak {
    /// The program.
    pub(crate) via: Via,
    /// Bytes per object, or part.
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
    let parts = options.parts.iter().map(|size| size * MIB);
    watch(&options.bed, &sizes, &parts.collect::<Vec<_>>(), 4 * GIB)
}

/// Watches every program with objects and parts of these sizes; crowds move `volume` bytes each way.
pub(crate) fn watch(
    options: &BedOptions,
    sizes: &[u64],
    part_sizes: &[u64],
    volume: u64,
) -> Result<MemoryReport, LoadError> {
    let (mut rows, mut parts) = (Vec::new(), Vec::new());
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
        for &size in part_sizes {
            eprintln!("{}: parts of {} MiB", via.name(), size / MIB);
            let one = peak_of_parts(&alone, via, size, None)?;
            let crowd = peak_of_parts(&alone, via, size, Some(volume))?;
            parts.push(Peak {
                via,
                size,
                one,
                crowd,
            });
        }
    }
    Ok(MemoryReport { rows, parts })
}

/// The peak of a fresh instance after one multipart upload and one GET of all of it, or also after
/// a crowd that uploads parts and reads the object.
fn peak_of_parts(
    options: &BedOptions,
    via: Via,
    size: u64,
    crowd: Option<u64>,
) -> Result<u64, LoadError> {
    let bed = Bed::start(options)?;
    let target = bed.address(via)?;
    let count = (OBJECT_OF_PARTS / size).clamp(1, 16);
    let upload = Upload::create(target, "/store/parts")?;
    let paths = (1..=count).map(|number| upload.part(number)).collect();
    put_all(&bed, via, paths, size, 1)?;
    upload.complete()?;
    let cell = cell(size);
    let connections = if crowd.is_some() { CROWD } else { 1 };
    let order = |work, paths, check| -> Result<Order, LoadError> {
        Ok(Order {
            work,
            paths,
            connections,
            requests: connections as u64,
            stop_after: crowd,
            ..bed.order(via, &cell, check)?
        })
    };
    if crowd.is_some() {
        let sink = Upload::create(target, "/sink/parts")?;
        let paths = (1..=CROWD as u64).map(|number| sink.part(number)).collect();
        bed.generate(&order(cell.work, paths, Check::Status)?)?;
    }
    let paths = vec!["/store/parts".to_owned()];
    bed.generate(&order(Work::Get, paths, Check::Length(count * size))?)?;
    bed.peak_memory(via)
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

/// Objects of parts have this size, and up to 16 parts.
const OBJECT_OF_PARTS: u64 = 512 * MIB;

/// Connections of a crowd.
const CROWD: usize = 64;
