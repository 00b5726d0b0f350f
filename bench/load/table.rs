//! The table of cells, and what each has to come to.

use crate::{
    cells::{Cell, Compare, Metric, Target},
    order::{GIB, KIB, MIB, Payload, Work},
};

/// Every cell, in the order of the table.
pub(crate) fn cells() -> Vec<Cell> {
    let [large, medium, small] = whole_objects();
    let mut cells = vec![large.clone(), medium.clone()];
    cells.extend(uploads(&large, &medium, &small));
    cells.extend(ranges(&large));
    cells.push(added_latency(&small));
    cells.push(listing(&small));
    cells.insert(SMALL_AT, small);
    cells
}

fn whole_objects() -> [Cell; 3] {
    let large = Cell {
        id: "get-64m-c16",
        title: "GET 64 MiB, c16",
        work: Work::Get,
        size: 64 * MIB,
        objects: 4,
        connections: 16,
        requests: 32,
        warmup: 0, // each request is its own
        metric: Metric::CpuPerGib,
        compare: Compare::NginxOverSeal,
        target: target(0.9, 1.4),
    };
    let medium = Cell {
        id: "get-1m-c16",
        title: "GET 1 MiB, c16",
        size: MIB,
        objects: 16,
        requests: 2048,
        warmup: 4,
        target: target(0.7, 1.0),
        ..large.clone()
    };
    let small = Cell {
        id: "get-1k-c64",
        title: "GET 1 KiB, c64",
        size: KIB,
        objects: 64,
        connections: 64,
        requests: 30_000,
        warmup: 16,
        metric: Metric::CpuPerRequest,
        target: target(0.55, 0.85),
        ..large.clone()
    };
    [large, medium, small]
}

fn uploads(large: &Cell, medium: &Cell, small: &Cell) -> [Cell; 4] {
    let put = |size, payload| Work::Put { size, payload };
    [
        Cell {
            id: "put-64m-c16",
            title: "PUT 64 MiB, c16, UNSIGNED-PAYLOAD",
            work: put(large.size, Payload::Unsigned),
            target: target(1.2, 2.0),
            ..large.clone()
        },
        Cell {
            id: "put-1m-c16",
            title: "PUT 1 MiB, c16, UNSIGNED-PAYLOAD",
            work: put(medium.size, Payload::Unsigned),
            target: target(0.6, 1.0),
            ..medium.clone()
        },
        Cell {
            id: "put-1k-c64",
            title: "PUT 1 KiB, c64, SHA-256 verified",
            work: put(small.size, Payload::Sha256),
            ..small.clone()
        },
        Cell {
            id: "put-64m-sha256-c16",
            title: "PUT 64 MiB, c16, SHA-256 verified",
            work: put(large.size, Payload::Sha256),
            target: target(0.8, 1.1),
            ..large.clone()
        },
    ]
}

/// Ranges anywhere cross a chunk boundary nearly always; the target is held against those. Aligned
/// ones show what of the cost is the second chunk.
fn ranges(large: &Cell) -> [Cell; 2] {
    let work = |aligned| Work::GetRange {
        object: GIB,
        length: 64 * KIB,
        aligned,
    };
    let anywhere = Cell {
        id: "range-64k",
        title: "GET 64 KiB anywhere in 1 GiB, c16",
        work: work(false),
        size: GIB,
        objects: 1,
        requests: 16_000,
        warmup: 16,
        metric: Metric::CpuPerRequest,
        compare: Compare::SealOverPassThrough,
        target: target(1.6, 1.3),
        ..large.clone()
    };
    let aligned = Cell {
        id: "range-64k-aligned",
        title: "GET 64 KiB at a chunk of 1 GiB, c16",
        work: work(true),
        target: None,
        ..anywhere.clone()
    };
    [anywhere, aligned]
}

fn added_latency(small: &Cell) -> Cell {
    Cell {
        id: "get-1k-c1",
        title: "GET 1 KiB, c1: added p50",
        connections: 1,
        requests: 4_000,
        warmup: 100,
        metric: Metric::MedianLatency,
        compare: Compare::SealMinusDirect,
        target: target(250.0, 150.0),
        ..small.clone()
    }
}

fn listing(small: &Cell) -> Cell {
    Cell {
        id: "list-1000-c4",
        title: "LIST 1,000 keys, c4",
        work: Work::List,
        size: 0,
        objects: 0,
        connections: 4,
        requests: 1_000,
        compare: Compare::SealMinusPassThrough,
        target: target(3.0, 1.0),
        ..small.clone()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the field is optional")]
fn target(first: f64, goal: f64) -> Option<Target> {
    Some(Target { first, goal })
}

/// The 1 KiB GET stands before the 1 KiB PUT.
const SMALL_AT: usize = 4;
