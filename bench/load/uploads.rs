//! The multipart uploads of the origin.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use crate::origin::ETAG;

/// All that were begun and not ended.
#[derive(Default)]
pub(crate) struct Uploads {
    running: HashMap<u64, Upload>,
    begun: u64,
}

struct Upload {
    path: String,
    metadata: HeaderMap,
    parts: BTreeMap<u64, Part>,
}

/// A part: its body is empty where only the length is kept.
pub(crate) struct Part {
    len: u64,
    body: Bytes,
}

/// What an upload became.
pub(crate) struct Finished {
    path: String,
    /// All bodies; empty where only the lengths were kept.
    pub(crate) body: Bytes,
    /// Bytes of all parts.
    pub(crate) len: u64,
    /// With the number of parts, as S3 has it.
    pub(crate) etag: String,
    /// As it was created with.
    pub(crate) metadata: HeaderMap,
}

impl Part {
    /// A part of `len` bytes.
    pub(crate) fn new(len: u64, body: Bytes) -> Self {
        Self { len, body }
    }
}

impl Uploads {
    /// Begins one; the answer.
    pub(crate) fn create(&mut self, path: &str, metadata: HeaderMap) -> String {
        self.begun += 1;
        let upload = Upload {
            path: path.to_owned(),
            metadata,
            parts: BTreeMap::new(),
        };
        self.running.insert(self.begun, upload);
        let names = names(path);
        document(
            "InitiateMultipartUploadResult",
            &format!("{names}<UploadId>{}</UploadId>", self.begun),
        )
    }

    /// Takes a part in the place of an earlier one.
    pub(crate) fn add(&mut self, id: u64, number: u64, part: Part) -> Option<()> {
        let upload = self.running.get_mut(&id)?;
        upload.parts.insert(number, part);
        Some(())
    }

    /// A page of parts behind `marker`.
    pub(crate) fn list(&self, id: u64, marker: u64, max: u64) -> Option<String> {
        let upload = self.running.get(&id)?;
        let max = usize::try_from(max).ok()?;
        let behind = || upload.parts.range(marker + 1..);
        let mut parts = String::new();
        let mut last = marker;
        for (number, part) in behind().take(max) {
            last = *number;
            let _ = write!(
                parts,
                "<Part><PartNumber>{number}</PartNumber>\
                 <LastModified>2026-07-01T00:00:00.000Z</LastModified><ETag>{}</ETag>\
                 <Size>{}</Size></Part>",
                ETAG.replace('"', "&quot;"),
                part.len
            ); // a String takes everything
        }
        let is_truncated = behind().count() > max;
        let names = names(&upload.path);
        Some(document(
            "ListPartsResult",
            &format!(
                "{names}<UploadId>{id}</UploadId><PartNumberMarker>{marker}</PartNumberMarker>\
                 <NextPartNumberMarker>{last}</NextPartNumberMarker><MaxParts>{max}</MaxParts>\
                 <IsTruncated>{is_truncated}</IsTruncated>{parts}"
            ),
        ))
    }

    /// Ends one with all of its parts; whoever completes it has looked at the list.
    pub(crate) fn complete(&mut self, id: u64) -> Option<Finished> {
        let Upload {
            path,
            metadata,
            parts,
        } = self.running.remove(&id)?;
        let count = parts.len();
        let len = parts.values().map(|part| part.len).sum();
        let kept = parts.values().map(|part| part.body.len()).sum();
        let mut body = BytesMut::with_capacity(kept);
        for part in parts.into_values() {
            body.extend_from_slice(&part.body);
        }
        Some(Finished {
            path,
            body: body.freeze(),
            len,
            etag: format!("\"{}-{count}\"", ETAG.trim_matches('"')),
            metadata,
        })
    }

    /// Forgets one.
    pub(crate) fn abort(&mut self, id: u64) {
        self.running.remove(&id);
    }
}

impl Finished {
    /// The answer.
    pub(crate) fn document(&self) -> String {
        let names = names(&self.path);
        let etag = self.etag.replace('"', "&quot;");
        document(
            "CompleteMultipartUploadResult",
            &format!(
                "<Location>{}</Location>{names}<ETag>{etag}</ETag>",
                self.path
            ),
        )
    }
}

/// The upload that a query is about.
pub(crate) fn id_of(query: &str) -> Option<u64> {
    number(query, "uploadId")
}

/// A number in a query.
pub(crate) fn number(query: &str, name: &str) -> Option<u64> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(other, _)| *other == name)?;
    value.parse().ok()
}

fn names(path: &str) -> String {
    let path = path.trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    format!("<Bucket>{bucket}</Bucket><Key>{key}</Key>")
}

fn document(root: &str, content: &str) -> String {
    let space = "http://s3.amazonaws.com/doc/2006-03-01/";
    let declaration = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
    format!("{declaration}\n<{root} xmlns=\"{space}\">{content}</{root}>")
}
