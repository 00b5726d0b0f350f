//! The frozen vectors, good and broken. Broken bodies that are not stored in the file are made as
//! the reference model makes them, and checked against their hash before they are opened.

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use md5::{Digest, Md5};
use serde::Deserialize;

use super::*;

mod objects;
mod wraps;

#[derive(Deserialize)]
struct Vectors {
    objects: Vec<objects::Object>,
    wraps: Vec<wraps::Wrap>,
    upload_ids: Vec<wraps::Upload>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/format_v1.json")).unwrap()
}

fn unhex(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

fn data_key(hex: &str) -> DataKey {
    DataKey::new(unhex(hex).try_into().unwrap())
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// MD5 of the plaintext, which is the one checksum in the trailers of the vectors.
fn md5_trailer(plaintext: &[u8]) -> Trailer {
    Trailer::new(&[(SealedChecksum::Md5, &Md5::digest(plaintext))]).unwrap()
}
