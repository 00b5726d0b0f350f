//! Listings (`ListObjects`, `ListObjectsV2`, `ListObjectVersions`) as clients are to see them.
//!
//! In every `Contents` and `Version` the text of `Size` becomes the plaintext size, the text of
//! `ETag` its shown form, and `ChecksumAlgorithm` and `ChecksumType`, which describe ciphertext,
//! go. Every other byte stays: key escaping, `encoding-type=url`, namespaces, element order and
//! white space all mean something to some client.
//!
//! The document streams through. One entry is held back at a time, since its size is computed
//! from its `ETag`, which may stand before or behind it.

mod entry;
mod lexer;

use self::entry::Entry;
use self::lexer::{Kind, Lexer, Token};
use crate::s3::etag::ETagStyle;

/// The longest entry, and the longest piece of markup outside of entries, in bytes. A key of
/// 1,024 bytes takes at most 9 KiB (a `%XX` whose `%` is written `&#37;`), an owner and a restore
/// status less than 2 KiB.
pub const ENTRY_LEN_MAX: usize = 64 * 1024;

/// The deepest nesting; S3's own documents have 4 levels.
pub const DEPTH_MAX: usize = 16;

/// Rewrites one listing, pushed in pieces of any length.
///
/// `F` is the plaintext size of a listed object, from its stored size and the number of parts that
/// its entity tag names; `None` if it cannot be one of ours.
#[derive(Debug)]
pub struct ListRewriter<F> {
    plaintext_len: F,
    etags: ETagStyle,
    /// What came and has not gone: the current entry, or the current piece of markup.
    held: Vec<u8>,
    lexer: Lexer,
    /// Open elements; an entry is a child of the root.
    depth: usize,
    root_seen: bool,
    entry: Option<Entry>,
    summary: ListSummary,
}

/// What a rewritten listing held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListSummary {
    /// `Contents` and `Version` elements.
    pub entries: u64,
    /// Entries whose size was left as it is, because it cannot be one of ours.
    pub foreign_sizes: u64,
}

/// Why a listing cannot be rewritten: the upstream's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// No listing: not well-formed, a document type, or an element where it cannot be.
    #[error("listing is malformed")]
    Malformed,
    /// More than [`DEPTH_MAX`] levels.
    #[error("listing is nested too deeply")]
    TooDeep,
    /// An entry or a piece of markup of more than [`ENTRY_LEN_MAX`] bytes.
    #[error("listing has an entry of more than {ENTRY_LEN_MAX} bytes")]
    TooLong,
    /// It ends before its root element does.
    #[error("listing is truncated")]
    Truncated,
}

impl<F: Fn(u64, Option<u32>) -> Option<u64>> ListRewriter<F> {
    /// Begins a listing.
    pub fn new(etags: ETagStyle, plaintext_len: F) -> Self {
        Self {
            plaintext_len,
            etags,
            held: Vec::new(),
            lexer: Lexer::default(),
            depth: 0,
            root_seen: false,
            entry: None,
            summary: ListSummary::default(),
        }
    }

    /// Takes the next piece of the upstream's document and appends to `out` what is ready for the
    /// client. After an error the document is lost: the client must not get a complete answer.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), ListError> {
        out.reserve(piece.len());
        self.held.extend_from_slice(piece);
        // Everything in front of it is in `out`.
        let mut written = 0;
        while let Some(token) = self.lexer.next(&self.held)? {
            let Some(entry) = self.take(&token)? else {
                continue;
            };
            let end = token.range.end;
            if end - entry.start > ENTRY_LEN_MAX {
                return Err(ListError::TooLong);
            }
            out.extend_from_slice(slice(&self.held, written, entry.start)?);
            let bytes = slice(&self.held, entry.start, end)?;
            let known = entry.rewrite(bytes, self.etags, &self.plaintext_len, out)?;
            self.summary.entries += 1;
            self.summary.foreign_sizes += u64::from(!known);
            written = end;
        }
        let ready = match &self.entry {
            Some(entry) => entry.start,
            None => self.lexer.token_start(),
        };
        out.extend_from_slice(slice(&self.held, written, ready)?);
        self.forget(ready);
        if self.held.len() > ENTRY_LEN_MAX {
            Err(ListError::TooLong)
        } else {
            Ok(())
        }
    }

    /// Ends the document, of which nothing is held any more.
    pub fn finish(self) -> Result<ListSummary, ListError> {
        let complete = self.root_seen && self.depth == 0 && self.lexer.is_between_tokens();
        complete.then_some(self.summary).ok_or(ListError::Truncated)
    }

    /// Follows the structure; returns an entry that this token ends.
    fn take(&mut self, token: &Token) -> Result<Option<Entry>, ListError> {
        match token.kind {
            Kind::Start => self.start(token).map(|()| None),
            Kind::Empty => self.empty(token).map(|()| None),
            Kind::End => self.end(token),
            Kind::Other => Ok(None),
        }
    }

    fn start(&mut self, token: &Token) -> Result<(), ListError> {
        let name = token.local_name(&self.held);
        match (self.depth, &mut self.entry) {
            (0, _) if self.root_seen => return Err(ListError::Malformed),
            (1, _) if ENTRIES.contains(&name) => self.entry = Some(Entry::new(token.range.start)),
            (2, Some(entry)) => entry.open(name, &token.range),
            _ => {}
        }
        self.root_seen = true;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            Err(ListError::TooDeep)
        } else {
            Ok(())
        }
    }

    fn empty(&mut self, token: &Token) -> Result<(), ListError> {
        self.start(token)?;
        let closing = Token {
            kind: Kind::End,
            range: token.range.end..token.range.end,
        };
        // An entry without content is nothing to rewrite.
        self.end(&closing).map(drop)
    }

    fn end(&mut self, token: &Token) -> Result<Option<Entry>, ListError> {
        self.depth = self.depth.checked_sub(1).ok_or(ListError::Malformed)?;
        match (self.depth, &mut self.entry) {
            (1, entry) => return Ok(entry.take()),
            (2, Some(entry)) => entry.close(&token.range)?,
            _ => {}
        }
        Ok(None)
    }

    /// Drops the first `len` bytes, which have been written.
    fn forget(&mut self, len: usize) {
        self.held.drain(..len);
        self.lexer.rebase(len);
        if let Some(entry) = &mut self.entry {
            entry.start -= len;
        }
    }
}

/// The bytes `start..end`, which the lexer found in there.
fn slice(bytes: &[u8], start: usize, end: usize) -> Result<&[u8], ListError> {
    bytes.get(start..end).ok_or(ListError::Malformed)
}

/// The elements that stand for an object or a version of one; a `DeleteMarker` has no size.
const ENTRIES: [&[u8]; 2] = [b"Contents", b"Version"];

#[cfg(test)]
mod tests;
