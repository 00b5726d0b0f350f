//! The `Authorization` header of Signature Version 4.

use http::HeaderValue;

use super::{
    error::{AuthError, Malformation, Place},
    policy::{Credential, SignedHeaders},
};
use crate::s3::sigv4::ALGORITHM;

/// A parsed header; nothing in it is verified yet.
pub(super) struct Authorization<'a> {
    pub(super) credential: Credential<'a>,
    pub(super) signed_headers: SignedHeaders<'a>,
    pub(super) signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// `AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`: the three components
    /// in any order, each once and nothing else, blanks around the commas allowed.
    pub(super) fn parse(value: &'a HeaderValue) -> Result<Self, AuthError> {
        let fault = |fault| AuthError::Malformed {
            place: Place::Header,
            fault,
        };
        let value = value
            .to_str()
            .map_err(|_| fault(Malformation::Components))?;
        let components = match value.split_once(' ') {
            Some((ALGORITHM, components)) => components,
            Some(("AWS", _)) => return Err(AuthError::SignatureV2),
            Some((SIGV4A_ALGORITHM, _)) => return Err(AuthError::SigV4a),
            Some(_) | None => return Err(AuthError::UnsupportedScheme),
        };
        let [mut credential, mut signed_headers, mut signature] = [None; 3];
        for component in components.split(',') {
            let slot = match component.trim_ascii().split_once('=') {
                Some(("Credential", value)) => credential.replace(value),
                Some(("SignedHeaders", value)) => signed_headers.replace(value),
                Some(("Signature", value)) => signature.replace(value),
                Some(_) | None => return Err(fault(Malformation::Components)),
            };
            if slot.is_some() {
                return Err(fault(Malformation::Components));
            }
        }
        let (Some(credential), Some(signed_headers), Some(signature)) =
            (credential, signed_headers, signature)
        else {
            return Err(fault(Malformation::Components));
        };
        Ok(Self {
            credential: Credential::parse(credential, Place::Header)?,
            signed_headers: SignedHeaders::parse(signed_headers, Place::Header)?,
            signature: check_signature(signature, Place::Header)?,
        })
    }
}

/// A signature is 64 lower-case hex digits: anything else is refused before it is compared.
pub(super) fn check_signature(signature: &str, place: Place) -> Result<&str, AuthError> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if signature.len() == 64 && signature.bytes().all(hex) {
        return Ok(signature);
    }
    Err(AuthError::Malformed {
        place,
        fault: Malformation::Signature,
    })
}

/// The asymmetric one.
pub(super) const SIGV4A_ALGORITHM: &str = "AWS4-ECDSA-P256-SHA256";
