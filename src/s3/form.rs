//! multipart/form-data push parser: wire bytes in any split become fields and the bytes of a file.
//!
//! Fields that follow the file are skipped, as S3 does, up to the end of the form; a second file is
//! an error, for it would be lost. Sources: RFC 2046, section 5.1.1; RFC 7578; AWS, "POST Object".

mod disposition;
mod error;
pub mod fields;
pub mod policy;
pub mod success;

use std::{mem, str};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use memchr::{memchr, memmem, memrchr};

use self::disposition::Disposition;

pub use self::error::FormError;

/// What was read, in wire order.
#[derive(Debug)]
pub enum Event {
    /// A field before the file.
    Field {
        /// As sent.
        name: String,
        /// As sent.
        value: Vec<u8>,
    },
    /// The file begins.
    File(FilePart),
    /// Bytes of the file: never empty.
    Data(Bytes),
}

/// What a form says of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// What the user calls it, without folders; may be empty.
    pub name: String,
    /// Bytes of the form before its first byte.
    pub offset: u64,
    /// The length that the part itself claims, which few clients write.
    pub len: Option<u64>,
}

/// What separates the parts of a form.
#[derive(Clone, Debug)]
pub struct Boundary(Bytes);

impl Boundary {
    /// Reads it out of the one `Content-Type` of a request.
    pub fn parse(headers: &HeaderMap) -> Result<Self, FormError> {
        let mut values = headers.get_all(CONTENT_TYPE).iter();
        let value = values.next().and_then(|value| value.to_str().ok());
        let parameters = value.unwrap_or_default().split(';').skip(1);
        let mut found = parameters.filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let is_boundary = name.trim().eq_ignore_ascii_case("boundary");
            is_boundary.then(|| unquoted(value.trim()))
        });
        let boundary = found.next().filter(|text| is_boundary(text));
        match (boundary, found.next(), values.next()) {
            (Some(text), None, None) => Ok(Self(Bytes::from(format!("\r\n--{text}")))),
            _ => Err(FormError::Malformed("the boundary")),
        }
    }

    /// Bytes of the line that ends a form in which nothing follows the file.
    pub fn closing_len(&self) -> u64 {
        self.0.len() as u64 + "--\r\n".len() as u64
    }
}

fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    inner.unwrap_or(value)
}

fn is_boundary(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    (1..=BOUNDARY_LEN_MAX).contains(&text.len())
        && text.bytes().all(is_legal)
        && !text.ends_with(' ')
}

/// The parser. It holds one field at most.
#[derive(Debug)]
pub struct FormParser {
    delimiter: Bytes,
    state: State,
    /// How much of the delimiter the bytes so far end with.
    matched: usize,
    /// The unfinished line, block of headers, or value.
    text: Vec<u8>,
    /// Bytes so far that are not the file's.
    overhead: usize,
    has_file: bool,
}

#[derive(Debug)]
enum State {
    /// In front of the first part, or in one behind the file.
    Skipped,
    /// Behind a delimiter.
    DelimiterEnd,
    Headers,
    Field {
        name: String,
    },
    File,
    /// Behind the last delimiter.
    Closed,
    Failed,
}

impl FormParser {
    /// A parser at the first byte of a body.
    pub fn new(boundary: &Boundary) -> Self {
        Self {
            delimiter: boundary.0.clone(),
            state: State::Skipped,
            // A form may begin with its first delimiter, which has no line in front to end.
            matched: "\r\n".len(),
            text: Vec::new(),
            overhead: 0,
            has_file: false,
        }
    }

    /// Takes the next bytes and hands on what they hold. An error is final.
    pub fn push(
        &mut self,
        mut wire: Bytes,
        sink: &mut impl FnMut(Event) -> Result<(), FormError>,
    ) -> Result<(), FormError> {
        while !wire.is_empty() {
            // Left in place if a step fails.
            let state = mem::replace(&mut self.state, State::Failed);
            self.state = self.step(state, &mut wire, sink)?;
        }
        Ok(())
    }

    /// The body is over: an error unless the form was complete.
    pub fn finish(&self) -> Result<(), FormError> {
        match self.state {
            State::Closed => Ok(()),
            State::Skipped
            | State::DelimiterEnd
            | State::Headers
            | State::Field { .. }
            | State::File
            | State::Failed => Err(FormError::Malformed("its end")),
        }
    }

    fn step(
        &mut self,
        state: State,
        wire: &mut Bytes,
        sink: &mut impl FnMut(Event) -> Result<(), FormError>,
    ) -> Result<State, FormError> {
        match state {
            State::Skipped => {
                let before = wire.len();
                let found = self.scan(wire, &mut |_| Ok(()))?;
                self.count(before - wire.len())?;
                Ok(if found { State::DelimiterEnd } else { state })
            }
            State::DelimiterEnd => self.delimiter_end(wire),
            State::Headers => {
                let is_end = |text: &[u8]| text.ends_with(b"\r\n\r\n") || text == b"\r\n";
                if !self.read_until(wire, is_end)? {
                    return Ok(state);
                }
                self.part(sink)
            }
            State::Field { name } => {
                let before = wire.len();
                let mut text = mem::take(&mut self.text);
                let found = self.scan(wire, &mut |data| {
                    text.extend_from_slice(&data);
                    Ok(())
                })?;
                self.count(before - wire.len())?;
                if !found {
                    self.text = text;
                    return Ok(State::Field { name });
                }
                sink(Event::Field { name, value: text })?;
                Ok(State::DelimiterEnd)
            }
            State::File => {
                let found = self.scan(wire, &mut |data| sink(Event::Data(data)))?;
                Ok(if found { State::DelimiterEnd } else { state })
            }
            State::Closed => {
                self.count(wire.len())?;
                wire.clear();
                Ok(state)
            }
            State::Failed => Err(FormError::Malformed("what went before")),
        }
    }

    /// Hands on what is in front of the next delimiter; whether it was found and taken.
    ///
    /// A carriage return begins a delimiter and is nowhere else in it, so that a mismatch never
    /// hides the beginning of another match.
    fn scan(
        &mut self,
        wire: &mut Bytes,
        out: &mut impl FnMut(Bytes) -> Result<(), FormError>,
    ) -> Result<bool, FormError> {
        let delimiter = self.delimiter.clone();
        if self.matched > 0 {
            let wanted = delimiter.get(self.matched..).unwrap_or_default();
            let len = wanted.len().min(wire.len());
            if wire.get(..len) == wanted.get(..len) {
                wire.advance(len);
                self.matched += len;
                return Ok(self.is_matched());
            }
            out(delimiter.slice(..self.matched))?;
            self.matched = 0;
        }
        let found = memmem::find(wire, &delimiter);
        self.matched = match found {
            Some(_) => delimiter.len(),
            None => unfinished(wire, &delimiter),
        };
        let end = found.unwrap_or(wire.len() - self.matched);
        if end > 0 {
            out(wire.split_to(end))?;
        }
        wire.advance(self.matched);
        Ok(self.is_matched())
    }

    fn is_matched(&mut self) -> bool {
        let is_matched = self.matched == self.delimiter.len();
        if is_matched {
            self.matched = 0;
        }
        is_matched
    }

    fn delimiter_end(&mut self, wire: &mut Bytes) -> Result<State, FormError> {
        let is_end = |text: &[u8]| {
            text == b"--" || text.ends_with(b"\r\n") || text.len() > DELIMITER_PADDING_MAX
        };
        if !self.read_until(wire, is_end)? {
            return Ok(State::DelimiterEnd);
        }
        let text = mem::take(&mut self.text);
        if text == b"--" {
            return Ok(State::Closed);
        }
        let padding = text.strip_suffix(b"\r\n");
        let is_blank = |padding: &[u8]| padding.iter().all(|byte| b" \t".contains(byte));
        if padding.is_some_and(is_blank) {
            return Ok(State::Headers);
        }
        Err(FormError::Malformed("a delimiter"))
    }

    /// The headers of a part are complete.
    fn part(
        &mut self,
        sink: &mut impl FnMut(Event) -> Result<(), FormError>,
    ) -> Result<State, FormError> {
        let text = mem::take(&mut self.text);
        let part = Part::parse(&text).ok_or(FormError::Malformed("the headers of a part"))?;
        let name = part.disposition.name;
        match (name.eq_ignore_ascii_case(FILE), self.has_file) {
            (true, true) => return Err(FormError::Files),
            (false, true) => return Ok(State::Skipped),
            (false, false) => return Ok(State::Field { name }),
            (true, false) => self.has_file = true,
        }
        let path = part.disposition.filename.unwrap_or_default();
        // Some clients send a path of the user's machine.
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        sink(Event::File(FilePart {
            name: name.to_owned(),
            offset: self.overhead as u64,
            len: part.len,
        }))?;
        Ok(State::File)
    }

    /// Moves bytes behind those at hand until `is_end` says so.
    fn read_until(
        &mut self,
        wire: &mut Bytes,
        is_end: impl Fn(&[u8]) -> bool,
    ) -> Result<bool, FormError> {
        while !wire.is_empty() {
            self.count(1)?;
            self.text.push(wire.get_u8());
            if is_end(&self.text) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn count(&mut self, bytes: usize) -> Result<(), FormError> {
        self.overhead = self.overhead.saturating_add(bytes);
        if self.overhead > FORM_LEN_MAX {
            return Err(FormError::TooLong);
        }
        Ok(())
    }
}

/// How many bytes at the end of `wire` may begin a delimiter.
fn unfinished(wire: &[u8], delimiter: &[u8]) -> usize {
    let from = wire.len().saturating_sub(delimiter.len() - 1);
    let tail = wire.get(from..).unwrap_or_default();
    let begun = memrchr(b'\r', tail).and_then(|at| tail.get(at..));
    let begun = begun.filter(|begun| delimiter.starts_with(begun));
    begun.map_or(0, <[u8]>::len)
}

/// The headers of a part.
struct Part {
    disposition: Disposition,
    len: Option<u64>,
}

impl Part {
    fn parse(block: &[u8]) -> Option<Self> {
        let mut disposition = None;
        let mut len = None;
        for line in str::from_utf8(block).ok()?.split("\r\n") {
            if line.is_empty() {
                continue;
            }
            if memchr(b'\n', line.as_bytes()).is_some() {
                return None;
            }
            let (name, value) = line.split_once(':')?;
            let replaced = match name.to_ascii_lowercase().as_str() {
                "content-disposition" => disposition.replace(Disposition::parse(value)?).is_some(),
                "content-length" => len.replace(number(value.trim())?).is_some(),
                _ => false,
            };
            if replaced {
                return None;
            }
        }
        disposition.map(|disposition| Self { disposition, len })
    }
}

fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// The field that is the object.
const FILE: &str = "file";

/// The largest form without its file (AWS, "POST Object": 20 KB).
pub const FORM_LEN_MAX: usize = 20 << 10;

/// RFC 2046, section 5.1.1.
const BOUNDARY_LEN_MAX: usize = 70;

/// White space behind a delimiter, of which nobody sends any.
const DELIMITER_PADDING_MAX: usize = 16;

#[cfg(test)]
mod tests;
