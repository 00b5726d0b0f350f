//! Delivers spans: one delivery at a time, apart from all requests.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::queue::Waiting;
use crate::telemetry::audit::bounded;
use crate::telemetry::metrics::{Metrics, SpanLoss};

/// The way to a collector.
#[async_trait]
pub trait Collector: Send + 'static {
    /// Delivers an `ExportTraceServiceRequest` and returns the body of the answer.
    async fn deliver(&self, message: Bytes) -> Result<Bytes, Undelivered>;
}

/// A collector did not take a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Why, for the log. Holds no secret.
    pub reason: String,
    /// Whether it may take it later.
    pub may_repeat: bool,
}

/// How patient the delivery is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between deliveries, unless there is enough for one before.
    pub(super) period: Duration,
    /// For one delivery.
    pub(super) delivery: Duration,
    /// For what is left at the end of the process.
    pub(super) flush: Duration,
}

impl Pace {
    /// Outside of tests. Ten seconds are OTLP's own.
    pub(super) const USUAL: Self = Self {
        period: Duration::from_secs(2),
        delivery: Duration::from_secs(10),
        flush: Duration::from_secs(5),
    };
}

/// The task that delivers.
pub(super) struct Exporter<C> {
    waiting: Waiting,
    to_flush: mpsc::Receiver<oneshot::Sender<()>>,
    resource: ResourceAttributesWithSchema,
    collector: C,
    metrics: Arc<Metrics>,
    pace: Pace,
    /// What was not taken, and is tried again.
    pending: Option<Batch>,
    warned: Option<Instant>,
    is_failing: bool,
}

struct Batch {
    spans: usize,
    message: Bytes,
    attempts: u32,
}

impl<C: Collector> Exporter<C> {
    pub(super) fn new(
        waiting: Waiting,
        to_flush: mpsc::Receiver<oneshot::Sender<()>>,
        resource: &Resource,
        collector: C,
        (metrics, pace): (Arc<Metrics>, Pace),
    ) -> Self {
        Self {
            waiting,
            to_flush,
            resource: resource.into(),
            collector,
            metrics,
            pace,
            pending: None,
            warned: None,
            is_failing: false,
        }
    }

    /// Delivers until nobody makes spans any more.
    pub(super) async fn run(mut self) {
        let mut tick = interval(self.pace.period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                flush = self.to_flush.recv() => match flush {
                    Some(done) => Some(done),
                    None => return,
                },
                // What was not taken waits for the next tick, and so does everything behind it.
                () = self.waiting.is_long(), if self.pending.is_none() => None,
                _ = tick.tick() => None,
            };
            self.deliver_all().await;
            if let Some(done) = done {
                self.lose_the_rest();
                let _ = done.send(());
            }
        }
    }

    /// Until nothing waits, or something has to be tried again.
    async fn deliver_all(&mut self) {
        while let Some(batch) = self.pending.take().or_else(|| self.next_batch()) {
            self.deliver(batch).await;
            if self.pending.is_some() {
                return;
            }
        }
    }

    fn next_batch(&mut self) -> Option<Batch> {
        let spans = self.waiting.take();
        (!spans.is_empty()).then(|| Batch {
            spans: spans.len(),
            message: self.encode(spans),
            attempts: 0,
        })
    }

    fn encode(&self, spans: Vec<SpanData>) -> Bytes {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        request.encode_to_vec().into()
    }

    async fn deliver(&mut self, mut batch: Batch) {
        let delivering = self.collector.deliver(batch.message.clone());
        let delivered = timeout(self.pace.delivery, delivering).await;
        let delivered = delivered.unwrap_or_else(|_elapsed| {
            Err(Undelivered {
                reason: "no answer in time".to_owned(),
                may_repeat: true,
            })
        });
        match delivered {
            Ok(answer) => self.taken(&answer, batch.spans),
            Err(error) => {
                self.complain(&error.reason);
                batch.attempts += 1;
                if error.may_repeat && batch.attempts < ATTEMPTS_MAX {
                    self.pending = Some(batch);
                } else {
                    self.lose(batch.spans);
                }
            }
        }
    }

    /// A collector may take a message and refuse some of its spans.
    fn taken(&mut self, answer: &[u8], spans: usize) {
        let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        let rejected = usize::try_from(partial.rejected_spans).unwrap_or_default();
        let rejected = rejected.min(spans);
        if rejected > 0 {
            self.complain(&partial.error_message);
            self.lose(rejected);
        } else if std::mem::take(&mut self.is_failing) {
            tracing::info!("traces: the collector takes spans again");
        }
    }

    fn lose(&self, spans: usize) {
        self.metrics.spans_dropped(SpanLoss::Delivery, spans as u64);
    }

    /// After the last delivery there is no other.
    fn lose_the_rest(&mut self) {
        let pending = self.pending.take().map_or(0, |batch| batch.spans);
        let spans = pending + self.waiting.len();
        if spans > 0 {
            self.lose(spans);
            tracing::warn!(spans, "traces: lost at the end, the collector is away");
        }
    }

    /// Once a minute at most: a collector that is away is no event for every delivery.
    fn complain(&mut self, reason: &str) {
        let is_due = |warned: Instant| warned.elapsed() >= WARNING_PAUSE;
        if self.warned.is_none_or(is_due) {
            self.warned = Some(Instant::now());
            self.is_failing = true;
            let reason = bounded(reason);
            tracing::warn!(reason, "traces: the collector takes no spans");
        }
    }
}

/// How often the same spans are sent: a collector that restarts is back by then.
const ATTEMPTS_MAX: u32 = 3;

const WARNING_PAUSE: Duration = Duration::from_mins(1);
