//! Copies: without moving bytes where the data key may be shared (format.md, "Copies"), and
//! otherwise through the proxy under a fresh one.

pub mod conditions;
pub mod object;
pub mod part;
pub mod rewrap;
mod server_side;
pub(in crate::ops) mod tags;

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::get_object;
use super::incoming::{self, insert_text};
use super::outgoing;
use super::policy::ResolvedRule;
use super::read::{Wanted, announced_size, content_length, upstream_read};
use super::s3ec;
use super::segmented::Object;
use super::stored::{self, Stored};
use crate::body::Body;
use crate::body::idle::Received;
use crate::error::{Error, StoredError};
use crate::format::Metadata;
use crate::s3::copy_source::CopySource;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::headers::{
    COPY_SOURCE_SSE_CUSTOMER_ALGORITHM, COPY_SOURCE_SSE_CUSTOMER_KEY,
    COPY_SOURCE_SSE_CUSTOMER_KEY_MD5, SSE_CUSTOMER_ALGORITHM, SSE_CUSTOMER_KEY,
    SSE_CUSTOMER_KEY_MD5, is_metadata,
};
use crate::s3::operation::Operation;
use crate::s3::query::version_query;
use crate::s3::range::{ByteRange, ContentRange, ResolvedRange};
use crate::s3::sse::CustomerKey;
use crate::s3ec::plaintext_len;

/// A read of the source in the client's name.
pub struct Reading {
    /// What the client calls it.
    pub name: CopySource,
    /// With the conditions on the source as its own.
    pub request: S3Request,
}

/// The source of a copy, as one answer of the upstream describes it.
pub struct Source<'a> {
    /// See [`Reading`].
    pub reading: &'a Reading,
    /// The rule it is under.
    pub rule: &'a ResolvedRule,
    /// The upstream's.
    pub headers: HeaderMap,
    /// Bytes as stored.
    pub stored_len: u64,
    /// Bytes as clients see them.
    pub size: u64,
    /// What it is.
    pub stored: Stored,
}

/// What came of looking at the source.
pub enum Probed<'a> {
    /// It is there, and the client's conditions hold.
    Found(Box<Source<'a>>),
    /// The upstream says no.
    Refused(Response<Body>),
}

/// Looks at the source: it is there, the caller may read it, and the conditions hold.
pub async fn probe<'a>(cx: &'a Cx, reading: &'a Reading) -> Result<Probed<'a>, Error> {
    let request = &reading.request;
    let rule = request.rule(cx)?;
    let response = look(cx, request).await?;
    match response.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
        StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED => {
            return Err(S3Error::new(ErrorCode::PreconditionFailed).into());
        }
        _ => return Ok(Probed::Refused(incoming::relay(cx, response).await?)),
    }
    let stored_len = stored_len(response.headers())
        .ok_or(Error::UpstreamAnswer("a source without a usable length"))?;
    let headers = response.into_parts().0.headers;
    let stored = stored::recognise(cx, request, rule, &headers, stored_len)?;
    let size = match &stored {
        Stored::Sealed(metadata) => {
            sealed_size(cx, request, rule, metadata, (&headers, stored_len)).await?
        }
        Stored::ClientEncrypted(metadata) => {
            let size = plaintext_len(stored_len).map_err(StoredError::from)?;
            s3ec::admit_bytes(request, rule, metadata, size)?;
            size
        }
        Stored::DirectoryMarker | Stored::Plaintext => stored_len,
    };
    Ok(Probed::Found(Box::new(Source {
        reading,
        rule,
        headers,
        stored_len,
        size,
        stored,
    })))
}

/// One byte, and not a HEAD: a refusal comes with its reason.
async fn look(cx: &Cx, reading: &S3Request) -> Result<Response<Received>, Error> {
    let mut upstream = upstream_read(reading, Method::GET);
    let byte = HeaderValue::from_static("bytes=0-0");
    upstream.headers.insert(RANGE, byte);
    let response = cx.upstream.send(upstream).await?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        // it is empty
        let upstream = upstream_read(reading, Method::HEAD);
        return Ok(cx.upstream.send(upstream).await?);
    }
    Ok(response)
}

/// Bytes of plaintext, once the caller has shown that the object is for it to read.
async fn sealed_size(
    cx: &Cx,
    reading: &S3Request,
    rule: &ResolvedRule,
    metadata: &Metadata,
    (headers, stored_len): (&HeaderMap, u64),
) -> Result<u64, Error> {
    stored::admit(cx, reading, rule, metadata).await?;
    if let Some(size) = announced_size(metadata, headers, stored_len)? {
        return Ok(size);
    }
    let object = Object::new(cx, reading, rule, metadata, (headers, stored_len)).await?;
    Ok(object.layout().await?.layout.plaintext_len())
}

/// The size of the whole, from a 206 or a 200.
fn stored_len(headers: &HeaderMap) -> Option<u64> {
    match headers.get(CONTENT_RANGE) {
        Some(range) => ContentRange::parse(range.to_str().ok()?).map(|range| range.total),
        None => headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok(),
    }
}

impl Reading {
    /// What `request` is a copy of, if its caller may read that bucket.
    pub fn parse(cx: &Cx, request: &S3Request) -> Result<Self, Error> {
        if let Some(key) = CustomerKey::parse_copy_source(&request.headers)? {
            key.over(request.is_tls)?;
        }
        let name = source(request)?;
        let request = reading(request, &name);
        // Before anything is asked about it: a rule may keep it out of reach.
        request.rule(cx)?;
        Ok(Self { name, request })
    }
}

impl Reading {
    /// The object that `request` itself is about.
    pub fn itself(request: &S3Request) -> Result<Self, Error> {
        let (Some(bucket), Some(key)) = (request.target.bucket(), request.target.key()) else {
            return Err(S3Error::new(ErrorCode::InvalidUri).into());
        };
        let mut reading = request.own(Operation::GetObject, Method::GET);
        outgoing::pass_owner(&request.headers, &mut reading.headers);
        Ok(Self {
            name: CopySource::of(bucket.clone(), key.clone()),
            request: reading,
        })
    }
}

/// What a request copies, if that is in the scope of its caller.
pub fn source(request: &S3Request) -> Result<CopySource, Error> {
    let name = CopySource::parse(&request.headers)?;
    let may_read = request
        .caller
        .as_ref()
        .is_some_and(|caller| caller.client.may_use_object(name.bucket(), name.key()));
    if !may_read {
        return Err(S3Error::new(ErrorCode::AccessDenied).into());
    }
    Ok(name)
}

fn reading(request: &S3Request, name: &CopySource) -> S3Request {
    let mut headers = HeaderMap::new();
    for (from, to) in [
        ("x-amz-copy-source-if-match", IF_MATCH),
        ("x-amz-copy-source-if-none-match", IF_NONE_MATCH),
        ("x-amz-copy-source-if-modified-since", IF_MODIFIED_SINCE),
        ("x-amz-copy-source-if-unmodified-since", IF_UNMODIFIED_SINCE),
        (
            "x-amz-request-payer",
            HeaderName::from_static("x-amz-request-payer"),
        ),
        (
            "x-amz-source-expected-bucket-owner",
            HeaderName::from_static("x-amz-expected-bucket-owner"),
        ),
        (
            COPY_SOURCE_SSE_CUSTOMER_ALGORITHM.as_str(),
            SSE_CUSTOMER_ALGORITHM,
        ),
        (COPY_SOURCE_SSE_CUSTOMER_KEY.as_str(), SSE_CUSTOMER_KEY),
        (
            COPY_SOURCE_SSE_CUSTOMER_KEY_MD5.as_str(),
            SSE_CUSTOMER_KEY_MD5,
        ),
    ] {
        if let Some(value) = request.headers.get(from) {
            headers.insert(to, value.clone());
        }
    }
    let mut reading = request.own(Operation::GetObject, Method::GET);
    reading.target = name.target();
    reading.query = version_query(name.version().map(str::as_bytes));
    reading.headers = headers;
    reading
}

impl Source<'_> {
    /// The upstream's entity tag.
    pub fn etag(&self) -> Option<&HeaderValue> {
        self.headers.get(ETAG)
    }

    /// The plaintext of the object that was looked at, and of no other, as fast as it would go to the
    /// client.
    pub async fn plaintext(
        &self,
        cx: &Cx,
        range: Option<ResolvedRange>,
    ) -> Result<Response<Body>, Error> {
        let looked_at = &self.reading.request;
        let mut reading = looked_at.own(Operation::GetObject, Method::GET);
        reading.query.clone_from(&looked_at.query);
        reading.headers.clone_from(&looked_at.headers);
        for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
            reading.headers.remove(name);
        }
        if let Some(etag) = self.etag() {
            reading.headers.insert(IF_MATCH, etag.clone());
        }
        let wanted = range.map_or(Wanted::Whole, |range| {
            Wanted::Range(ByteRange::Closed {
                first: range.first(),
                last: range.last(),
            })
        });
        if let Some(range) = range {
            let text = format!("bytes={}-{}", range.first(), range.last());
            insert_text(&mut reading.headers, "range", &text);
        }
        let response = get_object::read_again(cx, &reading, self.rule, wanted).await?;
        let expected = range.map_or(self.size, ResolvedRange::len);
        let is_same = || {
            let shown = incoming::headers(cx, &self.headers);
            Ok::<_, Error>(
                content_length(response.headers())? == expected
                    && response.headers().get(ETAG) == shown.get(ETAG),
            )
        };
        match response.status() {
            // Not every upstream heeds If-Match on reads.
            StatusCode::OK | StatusCode::PARTIAL_CONTENT if !is_same()? => Err(Error::Changed),
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                Ok(response.map(|body| looked_at.brake.slow(body)))
            }
            StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND => Err(Error::Changed),
            _ => Err(Error::UpstreamAnswer("a source that cannot be read")),
        }
    }

    /// Puts what is copied of the source's headers in the place of the request's.
    pub fn copy_headers(&self, cx: &Cx, stored: &mut HeaderMap) {
        let described: Vec<HeaderName> = stored
            .keys()
            .filter(|name| is_metadata(name.as_str()) || CONTENT_HEADERS.contains(name))
            .cloned()
            .collect();
        for name in described {
            stored.remove(name);
        }
        let mut shown = incoming::headers(cx, &self.headers);
        if let Stored::ClientEncrypted(_) = self.stored {
            s3ec::strip(&mut shown);
        }
        for (name, value) in &shown {
            if is_metadata(name.as_str()) || CONTENT_HEADERS.contains(name) {
                stored.append(name.clone(), value.clone());
            }
        }
    }

    /// Shows which version was copied.
    pub fn show_version(&self, headers: &mut HeaderMap) {
        if let Some(version) = self.headers.get("x-amz-version-id") {
            let name = HeaderName::from_static("x-amz-copy-source-version-id");
            headers.insert(name, version.clone());
        }
    }
}

/// How many entries of an object's metadata the upstream has and cannot show.
pub(in crate::ops) const MISSING_META: &str = "x-amz-missing-meta";

/// What S3 calls the system metadata of an object.
pub(in crate::ops) const CONTENT_HEADERS: &[HeaderName] = &[
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    EXPIRES,
];
