//! From a description to a metric on a registry.

use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::table::{Description, Kind};

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

pub(super) fn options(metric: &Description) -> Opts {
    Opts::new(metric.name, metric.help)
}

pub(super) fn counter(registry: &Registry, metric: &Description) -> prometheus::Result<IntCounter> {
    register(registry, IntCounter::with_opts(options(metric))?)
}

pub(super) fn counters(
    registry: &Registry,
    metric: &Description,
) -> prometheus::Result<IntCounterVec> {
    register(
        registry,
        IntCounterVec::new(options(metric), metric.labels)?,
    )
}

pub(super) fn gauge(registry: &Registry, metric: &Description) -> prometheus::Result<IntGauge> {
    register(registry, IntGauge::with_opts(options(metric))?)
}

pub(super) fn gauges(registry: &Registry, metric: &Description) -> prometheus::Result<IntGaugeVec> {
    register(registry, IntGaugeVec::new(options(metric), metric.labels)?)
}

pub(super) fn histograms(
    registry: &Registry,
    metric: &Description,
) -> prometheus::Result<HistogramVec> {
    let mut options = HistogramOpts::from(options(metric));
    if let Kind::Histogram(buckets) = metric.kind {
        options = options.buckets(buckets.to_vec());
    }
    register(registry, HistogramVec::new(options, metric.labels)?)
}
