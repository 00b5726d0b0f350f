//! The document of `UpdateObjectEncryption`.

use super::document::Document;
use crate::s3::error_code::{ErrorCode, S3Error};

/// What an object is to be encrypted with: `aws:kms`, the only type that S3 takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEncryption {
    /// The key, by whatever name.
    pub key: String,
    /// Whether a bucket key stands between.
    pub bucket_key: bool,
}

impl ObjectEncryption {
    /// Reads a document.
    pub fn parse(document: &[u8]) -> Result<Self, S3Error> {
        let malformed = || S3Error::new(ErrorCode::MalformedXml);
        let document = Document::parse(document).ok_or_else(malformed)?;
        let root = document.root();
        if root.name() != "ObjectEncryption" || root.children().count() != 1 {
            return Err(malformed());
        }
        let kms = root.child("SSE-KMS").ok_or_else(malformed)?;
        let known = ["KMSKeyArn", "BucketKeyEnabled"];
        if kms.children().any(|child| !known.contains(&child.name())) {
            return Err(malformed());
        }
        let key = kms.child_text("KMSKeyArn").filter(|key| !key.is_empty());
        let bucket_key = match kms.child_text("BucketKeyEnabled").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(malformed()),
        };
        Ok(Self {
            key: key.ok_or_else(malformed)?,
            bucket_key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_is_read() {
        let parse = |inner: &str| {
            let document = format!("<ObjectEncryption>{inner}</ObjectEncryption>");
            ObjectEncryption::parse(document.as_bytes()).ok()
        };
        let kms = |inner: &str| parse(&format!("<SSE-KMS>{inner}</SSE-KMS>"));
        let key = "<KMSKeyArn>k</KMSKeyArn>";
        let asked = |bucket_key| {
            Some(ObjectEncryption {
                key: "k".to_owned(),
                bucket_key,
            })
        };
        assert_eq!(kms(key), asked(false));
        assert_eq!(
            kms(&format!("{key}<BucketKeyEnabled>true</BucketKeyEnabled>")),
            asked(true)
        );
        assert_eq!(
            kms(&format!("{key}<BucketKeyEnabled>1</BucketKeyEnabled>")),
            None
        );
        assert_eq!(kms(&format!("{key}<Other/>")), None);
        assert_eq!(kms("<KMSKeyArn></KMSKeyArn>"), None);
        assert_eq!(kms(""), None);
        assert_eq!(parse("<SSE-S3/>"), None);
        assert_eq!(parse(""), None);
        assert!(ObjectEncryption::parse(b"").is_err());
    }
}
