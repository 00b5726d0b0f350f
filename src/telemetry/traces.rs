//! Traces by OpenTelemetry: a span for each request, and under it one for each call that it needs of the
//! upstream or a key provider. They go to a collector by OTLP.
//!
//! Nothing here is global: whoever makes spans holds a [`Traces`], or none, and then nothing is done. The
//! trace that a call belongs to is the one its task [`carry`](carry::InTrace)s.
//!
//! Spans name operations, methods, statuses, kinds of providers and outcomes: values from the code or the
//! configuration. Nothing of a request's target, headers or body is in them.

pub mod carry;
pub mod span;

mod exporter;
mod queue;
mod sampler;
mod w3c;

use std::sync::Arc;

use http::{HeaderMap, Method};
use opentelemetry::trace::{
    SpanBuilder, SpanKind, TraceContextExt, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanLimits};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub use self::exporter::{Collector, Undelivered};
use self::exporter::{Exporter, Pace};
use self::queue::Queue;
use self::sampler::Sampler;
use self::span::{CallSpan, RequestSpan};
use super::metrics::Metrics;
use super::request_id::RequestId;
use crate::config::traces::Traces as Config;

/// Makes spans, and has them delivered. Clones share everything.
#[derive(Clone)]
pub struct Traces {
    tracer: SdkTracer,
    trusts_parent: bool,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    pace: Pace,
}

/// What a request's span begins with.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// S3's name of the operation.
    pub operation: &'static str,
    /// The request's own id.
    pub id: RequestId,
    /// How it came.
    pub method: &'a Method,
    /// Whether it came over TLS.
    pub is_tls: bool,
    /// As received.
    pub headers: &'a HeaderMap,
}

impl Traces {
    /// Begins to deliver spans, from a task on the runtime of the caller. The task ends with the last
    /// clone.
    pub fn start(config: &Config, collector: impl Collector, metrics: &Arc<Metrics>) -> Self {
        Self::start_at(Pace::USUAL, config, collector, metrics)
    }

    fn start_at(
        pace: Pace,
        config: &Config,
        collector: impl Collector,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let resource = Resource::builder_empty()
            .with_schema_url(resource_attributes(config), SCHEMA)
            .build();
        let (queue, spans) = Queue::new(Arc::clone(metrics));
        let (flushes, to_flush) = mpsc::channel(1);
        let about = (Arc::clone(metrics), pace);
        let exporter = Exporter::new(spans, to_flush, &resource, collector, about);
        tokio::spawn(exporter.run());
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::new(config.sample_ratio, config.trusts_parent))
            // Not what the environment says.
            .with_span_limits(SpanLimits::default())
            .with_resource(resource)
            .with_span_processor(queue)
            .build();
        let scope = InstrumentationScope::builder("s3seal")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(SCHEMA)
            .build();
        Self {
            tracer: provider.tracer_with_scope(scope),
            trusts_parent: config.trusts_parent,
            flushes,
            pace,
        }
    }

    /// The span of a request that came in; it goes on a trace that the caller has begun.
    pub fn request(&self, asked: Asked<'_>) -> RequestSpan {
        let caller = w3c::caller(asked.headers, self.trusts_parent);
        let caller = caller.map_or_else(Context::new, |caller| {
            Context::new().with_remote_span_context(caller)
        });
        let builder = SpanBuilder::from_name(asked.operation).with_kind(SpanKind::Server);
        let span = self.tracer.build_with_context(builder, &caller);
        RequestSpan::new(span, asked)
    }

    /// The span of a call that the current request needs. `None` where no request is served.
    pub fn call(&self, name: &'static str, kind: SpanKind) -> Option<CallSpan> {
        let parent = Context::map_current(|current| {
            let is_of_request = current.has_active_span();
            is_of_request.then(|| current.clone())
        })?;
        let builder = SpanBuilder::from_name(name).with_kind(kind);
        Some(CallSpan::new(
            self.tracer.build_with_context(builder, &parent),
        ))
    }

    /// Delivers what waits, as far as that can be done in a few seconds.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        let flushed = async {
            let _ = self.flushes.send(done).await;
            let _ = is_done.await;
        };
        if timeout(self.pace.flush, flushed).await.is_err() {
            tracing::warn!("traces: the collector does not answer, spans are lost");
        }
    }
}

fn resource_attributes(config: &Config) -> [KeyValue; 2] {
    [
        KeyValue::new("service.name", config.service_name.clone()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ]
}

/// The semantic conventions that names of attributes are of.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

#[cfg(test)]
mod tests;
