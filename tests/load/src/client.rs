//! A Socket.IO client over WebSocket, as small as can be: ten thousand of them fit one process.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{Failure, within};

/// How long joining may take before it counts as a refusal.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Clients must mask; with what is of no importance here (RFC 6455, section 5.3).
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
/// How much is read at a time: what idle clients can afford, and what busy ones have use for.
const MIN_CHUNK: usize = 512;
const MAX_CHUNK: usize = 32 * 1024;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;

/// A client that has joined `/`.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: BytesMut,
    /// How much is read at a time.
    chunk: usize,
    /// Pings that were answered.
    pub(crate) pings: u32,
}

impl Client {
    /// Connects and joins. `receive_buffer` is the socket's, in bytes.
    pub(crate) async fn join(
        addr: SocketAddr,
        cookie: &str,
        receive_buffer: Option<u32>,
    ) -> Result<Self, Failure> {
        within(
            JOIN_TIMEOUT,
            "joining",
            Self::try_join(addr, cookie, receive_buffer),
        )
        .await?
    }

    async fn try_join(
        addr: SocketAddr,
        cookie: &str,
        receive_buffer: Option<u32>,
    ) -> Result<Self, Failure> {
        let text = |error: io::Error| format!("cannot connect: {error}");
        let socket = TcpSocket::new_v4().map_err(text)?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).map_err(text)?;
        }
        let mut client = Self {
            stream: socket.connect(addr).await.map_err(text)?,
            buffer: BytesMut::new(),
            chunk: MIN_CHUNK,
            pings: 0,
        };
        client.stream.set_nodelay(true).map_err(text)?;
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2xpbXktcnQtbG9hZC0wMQ==\r\nCookie: {cookie}\r\n\r\n"
        );
        client
            .stream
            .write_all(request.as_bytes())
            .await
            .map_err(text)?;
        let head = client.head().await.map_err(text)?;
        if !head.starts_with(b"HTTP/1.1 101 ") {
            let head = String::from_utf8_lossy(&head);
            return Err(format!(
                "refused: {}",
                head.lines().next().unwrap_or_default()
            ));
        }
        client.expect(b"0{").await?;
        client.send("40").await?;
        client.expect(b"40{").await?;
        client.started().await?;
        Ok(client)
    }

    /// Reads the event that brings a new client its first offset, right behind the answer to CONNECT.
    pub(crate) async fn started(&mut self) -> Result<(), Failure> {
        self.expect(br#"42["session:started","#).await
    }

    async fn head(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                return Ok(self.buffer.split_to(end + 4).freeze());
            }
            self.fill().await?;
        }
    }

    async fn expect(&mut self, start: &[u8]) -> Result<(), Failure> {
        match self.message().await? {
            Some(message) if message.starts_with(start) => Ok(()),
            other => Err(format!("refused: {other:?}")),
        }
    }

    /// The next Engine.IO packet that is no ping; those are answered. `None` when the server has closed the connection.
    ///
    /// Cancelling loses nothing but possibly the answer to a ping.
    pub(crate) async fn message(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match self.frame() {
                Some((TEXT, payload)) if *payload == *b"2" => {
                    self.pings += 1;
                    self.send("3").await?;
                }
                Some((TEXT, payload)) => return Ok(Some(payload)),
                Some((CLOSE, _)) => return Ok(None),
                Some((opcode, _)) => return Err(format!("a frame of opcode {opcode}")),
                None => match self.fill().await {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    Err(error) => return Err(format!("the connection broke: {error}")),
                },
            }
        }
    }

    /// Takes a whole frame from the buffer. The server sends them unmasked and final.
    fn frame(&mut self) -> Option<(u8, Bytes)> {
        let (&first, &second) = (self.buffer.first()?, self.buffer.get(1)?);
        let (header, length) = match second {
            126 => (
                4,
                u16::from_be_bytes(*self.buffer.get(2..4)?.first_chunk()?) as usize,
            ),
            127 => (
                10,
                u64::from_be_bytes(*self.buffer.get(2..10)?.first_chunk()?) as usize,
            ),
            short => (2, usize::from(short)),
        };
        if self.buffer.len() < header + length {
            return None;
        }
        self.buffer.advance(header);
        Some((first & 0x0f, self.buffer.split_to(length).freeze()))
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(self.chunk);
        let spare = self.buffer.capacity() - self.buffer.len();
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                // There is more than was expected.
                if read == spare {
                    self.chunk = (self.chunk * 2).min(MAX_CHUNK);
                }
                Ok(())
            }
        }
    }

    /// Sends an Engine.IO packet.
    pub(crate) async fn send(&mut self, text: &str) -> Result<(), Failure> {
        self.write(TEXT, text.as_bytes()).await
    }

    async fn write(&mut self, opcode: u8, payload: &[u8]) -> Result<(), Failure> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length => {
                // No client has to send more than 64 KiB.
                let length = u16::try_from(length).map_err(|_| "too long for this client")?;
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(
            payload
                .iter()
                .zip(MASK.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        let written = self.stream.write_all(&frame).await;
        written.map_err(|error| format!("the connection broke: {error}"))
    }

    /// Closes the WebSocket. What the server had for the client before comes first, and then the end.
    pub(crate) async fn close(&mut self) -> Result<(), Failure> {
        self.write(CLOSE, &1000_u16.to_be_bytes()).await
    }

    /// Leaves with good manners: the namespace, then the WebSocket; done when the server has closed too.
    pub(crate) async fn leave(mut self) -> Result<(), Failure> {
        self.send("41").await?;
        self.close().await?;
        while self.message().await?.is_some() {}
        Ok(())
    }

    /// Cuts the connection: the server gets a reset.
    pub(crate) fn cut(self) -> Result<(), Failure> {
        self.stream
            .set_zero_linger()
            .map_err(|error| error.to_string())
    }
}
