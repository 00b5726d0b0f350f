//! Buffers for chunks, used again once whoever sends them is done with them: new ones would have to
//! be zeroed first, which costs half of the copy that sealing and opening apart save.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// The buffers of one body.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Second handles of chunks that were handed out, the oldest first.
    lent: VecDeque<Bytes>,
    /// Bytes in `lent`.
    held: usize,
}

impl Buffers {
    /// A buffer of `len` bytes. What they are means nothing: it may be an earlier chunk.
    pub(super) fn take(&mut self, len: usize) -> BytesMut {
        if let Some(oldest) = self.lent.pop_front() {
            self.held -= oldest.len();
            match oldest.try_into_mut() {
                Ok(mut buffer) => {
                    buffer.resize(len, 0);
                    return buffer;
                }
                // Chunks are sent in order: the others are not done either.
                Err(oldest) => {
                    self.held += oldest.len();
                    self.lent.push_front(oldest);
                }
            }
        }
        BytesMut::zeroed(len)
    }

    /// Hands out a chunk, to come back to its buffer later.
    pub(super) fn lend(&mut self, chunk: &Bytes) {
        if self.held + chunk.len() <= HELD_MAX {
            self.held += chunk.len();
            self.lent.push_back(chunk.clone());
        }
    }
}

/// What a body holds on to at most: what hyper queues of it, and a chunk of 64 KiB more.
const HELD_MAX: usize = 4 * 65_552;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_once_its_chunk_is_gone() {
        let mut buffers = Buffers::default();
        let mut first = buffers.take(100);
        first.fill(7);
        let address = first.as_ptr();
        let first = first.freeze();
        buffers.lend(&first);
        let second = buffers.take(100);
        assert_ne!(second.as_ptr(), address, "the first is still being sent");
        assert_eq!(first.as_ref(), [7; 100]);
        drop(first);
        let again = buffers.take(50);
        assert_eq!((again.as_ptr(), again.len()), (address, 50));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut buffers = Buffers::default();
        for _ in 0..100 {
            let chunk = buffers.take(65_552).freeze();
            let part = chunk.slice(1..2);
            buffers.lend(&chunk);
            std::mem::forget(part);
        }
        assert!(buffers.held <= HELD_MAX && buffers.lent.len() == 4);
        let huge = buffers.take(8 << 20).freeze();
        buffers.lend(&huge);
        assert_eq!(buffers.lent.len(), 4);
    }
}
