//! `CompleteMultipartUpload`: the parts are checked against what the upstream has, the object gets
//! its end, and only then does the upstream put it together.

use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::Response;

use super::list_parts::{PARTS_PAGE_LEN_MAX, UNREADABLE};
use super::state::Named;
use super::{SealedUpload, Upload, cannot_seal, upstream_query};
use crate::body::Body;
use crate::body::idle::Received;
use crate::body::seal::algorithm_of;
use crate::error::Error;
use crate::format::{
    ChecksumType, LAST_PART, Metadata, PartNumber, SEGMENT_OVERHEAD, SegmentSealer, is_terminal,
};
use crate::ops::context::{Cx, S3Request};
use crate::ops::encryption::{self, ShowContext};
use crate::ops::incoming::{self, Late, insert_text, respond};
use crate::ops::outgoing::{self, BodyHeaders};
use crate::ops::store::seal_failed;
use crate::s3::checksum::{self, Checksum};
use crate::s3::conditional::same_etag;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::etag;
use crate::s3::headers::X_AMZ_MP_OBJECT_SIZE;
use crate::s3::target::request_host;
use crate::s3::uri;
use crate::s3::xml::document::Document;
use crate::s3::xml::multipart::{
    CompletedPart, Completion, ListedPart, PartsPage, completed_parts, completed_result,
    render_completion,
};
use crate::upstream::request::{Payload, UpstreamRequest};

/// See the module.
pub async fn complete(cx: &Cx, mut request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    encryption::check_read(&request)?;
    let upload = Upload::find(cx, &request, rule).await?;
    let document = request.document(cx, COMPLETION_LEN_MAX).await?;
    let (document, _proof) = document.ok_or_else(malformed)?;
    let parts = completed_parts(&document).ok_or_else(malformed)?;
    check_order(&parts)?;
    let completing = Completing {
        cx,
        request: &request,
        upload: &upload,
        parts: &parts,
    };
    match &upload {
        Upload::Plain { .. } => completing.plain().await,
        Upload::Sealed(_) | Upload::Unknown { .. } => completing.sealed().await,
    }
}

/// One completion in the making.
#[derive(Clone, Copy)]
struct Completing<'a> {
    cx: &'a Cx,
    request: &'a S3Request,
    upload: &'a Upload,
    /// As the client names them; at least one, ascending.
    parts: &'a [CompletedPart],
}

/// What the upstream has of an upload.
enum Listed {
    Parts(Vec<ListedPart>),
    /// There is no such upload, or no longer.
    Gone(Response<Body>),
    Refused(Response<Body>),
}

impl Completing<'_> {
    /// Under a rule that stores objects as they are the client's list goes up, with the upstream's
    /// entity tags.
    async fn plain(self) -> Result<Response<Body>, Error> {
        let named = self.parts.iter();
        let named = named.map(|part| (part.number, etag::upstream(&part.etag)));
        let mut upstream = self.upstream(render_completion(named), BodyHeaders::Drop);
        if let Some(size) = self.request.headers.get(X_AMZ_MP_OBJECT_SIZE) {
            upstream.headers.insert(X_AMZ_MP_OBJECT_SIZE, size.clone());
        }
        let response = self.cx.upstream.send(upstream).await?;
        if response.status() != StatusCode::OK {
            return incoming::relay(self.cx, response).await;
        }
        let answered = self.answered(response, None).await?;
        Ok(answered.unwrap_or_else(|refused| refused.1))
    }

    async fn sealed(self) -> Result<Response<Body>, Error> {
        // Numbers that do not run 1, 2, 3 would hide that one was dropped.
        let is_gapless = (1..).zip(self.parts).all(|(n, part)| part.number == n);
        if !is_gapless {
            return Err(S3Error::with_message(ErrorCode::InvalidPartOrder, GAPS).into());
        }
        let listed = match self.list().await? {
            Listed::Parts(listed) => listed,
            Listed::Gone(refused) => return Ok(self.replay().await?.unwrap_or(refused)),
            Listed::Refused(refused) => return Ok(refused),
        };
        // s3s-fs lists what is gone, too.
        if listed.is_empty()
            && let Some(done) = self.replay().await?
        {
            return Ok(done);
        }
        let mut chosen = self.choose(&listed)?;
        self.check_object_size(&chosen)?;
        let checksum = self.checksum(&chosen)?;
        if let Some(seal) = self.seal(&chosen).await? {
            match seal {
                Ok(seal) => chosen.push(seal),
                Err((code, refused)) => return self.refused(&code, refused).await,
            }
        }
        let named = chosen
            .iter()
            .map(|part| (part.number, part.etag.as_deref().unwrap_or_default()));
        let document = render_completion(named);
        let mut upstream = self.upstream(document, BodyHeaders::Drop);
        if self.request.headers.contains_key(X_AMZ_MP_OBJECT_SIZE) {
            let size: u64 = chosen.iter().map(|part| part.stored_len).sum();
            upstream.headers.insert(X_AMZ_MP_OBJECT_SIZE, size.into());
        }
        let response = self.cx.upstream.send(upstream).await?;
        if response.status() != StatusCode::OK {
            let (code, refused) = incoming::refusal(self.cx, response).await?;
            return self.refused(&code, refused).await;
        }
        match self.answered(response, checksum).await? {
            Ok(response) => Ok(response),
            Err((code, refused)) => self.refused(&code, refused).await,
        }
    }

    async fn refused(self, code: &str, refused: Response<Body>) -> Result<Response<Body>, Error> {
        if may_be_done(code) || refused.status() == StatusCode::PRECONDITION_FAILED {
            return Ok(self.replay().await?.unwrap_or(refused));
        }
        Ok(refused)
    }

    fn upstream(self, document: String, about_body: BodyHeaders) -> UpstreamRequest {
        let mut upstream = self.request.upstream(Method::POST);
        upstream.headers = outgoing::headers(self.request, about_body);
        for name in ["content-md5", "x-amz-sdk-checksum-algorithm"] {
            upstream.headers.remove(name);
        }
        let kind = HeaderValue::from_static("application/xml");
        upstream.headers.insert(CONTENT_TYPE, kind);
        upstream.query = upstream_query(self.request, self.upload.upstream_id());
        upstream.payload = Payload::Buffered {
            bytes: document.into(),
            checksum: false,
        };
        upstream
    }

    /// Everything that was uploaded, page by page.
    async fn list(self) -> Result<Listed, Error> {
        let id = uri::encode_component(self.upload.upstream_id().as_bytes()).into_owned();
        let mut parts: Vec<ListedPart> = Vec::new();
        let mut marker = 0;
        loop {
            let mut upstream = self.request.upstream(Method::GET);
            upstream.query = format!("max-parts=1000&part-number-marker={marker}&uploadId={id}");
            outgoing::pass_owner(&self.request.headers, &mut upstream.headers);
            let response = self.cx.upstream.send(upstream).await?;
            if response.status() != StatusCode::OK {
                let (code, refused) = incoming::refusal(self.cx, response).await?;
                return Ok(if is_gone(&code) {
                    Listed::Gone(refused)
                } else {
                    Listed::Refused(refused)
                });
            }
            let document = incoming::document(response.into_body(), PARTS_PAGE_LEN_MAX).await?;
            let page = PartsPage::parse(&document).ok_or(UNREADABLE)?;
            parts.extend(page.parts);
            match page.next {
                Some(next) if next > marker && parts.len() <= LAST_PART as usize => marker = next,
                Some(_) => return Err(UNREADABLE),
                None => return Ok(Listed::Parts(parts)),
            }
        }
    }

    /// What the upstream has of the parts that the client names.
    fn choose(self, listed: &[ListedPart]) -> Result<Vec<ListedPart>, Error> {
        let mut chosen = Vec::with_capacity(self.parts.len() + 1);
        for (index, part) in self.parts.iter().enumerate() {
            let at = listed.partition_point(|listed| listed.number < part.number);
            let attempts = listed.iter().skip(at);
            let mut attempts = attempts.take_while(|listed| listed.number == part.number);
            let found = attempts.find(|found| {
                let etag = found.etag.as_ref();
                etag.is_none_or(|etag| same_etag(etag, &part.etag))
                    && found.stored_len >= SEGMENT_OVERHEAD
            });
            let Some(found) = found else {
                return Err(invalid_part(part).into());
            };
            let is_last = index + 1 == self.parts.len();
            let size = plaintext_len(found);
            if !is_last && size < MIN_PART_LEN {
                return Err(S3Error::new(ErrorCode::EntityTooSmall)
                    .detail("ProposedSize", size.to_string())
                    .detail("MinSizeAllowed", MIN_PART_LEN.to_string())
                    .detail("PartNumber", part.number.to_string())
                    .detail("ETag", part.etag.clone())
                    .into());
            }
            let etag = etag::upstream(&part.etag).into_owned();
            chosen.push(ListedPart {
                etag: found.etag.clone().or(Some(etag)),
                ..*found
            });
        }
        Ok(chosen)
    }

    /// `x-amz-mp-object-size` counts plaintext.
    fn check_object_size(self, chosen: &[ListedPart]) -> Result<(), Error> {
        let Some(announced) = self.request.headers.get(X_AMZ_MP_OBJECT_SIZE) else {
            return Ok(());
        };
        let announced = announced.to_str().ok().and_then(|size| size.parse().ok());
        let size: u64 = chosen.iter().map(plaintext_len).sum();
        if announced == Some(size) {
            return Ok(());
        }
        Err(S3Error::with_message(
            ErrorCode::InvalidRequest,
            "The provided 'x-amz-mp-object-size' header does not match what was computed.",
        )
        .into())
    }

    /// The checksum of the object from those of its parts, as far as the client repeats them; what
    /// it claims of the whole is held to that.
    fn checksum(self, chosen: &[ListedPart]) -> Result<Option<ObjectChecksum>, Error> {
        let Upload::Sealed(upload) = self.upload else {
            return Ok(None);
        };
        let (Some(sealed), Some(kind)) = (upload.fields.checksum, upload.fields.checksum_type)
        else {
            return Ok(None);
        };
        let algorithm = algorithm_of(sealed);
        let of_parts: Option<Vec<Checksum>> = self
            .parts
            .iter()
            .map(|part| part.checksum.filter(|it| it.algorithm() == algorithm))
            .collect();
        let lens = chosen.iter().map(plaintext_len);
        let of_object = of_parts.and_then(|of_parts| match kind {
            ChecksumType::Composite => checksum::composite(&of_parts),
            ChecksumType::FullObject => whole_checksum(&of_parts, lens),
        });
        let Some(value) = of_object else {
            return Ok(None);
        };
        let text = match kind {
            ChecksumType::Composite => format!("{}-{}", value.to_base64(), self.parts.len()),
            ChecksumType::FullObject => value.to_base64(),
        };
        let claimed = self.request.headers.get(algorithm.header());
        if claimed.is_some_and(|claimed| claimed.as_bytes() != text.as_bytes()) {
            let message = format!(
                "The {} you specified did not match the calculated checksum.",
                algorithm.name()
            );
            return Err(S3Error::with_message(ErrorCode::BadDigest, message).into());
        }
        Ok(Some(ObjectChecksum {
            name: format!("Checksum{}", algorithm.name()),
            value: text,
            kind: super::create::type_name(kind).to_owned(),
        }))
    }

    /// Uploads the segment that ends the object, unless the last part already does.
    async fn seal(
        self,
        chosen: &[ListedPart],
    ) -> Result<Option<Result<ListedPart, (String, Response<Body>)>>, Error> {
        let Some((last, part)) = chosen
            .last()
            .and_then(|last| Some((last, PartNumber::new(last.number)?)))
        else {
            return Err(malformed().into());
        };
        if is_terminal(part, plaintext_len(last)) {
            return Ok(None);
        }
        let Upload::Sealed(upload) = self.upload else {
            // Another replica knows the key, or the client.
            return Err(cannot_seal(self.request));
        };
        let next = PartNumber::new(last.number + 1).ok_or_else(malformed)?;
        let cipher = self.cx.settings.cipher;
        let segment = SegmentSealer::closing(cipher, &upload.key, next).map_err(seal_failed)?;
        let stored_len = segment.len() as u64;
        let id = uri::encode_component(upload.upstream_id.as_bytes()).into_owned();
        let mut upstream = self.request.upstream(Method::PUT);
        upstream.query = format!("partNumber={}&uploadId={id}", next.get());
        outgoing::pass_owner(&self.request.headers, &mut upstream.headers);
        upstream.payload = Payload::Buffered {
            bytes: segment,
            checksum: self.cx.settings.upstream_checksum,
        };
        let response = self.cx.upstream.send(upstream).await?;
        if !response.status().is_success() {
            return Ok(Some(Err(incoming::refusal(self.cx, response).await?)));
        }
        let etag = response
            .headers()
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok());
        let etag = etag.ok_or(Error::UpstreamAnswer("a part without an entity tag"))?;
        Ok(Some(Ok(ListedPart {
            number: next.get(),
            etag: Some(etag.trim_matches('"').to_owned()),
            stored_len,
        })))
    }

    /// Reads the upstream's 200, which may turn out to be an error.
    async fn answered(
        self,
        response: Response<Received>,
        checksum: Option<ObjectChecksum>,
    ) -> Result<Result<Response<Body>, (String, Response<Body>)>, Error> {
        let (headers, document) = match incoming::late(self.cx, response).await? {
            Late::Done(headers, document) => (headers, document),
            Late::Refused(code, refused) => return Ok(Err((code, refused))),
        };
        let document = Document::parse(&document);
        let result = document.as_ref().and_then(completed_result);
        let result = result.ok_or(Error::UpstreamAnswer("a completion that cannot be read"))?;
        let of_plain =
            result
                .checksum
                .map(|(name, value, kind)| ObjectChecksum { name, value, kind });
        let checksum = match self.upload {
            Upload::Plain { .. } => of_plain,
            Upload::Sealed(_) | Upload::Unknown { .. } => checksum,
        };
        Ok(Ok(self
            .done(headers, &result.etag, checksum.as_ref())
            .await))
    }

    /// The answer to a client whose upload is complete.
    async fn done(
        self,
        mut headers: HeaderMap,
        etag: &str,
        checksum: Option<&ObjectChecksum>,
    ) -> Response<Body> {
        let bucket = self.request.bucket().unwrap_or_default();
        let key = self.request.key().unwrap_or_default();
        if let Upload::Sealed(upload) = self.upload {
            let upstream_id = &upload.upstream_id;
            let named = Named {
                bucket,
                key,
                upstream_id,
            };
            named.forget(self.cx).await;
            encryption::show(
                self.cx,
                &mut headers,
                &upload.fields.envelope,
                ShowContext::No,
                self.request,
            )
            .await;
        }
        insert_text(&mut headers, "content-type", "application/xml");
        let location = self.location();
        let etag = format!("\"{}\"", etag.trim_matches('"'));
        let completion = Completion {
            location: &location,
            bucket,
            key,
            etag: &etag::shown(&etag, self.cx.settings.etag_style),
            checksum: checksum.map(|it| (&*it.name, &*it.value, &*it.kind)),
        };
        let body = Body::full(completion.render());
        respond(StatusCode::OK, headers, body)
    }

    /// The address of the object, as the client spelled it.
    fn location(self) -> String {
        let request = self.request;
        let scheme = if request.is_tls { "https" } else { "http" };
        let host = request_host(&request.uri, &request.headers).ok().flatten();
        let host = host.unwrap_or_default();
        format!("{scheme}://{host}{}", request.uri.path())
    }

    /// An upload that is gone was completed before if the key holds its object: then the answer to
    /// a repeated request is the one that got lost.
    async fn replay(self) -> Result<Option<Response<Body>>, Error> {
        let Upload::Sealed(upload) = self.upload else {
            return Ok(None);
        };
        let mut upstream = self.request.upstream(Method::HEAD);
        outgoing::pass_owner(&self.request.headers, &mut upstream.headers);
        let head = self.cx.upstream.send(upstream).await?;
        let etag = head.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
        match etag {
            Some(etag) if head.status() == StatusCode::OK && holds(head.headers(), upload) => {
                let mut headers = HeaderMap::new();
                for name in ["x-amz-version-id", "x-amz-expiration"] {
                    if let Some(value) = head.headers().get(name) {
                        headers.insert(name, value.clone());
                    }
                }
                Ok(Some(self.done(headers, etag, None).await))
            }
            _ => Ok(None),
        }
    }
}

/// What is shown of the checksum of an object.
struct ObjectChecksum {
    name: String,
    value: String,
    kind: String,
}

/// What an upstream says of an upload that has ended; Ceph RGW means the same by `NoSuchKey`.
fn is_gone(code: &str) -> bool {
    matches!(code, "NoSuchUpload" | "NoSuchKey")
}

/// What an upstream may say of an upload that it has completed meanwhile, for a request whose answer
/// was lost; `InvalidPart` of the seal that the repeated request uploaded.
fn may_be_done(code: &str) -> bool {
    is_gone(code) || matches!(code, "PreconditionFailed" | "InvalidPart")
}

/// Whether the stored object is the one of this upload.
fn holds(headers: &HeaderMap, upload: &SealedUpload) -> bool {
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let metadata = Metadata::parse(pairs).ok().flatten();
    metadata.is_some_and(|metadata| {
        metadata.header.prefix().object_id() == upload.fields.header.prefix().object_id()
    })
}

fn plaintext_len(part: &ListedPart) -> u64 {
    part.stored_len.saturating_sub(SEGMENT_OVERHEAD)
}

/// The checksum of the parts one behind the other.
fn whole_checksum(of_parts: &[Checksum], mut lens: impl Iterator<Item = u64>) -> Option<Checksum> {
    let (first, rest) = of_parts.split_first()?;
    lens.next()?;
    let mut rest = rest.iter();
    rest.try_fold(*first, |before, part| {
        checksum::combine(&before, part, lens.next()?)
    })
}

/// Ascending, as S3 demands.
fn check_order(parts: &[CompletedPart]) -> Result<(), Error> {
    let in_range = parts
        .iter()
        .all(|part| PartNumber::new(part.number).is_some());
    if !in_range {
        return Err(S3Error::invalid_argument(
            "Part number must be an integer between 1 and 10000, inclusive",
            "partNumber",
            String::new(),
        )
        .into());
    }
    if parts.is_sorted_by(|a, b| a.number < b.number) {
        Ok(())
    } else {
        Err(S3Error::new(ErrorCode::InvalidPartOrder).into())
    }
}

fn invalid_part(part: &CompletedPart) -> S3Error {
    S3Error::new(ErrorCode::InvalidPart)
        .detail("PartNumber", part.number.to_string())
        .detail("ETag", part.etag.clone())
}

fn malformed() -> S3Error {
    S3Error::new(ErrorCode::MalformedXml)
}

const GAPS: &str = "The part numbers of an encrypted upload must run 1, 2, 3 without a gap.";

/// The smallest part anywhere but last, in plaintext bytes (S3).
const MIN_PART_LEN: u64 = 5 << 20;

/// 10,000 parts with their checksums, in bytes.
const COMPLETION_LEN_MAX: u64 = 4 << 20;
