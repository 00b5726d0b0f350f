//! Reads of multipart objects: the whole, ranges and parts (format.md, "Full read" and "Cold range
//! read"). Every request behind the first one is pinned to the entity tag of the first.

mod pinned;
mod proof;
mod range;

pub use self::range::warm;

use std::sync::Arc;

use http::header::ETAG;
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::Response;

use self::pinned::Pinned;
use super::context::{Cx, S3Request};
use super::incoming::{insert_text, respond, set_plaintext_len};
use super::layouts::Place;
use super::policy::ResolvedRule;
use super::read::{Wanted, announced_parts, no_such_part, room, set_content_range, stream};
use super::stored;
use crate::body::idle::Received;
use crate::body::open::{OpenBody, Window};
use crate::body::room::Share;
use crate::body::{Body, BodyError, collect};
use crate::error::{Error, StoredError};
use crate::format::single::StoredRange;
use crate::format::{
    Announced, ContentHeader, ContentKey, Metadata, OpenEnds, OpenError, Opener, PartNumber,
    SegmentedLayout, Walk, WalkError,
};
use crate::s3::query::Query;
use crate::s3::range::ResolvedRange;

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
            let (layout, range) = self.part_range(part).await?;
            show_count(&mut headers, &layout);
            (layout.plaintext_len(), range)
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
            None => self.pinned().fetch(all).await?,
        };
        let share = room(self.cx, self.request, self.chunk_len()?).await?;
        let walk = self.walk_from_start()?;
        let opener = Opener::segmented(self.cx.settings.cipher, Arc::clone(&self.key), walk);
        set_plaintext_len(&mut headers, size);
        if size == 0 {
            // HTTP sends no bytes without asking the body: nobody would verify that there are none.
            prove_empty(opener, stored_len, response).await?;
            return Ok(respond(status, headers, Body::empty()));
        }
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
        let (layout, range) = self.part_range(part).await?;
        show_count(&mut headers, &layout);
        if let Some(range) = range {
            return self.range(range, headers).await;
        }
        let size = layout.plaintext_len();
        self.whole(size, StatusCode::OK, headers, None).await
    }

    /// The bytes of a part as clients count them, and the layout that says so.
    async fn part_range(
        &self,
        part: u32,
    ) -> Result<(Arc<SegmentedLayout>, Option<ResolvedRange>), Error> {
        let proven = match PartNumber::new(part) {
            Some(number) => self.confirmed(number).await?,
            None => self.layout().await?,
        };
        let range = part_of(&proven.layout, part)?;
        Ok((Arc::clone(&proven.layout), range))
    }

    /// Plaintext bytes of every part that clients see, each without a doubt.
    pub async fn part_lens(&self) -> Result<Vec<u64>, Error> {
        let mut lens = Vec::new();
        for part in 1.. {
            let (layout, range) = self.part_range(part).await?;
            lens.push(range.map_or(0, ResolvedRange::len));
            if part >= layout.shown_parts() {
                break;
            }
        }
        Ok(lens)
    }

    fn pinned(&self) -> Pinned<'_> {
        Pinned {
            cx: self.cx,
            request: self.request,
            etag: self.etag.as_ref(),
            stored_len: self.announced.stored_len,
        }
    }

    /// The largest chunk, where the layout is known; or else that of parts of equal size.
    fn chunk_len(&self) -> Result<usize, Error> {
        Ok(match self.known()? {
            Some(known) => known.layout.chunk_len_max(),
            None => self.announced.chunk_len(),
        })
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
}

/// Opens all of a body that is to hold no plaintext.
async fn prove_empty(
    opener: Opener,
    stored_len: u64,
    response: Response<Received>,
) -> Result<(), Error> {
    let window = Window {
        stored_skip: 0,
        stored: stored_len,
        skip: 0,
        show: 0,
    };
    let source = response.into_body();
    // Its chunks are the smallest ones, and a failure is counted as that of the request.
    let opened = OpenBody::new(source, opener, window, Share::default(), |_| ());
    match collect(opened, 0).await {
        Ok(_nothing) => Ok(()),
        Err(BodyError::Open(error)) => Err(StoredError::from(error).into()),
        Err(error) => Err(error.into()),
    }
}

/// The bytes of a part as clients count them; `None` if it is empty.
fn part_of(layout: &SegmentedLayout, part: u32) -> Result<Option<ResolvedRange>, Error> {
    let count = layout.shown_parts();
    let number = PartNumber::new(part).filter(|_| part <= count);
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

fn broken(error: WalkError) -> Error {
    StoredError::from(OpenError::from(error)).into()
}
