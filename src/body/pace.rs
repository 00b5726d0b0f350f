//! Bandwidth: bodies wait where their client moves more bytes a second than it may.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;

use super::room::Quota;
use super::{Body, BodyError};
use crate::telemetry::metrics::{Limited, Metrics};

/// How much of something there may be: so much a second, and so much at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// A second; at least 1.
    pub per_second: u64,
    /// At once; at least 1.
    pub burst: u64,
}

/// Measures against an [`Allowance`], which may be another one each time. The time is an argument.
#[derive(Debug, Default)]
pub struct Meter {
    /// When everything so far is paid for.
    paid: Option<Instant>,
}

impl Meter {
    /// Takes `amount` if it is there.
    pub fn take(&mut self, now: Instant, amount: u64, allowance: Allowance) -> bool {
        let paid = self.paid_with(now, amount, allowance);
        let is_there = paid <= now + time_for(allowance.burst, allowance);
        if is_there {
            self.paid = Some(paid);
        }
        is_there
    }

    /// Takes `amount` in any case, and says how long to wait before more is taken.
    pub fn spend(&mut self, now: Instant, amount: u64, allowance: Allowance) -> Duration {
        let paid = self.paid_with(now, amount, allowance);
        self.paid = Some(paid);
        paid.saturating_duration_since(now + time_for(allowance.burst, allowance))
    }

    fn paid_with(&self, now: Instant, amount: u64, allowance: Allowance) -> Instant {
        let paid = self.paid.map_or(now, |paid| paid.max(now));
        paid + time_for(amount, allowance)
    }
}

fn time_for(amount: u64, allowance: Allowance) -> Duration {
    let nanoseconds = u128::from(amount) * 1_000_000_000 / u128::from(allowance.per_second.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)).min(WAIT_MAX)
}

/// The bandwidth of one client, as one of its requests uses it.
pub struct Bandwidth {
    /// Shared by all requests of the client.
    pub meter: Arc<Mutex<Meter>>,
    /// What it may move.
    pub allowance: Allowance,
    /// What it may hold meanwhile.
    pub quota: Arc<Quota>,
    /// Counts requests that had to wait.
    pub metrics: Arc<Metrics>,
    /// Whether this one is counted already.
    pub is_slowed: AtomicBool,
}

/// Slows the bodies of a request down, from when it is known whose it is.
#[derive(Clone, Default)]
pub struct Brake(Arc<OnceLock<Bandwidth>>);

impl Brake {
    /// From here on; has no effect the second time.
    pub fn set(&self, bandwidth: Bandwidth) {
        // Whose it is does not change.
        let _ = self.0.set(bandwidth);
    }

    /// A body that moves as fast as the client may have it; whose it is has to be known.
    pub fn slow(&self, body: Body) -> Body {
        if self.0.get().is_none() {
            return body;
        }
        Body::new(Slowed::new(body, self.clone()))
    }

    /// What the client may hold of the room for chunks; `None`: all.
    pub fn quota(&self) -> Option<&Arc<Quota>> {
        self.0.get().map(|bandwidth| &bandwidth.quota)
    }

    /// The pause after `bytes` that were moved, if there has to be one.
    pub(super) fn pause(&self, bytes: usize) -> Option<Pin<Box<Sleep>>> {
        let bandwidth = self.0.get()?;
        let mut meter = bandwidth
            .meter
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let wait = meter.spend(Instant::now(), bytes as u64, bandwidth.allowance);
        drop(meter);
        if wait.is_zero() {
            return None;
        }
        if !bandwidth.is_slowed.swap(true, Ordering::Relaxed) {
            bandwidth.metrics.limited(Limited::Bandwidth);
        }
        Some(Box::pin(tokio::time::sleep(wait)))
    }
}

/// A body that goes out as fast as its client may receive.
pub struct Slowed {
    inner: Body,
    brake: Brake,
    rest: Bytes,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Slowed {
    /// Wraps the body of an answer.
    pub fn new(inner: Body, brake: Brake) -> Self {
        Self {
            inner,
            brake,
            rest: Bytes::new(),
            pause: None,
        }
    }
}

impl HttpBody for Slowed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let len = self.rest.len().min(PIECE_LEN);
        let piece = self.rest.split_to(len);
        self.pause = self.brake.pause(len);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// A large chunk must not go out at once and then nothing for minutes.
const PIECE_LEN: usize = 64 << 10;

/// No meter is ahead of the clock by more than this for one amount.
const WAIT_MAX: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use prometheus::Registry;

    use super::*;
    use crate::body::room::Room;

    const FIVE: Allowance = Allowance {
        per_second: 5,
        burst: 2,
    };

    #[test]
    fn a_meter_gives_a_burst_and_then_so_much_a_second() {
        let start = Instant::now();
        let mut meter = Meter::default();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let taken: Vec<bool> = [0, 0, 0, 199, 200, 201, 399, 400, 10_000, 10_000, 10_000]
            .map(|time| meter.take(at(time), 1, FIVE))
            .to_vec();
        let (yes, no) = (true, false);
        assert_eq!(taken, [yes, yes, no, no, yes, no, no, yes, yes, yes, no]);
    }

    #[test]
    fn what_is_refused_costs_nothing_and_what_is_spent_is_waited_for() {
        let now = Instant::now();
        let mut meter = Meter::default();
        assert!(!meter.take(now, 3, FIVE));
        assert!(meter.take(now, 2, FIVE));
        assert_eq!(meter.spend(now, 5, FIVE), Duration::from_secs(1));
        assert_eq!(meter.spend(now, 5, FIVE), Duration::from_secs(2));
        let later = now + Duration::from_secs(20);
        assert_eq!(meter.spend(later, 2, FIVE), Duration::ZERO);
        // Whatever is in the configuration, and a clock that stands still.
        let none = Allowance {
            per_second: 0,
            burst: 1,
        };
        let wait = meter.spend(later, u64::MAX, none);
        assert!(wait > Duration::from_mins(59), "{wait:?}");
    }

    #[tokio::test]
    async fn a_body_goes_out_in_pieces_and_complete() {
        let metrics = Arc::new(Metrics::new(&Registry::new(), []).unwrap());
        let brake = Brake::default();
        brake.set(Bandwidth {
            meter: Arc::default(),
            allowance: Allowance {
                per_second: 640 << 10,
                burst: 64 << 10,
            },
            quota: Arc::new(Room::new(0).quota()),
            metrics: Arc::clone(&metrics),
            is_slowed: AtomicBool::new(false),
        });
        let bytes = Bytes::from(vec![7; 200_000]);
        let mut body = Slowed::new(Body::full(bytes.clone()), brake);
        assert_eq!(body.size_hint().exact(), Some(200_000));
        let began = Instant::now();
        let mut gathered = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            assert!(data.len() <= PIECE_LEN);
            gathered.extend_from_slice(&data);
            let left = 200_000 - gathered.len() as u64;
            assert_eq!(body.size_hint().exact(), Some(left));
        }
        assert_eq!(gathered, bytes);
        // Two pieces of 64 KiB behind the burst.
        assert!(began.elapsed() >= Duration::from_millis(150));
        let text = metrics.render();
        assert!(text.contains("s3seal_limited_requests_total{reason=\"bandwidth\"} 1"));
    }
}
