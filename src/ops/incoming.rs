//! Upstream response headers on their way to the client: only what the lists of s3-operations
//! section 5 let through, with what describes ciphertext replaced.

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::Response;

use super::context::Cx;
use super::outgoing::strip_aws_chunked;
use crate::body::Body;
use crate::body::idle::Received;
use crate::s3::etag;
use crate::s3::headers::{ResponseTreatment, X_AMZ_BUCKET_REGION, response_treatment};

/// The headers to show of an upstream response; `Content-Length` and `Content-Range` are left out
/// and are for the caller to set.
pub fn headers(cx: &Cx, upstream: &HeaderMap) -> HeaderMap {
    let mut shown = HeaderMap::with_capacity(upstream.len() + 4);
    for (name, value) in upstream {
        match response_treatment(name) {
            ResponseTreatment::Keep => {
                shown.append(name, value.clone());
            }
            ResponseTreatment::Replace | ResponseTreatment::Strip => {}
        }
    }
    strip_aws_chunked(&mut shown);
    if let Some(shown_etag) = upstream.get(ETAG).and_then(|value| show_etag(cx, value)) {
        shown.insert(ETAG, shown_etag);
    }
    if upstream.contains_key(X_AMZ_BUCKET_REGION) {
        // Clients sign again for the region they read here.
        insert_text(&mut shown, "x-amz-bucket-region", &cx.settings.region);
    }
    shown
}

/// A response whose body describes no object bytes, relayed as it is.
pub fn relay(cx: &Cx, upstream: Response<Received>) -> Response<Body> {
    let (parts, body) = upstream.into_parts();
    let mut shown = headers(cx, &parts.headers);
    for name in [ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE] {
        if let Some(value) = parts.headers.get(&name) {
            shown.insert(name, value.clone());
        }
    }
    // CreateBucket answers with a path; anything else would name the upstream.
    if let Some(location) = parts.headers.get(LOCATION)
        && parts.status.is_success()
        && location.as_bytes().starts_with(b"/")
    {
        shown.insert(LOCATION, location.clone());
    }
    respond(parts.status, shown, Body::new(body))
}

/// A response of ours.
pub fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Sets what describes the plaintext that follows.
pub fn set_plaintext_len(headers: &mut HeaderMap, len: u64) {
    headers.insert(CONTENT_LENGTH, len.into());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

/// Inserts a header of ours whose value is known to be ASCII; drops it otherwise.
pub fn insert_text(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn show_etag(cx: &Cx, value: &HeaderValue) -> Option<HeaderValue> {
    let shown = etag::shown(value.to_str().ok()?, cx.settings.etag_style).into_owned();
    HeaderValue::from_str(&shown).ok()
}
