//! One keep-alive connection of the generator: a request out, its response in and checked.

use std::{
    future::poll_fn,
    io::IoSlice,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
};

use crate::{
    error::LoadError,
    generator::Shared,
    order::{Check, Work},
    pattern::next_random,
    wire::ResponseReader,
};

/// One connection with one request in flight.
pub(crate) struct Connection<'a> {
    shared: &'a Shared<'a>,
    stream: TcpStream,
    latencies: Vec<Duration>,
    next_path: usize,
    random: u64,
}

#[derive(PartialEq, Eq)]
enum Flow {
    Continue,
    /// `stop_after` was reached in the middle of something.
    Stop,
}

impl<'a> Connection<'a> {
    /// Connects the `number`th connection.
    pub(crate) async fn open(shared: &'a Shared<'a>, number: usize) -> Result<Self, LoadError> {
        let stream = TcpStream::connect(shared.order.target).await;
        let stream = stream.map_err(|error| shared.lost(&error))?;
        stream
            .set_nodelay(true)
            .map_err(|error| shared.lost(&error))?;
        let random = 0x2545_f491_4f6c_dd1d ^ ((number as u64 + 1) << 32);
        Ok(Self {
            shared,
            stream,
            latencies: Vec::new(),
            next_path: number,
            random,
        })
    }

    /// The unmeasured requests before the measurement.
    pub(crate) async fn warm_up(&mut self) -> Result<(), LoadError> {
        for _ in 0..self.shared.order.warmup {
            self.exchange().await?;
        }
        Ok(())
    }

    /// Requests until none of the order is left, or it says to stop.
    pub(crate) async fn run(&mut self) -> Result<(), LoadError> {
        while self.shared.take() {
            if self.exchange().await? == Flow::Stop {
                break;
            }
        }
        Ok(())
    }

    /// Takes the latencies of all requests so far.
    pub(crate) fn take_latencies(&mut self) -> Vec<Duration> {
        mem::take(&mut self.latencies)
    }

    /// One request and its response.
    async fn exchange(&mut self) -> Result<Flow, LoadError> {
        let (head, first_byte) = self.next_head();
        let mut incoming = Incoming::new(first_byte);
        let started = Instant::now();
        let mut outgoing = Outgoing {
            head: head.as_bytes(),
            sent: 0,
            body: self.shared.body_length(),
        };
        let flow = poll_fn(|cx| self.poll_send(cx, &mut outgoing, &mut incoming)).await?;
        if flow == Flow::Stop {
            return Ok(flow);
        }
        while !incoming.reader.is_done() {
            if poll_fn(|cx| self.poll_receive(cx, &mut incoming)).await? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        let latency = started.elapsed();
        incoming.check(self.shared)?;
        if outgoing.sent < outgoing.body {
            return Err(self.shared.wrong("answered before it had the whole body"));
        }
        self.latencies.push(latency);
        Ok(Flow::Continue)
    }

    /// The next request's head, and where in the object its response begins.
    fn next_head(&mut self) -> (String, u64) {
        let heads = &self.shared.heads;
        let number = if self.shared.order.in_turn {
            self.shared.next_turn()
        } else {
            self.next_path
        };
        let head = heads
            .get(number % heads.len().max(1))
            .map_or("", String::as_str);
        self.next_path += 1;
        match self.shared.order.work {
            Work::Get | Work::List | Work::Put { .. } => (format!("{head}\r\n"), 0),
            Work::GetRange {
                object,
                length,
                aligned,
            } => {
                let random = next_random(&mut self.random);
                let first = if aligned {
                    random % (object / length) * length
                } else {
                    random % (object - length + 1)
                };
                let last = first + length - 1;
                (format!("{head}range: bytes={first}-{last}\r\n\r\n"), first)
            }
        }
    }

    /// Sends head and body, until done or until an answer comes early.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &mut Outgoing<'_>,
        incoming: &mut Incoming,
    ) -> Poll<Result<Flow, LoadError>> {
        while !outgoing.is_done() {
            let body = self
                .shared
                .pattern
                .at(outgoing.sent, outgoing.body - outgoing.sent);
            let slices = [IoSlice::new(outgoing.head), IoSlice::new(body)];
            match Pin::new(&mut self.stream).poll_write_vectored(cx, &slices) {
                Poll::Ready(Ok(written)) => {
                    if self.shared.count(outgoing.advance(written)) {
                        return Poll::Ready(Ok(Flow::Stop));
                    }
                }
                // A refusal may be waiting to be read; if not, reading says what is the matter.
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(Flow::Continue)),
                Poll::Pending => return self.poll_receive(cx, incoming),
            }
        }
        Poll::Ready(Ok(Flow::Continue))
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &mut Incoming,
    ) -> Poll<Result<Flow, LoadError>> {
        let mut scratch = self.shared.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
        Poll::Ready(match read {
            Ok(()) if buffer.filled().is_empty() => Err(self
                .shared
                .wrong("closed the connection before the end of its answer")),
            Ok(()) => incoming.push(buffer.filled(), self.shared),
            Err(error) => Err(self.shared.lost(&error)),
        })
    }
}

/// The rest of a request.
struct Outgoing<'a> {
    head: &'a [u8],
    sent: u64,
    body: u64,
}

impl Outgoing<'_> {
    fn is_done(&self) -> bool {
        self.head.is_empty() && self.sent == self.body
    }

    /// Notes what was written; the number of body bytes in it.
    fn advance(&mut self, written: usize) -> u64 {
        let of_head = written.min(self.head.len());
        self.head = self.head.get(of_head..).unwrap_or_default();
        let of_body = (written - of_head) as u64;
        self.sent += of_body;
        of_body
    }
}

/// A response on its way in.
struct Incoming {
    reader: ResponseReader,
    first_byte: u64,
    /// The offset of the first piece that is not the pattern.
    differs_at: Option<u64>,
    /// The beginning of the body, for messages.
    excerpt: Vec<u8>,
}

impl Incoming {
    fn new(first_byte: u64) -> Self {
        let (reader, excerpt) = (ResponseReader::default(), Vec::new());
        Self {
            reader,
            first_byte,
            differs_at: None,
            excerpt,
        }
    }

    fn push(&mut self, wire: &[u8], shared: &Shared<'_>) -> Result<Flow, LoadError> {
        let before = self.reader.received();
        let verify = matches!(shared.order.check, Check::NotPattern | Check::Pattern(_));
        let (first_byte, differs_at, excerpt) =
            (self.first_byte, &mut self.differs_at, &mut self.excerpt);
        self.reader.push(wire, &mut |offset, data| {
            if excerpt.is_empty() {
                excerpt.extend(data.iter().take(EXCERPT));
            }
            if verify && differs_at.is_none() && !shared.pattern.matches(first_byte + offset, data)
            {
                *differs_at = Some(first_byte + offset);
            }
        })?;
        let stop = shared.count(self.reader.received() - before);
        Ok(if stop { Flow::Stop } else { Flow::Continue })
    }

    fn check(&self, shared: &Shared<'_>) -> Result<(), LoadError> {
        let (status, received) = (self.reader.status(), self.reader.received());
        let expected_status = match shared.order.work {
            Work::Get | Work::List | Work::Put { .. } => 200,
            Work::GetRange { .. } => 206,
        };
        if status != expected_status {
            let excerpt = String::from_utf8_lossy(&self.excerpt);
            return Err(shared.wrong(format!("status {status}, not {expected_status}: {excerpt}")));
        }
        if self.reader.closes() {
            return Err(shared.wrong("closes the connection after an answer"));
        }
        match (shared.order.check, self.differs_at) {
            (Check::Length(length) | Check::Pattern(length), _) if received != length => {
                Err(shared.wrong(format!("{received} bytes of body, not {length}")))
            }
            (Check::Pattern(_), Some(offset)) => {
                Err(shared.wrong(format!("wrong bytes in the piece at offset {offset}")))
            }
            (Check::NotPattern, None) => Err(shared.wrong("the plaintext, which is not sealed")),
            (Check::Status | Check::Length(_) | Check::NotPattern | Check::Pattern(_), _) => Ok(()),
        }
    }
}

/// Bytes of an unexpected answer that are worth showing.
const EXCERPT: usize = 300;
