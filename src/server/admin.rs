//! The second listener: `/metrics`, `/healthz`, `/readyz`, and nothing else.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::{Connection, Handler, Limits};

/// Answers on the admin listener.
///
/// `metrics` renders the Prometheus text; `readiness` says what is missing, in a sentence without
/// secrets. Both are called for each request and must not block.
pub struct Admin<M, R> {
    metrics: M,
    readiness: R,
    draining: Draining,
}

/// Set once when the process begins to drain: from then on it is not ready.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// Begins.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl<M, R> Admin<M, R>
where
    M: Fn() -> String + Send + Sync + 'static,
    R: Fn() -> Result<(), String> + Send + Sync + 'static,
{
    /// See [`Admin`].
    pub fn new(metrics: M, readiness: R, draining: Draining) -> Self {
        Self {
            metrics,
            readiness,
            draining,
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let answer: fn(&Self) -> Response<Full<Bytes>> = match path {
            "/healthz" => |_| text(StatusCode::OK, "ok\n"),
            "/metrics" => Self::metrics,
            "/readyz" => Self::readiness,
            _ => return text(StatusCode::NOT_FOUND, "/metrics, /healthz or /readyz\n"),
        };
        if method != Method::GET && method != Method::HEAD {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(ALLOW, allowed);
            return refusal;
        }
        answer(self)
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut response = text(StatusCode::OK, (self.metrics)());
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        if self.draining.has_begun() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        match (self.readiness)() {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        }
    }
}

impl<M, R> Handler for Admin<M, R>
where
    M: Fn() -> String + Send + Sync + 'static,
    R: Fn() -> Result<(), String> + Send + Sync + 'static,
{
    type Body = Full<Bytes>;

    fn handle(
        &self,
        request: Request<Incoming>,
        _: Connection,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send {
        // hyper leaves the body of an answer to HEAD out, and keeps its length.
        std::future::ready(self.answer(request.method(), request.uri().path()))
    }
}

/// Limits of the admin listener: its requests and answers are small, its callers few.
pub const LIMITS: Limits = Limits {
    max_connections: 64,
    tls_handshake_timeout: Duration::from_secs(10),
    header_timeout: Duration::from_mins(1),
    write_timeout: Duration::from_secs(10),
    drain: Duration::from_secs(1),
};

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
