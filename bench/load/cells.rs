//! A cell of the table: which work is measured, and how its measurements are compared.

use serde::Serialize;

use crate::{
    order::{KIB, Outcome, Work},
    stats::Better,
};

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// Stable name, for `--cell` and JSON.
    pub(crate) id: &'static str,
    /// What the table calls it.
    pub(crate) title: &'static str,
    /// What each request does.
    pub(crate) work: Work,
    /// Size of the objects in bytes.
    pub(crate) size: u64,
    /// How many different objects are read.
    pub(crate) objects: usize,
    /// Connections.
    pub(crate) connections: usize,
    /// Requests per measurement: about a second's worth and more.
    pub(crate) requests: u64,
    /// Requests per connection before the measurement.
    pub(crate) warmup: u64,
    /// What is taken from a measurement.
    pub(crate) metric: Metric,
    /// How the measurements of one round are compared.
    pub(crate) compare: Compare,
    /// What the comparison should come to; none if it only informs.
    pub(crate) target: Option<Target>,
}

/// The number of a measurement that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Metric {
    /// CPU seconds of the proxy per GiB of body.
    #[serde(rename = "cpu s/GiB")]
    CpuPerGib,
    /// CPU microseconds of the proxy per request.
    #[serde(rename = "cpu us/request")]
    CpuPerRequest,
    /// Median latency in microseconds.
    #[serde(rename = "p50 us")]
    MedianLatency,
}

/// The comparison of two programs in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Compare {
    /// How many times dearer nginx is.
    #[serde(rename = "nginx / s3seal")]
    NginxOverSeal,
    /// Microseconds above no proxy.
    #[serde(rename = "s3seal - direct, us")]
    SealMinusDirect,
    /// Milliseconds above the pass-through.
    #[serde(rename = "s3seal - pass-through, ms")]
    SealMinusPassThrough,
    /// How many times dearer s3seal is.
    #[serde(rename = "s3seal / pass-through")]
    SealOverPassThrough,
}

/// What a comparison should come to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Target {
    /// For the first release.
    pub(crate) first: f64,
    /// For the best we think possible.
    pub(crate) goal: f64,
}

/// One cell's measurements of one round.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Round {
    /// Without a proxy.
    pub(crate) direct: Option<Outcome>,
    /// Through nginx, next to s3seal in time.
    pub(crate) nginx: Option<Outcome>,
    /// Through nginx once more: what the same thing measured twice differs by is noise.
    pub(crate) nginx_again: Option<Outcome>,
    /// Through the plain hyper pass-through.
    pub(crate) pass_through: Option<Outcome>,
    /// Through s3seal.
    pub(crate) s3seal: Option<Outcome>,
}

impl Metric {
    /// The number, if this kind of measurement has it.
    pub(crate) fn of(self, outcome: Option<&Outcome>) -> Option<f64> {
        let outcome = outcome?;
        match self {
            Self::CpuPerGib => outcome.cpu_per_gib(),
            Self::CpuPerRequest => outcome.cpu_us_per_request(),
            Self::MedianLatency => Some(outcome.p50_us),
        }
    }
}

impl Compare {
    /// The comparison within one round.
    pub(crate) fn of(self, metric: Metric, round: &Round) -> Option<f64> {
        let s3seal = metric.of(round.s3seal.as_ref())?;
        match self {
            Self::NginxOverSeal => Some(metric.of(round.nginx.as_ref())? / s3seal),
            Self::SealMinusDirect => Some(s3seal - metric.of(round.direct.as_ref())?),
            Self::SealMinusPassThrough => {
                Some((s3seal - metric.of(round.pass_through.as_ref())?) / 1e3)
            }
            Self::SealOverPassThrough => Some(s3seal / metric.of(round.pass_through.as_ref())?),
        }
    }

    /// Which direction is good.
    pub(crate) fn better(self) -> Better {
        match self {
            Self::NginxOverSeal => Better::Higher,
            Self::SealMinusDirect | Self::SealMinusPassThrough | Self::SealOverPassThrough => {
                Better::Lower
            }
        }
    }
}

impl Round {
    /// The same program measured twice: 1 without noise.
    pub(crate) fn a_a(&self, metric: Metric) -> Option<f64> {
        Some(metric.of(self.nginx.as_ref())? / metric.of(self.nginx_again.as_ref())?)
    }
}

impl Cell {
    /// The same work in a size that takes no time, for checking that it works at all.
    pub(crate) fn shrunk(mut self) -> Self {
        self.size = self.size.min(SHRUNK);
        self.work = match self.work {
            Work::Put { size, payload } => Work::Put {
                size: size.min(SHRUNK),
                payload,
            },
            Work::GetRange {
                length, aligned, ..
            } => Work::GetRange {
                object: self.size,
                length,
                aligned,
            },
            Work::Get => Work::Get,
            Work::List => Work::List,
        };
        self.objects = self.objects.min(4);
        self.connections = self.connections.min(4);
        self.requests = 2 * self.connections as u64;
        self
    }

    /// The paths that requests go to.
    pub(crate) fn paths(&self) -> Vec<String> {
        match self.work {
            Work::List => vec!["/store?list-type=2&max-keys=1000".to_owned()],
            Work::Get | Work::GetRange { .. } => self.paths_below("/store"),
            Work::Put { .. } => self.paths_below("/sink"),
        }
    }

    /// One path per object in `folder`.
    pub(crate) fn paths_below(&self, folder: &str) -> Vec<String> {
        (0..self.objects)
            .map(|number| format!("{folder}/{}-{number}", self.id))
            .collect()
    }
}

/// Four chunks of 64 KiB, the last one short.
const SHRUNK: u64 = 3 * 64 * KIB + 17;
