//! What the server sends, framed once and shared by all recipients.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde_json::Value;
use smallvec::SmallVec;

use super::data::{AckData, EventData};
use super::{
    engine::{self, HandshakeData},
    json,
};

/// The most bytes of a reason that a WebSocket close frame can hold (RFC 6455, section 5.5).
pub const MAX_CLOSE_REASON: usize = 123;

/// FIN and the opcodes of the frames that are sent (RFC 6455, section 5.2).
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

/// One outgoing unit, ready to be written: an Engine.IO packet, or a Socket.IO packet with its attachments.
///
/// The bytes are made once, whoever many receive them; cloning shares them.
#[derive(Clone)]
pub struct Frame {
    /// WebSocket frames, unmasked and final, one after the other.
    websocket: Bytes,
    polling: Polling,
}

/// The form for HTTP polling.
#[derive(Clone)]
enum Polling {
    /// The only frame is text: its payload, which starts here, is the packet.
    Text { start: usize },
    /// Binary has to be base64: made when the first polling client needs it.
    Encoded(Arc<OnceLock<Bytes>>),
}

impl Frame {
    /// An EVENT: `42/ns,12["name",…]`. The namespace `/` is left out.
    #[must_use]
    pub fn event(namespace: &str, id: Option<u64>, event: &EventData) -> Self {
        Self::packet(b'2', namespace, id, event.json(), "", event.attachments())
    }

    /// An EVENT with one more argument at the end: the offset that connection state recovery starts from.
    #[must_use]
    pub fn event_with_offset(namespace: &str, event: &EventData, offset: &str) -> Self {
        let mut extra = String::with_capacity(offset.len() + 3);
        extra.push(',');
        json::write_string(&mut extra, offset);
        Self::packet(
            b'2',
            namespace,
            None,
            event.json(),
            &extra,
            event.attachments(),
        )
    }

    /// An ACK: `43/ns,12[…]`.
    #[must_use]
    pub fn ack(namespace: &str, id: u64, ack: &AckData) -> Self {
        Self::packet(b'3', namespace, Some(id), ack.json(), "", ack.attachments())
    }

    /// The answer to a CONNECT: `40/ns,{"sid":"…"}`, with the private id of a recoverable session if it has one.
    #[must_use]
    pub fn connect(namespace: &str, sid: &str, pid: Option<&str>) -> Self {
        let mut payload = String::from(r#"{"sid":"#);
        json::write_string(&mut payload, sid);
        if let Some(pid) = pid {
            payload += r#","pid":"#;
            json::write_string(&mut payload, pid);
        }
        payload.push('}');
        Self::packet(b'0', namespace, None, &payload, "", &[])
    }

    /// The refusal of a CONNECT: `44/ns,{"message":"…","data":…}`.
    #[must_use]
    pub fn connect_error(namespace: &str, message: &str, data: Option<&Value>) -> Self {
        let mut payload = String::from(r#"{"message":"#);
        json::write_string(&mut payload, message);
        if let Some(data) = data {
            payload += r#","data":"#;
            payload += &data.to_string();
        }
        payload.push('}');
        Self::packet(b'4', namespace, None, &payload, "", &[])
    }

    /// A DISCONNECT: `41/ns,`.
    #[must_use]
    pub fn disconnect(namespace: &str) -> Self {
        Self::packet(b'1', namespace, None, "", "", &[])
    }

    /// An Engine.IO text message without Socket.IO in it.
    ///
    /// Over polling the text must not contain [`engine::SEPARATOR`]: Engine.IO v4 has no way to escape it.
    #[must_use]
    pub fn message(text: &str) -> Self {
        Self::text(&["4", text])
    }

    /// An Engine.IO binary message without Socket.IO in it.
    #[must_use]
    pub fn binary(bytes: &[u8]) -> Self {
        let mut websocket = Vec::with_capacity(framed_len(bytes.len()));
        push_frame(&mut websocket, BINARY, bytes);
        Self {
            websocket: websocket.into(),
            polling: Polling::Encoded(Arc::default()),
        }
    }

    /// The Engine.IO handshake.
    #[must_use]
    pub fn open(data: &HandshakeData<'_>) -> Self {
        Self::text(&[&data.encode()])
    }

    /// `1`: the transport is closed.
    #[must_use]
    pub const fn close() -> Self {
        Self::constant(b"\x81\x011")
    }

    /// `2`: a heartbeat.
    #[must_use]
    pub const fn ping() -> Self {
        Self::constant(b"\x81\x012")
    }

    /// `3probe`: the answer to a probe.
    #[must_use]
    pub const fn pong_probe() -> Self {
        Self::constant(b"\x81\x063probe")
    }

    /// `6`: nothing, which ends a hanging poll.
    #[must_use]
    pub const fn noop() -> Self {
        Self::constant(b"\x81\x016")
    }

    /// A WebSocket control frame that is complete already; a polling client is sent nothing of it.
    pub(crate) fn control(websocket: Bytes) -> Self {
        let polling = Polling::Text {
            start: websocket.len(),
        };
        Self { websocket, polling }
    }

    /// What a WebSocket client is sent: whole frames, unmasked.
    #[must_use]
    pub fn websocket(&self) -> &Bytes {
        &self.websocket
    }

    /// What a polling client is sent: one or more packets, with [`engine::SEPARATOR`] between them.
    ///
    /// Text is shared with the WebSocket form; binary is encoded once, when it is asked for first.
    #[must_use]
    pub fn polling(&self) -> Bytes {
        match &self.polling {
            Polling::Text { start } => self.websocket.slice(start..),
            Polling::Encoded(encoded) => encoded
                .get_or_init(|| encode_polling(&self.websocket))
                .clone(),
        }
    }

    /// The length of the WebSocket form in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.websocket.len()
    }

    /// A short text frame, header included.
    const fn constant(websocket: &'static [u8]) -> Self {
        Self {
            websocket: Bytes::from_static(websocket),
            polling: Polling::Text { start: 2 },
        }
    }

    /// One text frame of `parts`.
    fn text(parts: &[&str]) -> Self {
        let len = parts.iter().map(|part| part.len()).sum();
        let mut websocket = Vec::with_capacity(framed_len(len));
        push_header(&mut websocket, TEXT, len);
        for part in parts {
            websocket.extend_from_slice(part.as_bytes());
        }
        Self {
            websocket: websocket.into(),
            polling: Polling::Text {
                start: header_len(len),
            },
        }
    }

    /// A Socket.IO packet; `kind` is its type's digit without attachments, `extra` goes before the bracket that ends
    /// `json`.
    fn packet(
        kind: u8,
        namespace: &str,
        id: Option<u64>,
        json: &str,
        extra: &str,
        attachments: &[Bytes],
    ) -> Self {
        let mut prefix = SmallVec::from_slice(b"4");
        if attachments.is_empty() {
            prefix.push(kind);
        } else {
            // BINARY_EVENT is three after EVENT, as BINARY_ACK is after ACK.
            prefix.push(kind + 3);
            push_number(&mut prefix, attachments.len() as u64);
            prefix.push(b'-');
        }
        if namespace != "/" {
            prefix.extend_from_slice(namespace.as_bytes());
            prefix.push(b',');
        }
        if let Some(id) = id {
            push_number(&mut prefix, id);
        }
        let (json, bracket) = match extra {
            "" => (json, ""),
            _ => json.split_at(json.len().saturating_sub(1)),
        };
        let len = prefix.len() + json.len() + extra.len() + bracket.len();
        let attached: usize = attachments.iter().map(|a| framed_len(a.len())).sum();
        // Exactly as much as is needed, so that turning it into shared bytes neither copies nor wastes.
        let mut websocket = Vec::with_capacity(framed_len(len) + attached);
        push_header(&mut websocket, TEXT, len);
        for part in [
            &prefix,
            json.as_bytes(),
            extra.as_bytes(),
            bracket.as_bytes(),
        ] {
            websocket.extend_from_slice(part);
        }
        for attachment in attachments {
            push_frame(&mut websocket, BINARY, attachment);
        }
        let polling = if attachments.is_empty() {
            Polling::Text {
                start: header_len(len),
            }
        } else {
            Polling::Encoded(Arc::default())
        };
        Self {
            websocket: websocket.into(),
            polling,
        }
    }
}

/// Shows the size only: what is sent is the users' own.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A WebSocket close frame with a status code and a reason (RFC 6455, section 5.5.1).
///
/// A reason longer than [`MAX_CLOSE_REASON`] bytes is cut, at the boundary of a character.
#[must_use]
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(MAX_CLOSE_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = &reason[..end];
    let len = 2 + reason.len();
    let mut frame = Vec::with_capacity(framed_len(len));
    push_header(&mut frame, CLOSE, len);
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame.into()
}

/// The length of the header of a frame with a payload of `len` bytes.
const fn header_len(len: usize) -> usize {
    match len {
        0..126 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

const fn framed_len(len: usize) -> usize {
    header_len(len) + len
}

/// Appends the header of an unmasked frame (RFC 6455, section 5.2).
fn push_header(out: &mut Vec<u8>, kind: u8, len: usize) {
    out.push(kind);
    let be = (len as u64).to_be_bytes();
    match header_len(len) {
        2 => out.push(be[7]),
        4 => {
            out.push(126);
            out.extend_from_slice(&be[6..]);
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&be);
        }
    }
}

fn push_frame(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    push_header(out, kind, payload.len());
    out.extend_from_slice(payload);
}

/// Appends the decimal digits of `number`.
fn push_number(out: &mut SmallVec<[u8; 64]>, number: u64) {
    let start = out.len();
    let mut rest = number;
    loop {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out[start..].reverse();
}

/// The polling form of frames that this module has made.
fn encode_polling(mut websocket: &[u8]) -> Bytes {
    // Base64 makes four characters of three bytes, and every frame becomes at most two longer.
    let mut payload = Vec::with_capacity(websocket.len().div_ceil(3) * 4 + 4);
    while let Some((kind, packet, rest)) = split_frame(websocket) {
        if !payload.is_empty() {
            payload.push(engine::SEPARATOR);
        }
        if kind == BINARY {
            engine::push_binary(&mut payload, packet);
        } else {
            payload.extend_from_slice(packet);
        }
        websocket = rest;
    }
    payload.into()
}

/// Splits the first frame off: its kind, its payload, and what follows.
fn split_frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, short], rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = match short {
        126 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*len)), rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*len), rest)
        }
        _ => (u64::from(short), rest),
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some((kind, payload, rest))
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
