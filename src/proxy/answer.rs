//! Error documents, and what every response carries.

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use http_body::Body as _;
use hyper::Response;
use hyper::body::Incoming;

use crate::body::Body;
use crate::error::Error;
use crate::ops::report;
use crate::s3::headers::{X_AMZ_ID_2, X_AMZ_REQUEST_ID};
use crate::s3::xml;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::request_id::RequestId;

/// Our own request id, in every response beside the upstream's.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-s3seal-request-id");

/// What of a request head an error document needs.
pub struct Asked {
    is_head: bool,
    resource: String,
}

impl Asked {
    /// Keeps the method and the path; the query may hold a signature.
    pub fn of(parts: &Parts) -> Self {
        Self {
            is_head: parts.method == Method::HEAD,
            resource: parts.uri.path().to_owned(),
        }
    }
}

/// The response to a failed request. Counts and logs the failure: this is where it is handled.
pub fn error(error: &Error, asked: &Asked, id: &RequestId, metrics: &Metrics) -> Response<Body> {
    let s3 = error.to_s3();
    let status = s3.code.status();
    report::failure(error, status, metrics);
    let mut headers = HeaderMap::new();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let body = if asked.is_head {
        Body::empty()
    } else {
        let document = xml::error::render(&s3, Some(&asked.resource), id.as_str());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        headers.insert(CONTENT_LENGTH, document.len().into());
        Body::full(document)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Whether the connection cannot be used again after this request: it announces `Expect` and has no
/// body, so no `100 Continue` is sent. botocore takes the next answer on such a connection for the
/// one it waits for, and hangs until its read times out.
pub fn must_close(parts: &Parts, body: &Incoming) -> bool {
    parts.version == Version::HTTP_11 && parts.headers.contains_key(EXPECT) && body.is_end_stream()
}

/// Ends the connection with this response.
pub fn close(response: &mut Response<Body>) {
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Adds our request id, and S3's names for it where the upstream gave none.
pub fn stamp(mut response: Response<Body>, id: &RequestId) -> Response<Body> {
    let value = id.header_value();
    let headers = response.headers_mut();
    for name in [X_AMZ_REQUEST_ID, X_AMZ_ID_2] {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    headers.insert(REQUEST_ID, value);
    response
}
