//! Where spans wait for their delivery. Nobody waits for room.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::{Notify, mpsc};

use crate::telemetry::metrics::{Metrics, SpanLoss};

/// The end where spans come in.
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    is_long: Arc<Notify>,
    metrics: Arc<Metrics>,
}

/// The end where they are taken out.
pub(super) struct Waiting {
    spans: mpsc::Receiver<SpanData>,
    is_long: Arc<Notify>,
}

impl Queue {
    pub(super) fn new(metrics: Arc<Metrics>) -> (Self, Waiting) {
        let (sender, spans) = mpsc::channel(WAITING_MAX);
        let is_long = Arc::<Notify>::default();
        let waiting = Waiting {
            spans,
            is_long: Arc::clone(&is_long),
        };
        let queue = Self {
            spans: sender,
            is_long,
            metrics,
        };
        (queue, waiting)
    }
}

impl Waiting {
    /// At most so many as are delivered at once.
    pub(super) fn take(&mut self) -> Vec<SpanData> {
        let mut taken = Vec::new();
        while taken.len() < BATCH_MAX
            && let Ok(span) = self.spans.try_recv()
        {
            taken.push(span);
        }
        taken
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Resolves when there are enough for a delivery.
    pub(super) async fn is_long(&self) {
        self.is_long.notified().await;
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.metrics.spans_dropped(SpanLoss::Queue, 1);
        }
        if self.spans.capacity() <= WAITING_MAX - BATCH_MAX {
            self.is_long.notify_one();
        }
    }

    /// Done by the exporter, which is a task.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// Spans that wait: as many as the SDK's own queue holds, about 2 MiB.
pub(super) const WAITING_MAX: usize = 2048;

/// Spans in one delivery, as in the SDK's.
pub(super) const BATCH_MAX: usize = 512;
