//! Copies that move no bytes: the upstream copies what is stored, and the data key is wrapped anew
//! for its new place (format.md, "Copies").

mod parts;

use std::sync::Arc;

use http::header::ETAG;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::Response;

use super::Source;
use super::conditions::IMPOSSIBLE;
use super::tags::{Tags, ensure_tags};
use crate::body::Body;
use crate::config::rules::CopyPolicy;
use crate::error::Error;
use crate::format::{KeyEnvelope, Layout, Metadata};
use crate::keys::KeyError;
use crate::keys::entropy::random_bytes;
use crate::keys::policy::KeyId;
use crate::ops::context::{Cx, S3Request};
use crate::ops::encryption::{self, SealPlan, ShowContext, add_metadata};
use crate::ops::incoming::{self, Late, insert_text};
use crate::ops::outgoing;
use crate::ops::policy::ResolvedRule;
use crate::ops::rewrapped::{Origin, rewrapped};
use crate::ops::stored::{self, AcceptedKek, Spot};
use crate::s3::copy_source::Directive;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::xml::copy::copied;
use crate::upstream::request::UpstreamRequest;

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
pub(super) async fn may_share(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    source: &Source<'_>,
    metadata: &Metadata,
    plan: &SealPlan,
) -> Result<bool, Error> {
    let bucket = request.bucket().unwrap_or_default();
    let destination = rule.rule.logical_bucket(bucket);
    let origin = source
        .rule
        .rule
        .logical_bucket(source.reading.name.bucket());
    let current = cx.keys.current_wrap(&metadata.envelope, origin).await?;
    let same_key = plan.key().map(KeyId::from) == Some(KeyId::from(current.kek()));
    Ok(same_key && (origin == destination || rule.rule.copy == CopyPolicy::ServerSide))
}

/// Whether the upstream copies the object that was looked at and no other, as far as is known or may
/// be asked. A condition of the client's would hide the answer; and onto itself, a copy that should
/// have been refused could not be made good.
pub(super) fn may_rely(cx: &Cx, request: &S3Request, source: &Source<'_>, layout: Layout) -> bool {
    let may_ask = || {
        let name = &source.reading.name;
        let is_itself =
            request.bucket() == Some(name.bucket()) && request.key() == Some(name.key());
        // A version with an id of its own stays, whatever is made of it.
        let is_replaced = name.version().is_none_or(|version| version == "null");
        let is_lost = is_itself && is_replaced && layout == Layout::Single;
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
        let copy = (&done.headers, done.etag.as_str());
        ensure_tags(self.cx, self.request, copy, tags.as_deref()).await?;
        encryption::show(
            self.cx,
            &mut done.headers,
            &metadata.envelope,
            ShowContext::Yes,
            self.request,
        )
        .await;
        Ok(Copied::Done(done))
    }

    /// The source's data key, wrapped for its new place.
    async fn rewrap(self, plan: SealPlan) -> Result<KeyEnvelope, Error> {
        let (request, rule) = (&self.source.reading.request, self.source.rule);
        let accepted = stored::authorise(self.cx, request, rule, &self.metadata.envelope).await?;
        let AcceptedKek::Configured(key, current) = &accepted else {
            return Err(S3Error::new(ErrorCode::InternalError).into());
        };
        let origin = Origin {
            spot: Spot::of(request, rule)?,
            metadata: self.metadata,
            key,
            current,
            grant: request
                .caller
                .as_ref()
                .map_or(b"anonymous", |it| it.grant()),
        };
        let destination = Spot::of(self.request, self.rule)?;
        rewrapped(self.cx, origin, &plan, destination).await
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

    /// Whether the upstream heeds conditions on copies of single objects, asked by a copy to a place
    /// that is nobody's: onto itself, one that should have been refused could not be made good.
    pub(super) async fn is_heeded_aside(self) -> Result<bool, Error> {
        let conditions = &self.cx.copies;
        if let Some(known) = conditions.are_heeded(Layout::Single) {
            return Ok(known);
        }
        let random = random_bytes::<16>().map_err(KeyError::from)?;
        // Beside the object: credentials may be limited to a prefix.
        let folder = self.source.reading.name.key().rsplit_once('/');
        let folder = folder.map_or_else(String::new, |(folder, _)| format!("{folder}/"));
        let key = format!(
            "{folder}.s3seal-{}",
            data_encoding::HEXLOWER.encode(random.as_slice())
        );
        let request = |method| {
            let mut request = UpstreamRequest::new(method, self.request.bucket(), Some(&key));
            request.operation = "CopyObject";
            request.credentials = self.request.upstream(Method::PUT).credentials;
            request
        };
        let mut copy = request(Method::PUT);
        self.name_source(&mut copy.headers, &IMPOSSIBLE);
        let response = self.cx.upstream.send(copy).await?;
        let are_heeded = match response.status() {
            StatusCode::PRECONDITION_FAILED => true,
            StatusCode::OK => match incoming::late(self.cx, response).await? {
                Late::Done(..) => false,
                Late::Refused(code, _) if code == "PreconditionFailed" => true,
                Late::Refused(..) => return Err(UNASKED),
            },
            _ => return Err(UNASKED),
        };
        conditions.learn(Layout::Single, are_heeded);
        if !are_heeded {
            let removed = self.cx.upstream.send(request(Method::DELETE)).await?;
            if !removed.status().is_success() {
                tracing::warn!(key, "a copy that was a question is left behind");
            }
        }
        Ok(are_heeded)
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

    fn replaces_its_source(self) -> bool {
        let name = &self.source.reading.name;
        let is_current = name.version().is_none();
        is_current
            && self.request.bucket() == Some(name.bucket())
            && self.request.key() == Some(name.key())
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

fn text(value: Option<&HeaderValue>) -> Option<String> {
    value?.to_str().ok().map(str::to_owned)
}

const UNASKED: Error =
    Error::UpstreamAnswer("it cannot be asked whether it heeds conditions on copies");

const UNREADABLE: Error = Error::UpstreamAnswer("the answer to a copy cannot be read");
