//! Objects that the library wrote, and such as the public text describes, against what opens them.

use data_encoding::{BASE64, HEXLOWER};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::keys::types::DataKey;
use crate::secret::Secret;

const VECTORS: &str = include_str!("../../tests/vectors/s3ec.json");

/// One frozen object.
#[derive(Clone)]
struct Vector {
    name: String,
    metadata: Vec<(String, String)>,
    body: Vec<u8>,
    data_key: Vec<u8>,
    plaintext: Vec<u8>,
    raw_key: Option<Vec<u8>>,
}

impl Vector {
    fn all() -> Vec<Self> {
        let file: Value = serde_json::from_str(VECTORS).unwrap();
        let vectors = file["vectors"].as_array().unwrap().iter();
        vectors.map(Self::read).collect()
    }

    fn find(name: &str) -> Self {
        let mut all = Self::all().into_iter();
        all.find(|vector| vector.name == name).unwrap()
    }

    fn read(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap();
        let metadata = value["metadata"].as_object().unwrap().iter();
        let pair = |(name, value): (&String, &Value)| {
            (
                format!("x-amz-meta-{name}"),
                value.as_str().unwrap().to_owned(),
            )
        };
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
        Self {
            name: text("name").to_owned(),
            metadata: metadata.map(pair).collect(),
            body: BASE64.decode(text("body").as_bytes()).unwrap(),
            data_key: hex(text("data_key")),
            plaintext: BASE64.decode(text("plaintext").as_bytes()).unwrap(),
            raw_key: value["raw_key"].as_str().map(hex),
        }
    }

    fn parse(&self) -> Result<Option<Metadata>, S3ecError> {
        let pairs = self.metadata.iter();
        Metadata::parse(pairs.map(|(name, value)| (name.as_str(), value.as_bytes())))
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.metadata
            .push((format!("x-amz-meta-{name}"), value.to_owned()));
    }

    fn remove(&mut self, name: &str) -> String {
        let name = format!("x-amz-meta-{name}");
        let at = self.metadata.iter().position(|(known, _)| *known == name);
        at.map(|at| self.metadata.remove(at).1).unwrap_or_default()
    }

    fn data_key(&self) -> DataKey {
        DataKey::new(self.data_key.clone().try_into().unwrap())
    }

    fn raw_key(&self) -> RawKey {
        raw_key(self.raw_key.clone().unwrap())
    }

    fn open(&self) -> Result<Vec<u8>, S3ecError> {
        let metadata = self.parse()?.unwrap();
        let data_key = match metadata.wrap() {
            Wrap::Kms(_) => self.data_key(),
            Wrap::RawAes => metadata.unwrap_raw(&self.raw_key())?,
        };
        let mut body = self.body.clone();
        let len = metadata.content_key(&data_key)?.open(&mut body)?;
        body.truncate(len);
        Ok(body)
    }
}

fn raw_key(bytes: Vec<u8>) -> RawKey {
    RawKey::new(Secret::new(bytes)).unwrap()
}

#[test]
fn every_frozen_object_opens() {
    let vectors = Vector::all();
    assert_eq!(vectors.len(), 32);
    for vector in vectors {
        let opened = vector.open();
        assert_eq!(opened.as_ref(), Ok(&vector.plaintext), "{}", vector.name);
        let len = plaintext_len(vector.body.len() as u64);
        assert_eq!(len, Ok(vector.plaintext.len() as u64));
    }
}

#[test]
fn a_changed_bit_of_a_body_or_a_wrap_opens_nothing() {
    for vector in Vector::all() {
        for at in [0, vector.body.len() / 2, vector.body.len() - 1] {
            let mut changed = vector.clone();
            changed.body[at] ^= 1;
            assert_eq!(changed.open(), Err(S3ecError::Body), "{}", vector.name);
        }
        for len in [0, 15, vector.body.len() - 1] {
            let mut cut = vector.clone();
            cut.body.truncate(len);
            assert_eq!(cut.open(), Err(S3ecError::Body), "{}", vector.name);
        }
        let Some(key) = &vector.raw_key else { continue };
        let metadata = vector.parse().unwrap().unwrap();
        let mut other = key.clone();
        other[0] ^= 1;
        let refused = metadata.unwrap_raw(&raw_key(other));
        assert_eq!(refused.unwrap_err(), S3ecError::Key);
    }
}

#[test]
fn a_wrap_is_bound_to_the_cipher_of_the_body() {
    // The metadata of a V3 object, told as that of a V2 one around another wrap.
    let (v2, v3) = (Vector::find("v2 raw 256 16"), Vector::find("v3 raw 256 16"));
    let mut forged = v2.clone();
    forged.set("x-amz-key-v2", &v3.clone().remove("x-amz-3"));
    forged.raw_key.clone_from(&v3.raw_key);
    assert_eq!(forged.open(), Err(S3ecError::Key));
    let (v2, v3) = (Vector::find("v2 kms 16"), Vector::find("v3 kms 16"));
    let mut forged = v2.clone();
    forged.set("x-amz-matdesc", &v3.clone().remove("x-amz-t"));
    let refused = S3ecError::Malformed("aws:x-amz-cek-alg");
    assert_eq!(forged.open(), Err(refused));
    let mut forged = v3.clone();
    forged.set("x-amz-t", &v2.clone().remove("x-amz-matdesc"));
    assert_eq!(forged.open(), Err(refused));
    forged.remove("x-amz-t");
    assert_eq!(forged.open(), Err(refused));
}

#[test]
fn a_context_is_handed_over_as_it_was_stored() {
    for (name, cipher) in [("v2 kms 16", "AES/GCM/NoPadding"), ("v3 kms 16", "115")] {
        let metadata = Vector::find(name).parse().unwrap().unwrap();
        let Wrap::Kms(context) = metadata.wrap() else {
            panic!("{name}")
        };
        let expected = json!({"aws:x-amz-cek-alg": cipher, "tenant": "a \"b\""});
        assert_eq!(serde_json::to_value(context).unwrap(), expected);
    }
}

#[test]
fn a_data_key_that_is_not_committed_to_opens_nothing() {
    let mut vector = Vector::find("v3 kms 1000");
    vector.data_key[0] ^= 1;
    assert_eq!(vector.open(), Err(S3ecError::Commitment));
    let mut vector = Vector::find("v3 raw 256 16");
    vector.set("x-amz-d", &BASE64.encode(&[0; 28]));
    assert_eq!(vector.open(), Err(S3ecError::Commitment));
    let mut vector = Vector::find("v3 raw 256 16");
    vector.set("x-amz-i", &BASE64.encode(&[0; 28]));
    assert_eq!(vector.open(), Err(S3ecError::Commitment));
}

const V2: &str = "v2 kms 16";
const V3: &str = "v3 kms 16";

/// What reading a frozen object says after a change of its metadata.
fn refusal(name: &str, change: impl FnOnce(&mut Vector)) -> S3ecError {
    let mut vector = Vector::find(name);
    change(&mut vector);
    vector.parse().unwrap_err()
}

#[test]
fn what_is_not_exactly_one_version_is_refused() {
    for (name, fields) in [
        (
            V2,
            "x-amz-3 x-amz-c x-amz-w x-amz-d x-amz-i x-amz-t x-amz-m x-amz-key",
        ),
        (
            V3,
            "x-amz-key-v2 x-amz-key x-amz-iv x-amz-cek-alg x-amz-wrap-alg x-amz-tag-len",
        ),
    ] {
        for field in fields.split(' ') {
            let found = refusal(name, |vector| vector.set(field, "AAAA"));
            assert_eq!(found, S3ecError::Mixed, "{name} {field}");
        }
    }
    let twice = refusal(V2, |vector| {
        let iv = vector.remove("x-amz-iv");
        for name in ["x-amz-meta-x-amz-iv", "X-Amz-Meta-X-Amz-IV"] {
            vector.metadata.push((name.to_owned(), iv.clone()));
        }
    });
    assert_eq!(twice, S3ecError::Repeated("x-amz-iv"));
}

#[test]
fn modes_that_are_not_read_are_refused() {
    for (name, field, value, expected) in [
        (V2, "x-amz-wrap-alg", "kms", S3ecError::Legacy),
        (V2, "x-amz-wrap-alg", "AESWrap", S3ecError::Legacy),
        (V2, "x-amz-wrap-alg", "AES", S3ecError::Legacy),
        (
            V2,
            "x-amz-cek-alg",
            "AES/CBC/PKCS5Padding",
            S3ecError::Legacy,
        ),
        (
            V2,
            "x-amz-cek-alg",
            "AES/CTR/NoPadding",
            S3ecError::Unsupported,
        ),
        (V2, "x-amz-cek-alg", "115", S3ecError::Unsupported),
        (
            V2,
            "x-amz-wrap-alg",
            "RSA-OAEP-SHA1",
            S3ecError::Unsupported,
        ),
        (V2, "x-amz-crypto-instr-file", "", S3ecError::Unsupported),
        (V3, "x-amz-c", "114", S3ecError::Unsupported),
        (V3, "x-amz-c", "AES/GCM/NoPadding", S3ecError::Unsupported),
        (V3, "x-amz-w", "22", S3ecError::Unsupported),
        (V3, "x-amz-w", "2", S3ecError::Unsupported),
    ] {
        let found = refusal(name, |vector| vector.set(field, value));
        assert_eq!(found, expected, "{name} {field} {value}");
    }
    let v1 = refusal(V2, |vector| {
        let key = vector.remove("x-amz-key-v2");
        vector.set("x-amz-key", &key);
    });
    assert_eq!(v1, S3ecError::Legacy);
    let instruction_file = refusal(V3, |vector| drop(vector.remove("x-amz-3")));
    assert_eq!(instruction_file, S3ecError::Unsupported);
    let ours = r#"{"aws:x-amz-cek-alg":"AES/GCM/NoPadding","s3seal:context":"x"}"#;
    let found = refusal(V2, |vector| vector.set("x-amz-matdesc", ours));
    assert_eq!(found, S3ecError::Unsupported);
}

#[test]
fn values_are_read_strictly() {
    for (name, field, values) in [
        (V2, "x-amz-tag-len", vec!["", "96", "0128"]),
        (V2, "x-amz-iv", vec!["", "AAAA", "TGHoFNqURuLPxOEJAA=="]),
        (V2, "x-amz-key-v2", vec!["", "a-b_", "AA", "AB==", "AA==\n"]),
        (
            V2,
            "x-amz-matdesc",
            vec!["", "{", "[]", r#"{"a":1}"#, r#"{"a":"1","a":"1"}"#, "{} {}"],
        ),
        (V3, "x-amz-m", vec!["x", "[]"]),
        (V3, "x-amz-t", vec!["x", "\u{fc}"]),
        (V3, "x-amz-d", vec!["", "AAAA"]),
        (V3, "x-amz-i", vec!["", "AAAA"]),
    ] {
        for value in values {
            let found = refusal(name, |vector| vector.set(field, value));
            assert_eq!(found, S3ecError::Malformed(field), "{value:?}");
        }
    }
    for (name, fields) in [
        (V2, vec!["x-amz-iv", "x-amz-wrap-alg", "x-amz-cek-alg"]),
        (V2, vec!["x-amz-tag-len", "x-amz-matdesc", "x-amz-key-v2"]),
        (V3, vec!["x-amz-c", "x-amz-w", "x-amz-d", "x-amz-i"]),
    ] {
        for field in fields {
            let found = refusal(name, |vector| drop(vector.remove(field)));
            assert_eq!(found, S3ecError::Missing(field), "{name}");
        }
    }
}

#[test]
fn other_objects_are_none_of_the_librarys() {
    for name in [
        "etag",
        "x-amz-key-v2",
        "x-amz-meta-x-amz-key-v3",
        "x-amz-meta-key-v2",
        "x-amz-meta-ü",
        "x-amz-meta-",
    ] {
        assert!(!is_name(name), "{name}");
        assert_eq!(Metadata::parse([(name, b"AAAA".as_slice())]), Ok(None));
    }
    assert!(is_name("X-Amz-Meta-X-Amz-3"));
    assert_eq!(plaintext_len(15), Err(S3ecError::Size));
}

#[test]
fn raw_keys_are_aes_keys() {
    for len in [0, 15, 31, 33, 64] {
        assert!(RawKey::new(Secret::new(vec![1; len])).is_err(), "{len}");
    }
    assert_eq!(format!("{:?}", raw_key(vec![1; 32])), "RawKey([redacted])");
}

proptest! {
    #[test]
    fn any_values_are_read_without_panic(values: [Vec<u8>; 7], v3: bool) {
        let vector = Vector::find(if v3 { "v3 kms 16" } else { "v2 kms 16" });
        let names = vector.metadata.iter().map(|(name, _)| name.as_str());
        let _ = Metadata::parse(names.zip(values.iter().map(Vec::as_slice)));
    }
}
