//! Copies that move no bytes: the upstream copies what is stored, and the data key is wrapped anew
//! for its new place (format.md, "Copies").

use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::header::ETAG;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::Response;
use tracing::Instrument;

use super::Source;
use super::conditions::IMPOSSIBLE;
use super::tags::{Tags, ensure_tags};
use crate::body::Body;
use crate::config::rules::CopyPolicy;
use crate::error::{Error, StoredError};
use crate::format::{KeyEnvelope, Layout, Metadata, PartNumber, SegmentedLayout, Wrapped};
use crate::keys::policy::KeyId;
use crate::ops::context::{Cx, S3Request};
use crate::ops::encryption::{self, SealPlan, ShowContext, add_metadata};
use crate::ops::incoming::{self, Late, insert_text};
use crate::ops::outgoing;
use crate::ops::policy::ResolvedRule;
use crate::ops::segmented::Object;
use crate::ops::stored;
use crate::s3::copy_source::Directive;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::uri;
use crate::s3::xml::copy::copied;
use crate::s3::xml::document::Document;
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

/// What the upstream may decide by, besides the source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deciding {
    /// Nothing: a 412 is about the source.
    Source,
    /// A condition of the client's on the destination.
    Destination,
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

/// Whether the upstream copies the object that was looked at and no other, as far as is known or may
/// be asked. A condition of the client's would hide the answer; and onto itself, a copy that should
/// have been refused could not be made good.
pub(super) fn may_rely(cx: &Cx, request: &S3Request, source: &Source<'_>, layout: Layout) -> bool {
    let may_ask = || {
        let name = &source.reading.name;
        let is_itself =
            request.bucket() == Some(name.bucket()) && request.key() == Some(name.key());
        let is_lost = is_itself && layout == Layout::Single;
        !is_lost && !has_condition(request)
    };
    source.etag().is_some() && cx.copies.are_heeded(layout).unwrap_or_else(may_ask)
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
        ensure_tags(self.cx, self.request, &done.headers, tags.as_deref()).await?;
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

    async fn single(self, mut headers: HeaderMap) -> Result<Copied, Error> {
        insert_text(&mut headers, "x-amz-metadata-directive", "REPLACE");
        if let Tags::Some(tags) = self.tags {
            insert_text(&mut headers, "x-amz-tagging", tags);
        }
        if self.tagging == Directive::Replace || *self.tags != Tags::Denied {
            insert_text(&mut headers, "x-amz-tagging-directive", "REPLACE");
        }
        let request = || {
            let mut upstream = self.request.upstream(Method::PUT);
            upstream.headers.clone_from(&headers);
            upstream
        };
        if let Some(refused) = self.ask(Layout::Single, request()).await? {
            return Ok(Copied::Refused(refused));
        }
        let deciding = if has_condition(self.request) {
            Deciding::Destination
        } else {
            Deciding::Source
        };
        self.copied(self.named(request()), deciding).await
    }

    /// Finds out whether the upstream heeds conditions, if that is not known: it must refuse this copy.
    async fn ask(
        self,
        layout: Layout,
        mut upstream: UpstreamRequest,
    ) -> Result<Option<Response<Body>>, Error> {
        let conditions = &self.cx.copies;
        if conditions.are_heeded(layout).is_some() {
            return Ok(None);
        }
        self.name_source(&mut upstream.headers, &IMPOSSIBLE);
        let response = self.cx.upstream.send(upstream).await?;
        let is_refused = response.status() == StatusCode::PRECONDITION_FAILED;
        if !is_refused && response.status() != StatusCode::OK {
            return incoming::relay(self.cx, response).await.map(Some);
        }
        let are_heeded = is_refused
            || match incoming::late(self.cx, response).await? {
                Late::Done(..) => false,
                Late::Refused(code, _) if code == "PreconditionFailed" => true,
                Late::Refused(_, refused) => return Ok(Some(refused)),
            };
        conditions.learn(layout, are_heeded);
        if are_heeded {
            return Ok(None);
        }
        // What was copied may not be what was looked at.
        Err(Error::Changed)
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
        let first = self.part_request(id, layout, PartNumber::FIRST);
        if let Some(refused) = self.ask(Layout::Segmented, first).await? {
            return Ok(Copied::Refused(refused));
        }
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

    /// Names the very object that was looked at.
    fn named(self, mut upstream: UpstreamRequest) -> UpstreamRequest {
        if let Some(etag) = self.source.etag() {
            self.name_source(&mut upstream.headers, etag);
        }
        upstream
    }

    fn name_source(self, headers: &mut HeaderMap, etag: &HeaderValue) {
        let name = self.source.reading.name.header_value();
        insert_text(headers, "x-amz-copy-source", &name);
        let name = HeaderName::from_static("x-amz-copy-source-if-match");
        headers.insert(name, etag.clone());
        // Ceph 16 has another name for it, and shows who it is.
        if self.source.headers.contains_key("x-rgw-object-type") {
            let name = HeaderName::from_static("x-amz-copy-if-match");
            headers.insert(name, etag.clone());
        }
    }

    /// Makes a copy upstream.
    async fn copied(self, upstream: UpstreamRequest, deciding: Deciding) -> Result<Copied, Error> {
        let response = self.cx.upstream.send(upstream).await?;
        let status = response.status();
        if status == StatusCode::PRECONDITION_FAILED {
            let refused = incoming::relay(self.cx, response).await?;
            return self.condition_failed(refused, deciding).await;
        }
        if status != StatusCode::OK {
            return Ok(Copied::Refused(incoming::relay(self.cx, response).await?));
        }
        match incoming::late(self.cx, response).await? {
            Late::Done(headers, document) => {
                let (etag, last_modified) = copied(&document).ok_or(UNREADABLE)?;
                Ok(Copied::Done(Done {
                    etag,
                    last_modified,
                    headers,
                }))
            }
            Late::Refused(code, refused) if code == "PreconditionFailed" => {
                self.condition_failed(refused, deciding).await
            }
            Late::Refused(_, refused) => Ok(Copied::Refused(refused)),
        }
    }

    /// A condition did not hold: the one on the source, which then has been replaced, unless it is
    /// still there and the client has one on the destination.
    async fn condition_failed(
        self,
        refused: Response<Body>,
        deciding: Deciding,
    ) -> Result<Copied, Error> {
        if deciding == Deciding::Source || !self.is_source_the_same().await? {
            return Err(Error::Changed);
        }
        Ok(Copied::Refused(refused))
    }

    async fn is_source_the_same(self) -> Result<bool, Error> {
        let reading = &self.source.reading.request;
        let mut upstream = reading.upstream(Method::HEAD);
        upstream.query.clone_from(&reading.query);
        outgoing::pass_owner(&reading.headers, &mut upstream.headers);
        let head = self.cx.upstream.send(upstream).await?;
        Ok(head.headers().get(ETAG) == self.source.etag())
    }
}

fn has_condition(request: &S3Request) -> bool {
    let headers = &request.headers;
    headers.contains_key(http::header::IF_MATCH)
        || headers.contains_key(http::header::IF_NONE_MATCH)
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
