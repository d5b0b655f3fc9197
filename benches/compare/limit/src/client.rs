//! One connection: what it sent and is not read yet, what it has to get and could not be written yet.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice, Write},
};

use mio::net::TcpStream;

/// A client further behind than this is dropped.
const MAX_PENDING_BYTES: usize = 1024 * 1024;

/// Both buffers have no memory as long as they are empty: an idle client has none.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) upgraded: bool,
    /// The beginning of a request or frame whose end is still on its way.
    pub(crate) input: Vec<u8>,
    pending: VecDeque<u8>,
}

impl Client {
    /// Whether there is something that the socket did not take.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes `first` and `second` in one system call, and keeps what the socket does not take. What waits already goes first.
    pub(crate) fn send(
        &mut self,
        mut stream: &TcpStream,
        first: &[u8],
        second: &[u8],
    ) -> io::Result<()> {
        let written = if self.is_waiting() {
            0
        } else {
            taken(stream.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]))?
        };
        self.keep(&first[written.min(first.len())..])?;
        self.keep(&second[written.saturating_sub(first.len())..])
    }

    pub(crate) fn keep(&mut self, rest: &[u8]) -> io::Result<()> {
        self.pending.extend(rest);
        match self.pending.len() {
            0..=MAX_PENDING_BYTES => Ok(()),
            _ => Err(io::Error::other("too far behind")),
        }
    }

    /// Writes what waits, as far as the socket takes it.
    pub(crate) fn flush(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        while self.is_waiting() {
            let (front, back) = self.pending.as_slices();
            match taken(stream.write_vectored(&[IoSlice::new(front), IoSlice::new(back)]))? {
                0 => return Ok(()),
                written => drop(self.pending.drain(..written)),
            }
        }
        self.pending = VecDeque::new();
        Ok(())
    }
}

/// How many bytes the socket took: none when it would block.
pub(crate) fn taken(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}
