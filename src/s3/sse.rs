//! What a client asks about encryption: the `x-amz-server-side-encryption` family, strictly.

use std::fmt;

use data_encoding::BASE64;
use http::HeaderMap;
use http::header::HeaderName;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::error_code::{ErrorCode, S3Error};
use super::headers::{
    COPY_SOURCE_SSE_CUSTOMER_ALGORITHM, COPY_SOURCE_SSE_CUSTOMER_KEY,
    COPY_SOURCE_SSE_CUSTOMER_KEY_MD5, SSE, SSE_BUCKET_KEY_ENABLED, SSE_CONTEXT,
    SSE_CUSTOMER_ALGORITHM, SSE_CUSTOMER_KEY, SSE_CUSTOMER_KEY_MD5, SSE_KMS_KEY_ID,
};
use crate::secret::Secret;

pub use self::context::{CONTEXT_LEN_MAX, EncryptionContext};

mod context;

/// What a write asks for.
#[derive(Debug)]
pub enum SseRequest {
    /// Nothing: the rules decide.
    None,
    /// `AES256`: the deployment's managed key.
    Managed,
    /// `aws:kms`: a named key.
    Named {
        /// Id, ARN or alias; the rule's default key where there is none.
        key_id: Option<String>,
        /// The client's encryption context; never empty.
        context: Option<EncryptionContext>,
        /// Whether a bucket key is asked for, where the client says.
        bucket_key: Option<bool>,
    },
    /// The caller's own key (SSE-C).
    Customer(CustomerKey),
}

impl SseRequest {
    /// Reads the headers of a write.
    pub fn parse(headers: &HeaderMap) -> Result<Self, SseError> {
        let customer_headers = [
            SSE_CUSTOMER_ALGORITHM,
            SSE_CUSTOMER_KEY,
            SSE_CUSTOMER_KEY_MD5,
        ];
        let customer = customer_headers
            .iter()
            .any(|name| headers.contains_key(name));
        let algorithm = single(headers, &SSE)?;
        if customer && SERVER_SIDE.iter().any(|name| headers.contains_key(name)) {
            return Err(SseError::TwoMethods);
        }
        if let Some(key) = CustomerKey::parse(headers)? {
            return Ok(Self::Customer(key));
        }
        match algorithm {
            Some("aws:kms") => Self::named(headers),
            Some("aws:kms:dsse") => Err(SseError::DoubleLayer),
            Some("AES256") => without_kms(headers, Self::Managed),
            None => without_kms(headers, Self::None),
            Some(other) => Err(SseError::Algorithm {
                value: other.to_owned(),
            }),
        }
    }

    fn named(headers: &HeaderMap) -> Result<Self, SseError> {
        let key_id = single(headers, &SSE_KMS_KEY_ID)?;
        if key_id.is_some_and(|id| id.is_empty() || id.len() > KEY_ID_LEN_MAX) {
            return Err(SseError::KeyId);
        }
        let context = single(headers, &SSE_CONTEXT)?;
        let bucket_key = single(headers, &SSE_BUCKET_KEY_ENABLED)?;
        Ok(Self::Named {
            key_id: key_id.map(str::to_owned),
            context: context.map(EncryptionContext::parse).transpose()?.flatten(),
            bucket_key: bucket_key.map(parse_bool).transpose()?,
        })
    }
}

/// The key of an SSE-C request, held for the length of the request.
pub struct CustomerKey {
    key: Secret<[u8; CUSTOMER_KEY_LEN]>,
    md5: [u8; 16],
}

impl CustomerKey {
    /// Reads the three headers of an object's own key; `None` without any of them.
    pub fn parse(headers: &HeaderMap) -> Result<Option<Self>, SseError> {
        Self::read(
            headers,
            &SSE_CUSTOMER_ALGORITHM,
            &SSE_CUSTOMER_KEY,
            &SSE_CUSTOMER_KEY_MD5,
        )
    }

    /// Reads the three headers of a copy source's key; `None` without any of them.
    pub fn parse_copy_source(headers: &HeaderMap) -> Result<Option<Self>, SseError> {
        Self::read(
            headers,
            &COPY_SOURCE_SSE_CUSTOMER_ALGORITHM,
            &COPY_SOURCE_SSE_CUSTOMER_KEY,
            &COPY_SOURCE_SSE_CUSTOMER_KEY_MD5,
        )
    }

    /// The key, unless it came over a connection without TLS.
    pub fn over(self, is_tls: bool) -> Result<Self, SseError> {
        if is_tls {
            Ok(self)
        } else {
            Err(SseError::CustomerKeyInClear)
        }
    }

    /// The key bytes: for unwrapping and wrapping a data key only.
    pub fn expose(&self) -> &[u8; CUSTOMER_KEY_LEN] {
        self.key.expose()
    }

    /// The MD5 of the key in base64: S3 echoes it, and it says nothing about the key.
    pub fn md5(&self) -> String {
        BASE64.encode(&self.md5)
    }

    fn read(
        headers: &HeaderMap,
        algorithm: &HeaderName,
        key: &HeaderName,
        key_md5: &HeaderName,
    ) -> Result<Option<Self>, SseError> {
        let [algorithm, key, key_md5] = [
            single(headers, algorithm)?,
            single(headers, key)?,
            single(headers, key_md5)?,
        ];
        if (algorithm, key, key_md5) == (None, None, None) {
            return Ok(None);
        }
        if algorithm != Some("AES256") {
            return Err(SseError::CustomerAlgorithm);
        }
        let key = key.ok_or(SseError::CustomerKeyMissing)?;
        let key_md5 = key_md5.ok_or(SseError::CustomerKeyMd5Missing)?;
        let key = decode_key(key).ok_or(SseError::CustomerKeyInvalid)?;
        let md5: [u8; 16] = Md5::digest(key.expose()).into();
        if BASE64.decode(key_md5.as_bytes()).ok().as_deref() != Some(md5.as_slice()) {
            return Err(SseError::CustomerKeyMismatch);
        }
        Ok(Some(Self { key, md5 }))
    }
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerKey([redacted])")
    }
}

/// Refuses the headers that ask for encryption on an operation that only reads; the three of
/// SSE-C belong there.
pub fn refuse_on_read(headers: &HeaderMap) -> Result<(), SseError> {
    if SERVER_SIDE.iter().any(|name| headers.contains_key(name)) {
        return Err(SseError::OnRead);
    }
    Ok(())
}

/// Why a request's encryption headers are refused: the client's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// Neither `AES256` nor `aws:kms`.
    #[error("unknown encryption method {value:?}")]
    Algorithm {
        /// The header's value.
        value: String,
    },
    /// Neither `true` nor `false`.
    #[error("bucket key setting is neither true nor false")]
    BucketKey {
        /// The header's value.
        value: String,
    },
    /// The context is not base64 of a JSON object of strings without repeated names.
    #[error("encryption context is malformed")]
    Context,
    /// A context name in the name space of AWS or of the proxy.
    #[error("encryption context name {name:?} is reserved")]
    ContextName {
        /// The name.
        name: String,
    },
    /// A context of more than [`CONTEXT_LEN_MAX`] bytes.
    #[error("encryption context of {len} bytes")]
    ContextTooLong {
        /// Bytes in canonical form.
        len: usize,
    },
    /// An SSE-C algorithm that is missing or not `AES256`.
    #[error("customer key without a valid algorithm")]
    CustomerAlgorithm,
    /// An SSE-C key over a connection without TLS.
    #[error("customer key over plain http")]
    CustomerKeyInClear,
    /// Not 32 bytes in base64.
    #[error("customer key is malformed")]
    CustomerKeyInvalid,
    /// SSE-C headers without the key's MD5.
    #[error("customer key without its md5")]
    CustomerKeyMd5Missing,
    /// The MD5 is of another key.
    #[error("customer key does not match its md5")]
    CustomerKeyMismatch,
    /// SSE-C headers without the key.
    #[error("customer key is missing")]
    CustomerKeyMissing,
    /// `aws:kms:dsse`: two independent layers cannot be claimed honestly.
    #[error("double-layer encryption is not implemented")]
    DoubleLayer,
    /// A key id of no or too many bytes.
    #[error("key id is malformed")]
    KeyId,
    /// A header that only `aws:kms` has a use for.
    #[error("header {name} without aws:kms")]
    KmsOnly {
        /// The header.
        name: HeaderName,
    },
    /// A request for encryption on an operation that reads.
    #[error("encryption header on a read")]
    OnRead,
    /// A header twice, or one that is no text.
    #[error("header {name} is repeated or no text")]
    Repeated {
        /// The header.
        name: HeaderName,
    },
    /// SSE-C and another method at once.
    #[error("customer key with another encryption method")]
    TwoMethods,
}

impl SseError {
    /// What the client is told: never a key, nor any byte of one.
    pub fn to_s3(&self) -> S3Error {
        let argument = |message: &'static str, name: &HeaderName, value: &str| {
            S3Error::invalid_argument(message, name.as_str(), value)
        };
        let plain =
            |message: &'static str| S3Error::with_message(ErrorCode::InvalidArgument, message);
        match self {
            Self::Algorithm { value } => argument(
                "The encryption method specified is not supported",
                &SSE,
                value,
            ),
            Self::BucketKey { value } => argument(
                "The value must be true or false.",
                &SSE_BUCKET_KEY_ENABLED,
                value,
            ),
            Self::Context => plain(CONTEXT_MALFORMED),
            Self::ContextName { name } => argument(
                "Encryption context names that begin with aws: or s3seal: are reserved.",
                &SSE_CONTEXT,
                name,
            ),
            Self::ContextTooLong { .. } => plain("The encryption context is too long."),
            Self::CustomerAlgorithm => plain(CUSTOMER_ALGORITHM),
            Self::CustomerKeyInClear => {
                S3Error::with_message(ErrorCode::InvalidRequest, CUSTOMER_KEY_IN_CLEAR)
            }
            Self::CustomerKeyInvalid => {
                plain("The secret key was invalid for the specified algorithm.")
            }
            Self::CustomerKeyMd5Missing => plain(CUSTOMER_KEY_MD5_MISSING),
            Self::CustomerKeyMismatch => plain(CUSTOMER_KEY_MISMATCH),
            Self::CustomerKeyMissing => plain(CUSTOMER_KEY_MISSING),
            Self::DoubleLayer => {
                S3Error::new(ErrorCode::NotImplemented).detail("Header", SSE.as_str())
            }
            Self::KeyId => plain("The key id is not valid."),
            Self::KmsOnly { name } => plain(KMS_ONLY).detail("ArgumentName", name.as_str()),
            Self::OnRead => plain(ON_READ).detail("ArgumentName", SSE.as_str()),
            Self::Repeated { name } => S3Error::with_message(
                ErrorCode::InvalidRequest,
                "A header that may occur once is repeated.",
            )
            .detail("Header", name.as_str()),
            Self::TwoMethods => plain(TWO_METHODS),
        }
    }
}

/// `request`, unless a header of `aws:kms` is there.
fn without_kms(headers: &HeaderMap, request: SseRequest) -> Result<SseRequest, SseError> {
    for name in [SSE_KMS_KEY_ID, SSE_CONTEXT] {
        if headers.contains_key(&name) {
            return Err(SseError::KmsOnly { name });
        }
    }
    // Saying "no bucket key" is no demand, and SDKs that fill in every field say it.
    match single(headers, &SSE_BUCKET_KEY_ENABLED)?
        .map(parse_bool)
        .transpose()?
    {
        Some(true) => Err(SseError::KmsOnly {
            name: SSE_BUCKET_KEY_ENABLED,
        }),
        Some(false) | None => Ok(request),
    }
}

/// The one value of a header.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, SseError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(http::HeaderValue::to_str).transpose();
    match first {
        Ok(value) if values.next().is_none() => Ok(value),
        _ => Err(SseError::Repeated { name: name.clone() }),
    }
}

fn parse_bool(value: &str) -> Result<bool, SseError> {
    if value.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if value.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(SseError::BucketKey {
            value: value.to_owned(),
        })
    }
}

/// Decodes a key into memory that is wiped, whatever becomes of it.
fn decode_key(text: &str) -> Option<Secret<[u8; CUSTOMER_KEY_LEN]>> {
    // 44 characters of base64 are 33 bytes at most; the padding says that it is 32.
    let mut bytes = Zeroizing::new([0; CUSTOMER_KEY_LEN + 1]);
    if BASE64.decode_len(text.len()) != Ok(bytes.len()) {
        return None;
    }
    let len = BASE64
        .decode_mut(text.as_bytes(), bytes.as_mut_slice())
        .ok()?;
    let key = bytes.first_chunk().filter(|_| len == CUSTOMER_KEY_LEN)?;
    Some(Secret::new(*key))
}

/// Bytes of a customer key (AES-256).
const CUSTOMER_KEY_LEN: usize = 32;

/// AWS KMS takes key ids and ARNs of at most this length.
const KEY_ID_LEN_MAX: usize = 2048;

/// The headers that ask for encryption under a key of the server.
const SERVER_SIDE: [HeaderName; 4] = [SSE, SSE_KMS_KEY_ID, SSE_BUCKET_KEY_ENABLED, SSE_CONTEXT];

// The texts of S3: clients and their tests match on them.
const CONTEXT_MALFORMED: &str = "The header 'x-amz-server-side-encryption-context' shall be \
    Base64-encoded UTF-8 string holding JSON which represents a string-string map";
const CUSTOMER_ALGORITHM: &str = "Requests specifying Server Side Encryption with Customer provided \
    keys must provide a valid encryption algorithm.";
const CUSTOMER_KEY_IN_CLEAR: &str = "Requests specifying Server Side Encryption with Customer \
    provided keys must be made over a secure connection.";
const CUSTOMER_KEY_MD5_MISSING: &str = "Requests specifying Server Side Encryption with Customer \
    provided keys must provide the client calculated MD5 of the secret key.";
const CUSTOMER_KEY_MISMATCH: &str =
    "The calculated MD5 hash of the key did not match the hash that was provided.";
const CUSTOMER_KEY_MISSING: &str = "Requests specifying Server Side Encryption with Customer \
    provided keys must provide an appropriate secret key.";
const KMS_ONLY: &str = "Server Side Encryption with AWS KMS managed key requires HTTP header \
    x-amz-server-side-encryption : aws:kms";
const ON_READ: &str = "x-amz-server-side-encryption header is not supported for this operation.";
const TWO_METHODS: &str = "Server Side Encryption with Customer provided key is incompatible with \
    the encryption method specified";

#[cfg(test)]
mod tests;
