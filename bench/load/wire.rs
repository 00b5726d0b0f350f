//! A push reader for one HTTP/1.1 response at a time, without allocation per read.

use std::str;

use crate::chunked::{ChunkDecoder, ChunkError};

/// Reads one response; a new one per request (no pipelining).
#[derive(Debug, Default)]
pub(crate) struct ResponseReader {
    state: State,
    head: Vec<u8>,
    status: u16,
    closes: bool,
    received: u64,
}

/// What is wrong with the response: the server's fault, or HTTP that this reader does not know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// The body's chunk framing is broken.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// More bytes came than the response has.
    #[error("bytes after the end of the response")]
    AfterEnd,
    /// No status line, or a header that is not text.
    #[error("a malformed head")]
    Head,
    /// The head is longer than [`MAX_HEAD`].
    #[error("a head of more than {MAX_HEAD} bytes")]
    LongHead,
    /// Neither Content-Length nor chunked: the end cannot be known without closing.
    #[error("a body without a length")]
    NoLength,
}

impl ResponseReader {
    /// Takes the next bytes off the wire; body bytes go to `body` with their offset.
    pub(crate) fn push(
        &mut self,
        mut wire: &[u8],
        body: &mut impl FnMut(u64, &[u8]),
    ) -> Result<(), WireError> {
        while matches!(self.state, State::Head) && !wire.is_empty() {
            wire = self.push_head(wire)?;
        }
        if wire.is_empty() {
            return Ok(());
        }
        match &mut self.state {
            State::Chunked(decoder) => {
                let received = &mut self.received;
                decoder.push(wire, &mut |data| {
                    body(*received, data);
                    *received += data.len() as u64;
                })?;
            }
            State::Fixed { length } => {
                if wire.len() as u64 > *length - self.received {
                    return Err(WireError::AfterEnd);
                }
                body(self.received, wire);
                self.received += wire.len() as u64;
            }
            State::Head => {}
        }
        Ok(())
    }

    /// Whether the whole response has been read.
    pub(crate) fn is_done(&self) -> bool {
        match &self.state {
            State::Chunked(decoder) => decoder.is_done(),
            State::Fixed { length } => self.received == *length,
            State::Head => false,
        }
    }

    /// The status, once the head is there; 0 before.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Whether the server announced that it closes the connection.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }

    /// Bytes of body read so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Takes head bytes; returns what follows the head, or nothing while it is incomplete.
    fn push_head<'a>(&mut self, wire: &'a [u8]) -> Result<&'a [u8], WireError> {
        let before = self.head.len();
        self.head.extend_from_slice(wire);
        let Some(end) = find_end(&self.head) else {
            return if self.head.len() > MAX_HEAD {
                Err(WireError::LongHead)
            } else {
                Ok(&[])
            };
        };
        self.head.truncate(end);
        self.parse_head()?;
        Ok(wire.get(end - before..).unwrap_or_default())
    }

    fn parse_head(&mut self) -> Result<(), WireError> {
        let head = str::from_utf8(&self.head).map_err(|_| WireError::Head)?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 "))
            .and_then(|line| line.get(..3))
            .and_then(|digits| digits.parse::<u16>().ok())
            .ok_or(WireError::Head)?;
        let (mut length, mut chunked) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse::<u64>().map_err(|_| WireError::Head)?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                self.closes = value.eq_ignore_ascii_case("close");
            }
        }
        self.head.clear();
        if (100..200).contains(&status) {
            return Ok(()); // an interim response: the real head follows
        }
        self.status = status;
        self.state = match (chunked, length) {
            (true, _) => State::Chunked(ChunkDecoder::default()),
            (false, Some(length)) => State::Fixed { length },
            (false, None) if status == 204 || status == 304 => State::Fixed { length: 0 },
            (false, None) => return Err(WireError::NoLength),
        };
        Ok(())
    }
}

#[derive(Debug, Default)]
enum State {
    Chunked(ChunkDecoder),
    Fixed {
        length: u64,
    },
    #[default]
    Head,
}

/// The index just behind the empty line that ends a head.
fn find_end(head: &[u8]) -> Option<usize> {
    memchr::memmem::find(head, b"\r\n\r\n").map(|at| at + 4)
}

/// Beyond what any of the servers here sends, S3's 2 KiB of user metadata included.
const MAX_HEAD: usize = 32 * 1024;

#[cfg(test)]
#[allow(
    dead_code,
    unused_imports,
    reason = "the runner's target has no test harness"
)]
mod tests {
    use super::*;

    fn read(wire: &[u8], at: usize) -> Result<(ResponseReader, Vec<u8>), WireError> {
        let (mut reader, mut out) = (ResponseReader::default(), Vec::new());
        let (head, tail) = wire.split_at(at);
        for piece in [head, tail] {
            reader.push(piece, &mut |offset, data| {
                assert_eq!(offset, out.len() as u64);
                out.extend_from_slice(data);
            })?;
        }
        Ok((reader, out))
    }

    #[test]
    fn any_split_reads_alike() {
        let responses: [&[u8]; 3] = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ];
        for wire in responses {
            for at in 0..wire.len() {
                let (reader, out) = read(wire, at).unwrap();
                assert!(reader.is_done(), "split at {at}");
                assert_eq!((reader.status(), reader.received()), (200, 5));
                assert_eq!(out, b"hello");
            }
        }
    }

    #[test]
    fn a_short_body_is_not_done() {
        let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell";
        assert!(!read(wire, 10).unwrap().0.is_done());
    }

    #[test]
    fn a_long_body_or_one_without_length_is_refused() {
        let long = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!";
        assert_eq!(read(long, 0).unwrap_err(), WireError::AfterEnd);
        let endless = b"HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(read(endless, 0).unwrap_err(), WireError::NoLength);
    }
}
