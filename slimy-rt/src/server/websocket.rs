//! Reading a WebSocket. Writing is the shard's: what the reader itself has to say (pongs, closes) goes through the shard's queue.

mod meter;
mod writer;

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use bytestring::ByteString;
use hyper::upgrade::Upgraded;
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade::downcast};
use tokio::{
    io::{AsyncRead, ReadBuf, ReadHalf},
    net::{TcpStream, tcp::OwnedReadHalf},
};
use tokio_tungstenite::tungstenite::{
    self, Message,
    error::{CapacityError, ProtocolError},
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

use self::meter::Meter;
#[cfg(fuzzing)]
pub use self::meter::meter;
pub(crate) use self::writer::Writer;
use super::{link::LinkRef, polling::unpinned, sequencer::Sequencer, shard::Job};
use crate::protocol::{DisconnectReason, Frame, engine::Packet};

/// What the first read of a burst takes. The buffer is lent by the thread: a connection that is between two messages has none.
const LENT_BUFFER: usize = 16 * 1024;
/// What is asked for at once while a message is incomplete.
const READ_BUFFER: usize = 4 * 1024;
/// How much a small packet may pin of the buffer that it came in.
const PINNED_BYTES: usize = 1024;
/// How much of its own the reader may have waiting for the shard. Without it, a flood of pings that reads no pongs would fill memory.
const MAX_CONTROL_BYTES: usize = 2 * 1024;

/// The close code for a message beyond the payload's bound (RFC 6455, section 7.4.1).
pub(crate) const TOO_LARGE: u16 = 1009;
/// The close code for a message of too many fragments.
pub(crate) const TOO_MANY_FRAGMENTS: u16 = 1008;

/// How much of a peer that does not stop sending is read after its connection was closed.
const MAX_DRAINED_BYTES: usize = 4 * 1024 * 1024;

thread_local! {
    static LENT: RefCell<Box<[u8]>> = RefCell::new(vec![0; LENT_BUFFER].into());
}

/// The reading side of a WebSocket.
#[derive(Debug)]
pub(crate) struct WebSocket {
    /// There while a message is incomplete or bytes wait to be looked at: most connections are idle.
    context: Option<Box<WebSocketContext>>,
    io: Io,
    meter: Meter,
    /// How much the burst brought that is being looked at.
    burst: usize,
    /// What was read and forgotten since the connection is closing.
    drained: usize,
}

#[derive(Debug)]
enum Io {
    Tcp(OwnedReadHalf),
    /// TLS, or whatever else the HTTP server had.
    Other(ReadHalf<TokioIo<Upgraded>>),
}

/// What came.
#[derive(Debug)]
pub(crate) enum Read {
    Packet(Packet),
    Malformed,
    /// A ping or pong of the WebSocket layer; it counts as a packet.
    Control,
    End(End),
}

/// How a WebSocket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) reason: DisconnectReason,
    /// The code to close it with, when the peer is still there.
    pub(crate) code: Option<u16>,
}

impl End {
    const GONE: Self = Self {
        reason: DisconnectReason::TransportClose,
        code: None,
    };

    const fn broken(code: u16) -> Self {
        Self {
            reason: DisconnectReason::TransportError,
            code: Some(code),
        }
    }
}

/// Where a reader's own frames go.
pub(crate) enum Answers<'a> {
    Shard {
        link: &'a LinkRef,
        sequencer: &'a Sequencer,
    },
    /// Not in a shard yet: the upgrade is not complete.
    Writer(&'a Writer),
}

impl WebSocket {
    /// Takes over an upgraded connection.
    pub(crate) fn new(
        upgraded: Upgraded,
        max_payload: usize,
        max_fragments: u32,
    ) -> (Self, Writer) {
        let (io, writer, read) = match tcp(upgraded) {
            Ok((stream, read_buf)) => {
                let (read, write) = stream.into_split();
                (Io::Tcp(read), Writer::tcp(write), read_buf)
            }
            Err(upgraded) => {
                let (read, write) = tokio::io::split(TokioIo::new(upgraded));
                (Io::Other(read), Writer::task(write), Bytes::new())
            }
        };
        let mut websocket = Self {
            context: None,
            io,
            meter: Meter::new(max_payload, max_fragments),
            burst: 0,
            drained: 0,
        };
        // What came with the request counts too; a violation in it shows at the next read.
        if !read.is_empty() {
            websocket.begin(&read);
        }
        (websocket, writer)
    }

    /// Allows larger messages from now on.
    pub(crate) fn set_max_payload(&mut self, max_payload: usize) {
        self.meter.set_max_payload(max_payload);
        if let Some(context) = &mut self.context {
            context.set_config(|c| *c = config(max_payload));
        }
    }

    /// The next thing that came.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, answers: &Answers<'_>) -> Poll<Read> {
        if self.meter.is_spent() {
            self.rest(cx, answers);
        }
        if self.context.is_none() {
            match self.poll_burst(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => return Poll::Ready(Read::End(end)),
            }
        }
        let Self {
            context: Some(context),
            io,
            meter,
            ..
        } = self
        else {
            return Poll::Pending;
        };
        let result = context.read(&mut Stream {
            io,
            meter,
            cx,
            answers,
        });
        if result.is_ok() {
            meter.take();
        }
        Poll::Ready(match result {
            Ok(Message::Text(text)) => match ByteString::try_from(Bytes::from(text)) {
                Ok(text) => match crate::protocol::engine::decode_text(text) {
                    Ok(packet) => Read::Packet(unpinned(packet, self.buffered())),
                    Err(_) => Read::Malformed,
                },
                Err(_) => Read::Malformed,
            },
            Ok(Message::Binary(bytes)) => {
                Read::Packet(unpinned(Packet::Binary(bytes), self.buffered()))
            }
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Read::Control,
            Ok(Message::Close(_)) => {
                self.flush(cx, answers);
                Read::End(End::GONE)
            }
            Err(tungstenite::Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => {
                self.rest(cx, answers);
                return Poll::Pending;
            }
            Err(e) => Read::End(end_of(&e)),
        })
    }

    /// Reads what there is into the thread's buffer.
    fn poll_burst(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        LENT.with_borrow_mut(|lent| {
            let mut buffer = ReadBuf::new(lent);
            Poll::Ready(match self.io.poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Err(End::GONE),
                Poll::Ready(Ok(())) => {
                    self.begin(buffer.filled());
                    Ok(())
                }
                Poll::Ready(Err(error)) => Err(end_of(&error.into())),
            })
        })
    }

    /// Looks at the first bytes of a burst. Copied, since the buffer is another's: the thread's, or the HTTP parser's.
    fn begin(&mut self, bytes: &[u8]) {
        let good = self.meter.observe(bytes);
        self.burst = bytes.len();
        let mut config = config(self.meter.max_payload());
        if self.meter.is_between_messages() {
            // Nothing more will be read into this one's buffer.
            config = config.read_buffer_size(0);
        }
        self.context = Some(Box::new(WebSocketContext::from_partially_read(
            bytes[..good].to_vec(),
            Role::Server,
            Some(config),
        )));
    }

    /// Hands what the reader has to say to the shard. Says whether nothing is left.
    fn flush(&mut self, cx: &mut Context<'_>, answers: &Answers<'_>) -> bool {
        let Self {
            context: Some(context),
            io,
            meter,
            ..
        } = self
        else {
            return true;
        };
        context
            .flush(&mut Stream {
                io,
                meter,
                cx,
                answers,
            })
            .is_ok()
    }

    /// Reads and forgets, so that closing does not reset the connection. Ready when the peer has closed too, or goes on for too long.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 4096];
        while self.drained < MAX_DRAINED_BYTES {
            let mut buffer = ReadBuf::new(&mut space);
            match self.io.poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.drained += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// How large the buffer may be that a message is a part of; nothing is said of small ones.
    fn buffered(&self) -> usize {
        Some(self.meter.largest().max(self.burst))
            .filter(|largest| *largest > PINNED_BYTES)
            .unwrap_or(0)
    }

    /// Gives the buffers back, when nothing is in them.
    fn rest(&mut self, cx: &mut Context<'_>, answers: &Answers<'_>) {
        if self.meter.is_spent() && self.flush(cx, answers) {
            self.context = None;
            self.burst = 0;
            self.meter.forget_largest();
        }
    }
}

/// Takes a plain socket back, with what was read of it: from hyper's own connection, or from hyper-util's, which axum serves with.
fn tcp(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => Ok((parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => downcast::<TokioIo<TcpStream>>(upgraded)
            .map(|parts| (parts.io.into_inner(), parts.read_buf)),
    }
}

fn config(max_payload: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(512)
        .max_message_size(Some(max_payload))
        .max_frame_size(Some(max_payload))
}

/// With which code a violation is answered (RFC 6455, section 7.4.1).
fn end_of(error: &tungstenite::Error) -> End {
    use tungstenite::Error;
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => End::GONE,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::GONE,
        Error::Protocol(_) => End::broken(1002),
        Error::Utf8(_) => End::broken(1007),
        Error::Capacity(CapacityError::MessageTooLong { .. } | CapacityError::TooManyHeaders) => {
            End::broken(TOO_LARGE)
        }
        Error::Io(e) => match e
            .get_ref()
            .and_then(|e| e.downcast_ref::<meter::Violation>())
        {
            Some(violation) => End::broken(violation.close_code()),
            None => End {
                reason: DisconnectReason::TransportError,
                code: None,
            },
        },
        _ => End {
            reason: DisconnectReason::TransportError,
            code: None,
        },
    }
}

impl Io {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Other(io) => Pin::new(io).poll_read(cx, buffer),
        }
    }
}

/// Shows tungstenite a blocking stream that would block.
struct Stream<'a, 'b> {
    io: &'a mut Io,
    meter: &'a mut Meter,
    cx: &'a mut Context<'b>,
    answers: &'a Answers<'a>,
}

impl io::Read for Stream<'_, '_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if let Some(violation) = self.meter.violation() {
            return Err(io::Error::other(violation));
        }
        let mut buffer = ReadBuf::new(space);
        match self.io.poll_read(self.cx, &mut buffer) {
            Poll::Ready(result) => {
                result?;
                match (self.meter.observe(buffer.filled()), self.meter.violation()) {
                    // Nothing at all would be the end of the stream.
                    (0, Some(violation)) => Err(io::Error::other(violation)),
                    (good, _) => Ok(good),
                }
            }
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl io::Write for Stream<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let frame = || Arc::new(Frame::control(Bytes::copy_from_slice(bytes)));
        let taken = match self.answers {
            Answers::Shard { link, sequencer } => {
                let taken = link.reserve_control(bytes.len(), MAX_CONTROL_BYTES);
                if taken {
                    sequencer.push(
                        link.key,
                        [Job::Control {
                            key: link.key,
                            frame: frame(),
                        }],
                    );
                }
                taken
            }
            Answers::Writer(writer) => writer.try_send(&frame()),
        };
        if taken {
            Ok(bytes.len())
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
