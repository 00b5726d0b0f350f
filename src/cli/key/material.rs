//! Material from outside: a file or standard input, raw or as base64.

use std::io::{BufRead, Read};
use std::path::Path;

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::KeyCommandError;
use crate::keys::local::{MATERIAL_LEN, Material};

/// Reads material from a file, or from `input` where the path is `-`.
pub(super) fn read(path: &Path, input: &mut dyn BufRead) -> Result<Material, KeyCommandError> {
    // Room for every legal form at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_MATERIAL_TEXT + 1));
    let limit = MAX_MATERIAL_TEXT as u64;
    let read = if path == Path::new("-") {
        input.take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|source| KeyCommandError::MaterialFile {
        path: path.to_owned(),
        source,
    })?;
    let raw = if bytes.len() == MATERIAL_LEN {
        bytes
    } else {
        let text = bytes.trim_ascii();
        Zeroizing::new(BASE64.decode(text).map_err(|_| KeyCommandError::Material)?)
    };
    let raw: &[u8; MATERIAL_LEN] = raw
        .as_slice()
        .try_into()
        .map_err(|_| KeyCommandError::Material)?;
    Ok(Material::new(raw)?)
}

/// Base64 of 32 bytes has 44 characters; the rest is room for white space, and a bound.
const MAX_MATERIAL_TEXT: usize = 256;
