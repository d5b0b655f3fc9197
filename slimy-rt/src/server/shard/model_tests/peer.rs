//! A connection of a case: what the model says that it receives, and what it has received.

use bytes::Bytes;
use proptest::{prelude::*, test_runner::TestCaseError};
use tokio::net::{
    TcpSocket, TcpStream,
    tcp::{OwnedReadHalf, OwnedWriteHalf},
};

use super::*;
use crate::server::link::{Command, Link};

const CONTROL: &[u8] = b"\x81\x06answer";

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) key: Key,
    link: LinkRef,
    client: TcpStream,
    /// Kept, or the socket would be shut for reading.
    _reader: OwnedReadHalf,
    /// Of one that polls still.
    pub(super) writer: Option<OwnedWriteHalf>,
    pub(super) rooms: [bool; ROOMS as usize + 1],
    pub(super) removed: bool,
    pub(super) closed: bool,
    /// The frames, and whether they may be dropped.
    expected: Vec<(Arc<Frame>, bool)>,
    pub(super) owed: usize,
    pub(super) received: Vec<u8>,
    pub(super) ended: bool,
}

impl Peer {
    /// A new one that is in no room yet, and the job that registers it. Some poll at first.
    pub(super) async fn connect(key: Key, mode: Mode) -> (Job, Self) {
        let (listener, client) = (TcpSocket::new_v4().unwrap(), TcpSocket::new_v4().unwrap());
        if mode != Mode::Free {
            listener.set_send_buffer_size(8 * 1024).unwrap();
            client.set_recv_buffer_size(32 * 1024).unwrap();
        }
        listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listener.listen(1).unwrap();
        let client = client.connect(listener.local_addr().unwrap());
        let client = client.await.unwrap();
        let (reader, writer) = listener.accept().await.unwrap().0.into_split();
        client.set_zero_linger().unwrap();
        let link = Arc::new(Link::new(key, 0));
        let (outlet, writer) = match key.slot % 5 {
            1 => (Outlet::Mailbox(Arc::default()), Some(writer)),
            _ => (Outlet::Tcp(writer), None),
        };
        let register = Job::Register {
            key,
            link: Arc::clone(&link),
            outlet,
        };
        let peer = Self {
            key,
            link,
            client,
            _reader: reader,
            writer,
            rooms: [false; ROOMS as usize + 1],
            removed: false,
            closed: false,
            expected: Vec::new(),
            owed: 0,
            received: Vec::new(),
            ended: false,
        };
        (register, peer)
    }

    pub(super) fn is_in(&self, targets: &[Target]) -> bool {
        targets.iter().any(|target| match *target {
            Target::Room(room) => self.rooms[room as usize],
            Target::One(key) => self.key == key,
        })
    }

    pub(super) fn expect(&mut self, frame: &Arc<Frame>, volatile: bool) {
        if !self.removed && !self.closed {
            self.owed += frame.len();
            self.expected.push((Arc::clone(frame), volatile));
        }
    }

    pub(super) fn control(&mut self) -> Job {
        self.owed += CONTROL.len();
        self.link.reserve_control(CONTROL.len(), usize::MAX);
        let frame = Arc::new(Frame::control(Bytes::from_static(CONTROL)));
        let key = self.key;
        Job::Control { key, frame }
    }

    pub(super) fn read(&mut self, most: usize) {
        let mut bytes = vec![0; 16 * 1024];
        for _ in 0..most {
            match self.client.try_read(&mut bytes) {
                Ok(0) => return self.ended = true,
                Ok(read) => self.received.extend_from_slice(&bytes[..read]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(e) => panic!("{e}"),
            }
        }
    }

    /// Says whether it was closed for being slow.
    pub(super) fn check(&self, mode: Mode) -> Result<bool, TestCaseError> {
        let failed = std::iter::from_fn(|| self.link.receive());
        let failed: Vec<_> = failed
            .map(|command| matches!(command, Command::WriteFailed { slow: true }))
            .collect();
        prop_assert!(failed == [true; 0] || (mode == Mode::Slow && failed == [true]));
        let is_cut = self.removed || !failed.is_empty();
        let mut frames = split(&self.received).into_iter().peekable();
        for (frame, volatile) in &self.expected {
            let expected = &frame.websocket()[..];
            match frames.peek() {
                Some(received) if *received == expected => drop(frames.next()),
                Some(part) if is_cut && expected.starts_with(part) => {
                    frames.next();
                    break;
                }
                None if is_cut => break,
                _ if *volatile && mode == Mode::Slow => {}
                other => {
                    let names =
                        |f: &[u8]| String::from_utf8_lossy(&f[..f.len().min(30)]).into_owned();
                    let other = other.map(|f| names(f));
                    prop_assert!(false, "{:?}: {other:?} for {}", self.key, names(expected));
                }
            }
        }
        prop_assert!(frames.next().is_none(), "{:?}: one too many", self.key);
        prop_assert!(is_cut || self.link.reserve_control(0, 0), "control bytes");
        Ok(!failed.is_empty())
    }
}

/// The frames but for the reader's own, and what there is of the last one.
fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
        let length = match bytes.get(1) {
            Some(126) if bytes.len() >= 4 => 4 + number(&bytes[2..4]),
            Some(127) if bytes.len() >= 10 => 10 + number(&bytes[2..10]),
            Some(126 | 127) | None => bytes.len(),
            Some(length) => 2 + usize::from(*length),
        };
        let (frame, rest) = bytes.split_at(length.min(bytes.len()));
        frames.extend((frame != CONTROL).then_some(frame));
        bytes = rest;
    }
    frames
}
