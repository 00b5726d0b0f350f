//! The second listener: a status page, `/metrics`, `/healthz`, `/readyz`, `POST /keys/purge`, `/log`, and nothing else.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::answer::{only, text};
use super::{Connection, Handler, Limits};

/// What the admin listener shows of the process, and does to it. Nothing here may block.
pub trait Inside: Send + Sync + 'static {
    /// The Prometheus text.
    fn metrics(&self) -> String;

    /// The status page.
    fn page(&self) -> Page;

    /// What the status page shows, as JSON without secrets.
    fn status(&self, is_draining: bool) -> String;

    /// What is missing, in a sentence without secrets.
    fn readiness(&self) -> Result<(), String>;

    /// The filter of log lines, where there is one to show.
    fn log_filter(&self) -> Option<String>;

    /// Lets through what this filter lets through. What is wrong with it, otherwise.
    fn set_log_filter(&self, filter: &str) -> Result<(), String>;

    /// Forgets the unwrapped keys that a key wrapped, by its id or alias. False if there is no
    /// such key.
    fn purge(&self, key: &str) -> impl Future<Output = bool> + Send;
}

/// A page that needs nothing from anywhere else.
#[derive(Clone, Debug)]
pub struct Page {
    /// HTML.
    pub text: &'static str,
    /// The value of its `Content-Security-Policy`.
    pub policy: HeaderValue,
}

/// Answers on the admin listener.
pub struct Admin<I> {
    inside: I,
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

impl<I: Inside> Admin<I> {
    /// See [`Admin`].
    pub fn new(inside: I, draining: Draining) -> Self {
        Self { inside, draining }
    }

    async fn answer(&self, method: &Method, uri: &Uri, from: IpAddr) -> Response<Full<Bytes>> {
        let is_read = method == Method::GET || method == Method::HEAD;
        match uri.path() {
            "/" | "/healthz" | "/metrics" | "/readyz" | "/status.json" if !is_read => {
                only("GET, HEAD")
            }
            "/" => self.page(),
            "/status.json" => self.status(),
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/metrics" => self.metrics(),
            "/readyz" => self.readiness(),
            "/keys/purge" if method != Method::POST => only("POST"),
            "/log" if is_read => self.log_filter(),
            "/log" if method != Method::PUT => only("GET, HEAD, PUT"),
            // The listener knows no credentials: what changes anything is for those inside.
            "/keys/purge" | "/log" if !from.to_canonical().is_loopback() => {
                text(StatusCode::FORBIDDEN, "only from loopback\n")
            }
            "/keys/purge" => self.purge(uri.query().unwrap_or_default()).await,
            "/log" => self.set_log_filter(uri.query().unwrap_or_default()),
            _ => text(StatusCode::NOT_FOUND, PATHS),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut response = text(StatusCode::OK, self.inside.metrics());
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    fn page(&self) -> Response<Full<Bytes>> {
        let Page { text, policy } = self.inside.page();
        let mut response = shown(text, "text/html; charset=utf-8");
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        response
    }

    fn status(&self) -> Response<Full<Bytes>> {
        let status = self.inside.status(self.draining.has_begun());
        shown(status, "application/json")
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        if self.draining.has_begun() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        match self.inside.readiness() {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        }
    }

    fn log_filter(&self) -> Response<Full<Bytes>> {
        match self.inside.log_filter() {
            Some(filter) => text(StatusCode::OK, format!("{filter}\n")),
            None => text(StatusCode::NOT_FOUND, "no filter\n"),
        }
    }

    fn set_log_filter(&self, query: &str) -> Response<Full<Bytes>> {
        let filter = query.strip_prefix("filter=").map(percent_decode_str);
        let Some(Ok(filter)) = filter.map(percent_encoding::PercentDecode::decode_utf8) else {
            return text(StatusCode::BAD_REQUEST, "/log?filter=FILTER\n");
        };
        match self.inside.set_log_filter(&filter) {
            Ok(()) => text(StatusCode::OK, format!("{filter}\n")),
            Err(reason) => text(StatusCode::BAD_REQUEST, format!("{reason}\n")),
        }
    }

    async fn purge(&self, query: &str) -> Response<Full<Bytes>> {
        let key = query.strip_prefix("key=").map(percent_decode_str);
        let Some(Ok(key)) = key.map(percent_encoding::PercentDecode::decode_utf8) else {
            return text(StatusCode::BAD_REQUEST, "/keys/purge?key=ID\n");
        };
        if self.inside.purge(&key).await {
            text(StatusCode::OK, "purged\n")
        } else {
            text(StatusCode::NOT_FOUND, "no such key\n")
        }
    }
}

impl<I: Inside> Handler for Admin<I> {
    type Body = Full<Bytes>;

    async fn handle(
        &self,
        request: Request<Incoming>,
        connection: Connection,
    ) -> Response<Full<Bytes>> {
        let from = connection.peer.ip();
        if is_misled(request.method(), request.uri(), request.headers(), from) {
            return text(StatusCode::FORBIDDEN, "not for pages of others\n");
        }
        // hyper leaves the body of an answer to HEAD out, and keeps its length.
        self.answer(request.method(), request.uri(), from).await
    }
}

/// Whether a web page of somebody else may be behind the request: a browser on this machine can be made
/// to send one, and by a name of the page's own to show what comes back.
fn is_misled(method: &Method, uri: &Uri, headers: &HeaderMap, from: IpAddr) -> bool {
    let is_for_people = ["/", "/status.json", "/keys/purge", "/log"].contains(&uri.path());
    if !is_for_people || !from.to_canonical().is_loopback() {
        return false;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    let is_own = host.is_none_or(|host| {
        let name = host.host().trim_matches(['[', ']']);
        name == "localhost" || name.parse::<IpAddr>().is_ok()
    });
    let changes = method == Method::POST || method == Method::PUT;
    !is_own || changes && headers.contains_key(ORIGIN)
}

const PATHS: &str = "/, /status.json, /metrics, /healthz, /readyz, /log or /keys/purge\n";

/// Limits of the admin listener: its requests and answers are small, its callers few.
pub const LIMITS: Limits = Limits {
    max_connections: 64,
    tls_handshake_timeout: Duration::from_secs(10),
    header_timeout: Duration::from_mins(1),
    write_timeout: Duration::from_secs(10),
    drain: Duration::from_secs(1),
};

/// For the eyes of people: never kept, and never taken for something else.
fn shown(body: impl Into<Bytes>, kind: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_others_reach_neither_the_status_nor_the_keys() {
        let misled = |method: &Method, path: &'static str, headers: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, HeaderValue::from_str(value).unwrap());
            }
            is_misled(method, &Uri::from_static(path), &map, [127, 0, 0, 1].into())
        };
        for host in ["localhost:9001", "127.0.0.1:9001", "[::1]:9001"] {
            assert!(!misled(&Method::GET, "/status.json", &[("host", host)]));
            assert!(!misled(
                &Method::POST,
                "/keys/purge?key=a",
                &[("host", host)]
            ));
            let of_a_page = [("host", host), ("origin", "http://elsewhere.example")];
            assert!(misled(&Method::POST, "/keys/purge?key=a", &of_a_page));
        }
        let rebound = [("host", "elsewhere.example:9001")];
        assert!(misled(&Method::GET, "/status.json", &rebound));
        assert!(misled(&Method::GET, "/", &rebound));
        assert!(!misled(&Method::GET, "/metrics", &rebound));
    }

    struct Untouched;

    impl Inside for Untouched {
        fn metrics(&self) -> String {
            String::new()
        }

        fn page(&self) -> Page {
            Page {
                text: "",
                policy: HeaderValue::from_static(""),
            }
        }

        fn status(&self, is_draining: bool) -> String {
            is_draining.to_string()
        }

        fn readiness(&self) -> Result<(), String> {
            Ok(())
        }

        fn log_filter(&self) -> Option<String> {
            Some("info".to_owned())
        }

        fn set_log_filter(&self, filter: &str) -> Result<(), String> {
            if filter == "info,a=debug" {
                Ok(())
            } else {
                Err("no filter".to_owned())
            }
        }

        async fn purge(&self, _: &str) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn the_log_filter_is_set_from_loopback_only() {
        let admin = Admin::new(Untouched, Draining::default());
        let (inside, outside) = ([127, 0, 0, 1].into(), [10, 0, 0, 7].into());
        let good = "/log?filter=info%2Ca%3Ddebug";
        for (method, path, from, status) in [
            (Method::GET, "/log", outside, 200),
            (Method::PUT, good, inside, 200),
            (Method::PUT, good, outside, 403),
            (Method::PUT, "/log?filter=%3D%3D", inside, 400),
            (Method::PUT, "/log", inside, 400),
            (Method::POST, good, inside, 405),
        ] {
            let answer = admin.answer(&method, &path.parse().unwrap(), from).await;
            assert_eq!(answer.status(), status, "{method} {path} {from}");
        }
    }

    #[tokio::test]
    async fn keys_are_purged_from_loopback_only() {
        let admin = Admin::new(Untouched, Draining::default());
        let uri = Uri::from_static("/keys/purge?key=x");
        for (from, status) in [
            ("127.0.0.1", 200),
            ("::1", 200),
            ("::ffff:127.0.0.1", 200),
            ("10.0.0.7", 403),
            ("fe80::1", 403),
        ] {
            let answer = admin.answer(&Method::POST, &uri, from.parse().unwrap());
            assert_eq!(answer.await.status(), status, "{from}");
        }
        let health = Uri::from_static("/healthz");
        let read = admin.answer(&Method::GET, &health, [10, 0, 0, 7].into());
        assert_eq!(read.await.status(), 200);
    }
}
