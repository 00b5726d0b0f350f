//! Request heads, signed with the AWS signer: what a client of S3 puts on the wire.

use std::{fmt::Write as _, net::SocketAddr};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use time::OffsetDateTime;

use crate::error::LoadError;

/// The client's credentials, as s3seal's configuration has them.
pub(crate) const ACCESS_KEY_ID: &str = "BENCHCLIENT";
/// The secret that goes with [`ACCESS_KEY_ID`]: made up, used on the loopback interface only.
pub(crate) const SECRET_ACCESS_KEY: &str = "bench-client-secret";
/// The region of every signature.
pub(crate) const REGION: &str = "us-east-1";

/// What goes into a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsigned<'a> {
    /// The method.
    pub(crate) method: &'a str,
    /// The `Host`.
    pub(crate) host: SocketAddr,
    /// Path and query, encoded.
    pub(crate) target: &'a str,
    /// Lower-case SHA-256 of the body, or none for `UNSIGNED-PAYLOAD`.
    pub(crate) sha256: Option<&'a str>,
    /// The `Content-Length`, for a request with a body.
    pub(crate) length: Option<u64>,
}

/// The request line and headers without the empty line, so that a `Range`, which S3 does not ask
/// to be signed, can follow. Good for 15 minutes, as often as one likes.
pub(crate) fn head(request: Unsigned<'_>) -> Result<String, LoadError> {
    let host = request.host.to_string();
    let uri = format!("http://{host}{}", request.target);
    let body = request
        .sha256
        .map_or(SignableBody::UnsignedPayload, |hash| {
            SignableBody::Precomputed(hash.to_owned())
        });
    let headers = std::iter::once(("host", host.as_str()));
    let identity = Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "bench").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name("s3")
        .time(OffsetDateTime::now_utc().into())
        .settings(settings())
        .build()
        .map_err(|error| LoadError::Sign(error.to_string()))?;
    let signable = SignableRequest::new(request.method, uri.as_str(), headers, body)
        .map_err(|error| LoadError::Sign(error.to_string()))?;
    let (instructions, _signature) = sign(signable, &params.into())
        .map_err(|error| LoadError::Sign(error.to_string()))?
        .into_parts();

    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: {host}\r\n",
        request.method, request.target
    );
    for (name, value) in instructions.headers() {
        let _ = write!(head, "{name}: {value}\r\n"); // a String takes everything
    }
    if let Some(length) = request.length {
        let _ = write!(head, "content-length: {length}\r\n");
    }
    Ok(head)
}

/// S3 signs the path as it is sent, and the payload hash as a header.
fn settings() -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings
}
