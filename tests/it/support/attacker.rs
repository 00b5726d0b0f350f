//! Somebody who can write to the upstream: takes what is stored, changes it, and puts it wherever he
//! likes. He has none of the keys; envelopes he writes byte by byte, legal or not.

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use s3seal::format::metadata::{HEADER_NAME, KEY_NAME};

use super::UPSTREAM;
use super::client::{Answer, Client, Draft};
use super::upstream::Embedded;

/// Has the credentials of the upstream.
pub struct Attacker {
    /// Talks to the upstream.
    pub direct: Client,
}

/// A stored object: all that an attacker sees of it, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loot {
    /// The content header.
    pub header: Vec<u8>,
    /// The key envelope.
    pub envelope: Vec<u8>,
    /// The body.
    pub body: Bytes,
}

/// The fields of a key envelope, whether they belong together or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    pub provider: u8,
    pub wrap: u8,
    pub mode: u8,
    pub binding: u8,
    pub flags: u8,
    pub key_id: String,
    pub key_version: u32,
    /// Canonical JSON, or nothing.
    pub context: String,
    /// The wrapped key; of wrap 02 the bytes of a [`BucketKeyWrap`].
    pub last: Vec<u8>,
}

/// The last field of an envelope of wrap 02.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketKeyWrap {
    pub id: [u8; 16],
    /// The bucket key as its key-encryption key wrapped it.
    pub embedded: Vec<u8>,
    /// The data key as the bucket key wrapped it.
    pub wrapped: Vec<u8>,
}

impl Attacker {
    /// Of this upstream.
    pub fn of(upstream: &Embedded) -> Self {
        Self {
            direct: Client::new(upstream.address, UPSTREAM),
        }
    }

    /// Makes a bucket.
    pub async fn make_bucket(&self, name: &str) {
        let made = self.direct.draft("PUT", &format!("/{name}")).send().await;
        assert_eq!(made.status, 200, "{made:?}");
    }

    /// Whether something is stored there.
    pub async fn finds(&self, path: &str) -> bool {
        self.direct.draft("HEAD", path).send().await.status == 200
    }

    /// Takes what is stored there.
    pub async fn take(&self, path: &str) -> Loot {
        let stored = self.direct.get(path).await;
        assert_eq!(stored.status, 200, "{stored:?}");
        let value = |name| BASE64URL_NOPAD.decode(stored.header(name).unwrap().as_bytes());
        Loot {
            header: value(HEADER_NAME).unwrap(),
            envelope: value(KEY_NAME).unwrap(),
            body: stored.body,
        }
    }

    /// Puts it there, by one PutObject.
    pub async fn plant(&self, path: &str, loot: &Loot) {
        let put = loot.on(self.direct.draft("PUT", path));
        let put = put.body(loot.body.clone()).send().await;
        assert_eq!(put.status, 200, "{put:?}");
    }

    /// Puts it there, by a multipart upload whose parts end at these offsets of the body.
    pub async fn plant_in_parts(&self, path: &str, loot: &Loot, ends: &[usize]) {
        let created = loot.on(self.direct.draft("POST", &format!("{path}?uploads")));
        let id = created.send().await.element("UploadId");
        let (mut document, mut start) = (String::new(), 0);
        for (index, end) in ends.iter().copied().enumerate() {
            let part = loot.body.slice(start..end);
            let etag = self.put_part(path, &id, index + 1, part).await;
            let number = index + 1;
            document.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            ));
            start = end;
        }
        let done = self.direct.draft("POST", &format!("{path}?uploadId={id}"));
        let done = done.body(format!(
            "<CompleteMultipartUpload>{document}</CompleteMultipartUpload>"
        ));
        assert_complete(&done.send().await);
    }

    /// Puts a part into an upload that somebody began; its entity tag.
    pub async fn put_part(
        &self,
        path: &str,
        upstream_id: &str,
        number: usize,
        part: Bytes,
    ) -> String {
        let target = format!("{path}?partNumber={number}&uploadId={upstream_id}");
        let put = self.direct.put(&target, part).await;
        assert_eq!(put.status, 200, "{put:?}");
        put.header("etag").unwrap().to_owned()
    }
}

fn assert_complete(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.element("ETag").is_empty(), "{answer:?}");
}

impl Loot {
    /// With its envelope changed in some fields.
    pub fn with_envelope(&self, change: impl FnOnce(&mut Fields)) -> Self {
        let mut fields = Fields::read(&self.envelope);
        change(&mut fields);
        Self {
            envelope: fields.write(),
            ..self.clone()
        }
    }

    /// With what a bucket key wrapped changed in some fields.
    pub fn with_bucket_key(&self, change: impl FnOnce(&mut BucketKeyWrap)) -> Self {
        self.with_envelope(|fields| {
            let mut wrap = BucketKeyWrap::read(&fields.last);
            change(&mut wrap);
            fields.last = wrap.write();
        })
    }

    /// What its bucket key wrapped.
    pub fn bucket_key(&self) -> BucketKeyWrap {
        BucketKeyWrap::read(&Fields::read(&self.envelope).last)
    }

    fn on(&self, draft: Draft) -> Draft {
        draft
            .header(HEADER_NAME, &BASE64URL_NOPAD.encode(&self.header))
            .header(KEY_NAME, &BASE64URL_NOPAD.encode(&self.envelope))
    }
}

impl Fields {
    /// Takes an envelope apart that is one.
    pub fn read(envelope: &[u8]) -> Self {
        let (&[version, provider, wrap, mode, binding, flags], rest) =
            envelope.split_first_chunk().unwrap();
        assert_eq!(version, 1);
        let (key_id, rest) = field(rest);
        let (key_version, rest) = rest.split_first_chunk().unwrap();
        let (context, rest) = field(rest);
        let (last, rest) = field(rest);
        assert!(rest.is_empty());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let fields = Self {
            provider,
            wrap,
            mode,
            binding,
            flags,
            key_id: text(key_id),
            key_version: u32::from_be_bytes(*key_version),
            context: text(context),
            last: last.to_vec(),
        };
        assert_eq!(fields.write(), envelope, "the layout is another one");
        fields
    }

    /// Puts it together again.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = vec![1, self.provider, self.wrap, self.mode, self.binding];
        bytes.push(self.flags);
        put_field(&mut bytes, self.key_id.as_bytes());
        bytes.extend_from_slice(&self.key_version.to_be_bytes());
        put_field(&mut bytes, self.context.as_bytes());
        put_field(&mut bytes, &self.last);
        bytes
    }
}

impl BucketKeyWrap {
    /// Takes a last field apart.
    pub fn read(last: &[u8]) -> Self {
        let (id, rest) = last.split_first_chunk().unwrap();
        let (embedded, wrapped) = field(rest);
        Self {
            id: *id,
            embedded: embedded.to_vec(),
            wrapped: wrapped.to_vec(),
        }
    }

    /// Puts it together again.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = self.id.to_vec();
        put_field(&mut bytes, &self.embedded);
        bytes.extend_from_slice(&self.wrapped);
        bytes
    }
}

fn field(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (len, rest) = bytes.split_first_chunk().unwrap();
    rest.split_at(usize::from(u16::from_be_bytes(*len)))
}

fn put_field(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}
