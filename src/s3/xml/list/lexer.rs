//! Cuts XML into markup, resumably: a piece of markup may come in any number of pieces.

use std::ops::Range;

use memchr::{memchr, memchr3, memmem};

use super::{ENTRY_LEN_MAX, ListError};

/// Where the next piece of markup is being looked for.
#[derive(Debug, Default)]
pub(super) struct Lexer {
    /// Where the current piece of markup begins, or where text goes on.
    token: usize,
    /// Everything in front of it has been looked at; `token <= pos`.
    pos: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Between markup.
    #[default]
    Text,
    /// Behind a `<`.
    Open,
    /// In a tag, and if so in which quotes.
    Tag(Option<u8>),
    /// In a comment, CDATA section or processing instruction that ends with this.
    Until(&'static [u8]),
}

/// How far one look at the bytes came.
enum Step {
    Again,
    /// More bytes must come.
    More,
    /// At the end of what is no tag.
    Section,
    /// At the end of a tag.
    Tag,
}

/// A piece of markup.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// From `<` to behind `>`.
    pub(super) range: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `<name ...>`
    Start,
    /// `<name ... />`
    Empty,
    /// `</name>`
    End,
    /// A comment, a CDATA section, a declaration or a processing instruction.
    Other,
}

impl Token {
    /// The name without its namespace prefix.
    pub(super) fn local_name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let tag = bytes.get(self.range.start + 1..self.range.end);
        let mut name = tag.unwrap_or_default();
        while let Some(len) = name.iter().position(|byte| ends_name(*byte)) {
            let (front, back) = name.split_at(len);
            match back.strip_prefix(b":") {
                Some(local) => name = local,
                None => return front,
            }
        }
        name
    }
}

impl Lexer {
    /// The next piece of markup that is complete in `bytes`; `None` where more must come.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Option<Token>, ListError> {
        loop {
            let rest = bytes.get(self.pos..).unwrap_or_default();
            if let Some(kind) = self.plain_tag(rest) {
                return self.complete(kind).map(Some);
            }
            let step = match self.state {
                State::Text => self.text(rest),
                State::Open => self.open(bytes.get(self.token..).unwrap_or_default())?,
                State::Tag(quote) => self.tag(rest, quote),
                State::Until(end) => self.until(rest, end),
            };
            match step {
                Step::Again => {}
                Step::More => return self.check_len(bytes.len()).map(|()| None),
                Step::Section => return self.complete(Kind::Other).map(Some),
                Step::Tag => {
                    let kind = kind_of(bytes.get(self.token..self.pos).unwrap_or_default())?;
                    return self.complete(kind).map(Some);
                }
            }
        }
    }

    /// The first byte that is not text already complete.
    pub(super) fn token_start(&self) -> usize {
        self.token
    }

    pub(super) fn is_between_tokens(&self) -> bool {
        matches!(self.state, State::Text)
    }

    /// The first `len` bytes are gone.
    pub(super) fn rebase(&mut self, len: usize) {
        self.token -= len;
        self.pos -= len;
    }

    /// Looks for markup.
    fn text(&mut self, rest: &[u8]) -> Step {
        let Some(at) = memchr(b'<', rest) else {
            self.pos += rest.len();
            self.token = self.pos;
            return Step::More;
        };
        self.token = self.pos + at;
        self.pos = self.token + 1;
        self.state = State::Open;
        Step::Again
    }

    /// Steps over `<Name>` or `</Name>`, if it is there in full: nearly all of a listing.
    fn plain_tag(&mut self, rest: &[u8]) -> Option<Kind> {
        if !matches!(self.state, State::Open) {
            return None;
        }
        let (kind, name) = match rest.strip_prefix(b"/") {
            Some(name) => (Kind::End, name),
            None => (Kind::Start, rest),
        };
        let len = name.iter().position(|byte| ends_name(*byte))?;
        let plain = name.first()?.is_ascii_alphabetic() && name.get(len) == Some(&b'>');
        self.pos += usize::from(plain) * (rest.len() - name.len() + len + 1);
        plain.then_some(kind)
    }

    /// Tells from its first bytes what the markup is.
    fn open(&mut self, token: &[u8]) -> Result<Step, ListError> {
        if let Some(b'/' | b'_' | b':' | b'a'..=b'z' | b'A'..=b'Z' | 0x80..) = token.get(1) {
            self.state = State::Tag(None);
            return Ok(Step::Again);
        }
        for (start, end) in SECTIONS {
            if token.starts_with(start) {
                self.pos = self.token + start.len();
                self.state = State::Until(end);
                return Ok(Step::Again);
            }
            if start.starts_with(token) {
                return Ok(Step::More);
            }
        }
        // Among others a document type: it could declare entities, and no S3 server sends one.
        Err(ListError::Malformed)
    }

    /// Steps over the next quote, or the end of a tag.
    fn tag(&mut self, rest: &[u8], quote: Option<u8>) -> Step {
        let at = match quote {
            Some(quote) => memchr(quote, rest),
            None => memchr3(b'>', b'"', b'\'', rest),
        };
        let Some((at, byte)) = at.and_then(|at| Some((at, *rest.get(at)?))) else {
            self.pos += rest.len();
            return Step::More;
        };
        self.pos += at + 1;
        if quote.is_none() && byte == b'>' {
            return Step::Tag;
        }
        self.state = State::Tag(if quote.is_some() { None } else { Some(byte) });
        Step::Again
    }

    /// Looks for the end of a section.
    fn until(&mut self, rest: &[u8], end: &[u8]) -> Step {
        let Some(at) = memmem::find(rest, end) else {
            // The last bytes may be the beginning of the end.
            self.pos += rest.len().saturating_sub(end.len() - 1);
            return Step::More;
        };
        self.pos += at + end.len();
        Step::Section
    }

    fn complete(&mut self, kind: Kind) -> Result<Token, ListError> {
        self.check_len(self.pos)?;
        let range = self.token..self.pos;
        self.token = self.pos;
        self.state = State::Text;
        Ok(Token { kind, range })
    }

    /// Refuses a piece of markup that reaches this far.
    fn check_len(&self, end: usize) -> Result<(), ListError> {
        let len = end - self.token;
        if len > ENTRY_LEN_MAX {
            Err(ListError::TooLong)
        } else {
            Ok(())
        }
    }
}

/// Whether a byte stands behind a name, or behind its prefix, or where no name goes on.
fn ends_name(byte: u8) -> bool {
    matches!(
        byte,
        b'\t' | b'\n' | b'\r' | b' ' | b'"' | b'\'' | b'/' | b':' | b'<' | b'>'
    )
}

fn kind_of(tag: &[u8]) -> Result<Kind, ListError> {
    match tag {
        [b'<', b'/', .., b'/', b'>'] => Err(ListError::Malformed),
        [b'<', b'/', ..] => Ok(Kind::End),
        [.., b'/', b'>'] => Ok(Kind::Empty),
        _ => Ok(Kind::Start),
    }
}

/// What is no tag: how it begins and ends.
const SECTIONS: [(&[u8], &[u8]); 3] = [(b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>")];
