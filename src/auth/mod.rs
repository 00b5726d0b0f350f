//! Who is calling and what the body claims: pure, `now` and secrets are arguments.
//!
//! [`Authenticator::authenticate`] verifies a request head and yields [`Verified`], and
//! [`Authenticator::authenticate_form`] does so with the fields of a form;
//! [`Verified::payload_verifier`] then reads what the headers claim about the body, and the
//! [`PayloadVerifier`] it yields turns wire bytes into plaintext and ends in a [`PayloadProof`].
//!
//! Order of checks: repeated headers; which mechanism; syntax; session token; scope; headers that
//! must be signed; payload mode; date and life; access key and signature. Source: AWS, "Signature
//! Version 4 for API requests" and its S3 chapters ("Authenticating requests").

mod canonical;
mod chunk;
mod claims;
mod error;
mod form;
mod header;
mod payload;
mod payload_error;
mod policy;
mod presign;

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION, request::Parts};
use time::OffsetDateTime;

use self::{
    canonical::Canonical,
    chunk::ChunkChain,
    claims::BodyClaims,
    header::Authorization,
    policy::{Credential, SignedHeaders},
    presign::Presigned,
};
use crate::{
    s3::{
        headers::{X_AMZ_CONTENT_SHA256, X_AMZ_SECURITY_TOKEN},
        query::Query,
        sigv4::{self, Signer, SigningKey, SigningKeys, Timestamp},
        uri,
    },
    secret::Secret,
};

pub use self::{
    claims::PayloadClaim,
    error::{AuthError, MAX_SKEW_MILLISECONDS, Malformation, Place, SignatureMismatch},
    payload::{PayloadProof, PayloadVerifier},
    payload_error::PayloadError,
};

/// The secrets of those who may call.
pub trait ClientSecrets: Send + Sync {
    /// The secret access key of an access key id, `None` where nobody has it.
    fn secret(&self, access_key_id: &str) -> Option<&Secret<String>>;
}

/// Nobody may call; anonymous requests may still be allowed by rules.
#[derive(Clone, Copy, Debug)]
pub struct NoClients;

impl ClientSecrets for NoClients {
    fn secret(&self, _access_key_id: &str) -> Option<&Secret<String>> {
        None
    }
}

/// What requests must be signed for.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// The region in every credential scope.
    pub region: String,
}

/// Verifies request heads. Share one: it remembers derived signing keys.
pub struct Authenticator {
    region: String,
    keys: SigningKeys,
    /// Stands in for the secret of an unknown access key, so that both cost the same.
    nobody: Secret<String>,
}

impl Authenticator {
    /// An authenticator without remembered keys.
    pub fn new(settings: AuthSettings) -> Self {
        Self {
            keys: SigningKeys::default(),
            region: settings.region,
            nobody: Secret::new("0".repeat(40)),
        }
    }

    /// Who signed this request head, by header or query; nobody at all is [`Scheme::Anonymous`].
    ///
    /// No body byte is needed, so an error costs the client no upload.
    pub fn authenticate(
        &self,
        parts: &Parts,
        secrets: &dyn ClientSecrets,
        now: OffsetDateTime,
    ) -> Result<Verified, AuthError> {
        policy::check_single(&parts.headers)?;
        let host = policy::host(parts)?;
        match Mechanism::of(parts)? {
            Mechanism::Anonymous => Self::anonymous(parts),
            Mechanism::Header(value) => self.by_header(parts, host, value, secrets, now),
            Mechanism::Presigned => self.by_query(parts, host, secrets, now),
        }
    }

    fn anonymous(parts: &Parts) -> Result<Verified, AuthError> {
        refuse_session_token(&parts.headers)?;
        let hash = content_sha256(&parts.headers)?.unwrap_or(claims::UNSIGNED_PAYLOAD);
        Ok(Verified {
            caller: None,
            scheme: Scheme::Anonymous,
            payload: PayloadClaim::parse(hash)?,
            chain: None,
            header_parameters: Vec::new(),
        })
    }

    fn by_header(
        &self,
        parts: &Parts,
        host: &[u8],
        value: &HeaderValue,
        secrets: &dyn ClientSecrets,
        now: OffsetDateTime,
    ) -> Result<Verified, AuthError> {
        let authorization = Authorization::parse(value)?;
        refuse_session_token(&parts.headers)?;
        let timestamp = policy::header_date(&parts.headers)?;
        let credential = authorization.credential;
        credential.check(Place::Header, &self.region, &timestamp)?;
        authorization.signed_headers.check(&parts.headers)?;
        let hash = content_sha256(&parts.headers)?.ok_or(AuthError::MissingContentSha256)?;
        let payload = PayloadClaim::parse(hash)?;
        policy::check_skew(&timestamp, now)?;
        let signed = Signed {
            canonical: Canonical {
                parts,
                host,
                signed_headers: authorization.signed_headers,
                payload_hash: hash,
            },
            credential,
            timestamp: &timestamp,
            signature: authorization.signature,
        };
        let key = self.verify(&signed, secrets)?;
        Ok(signed.verified(Scheme::Header, payload, key))
    }

    fn by_query(
        &self,
        parts: &Parts,
        host: &[u8],
        secrets: &dyn ClientSecrets,
        now: OffsetDateTime,
    ) -> Result<Verified, AuthError> {
        let presigned = Presigned::parse(Query::new(parts.uri.query()), &parts.headers)?;
        refuse_session_token(&parts.headers)?;
        let credential = Credential::parse(&presigned.credential, Place::Query)?;
        credential.check(Place::Query, &self.region, &presigned.timestamp)?;
        let signed_headers = SignedHeaders::parse(&presigned.signed_headers, Place::Query)?;
        signed_headers.check(&parts.headers)?;
        let hash = content_sha256(&parts.headers)?
            .or(presigned.content_sha256.as_deref())
            .unwrap_or(claims::UNSIGNED_PAYLOAD);
        let payload = PayloadClaim::parse(hash)?;
        policy::check_lifetime(&presigned.timestamp, presigned.expires_seconds, now)?;
        let signed = Signed {
            canonical: Canonical {
                parts,
                host,
                signed_headers,
                payload_hash: hash,
            },
            credential,
            timestamp: &presigned.timestamp,
            signature: header::check_signature(&presigned.signature, Place::Query)?,
        };
        let key = self.verify(&signed, secrets)?;
        let mut verified = signed.verified(Scheme::Presigned, payload, key);
        verified.header_parameters = presigned.header_parameters;
        Ok(verified)
    }

    /// The signature itself. An unknown access key takes the same path under a stand-in secret.
    fn verify(
        &self,
        signed: &Signed<'_>,
        secrets: &dyn ClientSecrets,
    ) -> Result<Arc<SigningKey>, AuthError> {
        let id = signed.credential.access_key_id;
        self.with_key(id, signed.timestamp, secrets, |key| signed.check(key))
    }

    /// Checks a signature with the key of whoever claims to have made it.
    fn with_key(
        &self,
        access_key_id: &str,
        timestamp: &Timestamp,
        secrets: &dyn ClientSecrets,
        check: impl FnOnce(&SigningKey) -> Result<(), AuthError>,
    ) -> Result<Arc<SigningKey>, AuthError> {
        let known = secrets.secret(access_key_id);
        let (id, secret) = match known {
            Some(secret) => (access_key_id, secret),
            // No client has the empty id: a credential with it is malformed.
            None => ("", &self.nobody),
        };
        let signer = Signer {
            id,
            secret: secret.expose(),
            region: &self.region,
        };
        let key = self.keys.key(signer, timestamp);
        let verdict = check(&key);
        match known {
            Some(_) => verdict.map(|()| key),
            None => Err(AuthError::UnknownAccessKey {
                access_key_id: access_key_id.to_owned(),
            }),
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// How a caller was identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// By nothing; the rules decide what that may do.
    Anonymous,
    /// By the certificate of the connection, without a signature.
    Certificate,
    /// Fields of a form.
    Form,
    /// `Authorization` header.
    Header,
    /// `X-Amz-*` query parameters.
    Presigned,
}

/// A request head whose signature held (or that has none: see [`Scheme::Anonymous`]).
///
/// Only this room makes one. `Debug` leaves the header parameters out: one may be a customer key.
pub struct Verified {
    caller: Option<String>,
    scheme: Scheme,
    payload: PayloadClaim,
    /// Present for signed requests: chunk signatures go on from the request's.
    chain: Option<ChunkChain>,
    header_parameters: Vec<(HeaderName, HeaderValue)>,
}

impl Verified {
    /// A request that nobody sent: one of the proxy's own.
    pub fn of_own() -> Self {
        Self {
            caller: None,
            scheme: Scheme::Anonymous,
            payload: PayloadClaim::Unsigned,
            chain: None,
            header_parameters: Vec::new(),
        }
    }

    /// An unsigned request over a connection whose certificate is a client's: it is that client's. A
    /// signed one stays whose it is.
    #[must_use]
    pub fn or_of_certificate(self, access_key_id: &str) -> Self {
        if self.scheme != Scheme::Anonymous {
            return self;
        }
        Self {
            caller: Some(access_key_id.to_owned()),
            scheme: Scheme::Certificate,
            ..self
        }
    }

    /// Access key id of the principal, `None` for anonymous requests.
    pub fn caller(&self) -> Option<&str> {
        self.caller.as_deref()
    }

    /// How the principal was identified.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What `x-amz-content-sha256` promises.
    pub fn payload_claim(&self) -> PayloadClaim {
        self.payload
    }

    /// Query parameters of a presigned request that stand for headers (`x-amz-acl`,
    /// `x-amz-meta-*`, `x-amz-server-side-encryption`, ...). Handlers must treat them as headers
    /// of the request; they are signed, unique, and contradict no header. Otherwise empty.
    pub fn header_parameters(&self) -> &[(HeaderName, HeaderValue)] {
        &self.header_parameters
    }

    /// Reads what the headers claim about the body; those of [`Self::header_parameters`] are among
    /// them.
    pub fn payload_verifier(&self, headers: &HeaderMap) -> Result<PayloadVerifier, PayloadError> {
        let claims = BodyClaims::parse(self.payload, headers)?;
        PayloadVerifier::new(&claims, self.chain.as_ref())
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("caller", &self.caller)
            .field("scheme", &self.scheme)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

/// Where a request keeps its authentication information.
enum Mechanism<'a> {
    Anonymous,
    Header(&'a HeaderValue),
    Presigned,
}

impl<'a> Mechanism<'a> {
    fn of(parts: &'a Parts) -> Result<Self, AuthError> {
        let [mut v2, mut v4] = [false; 2];
        for (name, _) in Query::new(parts.uri.query()).pairs() {
            match uri::decode(name).as_ref() {
                b"AWSAccessKeyId" | b"Signature" => v2 = true,
                b"X-Amz-Algorithm" | b"X-Amz-Credential" | b"X-Amz-Signature" => v4 = true,
                _ => {}
            }
        }
        match (parts.headers.get(AUTHORIZATION), v4, v2) {
            (None, false, false) => Ok(Self::Anonymous),
            (Some(value), false, false) => Ok(Self::Header(value)),
            (None, true, false) => Ok(Self::Presigned),
            (None, false, true) => Err(AuthError::SignatureV2),
            (Some(_), true, _) | (Some(_), _, true) | (None, true, true) => {
                Err(AuthError::MultipleMechanisms)
            }
        }
    }
}

/// A signed request, whichever way, before its signature is checked.
struct Signed<'a> {
    canonical: Canonical<'a>,
    credential: Credential<'a>,
    timestamp: &'a Timestamp,
    signature: &'a str,
}

impl Signed<'_> {
    fn check(&self, key: &SigningKey) -> Result<(), AuthError> {
        let (raw, encoded) = self.canonical.paths();
        let canonical_request = self.canonical.request(raw);
        let string_to_sign = self.string_to_sign(&canonical_request);
        let matches = |text: &str| key.verify(text.as_bytes(), self.signature.as_bytes());
        let by_encoded_path =
            |path: &String| matches(&self.string_to_sign(&self.canonical.request(path)));
        let held = matches(&string_to_sign) || encoded.as_ref().is_some_and(by_encoded_path);
        if held && self.canonical.complete() {
            return Ok(());
        }
        Err(AuthError::SignatureDoesNotMatch(Box::new(
            SignatureMismatch {
                access_key_id: self.credential.access_key_id.to_owned(),
                string_to_sign,
                signature_provided: self.signature.to_owned(),
                canonical_request: String::from_utf8_lossy(&canonical_request).into_owned(),
            },
        )))
    }

    fn string_to_sign(&self, canonical_request: &[u8]) -> String {
        sigv4::string_to_sign(
            self.timestamp.text(),
            self.credential.scope,
            canonical_request,
        )
    }

    /// Called once the signature held.
    fn verified(&self, scheme: Scheme, payload: PayloadClaim, key: Arc<SigningKey>) -> Verified {
        Verified {
            caller: Some(self.credential.access_key_id.to_owned()),
            scheme,
            payload,
            chain: Some(ChunkChain::new(
                key,
                self.timestamp.text(),
                self.credential.scope,
                self.signature,
            )),
            header_parameters: Vec::new(),
        }
    }
}

fn refuse_session_token(headers: &HeaderMap) -> Result<(), AuthError> {
    if headers.contains_key(X_AMZ_SECURITY_TOKEN) {
        return Err(AuthError::SessionToken);
    }
    Ok(())
}

fn content_sha256(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    headers
        .get(X_AMZ_CONTENT_SHA256)
        .map(|value| {
            value.to_str().map_err(|_| AuthError::InvalidContentSha256 {
                value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
            })
        })
        .transpose()
}

#[cfg(test)]
mod test_support;

#[cfg(test)]
mod tests;
