//! Ranges of multipart objects: the stored chunks that hold them, and the header of every part that
//! they touch.

use std::sync::Arc;

use http::header::{ETAG, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::Response;

use super::pinned::{Head, OUTSIDE, Pinned, check_range, pin};
use super::{Object, broken, part_of, place, show_count};
use crate::body::Body;
use crate::body::idle::Received;
use crate::body::open::Window;
use crate::body::room::Share;
use crate::error::{Error, StoredError};
use crate::format::single::StoredRange;
use crate::format::{
    ContentKey, Metadata, OpenError, Opener, PartNumber, SegmentHead, SegmentedRange, WalkError,
};
use crate::ops::context::{Cx, S3Request};
use crate::ops::encryption::{self, ShowContext};
use crate::ops::incoming::{self, respond, set_plaintext_len};
use crate::ops::layouts::{Certainty, Place, Proven};
use crate::ops::policy::ResolvedRule;
use crate::ops::read::{Wanted, room, set_content_range, stream_or, upstream_read};
use crate::ops::stored::{self, Stored};
use crate::s3::conditional::same_etag;
use crate::s3::range::ResolvedRange;

/// What is read of an object for a range: nothing of it is proven yet.
pub(super) struct Fetched {
    plan: SegmentedRange,
    /// Headers of parts that the range touches.
    heads: Vec<(PartNumber, Head)>,
    /// The one of the part that it begins in, if an earlier read has passed it.
    passed: Option<Head>,
    /// The stored bytes of the range.
    data: Response<Received>,
    /// Room for its chunks.
    share: Share,
}

impl Object<'_> {
    pub(super) async fn range(
        &self,
        range: ResolvedRange,
        mut headers: HeaderMap,
    ) -> Result<Response<Body>, Error> {
        let (mut proven, fetched) = match self.known()? {
            Some(known) => (known, None),
            None => self.prove(Some(range)).await?,
        };
        let mut body = self.read(&proven, range, fetched).await?;
        if body.is_none() {
            proven = self.walk_in_doubt().await?;
            body = self.read(&proven, range, None).await?;
        }
        let body = body.ok_or_else(|| broken(WalkError::Order))?;
        set_plaintext_len(&mut headers, range.len());
        set_content_range(&mut headers, range, proven.layout.plaintext_len());
        Ok(respond(StatusCode::PARTIAL_CONTENT, headers, body))
    }

    /// The bytes of a range; `None` if a part is not where it was guessed to be.
    async fn read(
        &self,
        proven: &Arc<Proven>,
        range: ResolvedRange,
        fetched: Option<Fetched>,
    ) -> Result<Option<Body>, Error> {
        let fetched = if let Some(fetched) = fetched {
            fetched
        } else {
            let plan = proven.layout.range(range.first(), range.last());
            self.fetch_range(proven, &plan.ok_or(OUTSIDE)?).await?
        };
        for (part, head) in &fetched.heads {
            if !self.confirm(proven, *part, head)? {
                return Ok(None);
            }
        }
        let opening = Opening {
            cx: self.cx,
            key: &self.key,
            place: place(self.request)?,
            proven,
        };
        let head = first_head(&fetched.plan, fetched.passed, &fetched.heads);
        opening
            .open(fetched.plan, head, fetched.share, fetched.data)
            .map(Some)
    }

    /// Asks for everything that a range needs, all at once.
    pub(super) async fn fetch_range(
        &self,
        proven: &Proven,
        plan: &SegmentedRange,
    ) -> Result<Fetched, Error> {
        let share = room(self.cx, self.request, proven.layout.chunk_len_max()).await?;
        let pinned = self.pinned();
        let passed = proven.head(plan.first_part());
        let heads = pinned.heads(&proven.layout, proven.missing_heads(plan));
        let (heads, data) =
            futures_util::future::try_join(heads, pinned.fetch(plan.stored())).await?;
        Ok(Fetched {
            plan: *plan,
            heads,
            passed,
            data,
            share,
        })
    }
}

/// Serves a range or part of an object whose layout is known, without a look at it first. `None`:
/// it is not known, or no longer what it was.
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
    let Some(range) = known_range(&proven, wanted) else {
        return Ok(None);
    };
    let Some(plan) = proven.layout.range(range.first(), range.last()) else {
        return Ok(None);
    };
    let share = room(cx, request, proven.layout.chunk_len_max()).await?;
    let mut upstream = upstream_read(request, Method::GET);
    pin(&mut upstream, Some(&proven.etag), plan.stored());
    let pinned = Pinned {
        cx,
        request,
        etag: Some(&proven.etag),
        stored_len: proven.stored_len,
    };
    let passed = proven.head(plan.first_part());
    let heads = pinned.heads(&proven.layout, proven.missing_heads(&plan));
    let (heads, data) = tokio::join!(heads, cx.upstream.send(upstream));
    let data = data?;
    if data.status() == StatusCode::NOT_MODIFIED {
        return incoming::relay(cx, data).await.map(Some);
    }
    let Some(metadata) = same_object(cx, request, rule, &proven, &data, plan.stored())? else {
        if tells_of_change(data.status()) {
            cx.layouts.remove(&place);
            return Ok(None);
        }
        // Whoever asks for less is not asked again at once.
        return incoming::relay(cx, data).await.map(Some);
    };
    let key = stored::content_key(cx, request, rule, &metadata).await?;
    let heads = heads?;
    for (part, head) in &heads {
        if proven.confirm(&key, *part, head).is_err() {
            cx.layouts.doubt(&place, &proven.etag);
            cx.layouts.remove(&place);
            return Ok(None);
        }
    }
    let head = first_head(&plan, passed, &heads);
    let mut headers = incoming::headers(cx, data.headers());
    encryption::show(
        cx,
        &mut headers,
        &metadata.envelope,
        ShowContext::No,
        request,
    )
    .await;
    if matches!(wanted, Wanted::Part(_)) {
        show_count(&mut headers, &proven.layout);
    }
    set_plaintext_len(&mut headers, range.len());
    set_content_range(&mut headers, range, proven.layout.plaintext_len());
    let opening = Opening {
        cx,
        key: &key,
        place,
        proven: &proven,
    };
    let body = opening.open(plan, head, share, data)?;
    Ok(Some(respond(StatusCode::PARTIAL_CONTENT, headers, body)))
}

/// The bytes that are wanted, if what is known of the object tells.
fn known_range(proven: &Proven, wanted: Wanted) -> Option<ResolvedRange> {
    match wanted {
        Wanted::Part(part) if PartNumber::new(part).is_some_and(|it| proven.is_certain(it)) => {
            part_of(&proven.layout, part).ok().flatten()
        }
        Wanted::Whole | Wanted::Part(_) => None,
        Wanted::Range(_) => wanted.resolve(proven.layout.plaintext_len()).ok().flatten(),
    }
}

/// Whether an answer to a pinned read says that the object is no longer the one that it was pinned
/// to; one that refuses the caller, or to work, does not.
fn tells_of_change(status: StatusCode) -> bool {
    status.is_success()
        || matches!(
            status,
            StatusCode::PRECONDITION_FAILED
                | StatusCode::NOT_FOUND
                | StatusCode::RANGE_NOT_SATISFIABLE
        )
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
        Stored::Sealed(_)
        | Stored::ClientEncrypted(_)
        | Stored::DirectoryMarker
        | Stored::Plaintext => None,
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

/// Opens a range of which every part's place has been confirmed, or as many as are asked for
/// beforehand: the headers of the others are met, and checked, within the stored bytes.
struct Opening<'a> {
    cx: &'a Cx,
    key: &'a Arc<ContentKey>,
    place: Place,
    proven: &'a Arc<Proven>,
}

impl Opening<'_> {
    fn open(
        self,
        plan: SegmentedRange,
        head: Option<Head>,
        share: Share,
        data: Response<Received>,
    ) -> Result<Body, Error> {
        let head = self.separate_head(&plan, head)?;
        let layout = Arc::clone(&self.proven.layout);
        let cipher = self.cx.settings.cipher;
        let key = Arc::clone(self.key);
        let opener = Opener::segmented_range(cipher, key, layout, plan, head.as_ref())
            .map_err(StoredError::from)?;
        let stored = plan.stored();
        let window = Window {
            stored_skip: 0,
            stored: stored.last - stored.first + 1,
            skip: plan.skip(),
            show: plan.take(),
        };
        let (layouts, etag) = (Arc::clone(&self.cx.layouts), self.proven.etag.clone());
        let certainty = self.proven.certainty;
        let on_failure = move |error: &OpenError| {
            if casts_doubt(certainty, error) {
                layouts.doubt(&self.place, &etag);
            }
        };
        Ok(stream_or(self.cx, opener, window, share, data, on_failure))
    }

    /// The header of the part that the range begins in, unless it is among the stored bytes.
    fn separate_head(
        &self,
        plan: &SegmentedRange,
        head: Option<Head>,
    ) -> Result<Option<SegmentHead>, Error> {
        if plan.separate_header().is_none() {
            return Ok(None);
        }
        let head = head.ok_or(OUTSIDE)?;
        let head = SegmentHead::verify(self.key, &head)
            .map_err(|error| StoredError::from(OpenError::from(error)))?;
        Ok(Some(head))
    }
}

/// The header of the part that a range begins in. It is taken along from where it was seen: what
/// others read meanwhile may have pushed it out of what is remembered.
fn first_head(
    plan: &SegmentedRange,
    passed: Option<Head>,
    fetched: &[(PartNumber, Head)],
) -> Option<Head> {
    let mut fetched = fetched.iter();
    let found = fetched.find(|(part, _)| *part == plan.first_part());
    found.map(|(_, head)| *head).or(passed)
}

/// Whether a failure may come of a wrong guess about where the parts are, and not of bytes that were
/// changed: after that the next read relies on no guess.
fn casts_doubt(certainty: Certainty, error: &OpenError) -> bool {
    certainty == Certainty::Guessed && matches!(error, OpenError::Walk(_) | OpenError::Segment(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_chunk_says_nothing_about_where_the_parts_are() {
        let order = OpenError::Walk(WalkError::Order);
        assert!(casts_doubt(Certainty::Guessed, &order));
        assert!(!casts_doubt(Certainty::Walked, &order));
        for error in [
            OpenError::ChunkTag,
            OpenError::Truncated,
            OpenError::TrailerTag,
        ] {
            assert!(!casts_doubt(Certainty::Guessed, &error), "{error}");
        }
    }
}
