//! What every operation is given: the rooms below, and one authenticated request.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use time::OffsetDateTime;

use super::copy::conditions::CopyConditions;
use super::cors::KnownCors;
use super::layouts::Layouts;
use super::listed_sizes::KnownSizes;
use super::multipart::known::KnownUploads;
use super::policy::{Caller, ResolvedRule, RuleBook};
use super::post_object::Form;
use super::trail::Trail;
use crate::auth::{PayloadProof, PayloadVerifier, Verified};
use crate::body::BodyError;
use crate::body::claimed::ClaimedBody;
use crate::body::idle::{ByteCount, Received, Side};
use crate::body::pace::Brake;
use crate::body::room::Room;
use crate::config::place::S3Place;
use crate::error::Error;
use crate::format::BulkCipher;
use crate::keys::KeyError;
use crate::keys::entropy::random_bytes;
use crate::keys::service::KeyService;
use crate::s3::checksum::ChecksumAlgorithm;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::etag::ETagStyle;
use crate::s3::operation::Operation;
use crate::s3::sse::{CustomerKey, SseError};
use crate::s3::target::{BucketName, ObjectKey, Target};
use crate::s3::uri;
use crate::telemetry::metrics::{Direction, Metrics};
use crate::telemetry::request_id::RequestId;
use crate::upstream::Upstream;
use crate::upstream::request::UpstreamRequest;

/// The rooms that operations use. Shared by all requests of a thread under one configuration, never
/// changed by one.
#[derive(Clone)]
pub struct Cx {
    /// The real S3.
    pub upstream: Arc<Upstream>,
    /// The key hierarchy.
    pub keys: Arc<KeyService>,
    /// Which bucket and prefix is treated how.
    pub rules: Arc<RuleBook>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Uploads that this replica has seen.
    pub uploads: Arc<KnownUploads>,
    /// What the upstream makes of conditions on copies.
    pub copies: Arc<CopyConditions>,
    /// Where the segments of multipart objects are stored.
    pub layouts: Arc<Layouts>,
    /// What HEADs have told about listed objects.
    pub sizes: KnownSizes,
    /// The memory of large chunks.
    pub room: Arc<Room>,
    /// What browsers may do.
    pub cors: Arc<KnownCors>,
    /// See [`Settings`].
    pub settings: Settings,
}

/// What the configuration decides for all requests.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region that clients sign for.
    pub region: String,
    /// Whether the sizes in listings come from a HEAD each.
    pub lists_by_head: bool,
    /// How ETags are shown.
    pub etag_style: ETagStyle,
    /// The bulk cipher.
    pub cipher: BulkCipher,
    /// Whether the upstream takes `x-amz-checksum-crc64nvme`.
    pub upstream_checksum: bool,
    /// Id or alias of the managed key.
    pub managed_key: String,
    /// Whether bucket keys are used where neither rule nor writer says.
    pub bucket_keys: BucketKeyUse,
    /// Longest time until a client has said what it wants.
    pub client_head: Duration,
    /// Longest time without a byte from a client.
    pub client_idle: Duration,
    /// Longest time from the creation of a multipart upload to its completion.
    pub upload_max_age: Duration,
    /// Where the ids of running uploads are kept for all replicas.
    pub upload_state: Option<S3Place>,
    /// The time.
    pub clock: fn() -> OffsetDateTime,
}

/// For which keys bucket keys are used by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketKeyUse {
    /// For those of local keyrings.
    pub local: bool,
    /// For those of remote providers.
    pub remote: bool,
}

/// One request that passed authentication.
pub struct S3Request {
    /// Its name in the response and in the log.
    pub id: RequestId,
    /// What it is.
    pub operation: Operation,
    /// What it is about.
    pub target: Target,
    /// The URL it was sent to, as received.
    pub uri: Uri,
    /// Whether it came over TLS.
    pub is_tls: bool,
    /// As received.
    pub method: Method,
    /// The raw query without presign parameters.
    pub query: String,
    /// As received, with the headers that a presigned query carries.
    pub headers: HeaderMap,
    /// How it was signed, and what it claims of its body.
    pub verified: Arc<Verified>,
    /// Who sent it; `None` for an anonymous request.
    pub caller: Option<Arc<Caller>>,
    /// Whether nobody sent it: a command that runs beside the proxy, with its keys and rules. No
    /// caller's rights are asked for then.
    pub is_operator: bool,
    /// Which keys it used.
    pub trail: Trail,
    /// Slows its bodies down.
    pub brake: Brake,
    /// Body bytes received so far.
    pub received: Arc<AtomicU64>,
    /// Unread; gone once it is being read.
    pub body: Option<Incoming>,
    /// The rest of a form, in the place of a body.
    pub form: Option<Form>,
}

impl S3Request {
    /// A request about an object by a command that runs beside the proxy.
    pub fn of_operator(
        operation: Operation,
        method: Method,
        bucket: &str,
        key: &str,
    ) -> Result<Self, Error> {
        let id = random_bytes::<8>().map_err(KeyError::from)?;
        let key = uri::encode_path(key.as_bytes());
        let path = format!("/{bucket}/{key}");
        Ok(Self {
            id: RequestId::from_bytes(*id),
            operation,
            target: Target::parse(&path, None, &[])?,
            uri: Uri::default(),
            is_tls: false,
            method,
            query: String::new(),
            headers: HeaderMap::new(),
            verified: Arc::new(Verified::of_own()),
            caller: None,
            is_operator: true,
            trail: Trail::default(),
            brake: Brake::default(),
            received: Arc::default(),
            body: None,
            form: None,
        })
    }

    /// The bucket's name.
    pub fn bucket(&self) -> Option<&str> {
        self.target.bucket().map(BucketName::as_str)
    }

    /// The decoded object key.
    pub fn key(&self) -> Option<&str> {
        self.target.key().map(ObjectKey::decoded)
    }

    /// Bucket and decoded key of an object operation.
    pub fn object(&self) -> Result<(&str, &str), Error> {
        match (self.bucket(), self.key()) {
            (Some(bucket), Some(key)) => Ok((bucket, key)),
            (Some(_) | None, _) => Err(S3Error::new(ErrorCode::InvalidUri).into()),
        }
    }

    /// The caller's own key for the object (SSE-C), which may come over TLS only.
    pub fn customer_key(&self) -> Result<Option<CustomerKey>, SseError> {
        CustomerKey::parse(&self.headers)?
            .map(|key| key.over(self.is_tls))
            .transpose()
    }

    /// The rule for this bucket and key. Where there is none nothing is allowed.
    pub fn rule<'a>(&self, cx: &'a Cx) -> Result<&'a ResolvedRule, Error> {
        let rule = cx.rules.find(self.bucket().unwrap_or_default(), self.key());
        rule.ok_or_else(|| S3Error::new(ErrorCode::AccessDenied).into())
    }

    /// A body-less upstream request about the same bucket and key, under the identity that this
    /// caller maps to.
    pub fn upstream(&self, method: Method) -> UpstreamRequest {
        let mut request = UpstreamRequest::new(method, self.bucket(), self.key());
        request.operation = self.operation.name();
        request.credentials = self
            .caller
            .as_ref()
            .and_then(|caller| caller.upstream.clone());
        request
    }

    /// A request of our own about the same place in the name of the same caller, with no query,
    /// headers or body.
    #[must_use]
    pub fn own(&self, operation: Operation, method: Method) -> Self {
        Self {
            id: self.id,
            operation,
            target: self.target.clone(),
            uri: self.uri.clone(),
            is_tls: self.is_tls,
            method,
            query: String::new(),
            headers: HeaderMap::new(),
            verified: Arc::clone(&self.verified),
            caller: self.caller.clone(),
            is_operator: self.is_operator,
            trail: self.trail.clone(),
            brake: self.brake.clone(),
            received: Arc::default(),
            body: None,
            form: None,
        }
    }

    /// The checks that the headers ask for. Errors here come before a byte is read.
    pub fn payload_verifier(&self) -> Result<PayloadVerifier, Error> {
        if self.operation != Operation::CompleteMultipartUpload {
            return Ok(self.verified.payload_verifier(&self.headers)?);
        }
        // The checksum in its headers is that of the object, not of the document.
        let mut headers = self.headers.clone();
        for algorithm in ChecksumAlgorithm::ALL {
            headers.remove(algorithm.header());
        }
        Ok(self.verified.payload_verifier(&headers)?)
    }

    /// Joins the body, which is taken out, with its checks.
    pub fn claimed_body(
        &mut self,
        cx: &Cx,
        verifier: PayloadVerifier,
    ) -> Result<ClaimedBody, Error> {
        let body = self.body.take().ok_or(BodyError::Aborted)?;
        let total = cx.metrics.byte_counter(Direction::ClientIn);
        let bytes = ByteCount::new(total, Some(Arc::clone(&self.received)));
        let source = Received::new(body, Side::Client, cx.settings.client_idle, bytes);
        let source = source.slowed(self.brake.clone());
        Ok(ClaimedBody::new(source, verifier))
    }

    /// Reads a body that is a document of at most `limit` bytes, with the proof that it is what it
    /// claims to be; `None` where there is no body, and none is announced.
    pub async fn document(
        &mut self,
        cx: &Cx,
        limit: u64,
    ) -> Result<Option<(Bytes, PayloadProof)>, Error> {
        // A DELETE has no body and announces none; what nobody expects is not read.
        let is_absent = self.body.as_ref().is_none_or(Incoming::is_end_stream);
        if is_absent && !matches!(self.method, Method::PUT | Method::POST) {
            return Ok(None);
        }
        // Some clients say nothing about a body that they do not send (RFC 9112, section 6.3).
        if is_absent {
            let length = self.headers.entry(CONTENT_LENGTH);
            length.or_insert_with(|| HeaderValue::from_static("0"));
        }
        let verifier = self.payload_verifier()?;
        if verifier.plaintext_len() > limit {
            return Err(BodyError::TooLarge(limit).into());
        }
        let body = self.claimed_body(cx, verifier)?;
        Ok(Some(body.collect(limit).await?))
    }
}
