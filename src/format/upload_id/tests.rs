//! Laws of the upload id; the frozen vectors are in `format::tests`.

use proptest::prelude::*;

use super::*;
use crate::format::{ClientContext, Ending, EnvelopeHead, HeaderPrefix, WrapKind, Wrapped};
use crate::keys::types::{Binding, KeyRef, Mode, ProviderKind, WrappedDataKey};

fn data_key() -> DataKey {
    DataKey::new([3; 32])
}

fn fields(created: u64, checksum: u8, checksum_type: u8, wrapped: Vec<u8>) -> UploadFields {
    let key = KeyRef {
        provider: ProviderKind::Transit,
        id: "tenant-a".to_owned(),
        version: 0,
    };
    let (mode, context) = (Mode::NamedKey, ClientContext::default());
    let head = EnvelopeHead::new(key, WrapKind::Direct, mode, Binding::Key, context).unwrap();
    let prefix = HeaderPrefix::segmented([8; 32], Ending::Terminal);
    UploadFields {
        created,
        checksum: SealedChecksum::from_byte(checksum),
        checksum_type: ChecksumType::from_byte(checksum_type),
        header: ContentHeader::new(prefix, &data_key()).0,
        envelope: KeyEnvelope::new(head, Wrapped::Direct(WrappedDataKey(wrapped))).unwrap(),
    }
}

fn seal(fields: &UploadFields, upstream_id: &str, bucket: &str, object_key: &str) -> String {
    let key = fields.header.verify(&data_key()).unwrap();
    fields.seal(&key, upstream_id, bucket, object_key).unwrap()
}

#[test]
fn an_upstream_id_is_not_ours() {
    for bare in ["", "abc", "s3seal1", "S3SEAL1.x.y", "x.s3seal1.y.z"] {
        assert_eq!(UploadId::parse(bare), Ok(None), "{bare}");
    }
}

#[test]
fn malformed_ids_are_refused() {
    let good = seal(&fields(1, 0, 0, vec![1; 80]), "up.stream", "b", "k");
    let (token, _) = good[UPLOAD_ID_PREFIX.len()..].split_once('.').unwrap();
    let refused = |id: &str| UploadId::parse(id).unwrap_err();
    assert_eq!(refused("s3seal1."), UploadIdError::Malformed);
    assert_eq!(refused("s3seal1.AAAA"), UploadIdError::Malformed);
    assert_eq!(refused("s3seal1.AAAA.up"), UploadIdError::Malformed);
    assert_eq!(refused("s3seal1.A===.up"), UploadIdError::Base64);
    assert_eq!(
        refused(&format!("s3seal1.{token}.")),
        UploadIdError::Malformed
    );
    assert_eq!(
        refused(&format!("s3seal1.{token}=.up")),
        UploadIdError::Base64
    );
    let mut single = fields(1, 0, 0, vec![1; 80]);
    single.header = ContentHeader::new(HeaderPrefix::single([8; 32]), &data_key()).0;
    let key = single.header.verify(&data_key()).unwrap();
    let id = single.seal(&key, "up", "b", "k").unwrap();
    assert_eq!(refused(&id), UploadIdError::Malformed);
}

#[test]
fn a_key_of_another_object_cannot_seal_an_id() {
    let fields = fields(1, 0, 0, vec![1; 80]);
    let prefix = HeaderPrefix::segmented([9; 32], Ending::Terminal);
    let (_, other) = ContentHeader::new(prefix, &data_key());
    let result = fields.seal(&other.into(), "up", "b", "k");
    assert_eq!(result, Err(UploadIdError::Malformed));
}

proptest! {
    #[test]
    fn an_id_belongs_to_one_upload(
        created: u64, checksum in 0..8_u8, checksum_type in 0..3_u8,
        wrapped in prop::collection::vec(any::<u8>(), 1..200),
        upstream_id in "[A-Za-z0-9._~-]{1,40}", bucket in "[a-z]{3,10}", object_key in ".{1,20}",
        flipped: prop::sample::Index,
    ) {
        let fields = fields(created, checksum, checksum_type, wrapped);
        let id = seal(&fields, &upstream_id, &bucket, &object_key);
        let read = UploadId::parse(&id).unwrap().unwrap();
        prop_assert_eq!(read.fields(), &fields);
        prop_assert_eq!(read.upstream_id(), &upstream_id);
        let verify = |bucket: &str, key: &str| read.verify(&data_key(), bucket, key).map(|_| ());
        prop_assert_eq!(verify(&bucket, &object_key), Ok(()));
        // The same bytes, cut elsewhere.
        let moved = format!("{bucket}{object_key}");
        prop_assert_eq!(verify(&moved, ""), Err(UploadIdError::Mac));
        prop_assert_eq!(verify(&bucket, &format!("{object_key}x")), Err(UploadIdError::Mac));
        let other = read.verify(&DataKey::new([4; 32]), &bucket, &object_key);
        prop_assert_eq!(other.unwrap_err(), HeaderError::Commitment.into());

        let at = UPLOAD_ID_PREFIX.len() + flipped.index(id.len() - UPLOAD_ID_PREFIX.len());
        let mut changed = id.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        if let Ok(Some(read)) = UploadId::parse(&changed) {
            prop_assert!(read.verify(&data_key(), &bucket, &object_key).is_err());
        }
    }

    #[test]
    fn any_text_is_read_without_panic(text in "s3seal1\\.[A-Za-z0-9_-]{0,200}\\.?.{0,3}") {
        let _ = UploadId::parse(&text);
    }
}
