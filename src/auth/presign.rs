//! Presigned requests: the `X-Amz-*` parameters, and those that stand for headers.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    error::{AuthError, Malformation, Place},
    header::SIGV4A_ALGORITHM,
};
use crate::s3::{
    query::Query,
    sigv4::{ALGORITHM, Timestamp},
    uri,
};

/// The parameters of a presigned request, decoded; nothing is verified yet.
pub(super) struct Presigned {
    pub(super) credential: String,
    pub(super) timestamp: Timestamp,
    /// 1 to 604800.
    pub(super) expires_seconds: u32,
    pub(super) signed_headers: String,
    pub(super) signature: String,
    pub(super) content_sha256: Option<String>,
    /// Parameters that stand for headers: SDKs move `x-amz-*` headers into the query.
    pub(super) header_parameters: Vec<(HeaderName, HeaderValue)>,
}

impl Presigned {
    pub(super) fn parse(query: Query<'_>, headers: &HeaderMap) -> Result<Self, AuthError> {
        let mut raw = Raw::default();
        for (name, value) in query.pairs() {
            raw.take(
                &uri::decode(name),
                &uri::decode(value.unwrap_or_default()),
                headers,
            )?;
        }
        match raw.algorithm.as_deref() {
            Some(ALGORITHM) => {}
            Some(SIGV4A_ALGORITHM) => return Err(AuthError::SigV4a),
            Some(_) | None => return Err(malformed(Malformation::Parameters)),
        }
        if raw.security_token.is_some() {
            return Err(AuthError::SessionToken);
        }
        let (Some(credential), Some(date), Some(expires), Some(signed_headers), Some(signature)) = (
            raw.credential,
            raw.date,
            raw.expires,
            raw.signed_headers,
            raw.signature,
        ) else {
            return Err(malformed(Malformation::Parameters));
        };
        Ok(Self {
            credential,
            timestamp: Timestamp::parse_basic(&date)
                .ok_or_else(|| malformed(Malformation::Date))?,
            expires_seconds: parse_expires(&expires)?,
            signed_headers,
            signature,
            content_sha256: raw.content_sha256,
            header_parameters: raw.header_parameters,
        })
    }
}

/// The one parameter that is not signed.
pub(super) const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";

/// The parameters as found.
#[derive(Default)]
struct Raw {
    algorithm: Option<String>,
    credential: Option<String>,
    date: Option<String>,
    expires: Option<String>,
    signed_headers: Option<String>,
    signature: Option<String>,
    security_token: Option<String>,
    content_sha256: Option<String>,
    header_parameters: Vec<(HeaderName, HeaderValue)>,
}

impl Raw {
    fn take(&mut self, name: &[u8], value: &[u8], headers: &HeaderMap) -> Result<(), AuthError> {
        let amz = name
            .get(..6)
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"x-amz-"));
        if !amz {
            return Ok(());
        }
        let conflict = || AuthError::ConflictingParameter {
            name: String::from_utf8_lossy(name).to_ascii_lowercase(),
        };
        let header = HeaderName::from_bytes(name).map_err(|_| conflict())?;
        let value = HeaderValue::from_bytes(value).map_err(|_| conflict())?;
        if headers.get(&header).is_some_and(|sent| *sent != value) {
            return Err(conflict());
        }
        let slot = match name {
            b"X-Amz-Algorithm" => &mut self.algorithm,
            b"X-Amz-Credential" => &mut self.credential,
            b"X-Amz-Date" => &mut self.date,
            b"X-Amz-Expires" => &mut self.expires,
            b"X-Amz-SignedHeaders" => &mut self.signed_headers,
            b"X-Amz-Signature" => &mut self.signature,
            b"X-Amz-Security-Token" => &mut self.security_token,
            b"X-Amz-Content-Sha256" => &mut self.content_sha256,
            _ => return self.take_header(header, value).ok_or_else(conflict),
        };
        let value = value
            .to_str()
            .map_err(|_| malformed(Malformation::Parameters))?;
        match slot.replace(value.to_owned()) {
            Some(_) => Err(malformed(Malformation::Parameters)),
            None => Ok(()),
        }
    }

    /// `None` where it is there already or spells an authentication parameter in another case.
    fn take_header(&mut self, name: HeaderName, value: HeaderValue) -> Option<()> {
        let known = self
            .header_parameters
            .iter()
            .any(|(known, _)| *known == name);
        if known || NO_HEADER.contains(&name.as_str()) {
            return None;
        }
        self.header_parameters.push((name, value));
        Some(())
    }
}

fn parse_expires(text: &str) -> Result<u32, AuthError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|seconds| (1..=MAX_EXPIRES_SECONDS).contains(seconds))
        .ok_or_else(|| malformed(Malformation::Expires))
}

fn malformed(fault: Malformation) -> AuthError {
    AuthError::Malformed {
        place: Place::Query,
        fault,
    }
}

/// Seven days: AWS's longest life of a presigned request.
const MAX_EXPIRES_SECONDS: u32 = 604_800;

/// Parameters of authentication, in lower case: in any other spelling they mean nothing to S3.
const NO_HEADER: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];
