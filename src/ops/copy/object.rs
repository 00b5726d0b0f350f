//! `CopyObject`.

use std::sync::Arc;

use http::header::ETAG;
use http::{HeaderMap, Method};
use hyper::Response;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::server_side::{self, Copied};
use super::tags::Tags;
use super::{MISSING_META, Probed, Reading, Source, probe};
use crate::auth::PayloadVerifier;
use crate::body::Body;
use crate::body::claimed::ClaimedBody;
use crate::error::Error;
use crate::format::{Layout, MAX_SINGLE_LEN, SingleSealer};
use crate::ops::context::{Cx, S3Request};
use crate::ops::encryption::{self, Plan, SealPlan, ShowContext};
use crate::ops::incoming::{insert_text, respond};
use crate::ops::outgoing::{self, BodyHeaders};
use crate::ops::read::settled;
use crate::ops::store::{self, seal_failed, too_large};
use crate::ops::stored::Stored;
use crate::s3::checksum::ChecksumAlgorithm;
use crate::s3::copy_source::{self, COPY_LEN_MAX, Directive};
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::etag;
use crate::s3::xml::copy::CopyResult;

/// See the module.
pub async fn copy_object(cx: &Arc<Cx>, mut request: S3Request) -> Result<Response<Body>, Error> {
    let copy = Copy::parse(cx, &mut request).await?;
    settled(|| copy.run(cx, &request)).await
}

/// What a request asks for.
#[derive(Clone, Copy)]
struct Copy {
    metadata: Directive,
    tagging: Directive,
    /// One that is to be computed, and for which the plaintext has to be seen.
    checksum: Option<ChecksumAlgorithm>,
}

impl Copy {
    async fn parse(cx: &Cx, request: &mut S3Request) -> Result<Self, Error> {
        let metadata = Directive::parse(&request.headers, "x-amz-metadata-directive")?;
        let tagging = Directive::parse(&request.headers, "x-amz-tagging-directive")?;
        let checksum = match request.headers.get("x-amz-checksum-algorithm") {
            None => None,
            Some(name) => {
                let algorithm = name.to_str().ok().and_then(ChecksumAlgorithm::from_name);
                let computed = algorithm.filter(|algorithm| algorithm.hasher().is_some());
                let unknown = S3Error::with_message(
                    ErrorCode::InvalidRequest,
                    "Checksum algorithm provided is unsupported.",
                );
                Some(computed.ok_or(unknown)?)
            }
        };
        request.document(cx, 0).await?;
        Ok(Self {
            metadata,
            tagging,
            checksum,
        })
    }

    async fn run(self, cx: &Arc<Cx>, request: &S3Request) -> Result<Response<Body>, Error> {
        let rule = request.rule(cx)?;
        let plan = encryption::plan(cx, request, rule).await?;
        let reading = Reading::parse(cx, request)?;
        let tags = async {
            match self.tagging {
                Directive::Copy => Tags::read(cx, &reading).await,
                Directive::Replace => Ok(Tags::None),
            }
        };
        let (probed, tags) = tokio::join!(probe(cx, &reading), tags);
        let source = match probed? {
            Probed::Found(source) => source,
            Probed::Refused(refused) => return Ok(refused),
        };
        let tags = tags?;
        self.refuse_no_change(request, &source, &plan)?;
        if self.metadata == Directive::Copy && source.headers.contains_key(MISSING_META) {
            return Err(S3Error::with_message(ErrorCode::InvalidRequest, UNSHOWN).into());
        }
        if source.size > COPY_LEN_MAX {
            return Err(copy_source::too_large().into());
        }
        let stays = self.stays_upstream(cx, request, &source, &plan).await?;
        match (plan, &source.stored) {
            (Plan::Sealed(plan), Stored::Sealed(metadata)) if stays => {
                let headers = self.stored_headers(cx, request, &source);
                let job = server_side::Job {
                    cx,
                    request,
                    rule,
                    source: &source,
                    metadata,
                    tagging: self.tagging,
                    tags: &tags,
                };
                match Box::pin(job.copy(plan, headers)).await? {
                    Copied::Done(done) => Ok(self.answer(cx, &source, done)),
                    Copied::Refused(refused) => Ok(refused),
                }
            }
            (plan, _) => self.through(cx, request, (&source, &tags), plan).await,
        }
    }

    /// Whether the upstream can make the copy, with the data key of the source.
    async fn stays_upstream(
        self,
        cx: &Cx,
        request: &S3Request,
        source: &Source<'_>,
        plan: &Plan,
    ) -> Result<bool, Error> {
        let (Plan::Sealed(plan), Stored::Sealed(metadata)) = (plan, &source.stored) else {
            return Ok(false);
        };
        let rule = request.rule(cx)?;
        let layout = metadata.header.prefix().layout();
        Ok(self.checksum.is_none()
            && server_side::may_rely(cx, request, source, layout)
            && server_side::may_share(cx, request, rule, source, metadata, plan).await?)
    }

    /// S3 refuses a copy onto itself that changes nothing. It is asked here, since what goes
    /// upstream always replaces the metadata.
    fn refuse_no_change(
        self,
        request: &S3Request,
        source: &Source<'_>,
        plan: &Plan,
    ) -> Result<(), Error> {
        let (bucket, key) = request.object()?;
        // It becomes one of ours: that is how objects of the S3 Encryption Client move.
        if let (Stored::ClientEncrypted(_), Plan::Sealed(_)) = (&source.stored, plan) {
            return Ok(());
        }
        let is_itself = source.reading.name.bucket() == bucket
            && source.reading.name.key() == key
            && source.reading.name.version().is_none();
        if is_itself
            && self.metadata == Directive::Copy
            && !CHANGES
                .iter()
                .any(|name| request.headers.contains_key(*name))
        {
            return Err(S3Error::with_message(
                ErrorCode::InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself \
                 without changing the object's metadata, storage class, website redirect location \
                 or encryption attributes.",
            )
            .into());
        }
        Ok(())
    }

    /// The headers that the copy is stored with, but for ours.
    fn stored_headers(self, cx: &Cx, request: &S3Request, source: &Source<'_>) -> HeaderMap {
        let mut headers = outgoing::headers(request, BodyHeaders::Drop);
        if self.metadata == Directive::Copy {
            source.copy_headers(cx, &mut headers);
        }
        if self.tagging == Directive::Copy {
            headers.remove("x-amz-tagging");
        }
        store::name_type(&mut headers);
        headers
    }

    /// Reads the source and writes it again, under a fresh data key or as the rule says.
    async fn through(
        self,
        cx: &Cx,
        request: &S3Request,
        (source, tags): (&Source<'_>, &Tags),
        plan: Plan,
    ) -> Result<Response<Body>, Error> {
        let rule = request.rule(cx)?;
        let (bucket, key) = request.object()?;
        if source.size > MAX_SINGLE_LEN {
            return Err(too_large(source.size, MAX_SINGLE_LEN).into());
        }
        let mut upstream = request.upstream(Method::PUT);
        upstream.headers = self.stored_headers(cx, request, source);
        if let Some(tags) = tags.named()? {
            insert_text(&mut upstream.headers, "x-amz-tagging", tags);
        }
        let sealing = match plan {
            Plan::Plain => None,
            Plan::Sealed(plan) => {
                let sealing = start(plan, cx, rule, bucket, key).await?;
                sealing.add_metadata(&mut upstream.headers)?;
                Some(sealing)
            }
        };
        let plaintext = source.plaintext(cx, None).await?;
        let verifier = PayloadVerifier::of_own(source.size, self.checksum);
        let body = ClaimedBody::new(plaintext.into_body(), verifier);
        let (stored, envelope) = match sealing {
            None => (
                store::send_plain(cx, upstream, body, source.size).await?,
                None,
            ),
            Some(sealing) => {
                let cipher = cx.settings.cipher;
                let sealer = SingleSealer::new(cipher, sealing.content_key, source.size);
                let sealer = sealer.map_err(seal_failed)?;
                let quota = request.brake.quota();
                let stored = store::send_sealed(cx, quota, upstream, body, sealer).await?;
                (stored, Some(sealing.metadata.envelope))
            }
        };
        if !stored.status().is_success() {
            return Ok(stored);
        }
        let mut headers = stored.headers().clone();
        if let Some(envelope) = envelope {
            encryption::show(cx, &mut headers, &envelope, ShowContext::Yes, request).await;
        }
        let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok());
        let done = server_side::Done {
            etag: etag.unwrap_or_default().to_owned(),
            last_modified: None,
            headers,
        };
        Ok(self.answer(cx, source, done))
    }

    fn answer(self, cx: &Cx, source: &Source<'_>, done: server_side::Done) -> Response<Body> {
        let mut headers = done.headers;
        let checksum = self.checksum.and_then(|algorithm| {
            let value = headers.get(algorithm.header())?.to_str().ok()?;
            Some((algorithm.header(), value.to_owned()))
        });
        for name in [
            "accept-ranges",
            "content-length",
            "etag",
            "x-amz-checksum-type",
        ] {
            headers.remove(name);
        }
        if let Some((name, _)) = &checksum {
            headers.remove(*name);
        }
        source.show_version(&mut headers);
        insert_text(&mut headers, "content-type", "application/xml");
        let now = now(cx);
        let etag = etag::shown(&done.etag, cx.settings.etag_style);
        let result = CopyResult {
            root: "CopyObjectResult",
            etag: &etag::quoted(&etag),
            last_modified: done.last_modified.as_deref().unwrap_or(&now),
            checksum: checksum.as_ref().map(|(name, value)| (*name, &**value)),
        };
        respond(http::StatusCode::OK, headers, Body::full(result.render()))
    }
}

async fn start(
    plan: SealPlan,
    cx: &Cx,
    rule: &crate::ops::policy::ResolvedRule,
    bucket: &str,
    key: &str,
) -> Result<encryption::Sealing, Error> {
    plan.start(cx, &rule.rule, bucket, key, Layout::Single)
        .await
}

/// The time as S3 writes it in documents.
pub(super) fn now(cx: &Cx) -> String {
    let now = (cx.settings.clock)();
    let now = now
        .replace_nanosecond(0)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let text = now.format(&Rfc3339).unwrap_or_default();
    text.replace('Z', ".000Z")
}

const UNSHOWN: &str = "The metadata of the source cannot be copied: the storage behind the proxy has \
    entries that it does not show (x-amz-missing-meta).";

/// What makes a copy onto itself one that changes something.
const CHANGES: &[&str] = &[
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-customer-algorithm",
];
