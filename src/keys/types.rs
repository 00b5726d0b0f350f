//! Names and values of the key hierarchy: what every room may know about keys.

use std::fmt;

use crate::secret::Secret;

/// Bytes of a data key (AES-256).
pub const DATA_KEY_LEN: usize = 32;

/// A data key: encrypts one object version, and nothing else (format.md, "Terms").
pub struct DataKey(Secret<[u8; DATA_KEY_LEN]>);

impl DataKey {
    /// Takes over 32 bytes that came from the OS or out of a wrap.
    pub fn new(bytes: [u8; DATA_KEY_LEN]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The key bytes: for key derivation and for wrapping only.
    pub fn expose(&self) -> &[u8; DATA_KEY_LEN] {
        self.0.expose()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey([redacted])")
    }
}

/// Which kind of provider wrapped a key; the number is the envelope's provider byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ProviderKind {
    /// The embedded keyring file.
    Local = 1,
    /// AWS KMS.
    AwsKms = 2,
    /// Vault or OpenBao Transit.
    Transit = 3,
    /// A PKCS#11 token.
    Pkcs11 = 4,
    /// The caller's own key (SSE-C).
    Customer = 5,
}

impl ProviderKind {
    /// Reads the envelope's provider byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Local,
            Self::AwsKms,
            Self::Transit,
            Self::Pkcs11,
            Self::Customer,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }

    /// The name used in configuration, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::AwsKms => "aws-kms",
            Self::Transit => "transit",
            Self::Pkcs11 => "pkcs11",
            Self::Customer => "customer",
        }
    }
}

/// The encryption mode that clients see; the number is the envelope's mode byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// The deployment's managed key, like SSE-S3 (`AES256`).
    Managed = 1,
    /// A key that the client or a rule names, like SSE-KMS (`aws:kms`).
    NamedKey = 2,
    /// The caller's own key (SSE-C).
    CustomerKey = 3,
}

impl Mode {
    /// Reads the envelope's mode byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Managed, Self::NamedKey, Self::CustomerKey]
            .into_iter()
            .find(|mode| *mode as u8 == byte)
    }
}

/// What a wrap of a data key is bound to besides the content header, weakest first; the number is
/// the envelope's binding byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Binding {
    /// Neither bucket nor object key.
    None = 0,
    /// The object key.
    Key = 1,
    /// The logical bucket and the object key.
    BucketAndKey = 2,
}

impl Binding {
    /// Reads the envelope's binding byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::None, Self::Key, Self::BucketAndKey]
            .into_iter()
            .find(|binding| *binding as u8 == byte)
    }
}

/// A key-encryption key by its canonical name: never an alias, never key material.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRef {
    /// Where the key lives.
    pub provider: ProviderKind,
    /// Canonical id (for AWS KMS the ARN).
    pub id: String,
    /// Key version; 0 where the provider keeps track of it.
    pub version: u32,
}

/// A data key under a wrap: opaque bytes of the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedDataKey(pub Vec<u8>);

/// What a wrap is bound to (format.md, `context`), with the parts providers need by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrapContext {
    /// `"s3seal.v1.context" || content header[0..40] || head || be16 len || bucket || be16 len || key`.
    pub bytes: Vec<u8>,
    /// The client's encryption context: pairs of strings, sorted, without duplicates.
    pub client: Vec<(String, String)>,
    /// The logical bucket, where the binding includes it.
    pub bucket: Option<String>,
    /// The decoded object key, where the binding includes it.
    pub object_key: Option<String>,
}

/// A data key just made, with its wrap.
#[derive(Debug)]
pub struct FreshDataKey {
    /// The key itself.
    pub data_key: DataKey,
    /// What goes into the key envelope.
    pub wrapped: WrappedDataKey,
}
