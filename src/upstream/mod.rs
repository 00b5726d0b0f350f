//! The real S3: one place that builds, signs, sends and retries requests to it.

pub mod client;
pub mod credentials;
pub mod early;
pub mod endpoint;
pub mod progress;
pub mod redirect;
pub mod refusal;
pub mod request;
pub mod retry;
pub mod sign;
pub mod skew;
mod traced;
pub mod walk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Response;
use thiserror::Error;
use time::OffsetDateTime;

use self::client::HttpClient;
use self::credentials::{CredentialSource, CredentialsError};
use self::endpoint::{Addressing, Endpoint};
use self::redirect::Redirects;
use self::request::{Head, Payload, UpstreamRequest};
use self::sign::SignError;
use self::skew::ClockSkew;
use crate::body::Body;
use crate::body::idle::{ByteCount, Received, Side};
use crate::s3::sigv4::SigningKeys;
use crate::telemetry::metrics::{Direction, Metrics};
use crate::telemetry::traces::Traces;
use crate::telemetry::traces::span::CallSpan;

/// How long to wait for the upstream, and how the client is told apart from a stalled one.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the last byte sent to the response head; also the longest time without progress.
    pub response: Duration,
    /// Longest time without a byte of a response body.
    pub idle: Duration,
}

/// What an upstream is made of.
#[derive(Clone)]
pub struct Settings {
    /// Where it is and how buckets are addressed there.
    pub endpoint: Endpoint,
    /// The region that requests are signed for.
    pub region: String,
    /// See [`Timeouts`].
    pub timeouts: Timeouts,
    /// The time that requests are signed at.
    pub clock: fn() -> OffsetDateTime,
    /// Counts body bytes and measures how long answers take.
    pub metrics: Arc<Metrics>,
    /// Makes the spans of requests, if there are any.
    pub traces: Option<Traces>,
}

/// The connection pool to the real S3, and everything that every request to it has in common.
pub struct Upstream {
    settings: Settings,
    client: HttpClient,
    credentials: Arc<CredentialSource>,
    learnt: Arc<Learnt>,
}

/// What answers have taught, and what was derived for earlier requests: shared by all pools of a
/// deployment.
#[derive(Default)]
pub struct Learnt {
    redirects: Redirects,
    signing_keys: SigningKeys,
    skew: ClockSkew,
}

/// Why there is no response from the upstream. All of these are the upstream's or the operator's
/// fault, never the client's.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// No connection.
    #[error("cannot connect to the upstream: {0}")]
    Connect(#[source] hyper_util::client::legacy::Error),
    /// The connection broke before the response head.
    #[error("upstream connection failed: {0}")]
    Broken(#[source] hyper_util::client::legacy::Error),
    /// No response head, or no progress, in time.
    #[error("upstream did not answer in time")]
    Timeout,
    /// There are no credentials to sign with.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The request could not be signed or built.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The upstream moved the bucket while a body was streamed that cannot be sent again.
    #[error("upstream redirected an upload that cannot be replayed")]
    RedirectedUpload,
    /// It does not accept our signature or credentials.
    #[error("the upstream refuses our signature: {0}")]
    Refused(String),
    /// Redirects in a circle, or to somewhere the configuration does not allow.
    #[error("upstream redirects cannot be followed")]
    RedirectLoop,
}

impl UpstreamError {
    /// Every [`Self::kind`] there is.
    pub const KINDS: [&str; 7] = [
        "broken",
        "connect",
        "credentials",
        "redirect",
        "refused",
        "sign",
        "timeout",
    ];

    /// Metric label: one of [`Self::KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Broken(_) => "broken",
            Self::Timeout => "timeout",
            Self::Credentials(_) => "credentials",
            Self::Sign(_) => "sign",
            Self::Refused(_) => "refused",
            Self::RedirectedUpload | Self::RedirectLoop => "redirect",
        }
    }
}

impl Upstream {
    /// Joins a connection pool with the credentials that sign for it.
    pub fn new(
        settings: Settings,
        client: HttpClient,
        credentials: Arc<CredentialSource>,
        learnt: Arc<Learnt>,
    ) -> Self {
        Self {
            settings,
            client,
            credentials,
            learnt,
        }
    }

    /// Whether a bucket's name becomes part of the host that a request is sent to.
    pub fn names_buckets_in_hosts(&self) -> bool {
        self.settings.endpoint.addressing() == Addressing::VirtualHost
    }

    /// Sends one request and returns the response head with its body unread.
    ///
    /// Requests without a body, or with a buffered one, are retried as [`retry`] says, follow
    /// redirects, and are signed again if the upstream's clock is another; a streamed body is sent
    /// once.
    pub async fn send(
        &self,
        request: UpstreamRequest,
    ) -> Result<Response<Received>, UpstreamError> {
        let (operation, started) = (request.operation, Instant::now());
        let response = match request.payload {
            Payload::Streamed { .. } => self.send_streamed(request).await?,
            Payload::Empty | Payload::Buffered { .. } => self.send_replayable(request).await?,
        };
        self.settings.metrics.upstream(operation, started.elapsed());
        Ok(response)
    }

    async fn send_streamed(
        &self,
        request: UpstreamRequest,
    ) -> Result<Response<Received>, UpstreamError> {
        let place = self
            .learnt
            .redirects
            .place(request.bucket.as_deref(), &self.settings);
        let bucket = request.bucket.clone();
        let (head, body) = request.into_streamed_parts();
        let signed_at = self.now();
        let (signed, span) = self.sign(&head, &place, 0).await?;
        let (body, progress) = progress::watch(
            body,
            self.settings.metrics.byte_counter(Direction::UpstreamOut),
        );
        let sent = self.client.send(signed.map(|()| body));
        let sent = progress::within(sent, &progress, self.settings.timeouts.response).await;
        traced::end(span, &sent);
        let response = sent.inspect_err(|error| {
            self.forget_dead(error, bucket.as_deref(), &place);
        })?;
        let response = self.received(response);
        // It cannot be sent again, but the next one is signed at the right time.
        self.is_skewed(&response, signed_at);
        let redirects = &self.learnt.redirects;
        match redirects.learn(bucket.as_deref(), &response, &self.settings) {
            None => {}
            Some(to) if to != place => return Err(UpstreamError::RedirectedUpload),
            Some(_) => {
                bucket.inspect(|bucket| redirects.forget(bucket));
                return Err(UpstreamError::RedirectLoop);
            }
        }
        Ok(response)
    }

    async fn send_replayable(
        &self,
        request: UpstreamRequest,
    ) -> Result<Response<Received>, UpstreamError> {
        let (head, bytes) = request.into_replayable();
        let bucket = head.bucket.as_deref();
        let mut hops = 0;
        let mut is_corrected = false;
        let mut attempts = 0;
        loop {
            let place = self.learnt.redirects.place(bucket, &self.settings);
            let signed_at = self.now();
            let send = || {
                attempts += 1;
                self.send_once(&head, &bytes, &place, attempts - 1)
            };
            let response = match retry::with_retries(&head, send).await {
                // Where the bucket was said to be nobody listens: back to where it was asked for.
                Err(error) if hops == 0 && self.forget_dead(&error, bucket, &place) => {
                    hops += 1;
                    continue;
                }
                sent => sent?,
            };
            if !is_corrected && self.is_skewed(&response, signed_at) {
                is_corrected = true;
                continue;
            }
            match self
                .learnt
                .redirects
                .learn(bucket, &response, &self.settings)
            {
                None => return Ok(response),
                Some(to) if hops < redirect::HOPS_MAX && to != place => hops += 1,
                Some(_) => {
                    bucket.inspect(|bucket| self.learnt.redirects.forget(bucket));
                    return Err(UpstreamError::RedirectLoop);
                }
            }
        }
    }

    /// Forgets a learnt place that cannot be connected to. Whether it was one.
    fn forget_dead(
        &self,
        error: &UpstreamError,
        bucket: Option<&str>,
        place: &redirect::Place,
    ) -> bool {
        let is_learnt = place.endpoint != self.settings.endpoint;
        let (true, UpstreamError::Connect(_), Some(bucket)) = (is_learnt, error, bucket) else {
            return false;
        };
        self.learnt.redirects.forget(bucket);
        true
    }

    async fn send_once(
        &self,
        head: &Head,
        bytes: &Bytes,
        place: &redirect::Place,
        repetition: u32,
    ) -> Result<Response<Received>, UpstreamError> {
        let (signed, span) = self.sign(head, place, repetition).await?;
        self.settings
            .metrics
            .bytes(Direction::UpstreamOut, bytes.len() as u64);
        let sent = self.client.send(signed.map(|()| Body::full(bytes.clone())));
        let sent = tokio::time::timeout(self.settings.timeouts.response, sent)
            .await
            .unwrap_or(Err(UpstreamError::Timeout));
        traced::end(span, &sent);
        Ok(self.received(sent?))
    }

    /// The signed request, and the span that begins with it.
    async fn sign(
        &self,
        head: &Head,
        place: &redirect::Place,
        repetition: u32,
    ) -> Result<(hyper::Request<()>, Option<CallSpan>), UpstreamError> {
        let credentials = match &head.credentials {
            Some(own) => own.current().await?,
            None => self.credentials.current().await?,
        };
        let keys = &self.learnt.signing_keys;
        let mut signed = sign::sign(head, place, &credentials, keys, self.now())?;
        let span = traced::begin(&self.settings, &mut signed, repetition);
        Ok((signed, span))
    }

    fn is_skewed<B>(&self, response: &Response<B>, signed_at: OffsetDateTime) -> bool {
        let now = (self.settings.clock)();
        self.learnt.skew.learn(response, signed_at, now)
    }

    /// The time by the upstream's clock.
    fn now(&self) -> OffsetDateTime {
        self.learnt.skew.apply((self.settings.clock)())
    }

    fn received(&self, response: Response<hyper::body::Incoming>) -> Response<Received> {
        response.map(|body| {
            Received::new(
                body,
                Side::Upstream,
                self.settings.timeouts.idle,
                ByteCount::new(
                    self.settings.metrics.byte_counter(Direction::UpstreamIn),
                    None,
                ),
            )
        })
    }
}
