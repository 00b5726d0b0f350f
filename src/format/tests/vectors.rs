//! The frozen vectors, good and broken. Broken bodies that are not stored in the file are made as
//! the reference model makes them, and checked against their hash before they are opened.

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::super::metadata;
use super::*;

#[derive(Deserialize)]
struct Vectors {
    objects: Vec<Object>,
}

#[derive(Deserialize)]
#[serde(tag = "layout", rename_all = "lowercase")]
enum Object {
    Single(Single),
    Segmented(Segmented),
}

#[derive(Deserialize)]
struct Segmented {}

#[derive(Deserialize)]
struct Single {
    name: String,
    expect: String,
    data_key: String,
    header: String,
    plaintext_len: usize,
    plaintext_sha256: String,
    stored_len: usize,
    stored_sha256: String,
    stored_b64: Option<String>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/format_v1.json")).unwrap()
}

fn data_key(hex: &str) -> DataKey {
    DataKey::new(HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap())
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// MD5 of the plaintext, which is the one checksum in the trailers of the vectors.
fn md5_trailer(plaintext: &[u8]) -> Trailer {
    use md5::Digest;
    Trailer::new(&[(SealedChecksum::Md5, &md5::Md5::digest(plaintext))]).unwrap()
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

/// The stored body of a vector, made by our own sealer.
fn single_body(vector: &Single, cipher: BulkCipher) -> Vec<u8> {
    let object_id = digest::digest(&digest::SHA256, b"oid");
    let object_id = object_id.as_ref().try_into().unwrap();
    let plaintext = pattern(vector.plaintext_len);
    assert_eq!(sha256(&plaintext), vector.plaintext_sha256);
    let trailer = md5_trailer(&plaintext);
    let key = data_key(&vector.data_key);
    let (header, body) = seal_single(cipher, &key, object_id, &plaintext, &trailer);
    if vector.expect == "ok" {
        assert_eq!(metadata::encode(&header.to_bytes()), vector.header);
    }
    break_single(&vector.name, body)
}

fn check_single(vector: &Single, cipher: BulkCipher) {
    let stored = single_body(vector, cipher);
    assert_eq!(stored.len(), vector.stored_len);
    assert_eq!(sha256(&stored), vector.stored_sha256);
    if let Some(exact) = &vector.stored_b64 {
        assert_eq!(&metadata::encode(&stored), exact);
    }
    let plaintext = pattern(vector.plaintext_len);
    for step in [usize::MAX, 7, 1] {
        let opened = open_single(vector, cipher, &stored, step);
        let expect = opened.map_or_else(
            |check| check,
            |released| {
                assert_eq!(released, plaintext);
                "ok"
            },
        );
        assert_eq!(expect, vector.expect, "{} by {step}", vector.name);
    }
}

/// The plaintext, or the name of the check that refused.
fn open_single(
    vector: &Single,
    cipher: BulkCipher,
    stored: &[u8],
    step: usize,
) -> Result<Vec<u8>, &'static str> {
    let header = metadata::decode(vector.header.as_bytes()).unwrap();
    let key = ContentHeader::parse(&header)
        .and_then(|header| header.verify(&data_key(&vector.data_key)))
        .map_err(|error| error.check())?;
    let opener =
        Opener::single(cipher, &key, stored.len() as u64).map_err(|error| error.check())?;
    let (plaintext, opened) = open(opener, stored, std::iter::repeat(step));
    let opened = opened.map_err(|error| error.check())?;
    assert_eq!(opened.plaintext_len(), plaintext.len() as u64);
    assert_eq!(opened.trailer(), Some(&md5_trailer(&plaintext)));
    Ok(plaintext)
}

#[test]
fn single_objects() {
    let mut checked = 0;
    for object in vectors().objects {
        if let Object::Single(vector) = object {
            CIPHERS.map(|cipher| check_single(&vector, cipher));
            checked += 1;
        }
    }
    assert_eq!(checked, 25);
}
