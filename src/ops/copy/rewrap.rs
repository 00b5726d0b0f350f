//! Rewrapping: another wrap for the data key of one object, in its place. The upstream copies the
//! object onto itself with another envelope; no byte of the body moves (keys.md, "Rotation and
//! rewrapping"). `UpdateObjectEncryption` is S3's own name for it.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, IF_MATCH};
use http::{HeaderMap, Method, StatusCode};
use hyper::Response;

use super::server_side::{Copied, Job};
use super::tags::Tags;
use super::{MISSING_META, Probed, Reading, Source, probe};
use crate::body::Body;
use crate::error::{CustomerKeyRefusal, Error, StoredError};
use crate::format::{Layout, Metadata, WrapKind};
use crate::keys::KeyService;
use crate::keys::service::CurrentWrap;
use crate::keys::types::{Binding, KeyRef, Mode};
use crate::ops::acl::Grants;
use crate::ops::context::{Cx, S3Request};
use crate::ops::encryption::{self, SealPlan, uses_bucket_key};
use crate::ops::in_place;
use crate::ops::incoming::respond;
use crate::ops::kept::{condition, is_archived, kept};
use crate::ops::outgoing;
use crate::ops::policy::ResolvedRule;
use crate::ops::read::settled;
use crate::ops::store;
use crate::ops::stored::{self, AcceptedKek, Stored};
use crate::s3::copy_source::Directive;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::headers::HeaderError;
use crate::s3::query::Query;
use crate::s3::xml::object_encryption::ObjectEncryption;
use crate::upstream::refusal::refusal_code;

/// Under which key an object is to be.
#[derive(Clone, Debug)]
pub struct Target {
    /// The key, with the version that wraps now.
    pub key: KeyRef,
    /// Whether a bucket key is to stand between; as the rule says where `None`.
    pub bucket_key: Option<bool>,
    /// Whether objects of the managed mode become objects of a named key.
    pub takes_managed: bool,
    /// See [`Manner`].
    pub manner: Manner,
}

/// How objects are rewrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// What becomes new.
    pub renewal: Renewal,
    /// Says what would be done, and writes nothing.
    pub dry_run: bool,
    /// Goes on over an upstream that ignores the condition on the source: nobody else writes.
    pub nobody_writes: bool,
}

/// What becomes new of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Renewal {
    /// The wrap, where it is not what it should be.
    #[default]
    Wrap,
    /// The wrap, also where it is: some providers keep versions to themselves.
    WrapAgain,
    /// The body is encrypted anew, under a data key that nobody has seen. Whether the upstream heeds
    /// conditions on writes is for the caller to know.
    DataKey,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has another wrap, or would have.
    Rewrapped,
    /// It is under this key already.
    AlreadyThere,
    /// It is archived, and cannot be copied before it is restored.
    Archived,
    /// It is under its writer's own key, which only its writer has.
    CustomerKey,
    /// It is gone.
    Gone,
    /// With the new wrap it would have so many bytes of metadata: too many.
    MetadataTooLarge(usize),
    /// It is not encrypted by the proxy.
    NotSealed,
    /// It is of the managed mode and the key is not the managed one, or the other way round.
    OtherMode,
    /// The upstream says no, with this code.
    Refused(String),
}

/// `UpdateObjectEncryption`.
pub async fn update(cx: &Arc<Cx>, mut request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    if Query::new(Some(&request.query)).get("versionId").is_some() {
        // A copy would make an old version the newest.
        return Err(S3Error::new(ErrorCode::NotImplemented)
            .detail("QueryParameter", "versionId")
            .into());
    }
    let document = request.document(cx, DOCUMENT_LEN_MAX).await?;
    let (document, _proof) = document.ok_or_else(|| S3Error::new(ErrorCode::MalformedXml))?;
    let asked = ObjectEncryption::parse(&document)?;
    let key = encryption::named_key(cx, &request, rule, Some(&asked.key)).await?;
    request.trail.seals(cx.keys.mode_of(&key), Some(&key));
    let target = Target {
        key,
        bucket_key: Some(asked.bucket_key),
        takes_managed: true,
        manner: Manner::default(),
    };
    if let Err(reason) = accepts(rule, &cx.keys, &target) {
        tracing::warn!(
            reason,
            "an object is not given a key that it could not be read under"
        );
        return Err(S3Error::new(ErrorCode::AccessDenied).into());
    }
    let refused = |message: &'static str| {
        Err(S3Error::with_message(ErrorCode::InvalidRequest, message).into())
    };
    match rewrap(cx, &request, &target).await? {
        Outcome::Rewrapped | Outcome::AlreadyThere => {
            let headers = HeaderMap::from_iter([(CONTENT_LENGTH, 0.into())]);
            Ok(respond(StatusCode::OK, headers, Body::empty()))
        }
        Outcome::Gone => Err(S3Error::new(ErrorCode::NoSuchKey).into()),
        Outcome::MetadataTooLarge(len) => Err(HeaderError::MetadataTooLarge { len }.into()),
        Outcome::NotSealed => refused("The object is not encrypted."),
        Outcome::CustomerKey => refused("The object is encrypted with a customer-provided key."),
        Outcome::OtherMode => refused("The encryption type of the object cannot be changed so."),
        Outcome::Archived => refused("The object is archived: restore it first."),
        Outcome::Refused(code) => {
            tracing::warn!(code, "the upstream refuses to rewrap an object");
            Err(S3Error::new(ErrorCode::AccessDenied).into())
        }
    }
}

/// Whether objects under a rule could still be read under the new key.
pub fn accepts(rule: &ResolvedRule, keys: &KeyService, target: &Target) -> Result<(), String> {
    let mode = keys.mode_of(&target.key);
    let accepted = rule.open.check(&target.key, mode, Binding::BucketAndKey);
    accepted
        .map(drop)
        .map_err(|error| format!("under the new key it could not be read: {error} (accept_keys)"))
}

/// Gives an object another wrap; starts over when it is replaced meanwhile.
///
/// # Errors
///
/// No answer from upstream or keys, an object that cannot be read as it is described, or one that is
/// replaced time and again.
pub async fn rewrap(cx: &Arc<Cx>, request: &S3Request, target: &Target) -> Result<Outcome, Error> {
    match settled(|| once(cx, request, target)).await {
        Err(Error::CustomerKey(CustomerKeyRefusal::Missing)) => Ok(Outcome::CustomerKey),
        Err(Error::Stored(StoredError::Plaintext)) => Ok(Outcome::NotSealed),
        Err(Error::Header(HeaderError::MetadataTooLarge { len })) => {
            Ok(Outcome::MetadataTooLarge(len))
        }
        outcome => outcome,
    }
}

async fn once(cx: &Arc<Cx>, request: &S3Request, target: &Target) -> Result<Outcome, Error> {
    let rule = request.rule(cx)?;
    let reading = Reading::itself(request)?;
    let source = match probe(cx, &reading).await? {
        Probed::Found(source) => source,
        Probed::Refused(refused) if refused.status() == StatusCode::NOT_FOUND => {
            return Ok(Outcome::Gone);
        }
        Probed::Refused(refused) => {
            return Ok(match refusal_code(refused).await? {
                code if code == "InvalidObjectState" => Outcome::Archived,
                code => Outcome::Refused(code),
            });
        }
    };
    let Stored::Sealed(metadata) = &source.stored else {
        return Ok(Outcome::NotSealed);
    };
    let accepted = stored::authorise(cx, &reading.request, rule, &metadata.envelope).await?;
    let AcceptedKek::Configured(_, current) = &accepted else {
        return Ok(Outcome::CustomerKey);
    };
    let plan = match plan(cx, rule, metadata, current, target) {
        Ok(plan) => plan,
        Err(settled) => return Ok(settled),
    };
    if is_archived(&source.headers) {
        return Ok(Outcome::Archived);
    }
    if source.headers.contains_key(MISSING_META) {
        return Ok(Outcome::Refused(MISSING_META.to_owned()));
    }
    if target.manner.dry_run {
        return Ok(Outcome::Rewrapped);
    }
    if target.manner.renewal == Renewal::DataKey {
        let resealed = Box::pin(in_place::reseal(cx, &source, metadata, plan)).await?;
        return Ok(resealed.map_or_else(Outcome::Refused, |()| Outcome::Rewrapped));
    }
    write(cx, request, rule, (&source, metadata), plan, target).await
}

/// What to wrap the data key with, or why not.
fn plan(
    cx: &Cx,
    rule: &ResolvedRule,
    metadata: &Metadata,
    current: &CurrentWrap<'_>,
    target: &Target,
) -> Result<SealPlan, Outcome> {
    let head = metadata.envelope.head();
    let mode = cx.keys.mode_of(&target.key);
    let becomes_named =
        target.takes_managed && (head.mode(), mode) == (Mode::Managed, Mode::NamedKey);
    if head.mode() != mode && !becomes_named {
        return Err(Outcome::OtherMode);
    }
    let provider = target.key.provider;
    let bucket_key = target
        .bucket_key
        .unwrap_or_else(|| uses_bucket_key(cx, rule, provider));
    let is_there = *current.kek() == target.key
        && mode == head.mode()
        && bucket_key == (head.wrap() == WrapKind::BucketKey);
    if is_there && target.manner.renewal == Renewal::Wrap {
        return Err(Outcome::AlreadyThere);
    }
    let (key, context) = (target.key.clone(), head.client_context().clone());
    Ok(SealPlan::rewrapping(key, bucket_key, mode, context))
}

async fn write(
    cx: &Arc<Cx>,
    request: &S3Request,
    rule: &ResolvedRule,
    (source, metadata): (&Source<'_>, &Metadata),
    plan: SealPlan,
    target: &Target,
) -> Result<Outcome, Error> {
    let tags = Tags::read(cx, source.reading).await?;
    tags.named()?;
    let job = Job {
        cx,
        request,
        rule,
        source,
        metadata,
        tagging: Directive::Copy,
        tags: &tags,
    };
    let layout = metadata.header.prefix().layout();
    if !target.manner.nobody_writes {
        let is_guarded = match layout {
            Layout::Single => job.is_heeded_aside().await?,
            // Asked by the first part of the first one, in an upload of ours.
            Layout::Segmented => cx.copies.are_heeded(layout) != Some(false),
        };
        if !is_guarded {
            return Ok(Outcome::Refused(UNGUARDED.to_owned()));
        }
    }
    let mut headers = kept(&source.headers, (cx.settings.clock)());
    store::name_type(&mut headers);
    let itself = |method| {
        let mut upstream = request.upstream(method);
        outgoing::pass_owner(&request.headers, &mut upstream.headers);
        upstream
    };
    let grants = match Grants::of(cx, itself(Method::GET)).await? {
        Ok(grants) => grants,
        Err(reason) => return Ok(Outcome::Refused(reason)),
    };
    grants.add_to(&mut headers);
    // On both sides: a copy is made of the object as it was when it began.
    if let Some(etag) = source.etag() {
        headers.insert(IF_MATCH, condition(&source.headers, etag));
    }
    match Box::pin(job.copy(plan, headers)).await? {
        Copied::Done(done) => {
            let written = (&done.headers, done.etag.as_str());
            grants.ensure(cx, itself, written).await?;
            Ok(Outcome::Rewrapped)
        }
        Copied::Refused(refused) if refused.status() == StatusCode::PRECONDITION_FAILED => {
            Err(Error::Changed)
        }
        Copied::Refused(refused) => Ok(Outcome::Refused(refusal_code(refused).await?)),
    }
}

const UNGUARDED: &str = "the upstream ignores x-amz-copy-source-if-match: what is written meanwhile \
    could be lost";

/// S3's own have some hundred bytes.
const DOCUMENT_LEN_MAX: u64 = 64 << 10;
