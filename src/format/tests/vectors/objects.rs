//! Sealed objects.

use super::*;

#[derive(Deserialize)]
#[serde(tag = "layout", rename_all = "lowercase")]
pub(super) enum Object {
    Single(Single),
    Segmented(Segmented),
}

#[derive(Deserialize)]
pub(super) struct Single {
    #[serde(flatten)]
    common: Common,
    plaintext_len: usize,
    stored_b64: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Segmented {
    #[serde(flatten)]
    common: Common,
    part_plaintext_lens: Vec<usize>,
    first_part: u32,
    sealed: bool,
    announced_parts: u32,
    open_end_allowed: bool,
    salts: Vec<String>,
}

#[derive(Deserialize)]
struct Common {
    name: String,
    expect: String,
    data_key: String,
    header: String,
    plaintext_sha256: String,
    stored_len: usize,
    stored_sha256: String,
}

impl Common {
    fn content_key(&self) -> Result<ContentKey, &'static str> {
        let header = metadata::decode(self.header.as_bytes()).unwrap();
        ContentHeader::parse(&header)
            .and_then(|header| header.verify(&data_key(&self.data_key)))
            .map_err(|error| error.check())
    }

    fn assert_stored(&self, stored: &[u8]) {
        assert_eq!(stored.len(), self.stored_len, "{}", self.name);
        assert_eq!(sha256(stored), self.stored_sha256, "{}", self.name);
    }

    /// Opens the body whole, by 7 and, where it is small, by 1.
    fn assert_opens(&self, opener: impl Fn() -> Result<Opener, &'static str>, stored: &[u8]) {
        let steps = [usize::MAX, 7, 1];
        let small = stored.len() < 100_000;
        for step in steps.into_iter().filter(|step| *step > 1 || small) {
            let outcome = match opener() {
                Ok(opener) => {
                    let (plaintext, result) = open(opener, stored, std::iter::repeat(step));
                    let right = sha256(&plaintext) == self.plaintext_sha256;
                    match result {
                        Ok(_) if right => "ok",
                        Ok(_) => "another plaintext",
                        Err(_) if right && !plaintext.is_empty() => "released the end",
                        Err(error) => error.check(),
                    }
                }
                Err(check) => check,
            };
            assert_eq!(outcome, self.expect, "{} by {step}", self.name);
        }
    }
}

fn flip(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 1;
    bytes
}

/// What `format_reference.py` does to the body of the vector of this name.
fn break_single(name: &str, mut body: Vec<u8>) -> Vec<u8> {
    const STRIDE: usize = CHUNK_LEN + TAG_LEN;
    match name {
        "single_flip_first_byte" => flip(body, 0),
        "single_flip_tag" => flip(body, 1010),
        "single_flip_trailer" => flip(body, 1100),
        "single_truncated_by_one" => body[..body.len() - 1].to_vec(),
        "single_truncated_to_chunk" => {
            [&body[..STRIDE], &body[body.len() - TRAILER_LEN..]].concat()
        }
        "single_extended_by_zero" => [&body[..], &[0]].concat(),
        "single_swapped_chunks" => {
            body[..2 * STRIDE].rotate_left(STRIDE);
            body
        }
        "single_too_short" => body[..143].to_vec(),
        _ => body,
    }
}

/// What `format_reference.py` does to the segments of the vector of this name.
fn break_segments(name: &str, mut parts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let flip_first = |parts: Vec<Vec<u8>>, at: usize| vec![flip(parts[0].clone(), at)];
    match name {
        "dropped_last_part" | "dropped_seal" => parts.truncate(2),
        "dropped_middle_part" => drop(parts.remove(1)),
        "swapped_parts" => parts.swap(0, 1),
        "duplicated_part" => parts.insert(1, parts[0].clone()),
        "part_after_terminal" => parts.push(parts[1].clone()),
        "truncated_inside_part" => drop(parts[1].pop()),
        "nonzero_padding" => return flip_first(parts, 128 + 1016 + 5),
        "flipped_part_length" => return flip_first(parts, 23),
        "flipped_part_number" => return flip_first(parts, 11),
        "flipped_flags" => return flip_first(parts, 7),
        "flipped_chunk" => return flip_first(parts, 200),
        "flipped_part_trailer" => {
            let last = parts[0].len() - 1;
            return flip_first(parts, last);
        }
        _ => {}
    }
    parts
}

impl Single {
    /// The stored body, made by our own sealer and then broken.
    fn stored(&self, cipher: BulkCipher) -> Vec<u8> {
        let object_id = digest::digest(&digest::SHA256, b"oid");
        let plaintext = pattern(self.plaintext_len);
        let (header, body) = seal_single(
            cipher,
            &data_key(&self.common.data_key),
            object_id.as_ref().try_into().unwrap(),
            &plaintext,
            &md5_trailer(&plaintext),
        );
        if self.common.expect == "ok" {
            assert_eq!(metadata::encode(&header.to_bytes()), self.common.header);
        }
        break_single(&self.common.name, body)
    }

    fn check(&self, cipher: BulkCipher) {
        let stored = self.stored(cipher);
        self.common.assert_stored(&stored);
        if let Some(exact) = &self.stored_b64 {
            assert_eq!(&metadata::encode(&stored), exact);
        }
        let opener = || {
            let key = self.common.content_key()?;
            let opener = Opener::single(cipher, &key, stored.len() as u64);
            opener.map_err(|error| error.check())
        };
        self.common.assert_opens(opener, &stored);
        if self.common.expect == "ok" {
            let (plaintext, result) = open_whole(opener().unwrap(), &stored);
            assert_eq!(result.unwrap().trailer(), Some(&md5_trailer(&plaintext)));
        }
    }
}

impl Segmented {
    fn salt(&self, index: usize) -> [u8; 32] {
        unhex(&self.salts[index]).try_into().unwrap()
    }

    fn part(&self, index: usize) -> PartNumber {
        PartNumber::new(u32::try_from(index).unwrap() + self.first_part).unwrap()
    }

    /// The segments, made by our own sealer.
    fn segments(&self, cipher: BulkCipher, key: &ContentKey) -> Vec<Vec<u8>> {
        let mut segments = Vec::new();
        for (index, length) in self.part_plaintext_lens.iter().enumerate() {
            let (part, salt) = (self.part(index), self.salt(index));
            let plaintext = pattern(*length);
            let sealer = SegmentSealer::new(cipher, key, part, *length as u64, salt).unwrap();
            segments.push(seal(sealer, &plaintext, &md5_trailer(&plaintext)));
        }
        if self.sealed {
            segments.push(closing(cipher, key, self.part(segments.len())));
        }
        segments
    }

    fn check(&self, cipher: BulkCipher) {
        let key = Arc::new(self.common.content_key().unwrap());
        let segments = self.segments(cipher, &key);
        let stored = break_segments(&self.common.name, segments).concat();
        self.common.assert_stored(&stored);
        let open_ends = if self.open_end_allowed {
            OpenEnds::Allow
        } else {
            OpenEnds::Refuse
        };
        let announced = Announced {
            stored_len: stored.len() as u64,
            parts: Some(self.announced_parts),
        };
        let opener = || {
            let walk = Walk::new(key.prefix(), announced, open_ends);
            let walk = walk.map_err(|error| error.check())?;
            Ok(Opener::segmented(cipher, Arc::clone(&key), walk))
        };
        self.common.assert_opens(opener, &stored);
    }
}

/// The seal; as part 1 too, which the sealer refuses to make.
fn closing(cipher: BulkCipher, key: &ContentKey, part: PartNumber) -> Vec<u8> {
    let seal = SegmentSealer::closing(cipher, key, part);
    if part != PartNumber::FIRST {
        return seal.unwrap().to_vec();
    }
    assert_eq!(seal, Err(SealError::SealPart));
    let fields = segment::SegmentFields {
        part,
        plaintext_len: 0,
        salt: key.seal_salt(1),
        seal: true,
    };
    let sealer = SegmentSealer::with_fields(cipher, key, &fields).unwrap();
    sealer.close().unwrap().to_vec()
}

#[test]
fn single_objects() {
    let mut checked = 0;
    for object in vectors().objects {
        if let Object::Single(vector) = object {
            for cipher in CIPHERS {
                vector.check(cipher);
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 25);
}

fn check_segmented(cipher: BulkCipher, stored_len_max: usize) -> usize {
    let mut checked = 0;
    for object in vectors().objects {
        if let Object::Segmented(vector) = object
            && vector.common.stored_len <= stored_len_max
        {
            vector.check(cipher);
            checked += 1;
        }
    }
    checked
}

#[test]
fn segmented_objects_with_aws_lc() {
    assert_eq!(check_segmented(BulkCipher::AwsLc, usize::MAX), 29);
}

/// Up to 6 MiB: this library is generic code, which a test build compiles without optimisation, at
/// a five-hundredth of its speed. What the large vectors add does not depend on the cipher.
#[test]
fn segmented_objects_with_aes_gcm() {
    assert_eq!(check_segmented(BulkCipher::AesGcm, 6 << 20), 16);
}
