//! Copies that move no bytes: the upstream copies what is stored, and the data key is wrapped anew
//! for its new place (format.md, "Copies").

use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::header::ETAG;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::Response;
use tracing::Instrument;

use super::Source;
use super::tags::{Tags, ensure_tags};
use crate::body::idle::Received;
use crate::body::{Body, collect};
use crate::config::rules::CopyPolicy;
use crate::error::{Error, StoredError};
use crate::format::{KeyEnvelope, Layout, Metadata, PartNumber, SegmentedLayout, Wrapped};
use crate::keys::policy::KeyId;
use crate::ops::context::{Cx, S3Request};
use crate::ops::encryption::{self, SealPlan, ShowContext, add_metadata};
use crate::ops::incoming::{self, insert_text, respond};
use crate::ops::policy::ResolvedRule;
use crate::ops::segmented::Object;
use crate::ops::stored;
use crate::s3::copy_source::Directive;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::uri;
use crate::s3::xml::copy::copied;
use crate::s3::xml::document::Document;
use crate::s3::xml::error::ErrorDocument;
use crate::s3::xml::multipart::{completed_result, initiated, render_completion};
use crate::upstream::request::{Payload, UpstreamRequest};

/// A copy that was made.
pub(super) struct Done {
    /// The upstream's or the shown entity tag.
    pub etag: String,
    /// As the upstream writes it.
    pub last_modified: Option<String>,
    /// For the client.
    pub headers: HeaderMap,
}

/// What came of it.
pub(super) enum Copied {
    /// The copy is there.
    Done(Done),
    /// The upstream says no.
    Refused(Response<Body>),
}

/// Whether the copy may share the data key of its source: it is under the same key-encryption key,
/// and in the same logical bucket unless the rule of the destination widens that.
pub(super) fn may_share(
    request: &S3Request,
    rule: &ResolvedRule,
    source: &Source<'_>,
    metadata: &Metadata,
    plan: &SealPlan,
) -> bool {
    let bucket = request.bucket().unwrap_or_default();
    let destination = rule.rule.logical_bucket(bucket);
    let origin = source
        .rule
        .rule
        .logical_bucket(source.reading.name.bucket());
    let same_key = KeyId::from(plan.key()) == KeyId::from(metadata.envelope.head().key());
    let is_direct = matches!(metadata.envelope.wrapped(), Wrapped::Direct(_));
    same_key && is_direct && (origin == destination || rule.rule.copy == CopyPolicy::ServerSide)
}

/// A copy in the making.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    /// The rooms.
    pub cx: &'a Arc<Cx>,
    /// The client's.
    pub request: &'a S3Request,
    /// The destination's.
    pub rule: &'a ResolvedRule,
    /// See [`Source`].
    pub source: &'a Source<'a>,
    /// The source's.
    pub metadata: &'a Metadata,
    /// Where the tags come from.
    pub tagging: Directive,
    /// The source's, if they do from there.
    pub tags: &'a Tags,
}

impl Job<'_> {
    /// Makes the copy; `headers` are what it is stored with, but for ours.
    pub(super) async fn copy(
        self,
        plan: SealPlan,
        mut headers: HeaderMap,
    ) -> Result<Copied, Error> {
        let envelope = self.rewrap(plan).await?;
        let metadata = Metadata {
            header: self.metadata.header,
            envelope,
        };
        add_metadata(&metadata, &mut headers)?;
        let tags = match self.tags {
            Tags::Some(tags) => Some(tags.clone()),
            Tags::None | Tags::Denied => text(headers.get("x-amz-tagging")),
        };
        let copied = match metadata.header.prefix().layout() {
            Layout::Single => self.single(headers).await?,
            Layout::Segmented => self.segmented(headers).await?,
        };
        let Copied::Done(mut done) = copied else {
            return Ok(copied);
        };
        let (same, tagged) = tokio::join!(
            self.check_source(),
            ensure_tags(self.cx, self.request, &done.headers, tags.as_deref())
        );
        same.and(tagged)?;
        encryption::show(&mut done.headers, &metadata.envelope, ShowContext::Yes);
        Ok(Copied::Done(done))
    }

    /// The source's data key, wrapped for its new place.
    async fn rewrap(self, plan: SealPlan) -> Result<KeyEnvelope, Error> {
        let source = self.source;
        let envelope = &self.metadata.envelope;
        let prefix = self.metadata.header.prefix();
        let from = stored::authorise(&source.reading.request, source.rule, envelope)?;
        let origin = source
            .rule
            .rule
            .logical_bucket(source.reading.name.bucket());
        let from_context = envelope
            .head()
            .context(prefix, origin, source.reading.name.key())
            .map_err(|error| StoredError::Metadata(error.into()))?;
        let Wrapped::Direct(wrapped) = envelope.wrapped() else {
            return Err(S3Error::new(ErrorCode::NotImplemented).into());
        };
        let (bucket, key) = self.request.object()?;
        let head = plan.head(&self.rule.rule)?;
        let destination = self.rule.rule.logical_bucket(bucket);
        let to_context = head.context(prefix, destination, key)?;
        let to = (head.key(), &to_context);
        let wrapped = self
            .cx
            .keys
            .rewrap((&from, &from_context), wrapped, to)
            .await
            .map_err(StoredError::Unwrap)?;
        Ok(KeyEnvelope::new(head, Wrapped::Direct(wrapped))?)
    }

    async fn single(self, headers: HeaderMap) -> Result<Copied, Error> {
        let mut upstream = self.request.upstream(Method::PUT);
        upstream.headers = headers;
        self.name_source(&mut upstream.headers);
        insert_text(&mut upstream.headers, "x-amz-metadata-directive", "REPLACE");
        if let Tags::Some(tags) = self.tags {
            insert_text(&mut upstream.headers, "x-amz-tagging", tags);
        }
        if self.tagging == Directive::Replace || *self.tags != Tags::Denied {
            insert_text(&mut upstream.headers, "x-amz-tagging-directive", "REPLACE");
        }
        let response = self.cx.upstream.send(upstream).await?;
        match self.copied(response).await? {
            Ok((etag, last_modified, headers)) => Ok(Copied::Done(Done {
                etag,
                last_modified,
                headers,
            })),
            Err(refused) => Ok(Copied::Refused(refused)),
        }
    }

    /// Part by part with the boundaries that the source has: a plain copy would lose the number of
    /// parts on AWS, and with it the size in listings.
    async fn segmented(self, mut headers: HeaderMap) -> Result<Copied, Error> {
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
        let response = self.cx.upstream.send(create).await?;
        if !response.status().is_success() {
            return Ok(Copied::Refused(incoming::relay(self.cx, response).await?));
        }
        let document = collect(response.into_body(), DOCUMENT_LEN_MAX).await?;
        let document = Document::parse(&document).ok_or(UNREADABLE)?;
        let (id, _) = initiated(&document).ok_or(UNREADABLE)?;
        let mut unfinished = Unfinished::new(self, &id);
        let outcome = self.fill(&id, &layout.layout, conditions).await;
        if matches!(outcome, Ok(Copied::Done(_))) {
            unfinished.keep();
        }
        outcome
    }

    async fn fill(
        self,
        id: &str,
        layout: &SegmentedLayout,
        conditions: HeaderMap,
    ) -> Result<Copied, Error> {
        let count = layout.parts().get();
        let parts = (1..=count).filter_map(PartNumber::new);
        let copies = parts.map(|part| self.part(id, layout, part));
        let etags = stream::iter(copies).buffered(PARTS_AT_ONCE);
        let etags: Result<Vec<String>, Failed> = etags.try_collect().await;
        let etags = match etags {
            Ok(etags) => etags,
            Err(Failed::Error(error)) => return Err(error),
            Err(Failed::Refused(refused)) => return Ok(Copied::Refused(*refused)),
        };
        let mut complete = self.request.upstream(Method::POST);
        complete.query = format!("uploadId={}", uri::encode_component(id.as_bytes()));
        complete.headers = conditions;
        let named = (1..).zip(etags.iter().map(|etag| etag.trim_matches('"')));
        complete.payload = Payload::Buffered {
            bytes: render_completion(named).into(),
            checksum: false,
        };
        let response = self.cx.upstream.send(complete).await?;
        if !response.status().is_success() {
            return Ok(Copied::Refused(incoming::relay(self.cx, response).await?));
        }
        let (head, body) = response.into_parts();
        let headers = incoming::headers(self.cx, &head.headers);
        let document = collect(body, DOCUMENT_LEN_MAX).await?;
        let document = document.trim_ascii();
        if let Some(error) = ErrorDocument::parse(document) {
            let body = Body::full(error.render());
            return Ok(Copied::Refused(respond(StatusCode::OK, headers, body)));
        }
        let document = Document::parse(document).ok_or(UNREADABLE)?;
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
        let mut upstream = self.request.upstream(Method::PUT);
        let id = uri::encode_component(id.as_bytes());
        upstream.query = format!("partNumber={}&uploadId={id}", part.get());
        self.name_source(&mut upstream.headers);
        let first = layout.header_offset(part);
        let next = PartNumber::new(part.get() + 1).and_then(|next| layout.header_offset(next));
        let end = next.unwrap_or(self.source.stored_len);
        if layout.parts() > PartNumber::FIRST {
            let first = first.unwrap_or_default();
            let range = format!("bytes={first}-{}", end.saturating_sub(1));
            insert_text(&mut upstream.headers, "x-amz-copy-source-range", &range);
        }
        let response = self.cx.upstream.send(upstream).await?;
        match self.copied(response).await? {
            Ok((etag, _, _)) => Ok(etag),
            Err(refused) => Err(Failed::Refused(Box::new(refused))),
        }
    }

    /// Names the very object that was looked at.
    fn name_source(self, headers: &mut HeaderMap) {
        let name = self.source.reading.name.header_value();
        insert_text(headers, "x-amz-copy-source", &name);
        if let Some(etag) = self.source.etag() {
            let name = HeaderName::from_static("x-amz-copy-source-if-match");
            headers.insert(name, etag.clone());
            // Ceph 16 has another name for it, and shows who it is.
            if self.source.headers.contains_key("x-rgw-object-type") {
                let name = HeaderName::from_static("x-amz-copy-if-match");
                headers.insert(name, etag.clone());
            }
        }
    }

    /// Entity tag, date and headers of a copy that the upstream made; or what it says instead.
    async fn copied(
        self,
        response: Response<Received>,
    ) -> Result<Result<(String, Option<String>, HeaderMap), Response<Body>>, Error> {
        match response.status() {
            StatusCode::OK => {}
            // The source is no longer the one that was looked at; a condition on the destination
            // fails alike, and the next attempt sees which.
            StatusCode::PRECONDITION_FAILED if !self.has_condition() => return Err(Error::Changed),
            _ => return Ok(Err(incoming::relay(self.cx, response).await?)),
        }
        let (head, body) = response.into_parts();
        let headers = incoming::headers(self.cx, &head.headers);
        let document = collect(body, DOCUMENT_LEN_MAX).await?;
        let document = document.trim_ascii();
        if let Some(error) = ErrorDocument::parse(document) {
            let body = Body::full(error.render());
            return Ok(Err(respond(StatusCode::OK, headers, body)));
        }
        let (etag, last_modified) = copied(document).ok_or(UNREADABLE)?;
        Ok(Ok((etag, last_modified, headers)))
    }

    fn has_condition(self) -> bool {
        let headers = &self.request.headers;
        headers.contains_key(http::header::IF_MATCH)
            || headers.contains_key(http::header::IF_NONE_MATCH)
    }

    /// Some upstreams do not look at the condition on the source: a copy of other bytes under this
    /// header could not be read, and a rename would delete what it was made of.
    async fn check_source(self) -> Result<(), Error> {
        if self.source.reading.name.version().is_some() {
            return Ok(());
        }
        let mut upstream = self.source.reading.request.upstream(Method::HEAD);
        upstream
            .query
            .clone_from(&self.source.reading.request.query);
        let head = self.cx.upstream.send(upstream).await?;
        let (bucket, key) = self.request.object()?;
        let onto_itself =
            self.source.reading.name.bucket() == bucket && self.source.reading.name.key() == key;
        let etag: Option<&HeaderValue> = head.headers().get(ETAG);
        let is_same = etag == self.source.etag();
        if is_same || onto_itself || head.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(Error::UpstreamAnswer(
            "the source of a copy was replaced while it was copied",
        ))
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
        Self {
            cx: Arc::clone(job.cx),
            abort: Some(abort),
        }
    }

    fn keep(&mut self) {
        self.abort = None;
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
        tokio::spawn(aborting.in_current_span());
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

fn text(value: Option<&HeaderValue>) -> Option<String> {
    value?.to_str().ok().map(str::to_owned)
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

const UNREADABLE: Error = Error::UpstreamAnswer("the answer to a copy cannot be read");

/// Parts that the upstream copies at the same time.
const PARTS_AT_ONCE: usize = 8;

/// The largest answer that is read, in bytes: most of it is white space.
const DOCUMENT_LEN_MAX: u64 = 1 << 20;
