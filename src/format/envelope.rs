//! The key envelope: the wrapped data key of an object, and what the wrap is bound to.

use thiserror::Error;

use super::FORMAT_VERSION;
use super::client_context::{ClientContext, ClientContextError};
use super::cursor::{Cursor, put_field};
use super::header::HeaderPrefix;
use crate::keys::types::{Binding, KeyRef, Mode, ProviderKind, WrapContext, WrappedDataKey};

/// Which key wrapped the data key; the number is the envelope's wrap byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum WrapKind {
    /// The provider's own key.
    Direct = 1,
    /// A bucket key, which the provider's key wrapped.
    BucketKey = 2,
}

/// Everything of a key envelope but its last field: part of the context of every wrap, so it is
/// known before the data key is wrapped. Always a legal combination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnvelopeHead {
    key: KeyRef,
    wrap: WrapKind,
    mode: Mode,
    binding: Binding,
    client_context: ClientContext,
    /// The fields above, encoded; when read, the bytes as they were stored.
    bytes: Vec<u8>,
}

/// A key envelope as stored in `x-amz-meta-s3seal-key`: the only thing that rewrapping rewrites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEnvelope {
    head: EnvelopeHead,
    wrapped: Wrapped,
    bytes: Vec<u8>,
}

/// The last field of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrapped {
    /// The data key as the provider wrapped it.
    Direct(WrappedDataKey),
    /// The data key under a bucket key, and the bucket key under the provider's key.
    BucketKey {
        /// The random id of the bucket key.
        id: [u8; BUCKET_KEY_ID_LEN],
        /// The wrapped bucket key; empty only where a registry holds it.
        wrapped_bucket_key: Vec<u8>,
        /// The data key, 80 bytes.
        wrapped: WrappedDataKey,
    },
}

/// An envelope that must not be used. On reading, whoever wrote the stored object is at fault; on
/// writing, the proxy (or its key provider).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// The client context is not as it must be.
    #[error(transparent)]
    ClientContext(#[from] ClientContextError),
    /// Provider, wrap, mode, key and flags do not belong together.
    #[error("the key envelope combines what does not belong together")]
    Combination,
    /// Truncated, too long, or a length or number that version 1 does not have.
    #[error("the key envelope is malformed")]
    Malformed,
    /// A field of more than 65,535 bytes.
    #[error("a field of the key envelope is too long")]
    TooLong,
    /// Not version 1.
    #[error("the key envelope has an unknown version")]
    Version,
}

/// Bytes of a bucket key's id.
pub const BUCKET_KEY_ID_LEN: usize = 16;

/// Bytes of a data key that a bucket key wrapped: salt, key and tag.
const DERIVED_WRAP_LEN: usize = 80;

impl WrapKind {
    /// Reads the envelope's wrap byte.
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Direct, Self::BucketKey]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

impl EnvelopeHead {
    /// An error unless the parts are one of the legal combinations.
    pub fn new(
        key: KeyRef,
        wrap: WrapKind,
        mode: Mode,
        binding: Binding,
        client_context: ClientContext,
    ) -> Result<Self, EnvelopeError> {
        let customer = key.provider == ProviderKind::Customer;
        let nameless = key.id.is_empty() && key.version == 0 && wrap == WrapKind::Direct;
        if customer != (mode == Mode::CustomerKey) || (customer && !nameless) {
            return Err(EnvelopeError::Combination);
        }
        if !customer && key.id.is_empty() {
            return Err(EnvelopeError::Combination);
        }
        let flags = match wrap {
            WrapKind::Direct => 0,
            WrapKind::BucketKey => FLAG_BUCKET_KEY,
        };
        let provider = key.provider as u8;
        let mut bytes = vec![
            FORMAT_VERSION,
            provider,
            wrap as u8,
            mode as u8,
            binding as u8,
            flags,
        ];
        put_field(&mut bytes, key.id.as_bytes()).ok_or(EnvelopeError::TooLong)?;
        bytes.extend_from_slice(&key.version.to_be_bytes());
        put_field(&mut bytes, client_context.canonical_bytes()).ok_or(EnvelopeError::TooLong)?;
        Ok(Self {
            key,
            wrap,
            mode,
            binding,
            client_context,
            bytes,
        })
    }

    /// Reads a head and leaves the cursor behind it.
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, EnvelopeError> {
        let [version, provider, wrap, mode, binding, flags] =
            cursor.array().ok_or(EnvelopeError::Malformed)?;
        if version != FORMAT_VERSION {
            return Err(EnvelopeError::Version);
        }
        let id = cursor.field().ok_or(EnvelopeError::Malformed)?;
        let key_version = cursor.be32().ok_or(EnvelopeError::Malformed)?;
        let context = cursor.field().ok_or(EnvelopeError::Malformed)?;
        let key = KeyRef {
            provider: ProviderKind::from_byte(provider).ok_or(EnvelopeError::Malformed)?,
            id: String::from_utf8(id.to_vec()).map_err(|_| EnvelopeError::Malformed)?,
            version: key_version,
        };
        let wrap = WrapKind::from_byte(wrap).ok_or(EnvelopeError::Malformed)?;
        let mode = Mode::from_byte(mode).ok_or(EnvelopeError::Malformed)?;
        let binding = Binding::from_byte(binding).ok_or(EnvelopeError::Malformed)?;
        let head = Self::new(key, wrap, mode, binding, ClientContext::parse(context)?)?;
        // Encoding is canonical, so only the flags can differ from what was read.
        if head.bytes.get(FLAGS_AT) == Some(&flags) {
            Ok(head)
        } else {
            Err(EnvelopeError::Combination)
        }
    }

    /// The encoded head: what the wrap is bound to.
    pub fn encode(&self) -> &[u8] {
        &self.bytes
    }

    /// The key that wrapped the data key, or the bucket key.
    pub fn key(&self) -> &KeyRef {
        &self.key
    }

    /// Which key wrapped the data key.
    pub fn wrap(&self) -> WrapKind {
        self.wrap
    }

    /// The mode that clients see.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What the wrap is bound to besides header and head.
    pub fn binding(&self) -> Binding {
        self.binding
    }

    /// The client's encryption context.
    pub fn client_context(&self) -> &ClientContext {
        &self.client_context
    }

    /// What every wrap of the data key is bound to. `logical_bucket` and `object_key` (decoded) are
    /// left out as the binding says. An error only if one of them has more than 65,535 bytes.
    pub fn context(
        &self,
        header: &HeaderPrefix,
        logical_bucket: &str,
        object_key: &str,
    ) -> Result<WrapContext, EnvelopeError> {
        let (bucket, object_key) = match self.binding {
            Binding::None => (None, None),
            Binding::Key => (None, Some(object_key)),
            Binding::BucketAndKey => (Some(logical_bucket), Some(object_key)),
        };
        let mut bytes = LABEL_CONTEXT.to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&self.bytes);
        for name in [bucket, object_key] {
            put_field(&mut bytes, name.unwrap_or_default().as_bytes())
                .ok_or(EnvelopeError::TooLong)?;
        }
        Ok(WrapContext {
            bytes,
            client: self.client_context.pairs().to_vec(),
            bucket: bucket.map(str::to_owned),
            object_key: object_key.map(str::to_owned),
        })
    }
}

impl KeyEnvelope {
    /// An error if the wrapped key is not of the kind that the head says, empty, or too long.
    pub fn new(head: EnvelopeHead, wrapped: Wrapped) -> Result<Self, EnvelopeError> {
        let last = match (&wrapped, head.wrap) {
            (Wrapped::Direct(wrapped), WrapKind::Direct) if !wrapped.0.is_empty() => {
                wrapped.0.clone()
            }
            (
                Wrapped::BucketKey {
                    id,
                    wrapped_bucket_key,
                    wrapped,
                },
                WrapKind::BucketKey,
            ) if wrapped.0.len() == DERIVED_WRAP_LEN => {
                let mut last = id.to_vec();
                put_field(&mut last, wrapped_bucket_key).ok_or(EnvelopeError::TooLong)?;
                last.extend_from_slice(&wrapped.0);
                last
            }
            (Wrapped::Direct(_) | Wrapped::BucketKey { .. }, _) => {
                return Err(EnvelopeError::Malformed);
            }
        };
        let mut bytes = head.bytes.clone();
        put_field(&mut bytes, &last).ok_or(EnvelopeError::TooLong)?;
        Ok(Self {
            head,
            wrapped,
            bytes,
        })
    }

    /// Reads a stored envelope: exactly one, in the only encoding it has.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut cursor = Cursor::new(bytes);
        let head = EnvelopeHead::parse(&mut cursor)?;
        let last = cursor.field().ok_or(EnvelopeError::Malformed)?;
        if !cursor.is_empty() {
            return Err(EnvelopeError::Malformed);
        }
        let wrapped = match head.wrap {
            WrapKind::Direct => Wrapped::Direct(WrappedDataKey(last.to_vec())),
            WrapKind::BucketKey => parse_bucket_key(last).ok_or(EnvelopeError::Malformed)?,
        };
        Self::new(head, wrapped)
    }

    /// The encoded envelope.
    pub fn encode(&self) -> &[u8] {
        &self.bytes
    }

    /// Everything but the wrapped key.
    pub fn head(&self) -> &EnvelopeHead {
        &self.head
    }

    /// The wrapped key.
    pub fn wrapped(&self) -> &Wrapped {
        &self.wrapped
    }
}

impl EnvelopeError {
    /// The name of the check that failed, as in the frozen vectors.
    pub fn check(&self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::ClientContext(_) | Self::Combination | Self::Malformed | Self::TooLong => {
                "envelope"
            }
        }
    }
}

/// `bucket key id || be16 n || wrapped bucket key || wrapped data key (80)`
fn parse_bucket_key(last: &[u8]) -> Option<Wrapped> {
    let mut cursor = Cursor::new(last);
    Some(Wrapped::BucketKey {
        id: cursor.array()?,
        wrapped_bucket_key: cursor.field()?.to_vec(),
        wrapped: WrappedDataKey(cursor.rest().to_vec()),
    })
}

const LABEL_CONTEXT: &[u8] = b"s3seal.v1.context";

/// Envelope flag: set exactly if a bucket key wrapped the data key.
const FLAG_BUCKET_KEY: u8 = 1;

/// Offset of the flags.
const FLAGS_AT: usize = 5;

#[cfg(test)]
mod tests;
