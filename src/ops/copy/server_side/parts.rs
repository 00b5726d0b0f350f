//! Copies of multipart objects, part by part.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderName, Method};
use hyper::Response;
use tracing::Instrument;

use super::{Copied, Deciding, Done, Job, UNREADABLE};
use crate::body::Body;
use crate::error::Error;
use crate::format::{Layout, PartNumber, SegmentedLayout};
use crate::ops::context::Cx;
use crate::ops::incoming::{self, Late, insert_text};
use crate::ops::outgoing;
use crate::ops::segmented::Object;
use crate::s3::uri;
use crate::s3::xml::document::Document;
use crate::s3::xml::multipart::{completed_result, initiated, render_completion};
use crate::telemetry::traces::carry::InTrace;
use crate::upstream::request::{Payload, UpstreamRequest};

impl Job<'_> {
    /// Part by part with the boundaries that the source has: a plain copy would lose the number of
    /// parts on AWS, and with it the size in listings.
    pub(super) async fn segmented(self, mut headers: HeaderMap) -> Result<Copied, Error> {
        let source = self.source;
        let said = (&source.headers, source.stored_len);
        let object = Object::new(
            self.cx,
            &source.reading.request,
            source.rule,
            self.metadata,
            said,
        )
        .await?;
        let layout = object.layout().await?;
        if let Some(tags) = self.tags.named()? {
            insert_text(&mut headers, "x-amz-tagging", tags);
        }
        // Who may replace the destination is decided at the end.
        let conditions = take_conditions(&mut headers);
        if self.cx.settings.upstream_checksum {
            insert_text(&mut headers, "x-amz-checksum-algorithm", "CRC64NVME");
            insert_text(&mut headers, "x-amz-checksum-type", "FULL_OBJECT");
        }
        let mut create = self.request.upstream(Method::POST);
        "uploads=".clone_into(&mut create.query);
        create.headers = headers;
        for name in OF_THE_SOURCE {
            create.headers.remove(*name);
        }
        let response = self.cx.upstream.send(create).await?;
        if !response.status().is_success() {
            return Ok(Copied::Refused(incoming::relay(self.cx, response).await?));
        }
        let document = incoming::document(response.into_body(), DOCUMENT_LEN_MAX).await?;
        let document = Document::parse(&document).ok_or(UNREADABLE)?;
        let (id, _) = initiated(&document).ok_or(UNREADABLE)?;
        let mut unfinished = Unfinished::new(self, &id);
        let etags = match self.fill(&id, &layout.layout).await? {
            Ok(etags) => etags,
            Err(refused) => return Ok(Copied::Refused(refused)),
        };
        // From here on the upstream may have put the object together, whatever it says, or whether the
        // client is still there: aborting such an upload makes some upstreams remove what the object
        // is made of.
        let abort = unfinished.keep();
        let outcome = self.complete(&id, &etags, conditions).await;
        if let Ok(Copied::Refused(refused)) = &outcome
            && refused.status().is_client_error()
        {
            unfinished.abort = abort;
        }
        outcome
    }

    /// Copies the segments; the entity tags of the copies, or what the upstream says instead.
    async fn fill(
        self,
        id: &str,
        layout: &SegmentedLayout,
    ) -> Result<Result<Vec<String>, Response<Body>>, Error> {
        let first = self.part_request(id, layout, PartNumber::FIRST);
        if let Some(refused) = self.ask(Layout::Segmented, first).await? {
            return Ok(Err(refused));
        }
        let count = layout.parts().get();
        let parts = (1..=count).filter_map(PartNumber::new);
        let copies = parts.map(|part| self.part(id, layout, part));
        let etags = stream::iter(copies).buffered(PARTS_AT_ONCE);
        let etags: Result<Vec<String>, Failed> = etags.try_collect().await;
        match etags {
            Ok(etags) => Ok(Ok(etags)),
            Err(Failed::Error(error)) => Err(error),
            Err(Failed::Refused(refused)) => Ok(Err(*refused)),
        }
    }

    async fn complete(
        self,
        id: &str,
        etags: &[String],
        conditions: HeaderMap,
    ) -> Result<Copied, Error> {
        // Some upstreams heed a condition on PutObject only: then at least nothing is lost that was
        // written while the parts were copied.
        if self.replaces_its_source() && !self.is_source_the_same().await? {
            return Err(Error::Changed);
        }
        let mut complete = self.request.upstream(Method::POST);
        complete.query = format!("uploadId={}", uri::encode_component(id.as_bytes()));
        complete.headers = conditions;
        outgoing::pass_owner(&self.request.headers, &mut complete.headers);
        let named = (1..).zip(etags.iter().map(|etag| etag.trim_matches('"')));
        complete.payload = Payload::Buffered {
            bytes: render_completion(named).into(),
            checksum: false,
        };
        let response = self.cx.upstream.send(complete).await?;
        if !response.status().is_success() {
            return Ok(Copied::Refused(incoming::relay(self.cx, response).await?));
        }
        let (headers, document) = match incoming::late(self.cx, response).await? {
            Late::Done(headers, document) => (headers, document),
            Late::Refused(_, refused) => return Ok(Copied::Refused(refused)),
        };
        let document = Document::parse(&document).ok_or(UNREADABLE)?;
        let result = completed_result(&document).ok_or(UNREADABLE)?;
        Ok(Copied::Done(Done {
            etag: result.etag,
            last_modified: None,
            headers,
        }))
    }

    /// Copies one segment and returns its entity tag.
    async fn part(
        self,
        id: &str,
        layout: &SegmentedLayout,
        part: PartNumber,
    ) -> Result<String, Failed> {
        let upstream = self.named(self.part_request(id, layout, part));
        // The conditions on the destination come with the completion.
        match self.copied(upstream, Deciding::Source).await? {
            Copied::Done(done) => Ok(done.etag),
            Copied::Refused(refused) => Err(Failed::Refused(Box::new(refused))),
        }
    }

    /// A copy of one segment, for which the source is to be named.
    fn part_request(self, id: &str, layout: &SegmentedLayout, part: PartNumber) -> UpstreamRequest {
        let mut upstream = self.request.upstream(Method::PUT);
        let id = uri::encode_component(id.as_bytes());
        upstream.query = format!("partNumber={}&uploadId={id}", part.get());
        for name in OF_PART_COPIES {
            if let Some(value) = self.request.headers.get(*name) {
                let name = HeaderName::from_static(name);
                upstream.headers.insert(name, value.clone());
            }
        }
        let first = layout.header_offset(part);
        let next = PartNumber::new(part.get() + 1).and_then(|next| layout.header_offset(next));
        let end = next.unwrap_or(self.source.stored_len);
        if layout.parts() > PartNumber::FIRST {
            let first = first.unwrap_or_default();
            let range = format!("bytes={first}-{}", end.saturating_sub(1));
            insert_text(&mut upstream.headers, "x-amz-copy-source-range", &range);
        }
        upstream
    }
}

/// An upload of ours that is aborted unless it is kept, also when the client leaves meanwhile.
struct Unfinished {
    cx: Arc<Cx>,
    abort: Option<UpstreamRequest>,
}

impl Unfinished {
    fn new(job: Job<'_>, id: &str) -> Self {
        let mut abort = job.request.upstream(Method::DELETE);
        abort.query = format!("uploadId={}", uri::encode_component(id.as_bytes()));
        outgoing::pass_owner(&job.request.headers, &mut abort.headers);
        Self {
            cx: Arc::clone(job.cx),
            abort: Some(abort),
        }
    }

    fn keep(&mut self) -> Option<UpstreamRequest> {
        self.abort.take()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(abort) = self.abort.take() else {
            return;
        };
        let cx = Arc::clone(&self.cx);
        let aborting = async move {
            // What is left behind is for the bucket's lifecycle to remove.
            if let Err(error) = cx.upstream.send(abort).await {
                tracing::warn!(%error, "an upload that was to be a copy is left behind");
            }
        };
        tokio::spawn(InTrace::current(aborting.in_current_span()));
    }
}

/// Why a part was not copied.
enum Failed {
    Error(Error),
    Refused(Box<Response<Body>>),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<crate::upstream::UpstreamError> for Failed {
    fn from(error: crate::upstream::UpstreamError) -> Self {
        Self::Error(error.into())
    }
}

/// Moves the conditions on the destination out of the headers.
fn take_conditions(headers: &mut HeaderMap) -> HeaderMap {
    let mut conditions = HeaderMap::new();
    for name in [http::header::IF_MATCH, http::header::IF_NONE_MATCH] {
        if let Some(value) = headers.remove(&name) {
            conditions.insert(name, value);
        }
    }
    conditions
}

/// Parts that the upstream copies at the same time.
const PARTS_AT_ONCE: usize = 8;

/// The largest answer to the creation of an upload that is read, in bytes.
const DOCUMENT_LEN_MAX: u64 = 64 << 10;

/// Headers of a copy that the creation of an upload does not have.
const OF_THE_SOURCE: &[&str] = &["x-amz-source-expected-bucket-owner"];

/// Headers of the client's that every copy of a part needs as well.
const OF_PART_COPIES: &[&str] = &[
    "x-amz-expected-bucket-owner",
    "x-amz-request-payer",
    "x-amz-source-expected-bucket-owner",
];
