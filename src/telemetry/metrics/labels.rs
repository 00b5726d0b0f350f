//! The labels that the code chooses.

/// Which way body bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client to us.
    ClientIn,
    /// From us to a client.
    ClientOut,
    /// From the upstream to us.
    UpstreamIn,
    /// From us to the upstream.
    UpstreamOut,
}

/// A limit of a client's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Bytes a second.
    Bandwidth,
    /// Requests at once.
    Concurrency,
    /// Requests a second.
    Rate,
}

/// A certificate of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// What clients of the S3 listener see.
    Listen,
    /// What the upstream sees of us.
    UpstreamClient,
}

/// What memory for large chunks is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkMemory {
    /// Opening what is read.
    Open,
    /// Sealing what is written.
    Seal,
}

/// Why a span never reached the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanLoss {
    /// The collector was away, or did not want it.
    Delivery,
    /// Too many waited for it.
    Queue,
}

/// Values of labels that are known beforehand: see [`begin_at_zero`](super::Metrics::begin_at_zero).
#[derive(Clone, Copy, Debug)]
pub struct KnownLabels<'a> {
    /// Of [`auth_failure`](super::Metrics::auth_failure).
    pub auth_reasons: &'a [&'static str],
    /// Of [`integrity_failure`](super::Metrics::integrity_failure).
    pub integrity_kinds: &'a [&'static str],
    /// Of [`upstream_error`](super::Metrics::upstream_error).
    pub upstream_kinds: &'a [&'static str],
    /// Of [`key_request`](super::Metrics::key_request): the kinds of providers that are configured.
    pub providers: &'a [&'static str],
    /// Of [`key_request`](super::Metrics::key_request).
    pub key_calls: &'a [&'static str],
    /// Of [`key_request`](super::Metrics::key_request).
    pub key_outcomes: &'a [&'static str],
}

impl Limited {
    pub(super) const ALL: [Self; 3] = [Self::Bandwidth, Self::Concurrency, Self::Rate];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::Concurrency => "concurrency",
            Self::Rate => "rate",
        }
    }
}

impl Certificate {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::UpstreamClient => "upstream_client",
        }
    }
}

impl ChunkMemory {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Seal => "seal",
        }
    }
}

impl SpanLoss {
    pub(super) const ALL: [Self; 2] = [Self::Delivery, Self::Queue];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Queue => "queue",
        }
    }
}

/// Outcomes of a reload.
pub(super) const RELOADED: [&str; 2] = ["ok", "failed"];
