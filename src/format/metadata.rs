//! The two metadata values of a stored object, and the names that clients may not use.

use data_encoding::BASE64URL_NOPAD;
use thiserror::Error;

use super::envelope::{EnvelopeError, KeyEnvelope};
use super::header::{ContentHeader, HeaderError};

/// Holds the content header.
pub const HEADER_NAME: &str = "x-amz-meta-s3seal-header";

/// Holds the key envelope.
pub const KEY_NAME: &str = "x-amz-meta-s3seal-key";

/// What every name that is ours begins with, in any case.
pub const RESERVED_PREFIX: &str = "x-amz-meta-s3seal-";

/// What makes a stored object one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// How the body is encrypted.
    pub header: ContentHeader,
    /// The wrapped data key.
    pub envelope: KeyEnvelope,
}

/// Metadata of ours that must not be used. Whoever wrote the stored object is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MetadataError {
    /// A value that is not strict base64url.
    #[error("a metadata value is not canonical base64url")]
    Base64,
    /// The key envelope is not one of version 1.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The content header is not one of version 1.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// One of the two names without the other.
    #[error("one of the two metadata values is missing")]
    Incomplete,
    /// A name twice.
    #[error("a metadata name of this format is there twice")]
    Repeated,
    /// A reserved name that version 1 does not know.
    #[error("an unknown metadata name of this format")]
    UnknownName,
}

impl Metadata {
    /// Finds our values among the headers of a response; `None` if none has a name of ours.
    pub fn parse<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Option<Self>, MetadataError> {
        let (mut header, mut envelope) = (None, None);
        for (name, value) in headers {
            if !is_reserved(name) {
                continue;
            }
            let slot = if name.eq_ignore_ascii_case(HEADER_NAME) {
                &mut header
            } else if name.eq_ignore_ascii_case(KEY_NAME) {
                &mut envelope
            } else {
                return Err(MetadataError::UnknownName);
            };
            if slot.replace(value).is_some() {
                return Err(MetadataError::Repeated);
            }
        }
        match (header, envelope) {
            (None, None) => Ok(None),
            (Some(header), Some(envelope)) => Ok(Some(Self {
                header: ContentHeader::parse(&decode(header)?)?,
                envelope: KeyEnvelope::parse(&decode(envelope)?)?,
            })),
            (Some(_), None) | (None, Some(_)) => Err(MetadataError::Incomplete),
        }
    }

    /// Name and value of both headers to store.
    pub fn pairs(&self) -> [(&'static str, String); 2] {
        [
            (HEADER_NAME, encode(&self.header.to_bytes())),
            (KEY_NAME, encode(self.envelope.encode())),
        ]
    }

    /// Bytes that S3 counts against its 2,048 of user metadata: values, and names without
    /// `x-amz-meta-`.
    pub fn counted_len(&self) -> usize {
        let unprefixed = |name: &str| name.len() - "x-amz-meta-".len();
        self.pairs()
            .iter()
            .map(|(name, value)| unprefixed(name) + value.len())
            .sum()
    }
}

impl MetadataError {
    /// The name of the check that failed, as in the frozen vectors.
    pub fn check(&self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Envelope(error) => error.check(),
            Self::Header(error) => error.check(),
            Self::Incomplete | Self::Repeated | Self::UnknownName => "metadata",
        }
    }
}

/// Whether a header is one of ours: never taken from a client, never shown to one.
pub fn is_reserved(name: &str) -> bool {
    name.get(..RESERVED_PREFIX.len())
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(RESERVED_PREFIX))
}

/// base64url without padding, as stored.
pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// Strict: no padding, no other characters, no spare bits.
pub(super) fn decode(text: &[u8]) -> Result<Vec<u8>, MetadataError> {
    BASE64URL_NOPAD
        .decode(text)
        .map_err(|_| MetadataError::Base64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::{ClientContext, EnvelopeHead, HeaderPrefix, WrapKind, Wrapped};
    use crate::keys::types::{Binding, DataKey, KeyRef, Mode, ProviderKind, WrappedDataKey};

    fn metadata() -> Metadata {
        let key = KeyRef {
            provider: ProviderKind::Local,
            id: "default".to_owned(),
            version: 3,
        };
        let (mode, context) = (Mode::NamedKey, ClientContext::default());
        let head = EnvelopeHead::new(key, WrapKind::Direct, mode, Binding::None, context).unwrap();
        let wrapped = Wrapped::Direct(WrappedDataKey(vec![1; 80]));
        Metadata {
            header: ContentHeader::new(HeaderPrefix::single([7; 32]), &DataKey::new([1; 32])).0,
            envelope: KeyEnvelope::new(head, wrapped).unwrap(),
        }
    }

    fn parse(pairs: &[(&str, &str)]) -> Result<Option<Metadata>, MetadataError> {
        Metadata::parse(pairs.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn what_is_written_reads_back_in_any_case() {
        let metadata = metadata();
        let [(_, header), (_, key)] = metadata.pairs();
        let read = parse(&[
            ("etag", "x"),
            ("X-Amz-Meta-S3seal-Header", &header),
            ("x-amz-meta-color", "blue"),
            ("X-AMZ-META-S3SEAL-KEY", &key),
        ]);
        assert_eq!(read, Ok(Some(metadata)));
        assert_eq!(
            parse(&[("x-amz-meta-color", "blue"), ("x-amz-meta-s3sea\u{fc}", "")]),
            Ok(None)
        );
    }

    #[test]
    fn a_local_key_named_default_takes_257_bytes() {
        assert_eq!(metadata().counted_len(), 257);
    }

    #[test]
    fn mixtures_are_refused() {
        let [header, key] = metadata().pairs();
        let (header, key) = ((header.0, header.1.as_str()), (key.0, key.1.as_str()));
        let check = |pairs: &[(&str, &str)]| parse(pairs).unwrap_err();
        assert_eq!(check(&[header]), MetadataError::Incomplete);
        assert_eq!(check(&[key]), MetadataError::Incomplete);
        assert_eq!(check(&[header, key, key]), MetadataError::Repeated);
        let unknown = ("x-amz-meta-S3Seal-v2", "");
        assert_eq!(check(&[header, key, unknown]), MetadataError::UnknownName);
        assert_eq!(
            check(&[("x-amz-meta-s3seal-", "")]),
            MetadataError::UnknownName
        );
        for broken in ["", "AA==", "AB", "a+bc", "AA AA", "AA\n"] {
            assert!(parse(&[(header.0, broken), key]).is_err(), "{broken:?}");
        }
        let padded = format!("{}==", key.1);
        assert_eq!(check(&[header, (key.0, &padded)]), MetadataError::Base64);
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_the_same(text in "[A-Za-z0-9_\\-+/= ]{0,40}") {
            if let Ok(bytes) = decode(text.as_bytes()) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }

        #[test]
        fn any_headers_are_read_without_panic(header: Vec<u8>, key: Vec<u8>) {
            let _ = Metadata::parse([(HEADER_NAME, header.as_slice()), (KEY_NAME, key.as_slice())]);
        }
    }
}
