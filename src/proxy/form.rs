//! A form's way to an operation: its fields are read, which say who sent it, what may be stored and
//! as what. From there on it is a request like any other.

use std::sync::Arc;

use data_encoding::BASE64;
use http::header::{CONTENT_LENGTH, IF_MATCH, IF_NONE_MATCH, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::access::Ticket;
use super::account::Account;
use super::{Arrival, InForce, NOBODY, Proxy, limits};
use crate::auth::{AuthError, PayloadClaim, PayloadError, Scheme, Verified};
use crate::body::form::FormHead;
use crate::body::idle::{ByteCount, Received, Side};
use crate::error::Error;
use crate::format::MAX_SINGLE_LEN;
use crate::ops;
use crate::ops::context::S3Request;
use crate::ops::post_object::Form;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::form::fields::FormFields;
use crate::s3::form::policy::{LengthRange, PostPolicy};
use crate::s3::form::success::Success;
use crate::s3::form::{Boundary, FORM_LEN_MAX, FormError};
use crate::s3::headers::{self, HeaderError, RequestTreatment, request_treatment};
use crate::s3::query::Query;
use crate::s3::target::{BucketName, ObjectKey, Target, request_host};
use crate::s3::uri;
use crate::server::certificate::PeerNames;
use crate::telemetry::metrics::Direction;

/// A form as far as its fields say what it is.
struct Proven {
    boundary: Boundary,
    /// Bytes of all of it.
    len: u64,
    head: FormHead,
    verified: Verified,
    lengths: LengthRange,
    target: Target,
}

impl Proxy {
    /// What a form asks for; `head` is what the request head alone proved.
    pub(super) async fn form_request(
        &self,
        in_force: &InForce,
        arrival: Arrival,
        (head, names): (&Verified, Option<&PeerNames>),
        log: &mut Account,
    ) -> Result<(S3Request, Ticket), Error> {
        let Arrival {
            id,
            parsed,
            parts,
            body,
            is_tls,
            certificate: _,
        } = arrival;
        // Whose it is stands in its fields: until they are there it is one of those of nobody.
        let nobody = self.in_flight_as_nobody(in_force)?;
        let about = (head, &parts, &parsed.target);
        let proven = self.read_form(in_force, about, body, log).await;
        drop(nobody);
        let Proven {
            boundary,
            len,
            head: FormHead { fields, part, file },
            verified,
            lengths,
            target,
        } = match proven {
            Ok(proven) => proven,
            Err(refused) => {
                self.limit(in_force, None, log)?;
                return Err(refused);
            }
        };
        let query = Query::default();
        log.set_object(target.key().map(ObjectKey::decoded), query);
        let what = (&parsed.operation, &target, query);
        let (caller, ticket) = self.admit(in_force, (&verified, names), what, log)?;
        let mut stored_headers = fields.headers()?;
        keep(&parts.headers, &mut stored_headers);
        headers::check_request(&stored_headers)?;
        let form = Form {
            rest: len.saturating_sub(part.offset),
            closing: boundary.closing_len(),
            location: location(&parts, is_tls, fields.key()?),
            success: Success::of(&fields),
            lengths,
            part,
            file,
        };
        let request = S3Request {
            is_operator: false,
            id,
            operation: parsed.operation,
            target,
            uri: parts.uri,
            is_tls,
            method: parts.method,
            query: String::new(),
            headers: stored_headers,
            verified: Arc::new(verified),
            caller,
            trail: log.trail(),
            brake: log.brake(),
            received: log.received(),
            body: None,
            form: Some(form),
        };
        Ok((request, ticket))
    }

    /// Reads a form up to its file, and proves who sent it.
    async fn read_form(
        &self,
        in_force: &InForce,
        (head, parts, bucket): (&Verified, &Parts, &Target),
        body: Incoming,
        log: &Account,
    ) -> Result<Proven, Error> {
        let cx = &in_force.cx;
        let (boundary, len) = check_head(head, parts)?;
        let total = cx.metrics.byte_counter(Direction::ClientIn);
        let bytes = ByteCount::new(total, Some(log.received()));
        let body = Received::new(body, Side::Client, cx.settings.client_idle, bytes);
        let body = body.slowed(log.brake());
        // The fields are to this request what its head is to others, and have as long.
        let head = FormHead::read(body, &boundary);
        let head = timeout(cx.settings.client_head, head).await;
        let mut head = head.map_err(|_| FormError::Late)??;
        head.fields.key()?;
        let callers = &*in_force.callers;
        let authenticator = &in_force.authenticator;
        let verified = authenticator.authenticate_form(&head.fields, callers)?;
        head.fields.expand(&head.part.name)?;
        let name = bucket.bucket().map_or("", BucketName::as_str);
        let lengths = self.check_policy(&verified, &head.fields, name)?;
        let target = with_key(bucket, head.fields.key()?)?;
        Ok(Proven {
            boundary,
            len,
            head,
            verified,
            lengths,
            target,
        })
    }

    /// A place among the requests at once of those who have proven nothing.
    fn in_flight_as_nobody(&self, in_force: &InForce) -> Result<Ticket, Error> {
        let ticket = self.surroundings.in_flight.enter(NOBODY);
        let metrics = &in_force.cx.metrics;
        limits::at_once(&in_force.anonymous, ticket.count(), metrics)?;
        Ok(ticket)
    }

    /// What the policy says, if somebody signed one.
    fn check_policy(
        &self,
        verified: &Verified,
        fields: &FormFields,
        bucket: &str,
    ) -> Result<LengthRange, Error> {
        if verified.scheme() != Scheme::Form {
            return Ok(LengthRange::ANY);
        }
        let mut text = fields.need("policy")?.to_owned();
        text.retain(|c| !c.is_ascii_whitespace());
        let document = BASE64
            .decode(text.as_bytes())
            .map_err(|_| FormError::Policy("it is not Base64"))?;
        let now = (self.surroundings.clock)();
        Ok(PostPolicy::parse(&document)?.check(fields, bucket, now)?)
    }
}

/// Everything that can be refused before the form is asked for; its boundary and its length.
fn check_head(head: &Verified, parts: &Parts) -> Result<(Boundary, u64), Error> {
    let is_signed = head.scheme() != Scheme::Anonymous;
    if is_signed || head.payload_claim() != PayloadClaim::Unsigned {
        let message = "A form is signed in its fields.";
        return Err(S3Error::with_message(ErrorCode::InvalidRequest, message).into());
    }
    for name in [IF_MATCH, IF_NONE_MATCH] {
        if parts.headers.contains_key(&name) {
            return Err(HeaderError::NotImplemented { name }.into());
        }
    }
    // A header would have its effect behind the policy's back.
    let names = parts.headers.keys().filter(|name| is_amz(name));
    let names: Vec<String> = names.map(|name| name.as_str().to_owned()).collect();
    if !names.is_empty() {
        return Err(AuthError::UnsignedHeaders { names }.into());
    }
    let boundary = Boundary::parse(&parts.headers)?;
    let len = parts.headers.get(CONTENT_LENGTH);
    let len = len.ok_or(PayloadError::MissingLength)?.to_str().ok();
    let len: u64 = len
        .and_then(|len| len.parse().ok())
        .ok_or(PayloadError::InvalidLength)?;
    let max = MAX_SINGLE_LEN + FORM_LEN_MAX as u64 + boundary.closing_len();
    if len > max {
        return Err(ops::store::too_large(len, max).into());
    }
    Ok((boundary, len))
}

fn is_amz(name: &HeaderName) -> bool {
    let is_known = request_treatment(name) == RequestTreatment::Strip;
    name.as_str().starts_with("x-amz-") && name != headers::X_AMZ_CONTENT_SHA256 && !is_known
}

/// Of the request's own headers those that say who sends it; the others are about the form.
fn keep(of_request: &HeaderMap, headers: &mut HeaderMap) {
    for name in [REFERER, USER_AGENT] {
        if let Some(value) = of_request.get(&name) {
            headers.insert(name, value.clone());
        }
    }
}

fn with_key(target: &Target, key: &str) -> Result<Target, Error> {
    let bucket = target.bucket().cloned();
    Ok(Target::Object {
        bucket: bucket.ok_or_else(|| S3Error::new(ErrorCode::InvalidUri))?,
        key: ObjectKey::parse(&uri::encode_path(key.as_bytes()))?,
    })
}

/// The address of the object, as that of the bucket was spelled.
fn location(parts: &Parts, is_tls: bool, key: &str) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    let host = request_host(&parts.uri, &parts.headers).ok().flatten();
    let host = host.unwrap_or_default();
    let bucket = parts.uri.path().trim_end_matches('/');
    let key = uri::encode_path(key.as_bytes());
    format!("{scheme}://{host}{bucket}/{key}")
}
