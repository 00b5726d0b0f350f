//! The upload id that clients get: the upstream's id, with the upload's keys sealed to it.
//!
//! The data key of an upload cannot be read back from S3 while the upload runs, and any replica
//! must be able to take any part: so the id carries the wrapped key.

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::cursor::{Cursor, put_field};
use super::derive::ContentKey;
use super::envelope::{EnvelopeError, KeyEnvelope};
use super::header::{ContentHeader, HeaderError, Layout};
use super::metadata;
use super::trailer::SealedChecksum;
use super::{FORMAT_VERSION, HEADER_LEN};
use crate::keys::types::DataKey;

/// A sealed upload id that reads well. Nothing in it is proven before [`UploadId::verify`], but the
/// envelope must pass the same key policy as one in an object before its key is unwrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadId<'a> {
    fields: UploadFields,
    upstream_id: &'a str,
    /// What the mac covers first.
    body: Vec<u8>,
    mac: [u8; MAC_LEN],
}

/// What an upload id carries besides the upstream's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadFields {
    /// When the upload was created, in seconds since 1970.
    pub created: u64,
    /// The checksum algorithm that the client asked for.
    pub checksum: Option<SealedChecksum>,
    /// The checksum type that the client asked for.
    pub checksum_type: Option<ChecksumType>,
    /// The content header of the object to be.
    pub header: ContentHeader,
    /// Its key envelope.
    pub envelope: KeyEnvelope,
}

/// What a checksum of a multipart object is computed over (S3); the number is the one in the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ChecksumType {
    /// Over the checksums of the parts.
    Composite = 1,
    /// Over the whole object.
    FullObject = 2,
}

/// An id that must not be used: the client gets 404 `NoSuchUpload`, and nothing goes upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UploadIdError {
    /// Not strict base64url.
    #[error("the upload id is not canonical base64url")]
    Base64,
    /// The key envelope in it is not one of version 1.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The content header in it is not one of version 1, or of another data key.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// It belongs to another upload, bucket or key, or was changed.
    #[error("the upload id does not belong to this upload")]
    Mac,
    /// Not in the form of version 1.
    #[error("the upload id is malformed")]
    Malformed,
    /// A name of more than 65,535 bytes.
    #[error("a name is too long for an upload id")]
    TooLong,
}

/// What every sealed upload id begins with.
pub const UPLOAD_ID_PREFIX: &str = "s3seal1.";

impl UploadFields {
    /// The id to give to the client. `key` is the content key of [`UploadFields::header`];
    /// `object_key` is decoded.
    pub fn seal(
        &self,
        key: &ContentKey,
        upstream_id: &str,
        logical_bucket: &str,
        object_key: &str,
    ) -> Result<String, UploadIdError> {
        if upstream_id.is_empty() || self.header.prefix() != key.prefix() {
            return Err(UploadIdError::Malformed);
        }
        let mut body = self.encode()?;
        let mac = mac(key, &body, [upstream_id, logical_bucket, object_key])?;
        body.extend_from_slice(&mac);
        let token = metadata::encode(&body);
        Ok(format!("{UPLOAD_ID_PREFIX}{token}.{upstream_id}"))
    }

    fn encode(&self) -> Result<Vec<u8>, UploadIdError> {
        let checksum = self.checksum.map_or(0, |kind| kind as u8);
        let checksum_type = self.checksum_type.map_or(0, |kind| kind as u8);
        let mut body = vec![FORMAT_VERSION];
        body.extend_from_slice(&self.created.to_be_bytes());
        body.extend_from_slice(&[checksum, checksum_type]);
        body.extend_from_slice(&self.header.to_bytes());
        put_field(&mut body, self.envelope.encode()).ok_or(UploadIdError::TooLong)?;
        Ok(body)
    }

    fn parse(body: &[u8]) -> Result<Self, UploadIdError> {
        let mut cursor = Cursor::new(body);
        if cursor.u8() != Some(FORMAT_VERSION) {
            return Err(UploadIdError::Malformed);
        }
        let mut read = || {
            let created = cursor.be64()?;
            let checksum = match cursor.u8()? {
                0 => None,
                byte => Some(SealedChecksum::from_byte(byte)?),
            };
            let checksum_type = match cursor.u8()? {
                0 => None,
                byte => Some(ChecksumType::from_byte(byte)?),
            };
            let header = cursor.take(HEADER_LEN)?;
            let envelope = cursor.field()?;
            Some((created, checksum, checksum_type, header, envelope))
        };
        let (created, checksum, checksum_type, header, envelope) =
            read().ok_or(UploadIdError::Malformed)?;
        if !cursor.is_empty() {
            return Err(UploadIdError::Malformed);
        }
        let header = ContentHeader::parse(header)?;
        if header.prefix().layout() != Layout::Segmented {
            return Err(UploadIdError::Malformed);
        }
        Ok(Self {
            created,
            checksum,
            checksum_type,
            header,
            envelope: KeyEnvelope::parse(envelope)?,
        })
    }
}

impl<'a> UploadId<'a> {
    /// Reads an id that a client sent; `None` for one that we did not make, which is an upstream's.
    pub fn parse(id: &'a str) -> Result<Option<Self>, UploadIdError> {
        let Some(sealed) = id.strip_prefix(UPLOAD_ID_PREFIX) else {
            return Ok(None);
        };
        let (token, upstream_id) = sealed.split_once('.').ok_or(UploadIdError::Malformed)?;
        if upstream_id.is_empty() {
            return Err(UploadIdError::Malformed);
        }
        let mut body = metadata::decode(token.as_bytes()).map_err(|_| UploadIdError::Base64)?;
        let mac = *body.last_chunk().ok_or(UploadIdError::Malformed)?;
        body.truncate(body.len() - MAC_LEN);
        Ok(Some(Self {
            fields: UploadFields::parse(&body)?,
            upstream_id,
            body,
            mac,
        }))
    }

    /// Checks, in constant time, that the id was made for this upload; the key is the one that its
    /// parts are sealed under.
    pub fn verify(
        &self,
        data_key: &DataKey,
        logical_bucket: &str,
        object_key: &str,
    ) -> Result<ContentKey, UploadIdError> {
        let key = self.fields.header.verify(data_key)?;
        let expected = mac(
            &key,
            &self.body,
            [self.upstream_id, logical_bucket, object_key],
        )?;
        if bool::from(expected.ct_eq(&self.mac)) {
            Ok(key)
        } else {
            Err(UploadIdError::Mac)
        }
    }

    /// What the id carries.
    pub fn fields(&self) -> &UploadFields {
        &self.fields
    }

    /// The id to use upstream.
    pub fn upstream_id(&self) -> &'a str {
        self.upstream_id
    }
}

impl ChecksumType {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Composite, Self::FullObject]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

impl UploadIdError {
    /// The name of the check that failed, as in the frozen vectors.
    pub fn check(&self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Envelope(error) => error.check(),
            Self::Header(error) => error.check(),
            Self::Mac | Self::Malformed | Self::TooLong => "upload id",
        }
    }
}

/// `HMAC-SHA-256(key, body || names, each with its length)[..16]`
fn mac(key: &ContentKey, body: &[u8], names: [&str; 3]) -> Result<[u8; MAC_LEN], UploadIdError> {
    let mut message = body.to_vec();
    for name in names {
        put_field(&mut message, name.as_bytes()).ok_or(UploadIdError::TooLong)?;
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.upload_mac().as_slice());
    let tag = hmac::sign(&key, &message);
    let truncated = tag.as_ref().first_chunk().copied();
    truncated.ok_or(UploadIdError::Malformed)
}

/// Bytes of the mac in an id.
const MAC_LEN: usize = 16;

#[cfg(test)]
mod tests;
