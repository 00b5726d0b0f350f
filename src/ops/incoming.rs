//! Upstream response headers on their way to the client: only what the lists of
//! [`crate::s3::headers`] let through, with what describes ciphertext replaced.

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Body as _;
use hyper::Response;

use super::context::Cx;
use super::outgoing::strip_aws_chunked;
use crate::body::idle::Received;
use crate::body::{Body, BodyError, collect};
use crate::error::Error;
use crate::s3::error_code::ErrorCode;
use crate::s3::etag;
use crate::s3::headers::{ResponseTreatment, X_AMZ_BUCKET_REGION, response_treatment};
use crate::s3::xml::error::{ERROR_DOCUMENT_LEN_MAX, ErrorDocument};
use crate::upstream::UpstreamError;

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

/// A response whose body describes no object bytes, relayed as it is; an error is shown as ours.
pub async fn relay(cx: &Cx, upstream: Response<Received>) -> Result<Response<Body>, Error> {
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
    if parts.status.is_success() || body.is_end_stream() {
        return Ok(respond(parts.status, shown, Body::new(body)));
    }
    let document = error_body(body).await?;
    Ok(show_error(parts.status, shown, document.as_ref()))
}

/// A refusal of the upstream with its code, for those who go on at some of them.
pub async fn refusal(
    cx: &Cx,
    upstream: Response<Received>,
) -> Result<(String, Response<Body>), Error> {
    let (parts, body) = upstream.into_parts();
    let shown = headers(cx, &parts.headers);
    let document = error_body(body).await?;
    let code = document.as_ref().map(|document| document.code().to_owned());
    let response = show_error(parts.status, shown, document.as_ref());
    Ok((code.unwrap_or_default(), response))
}

/// What became of an operation that the upstream answered with a 200 before it was done.
pub enum Late {
    /// It is done: the headers to show, and the document.
    Done(HeaderMap, Bytes),
    /// It is not, for the reason with this code.
    Refused(String, Response<Body>),
}

/// Waits for the document behind a 200, white space for as long as the upstream is at work
/// (AWS, "CompleteMultipartUpload" and "CopyObject"). An error gets the status that its code has:
/// nothing has been sent to the client yet.
pub async fn late(cx: &Cx, upstream: Response<Received>) -> Result<Late, Error> {
    let (parts, body) = upstream.into_parts();
    let shown = headers(cx, &parts.headers);
    let document = document(body, LATE_LEN_MAX).await?;
    let start = document.len() - document.trim_ascii_start().len();
    let document = document.slice(start..);
    let Some(error) = ErrorDocument::parse(&document) else {
        return Ok(Late::Done(shown, document));
    };
    if OF_OUR_SIGNATURE.contains(&error.code()) {
        return Err(UpstreamError::Refused(error.code().to_owned()).into());
    }
    let status = ErrorCode::from_name(error.code())
        .map_or(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::status);
    let code = error.code().to_owned();
    Ok(Late::Refused(code, show_error(status, shown, Some(&error))))
}

/// A document of the upstream, whose fault it is if that is longer than `limit` bytes.
pub async fn document(body: Received, limit: u64) -> Result<Bytes, Error> {
    match collect(body, limit).await {
        Err(BodyError::TooLarge(_)) => Err(Error::UpstreamAnswer("a document beyond all measure")),
        collected => Ok(collected?),
    }
}

/// The largest answer behind a 200, in bytes: most of it is white space.
const LATE_LEN_MAX: u64 = 1 << 20;

fn show_error(
    status: StatusCode,
    mut headers: HeaderMap,
    document: Option<&ErrorDocument>,
) -> Response<Body> {
    let body = document.map(ErrorDocument::render).unwrap_or_default();
    headers.insert(CONTENT_LENGTH, body.len().into());
    respond(status, headers, Body::full(body))
}

/// An upstream's error document without what is not the client's to see: host names, and what it
/// says of the proxy's own signature.
async fn error_body(body: Received) -> Result<Option<ErrorDocument>, Error> {
    let body = document(body, ERROR_DOCUMENT_LEN_MAX as u64).await?;
    // What is none is not S3's: of something in between.
    let document = ErrorDocument::parse(&body);
    match document {
        Some(document) if OF_OUR_SIGNATURE.contains(&document.code()) => {
            Err(UpstreamError::Refused(document.code().to_owned()).into())
        }
        document => Ok(document),
    }
}

/// Codes that can only be about how the proxy signed, since the client's signature ended here.
const OF_OUR_SIGNATURE: &[&str] = &[
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];

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
