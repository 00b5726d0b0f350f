//! HeadObject: the plaintext's size, and its checksum where the client asks for it.

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::encryption::{self, ShowContext};
use super::get_object;
use super::incoming::{self, respond, set_plaintext_len};
use super::policy::ResolvedRule;
use super::read::{
    Wanted, announced_size, content_length, if_range_holds, set_content_range, settled,
    show_checksum, upstream_read, wants_checksum,
};
use super::s3ec;
use super::segmented::Object;
use super::stored::{self, Stored};
use crate::body::idle::Received;
use crate::body::seal::algorithm_of;
use crate::body::{Body, collect};
use crate::error::{Error, StoredError};
use crate::format::Layout;
use crate::format::Metadata;
use crate::format::single::open_trailer;
use crate::format::{SealedChecksum, TRAILER_LEN, Trailer};
use crate::s3::checksum::ChecksumAlgorithm;
use crate::s3::range::ContentRange;
use crate::s3ec::plaintext_len;

/// See the module.
pub async fn head_object(cx: &Cx, request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    encryption::check_read(&request)?;
    let wanted = Wanted::parse(&request)?;
    settled(|| head(cx, &request, rule, wanted)).await
}

/// Which checksum is sealed with one of our single objects, if it has one.
pub async fn sealed_checksum(
    cx: &Cx,
    reading: &S3Request,
    metadata: &Metadata,
    stored_len: u64,
) -> Result<Option<ChecksumAlgorithm>, Error> {
    let mut upstream = upstream_read(reading, Method::GET);
    upstream
        .headers
        .insert(RANGE, HeaderValue::from_static("bytes=-128"));
    let response = cx.upstream.send(upstream).await?;
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {}
        StatusCode::NOT_FOUND => return Err(Error::Changed),
        _ => return Err(Error::UpstreamAnswer("an object whose end cannot be read")),
    }
    let sealed = Sealed {
        request: reading,
        rule: reading.rule(cx)?,
        metadata,
        stored_len,
    };
    let trailer = sealed.trailer(cx, response).await?;
    let shown = trailer.checksums().map(|(kind, _)| kind);
    let mut shown = shown.filter(|kind| *kind != SealedChecksum::Md5);
    Ok(shown.next().map(algorithm_of))
}

async fn head(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    wanted: Wanted,
) -> Result<Response<Body>, Error> {
    let proves = rule.rule.verify_sizes;
    if (wants_checksum(request) || proves) && wanted == Wanted::Whole {
        // One request all the same: the trailer comes with the headers.
        let mut upstream = upstream_read(request, Method::GET);
        upstream
            .headers
            .insert(RANGE, HeaderValue::from_static("bytes=-128"));
        let response = cx.upstream.send(upstream).await?;
        // 416: a stored object of 0 bytes. 403: it may be archived, and only HEAD allowed; of such
        // an object nothing is proven.
        let needs_head = match response.status() {
            StatusCode::RANGE_NOT_SATISFIABLE => true,
            StatusCode::FORBIDDEN => !proves,
            _ => false,
        };
        if !needs_head {
            return with_trailer(cx, request, rule, response).await;
        }
    }
    let response = cx
        .upstream
        .send(upstream_read(request, Method::HEAD))
        .await?;
    if response.status() != StatusCode::OK {
        return Ok(without_body(cx, &response));
    }
    let stored_len = content_length(response.headers())?;
    let mut headers = incoming::headers(cx, response.headers());
    let size = match stored::recognise(cx, request, rule, response.headers(), stored_len)? {
        Stored::Sealed(metadata) => {
            stored::admit(cx, request, rule, &metadata).await?;
            encryption::show(
                cx,
                &mut headers,
                &metadata.envelope,
                ShowContext::No,
                request,
            )
            .await;
            let size = announced_size(&metadata, response.headers(), stored_len)?;
            let is_segmented = metadata.header.prefix().layout() == Layout::Segmented;
            let is_part = is_segmented && matches!(wanted, Wanted::Part(_));
            if let Some(size) = size.filter(|_| !is_part) {
                size
            } else {
                let said = (response.headers(), stored_len);
                let object = Object::new(cx, request, rule, &metadata, said).await?;
                let wanted = in_force(request, wanted, response.headers());
                return object.describe(wanted, headers).await;
            }
        }
        Stored::ClientEncrypted(metadata) => {
            s3ec::admit(request, rule, &metadata)?;
            s3ec::strip(&mut headers);
            plaintext_len(stored_len).map_err(StoredError::from)?
        }
        // Only the upstream knows of its parts.
        Stored::Plaintext if matches!(wanted, Wanted::Part(_)) => {
            return plaintext_part(cx, request).await;
        }
        Stored::DirectoryMarker | Stored::Plaintext => stored_len,
    };
    answer(request, headers, wanted, size, response.headers())
}

fn answer(
    request: &S3Request,
    mut headers: HeaderMap,
    wanted: Wanted,
    size: u64,
    upstream: &HeaderMap,
) -> Result<Response<Body>, Error> {
    match in_force(request, wanted, upstream).resolve(size)? {
        None => {
            set_plaintext_len(&mut headers, size);
            Ok(respond(StatusCode::OK, headers, Body::empty()))
        }
        Some(range) => {
            set_plaintext_len(&mut headers, range.len());
            set_content_range(&mut headers, range, size);
            Ok(respond(StatusCode::PARTIAL_CONTENT, headers, Body::empty()))
        }
    }
}

/// What is wanted once `If-Range` is looked at.
fn in_force(request: &S3Request, wanted: Wanted, upstream: &HeaderMap) -> Wanted {
    match wanted {
        Wanted::Range(_) if !if_range_holds(request, upstream) => Wanted::Whole,
        Wanted::Whole | Wanted::Range(_) | Wanted::Part(_) => wanted,
    }
}

/// A part of an object that is not encrypted.
async fn plaintext_part(cx: &Cx, request: &S3Request) -> Result<Response<Body>, Error> {
    let mut upstream = upstream_read(request, Method::HEAD);
    upstream.query.clone_from(&request.query);
    let response = cx.upstream.send(upstream).await?;
    let mut shown = without_body(cx, &response);
    if let Some(range) = response.headers().get(CONTENT_RANGE) {
        shown.headers_mut().insert(CONTENT_RANGE, range.clone());
    }
    Ok(shown)
}

/// Answers from a GET of the last 128 stored bytes.
async fn with_trailer(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    response: Response<Received>,
) -> Result<Response<Body>, Error> {
    let stored_len = match response.status() {
        StatusCode::OK => content_length(response.headers())?,
        StatusCode::PARTIAL_CONTENT => response
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|value| ContentRange::parse(value.to_str().ok()?))
            .map(|range| range.total)
            .ok_or(Error::UpstreamAnswer(
                "a 206 without a usable Content-Range",
            ))?,
        _ => return Ok(without_body(cx, &response)),
    };
    let mut headers = incoming::headers(cx, response.headers());
    let size = match stored::recognise(cx, request, rule, response.headers(), stored_len)? {
        Stored::Sealed(metadata) => {
            encryption::show(
                cx,
                &mut headers,
                &metadata.envelope,
                ShowContext::No,
                request,
            )
            .await;
            let size = announced_size(&metadata, response.headers(), stored_len)?;
            if metadata.header.prefix().layout() == Layout::Single {
                let sealed = Sealed {
                    request,
                    rule,
                    metadata: &metadata,
                    stored_len,
                };
                show_sealed(cx, sealed, &mut headers, response).await?;
            } else {
                stored::admit(cx, request, rule, &metadata).await?;
                if size.is_none() || rule.rule.verify_sizes {
                    let said = (response.headers(), stored_len);
                    let object = Object::new(cx, request, rule, &metadata, said).await?;
                    let proven = object.layout().await?;
                    set_plaintext_len(&mut headers, proven.layout.plaintext_len());
                    return Ok(respond(StatusCode::OK, headers, Body::empty()));
                }
            }
            size.unwrap_or_default()
        }
        Stored::ClientEncrypted(_) if rule.rule.verify_sizes => {
            return client_encrypted_proven(cx, request, rule).await;
        }
        Stored::ClientEncrypted(metadata) => {
            s3ec::admit(request, rule, &metadata)?;
            s3ec::strip(&mut headers);
            plaintext_len(stored_len).map_err(StoredError::from)?
        }
        Stored::DirectoryMarker | Stored::Plaintext => stored_len,
    };
    set_plaintext_len(&mut headers, size);
    Ok(respond(StatusCode::OK, headers, Body::empty()))
}

/// Nothing short of all of such an object proves its size.
async fn client_encrypted_proven(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
) -> Result<Response<Body>, Error> {
    let read = Box::pin(get_object::read_again(cx, request, rule, Wanted::Whole)).await?;
    Ok(read.map(|_body| Body::empty()))
}

/// Opens the trailer, which proves the size as well, and shows the checksum it holds.
async fn show_sealed(
    cx: &Cx,
    sealed: Sealed<'_>,
    headers: &mut HeaderMap,
    response: Response<Received>,
) -> Result<(), Error> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        // The upstream ignores ranges: a checksum is not worth the whole body.
        if sealed.rule.rule.verify_sizes {
            return Err(Error::UpstreamAnswer("all of an object instead of its end"));
        }
        return stored::content_key(cx, sealed.request, sealed.rule, sealed.metadata)
            .await
            .map(drop);
    }
    let trailer = sealed.trailer(cx, response).await?;
    if wants_checksum(sealed.request) {
        show_checksum(headers, &trailer);
    }
    Ok(())
}

/// One of ours, and who asks for it.
#[derive(Clone, Copy)]
struct Sealed<'a> {
    request: &'a S3Request,
    rule: &'a ResolvedRule,
    metadata: &'a Metadata,
    stored_len: u64,
}

impl Sealed<'_> {
    /// Opens the end of the object, which `response` carries.
    async fn trailer(self, cx: &Cx, response: Response<Received>) -> Result<Trailer, Error> {
        let key = stored::content_key(cx, self.request, self.rule, self.metadata).await?;
        let stored = collect(response.into_body(), TRAILER_LEN as u64).await?;
        let stored = <[u8; TRAILER_LEN]>::try_from(stored.as_ref())
            .map_err(|_short| Error::UpstreamAnswer("another range than was asked for"))?;
        let trailer = open_trailer(cx.settings.cipher, &key, self.stored_len, stored);
        Ok(trailer.map_err(StoredError::from)?)
    }
}

/// Answers to HEAD have no body, whatever the upstream's request was.
fn without_body(cx: &Cx, response: &Response<Received>) -> Response<Body> {
    let mut headers = incoming::headers(cx, response.headers());
    for name in [ACCEPT_RANGES, CONTENT_LENGTH] {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    respond(response.status(), headers, Body::empty())
}
