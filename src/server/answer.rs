//! Short answers in plain text.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// 405, with the methods that are allowed.
pub fn only(methods: &'static str) -> Response<Full<Bytes>> {
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, format!("{methods}\n"));
    let allowed = HeaderValue::from_static(methods);
    refusal.headers_mut().insert(ALLOW, allowed);
    refusal
}

/// An answer in words.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
