//! aws-chunked push decoder: wire bytes in any split become chunks, data and trailers.
//!
//! ```text
//! body    = *chunk last (CRLF | trailers)
//! chunk   = size [";chunk-signature=" 64HEX] CRLF data CRLF
//! last    = "0"  [";chunk-signature=" 64HEX] CRLF
//! trailers = *(blank) 1*(name ":" value [CR] LF *(blank)) , closed by a blank line
//! ```
//!
//! Sources: AWS, "Signature calculations for the authorization header: transferring payload in
//! multiple chunks" and "... including trailing headers". Blank lines between the trailers are
//! real: one widely used client (minio-go) ends the checksum line with a bare LF and puts an empty
//! line before the signature of the trailers.

use std::mem;

use bytes::Bytes;
use memchr::memchr;
use thiserror::Error;

/// What the body promises, known from `x-amz-content-sha256`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// Every chunk carries a signature.
    pub signed: bool,
    /// Trailers follow the last chunk.
    pub trailers: bool,
}

/// A hex signature as it stands on the wire; not verified here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSignature(pub [u8; SIGNATURE_LEN]);

/// What was decoded, in wire order.
#[derive(Debug)]
pub enum Event<'a> {
    /// A chunk begins; the last chunk has length 0.
    Chunk {
        /// Bytes of data that will follow.
        len: u64,
        /// Present exactly where the framing is signed.
        signature: Option<ChunkSignature>,
    },
    /// Data of the current chunk: a slice of what was pushed, never empty.
    Data(Bytes),
    /// The current chunk is complete.
    ChunkEnd,
    /// A trailer, trimmed; the name as sent.
    Trailer {
        /// Name.
        name: &'a str,
        /// Value.
        value: &'a str,
    },
}

/// The decoder. It holds at most one unfinished line.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    state: State,
    /// The unfinished line: at most [`MAX_TRAILER_LINE`] bytes.
    line: Vec<u8>,
    trailer_lines: usize,
}

impl Decoder {
    /// A decoder at the first byte of a body.
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            state: State::Header,
            line: Vec::new(),
            trailer_lines: 0,
        }
    }

    /// Takes the next wire bytes and hands on what they hold.
    ///
    /// An error of the decoder or of the sink is final: every later call fails.
    pub fn push<E: From<ChunkedError>>(
        &mut self,
        mut wire: Bytes,
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !wire.is_empty() {
            // Left in place if a step fails.
            let state = mem::replace(&mut self.state, State::Failed);
            self.state = self.step(state, &mut wire, sink)?;
        }
        Ok(())
    }

    /// The body is over: an error unless it was complete.
    pub fn finish(self) -> Result<(), ChunkedError> {
        match self.state {
            State::End => Ok(()),
            State::Trailers { closed: true } if self.line.is_empty() => Ok(()),
            State::Failed => Err(ChunkedError::Failed),
            State::Header
            | State::Data { .. }
            | State::DataEnd { .. }
            | State::Close { .. }
            | State::Trailers { .. } => Err(ChunkedError::Truncated),
        }
    }

    fn step<E: From<ChunkedError>>(
        &mut self,
        state: State,
        wire: &mut Bytes,
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<State, E> {
        match state {
            State::Header => match self.take_line(wire, MAX_CHUNK_LINE)? {
                Some(line) => self.header(&line, sink),
                None => Ok(State::Header),
            },
            State::Data { left } => data(left, wire, sink),
            State::DataEnd { cr } => match take_crlf(cr, wire)? {
                Crlf::Half => Ok(State::DataEnd { cr: true }),
                Crlf::Whole => {
                    sink(Event::ChunkEnd)?;
                    Ok(State::Header)
                }
            },
            State::Close { cr } => match take_crlf(cr, wire)? {
                Crlf::Half => Ok(State::Close { cr: true }),
                Crlf::Whole => Ok(State::End),
            },
            State::Trailers { closed } => match self.take_line(wire, MAX_TRAILER_LINE)? {
                Some(line) => self.trailer(&line, sink),
                None => Ok(State::Trailers { closed }),
            },
            State::End => Err(ChunkedError::Excess.into()),
            State::Failed => Err(ChunkedError::Failed.into()),
        }
    }

    fn header<E: From<ChunkedError>>(
        &self,
        line: &[u8],
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<State, E> {
        let line = line.strip_suffix(b"\r\n").ok_or(ChunkedError::Header)?;
        let (size, signature) = match line.iter().position(|byte| *byte == b';') {
            Some(at) => {
                let (size, rest) = line.split_at(at);
                (size, Some(parse_signature(rest)?))
            }
            None => (line, None),
        };
        if signature.is_some() != self.framing.signed {
            return Err(ChunkedError::Header.into());
        }
        let len = parse_size(size)?;
        sink(Event::Chunk { len, signature })?;
        if len > 0 {
            return Ok(State::Data { left: len });
        }
        sink(Event::ChunkEnd)?;
        Ok(if self.framing.trailers {
            State::Trailers { closed: false }
        } else {
            State::Close { cr: false }
        })
    }

    fn trailer<E: From<ChunkedError>>(
        &mut self,
        line: &[u8],
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<State, E> {
        self.trailer_lines += 1;
        if self.trailer_lines > MAX_TRAILER_LINES {
            return Err(ChunkedError::TooManyTrailers.into());
        }
        let line = std::str::from_utf8(line).map_err(|_| ChunkedError::Trailer)?;
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(State::Trailers { closed: true });
        }
        let (name, value) = line.split_once(':').ok_or(ChunkedError::Trailer)?;
        sink(Event::Trailer {
            name: name.trim_ascii(),
            value: value.trim_ascii(),
        })?;
        Ok(State::Trailers { closed: false })
    }

    /// The next whole line with its LF, or `None` when more bytes are needed.
    fn take_line(&mut self, wire: &mut Bytes, max: usize) -> Result<Option<Bytes>, ChunkedError> {
        let room = max.saturating_sub(self.line.len());
        let window = wire.get(..room).unwrap_or(wire);
        match memchr(b'\n', window) {
            Some(at) => {
                let end = wire.split_to(at + 1);
                if self.line.is_empty() {
                    return Ok(Some(end));
                }
                self.line.extend_from_slice(&end);
                Ok(Some(Bytes::from(mem::take(&mut self.line))))
            }
            None if wire.len() < room => {
                self.line.extend_from_slice(wire);
                wire.clear();
                Ok(None)
            }
            None => Err(ChunkedError::LineTooLong),
        }
    }
}

/// Why a body is not aws-chunked: the client's fault. S3 answers 400 `IncompleteBody`.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ChunkedError {
    /// The data of a chunk is not followed by CRLF.
    #[error("chunk data is not followed by CRLF")]
    ChunkEnd,
    /// Bytes behind the end of the body.
    #[error("bytes behind the last chunk")]
    Excess,
    /// An earlier push failed: the caller's fault.
    #[error("decoder was used after an error")]
    Failed,
    /// A line is neither a size nor a size with the signature the framing asks for.
    #[error("malformed chunk header")]
    Header,
    /// A chunk header is over 256 bytes or a trailer over 1024.
    #[error("line is too long")]
    LineTooLong,
    /// More lines behind the last chunk than S3 has trailers for.
    #[error("too many trailers")]
    TooManyTrailers,
    /// A trailer is not `name:value`. S3 answers 400 `MalformedTrailerError`.
    #[error("malformed trailer")]
    Trailer,
    /// The body ended early.
    #[error("body ended inside a chunk or before its end")]
    Truncated,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In the size line of a chunk.
    Header,
    /// In the data of a chunk; `left > 0`.
    Data { left: u64 },
    /// In the CRLF behind the data.
    DataEnd { cr: bool },
    /// In the CRLF that closes a body without trailers.
    Close { cr: bool },
    /// Behind the last chunk; `closed` if the last whole line was blank.
    Trailers { closed: bool },
    /// Nothing may follow.
    End,
    /// An error was returned.
    Failed,
}

enum Crlf {
    Half,
    Whole,
}

fn data<E>(
    left: u64,
    wire: &mut Bytes,
    sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<State, E> {
    let len = usize::try_from(left).map_or(wire.len(), |left| left.min(wire.len()));
    sink(Event::Data(wire.split_to(len)))?;
    Ok(match left - len as u64 {
        0 => State::DataEnd { cr: false },
        left => State::Data { left },
    })
}

fn take_crlf(cr: bool, wire: &mut Bytes) -> Result<Crlf, ChunkedError> {
    let byte = wire.split_to(1);
    match (cr, byte.as_ref()) {
        (false, b"\r") => Ok(Crlf::Half),
        (true, b"\n") => Ok(Crlf::Whole),
        _ => Err(ChunkedError::ChunkEnd),
    }
}

/// 1 to 16 hex digits: every such number is a `u64`.
fn parse_size(digits: &[u8]) -> Result<u64, ChunkedError> {
    if digits.is_empty() || digits.len() > 16 {
        return Err(ChunkedError::Header);
    }
    digits.iter().try_fold(0, |size: u64, digit| {
        let digit = char::from(*digit)
            .to_digit(16)
            .ok_or(ChunkedError::Header)?;
        Ok(size << 4 | u64::from(digit))
    })
}

fn parse_signature(extension: &[u8]) -> Result<ChunkSignature, ChunkedError> {
    extension
        .strip_prefix(b";chunk-signature=")
        .and_then(|hex| hex.try_into().ok())
        .map(ChunkSignature)
        .ok_or(ChunkedError::Header)
}

/// Hex digits of an HMAC-SHA-256.
pub const SIGNATURE_LEN: usize = 64;

/// Longest chunk header with its CRLF: 16 digits and the signature take 99 bytes.
pub const MAX_CHUNK_LINE: usize = 256;

/// Longest trailer line: the longest S3 has takes 113 bytes.
pub const MAX_TRAILER_LINE: usize = 1024;

/// Most lines behind the last chunk, blank ones too: S3 has two trailers.
pub const MAX_TRAILER_LINES: usize = 8;

#[cfg(test)]
mod tests;
