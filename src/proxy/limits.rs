//! What each client has used of its limits. Kept by access key id and apart from the callers, which
//! may be exchanged while the proxy runs.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use dashmap::DashMap;

use crate::body::pace::{Allowance, Bandwidth, Brake, Meter};
use crate::body::room::Quota;
use crate::config::limits::Limits;
use crate::error::Error;
use crate::ops::context::Cx;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::telemetry::metrics::{Limited, Metrics};

/// The meters of all clients, of this replica.
#[derive(Clone, Default)]
pub struct Meters(Arc<DashMap<String, OfClient>>);

#[derive(Clone, Default)]
struct OfClient {
    requests: Arc<Mutex<Meter>>,
    bytes: Arc<Mutex<Meter>>,
    quota: Arc<OnceLock<Arc<Quota>>>,
}

impl Meters {
    /// Takes a request of this client, of which so many are in flight with it, or refuses it. From
    /// here on `brake` slows its bodies.
    pub fn admit(
        &self,
        client: &str,
        (limits, in_flight): (&Limits, u32),
        (brake, cx): (&Brake, &Cx),
        now: Instant,
    ) -> Result<(), Error> {
        let metrics = &cx.metrics;
        at_once(limits, in_flight, metrics)?;
        if limits.requests_per_second.is_none() && limits.bytes_per_second.is_none() {
            return Ok(());
        }
        let meters = self.of(client);
        if let Some(per_second) = limits.requests_per_second {
            let allowance = Allowance {
                per_second: per_second.into(),
                burst: limits.burst.unwrap_or(per_second).into(),
            };
            let mut requests = meters
                .requests
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if !requests.take(now, 1, allowance) {
                metrics.limited(Limited::Rate);
                return Err(slow_down("Please reduce your request rate."));
            }
        }
        if let Some(per_second) = limits.bytes_per_second {
            let quota = meters.quota.get_or_init(|| Arc::new(cx.room.quota()));
            brake.set(Bandwidth {
                quota: Arc::clone(quota),
                meter: meters.bytes,
                allowance: Allowance {
                    per_second,
                    burst: per_second,
                },
                metrics: Arc::clone(metrics),
                is_slowed: AtomicBool::new(false),
            });
        }
        Ok(())
    }

    fn of(&self, client: &str) -> OfClient {
        if let Some(meters) = self.0.get(client) {
            return meters.clone();
        }
        self.0.entry(client.to_owned()).or_default().clone()
    }
}

/// Refuses a request beyond those that a client may have at once.
pub fn at_once(limits: &Limits, in_flight: u32, metrics: &Metrics) -> Result<(), Error> {
    if limits
        .concurrent_requests
        .is_some_and(|max| in_flight > max)
    {
        metrics.limited(Limited::Concurrency);
        return Err(slow_down("You have too many requests in flight."));
    }
    Ok(())
}

fn slow_down(message: &'static str) -> Error {
    S3Error::with_message(ErrorCode::SlowDown, message).into()
}
