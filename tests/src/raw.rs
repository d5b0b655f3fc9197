//! A TCP peer that may send any bytes, and reads HTTP answers and WebSocket frames without helping the server.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::client::DEADLINE;

/// The key of every handshake, so that attacks are repeatable.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// One TCP connection.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The address connected to, for `Host`.
    addr: SocketAddr,
}

/// How the server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A close frame with this code.
    Code(u16),
    /// A close frame without a code.
    Empty,
    /// The connection was closed, or reset, without a word.
    Gone,
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A frame as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// FIN, reserved bits and opcode.
    pub first: u8,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Builds one frame, valid unless it is told otherwise.
#[derive(Clone, Debug)]
pub struct FrameBuilder {
    first: u8,
    masked: bool,
    length: Vec<u8>,
    payload: Vec<u8>,
}

/// A final, masked frame with the shortest form of its length.
#[must_use]
pub fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> FrameBuilder {
    let payload = payload.as_ref().to_vec();
    let length = match payload.len() {
        len @ 0..126 => vec![len as u8],
        len @ 126..65_536 => [&[126][..], &(len as u16).to_be_bytes()].concat(),
        len => [&[127][..], &(len as u64).to_be_bytes()].concat(),
    };
    FrameBuilder {
        first: 0x80 | opcode,
        masked: true,
        length,
        payload,
    }
}

/// A text frame.
#[must_use]
pub fn text(payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(1, payload).bytes()
}

/// A text frame that others follow.
#[must_use]
pub fn begin(payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(1, payload).more().bytes()
}

/// A continuation, the last or not.
#[must_use]
pub fn go_on(payload: impl AsRef<[u8]>, last: bool) -> Vec<u8> {
    let frame = frame(0, payload);
    if last { frame } else { frame.more() }.bytes()
}

/// A close frame with a code and a reason.
#[must_use]
pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    frame(8, [&code.to_be_bytes()[..], reason.as_ref()].concat()).bytes()
}

impl FrameBuilder {
    /// Clears FIN.
    #[must_use]
    pub fn more(mut self) -> Self {
        self.first &= 0x7f;
        self
    }

    /// Sets reserved bits: 4, 2, 1.
    #[must_use]
    pub fn rsv(mut self, bits: u8) -> Self {
        self.first |= bits << 4;
        self
    }

    /// Leaves the mask out.
    #[must_use]
    pub fn unmasked(mut self) -> Self {
        self.masked = false;
        self
    }

    /// Claims a length in two bytes, whatever the payload has.
    #[must_use]
    pub fn claim16(mut self, length: u16) -> Self {
        self.length = [&[126][..], &length.to_be_bytes()].concat();
        self
    }

    /// Claims a length in eight bytes.
    #[must_use]
    pub fn claim64(mut self, length: u64) -> Self {
        self.length = [&[127][..], &length.to_be_bytes()].concat();
        self
    }

    /// The frame.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
        let mut bytes = vec![self.first];
        let at = bytes.len();
        bytes.extend(self.length);
        if self.masked {
            bytes[at] |= 0x80;
            bytes.extend(MASK);
        }
        let mask = if self.masked { MASK } else { [0; 4] };
        bytes.extend(
            self.payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(b, m)| b ^ m),
        );
        bytes
    }
}

impl Raw {
    /// Connects.
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("connects");
        stream.set_nodelay(true).expect("sets TCP_NODELAY");
        Self {
            stream,
            buffer: Vec::new(),
            addr,
        }
    }

    /// Connects from another address of this machine.
    pub async fn connect_from(from: [u8; 4], addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(SocketAddr::from((from, 0)))
            .expect("an address of the loopback network");
        let stream = socket.connect(addr).await.expect("connects");
        Self {
            stream,
            buffer: Vec::new(),
            addr,
        }
    }

    /// Connects in such a way that little fits between the server and what is read here.
    pub async fn connect_with_small_buffers(addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_recv_buffer_size(4 * 1024)
            .expect("sets a buffer's size");
        Self {
            stream: socket.connect(addr).await.expect("connects"),
            buffer: Vec::new(),
            addr,
        }
    }

    /// Connects, and becomes a WebSocket at `/socket.io/` with these further header lines; the open packet is read.
    pub async fn websocket(addr: SocketAddr, lines: &str) -> Self {
        let mut raw = Self::connect(addr).await;
        raw.upgrade("/socket.io/?EIO=4&transport=websocket", lines)
            .await;
        let open = raw.text().await;
        assert!(open.starts_with("0{"), "{open}");
        raw
    }

    /// Becomes a WebSocket.
    pub async fn upgrade(&mut self, target: &str, lines: &str) {
        let request = self.upgrade_request(target, lines);
        self.send(request).await;
        let answer = self.answer().await.expect("an answer");
        assert_eq!(answer.status, 101, "{answer:?}");
    }

    /// A request that becomes a WebSocket.
    #[must_use]
    pub fn upgrade_request(&self, target: &str, lines: &str) -> String {
        let host = self.addr;
        format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
        )
    }

    /// Joins `/`.
    pub async fn join(&mut self) {
        self.send(text("40")).await;
        let answer = self.text().await;
        assert!(answer.starts_with("40{"), "{answer}");
    }

    /// Sends bytes. That the server has closed meanwhile is for the reader to notice.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = timeout(DEADLINE, self.stream.write_all(bytes.as_ref())).await;
        sent.expect("the server does not read").is_ok()
    }

    /// Will send no more.
    pub async fn shut_down(&mut self) {
        // The error means that the server has closed before.
        let _ = self.stream.shutdown().await;
    }

    async fn fill(&mut self) -> io::Result<bool> {
        let read = timeout(DEADLINE, self.stream.read_buf(&mut self.buffer)).await;
        read.expect("nothing came in time").map(|read| read > 0)
    }

    async fn fill_to(&mut self, length: usize) -> bool {
        while self.buffer.len() < length {
            if !self.fill().await.unwrap_or(false) {
                return false;
            }
        }
        true
    }

    /// The next HTTP answer; `None` when the connection ended without one.
    pub async fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            match self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None if self.fill().await.unwrap_or(false) => {}
                None => return None,
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let head = String::from_utf8(head).expect("a head of text");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        let mut answer = Answer {
            status: status.expect("a status"),
            head,
            body: String::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a length"));
        assert!(self.fill_to(length).await, "the body stops: {answer:?}");
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        answer.body = String::from_utf8(body).expect("a body of text");
        Some(answer)
    }

    /// The next frame; `None` when the connection ended.
    pub async fn frame(&mut self) -> Option<Received> {
        if !self.fill_to(2).await {
            return None;
        }
        assert_eq!(self.buffer[1] & 0x80, 0, "a server does not mask");
        let (head, length) = match self.buffer[1] {
            126 => {
                let have = self.fill_to(4).await;
                assert!(have, "a header that stops");
                (
                    4,
                    usize::from(u16::from_be_bytes([self.buffer[2], self.buffer[3]])),
                )
            }
            127 => {
                let have = self.fill_to(10).await;
                assert!(have, "a header that stops");
                let length = self.buffer[2..10]
                    .iter()
                    .fold(0, |length, b| length << 8 | usize::from(*b));
                (10, length)
            }
            length => (2, usize::from(length)),
        };
        if !self.fill_to(head + length).await {
            return None;
        }
        let bytes: Vec<u8> = self.buffer.drain(..head + length).collect();
        Some(Received {
            first: bytes[0],
            payload: bytes[head..].to_vec(),
        })
    }

    /// The next Engine.IO packet that is no heartbeat; heartbeats are answered.
    pub async fn text(&mut self) -> String {
        loop {
            let frame = self.frame().await.expect("a packet, not the end");
            let text = String::from_utf8(frame.payload).expect("text");
            match (frame.first, &*text) {
                (0x81, "2") => {
                    self.send(crate::raw::text("3")).await;
                }
                (0x81, _) => return text,
                (first, _) => panic!("expected a text, got {first:#x} {text:?}"),
            }
        }
    }

    /// Reads on to the end.
    pub async fn end(&mut self) -> End {
        while let Some(frame) = self.frame().await {
            if frame.first == 0x88 {
                return match frame.payload[..] {
                    [high, low, ..] => End::Code(u16::from_be_bytes([high, low])),
                    _ => End::Empty,
                };
            }
        }
        End::Gone
    }

    /// Reads until the server closes the TCP connection, and says what else came.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await.unwrap_or(false) {}
        std::mem::take(&mut self.buffer)
    }
}
