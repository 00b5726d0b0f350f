//! Wrapped keys, envelopes and upload ids.

use data_encoding::{BASE64, BASE64URL_NOPAD};

use super::*;
use crate::keys::types::{KeyRef, ProviderKind, WrappedDataKey};
use crate::keys::wrap::{
    WrapInfo, bucket_key_context, context_digest, derived_unwrap, derived_wrap,
};

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Wrap {
    DataKey(Box<DataKeyWrap>),
    BucketKeyContext(Box<BucketKeyContext>),
    Refused(Refused),
}

#[derive(Deserialize)]
pub(super) struct DataKeyWrap {
    name: String,
    content_header: String,
    bucket: String,
    key: String,
    wrapping_key: String,
    info_hex: String,
    salt: String,
    data_key: String,
    context_hex: String,
    kms_context: String,
    transit_context: String,
    wrapped: String,
    envelope: String,
}

#[derive(Deserialize)]
pub(super) struct BucketKeyContext {
    provider: u8,
    key_id: String,
    key_version: u32,
    bucket_key_id: String,
    bucket: String,
    context_hex: String,
}

#[derive(Deserialize)]
pub(super) struct Refused {
    name: String,
    expect: String,
    envelope: Option<String>,
    text: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Upload {
    name: String,
    data_key: String,
    header: String,
    envelope: String,
    upstream_id: String,
    bucket: String,
    key: String,
    created: u64,
    checksum_algorithm: u8,
    checksum_type: u8,
    #[serde(rename = "upload_id")]
    expected: String,
}

fn unbase64(text: &str) -> Vec<u8> {
    metadata::decode(text.as_bytes()).unwrap()
}

impl DataKeyWrap {
    fn check(&self) {
        let envelope = KeyEnvelope::parse(&unbase64(&self.envelope)).unwrap();
        let header = ContentHeader::parse(&unbase64(&self.content_header)).unwrap();
        let head = envelope.head();
        let context = head
            .context(header.prefix(), &self.bucket, &self.key)
            .unwrap();
        assert_eq!(context.bytes, unhex(&self.context_hex), "{}", self.name);
        let digest = context_digest(&context.bytes);
        assert_eq!(BASE64URL_NOPAD.encode(&digest), self.kms_context);
        assert_eq!(BASE64.encode(&digest), self.transit_context);

        let (wrapped, info) = match envelope.wrapped() {
            Wrapped::BucketKey { id, wrapped, .. } => (wrapped, WrapInfo::BucketKey { id: *id }),
            Wrapped::Direct(wrapped) if head.key().provider == ProviderKind::Customer => {
                (wrapped, WrapInfo::Customer)
            }
            Wrapped::Direct(wrapped) => {
                let version = head.key().version;
                (wrapped, WrapInfo::Local { version })
            }
        };
        assert_eq!(info.to_bytes(), unhex(&self.info_hex));
        assert_eq!(wrapped.0, unbase64(&self.wrapped));
        let ikm = unhex(&self.wrapping_key).try_into().unwrap();
        let key = derived_unwrap(&ikm, info, wrapped, &context.bytes).unwrap();
        assert_eq!(key.expose().as_slice(), unhex(&self.data_key));
        let salt = unhex(&self.salt).try_into().unwrap();
        assert_eq!(
            derived_wrap(&ikm, info, &key, &context.bytes, salt),
            *wrapped
        );
        assert!(header.verify(&key).is_ok());
        self.check_rebuilt(&envelope);
    }

    /// The envelope made from its parts is the same bytes.
    fn check_rebuilt(&self, envelope: &KeyEnvelope) {
        let head = envelope.head();
        let pairs = head.client_context().pairs().to_vec();
        let rebuilt = EnvelopeHead::new(
            head.key().clone(),
            head.wrap(),
            head.mode(),
            head.binding(),
            ClientContext::from_pairs(pairs).unwrap(),
        );
        let rebuilt = KeyEnvelope::new(rebuilt.unwrap(), envelope.wrapped().clone()).unwrap();
        assert_eq!(rebuilt.encode(), unbase64(&self.envelope));
    }
}

impl BucketKeyContext {
    fn check(&self) {
        let key = KeyRef {
            provider: ProviderKind::from_byte(self.provider).unwrap(),
            id: self.key_id.clone(),
            version: self.key_version,
        };
        let id = unhex(&self.bucket_key_id).try_into().unwrap();
        let context = bucket_key_context(&key, &id, &self.bucket).unwrap();
        assert_eq!(context, unhex(&self.context_hex));
    }
}

impl Refused {
    fn check(&self) {
        let check = match (&self.envelope, &self.text) {
            (Some(envelope), _) => KeyEnvelope::parse(&unbase64(envelope)).unwrap_err().check(),
            (None, Some(text)) => metadata::decode(text.as_bytes()).unwrap_err().check(),
            (None, None) => panic!("{} has nothing to refuse", self.name),
        };
        assert_eq!(check, self.expect, "{}", self.name);
    }
}

impl Upload {
    fn check(&self) {
        let fields = UploadFields {
            created: self.created,
            checksum: SealedChecksum::from_byte(self.checksum_algorithm),
            checksum_type: match self.checksum_type {
                1 => Some(ChecksumType::Composite),
                2 => Some(ChecksumType::FullObject),
                _ => None,
            },
            header: ContentHeader::parse(&unbase64(&self.header)).unwrap(),
            envelope: KeyEnvelope::parse(&unbase64(&self.envelope)).unwrap(),
        };
        let id = UploadId::parse(&self.expected).unwrap().unwrap();
        assert_eq!(id.fields(), &fields, "{}", self.name);
        assert_eq!(id.upstream_id(), self.upstream_id);
        let data_key = data_key(&self.data_key);
        let key = id.verify(&data_key, &self.bucket, &self.key).unwrap();
        let sealed = fields.seal(&key, &self.upstream_id, &self.bucket, &self.key);
        assert_eq!(sealed.as_deref(), Ok(self.expected.as_str()));
        let other = id.verify(&data_key, &self.bucket, &format!("{}x", self.key));
        assert_eq!(other.unwrap_err().check(), "upload id");
    }
}

#[test]
fn wraps_and_envelopes() {
    let wraps = vectors().wraps;
    assert_eq!(wraps.len(), 20);
    let mut kinds = [0; 3];
    for wrap in wraps {
        match wrap {
            Wrap::DataKey(wrap) => (wrap.check(), kinds[0] += 1).0,
            Wrap::BucketKeyContext(wrap) => (wrap.check(), kinds[1] += 1).0,
            Wrap::Refused(wrap) => (wrap.check(), kinds[2] += 1).0,
        }
    }
    assert_eq!(kinds, [7, 1, 12]);
}

#[test]
fn upload_ids() {
    let uploads = vectors().upload_ids;
    assert_eq!(uploads.len(), 3);
    for upload in uploads {
        upload.check();
    }
}

#[test]
fn a_wrapped_key_of_another_length_is_refused() {
    let wrapped = WrappedDataKey(vec![0; 79]);
    let refused = derived_unwrap(&[0; 32], WrapInfo::Customer, &wrapped, b"");
    assert_eq!(refused.unwrap_err().check(), "wrap");
}
