//! Signs outgoing requests: the path is encoded once and never normalised, and the payload hash is
//! a header (AWS, "Signature Version 4 for API requests", what is special about S3).
//!
//! `aws-sigv4`'s own request signer would derive the signing key anew for every request and
//! canonicalise through intermediate strings; see decision 0012. It derives the
//! keys, and its signer is the judge in the tests.

use std::borrow::Cow;

use aws_credential_types::Credentials;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use thiserror::Error;
use time::OffsetDateTime;

use super::redirect::Place;
use super::request::Head;
use crate::s3::headers::{X_AMZ_CONTENT_SHA256, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN};
use crate::s3::query::Query;
use crate::s3::sigv4::{
    ALGORITHM, EMPTY_SHA256, SERVICE, Signer, SigningKeys, TERMINAL, Timestamp, sha256_hex,
    string_to_sign, write_query, write_value,
};

/// How the payload takes part in the signature.
#[derive(Clone, Debug)]
pub enum PayloadSignature {
    /// By its hash.
    Sha256(Bytes),
    /// Not at all: its integrity is in its own tags.
    Unsigned,
    /// Not at all, with a checksum trailer.
    UnsignedWithTrailer,
}

/// A request that cannot be signed: always a bug, or a configured credential that is no header
/// text; never the client's fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignError {
    /// A value that no header can hold.
    #[error("signing: {0}")]
    Header(#[from] InvalidHeaderValue),
    /// It is not a valid HTTP request.
    #[error("invalid upstream request: {0}")]
    Http(#[from] http::Error),
}

/// The signed request without its body, for the place where the bucket lives. `keys` remembers
/// what was derived for earlier requests.
pub fn sign(
    head: &Head,
    place: &Place,
    credentials: &Credentials,
    keys: &SigningKeys,
    now: OffsetDateTime,
) -> Result<Request<()>, SignError> {
    let bucket = head.bucket.as_deref();
    let host = place.endpoint.host_for(bucket);
    let path = place.endpoint.path_for(bucket, head.key.as_deref());
    let query = query_of(head);
    let timestamp = Timestamp::of(now);
    let payload_hash = head.payload.hash();

    let mut headers = head.headers.clone();
    headers.reserve(ADDED_HEADERS);
    headers.insert(HOST, HeaderValue::from_str(&host)?);
    headers.insert(X_AMZ_DATE, HeaderValue::from_str(timestamp.text())?);
    headers.insert(X_AMZ_CONTENT_SHA256, HeaderValue::from_str(&payload_hash)?);
    if let Some(token) = credentials.session_token() {
        let mut token = HeaderValue::from_str(token)?;
        token.set_sensitive(true);
        headers.insert(X_AMZ_SECURITY_TOKEN, token);
    }
    let signed = SignedHeaders::of(&headers);
    let mut canonical = Vec::with_capacity(CANONICAL_LEN);
    let method = head.method.as_str();
    write_lines(&mut canonical, &[method.as_bytes(), path.as_bytes()]);
    write_query(Query::new(Some(&query)), None, &mut canonical);
    canonical.push(b'\n');
    signed.write(&mut canonical);
    canonical.extend_from_slice(payload_hash.as_bytes());

    let scope = [timestamp.date(), &place.region, SERVICE, TERMINAL].join("/");
    let signer = Signer {
        id: credentials.access_key_id(),
        secret: credentials.secret_access_key(),
        region: &place.region,
    };
    let text = string_to_sign(timestamp.text(), &scope, &canonical);
    let signature = keys.key(signer, &timestamp).sign(text.as_bytes());
    let names = &signed.names;
    let id = signer.id;
    let mut authorization = HeaderValue::try_from(format!(
        "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
    ))?;
    authorization.set_sensitive(true);
    headers.insert(AUTHORIZATION, authorization);
    let uri = uri_of(place, &host, path, &query)?;
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

impl PayloadSignature {
    /// The value of `x-amz-content-sha256`.
    fn hash(&self) -> Cow<'static, str> {
        match self {
            Self::Sha256(bytes) if bytes.is_empty() => EMPTY_SHA256.into(),
            Self::Sha256(bytes) => sha256_hex(bytes).into(),
            Self::Unsigned => "UNSIGNED-PAYLOAD".into(),
            Self::UnsignedWithTrailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER".into(),
        }
    }
}

/// What S3 wants signed: `host`, `content-type` and every `x-amz-*`. The rest may change on the
/// way.
struct SignedHeaders<'a> {
    headers: &'a HeaderMap,
    /// Sorted.
    keys: Vec<&'a HeaderName>,
    /// Joined by `;`.
    names: String,
}

impl<'a> SignedHeaders<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut keys: Vec<_> = headers.keys().filter(|name| is_signed(name)).collect();
        keys.sort_unstable_by_key(|name| name.as_str());
        let mut names = String::with_capacity(CANONICAL_LEN);
        for (index, name) in keys.iter().enumerate() {
            if index > 0 {
                names.push(';');
            }
            names.push_str(name.as_str());
        }
        Self {
            headers,
            keys,
            names,
        }
    }

    /// A line for each header, an empty one, the names. The values of a repeated header are joined
    /// by commas.
    fn write(&self, out: &mut Vec<u8>) {
        for name in &self.keys {
            out.extend_from_slice(name.as_str().as_bytes());
            for (index, value) in self.headers.get_all(*name).iter().enumerate() {
                out.push(if index == 0 { b':' } else { b',' });
                write_value(value.as_bytes(), out);
            }
            out.push(b'\n');
        }
        write_lines(out, &[b"", self.names.as_bytes()]);
    }
}

fn is_signed(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-amz-") || name == HOST || name == CONTENT_TYPE
}

fn write_lines(out: &mut Vec<u8>, lines: &[&[u8]]) {
    for line in lines {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
}

/// The query as it is sent. Signers disagree on a bare plus; encoded it is a plus for all of them.
fn query_of(head: &Head) -> Cow<'_, str> {
    if head.query.contains('+') {
        return head.query.replace('+', "%2B").into();
    }
    head.query.as_str().into()
}

fn uri_of(place: &Place, host: &str, path: String, query: &str) -> Result<Uri, http::Error> {
    let mut target = path;
    if !query.is_empty() {
        target.push('?');
        target.push_str(query);
    }
    Uri::builder()
        .scheme(place.endpoint.scheme())
        .authority(host)
        .path_and_query(target)
        .build()
}

/// Headers that signing adds.
const ADDED_HEADERS: usize = 5;
/// What most canonical requests fit in.
const CANONICAL_LEN: usize = 1024;

#[cfg(test)]
mod tests;
