//! One `Contents` or `Version`: which of its bytes change, and into what.

use std::ops::Range;

use super::{ListError, slice};
use crate::s3::etag::{self, ETagStyle};

/// An entry being read. Ranges count from `start`.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where its start tag begins.
    pub(super) start: usize,
    /// The field that is open: its kind, and its start tag.
    open: Option<(Field, Range<usize>)>,
    /// The fields that may change, in order.
    found: Vec<Found>,
}

/// The children of an entry that may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Checksum,
    ETag,
    Size,
}

#[derive(Debug)]
struct Found {
    field: Field,
    /// From its start tag to its end tag, both included.
    element: Range<usize>,
    /// Between the tags.
    content: Range<usize>,
}

impl Entry {
    pub(super) fn new(start: usize) -> Self {
        Self {
            start,
            open: None,
            found: Vec::new(),
        }
    }

    /// Notes the start tag of a child.
    pub(super) fn open(&mut self, name: &[u8], tag: &Range<usize>) {
        let field = match name {
            b"ChecksumAlgorithm" | b"ChecksumType" => Some(Field::Checksum),
            b"ETag" => Some(Field::ETag),
            b"Size" => Some(Field::Size),
            _ => None,
        };
        self.open = field.map(|field| (field, tag.start - self.start..tag.end - self.start));
    }

    /// Notes the end tag of a child.
    ///
    /// # Errors
    /// A second size or entity tag: clients would not agree on which one holds.
    pub(super) fn close(&mut self, tag: &Range<usize>) -> Result<(), ListError> {
        let Some((field, start)) = self.open.take() else {
            return Ok(());
        };
        if field != Field::Checksum && self.content(field).is_some() {
            return Err(ListError::Malformed);
        }
        self.found.push(Found {
            field,
            element: start.start..tag.end - self.start,
            content: start.end..tag.start - self.start,
        });
        Ok(())
    }

    /// Writes the entry, whose bytes are `bytes`, as the client is to see it. `false` if its size
    /// cannot be one of ours.
    pub(super) fn rewrite(
        &self,
        bytes: &[u8],
        etags: ETagStyle,
        plaintext_len: impl Fn(u64, Option<u32>) -> Option<u64>,
        out: &mut Vec<u8>,
    ) -> Result<bool, ListError> {
        let size = self.size(bytes, plaintext_len)?;
        let mut written = 0;
        for found in &self.found {
            let (range, replacement) = match (found.field, size) {
                (Field::Checksum, _) => (found.element.clone(), String::new()),
                (Field::Size, Size::Plaintext(size)) => (found.content.clone(), size.to_string()),
                (Field::Size, Size::Unchanged | Size::Foreign) => continue,
                (Field::ETag, _) => match dash_position(bytes, &found.content, etags)? {
                    Some(at) => (at..at, "-0".to_owned()),
                    None => continue,
                },
            };
            out.extend_from_slice(slice(bytes, written, range.start)?);
            out.extend_from_slice(replacement.as_bytes());
            written = range.end;
        }
        out.extend_from_slice(slice(bytes, written, bytes.len())?);
        Ok(size != Size::Foreign)
    }

    fn size(
        &self,
        bytes: &[u8],
        plaintext_len: impl Fn(u64, Option<u32>) -> Option<u64>,
    ) -> Result<Size, ListError> {
        let text_of = |field| {
            self.content(field)
                .map(|content| Ok(text(bytes, content)?.0))
        };
        let Some(stored) = text_of(Field::Size).transpose()? else {
            return Ok(Size::Unchanged);
        };
        let etag = text_of(Field::ETag).transpose()?;
        Ok(match (parse(stored), etag) {
            // A directory marker, of which some servers keep neither body nor metadata.
            (Some(0), _) => Size::Unchanged,
            // A server that lists no tags (s3s-fs) lists no `-N` either: taken for one part, which
            // the formula confirms or refuses.
            (Some(stored), etag) => {
                let parts = etag.and_then(etag::parts);
                plaintext_len(stored, parts).map_or(Size::Foreign, Size::Plaintext)
            }
            (None, _) => Size::Foreign,
        })
    }

    fn content(&self, field: Field) -> Option<&Range<usize>> {
        let found = self.found.iter().find(|found| found.field == field);
        found.map(|found| &found.content)
    }
}

/// What becomes of the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// It stays, since it cannot be one of ours.
    Foreign,
    /// It is replaced.
    Plaintext(u64),
    /// It stays, since it is none, or nothing.
    Unchanged,
}

/// Where `-0` goes into an entity tag; `None` where it stays.
fn dash_position(
    bytes: &[u8],
    content: &Range<usize>,
    etags: ETagStyle,
) -> Result<Option<usize>, ListError> {
    let (text, start) = text(bytes, content)?;
    let at = match etags {
        ETagStyle::Dashed => etag::dash_position(text),
        ETagStyle::Upstream => None,
    };
    Ok(at.map(|at| start + at))
}

/// The text of an element without white space around it or a CDATA section, and where it begins.
fn text<'a>(bytes: &'a [u8], content: &Range<usize>) -> Result<(&'a [u8], usize), ListError> {
    let raw = slice(bytes, content.start, content.end)?;
    let (text, start) = (raw.trim_ascii(), content.start + blank(raw));
    let inner = text
        .strip_prefix(CDATA_START)
        .and_then(|text| text.strip_suffix(CDATA_END));
    Ok(match inner {
        Some(inner) => (inner.trim_ascii(), start + CDATA_START.len() + blank(inner)),
        None => (text, start),
    })
}

/// Bytes of white space in front.
fn blank(bytes: &[u8]) -> usize {
    bytes.len() - bytes.trim_ascii_start().len()
}

/// A decimal number without a sign.
fn parse(digits: &[u8]) -> Option<u64> {
    let plain = digits.iter().all(u8::is_ascii_digit);
    plain
        .then(|| std::str::from_utf8(digits).ok()?.parse().ok())
        .flatten()
}

const CDATA_START: &[u8] = b"<![CDATA[";
const CDATA_END: &[u8] = b"]]>";
