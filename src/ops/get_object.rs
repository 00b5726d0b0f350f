//! GetObject: whole objects and ranges, opened as they arrive.

use std::sync::Arc;

use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::encryption::{self, ShowContext};
use super::incoming::{self, respond, set_plaintext_len};
use super::policy::ResolvedRule;
use super::read::{
    Unsatisfiable, Wanted, content_length, if_range_holds, set_content_range, settled,
    show_checksum, stream, unsatisfiable, upstream_read, wants_checksum,
};
use super::s3ec;
use super::segmented::{self, Object};
use super::stored::{self, Stored};
use crate::body::idle::Received;
use crate::body::open::Window;
use crate::body::room::Share;
use crate::body::{Body, collect};
use crate::error::{Error, StoredError};
use crate::format::single::{SingleRange, StoredRange, stored_span, stored_suffix_len};
use crate::format::sizes::single_plaintext_len;
use crate::format::{CHUNK_LEN, TAG_LEN, TRAILER_LEN};
use crate::format::{ContentKey, Layout, Metadata, Opener};
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::range::{ByteRange, ContentRange, ResolvedRange};

/// See the module.
pub async fn get_object(cx: &Cx, request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    encryption::check_read(&request)?;
    let wanted = Wanted::parse(&request)?;
    read_again(cx, &request, rule, wanted).await
}

/// Reads an object; starts over when it is replaced meanwhile.
pub async fn read_again(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    wanted: Wanted,
) -> Result<Response<Body>, Error> {
    settled(|| read(cx, request, rule, wanted)).await
}

async fn read(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    wanted: Wanted,
) -> Result<Response<Body>, Error> {
    if wanted != Wanted::Whole
        && let Some(response) = segmented::warm(cx, request, rule, wanted).await?
    {
        return Ok(response);
    }
    let response = ask(cx, request, stored_range(wanted)).await?;
    match response.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
            serve(cx, request, rule, wanted, response).await
        }
        // It is empty.
        StatusCode::RANGE_NOT_SATISFIABLE if matches!(wanted, Wanted::Part(_)) => {
            serve_all(cx, request, rule, wanted).await
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            match unsatisfiable(cx, request, rule, wanted).await? {
                Unsatisfiable::Changed(head) => incoming::relay(cx, head).await,
                Unsatisfiable::Plaintext => plaintext_part(cx, request, rule).await,
                Unsatisfiable::ClientEncrypted(metadata) => {
                    let reading = s3ec::read(cx, request, rule, wanted, (&metadata, None));
                    Box::pin(reading).await
                }
                Unsatisfiable::NotWanted => Box::pin(read(cx, request, rule, Wanted::Whole)).await,
                Unsatisfiable::Segmented(head, metadata) => {
                    let stored_len = content_length(head.headers())?;
                    let about = About {
                        metadata: &metadata,
                        upstream: head.headers(),
                        stored_len,
                    };
                    Box::pin(serve_segmented(cx, request, rule, wanted, about, None)).await
                }
            }
        }
        _ => incoming::relay(cx, response).await,
    }
}

async fn ask(
    cx: &Cx,
    request: &S3Request,
    range: Option<HeaderValue>,
) -> Result<Response<Received>, Error> {
    let mut upstream = upstream_read(request, Method::GET);
    if let Some(range) = range {
        upstream.headers.insert(RANGE, range);
    }
    Ok(cx.upstream.send(upstream).await?)
}

/// The stored bytes of layout 01 that can hold what is wanted: most objects are of that layout, and
/// its spans are known before the object is. Whoever wants a part expects a multipart object: the
/// first bytes tell.
fn stored_range(wanted: Wanted) -> Option<HeaderValue> {
    let range = match wanted {
        Wanted::Whole | Wanted::Range(ByteRange::Suffix { len: 0 }) => return None,
        Wanted::Part(_) => return Some(HeaderValue::from_static("bytes=0-127")),
        Wanted::Range(ByteRange::Closed { first, last }) => stored_span(first, Some(last)),
        Wanted::Range(ByteRange::From { first }) => stored_span(first, None),
        Wanted::Range(ByteRange::Suffix { len }) => {
            let len = stored_suffix_len(len);
            return HeaderValue::from_str(&format!("bytes=-{len}")).ok();
        }
    };
    let text = match range {
        (first, Some(last)) => format!("bytes={first}-{last}"),
        (first, None) => format!("bytes={first}-"),
    };
    HeaderValue::from_str(&text).ok()
}

/// Which stored bytes a response carries.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    range: Option<StoredRange>,
    stored_len: u64,
}

impl Arrived {
    fn of(response: &Response<Received>) -> Result<Self, Error> {
        if response.status() != StatusCode::PARTIAL_CONTENT {
            let stored_len = content_length(response.headers())?;
            let range = stored_len
                .checked_sub(1)
                .map(|last| StoredRange { first: 0, last });
            return Ok(Self { range, stored_len });
        }
        let arrived = response
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|value| ContentRange::parse(value.to_str().ok()?))
            .ok_or(Error::UpstreamAnswer(
                "a 206 without a usable Content-Range",
            ))?;
        let (first, last) = (arrived.range.first(), arrived.range.last());
        Ok(Self {
            range: Some(StoredRange { first, last }),
            stored_len: arrived.total,
        })
    }

    fn is_whole(&self) -> bool {
        self.range
            .is_none_or(|range| range.first == 0 && range.last + 1 == self.stored_len)
    }
}

/// Turns a 200 or 206 of the upstream into what the client asked for.
async fn serve(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    wanted: Wanted,
    response: Response<Received>,
) -> Result<Response<Body>, Error> {
    let is_range = matches!(wanted, Wanted::Range(_));
    let arrived = Arrived::of(&response)?;
    let metadata =
        match stored::recognise(cx, request, rule, response.headers(), arrived.stored_len)? {
            Stored::Sealed(metadata) => metadata,
            Stored::ClientEncrypted(metadata) => {
                let whole = arrived.is_whole().then_some(response);
                let reading = s3ec::read(cx, request, rule, wanted, (&metadata, whole));
                return Box::pin(reading).await;
            }
            Stored::DirectoryMarker => {
                wanted.resolve(0)?;
                return Ok(directory_marker(cx, response.headers()));
            }
            Stored::Plaintext if wanted == Wanted::Whole => {
                return incoming::relay(cx, response).await;
            }
            Stored::Plaintext => return plaintext_part(cx, request, rule).await,
        };
    if metadata.header.prefix().layout() == Layout::Segmented {
        let upstream = response.headers().clone();
        let about = About {
            metadata: &metadata,
            upstream: &upstream,
            stored_len: arrived.stored_len,
        };
        let whole = arrived.is_whole().then_some(response);
        return Box::pin(serve_segmented(cx, request, rule, wanted, about, whole)).await;
    }
    if matches!(wanted, Wanted::Part(_)) && !arrived.is_whole() {
        wanted.resolve(single_plaintext_len(arrived.stored_len).map_err(StoredError::from)?)?;
        return Box::pin(serve_all(cx, request, rule, wanted)).await;
    }
    let key = stored::content_key(cx, request, rule, &metadata).await?;
    if is_range && !if_range_holds(request, response.headers()) {
        return Box::pin(read(cx, request, rule, Wanted::Whole)).await;
    }
    let size = single_plaintext_len(arrived.stored_len).map_err(StoredError::from)?;
    let mut headers = incoming::headers(cx, response.headers());
    encryption::show(
        cx,
        &mut headers,
        &metadata.envelope,
        ShowContext::No,
        request,
    )
    .await;
    let opening = Opening {
        cx,
        key,
        size,
        arrived,
    };
    match wanted.resolve(size)? {
        None => {
            opening
                .whole(headers, StatusCode::OK, wants_checksum(request), response)
                .await
        }
        Some(range) if range.len() == size && arrived.is_whole() => {
            set_content_range(&mut headers, range, size);
            let checksum = wants_checksum(request);
            opening
                .whole(headers, StatusCode::PARTIAL_CONTENT, checksum, response)
                .await
        }
        Some(range) => opening.part(headers, range, response),
    }
}

/// Serves the only part of an object that does not come of a multipart upload.
async fn serve_all(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    wanted: Wanted,
) -> Result<Response<Body>, Error> {
    let response = ask(cx, request, None).await?;
    match response.status() {
        StatusCode::OK => serve(cx, request, rule, wanted, response).await,
        _ => incoming::relay(cx, response).await,
    }
}

/// What an answer says about a sealed object.
#[derive(Clone, Copy)]
struct About<'a> {
    metadata: &'a Metadata,
    upstream: &'a HeaderMap,
    stored_len: u64,
}

/// Serves a multipart object; `whole` is the answer that carries all of it, if there is one.
async fn serve_segmented(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    wanted: Wanted,
    about: About<'_>,
    whole: Option<Response<Received>>,
) -> Result<Response<Body>, Error> {
    let said = (about.upstream, about.stored_len);
    let object = Object::new(cx, request, rule, about.metadata, said).await?;
    let wanted = match wanted {
        Wanted::Range(_) if !if_range_holds(request, about.upstream) => Wanted::Whole,
        Wanted::Whole | Wanted::Range(_) | Wanted::Part(_) => wanted,
    };
    let mut headers = incoming::headers(cx, about.upstream);
    encryption::show(
        cx,
        &mut headers,
        &about.metadata.envelope,
        ShowContext::No,
        request,
    )
    .await;
    object.serve(wanted, headers, whole).await
}

/// A stored body that is about to be opened.
struct Opening<'a> {
    cx: &'a Cx,
    key: Arc<ContentKey>,
    size: u64,
    arrived: Arrived,
}

impl Opening<'_> {
    async fn whole(
        self,
        mut headers: HeaderMap,
        status: StatusCode,
        wants_checksum: bool,
        response: Response<Received>,
    ) -> Result<Response<Body>, Error> {
        let stored_len = self.arrived.stored_len;
        let opener = Opener::single(self.cx.settings.cipher, &self.key, stored_len)
            .map_err(StoredError::from)?;
        set_plaintext_len(&mut headers, self.size);
        let at_once = stored_len <= ONE_CHUNK_STORED_LEN
            || (wants_checksum && stored_len <= CHECKSUM_STORED_LEN_MAX);
        if !at_once {
            let window = Window {
                stored_skip: 0,
                stored: stored_len,
                skip: 0,
                show: self.size,
            };
            return Ok(respond(
                status,
                headers,
                stream(self.cx, opener, window, Share::default(), response),
            ));
        }
        // Opened before the head is sent: a failure is a clear 500, and the trailer's checksum can
        // be a header.
        let body = self.at_once(opener, response, |trailer| {
            if wants_checksum {
                show_checksum(&mut headers, trailer);
            }
        });
        let body = body.await?;
        Ok(respond(status, headers, body))
    }

    async fn at_once(
        &self,
        mut opener: Opener,
        response: Response<Received>,
        show: impl FnOnce(&crate::format::Trailer),
    ) -> Result<Body, Error> {
        let stored = collect(response.into_body(), self.arrived.stored_len).await?;
        let mut stored = BytesMut::from(stored);
        let mut chunks = Vec::new();
        opener
            .push(&mut stored, &mut |chunk| chunks.push(chunk))
            .map_err(StoredError::from)?;
        let opened = opener.finish().map_err(StoredError::from)?;
        if let Some(trailer) = opened.trailer() {
            show(trailer);
        }
        Ok(Body::chunks(chunks))
    }

    fn part(
        self,
        mut headers: HeaderMap,
        range: ResolvedRange,
        response: Response<Received>,
    ) -> Result<Response<Body>, Error> {
        let stored_len = self.arrived.stored_len;
        let plan = SingleRange::new(stored_len, range.first(), range.last())
            .map_err(StoredError::from)?
            .ok_or(Error::UpstreamAnswer("a range outside the object"))?;
        let cut = self
            .arrived
            .range
            .and_then(|arrived| plan.cut(arrived))
            .ok_or(Error::UpstreamAnswer("another range than was asked for"))?;
        let cipher = self.cx.settings.cipher;
        let opener = Opener::single_span(cipher, &self.key, stored_len, plan.chunks())
            .map_err(StoredError::from)?;
        set_plaintext_len(&mut headers, range.len());
        set_content_range(&mut headers, range, self.size);
        let window = Window {
            stored_skip: cut.skip,
            stored: cut.take,
            skip: plan.skip(),
            show: range.len(),
        };
        let body = stream(self.cx, opener, window, Share::default(), response);
        Ok(respond(StatusCode::PARTIAL_CONTENT, headers, body))
    }
}

/// An object that is not encrypted, with the range the client asked for: the one we asked for was
/// for an encrypted object.
async fn plaintext_part(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
) -> Result<Response<Body>, Error> {
    let mut upstream = upstream_read(request, Method::GET);
    upstream.query.clone_from(&request.query);
    for name in [RANGE, http::header::IF_RANGE] {
        if let Some(value) = request.headers.get(&name) {
            upstream.headers.insert(name, value.clone());
        }
    }
    let response = cx.upstream.send(upstream).await?;
    let headers = response.headers();
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let is_sealed = Metadata::parse(pairs).map_err(StoredError::from)?.is_some();
    let is_read = rule.rule.s3_encryption_client.is_some();
    // Overwritten by an encrypted one meanwhile: ciphertext never leaves.
    if is_sealed || is_read && s3ec::has_metadata(headers) {
        return Err(S3Error::new(ErrorCode::OperationAborted).into());
    }
    incoming::relay(cx, response).await
}

fn directory_marker(cx: &Cx, upstream: &HeaderMap) -> Response<Body> {
    let mut headers = incoming::headers(cx, upstream);
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    respond(StatusCode::OK, headers, Body::empty())
}

/// The largest stored object of one chunk: opened at once, since nothing of it could leave earlier.
const ONE_CHUNK_STORED_LEN: u64 = (CHUNK_LEN + TAG_LEN + TRAILER_LEN) as u64;

/// The largest stored object that is opened before the head is sent, where the client asks for its
/// checksum.
const CHECKSUM_STORED_LEN_MAX: u64 = 1 << 20;
