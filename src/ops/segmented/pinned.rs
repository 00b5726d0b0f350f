//! Upstream reads of one stored object and no other: each is pinned to its entity tag, and the
//! answer is held to what was asked for.

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::header::{
    CONTENT_RANGE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};
use http::{HeaderValue, Method, StatusCode};
use hyper::Response;

use crate::body::idle::Received;
use crate::body::{BodyError, collect};
use crate::error::{Error, StoredError};
use crate::format::single::StoredRange;
use crate::format::{OpenError, PartNumber, SEGMENT_HEADER_LEN, SegmentedLayout};
use crate::ops::context::{Cx, S3Request};
use crate::ops::incoming::insert_text;
use crate::ops::read::upstream_read;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::range::ContentRange;
use crate::upstream::request::UpstreamRequest;

/// The stored header of a segment, unproven.
pub(super) type Head = [u8; SEGMENT_HEADER_LEN];

/// Reads of the object that the first answer was about.
#[derive(Clone, Copy)]
pub(super) struct Pinned<'a> {
    /// The rooms.
    pub(super) cx: &'a Cx,
    /// Names the object.
    pub(super) request: &'a S3Request,
    /// The upstream's entity tag, if it gave one.
    pub(super) etag: Option<&'a HeaderValue>,
    /// Stored bytes of all of the object.
    pub(super) stored_len: u64,
}

impl Pinned<'_> {
    /// The segment headers of some parts, all at once.
    pub(super) async fn heads(
        self,
        layout: &SegmentedLayout,
        parts: Vec<PartNumber>,
    ) -> Result<Vec<(PartNumber, Head)>, Error> {
        let reads = parts.into_iter().map(|part| async move {
            let offset = layout.header_offset(part).ok_or(OUTSIDE)?;
            Ok::<_, Error>((part, self.head_at(offset).await?))
        });
        try_join_all(reads).await
    }

    /// The 128 bytes at a stored offset.
    pub(super) async fn head_at(self, offset: u64) -> Result<Head, Error> {
        let range = StoredRange {
            first: offset,
            last: offset.saturating_add(SEGMENT_HEADER_LEN as u64 - 1),
        };
        if range.last >= self.stored_len {
            return Err(StoredError::from(OpenError::Truncated).into());
        }
        let response = self.fetch(range).await?;
        let collected = collect(response.into_body(), SEGMENT_HEADER_LEN as u64).await;
        // Too much is the upstream's fault, and not the client's.
        if matches!(collected, Err(BodyError::TooLarge(_))) {
            return Err(OTHER_RANGE);
        }
        let bytes: Bytes = collected?;
        Head::try_from(bytes.as_ref()).map_err(|_short| OTHER_RANGE)
    }

    /// Stored bytes. The client's own conditions were met by the first answer.
    pub(super) async fn fetch(self, range: StoredRange) -> Result<Response<Received>, Error> {
        let mut upstream = upstream_read(self.request, Method::GET);
        for name in [
            IF_MATCH,
            IF_NONE_MATCH,
            IF_MODIFIED_SINCE,
            IF_UNMODIFIED_SINCE,
        ] {
            upstream.headers.remove(name);
        }
        pin(&mut upstream, self.etag, range);
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
        // Not every upstream heeds If-Match on reads.
        if response.headers().get(ETAG) != self.etag {
            return Err(Error::Changed);
        }
        check_range(&response, range, self.stored_len)?;
        Ok(response)
    }
}

/// Makes a read one of this object and these stored bytes.
pub(super) fn pin(upstream: &mut UpstreamRequest, etag: Option<&HeaderValue>, range: StoredRange) {
    if let Some(etag) = etag {
        upstream.headers.insert(IF_MATCH, etag.clone());
    }
    let range = format!("bytes={}-{}", range.first, range.last);
    insert_text(&mut upstream.headers, "range", &range);
}

/// Refuses an answer with other bytes than were asked for.
pub(super) fn check_range(
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

const OTHER_RANGE: Error = Error::UpstreamAnswer("another range than was asked for");
pub(super) const OUTSIDE: Error = Error::UpstreamAnswer("a range outside the object");
