//! Client headers and query on their way upstream: only what the lists of
//! [`crate::s3::headers`] let through.

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, HOST, IF_MATCH, IF_NONE_MATCH, ORIGIN,
    USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::context::S3Request;
use crate::s3::conditional;
use crate::s3::headers::{RequestTreatment, describes_body, request_treatment};
use crate::s3::query::Query;
use crate::s3::uri;

/// What becomes of the headers that describe the body as the client sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyHeaders {
    /// The body that goes up is another one, or none.
    Drop,
    /// The body goes up byte by byte, and so do they.
    Keep,
}

/// The headers to send upstream; the request's own were checked before it was dispatched.
pub fn headers(request: &S3Request, about_body: BodyHeaders) -> HeaderMap {
    let mut outgoing = HeaderMap::with_capacity(request.headers.len() + 8);
    let named = connection_options(&request.headers);
    for (name, value) in &request.headers {
        let forward = match request_treatment(name) {
            RequestTreatment::Forward => name != HOST && name != ORIGIN && !named.contains(name),
            RequestTreatment::Consume => about_body == BodyHeaders::Keep && describes_body(name),
            RequestTreatment::Strip | RequestTreatment::Refuse => false,
        };
        if forward {
            outgoing.append(name, value.clone());
        }
    }
    for name in [IF_MATCH, IF_NONE_MATCH] {
        for value in request.headers.get_all(&name) {
            outgoing.append(&name, upstream_condition(value));
        }
    }
    if about_body == BodyHeaders::Drop {
        for value in request.headers.get_all(CONTENT_ENCODING) {
            outgoing.append(CONTENT_ENCODING, value.clone());
        }
    }
    strip_aws_chunked(&mut outgoing);
    outgoing.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    outgoing.insert(USER_AGENT, user_agent(&request.headers));
    outgoing
}

/// Passes on the headers without which some buckets answer nothing.
pub fn pass_owner(from: &HeaderMap, to: &mut HeaderMap) {
    for name in ["x-amz-expected-bucket-owner", "x-amz-request-payer"] {
        if let Some(value) = from.get(name) {
            to.insert(HeaderName::from_static(name), value.clone());
        }
    }
}

/// The query to send upstream: the bytes as received, without what is ours to answer.
pub fn query(request: &S3Request) -> String {
    let mut query = String::with_capacity(request.query.len());
    let pairs = Query::new(Some(&request.query)).pairs();
    for (name, value) in pairs.filter(|(name, _)| uri::decode(name).as_ref() != b"partNumber") {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(name);
        if let Some(value) = value {
            query.push('=');
            query.push_str(value);
        }
    }
    query
}

/// The stored `Content-Encoding` must not name the transport's framing.
pub fn strip_aws_chunked(headers: &mut HeaderMap) {
    let is_framing = |token: &&str| token.trim().eq_ignore_ascii_case("aws-chunked");
    let kept: Vec<String> = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|token| !is_framing(token))
        .map(|token| token.trim().to_owned())
        .collect();
    let named = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|token| is_framing(&token)));
    if !named {
        return;
    }
    headers.remove(CONTENT_ENCODING);
    if !kept.is_empty()
        && let Ok(value) = HeaderValue::from_str(&kept.join(","))
    {
        headers.insert(CONTENT_ENCODING, value);
    }
}

/// Headers that `Connection` makes hop-by-hop (RFC 9110, section 7.6.1).
fn connection_options(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        // `Connection` need not be signed, and so cannot take away what is.
        .filter(|name| !name.as_str().starts_with("x-amz-"))
        .collect()
}

/// A condition with the ETags that the upstream knows.
fn upstream_condition(value: &HeaderValue) -> HeaderValue {
    value
        .to_str()
        .ok()
        .and_then(|text| HeaderValue::from_str(&conditional::upstream_list(text)).ok())
        .unwrap_or_else(|| value.clone())
}

/// The client's, with ours behind it, so that upstream access logs show both.
fn user_agent(headers: &HeaderMap) -> HeaderValue {
    headers
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .and_then(|client| HeaderValue::from_str(&format!("{client} {PRODUCT}")).ok())
        .unwrap_or(HeaderValue::from_static(PRODUCT))
}

const PRODUCT: &str = concat!("s3seal/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_framing_is_stripped_from_content_encoding() {
        for (before, after) in [
            ("aws-chunked", None),
            ("aws-chunked,gzip", Some("gzip")),
            ("gzip, aws-chunked", Some("gzip")),
            ("gzip, br", Some("gzip, br")),
            ("", Some("")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(before));
            strip_aws_chunked(&mut headers);
            let left = headers
                .get(CONTENT_ENCODING)
                .map(|value| value.to_str().unwrap());
            assert_eq!(left, after, "{before}");
        }
    }
}
