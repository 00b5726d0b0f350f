//! Reads of multipart objects: the whole, ranges and parts (format.md, "Full read" and "Cold range
//! read"). Every request behind the first one is pinned to the entity tag of the first.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONTENT_RANGE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::encryption::{self, ShowContext};
use super::incoming::{self, insert_text, respond, set_plaintext_len};
use super::layouts::{Place, Proven};
use super::policy::ResolvedRule;
use super::read::{
    Wanted, announced_parts, no_such_part, room, set_content_range, stream, upstream_read,
};
use super::stored::{self, Stored};
use crate::body::idle::Received;
use crate::body::open::Window;
use crate::body::room::Share;
use crate::body::{Body, collect};
use crate::config::rules::RangeLayout;
use crate::error::{Error, StoredError};
use crate::format::single::StoredRange;
use crate::format::{
    Announced, ColdRead, ContentHeader, ContentKey, Metadata, OpenEnds, OpenError, Opener,
    SEGMENT_HEADER_LEN, SegmentHead, SegmentedLayout, Walk, WalkError,
};
use crate::s3::conditional::same_etag;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::query::Query;
use crate::s3::range::{ContentRange, ResolvedRange};
use crate::upstream::request::UpstreamRequest;

/// One multipart object, as the first answer about it says it is.
pub struct Object<'a> {
    cx: &'a Cx,
    request: &'a S3Request,
    rule: &'a ResolvedRule,
    key: Arc<ContentKey>,
    header: ContentHeader,
    etag: Option<HeaderValue>,
    announced: Announced,
}

impl<'a> Object<'a> {
    /// Unwraps the key. `headers` are the upstream's, `stored_len` the size of all of the object.
    pub async fn new(
        cx: &'a Cx,
        request: &'a S3Request,
        rule: &'a ResolvedRule,
        metadata: &Metadata,
        (headers, stored_len): (&HeaderMap, u64),
    ) -> Result<Self, Error> {
        Ok(Self {
            cx,
            request,
            rule,
            key: stored::content_key(cx, request, rule, metadata).await?,
            header: metadata.header,
            etag: headers.get(ETAG).cloned(),
            announced: Announced {
                stored_len,
                parts: announced_parts(headers),
            },
        })
    }

    /// Serves what is wanted; `whole` is the answer that carries all stored bytes, if there is one.
    pub async fn serve(
        self,
        wanted: Wanted,
        headers: HeaderMap,
        whole: Option<Response<Received>>,
    ) -> Result<Response<Body>, Error> {
        if let Wanted::Part(part) = wanted {
            return self.part(part, headers).await;
        }
        let size = self.size().await?;
        match (wanted.resolve(size)?, whole) {
            (None, whole) => self.whole(size, StatusCode::OK, headers, whole).await,
            (Some(range), Some(whole)) if range.len() == size => {
                let mut headers = headers;
                set_content_range(&mut headers, range, size);
                let status = StatusCode::PARTIAL_CONTENT;
                self.whole(size, status, headers, Some(whole)).await
            }
            (Some(range), _) => self.range(range, headers).await,
        }
    }

    /// What HEAD answers, of which only the place of a part is proven.
    pub async fn describe(
        self,
        wanted: Wanted,
        mut headers: HeaderMap,
    ) -> Result<Response<Body>, Error> {
        let (size, range) = if let Wanted::Part(part) = wanted {
            let proven = self.layout().await?;
            let range = part_of(&proven.layout, part)?;
            show_count(&mut headers, &proven.layout);
            (proven.layout.plaintext_len(), range)
        } else {
            let size = self.size().await?;
            (size, wanted.resolve(size)?)
        };
        let status = match range {
            None => {
                set_plaintext_len(&mut headers, size);
                StatusCode::OK
            }
            Some(range) => {
                set_plaintext_len(&mut headers, range.len());
                set_content_range(&mut headers, range, size);
                StatusCode::PARTIAL_CONTENT
            }
        };
        Ok(respond(status, headers, Body::empty()))
    }

    /// The plaintext size: announced where the number of parts is, or else walked.
    async fn size(&self) -> Result<u64, Error> {
        match self.walk_from_start()?.plaintext_len() {
            Some(size) => Ok(size),
            None => Ok(self.layout().await?.layout.plaintext_len()),
        }
    }

    async fn whole(
        &self,
        size: u64,
        status: StatusCode,
        mut headers: HeaderMap,
        response: Option<Response<Received>>,
    ) -> Result<Response<Body>, Error> {
        let stored_len = self.announced.stored_len;
        let all = StoredRange {
            first: 0,
            last: stored_len.saturating_sub(1),
        };
        let response = match response {
            Some(response) => response,
            None => self.fetch(all).await?,
        };
        let share = room(self.cx, self.chunk_len()).await?;
        let walk = self.walk_from_start()?;
        let opener = Opener::segmented(self.cx.settings.cipher, Arc::clone(&self.key), walk);
        set_plaintext_len(&mut headers, size);
        let window = Window {
            stored_skip: 0,
            stored: stored_len,
            skip: 0,
            show: size,
        };
        let body = stream(self.cx, opener, window, share, response);
        Ok(respond(status, headers, body))
    }

    async fn part(&self, part: u32, mut headers: HeaderMap) -> Result<Response<Body>, Error> {
        let proven = self.layout().await?;
        let range = part_of(&proven.layout, part)?;
        show_count(&mut headers, &proven.layout);
        if let Some(range) = range {
            return self.range(range, headers).await;
        }
        let size = proven.layout.plaintext_len();
        self.whole(size, StatusCode::OK, headers, None).await
    }

    async fn range(
        &self,
        range: ResolvedRange,
        mut headers: HeaderMap,
    ) -> Result<Response<Body>, Error> {
        let proven = self.layout().await?;
        let plan = proven
            .layout
            .range(range.first(), range.last())
            .ok_or(OUTSIDE)?;
        let share = room(self.cx, proven.layout.chunk_len_max()).await?;
        let (head, data) = futures_util::future::try_join(
            self.separate_head(&proven, &plan),
            self.fetch(plan.stored()),
        )
        .await?;
        let reader = RangeReader {
            cx: self.cx,
            key: &self.key,
            proven: &proven,
        };
        let body = reader.open(plan, head, share, data)?;
        set_plaintext_len(&mut headers, range.len());
        set_content_range(&mut headers, range, proven.layout.plaintext_len());
        Ok(respond(StatusCode::PARTIAL_CONTENT, headers, body))
    }

    /// The header of the segment that a range begins in, if it is not read with the range.
    async fn separate_head(
        &self,
        proven: &Proven,
        plan: &crate::format::SegmentedRange,
    ) -> Result<Option<[u8; SEGMENT_HEADER_LEN]>, Error> {
        let Some(offset) = plan.separate_header() else {
            return Ok(None);
        };
        match proven.head(plan.first_part()) {
            Some(head) => Ok(Some(head)),
            None => self.head_at(offset).await.map(Some),
        }
    }

    /// Where all segments are: known, or guessed from the first and last one and proven by them, or
    /// walked.
    pub async fn layout(&self) -> Result<Arc<Proven>, Error> {
        let place = place(self.request)?;
        let known = self.cx.layouts.get(&place);
        if let Some(known) = known.filter(|known| self.is_of(known)) {
            return Ok(known);
        }
        let first = self.head_at(0).await?;
        let layout = match self.guess(&first).await? {
            Some(layout) => layout,
            None => self.walk(first).await?,
        };
        let header = self.header.to_bytes();
        let stored_len = self.announced.stored_len;
        let etag = self.etag.clone();
        let unknown = HeaderValue::from_static("");
        let etag_or_none = etag.clone().unwrap_or(unknown);
        let proven = Proven::new(etag_or_none, header, stored_len, Arc::new(layout));
        let proven = Arc::new(proven);
        if etag.is_some() {
            self.cx.layouts.insert(place, Arc::clone(&proven));
        }
        Ok(proven)
    }

    fn is_of(&self, known: &Proven) -> bool {
        self.etag.as_ref() == Some(&known.etag)
            && known.header == self.header.to_bytes()
            && known.stored_len == self.announced.stored_len
    }

    /// The layout of equal parts, if that is what the object has.
    async fn guess(
        &self,
        first: &[u8; SEGMENT_HEADER_LEN],
    ) -> Result<Option<SegmentedLayout>, Error> {
        if self.rule.rule.range_layout == RangeLayout::Walk {
            return Ok(None);
        }
        let first = self.verify(first)?;
        let prefix = self.header.prefix();
        let cold = ColdRead::new(prefix, self.announced, self.open_ends(), &first);
        let Some(cold) = cold.map_err(broken)? else {
            return Ok(None);
        };
        let offset = cold.header_offset(cold.last_part());
        if offset == 0 {
            return Ok(cold.prove(&[], &first));
        }
        if offset.saturating_add(SEGMENT_HEADER_LEN as u64) > self.announced.stored_len {
            return Ok(None);
        }
        let last = self.head_at(offset).await?;
        // What does not verify is no header: the guess was wrong, and the walk will tell.
        let last = SegmentHead::verify(&self.key, &last).ok();
        Ok(last.and_then(|last| cold.prove(&[], &last)))
    }

    /// Reads the header of every segment, one after the other.
    async fn walk(&self, first: [u8; SEGMENT_HEADER_LEN]) -> Result<SegmentedLayout, Error> {
        let mut walk = self.walk_from_start()?;
        let mut lens = Vec::new();
        while let Some(offset) = walk.next_header() {
            let head = match offset {
                0 => first,
                _ => self.head_at(offset).await?,
            };
            let head = self.verify(&head)?;
            walk.accept(&head).map_err(broken)?;
            lens.push(head.plaintext_len());
        }
        SegmentedLayout::walked(lens).ok_or_else(|| broken(WalkError::Order))
    }

    /// The largest chunk, where the layout is known; or else that of parts of equal size.
    fn chunk_len(&self) -> usize {
        let place = place(self.request).ok();
        let known = place.and_then(|place| self.cx.layouts.get(&place));
        match known.filter(|known| self.is_of(known)) {
            Some(known) => known.layout.chunk_len_max(),
            None => self.announced.chunk_len(),
        }
    }

    fn walk_from_start(&self) -> Result<Walk, Error> {
        Walk::new(self.header.prefix(), self.announced, self.open_ends()).map_err(broken)
    }

    fn open_ends(&self) -> OpenEnds {
        if self.rule.rule.open_end.is_allowed() {
            OpenEnds::Allow
        } else {
            OpenEnds::Refuse
        }
    }

    fn verify(&self, head: &[u8; SEGMENT_HEADER_LEN]) -> Result<SegmentHead, Error> {
        SegmentHead::verify(&self.key, head)
            .map_err(|error| StoredError::from(OpenError::from(error)).into())
    }

    async fn head_at(&self, offset: u64) -> Result<[u8; SEGMENT_HEADER_LEN], Error> {
        let range = StoredRange {
            first: offset,
            last: offset.saturating_add(SEGMENT_HEADER_LEN as u64 - 1),
        };
        if range.last >= self.announced.stored_len {
            return Err(StoredError::from(OpenError::Truncated).into());
        }
        let response = self.fetch(range).await?;
        let bytes: Bytes = collect(response.into_body(), SEGMENT_HEADER_LEN as u64).await?;
        let head = <[u8; SEGMENT_HEADER_LEN]>::try_from(bytes.as_ref());
        head.map_err(|_short| OTHER_RANGE)
    }

    /// Stored bytes of this object and no other.
    async fn fetch(&self, range: StoredRange) -> Result<Response<Received>, Error> {
        let mut upstream = upstream_read(self.request, Method::GET);
        for name in [
            IF_MATCH,
            IF_NONE_MATCH,
            IF_MODIFIED_SINCE,
            IF_UNMODIFIED_SINCE,
        ] {
            upstream.headers.remove(name);
        }
        pin(&mut upstream, self.etag.as_ref(), range);
        let response = self.cx.upstream.send(upstream).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::PRECONDITION_FAILED
            | StatusCode::NOT_FOUND
            | StatusCode::RANGE_NOT_SATISFIABLE => return Err(Error::Changed),
            StatusCode::FORBIDDEN => return Err(S3Error::new(ErrorCode::AccessDenied).into()),
            StatusCode::SERVICE_UNAVAILABLE => {
                return Err(S3Error::new(ErrorCode::ServiceUnavailable).into());
            }
            _ => return Err(Error::UpstreamAnswer("a range that cannot be read")),
        }
        check_range(&response, range, self.announced.stored_len)?;
        Ok(response)
    }
}

/// Serves a range or part of an object whose layout is known with one request. `None`: it is not
/// known, or no longer what it was.
pub async fn warm(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    wanted: Wanted,
) -> Result<Option<Response<Body>>, Error> {
    let place = place(request)?;
    let Some(proven) = cx.layouts.get(&place).filter(|it| may_pin(request, it)) else {
        return Ok(None);
    };
    let size = proven.layout.plaintext_len();
    let range = match wanted {
        Wanted::Whole => None,
        Wanted::Part(part) => part_of(&proven.layout, part).ok().flatten(),
        Wanted::Range(_) => wanted.resolve(size).ok().flatten(),
    };
    let Some(range) = range else {
        return Ok(None);
    };
    let Some(plan) = proven.layout.range(range.first(), range.last()) else {
        return Ok(None);
    };
    let head = match plan.separate_header() {
        Some(_) => match proven.head(plan.first_part()) {
            Some(head) => Some(head),
            None => return Ok(None),
        },
        None => None,
    };
    let share = room(cx, proven.layout.chunk_len_max()).await?;
    let mut upstream = upstream_read(request, Method::GET);
    pin(&mut upstream, Some(&proven.etag), plan.stored());
    let response = cx.upstream.send(upstream).await?;
    if response.status() == StatusCode::NOT_MODIFIED {
        return incoming::relay(cx, response).await.map(Some);
    }
    let Some(metadata) = same_object(cx, request, rule, &proven, &response, plan.stored())? else {
        cx.layouts.remove(&place);
        return Ok(None);
    };
    let mut headers = incoming::headers(cx, response.headers());
    encryption::show(&mut headers, &metadata.envelope, ShowContext::No);
    if matches!(wanted, Wanted::Part(_)) {
        show_count(&mut headers, &proven.layout);
    }
    set_plaintext_len(&mut headers, range.len());
    set_content_range(&mut headers, range, size);
    let key = stored::content_key(cx, request, rule, &metadata).await?;
    let reader = RangeReader {
        cx,
        key: &key,
        proven: &proven,
    };
    let body = reader.open(plan, head, share, response)?;
    Ok(Some(respond(StatusCode::PARTIAL_CONTENT, headers, body)))
}

/// The metadata of the object that the layout was proven for, if the answer is about it.
fn same_object(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    proven: &Proven,
    response: &Response<Received>,
    asked: StoredRange,
) -> Result<Option<Box<Metadata>>, Error> {
    let is_answer = response.status() == StatusCode::PARTIAL_CONTENT
        && response.headers().get(ETAG) == Some(&proven.etag)
        && check_range(response, asked, proven.stored_len).is_ok();
    if !is_answer {
        return Ok(None);
    }
    let stored_len = proven.stored_len;
    let stored = stored::recognise(cx, request, rule, response.headers(), stored_len)?;
    Ok(match stored {
        Stored::Sealed(metadata) if metadata.header.to_bytes() == proven.header => Some(metadata),
        Stored::Sealed(_) | Stored::DirectoryMarker | Stored::Plaintext => None,
    })
}

/// Whether the condition that pins a read takes nothing from what the client asked for.
fn may_pin(request: &S3Request, proven: &Proven) -> bool {
    let headers = &request.headers;
    let same = |value: &HeaderValue| match (value.to_str(), proven.etag.to_str()) {
        (Ok(asked), Ok(known)) => same_etag(asked, known),
        _ => false,
    };
    let others = [IF_RANGE, IF_UNMODIFIED_SINCE];
    headers.get_all(IF_MATCH).iter().all(same)
        && others.iter().all(|name| !headers.contains_key(name))
}

/// Opens a range by its proven layout.
struct RangeReader<'a> {
    cx: &'a Cx,
    key: &'a Arc<ContentKey>,
    proven: &'a Proven,
}

impl RangeReader<'_> {
    fn open(
        &self,
        plan: crate::format::SegmentedRange,
        head: Option<[u8; SEGMENT_HEADER_LEN]>,
        share: Share,
        data: Response<Received>,
    ) -> Result<Body, Error> {
        let verified = head
            .as_ref()
            .map(|head| SegmentHead::verify(self.key, head))
            .transpose()
            .map_err(|error| StoredError::from(OpenError::from(error)))?;
        if let Some(head) = head {
            self.proven.keep_head(plan.first_part(), head);
        }
        let layout = Arc::clone(&self.proven.layout);
        let cipher = self.cx.settings.cipher;
        let key = Arc::clone(self.key);
        let opener = Opener::segmented_range(cipher, key, layout, plan, verified.as_ref())
            .map_err(StoredError::from)?;
        let stored = plan.stored();
        let window = Window {
            stored_skip: 0,
            stored: stored.last - stored.first + 1,
            skip: plan.skip(),
            show: plan.take(),
        };
        Ok(stream(self.cx, opener, window, share, data))
    }
}

/// The bytes of a part as clients count them; `None` if it is empty.
fn part_of(layout: &SegmentedLayout, part: u32) -> Result<Option<ResolvedRange>, Error> {
    let count = layout.shown_parts();
    let number = crate::format::PartNumber::new(part).filter(|_| part <= count);
    let number = number.ok_or_else(|| no_such_part(part, count))?;
    let range = layout.part_range(number);
    Ok(range.and_then(|(first, last)| ResolvedRange::new(first, last)))
}

fn show_count(headers: &mut HeaderMap, layout: &SegmentedLayout) {
    let count = layout.shown_parts().to_string();
    insert_text(headers, "x-amz-mp-parts-count", &count);
}

/// What tells one object from another in the cache of layouts.
fn place(request: &S3Request) -> Result<Place, Error> {
    let (bucket, key) = request.object()?;
    let version = Query::new(Some(&request.query)).get("versionId");
    let version = version.map(|version| String::from_utf8_lossy(&version).into_owned());
    Ok((bucket.to_owned(), key.to_owned(), version))
}

fn pin(upstream: &mut UpstreamRequest, etag: Option<&HeaderValue>, range: StoredRange) {
    if let Some(etag) = etag {
        upstream.headers.insert(IF_MATCH, etag.clone());
    }
    insert_text(
        &mut upstream.headers,
        "range",
        &format!("bytes={}-{}", range.first, range.last),
    );
}

/// Refuses an answer with other bytes than were asked for.
fn check_range(
    response: &Response<Received>,
    asked: StoredRange,
    stored_len: u64,
) -> Result<(), Error> {
    let arrived = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| ContentRange::parse(value.to_str().ok()?))
        .ok_or(OTHER_RANGE)?;
    let is_asked = arrived.range.first() == asked.first && arrived.range.last() == asked.last;
    match (is_asked, arrived.total == stored_len) {
        (true, true) => Ok(()),
        (_, false) => Err(Error::Changed),
        (false, true) => Err(OTHER_RANGE),
    }
}

fn broken(error: WalkError) -> Error {
    StoredError::from(OpenError::from(error)).into()
}

const OTHER_RANGE: Error = Error::UpstreamAnswer("another range than was asked for");
const OUTSIDE: Error = Error::UpstreamAnswer("a range outside the object");
