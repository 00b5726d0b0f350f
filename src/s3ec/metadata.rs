//! What the library wrote beside a body: strict, one version at a time.

use std::collections::BTreeMap;

use data_encoding::BASE64;

use super::description::Description;
use super::{S3ecError, TAG_LEN};

/// What makes a stored object one of the library's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub(super) content: Content,
    pub(super) wrapped: Vec<u8>,
    wrap: Wrap,
}

/// What wrapped the data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// A key of AWS KMS, under this encryption context. Which key is not said.
    Kms(BTreeMap<String, String>),
    /// A raw AES key. Which one is not said.
    RawAes,
}

/// How the body is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// V2.
    Gcm { iv: [u8; IV_LEN] },
    /// V3.
    Committing {
        message_id: [u8; MESSAGE_ID_LEN],
        commitment: [u8; COMMITMENT_LEN],
    },
}

impl Content {
    /// The cipher's name, as wraps are bound to it.
    pub(super) fn cipher_name(self) -> &'static str {
        match self {
            Self::Gcm { .. } => GCM,
            Self::Committing { .. } => COMMITTING,
        }
    }
}

impl Metadata {
    /// Finds the library's values among the headers of a response; `None` if none has a name of it.
    pub fn parse<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Option<Self>, S3ecError> {
        let fields = Fields::gather(headers)?;
        if fields.0.is_empty() {
            return Ok(None);
        }
        if fields.has(INSTRUCTION_FILE) {
            return Err(S3ecError::Unsupported);
        }
        match (
            fields.has_some(V1),
            fields.has_some(V2),
            fields.has_some(V3),
        ) {
            (false, true, false) => fields.v2().map(Some),
            (false, false, true) => fields.v3().map(Some),
            (true, false, false) => Err(S3ecError::Legacy),
            (false, false, false) => Err(S3ecError::Missing(KEY_V2)),
            (true, true, _) | (true, _, true) | (_, true, true) => Err(S3ecError::Mixed),
        }
    }

    /// What wrapped the data key.
    pub fn wrap(&self) -> &Wrap {
        &self.wrap
    }

    /// The wrapped data key.
    pub fn wrapped(&self) -> &[u8] {
        &self.wrapped
    }

    fn new(content: Content, wrapped: Vec<u8>, wrap: Wrap) -> Result<Self, S3ecError> {
        if let Wrap::Kms(context) = &wrap {
            // Else the metadata of one version could be passed off as that of another.
            if context.get(CIPHER_IN_CONTEXT).map(String::as_str) != Some(content.cipher_name()) {
                return Err(S3ecError::Malformed(CIPHER_IN_CONTEXT));
            }
            // No wrap of ours is ever opened as one of the library's.
            if context.keys().any(|name| name.starts_with("s3seal:")) {
                return Err(S3ecError::Unsupported);
            }
        }
        Ok(Self {
            content,
            wrapped,
            wrap,
        })
    }
}

/// Whether a header is one of the library's, of whatever version.
pub fn is_name(name: &str) -> bool {
    short_name(name).is_some()
}

/// The plaintext size of a stored object.
pub fn plaintext_len(stored_len: u64) -> Result<u64, S3ecError> {
    stored_len
        .checked_sub(TAG_LEN as u64)
        .ok_or(S3ecError::Size)
}

/// The known name behind `x-amz-meta-`.
fn short_name(name: &str) -> Option<&'static str> {
    let prefix = name.get(..PREFIX.len())?;
    let rest = name.get(PREFIX.len()..)?;
    if !prefix.eq_ignore_ascii_case(PREFIX) {
        return None;
    }
    let mut known = [V1, V2, V3, SHARED].into_iter().flatten();
    known
        .find(|known| known.eq_ignore_ascii_case(rest))
        .copied()
}

/// The library's values, by name.
struct Fields<'a>(BTreeMap<&'static str, &'a [u8]>);

impl<'a> Fields<'a> {
    fn gather(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, S3ecError> {
        let mut fields = BTreeMap::new();
        for (name, value) in headers {
            let Some(name) = short_name(name) else {
                continue;
            };
            if fields.insert(name, value).is_some() {
                return Err(S3ecError::Repeated(name));
            }
        }
        Ok(Self(fields))
    }

    fn has(&self, name: &'static str) -> bool {
        self.0.contains_key(name)
    }

    fn has_some(&self, names: &[&'static str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    fn v2(&self) -> Result<Metadata, S3ecError> {
        match self.text(CIPHER)? {
            GCM => {}
            "AES/CBC/PKCS5Padding" | "AES/CBC/PKCS7Padding" => return Err(S3ecError::Legacy),
            _ => return Err(S3ecError::Unsupported),
        }
        if self.text(TAG_BITS)? != "128" {
            return Err(S3ecError::Malformed(TAG_BITS));
        }
        let description = self.description(DESCRIPTION)?;
        let description = description.ok_or(S3ecError::Missing(DESCRIPTION))?;
        let wrap = match self.text(WRAP_ALGORITHM)? {
            "kms+context" => Wrap::Kms(description.0),
            "AES/GCM" => Wrap::RawAes,
            "AES" | "AESWrap" | "kms" => return Err(S3ecError::Legacy),
            _ => return Err(S3ecError::Unsupported),
        };
        let iv = self.bytes(IV)?;
        let wrapped = self.wrapped(KEY_V2)?;
        Metadata::new(Content::Gcm { iv }, wrapped, wrap)
    }

    fn v3(&self) -> Result<Metadata, S3ecError> {
        // None of theirs stands beside these.
        if self.has_some(SHARED) {
            return Err(S3ecError::Mixed);
        }
        if self.text(CIPHER_V3)? != COMMITTING {
            return Err(S3ecError::Unsupported);
        }
        // The wrapped key is in an instruction file.
        if !self.has(KEY_V3) {
            return Err(S3ecError::Unsupported);
        }
        let context = self.description(CONTEXT_V3)?.unwrap_or_default();
        self.description(DESCRIPTION_V3)?;
        let wrap = match self.text(WRAP_ALGORITHM_V3)? {
            "02" => Wrap::RawAes,
            "12" => Wrap::Kms(context.0),
            _ => return Err(S3ecError::Unsupported),
        };
        let content = Content::Committing {
            message_id: self.bytes(MESSAGE_ID)?,
            commitment: self.bytes(COMMITMENT)?,
        };
        Metadata::new(content, self.wrapped(KEY_V3)?, wrap)
    }

    fn value(&self, name: &'static str) -> Result<&'a [u8], S3ecError> {
        self.0.get(name).copied().ok_or(S3ecError::Missing(name))
    }

    fn text(&self, name: &'static str) -> Result<&'a str, S3ecError> {
        std::str::from_utf8(self.value(name)?).map_err(|_| S3ecError::Malformed(name))
    }

    fn decode(&self, name: &'static str) -> Result<Vec<u8>, S3ecError> {
        let decoded = BASE64.decode(self.value(name)?);
        decoded.map_err(|_| S3ecError::Malformed(name))
    }

    fn bytes<const N: usize>(&self, name: &'static str) -> Result<[u8; N], S3ecError> {
        let decoded = self.decode(name)?;
        decoded.try_into().map_err(|_| S3ecError::Malformed(name))
    }

    fn wrapped(&self, name: &'static str) -> Result<Vec<u8>, S3ecError> {
        let wrapped = self.decode(name)?;
        if wrapped.is_empty() {
            return Err(S3ecError::Malformed(name));
        }
        Ok(wrapped)
    }

    fn description(&self, name: &'static str) -> Result<Option<Description>, S3ecError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let description = Description::parse(value);
        description.map(Some).ok_or(S3ecError::Malformed(name))
    }
}

/// Before every name: it is user metadata.
const PREFIX: &str = "x-amz-meta-";

const KEY_V1: &str = "x-amz-key";
const KEY_V2: &str = "x-amz-key-v2";
const IV: &str = "x-amz-iv";
const CIPHER: &str = "x-amz-cek-alg";
const WRAP_ALGORITHM: &str = "x-amz-wrap-alg";
const TAG_BITS: &str = "x-amz-tag-len";
const DESCRIPTION: &str = "x-amz-matdesc";
const INSTRUCTION_FILE: &str = "x-amz-crypto-instr-file";
const PLAINTEXT_LEN: &str = "x-amz-unencrypted-content-length";

const KEY_V3: &str = "x-amz-3";
const CIPHER_V3: &str = "x-amz-c";
const WRAP_ALGORITHM_V3: &str = "x-amz-w";
const COMMITMENT: &str = "x-amz-d";
const MESSAGE_ID: &str = "x-amz-i";
const CONTEXT_V3: &str = "x-amz-t";
const DESCRIPTION_V3: &str = "x-amz-m";

/// What only objects of V1 have.
const V1: &[&str] = &[KEY_V1];
/// What only objects of V2 have.
const V2: &[&str] = &[KEY_V2];
/// What only objects of V3 have.
const V3: &[&str] = &[
    KEY_V3,
    CIPHER_V3,
    WRAP_ALGORITHM_V3,
    COMMITMENT,
    MESSAGE_ID,
    CONTEXT_V3,
    DESCRIPTION_V3,
];
/// What objects of V1 and V2 have. The length is not needed: the stored one tells.
const SHARED: &[&str] = &[
    IV,
    CIPHER,
    WRAP_ALGORITHM,
    TAG_BITS,
    DESCRIPTION,
    INSTRUCTION_FILE,
    PLAINTEXT_LEN,
];

/// The cipher of V2.
const GCM: &str = "AES/GCM/NoPadding";
/// That of V3: the number of its suite.
const COMMITTING: &str = "115";
/// Where an encryption context names the cipher.
const CIPHER_IN_CONTEXT: &str = "aws:x-amz-cek-alg";

const IV_LEN: usize = 12;
const MESSAGE_ID_LEN: usize = 28;
const COMMITMENT_LEN: usize = 28;
