//! Signs outgoing requests with aws-sigv4, whose defaults are wrong for S3: the path is encoded
//! once, never normalised, and the payload hash is a header.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign as sign_http,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use thiserror::Error;

use super::redirect::Place;
use super::request::Head;

/// How the payload takes part in the signature.
pub enum PayloadSignature {
    /// By its hash.
    Sha256(Bytes),
    /// Not at all: its integrity is in its own tags.
    Unsigned,
    /// Not at all, with a checksum trailer.
    UnsignedWithTrailer,
}

/// A request that cannot be signed: always a bug, never the client's fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignError {
    /// The signer refused it.
    #[error("signing failed: {0}")]
    Signer(#[from] aws_sigv4::http_request::SigningError),
    /// The signing parameters are incomplete.
    #[error("signing parameters: {0}")]
    Params(String),
    /// It is not a valid HTTP request.
    #[error("invalid upstream request: {0}")]
    Http(#[from] http::Error),
}

/// The signed request without its body, for the place where the bucket lives.
pub fn sign(
    head: &Head,
    place: &Place,
    credentials: &Credentials,
) -> Result<Request<()>, SignError> {
    let bucket = head.bucket.as_deref();
    let host = place.endpoint.host_for(bucket);
    let uri = uri_of(head, place, &host)?;
    let mut headers = head.headers.clone();
    headers.insert(
        HOST,
        HeaderValue::from_str(&host).map_err(http::Error::from)?,
    );

    let identity = credentials.clone().into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(&place.region)
        .name("s3")
        .time(now())
        .settings(settings())
        .build()
        .map_err(|error| SignError::Params(error.to_string()))?
        .into();
    let uri_text = uri.to_string();
    let body = match &head.payload {
        PayloadSignature::Sha256(bytes) => SignableBody::Bytes(bytes),
        PayloadSignature::Unsigned => SignableBody::UnsignedPayload,
        PayloadSignature::UnsignedWithTrailer => SignableBody::StreamingUnsignedPayloadTrailer,
    };
    let signable = SignableRequest::new(
        head.method.as_str(),
        &uri_text,
        signed_headers(&headers),
        body,
    )?;
    let (instructions, _signature) = sign_http(signable, &params)?.into_parts();
    for (name, value) in instructions.headers() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(http::Error::from)?;
        headers.insert(
            name,
            HeaderValue::from_str(value).map_err(http::Error::from)?,
        );
    }
    let mut request = Request::builder().method(&head.method).uri(uri).body(())?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// What S3 wants signed: `host`, `content-type` and every `x-amz-*`. The rest may change on the
/// way.
fn signed_headers(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        let signed = name.starts_with("x-amz-") || name == HOST || name == CONTENT_TYPE;
        // S3 metadata may hold bytes that are not text; such a header goes unsigned and S3
        // refuses it, which is what it does without a proxy.
        signed
            .then(|| value.to_str().ok())
            .flatten()
            .map(|value| (name, value))
    })
}

fn uri_of(head: &Head, place: &Place, host: &str) -> Result<Uri, http::Error> {
    let mut target = place
        .endpoint
        .path_for(head.bucket.as_deref(), head.key.as_deref());
    if !head.query.is_empty() {
        target.push('?');
        // Signers disagree on a bare plus; encoded it is a plus for all of them.
        target.push_str(&head.query.replace('+', "%2B"));
    }
    Uri::builder()
        .scheme(place.endpoint.scheme())
        .authority(host)
        .path_and_query(target)
        .build()
}

fn settings() -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings
}

#[expect(
    clippy::disallowed_methods,
    reason = "the signature's own time stamp: the upstream compares it with its clock"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
