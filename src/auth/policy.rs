//! What a signature must cover and when it counts: headers, scope, skew, repetitions.

use http::{HeaderMap, HeaderName, request::Parts};
use time::{Duration, OffsetDateTime};

use super::error::{AuthError, MAX_SKEW_MILLISECONDS, Malformation, Place};
use crate::s3::{
    headers::X_AMZ_DATE,
    sigv4::{SERVICE, TERMINAL, Timestamp},
};

/// A credential: `access key id / date / region / service / aws4_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Credential<'a> {
    pub(super) access_key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    /// Everything behind the access key id.
    pub(super) scope: &'a str,
}

impl<'a> Credential<'a> {
    pub(super) fn parse(text: &'a str, place: Place) -> Result<Self, AuthError> {
        let fault = |fault| AuthError::Malformed { place, fault };
        let mut parts = text.rsplitn(5, '/');
        let (Some(terminal), Some(service), Some(region), Some(date), Some(access_key_id)) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(fault(Malformation::Credential));
        };
        if terminal != TERMINAL {
            return Err(fault(Malformation::Terminal(terminal.to_owned())));
        }
        let eight_digits = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
        if access_key_id.is_empty() || region.is_empty() || !eight_digits {
            return Err(fault(Malformation::Credential));
        }
        Ok(Self {
            access_key_id,
            date,
            region,
            service,
            scope: text.get(access_key_id.len() + 1..).unwrap_or_default(),
        })
    }

    /// The scope must be ours and of the date of the request.
    pub(super) fn check(
        &self,
        place: Place,
        region: &str,
        timestamp: &Timestamp,
    ) -> Result<(), AuthError> {
        let fault = |fault| Err(AuthError::Malformed { place, fault });
        if self.service == "s3express" {
            return Err(AuthError::S3Express);
        }
        if self.service != SERVICE {
            return fault(Malformation::Service(self.service.to_owned()));
        }
        if self.region != region {
            return Err(AuthError::WrongRegion {
                place,
                given: self.region.to_owned(),
                expected: region.to_owned(),
            });
        }
        if self.date != timestamp.date() {
            return fault(Malformation::CredentialDate {
                scope: self.date.to_owned(),
                request: timestamp.date().to_owned(),
            });
        }
        Ok(())
    }
}

/// The list of signed headers: lower-case names, strictly ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SignedHeaders<'a> {
    text: &'a str,
}

impl<'a> SignedHeaders<'a> {
    /// Strict, so that list and canonical headers cannot disagree on order or repetition.
    pub(super) fn parse(text: &'a str, place: Place) -> Result<Self, AuthError> {
        let names = text.split(';');
        let legal = names.clone().all(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
        });
        if legal && names.is_sorted_by(|a, b| a < b) {
            return Ok(Self { text });
        }
        Err(AuthError::Malformed {
            place,
            fault: Malformation::SignedHeaders,
        })
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.text.split(';')
    }

    /// `host` and every `x-amz-*` header that is there must be signed, and a signed header must
    /// not be repeated: the verifier would see one of them, a handler perhaps the other.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), AuthError> {
        let amz = headers.keys().map(HeaderName::as_str);
        let must = amz.filter(|name| name.starts_with("x-amz-"));
        let unsigned: Vec<String> = std::iter::once("host")
            .chain(must)
            .filter(|must| !self.names().any(|name| name == *must))
            .map(str::to_owned)
            .collect();
        if !unsigned.is_empty() {
            return Err(AuthError::UnsignedHeaders { names: unsigned });
        }
        if nothing_repeated(headers) {
            return Ok(());
        }
        self.names()
            .try_for_each(|name| refuse_repeated(headers, name))
    }
}

/// Headers on which the house decides must be there once at most, signed or not.
pub(super) fn check_single(headers: &HeaderMap) -> Result<(), AuthError> {
    if nothing_repeated(headers) {
        return Ok(());
    }
    let single = ["authorization", "content-length", "host"].into_iter();
    let names = headers.keys().map(HeaderName::as_str);
    single
        .chain(names.filter(|name| name.starts_with("x-amz-")))
        .try_for_each(|name| refuse_repeated(headers, name))
}

/// The host that was signed, as received: the `Host` header, over HTTP/2 the authority.
pub(super) fn host(parts: &Parts) -> Result<&[u8], AuthError> {
    let header = parts
        .headers
        .get(http::header::HOST)
        .map(http::HeaderValue::as_bytes);
    let authority = parts
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    match (header, authority) {
        (Some(header), Some(authority)) if header != authority => Err(AuthError::HostConflict),
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Ok(b""),
    }
}

/// The date of a header-authenticated request: `x-amz-date`, else `Date`.
pub(super) fn header_date(headers: &HeaderMap) -> Result<Timestamp, AuthError> {
    let timestamp = match headers.get(X_AMZ_DATE) {
        Some(value) => value.to_str().ok().and_then(Timestamp::parse_basic),
        None => single(headers, "date")?
            .and_then(|value| value.to_str().ok())
            .and_then(Timestamp::parse_http),
    };
    timestamp.ok_or(AuthError::MissingDate)
}

/// A header-authenticated request is good for 15 minutes around its date.
pub(super) fn check_skew(timestamp: &Timestamp, now: OffsetDateTime) -> Result<(), AuthError> {
    if (now - timestamp.at()).abs() <= MAX_SKEW {
        return Ok(());
    }
    Err(AuthError::Skewed {
        request_time: timestamp.text().to_owned(),
        server_time: now,
    })
}

/// A presigned request is good from its date (less the skew) until it expires.
pub(super) fn check_lifetime(
    timestamp: &Timestamp,
    expires_seconds: u32,
    now: OffsetDateTime,
) -> Result<(), AuthError> {
    if timestamp.at() - now > MAX_SKEW {
        return Err(AuthError::NotYetValid {
            request_time: timestamp.text().to_owned(),
            server_time: now,
        });
    }
    let age = now - timestamp.at();
    let life = Duration::seconds(i64::from(expires_seconds));
    if age <= life {
        return Ok(());
    }
    Err(AuthError::Expired {
        expires_seconds,
        expires: timestamp.at().saturating_add(life),
        server_time: now,
    })
}

/// Whether every header is there once: the answer for nearly all requests, without a look at each.
fn nothing_repeated(headers: &HeaderMap) -> bool {
    headers.len() == headers.keys_len()
}

fn refuse_repeated(headers: &HeaderMap, name: &str) -> Result<(), AuthError> {
    single(headers, name).map(|_| ())
}

fn single<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> Result<Option<&'a http::HeaderValue>, AuthError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(AuthError::RepeatedHeader {
            name: name.to_owned(),
        }),
    }
}

/// How far a client's clock may be off.
const MAX_SKEW: Duration = Duration::milliseconds(MAX_SKEW_MILLISECONDS as i64);
