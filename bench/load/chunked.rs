//! A push decoder for chunk framing: HTTP's `Transfer-Encoding: chunked` and S3's aws-chunked.
//!
//! Both are `SIZE[;extension] CRLF data CRLF ... 0[;extension] CRLF [trailer CRLF]* CRLF`. It is
//! deliberately not the product's decoder: what checks the product must not share its mistakes.

use std::str;

/// Decodes one chunk-framed body, fed in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct ChunkDecoder {
    state: State,
    line: Vec<u8>,
    trailers: Vec<(String, String)>,
}

/// What is wrong with the framing: the sender's fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChunkError {
    /// Bytes follow the end of the body.
    #[error("bytes after the last chunk")]
    AfterEnd,
    /// A size line or trailer line is longer than any we would send.
    #[error("a line is longer than {MAX_LINE} bytes")]
    LongLine,
    /// A chunk's data is not followed by CRLF.
    #[error("a chunk does not end with CRLF")]
    Separator,
    /// A size is not a hexadecimal number.
    #[error("a chunk size is not a number")]
    Size,
    /// A trailer line has no colon or is not text.
    #[error("a trailer is not `name: value`")]
    Trailer,
}

impl ChunkDecoder {
    /// Takes the next bytes off the wire and hands the data in them to `data`.
    pub(crate) fn push(
        &mut self,
        mut wire: &[u8],
        data: &mut impl FnMut(&[u8]),
    ) -> Result<(), ChunkError> {
        while let Some(&byte) = wire.first() {
            match self.state {
                State::Data { remaining } => {
                    let here = usize::try_from(remaining).map_or(wire.len(), |n| n.min(wire.len()));
                    let (now, rest) = wire.split_at(here);
                    data(now);
                    wire = rest;
                    let remaining = remaining - here as u64;
                    self.state = if remaining == 0 {
                        State::Separator
                    } else {
                        State::Data { remaining }
                    };
                }
                State::End => return Err(ChunkError::AfterEnd),
                State::Separator | State::Size | State::Trailer => {
                    wire = wire.get(1..).unwrap_or_default();
                    self.byte_of_line(byte)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the last chunk and the trailers have been read.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// The trailers read so far, names in lower case.
    pub(crate) fn trailers(&self) -> &[(String, String)] {
        &self.trailers
    }

    fn byte_of_line(&mut self, byte: u8) -> Result<(), ChunkError> {
        if self.line.len() >= MAX_LINE {
            return Err(ChunkError::LongLine);
        }
        self.line.push(byte);
        if !self.line.ends_with(b"\r\n") {
            return Ok(());
        }
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r\n").unwrap_or_default();
        self.state = match self.state {
            State::Separator if line.is_empty() => State::Size,
            State::Separator => return Err(ChunkError::Separator),
            State::Size => match parse_size(line)? {
                0 => State::Trailer,
                remaining => State::Data { remaining },
            },
            State::Trailer if line.is_empty() => State::End,
            State::Trailer => {
                self.trailers.push(parse_trailer(line)?);
                State::Trailer
            }
            State::Data { .. } | State::End => self.state,
        };
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    Data {
        remaining: u64,
    },
    End,
    /// The CRLF behind a chunk's data.
    Separator,
    #[default]
    Size,
    Trailer,
}

fn parse_size(line: &[u8]) -> Result<u64, ChunkError> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    str::from_utf8(digits)
        .ok()
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .ok_or(ChunkError::Size)
}

fn parse_trailer(line: &[u8]) -> Result<(String, String), ChunkError> {
    let line = str::from_utf8(line).map_err(|_| ChunkError::Trailer)?;
    let (name, value) = line.split_once(':').ok_or(ChunkError::Trailer)?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

/// Longer than a size with a chunk signature, and than any checksum trailer.
const MAX_LINE: usize = 1024;

#[cfg(test)]
#[allow(
    dead_code,
    unused_imports,
    reason = "the runner's target has no test harness"
)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"5;chunk-signature=ab\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: abc=\r\n\r\n";

    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, ChunkDecoder), ChunkError> {
        let (mut decoder, mut out) = (ChunkDecoder::default(), Vec::new());
        for piece in pieces {
            decoder.push(piece, &mut |data| out.extend_from_slice(data))?;
        }
        Ok((out, decoder))
    }

    #[test]
    fn any_split_decodes_alike() {
        for at in 0..BODY.len() {
            let (head, tail) = BODY.split_at(at);
            let (out, decoder) = decode(&[head, tail]).unwrap();
            assert_eq!(out, b"hello world", "split at {at}");
            assert!(decoder.is_done());
            assert_eq!(
                decoder.trailers(),
                [("x-sum".to_owned(), "abc=".to_owned())]
            );
        }
    }

    #[test]
    fn a_cut_body_is_not_done() {
        let (_, decoder) = decode(&[&BODY[..BODY.len() - 1]]).unwrap();
        assert!(!decoder.is_done());
    }

    #[test]
    fn broken_framing_is_refused() {
        let broken: [(&[u8], ChunkError); 4] = [
            (b"x\r\n", ChunkError::Size),
            (b"1\r\nab\r\n", ChunkError::Separator),
            (b"0\r\nno colon\r\n", ChunkError::Trailer),
            (b"0\r\n\r\nmore", ChunkError::AfterEnd),
        ];
        for (wire, error) in broken {
            assert_eq!(decode(&[wire]).unwrap_err(), error);
        }
    }
}
