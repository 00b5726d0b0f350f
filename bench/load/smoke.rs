//! Does everything work? Tiny sizes, every body compared, nothing timed.

use crate::{
    bed::{Bed, BedOptions, Via},
    cells::Cell,
    error::LoadError,
    memory,
    order::{Check, MIB, Order, Payload, Work},
    parts, run, table,
};

/// What to try.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SmokeOptions {
    #[command(flatten)]
    bed: BedOptions,
}

/// Every cell through every program, then one round of everything that measures.
pub(crate) fn smoke(options: &SmokeOptions) -> Result<(), LoadError> {
    let cells: Vec<Cell> = table::cells().into_iter().map(Cell::shrunk).collect();
    let bed = Bed::start(&options.bed)?;
    for cell in &cells {
        for &via in &options.bed.via {
            check(&bed, cell, via)?;
        }
        println!("ok: {}", cell.title);
    }
    drop(bed);
    let report = run::measure(&options.bed, cells, 1)?;
    println!("ok: a round of {} cells", report.cells.len());
    let memory = memory::watch(&options.bed, &[MIB], &[5 * MIB], MIB)?;
    println!("ok: the memory of {} programs", memory.rows.len());
    if options.bed.via.contains(&Via::S3seal) {
        let parts = parts::upload(&options.bed, 7, 5 * MIB, 3)?;
        println!("ok: an upload of {} parts", parts.parts);
    }
    Ok(())
}

/// What goes in through `via` comes out of it, whole or in ranges; and behind s3seal it is sealed.
fn check(bed: &Bed, cell: &Cell, via: Via) -> Result<(), LoadError> {
    let order = |via, work, check| -> Result<Order, LoadError> {
        let paths = cell.paths_below(&format!("/store/{}", via_folder(via)));
        Ok(Order {
            work,
            paths,
            warmup: 0,
            ..bed.order(via, cell, check)?
        })
    };
    let payload = match cell.work {
        Work::List => {
            return bed
                .generate(&bed.order(via, cell, Check::Status)?)
                .map(drop);
        }
        Work::Put { payload, .. } => payload,
        Work::Get | Work::GetRange { .. } => Payload::Unsigned,
    };
    let (put, whole) = (
        Work::Put {
            size: cell.size,
            payload,
        },
        Check::Pattern(cell.size),
    );
    let mut put = order(via, put, Check::Status)?;
    put.requests = put.paths.len() as u64;
    put.connections = 1;
    bed.generate(&put)?;
    bed.generate(&order(via, Work::Get, whole)?)?;
    if let Work::GetRange { length, .. } = cell.work {
        bed.generate(&order(via, cell.work, Check::Pattern(length))?)?;
    }
    let stored = if via == Via::S3seal {
        Check::NotPattern
    } else {
        whole
    };
    let look = order(Via::Direct, Work::Get, stored)?;
    bed.generate(&Order {
        paths: put.paths,
        ..look
    })
    .map(drop)
}

fn via_folder(via: Via) -> &'static str {
    via.name()
}
