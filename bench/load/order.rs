//! What the runner asks of one generator process, and what it hears back: JSON over pipes.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A fixed amount of work against one target.
///
/// Fixed work rather than fixed time: both ends of the window are idle, so that the CPU time of
/// the target's process and the bytes that caused it belong together exactly.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    /// For messages: target and cell.
    pub(crate) name: String,
    /// Where requests go.
    pub(crate) target: SocketAddr,
    /// The process whose CPU time counts; none for the origin itself.
    pub(crate) process: Option<u32>,
    /// What each request does.
    pub(crate) work: Work,
    /// Paths that requests go round; a connection starts with its own.
    pub(crate) paths: Vec<String>,
    /// Instead, whichever connection is free takes the next path.
    pub(crate) in_turn: bool,
    /// Connections, each with one request in flight.
    pub(crate) connections: usize,
    /// Requests that are measured, over all connections.
    pub(crate) requests: u64,
    /// Requests that each connection makes before the measurement.
    pub(crate) warmup: u64,
    /// What a response must be.
    pub(crate) check: Check,
    /// Bytes of bodies after which every connection is dropped where it stands: for watching the
    /// memory that big requests take without moving all of them.
    pub(crate) stop_after: Option<u64>,
}

/// One kind of request.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// GET of a whole object.
    Get,
    /// GET of `length` bytes somewhere in an object of `object` bytes.
    GetRange {
        /// Size of the object in bytes.
        object: u64,
        /// Bytes per request.
        length: u64,
        /// Ranges start at multiples of `length`; else anywhere.
        aligned: bool,
    },
    /// `ListObjectsV2` of a bucket.
    List,
    /// PUT of `size` bytes.
    Put {
        /// Bytes per request.
        size: u64,
        /// What the signature says about them.
        payload: Payload,
    },
}

/// What `x-amz-content-sha256` says.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Payload {
    /// The hash of the body.
    Sha256,
    /// `UNSIGNED-PAYLOAD`.
    Unsigned,
}

/// What a response's body must be; the status is always checked.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Check {
    /// Nothing more.
    Status,
    /// So many bytes.
    Length(u64),
    /// Anything but the pattern: what an encrypting proxy stored.
    NotPattern,
    /// So many bytes, and those of the pattern.
    Pattern(u64),
}

/// What a generator measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Outcome {
    /// Requests answered in the window.
    pub(crate) requests: u64,
    /// Bytes of bodies moved in the window.
    pub(crate) bytes: u64,
    /// Length of the window.
    pub(crate) wall_seconds: f64,
    /// CPU time, user and system, that the target's process took in the window.
    pub(crate) cpu_seconds: Option<f64>,
    /// Time in the window in which it was ready to run, but others had its core.
    pub(crate) waited_seconds: Option<f64>,
    /// Median time from the first byte sent to the last byte received.
    pub(crate) p50_us: f64,
    /// 99th percentile of the same; shown, never judged.
    pub(crate) p99_us: f64,
}

impl Outcome {
    /// CPU seconds per GiB of body.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    pub(crate) fn cpu_per_gib(&self) -> Option<f64> {
        Some(self.cpu_seconds? / (self.bytes as f64 / GIB as f64))
    }

    /// CPU microseconds per request.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
    pub(crate) fn cpu_us_per_request(&self) -> Option<f64> {
        Some(self.cpu_seconds? * 1e6 / self.requests as f64)
    }

    /// The part of the window in which others had the process's core.
    pub(crate) fn waited(&self) -> Option<f64> {
        Some(self.waited_seconds? / self.wall_seconds)
    }

    /// Bytes of bodies per second of wall time, in units of 10^6.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.wall_seconds
    }
}

/// 2^10 bytes.
pub(crate) const KIB: u64 = 1 << 10;
/// 2^20 bytes.
pub(crate) const MIB: u64 = 1 << 20;
/// 2^30 bytes.
pub(crate) const GIB: u64 = 1 << 30;
