//! Both ways against the reference model: what it seals we open, and what we seal it opens.

use std::io::Write;
use std::process::{Command, Stdio};

use data_encoding::HEXLOWER;

use super::*;
use crate::keys::wrap::{WrapInfo, derived_wrap};

/// Names a Python interpreter that has the package `cryptography`.
const PYTHON: &str = "S3SEAL_TEST_PYTHON";

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");

/// Seals with the model: argv is layout, data key, object id, part lengths; stdout is the header
/// and the stored body.
const SEAL: &str = r#"
import sys, hashlib
from format_reference import *
layout, key, oid, lens = int(sys.argv[1]), bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3]), [int(n) for n in sys.argv[4:]]
if layout == SINGLE:
    header, stored = seal_single(key, oid, pattern(lens[0]))
else:
    header = content_header(SEGMENTED, oid, key)
    parts = [seal_segment(key, header, i + 1, pattern(n), hashlib.sha256(b"%d" % i).digest()) for i, n in enumerate(lens)]
    if lens[-1] + SEGMENT_OVERHEAD >= MIN_PART:
        parts.append(seal_segment(key, header, len(lens) + 1, b"", None, seal=True))
    stored = b"".join(parts)
sys.stdout.buffer.write(header + stored)
"#;

/// Part lengths of the objects that go both ways.
const SINGLE: [usize; 6] = [0, 1, 65_535, 65_536, 65_537, 200_000];
const SEGMENTED: [&[usize]; 4] = [&[0], &[1000], &[5 << 20, 70_000], &[(5 << 20) + 1, 5 << 20]];

#[expect(
    clippy::disallowed_methods,
    reason = "only tests/run knows where Python is"
)]
fn python(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let Ok(interpreter) = std::env::var(PYTHON) else {
        panic!("set {PYTHON} to a Python that has the package `cryptography`; tests/run does");
    };
    let mut child = Command::new(interpreter)
        .arg("-B")
        .args(arguments)
        .current_dir(FOLDER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the model refuses {arguments:?}");
    writer.join().unwrap().unwrap();
    output.stdout
}

fn data_key() -> DataKey {
    DataKey::new([0x42; 32])
}

fn key_hex() -> String {
    HEXLOWER.encode(data_key().expose())
}

fn plaintext_of(part_lens: &[usize]) -> Vec<u8> {
    part_lens
        .iter()
        .flat_map(|length| pattern(*length))
        .collect()
}

fn open_any(cipher: BulkCipher, header: &[u8], stored: &[u8], parts: usize) -> Vec<u8> {
    let key = ContentHeader::parse(header)
        .unwrap()
        .verify(&data_key())
        .unwrap();
    let opener = match key.prefix().layout() {
        Layout::Single => Opener::single(cipher, &key, stored.len() as u64).unwrap(),
        Layout::Segmented => {
            let announced = Announced {
                stored_len: stored.len() as u64,
                parts: Some(u32::try_from(parts).unwrap()),
            };
            let walk = Walk::new(key.prefix(), announced, OpenEnds::Refuse).unwrap();
            Opener::segmented(cipher, Arc::new(key), walk)
        }
    };
    let (plaintext, result) = open_whole(opener, stored);
    result.unwrap();
    plaintext
}

/// Segments, the seal included where there must be one.
fn stored_parts(part_lens: &[usize]) -> usize {
    let number = PartNumber::new(u32::try_from(part_lens.len()).unwrap()).unwrap();
    let terminal = is_terminal(number, *part_lens.last().unwrap() as u64);
    part_lens.len() + usize::from(!terminal)
}

fn seal_parts(cipher: BulkCipher, part_lens: &[usize]) -> (ContentHeader, Vec<u8>) {
    let prefix = HeaderPrefix::segmented([6; 32], Ending::Terminal);
    let (header, key) = ContentHeader::new(prefix, &data_key());
    let key: ContentKey = key.into();
    let part = |index: usize| PartNumber::new(u32::try_from(index + 1).unwrap()).unwrap();
    let mut stored = Vec::new();
    for (index, length) in part_lens.iter().enumerate() {
        let salt = [u8::try_from(index).unwrap(); 32];
        let sealer = SegmentSealer::new(cipher, &key, part(index), *length as u64, salt);
        stored.extend(seal(sealer.unwrap(), &pattern(*length), &Trailer::EMPTY));
    }
    if stored_parts(part_lens) > part_lens.len() {
        let closing = SegmentSealer::closing(cipher, &key, part(part_lens.len())).unwrap();
        stored.extend_from_slice(&closing);
    }
    (header, stored)
}

fn model_opens(header: &ContentHeader, stored: &[u8], parts: usize) -> Vec<u8> {
    let header = metadata::encode(&header.to_bytes());
    let (key, parts) = (key_hex(), parts.to_string());
    let arguments = [
        "format_reference.py",
        "open",
        "--data-key",
        &key,
        "--header",
        &header,
        "--parts",
        &parts,
    ];
    python(&arguments, stored)
}

fn model_seals(layout: &str, part_lens: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let object_id = HEXLOWER.encode(&[7; 32]);
    let lens: Vec<_> = part_lens.iter().map(usize::to_string).collect();
    let (code, key) = (["-c", SEAL, layout], key_hex());
    let arguments: Vec<_> = code
        .into_iter()
        .chain([key.as_str(), &object_id])
        .chain(lens.iter().map(String::as_str))
        .collect();
    let mut header = python(&arguments, &[]);
    let stored = header.split_off(HEADER_LEN);
    (header, stored)
}

fn model_unwraps() {
    let (ikm, context, info) = ([8; 32], b"context", WrapInfo::Local { version: 7 });
    let wrapped = derived_wrap(&ikm, info, &data_key(), context, [9; 32]);
    let (ikm, info) = (HEXLOWER.encode(&ikm), HEXLOWER.encode(&info.to_bytes()));
    let (wrapped, context) = (metadata::encode(&wrapped.0), HEXLOWER.encode(context));
    let arguments = [
        "format_reference.py",
        "unwrap",
        "--wrapping-key",
        &ikm,
        "--info",
        &info,
        "--wrapped",
        &wrapped,
        "--context",
        &context,
    ];
    let unwrapped = python(&arguments, &[]);
    assert_eq!(String::from_utf8(unwrapped).unwrap().trim(), key_hex());
}

#[test]
fn interop_with_the_reference_model() {
    for (length, cipher) in SINGLE.into_iter().zip(CIPHERS.into_iter().cycle()) {
        let plaintext = pattern(length);
        let (header, stored) =
            seal_single(cipher, &data_key(), [6; 32], &plaintext, &Trailer::EMPTY);
        assert!(
            model_opens(&header, &stored, 1) == plaintext,
            "{length} bytes"
        );
        let (header, stored) = model_seals("1", &[length]);
        assert!(
            open_any(cipher, &header, &stored, 1) == plaintext,
            "{length} bytes"
        );
    }
    for part_lens in SEGMENTED {
        let (plaintext, parts) = (plaintext_of(part_lens), stored_parts(part_lens));
        let (header, stored) = seal_parts(BulkCipher::AwsLc, part_lens);
        assert!(
            model_opens(&header, &stored, parts) == plaintext,
            "{part_lens:?}"
        );
        let (header, stored) = model_seals("2", part_lens);
        let opened = open_any(BulkCipher::AwsLc, &header, &stored, parts);
        assert!(opened == plaintext, "{part_lens:?}");
    }
    model_unwraps();
}
