//! CORS: the upstream sees no browser, so the rules of its buckets are read, kept for a minute, and
//! applied here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, VARY};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use hyper::Response;
use moka::Expiry;
use moka::future::Cache;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::context::Cx;
use super::incoming::{self, respond};
use crate::body::{Body, collect};
use crate::error::Error;
use crate::s3::cors::{self, CorsRequest, CorsRules};
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::operation::Operation;
use crate::s3::target::{BucketName, ObjectKey, Target};
use crate::upstream::request::UpstreamRequest;

/// The rules of buckets, as far as they were asked for in the last minute.
pub struct KnownCors {
    rules: Cache<Place, Found>,
    changes: AtomicU64,
    // Whoever is not authenticated can ask for any bucket.
    strangers: Semaphore,
}

/// How often rules had changed when they were asked for, and the bucket: an answer that a change
/// overtook is never found again.
type Place = (u64, Box<str>);

#[derive(Clone)]
enum Found {
    Rules(Arc<CorsRules>),
    /// There are none, or no bucket: nobody is told which.
    Nothing,
    /// The upstream did not say.
    Unknown(ErrorCode),
}

/// Forgets all rules when it is dropped: whatever becomes of a change, it may have been made.
pub struct Change<'a>(&'a KnownCors);

/// A request that a browser sends for another origin.
pub struct Crossing {
    request: CorsRequest,
    bucket: Box<str>,
    found: Option<Found>,
}

/// Answers a browser that asks before it sends something. Nobody is authenticated.
pub async fn preflight(cx: &Cx, target: &Target, parts: &Parts) -> Result<Response<Body>, Error> {
    let request = CorsRequest::preflight(&parts.headers)?;
    let found = match covered(cx, target) {
        Some(bucket) => cx.cors.of_stranger(cx, bucket).await,
        None => Found::Nothing,
    };
    let rules = match found {
        Found::Rules(rules) => rules,
        Found::Nothing => return Err(request.not_enabled().into()),
        Found::Unknown(code) => return Err(S3Error::new(code).into()),
    };
    let mut headers = rules.allow(&request).ok_or_else(|| request.not_allowed())?;
    headers.insert(VARY, cors::VARY);
    headers.insert(CONTENT_LENGTH, 0.into());
    Ok(respond(StatusCode::OK, headers, Body::empty()))
}

impl Crossing {
    /// `None`: no browser, or a bucket that is not asked about.
    pub fn of(cx: &Cx, target: &Target, parts: &Parts) -> Option<Self> {
        let request = CorsRequest::actual(&parts.method, &parts.headers)?;
        Some(Self {
            request,
            bucket: covered(cx, target)?.into(),
            found: None,
        })
    }

    /// Finds the rules for a request that is allowed to make requests of its own.
    pub async fn find(&mut self, cx: &Cx) {
        self.found = Some(cx.cors.find(cx, &self.bucket).await);
    }

    /// Adds to a response what the rules allow. Where they cannot be found it stays as it is.
    pub async fn show(self, cx: &Cx, headers: &mut HeaderMap) {
        let found = match self.found {
            Some(found) => found,
            None => cx.cors.of_stranger(cx, &self.bucket).await,
        };
        let Found::Rules(rules) = found else {
            return;
        };
        headers.insert(VARY, cors::VARY);
        headers.extend(rules.allow(&self.request).unwrap_or_default());
    }
}

impl KnownCors {
    /// To be held while an operation runs that changes the rules of a bucket.
    pub fn changed_by(&self, operation: &Operation) -> Option<Change<'_>> {
        let name = operation.name();
        let changes = ["DeleteBucket", "DeleteBucketCors", "PutBucketCors"].contains(&name);
        changes.then_some(Change(self))
    }

    /// As [`Self::find`], for whoever is not authenticated: with few questions at a time.
    async fn of_stranger(&self, cx: &Cx, bucket: &str) -> Found {
        if let Some(found) = self.rules.get(&self.place(bucket)).await {
            return found;
        }
        match timeout(PATIENCE, self.strangers.acquire()).await {
            Ok(Ok(_permit)) => self.find(cx, bucket).await,
            Ok(Err(_)) | Err(_) => Found::Unknown(ErrorCode::SlowDown),
        }
    }

    /// The rules of a bucket; of all that ask at a time only one asks the upstream.
    async fn find(&self, cx: &Cx, bucket: &str) -> Found {
        let asked = Box::pin(ask(cx, bucket));
        self.rules.get_with(self.place(bucket), asked).await
    }

    fn place(&self, bucket: &str) -> Place {
        (self.changes.load(Ordering::Acquire), bucket.into())
    }
}

impl Default for KnownCors {
    fn default() -> Self {
        let rules = Cache::builder()
            .weigher(weight)
            .max_capacity(BYTES_MAX)
            .expire_after(Lifetime)
            .build();
        Self {
            rules,
            changes: AtomicU64::new(0),
            strangers: Semaphore::new(STRANGERS_MAX),
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.changes.fetch_add(1, Ordering::AcqRel);
    }
}

/// How long an answer is kept.
struct Lifetime;

impl Lifetime {
    fn of(found: &Found) -> Duration {
        match found {
            Found::Rules(_) | Found::Nothing => TTL,
            Found::Unknown(_) => TTL_UNKNOWN,
        }
    }
}

impl Expiry<Place, Found> for Lifetime {
    fn expire_after_create(&self, _: &Place, found: &Found, _: Instant) -> Option<Duration> {
        Some(Self::of(found))
    }

    fn expire_after_update(
        &self,
        _: &Place,
        found: &Found,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(Self::of(found))
    }
}

/// The bucket whose rules apply, unless the proxy has nothing to do with it.
fn covered<'a>(cx: &Cx, target: &'a Target) -> Option<&'a str> {
    let bucket = target.bucket().map(BucketName::as_str)?;
    let key = target.key().map(ObjectKey::decoded);
    cx.rules.find(bucket, key).map(|_rule| bucket)
}

/// Asks the upstream, with the deployment's own credentials.
async fn ask(cx: &Cx, bucket: &str) -> Found {
    let read = timeout(PATIENCE, read(cx, bucket)).await;
    let read = read.unwrap_or(Err(Error::UpstreamAnswer("none in time")));
    read.unwrap_or_else(|error| {
        tracing::warn!(bucket, %error, "the CORS rules of a bucket cannot be read");
        Found::Unknown(ErrorCode::ServiceUnavailable)
    })
}

async fn read(cx: &Cx, bucket: &str) -> Result<Found, Error> {
    let mut request = UpstreamRequest::new(Method::GET, Some(bucket), None);
    request.operation = "GetBucketCors";
    "cors".clone_into(&mut request.query);
    let response = cx.upstream.send(request).await?;
    if response.status() == StatusCode::OK {
        let document = collect(response.into_body(), cors::DOCUMENT_LEN_MAX).await?;
        let rules = CorsRules::parse(&document).ok_or(Error::UpstreamAnswer("CORS rules"))?;
        return Ok(Found::Rules(Arc::new(rules)));
    }
    let status = response.status();
    let (code, _) = incoming::refusal(cx, response).await?;
    if NONE.contains(&code.as_str()) {
        return Ok(Found::Nothing);
    }
    tracing::warn!(
        bucket,
        code,
        "the upstream refuses to show the CORS rules of a bucket"
    );
    // Its message may name who the proxy is there.
    Ok(Found::Unknown(if status == StatusCode::FORBIDDEN {
        ErrorCode::AccessDenied
    } else {
        ErrorCode::ServiceUnavailable
    }))
}

/// Codes that say that there are no rules; the last is that of servers without CORS.
const NONE: &[&str] = &["NoSuchCORSConfiguration", "NoSuchBucket", "NotImplemented"];

/// Memory of an entry.
fn weight(place: &Place, found: &Found) -> u32 {
    let rules = match found {
        Found::Rules(rules) => rules.memory(),
        Found::Nothing | Found::Unknown(_) => 0,
    };
    u32::try_from(place.1.len() + rules + 256).unwrap_or(u32::MAX)
}

/// How long a change that another replica, or somebody else, made goes unnoticed.
const TTL: Duration = Duration::from_mins(1);

/// A failing upstream is not asked about a bucket by each request.
const TTL_UNKNOWN: Duration = Duration::from_secs(5);

/// The longest that a response waits for rules.
const PATIENCE: Duration = Duration::from_secs(5);

/// Questions at a time for those who are not authenticated.
const STRANGERS_MAX: usize = 8;

/// Memory of all rules.
const BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cors_failures_are_kept_for_a_shorter_time() {
        let place = (0, "bucket".into());
        let kept = |found| Lifetime.expire_after_create(&place, &found, Instant::now());
        assert_eq!(kept(Found::Nothing), Some(TTL));
        assert_eq!(kept(Found::Unknown(ErrorCode::SlowDown)), Some(TTL_UNKNOWN));
    }
}
