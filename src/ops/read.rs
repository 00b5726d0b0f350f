//! What GetObject and HeadObject have in common: what is wanted of an object, and what arrived.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::incoming::insert_text;
use super::outgoing::{self, BodyHeaders};
use super::policy::ResolvedRule;
use super::s3ec;
use super::store::slow_down;
use super::stored::{self, Stored};
use crate::body::idle::Received;
use crate::body::open::{OpenBody, Window};
use crate::body::room::Share;
use crate::body::seal::algorithm_of;
use crate::body::{Body, BodyError};
use crate::error::{Error, StoredError};
use crate::format::sizes::{segmented_plaintext_len, single_plaintext_len};
use crate::format::{Layout, Metadata, OpenError, Opener};
use crate::format::{SealedChecksum, Trailer};
use crate::s3::conditional;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::etag;
use crate::s3::headers::{X_AMZ_CHECKSUM_MODE, X_AMZ_CHECKSUM_TYPE};
use crate::s3::query::Query;
use crate::s3::range::{ByteRange, ResolvedRange};
use crate::s3::uri;
use crate::s3ec::{Metadata as ClientMetadata, plaintext_len};
use crate::upstream::request::UpstreamRequest;

/// What a client wants of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// A byte range.
    Range(ByteRange),
    /// `?partNumber=k`.
    Part(u32),
}

impl Wanted {
    /// Reads `Range` and `partNumber`.
    pub fn parse(request: &S3Request) -> Result<Self, Error> {
        refuse_overrides(request)?;
        // Repeated, not text, malformed or multiple: ignored, as S3 does.
        let mut ranges = request.headers.get_all(RANGE).iter();
        let range = match (ranges.next(), ranges.next()) {
            (Some(range), None) => range.to_str().ok().and_then(ByteRange::parse),
            (Some(_) | None, _) => None,
        };
        match (part_number(request)?, request.headers.contains_key(RANGE)) {
            (Some(_), true) => Err(S3Error::with_message(
                ErrorCode::InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter",
            )
            .into()),
            (Some(part), false) => Ok(Self::Part(part)),
            (None, _) => Ok(range.map_or(Self::Whole, Self::Range)),
        }
    }

    /// The bytes of an object of one part and `size` bytes; `None` for all of it as a 200.
    pub fn resolve(self, size: u64) -> Result<Option<ResolvedRange>, Error> {
        match self {
            Self::Whole => Ok(None),
            Self::Range(range) => range
                .resolve(size)
                .map(Some)
                .map_err(|_unsatisfiable| invalid_range(&range.to_string(), size).into()),
            Self::Part(1) => Ok(size
                .checked_sub(1)
                .and_then(|last| ResolvedRange::new(0, last))),
            Self::Part(part) => Err(no_such_part(part, 1).into()),
        }
    }
}

/// 416 with the number of parts that there are.
pub fn no_such_part(part: u32, count: u32) -> S3Error {
    S3Error::new(ErrorCode::InvalidPartNumber)
        .detail("PartNumberRequested", part.to_string())
        .detail("ActualPartCount", count.to_string())
}

/// Only who signs may choose the headers of an answer.
fn refuse_overrides(request: &S3Request) -> Result<(), Error> {
    let is_override = |name: &str| uri::decode(name).starts_with(b"response-");
    let mut names = Query::new(Some(&request.query))
        .pairs()
        .map(|(name, _)| name);
    if request.caller.is_none() && names.any(is_override) {
        return Err(S3Error::with_message(
            ErrorCode::InvalidRequest,
            "Request specific response headers cannot be used for anonymous GET requests.",
        )
        .into());
    }
    Ok(())
}

/// 416 with the plaintext size.
fn invalid_range(requested: &str, size: u64) -> S3Error {
    S3Error::new(ErrorCode::InvalidRange)
        .detail("RangeRequested", requested)
        .detail("ActualObjectSize", size.to_string())
}

/// `partNumber`, 1 to 10,000.
pub fn part_number(request: &S3Request) -> Result<Option<u32>, Error> {
    let Some(value) = Query::new(Some(&request.query)).get("partNumber") else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&value);
    // Digits only: the standard parser takes a sign as well.
    let is_plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = text.parse().ok().filter(|_| is_plain);
    let number = number.filter(|number| (1..=10_000).contains(number));
    number.map(Some).ok_or_else(|| {
        S3Error::invalid_argument(
            "Part number must be an integer between 1 and 10000, inclusive",
            "partNumber",
            text,
        )
        .into()
    })
}

/// The size of the whole stored object, from a 200 or the answer to a HEAD.
pub fn content_length(headers: &HeaderMap) -> Result<u64, Error> {
    headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .ok_or(Error::UpstreamAnswer("no Content-Length"))
}

/// Whether a range applies: there is no `If-Range`, or it names the object that is there
/// (RFC 9110, section 13.1.5). Decided here, because the upstream sees another range.
pub fn if_range_holds(request: &S3Request, response: &HeaderMap) -> bool {
    let text = |headers: &HeaderMap, name: HeaderName| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let Some(validator) = request.headers.get(IF_RANGE) else {
        return true;
    };
    validator.to_str().is_ok_and(|validator| {
        conditional::if_range_holds(
            validator,
            text(response, ETAG).as_deref(),
            text(response, LAST_MODIFIED).as_deref(),
        )
    })
}

/// Whether the client asks for the checksum it once sent.
pub fn wants_checksum(request: &S3Request) -> bool {
    request
        .headers
        .get(X_AMZ_CHECKSUM_MODE)
        .is_some_and(|mode| mode.as_bytes().eq_ignore_ascii_case(b"ENABLED"))
}

/// Shows a sealed checksum of the plaintext. `Content-MD5` is not one that S3 returns.
pub fn show_checksum(headers: &mut HeaderMap, trailer: &Trailer) {
    for (kind, value) in trailer.checksums() {
        if kind == SealedChecksum::Md5 {
            continue;
        }
        let name = algorithm_of(kind).header();
        insert_text(headers, name, &data_encoding::BASE64.encode(value));
        headers.insert(X_AMZ_CHECKSUM_TYPE, HeaderValue::from_static("FULL_OBJECT"));
    }
}

/// The plaintext size of one of ours. Not authenticated: only bytes prove it.
///
/// `None` for a multipart object whose entity tag does not say of how many parts: only a walk
/// through its segments tells.
pub fn announced_size(
    metadata: &Metadata,
    headers: &HeaderMap,
    stored_len: u64,
) -> Result<Option<u64>, Error> {
    let size = match (metadata.header.prefix().layout(), announced_parts(headers)) {
        (Layout::Single, _) => single_plaintext_len(stored_len),
        (Layout::Segmented, Some(parts)) => segmented_plaintext_len(stored_len, parts),
        (Layout::Segmented, None) => return Ok(None),
    };
    Ok(Some(size.map_err(StoredError::from)?))
}

/// The number of parts that the entity tag of a response names.
pub fn announced_parts(headers: &HeaderMap) -> Option<u32> {
    headers
        .get(ETAG)
        .and_then(|etag| etag::parts(etag.as_bytes()))
}

/// Reads or copies an object, and starts over when that is replaced meanwhile.
pub async fn settled<T, R>(read: impl Fn() -> R) -> Result<T, Error>
where
    R: Future<Output = Result<T, Error>>,
{
    for _attempt in 1..ATTEMPTS {
        let outcome = Box::pin(read()).await;
        if !matches!(outcome, Err(Error::Changed)) {
            return outcome;
        }
    }
    Box::pin(read()).await
}

/// How often a read or a copy starts over (format.md, "Copies").
const ATTEMPTS: u32 = 3;

/// A request that reads the same object, with the client's conditions and version.
pub fn upstream_read(request: &S3Request, method: Method) -> UpstreamRequest {
    let mut upstream = request.upstream(method);
    upstream.headers = outgoing::headers(request, BodyHeaders::Drop);
    upstream.query = outgoing::query(request);
    upstream
}

/// What answers a range that the upstream cannot satisfy: it compared with the stored size, the
/// client must be told the plaintext size.
pub async fn unsatisfiable(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    wanted: Wanted,
) -> Result<Unsatisfiable, Error> {
    let head = cx
        .upstream
        .send(upstream_read(request, Method::HEAD))
        .await?;
    if head.status() != StatusCode::OK {
        return Ok(Unsatisfiable::Changed(head));
    }
    let stored_len = content_length(head.headers())?;
    if matches!(wanted, Wanted::Range(_)) && !if_range_holds(request, head.headers()) {
        return Ok(Unsatisfiable::NotWanted);
    }
    let size = match stored::recognise(cx, request, rule, head.headers(), stored_len)? {
        Stored::Sealed(metadata) => {
            stored::admit(cx, request, rule, &metadata).await?;
            // Its segments lie elsewhere than the chunks we asked for.
            if metadata.header.prefix().layout() == Layout::Segmented {
                return Ok(Unsatisfiable::Segmented(head, metadata));
            }
            single_plaintext_len(stored_len).map_err(StoredError::from)?
        }
        Stored::ClientEncrypted(metadata) => {
            let size = plaintext_len(stored_len).map_err(StoredError::from)?;
            s3ec::admit(request, rule, &metadata)?;
            if wanted.resolve(size).is_ok() {
                return Ok(Unsatisfiable::ClientEncrypted(metadata));
            }
            size
        }
        // We asked for the range that an encrypted object would have.
        Stored::Plaintext if wanted.resolve(stored_len).is_ok() => {
            return Ok(Unsatisfiable::Plaintext);
        }
        Stored::DirectoryMarker | Stored::Plaintext => stored_len,
    };
    match wanted {
        Wanted::Range(range) => Err(invalid_range(&range.to_string(), size).into()),
        Wanted::Whole | Wanted::Part(_) => Err(Error::UpstreamAnswer("416 without a range")),
    }
}

/// See [`unsatisfiable`].
pub enum Unsatisfiable {
    /// The object is no longer what it was a moment ago: this is the upstream's last word.
    Changed(Response<Received>),
    /// It is of the S3 Encryption Client, and has the range.
    ClientEncrypted(Box<ClientMetadata>),
    /// The object is not encrypted, and the range is one of it.
    Plaintext,
    /// `If-Range` names another object: all of this one is wanted.
    NotWanted,
    /// It is a multipart object, which this answer to a HEAD describes.
    Segmented(Response<Received>, Box<Metadata>),
}

/// Waits for room for chunks of this length.
pub async fn room(cx: &Cx, request: &S3Request, chunk_len: usize) -> Result<Share, Error> {
    let share = cx.room.to_open(chunk_len, request.brake.quota()).await;
    share.ok_or_else(|| slow_down().into())
}

/// The plaintext of a stored body, opened as it arrives; a failure is counted and logged. `share` is
/// the room for its chunks: nothing for those of a single object.
pub fn stream(
    cx: &Cx,
    opener: Opener,
    window: Window,
    share: Share,
    response: Response<Received>,
) -> Body {
    stream_or(cx, opener, window, share, response, |_| ())
}

/// As [`stream`]; `on_failure` is called when what arrived could not be opened.
pub fn stream_or(
    cx: &Cx,
    opener: Opener,
    window: Window,
    share: Share,
    response: Response<Received>,
    on_failure: impl FnOnce(&OpenError) + Send + 'static,
) -> Body {
    let metrics = Arc::clone(&cx.metrics);
    let span = tracing::Span::current();
    let report = move |error: &BodyError| {
        span.in_scope(|| {
            if let BodyError::Open(error) = error {
                metrics.integrity_failure("body");
                on_failure(error);
                tracing::error!(%error, "stored object failed its integrity check, response aborted");
            } else {
                metrics.upstream_error("body");
                tracing::warn!(%error, "upstream body ended early, response aborted");
            }
        });
    };
    let body = OpenBody::new(response.into_body(), opener, window, share, report);
    Body::new(body.growing_in(Arc::clone(&cx.room)))
}

/// Sets `Content-Range`.
pub fn set_content_range(headers: &mut HeaderMap, range: ResolvedRange, size: u64) {
    let value = format!("bytes {}-{}/{size}", range.first(), range.last());
    if let Ok(value) = HeaderValue::from_str(&value) {
        headers.insert(CONTENT_RANGE, value);
    }
}
