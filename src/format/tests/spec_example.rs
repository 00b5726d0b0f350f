//! The worked example of the specification.

use std::collections::HashMap;

use data_encoding::HEXLOWER;

use super::nonce::Role;
use super::*;

/// The example's lines, `name = hex` and whatever follows two spaces; a line without a name goes on
/// with the value of the one before.
fn example() -> HashMap<&'static str, String> {
    let text = include_str!("../spec.md");
    let (_, text) = text.split_once("## A worked example").unwrap();
    let block = text.split("```").nth(1).unwrap();
    let mut values: HashMap<_, String> = HashMap::new();
    let mut name = "";
    for line in block.lines().skip(1) {
        let (before, value) = line.split_once(" = ").unwrap_or(("", line));
        if !before.trim().is_empty() {
            name = before.trim();
        }
        let value = value.trim().split("  ").next().unwrap();
        values.entry(name).or_default().push_str(value);
    }
    values
}

#[test]
fn the_worked_example_is_true() {
    let example = example();
    let hex = |name: &str| HEXLOWER.decode(example[name].as_bytes()).unwrap();
    let shown = |name: &str, bytes: &[u8]| assert_eq!(HEXLOWER.encode(bytes), example[name]);

    let data_key = DataKey::new(hex("data key").try_into().unwrap());
    let prefix = HeaderPrefix::single(hex("object id").try_into().unwrap());
    shown("prefix", prefix.as_bytes());
    let (header, fresh) = ContentHeader::new(prefix, &data_key);
    let key: ContentKey = fresh.into();
    shown("commitment", &header.to_bytes()[PREFIX_LEN..]);
    let salt = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA512, &hex("object id"));
    shown(
        "PRK",
        aws_lc_rs::hmac::sign(&salt, data_key.expose()).as_ref(),
    );

    let body = key.single(1);
    shown("key", body.key.as_slice());
    shown("base", &body.base.at(Role::Chunk, 0).into_bytes());
    shown(
        "nonce(0, 01)",
        &body.base.at(Role::LastChunk, 0).into_bytes(),
    );
    shown("nonce(0, 02)", &body.base.at(Role::Trailer, 0).into_bytes());

    let md5 = hex("trailer")[2..].to_vec();
    let trailer = Trailer::new(&[(SealedChecksum::Md5, &md5)]).unwrap();
    assert!(trailer.as_bytes().starts_with(&hex("trailer")));
    let object_id = hex("object id").try_into().unwrap();
    let (_, stored) = seal_single(BulkCipher::AwsLc, &data_key, object_id, &[3], &trailer);
    let (chunk, sealed) = stored.split_at(17);
    shown("chunk, tag", chunk);
    shown("sealed", sealed);
    assert_eq!(stored.len().to_string(), example["T"]);
}
