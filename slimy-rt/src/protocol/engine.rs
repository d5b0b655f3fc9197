//! Engine.IO v4: packets, polling payloads, the handshake and its errors.

use std::{fmt, time::Duration};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use bytestring::ByteString;
use memchr::memchr;

use super::json;

/// What separates the packets of a polling payload (Engine.IO v4).
pub const SEPARATOR: u8 = 0x1e;

/// The packets that one polling payload may have, unless configured otherwise.
pub const DEFAULT_MAX_PAYLOAD_PACKETS: usize = 16 * 1024;

/// Base64 as Node reads it: padding may be absent and the last character's spare bits may be set.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One Engine.IO packet. A WebSocket's binary frame is a [`Packet::Binary`] as it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Packet {
    /// `0`: the handshake, as JSON text. Only servers send it.
    Open(ByteString),
    /// `1`: the transport is to be closed.
    Close,
    /// `2`: a heartbeat. Only servers send it.
    Ping,
    /// `2probe`: the first packet on a WebSocket that a session is to be upgraded to.
    PingProbe,
    /// `3`: the answer to a heartbeat.
    Pong,
    /// `3probe`: the answer to a probe. Only servers send it.
    PongProbe,
    /// `4`: text for the layer above.
    Message(ByteString),
    /// A binary message for the layer above.
    Binary(Bytes),
    /// `5`: the upgrade is complete.
    Upgrade,
    /// `6`: nothing; it ends a hanging poll.
    Noop,
}

/// Shows the kind and the size only: messages are the users' own, and a handshake holds a credential.
impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(_) => f.write_str("Open"),
            Self::Close => f.write_str("Close"),
            Self::Ping => f.write_str("Ping"),
            Self::PingProbe => f.write_str("PingProbe"),
            Self::Pong => f.write_str("Pong"),
            Self::PongProbe => f.write_str("PongProbe"),
            Self::Message(text) => write!(f, "Message({} bytes)", text.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
            Self::Upgrade => f.write_str("Upgrade"),
            Self::Noop => f.write_str("Noop"),
        }
    }
}

/// A peer's packet or payload that Engine.IO v4 does not allow. The session is closed with a parse error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The packet, or the whole payload, is empty.
    #[error("empty packet")]
    Empty,
    /// The first character is no packet type.
    #[error("unknown packet type")]
    UnknownType,
    /// Data follows a packet type that has none.
    #[error("unexpected data after the packet type")]
    UnexpectedData,
    /// A binary packet is not base64.
    #[error("invalid base64")]
    Base64,
    /// The payload has more packets than are accepted.
    #[error("too many packets in one payload")]
    TooManyPackets,
}

/// Decodes one packet: a WebSocket's text frame, or one part of a polling payload (Engine.IO v4).
///
/// `b` and base64 is binary on either, since a client may be told to use base64 over WebSocket too. The result shares
/// `text`'s buffer; only base64 allocates, three quarters of its length.
///
/// # Errors
/// [`DecodeError`] says what is wrong with the packet.
pub fn decode_text(text: ByteString) -> Result<Packet, DecodeError> {
    let (&kind, _) = text.as_bytes().split_first().ok_or(DecodeError::Empty)?;
    if !kind.is_ascii() {
        return Err(DecodeError::UnknownType);
    }
    let data = &text[1..];
    match (kind, data) {
        (b'4', _) => Ok(Packet::Message(text.slice_ref(data))),
        (b'b', _) => match BASE64.decode(data) {
            Ok(bytes) => Ok(Packet::Binary(bytes.into())),
            Err(_) => Err(DecodeError::Base64),
        },
        (b'0', _) => Ok(Packet::Open(text.slice_ref(data))),
        (b'1', "") => Ok(Packet::Close),
        (b'2', "") => Ok(Packet::Ping),
        (b'2', "probe") => Ok(Packet::PingProbe),
        (b'3', "") => Ok(Packet::Pong),
        (b'3', "probe") => Ok(Packet::PongProbe),
        (b'5', "") => Ok(Packet::Upgrade),
        (b'6', "") => Ok(Packet::Noop),
        (b'1'..=b'6', _) => Err(DecodeError::UnexpectedData),
        _ => Err(DecodeError::UnknownType),
    }
}

/// Decodes a polling payload, packet by packet as the iterator is driven.
///
/// At most `max_packets` packets are decoded; one more is an error. Text shares `body`'s buffer, so that what all
/// packets hold together never exceeds twice the body's length.
#[must_use]
pub fn decode_payload(body: ByteString, max_packets: usize) -> Payload {
    Payload {
        rest: Some(body),
        remaining: max_packets,
    }
}

/// The packets of a polling payload; made by [`decode_payload`]. Nothing follows an error.
pub struct Payload {
    rest: Option<ByteString>,
    remaining: usize,
}

impl Iterator for Payload {
    type Item = Result<Packet, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let body = self.rest.take()?;
        let Some(remaining) = self.remaining.checked_sub(1) else {
            return Some(Err(DecodeError::TooManyPackets));
        };
        self.remaining = remaining;
        let (packet, rest) = match memchr(SEPARATOR, body.as_bytes()) {
            Some(end) => (
                body.slice_ref(&body[..end]),
                Some(body.slice_ref(&body[end + 1..])),
            ),
            None => (body, None),
        };
        let packet = decode_text(packet);
        if packet.is_ok() {
            self.rest = rest;
        }
        Some(packet)
    }
}

impl std::iter::FusedIterator for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.rest.as_ref().map_or(0, |rest| rest.len());
        f.debug_struct("Payload")
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

/// Appends a binary packet as polling payloads carry it: `b` and base64 with padding.
pub(super) fn push_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'b');
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
}

/// What the open packet tells a client.
#[derive(Clone, Copy)]
pub struct HandshakeData<'a> {
    /// The session's id: a credential.
    pub sid: &'a str,
    /// Whether the client may upgrade to WebSocket: not when it is there already.
    pub upgrade: bool,
    /// How often the server pings.
    pub ping_interval: Duration,
    /// How long after a ping the server waits for the pong.
    pub ping_timeout: Duration,
    /// The largest message or polling payload that the server accepts, in bytes.
    pub max_payload: usize,
}

impl HandshakeData<'_> {
    /// The open packet: `0{"sid":"…","upgrades":["websocket"],"pingInterval":25000,…}`, times in milliseconds.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut packet = String::from(r#"0{"sid":"#);
        json::write_string(&mut packet, self.sid);
        packet += r#","upgrades":["#;
        packet += if self.upgrade { r#""websocket""# } else { "" };
        for (key, value) in [
            (r#"],"pingInterval":"#, self.ping_interval.as_millis()),
            (r#","pingTimeout":"#, self.ping_timeout.as_millis()),
            (r#","maxPayload":"#, self.max_payload as u128),
        ] {
            packet += key;
            packet += &value.to_string();
        }
        packet.push('}');
        packet
    }
}

/// Leaves the session's id out.
impl fmt::Debug for HandshakeData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeData")
            .field("upgrade", &self.upgrade)
            .field("ping_interval", &self.ping_interval)
            .field("ping_timeout", &self.ping_timeout)
            .field("max_payload", &self.max_payload)
            .finish_non_exhaustive()
    }
}

/// Why an HTTP request is refused, as Engine.IO numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.message())]
pub enum HandshakeError {
    /// The `transport` parameter names none that is served.
    TransportUnknown = 0,
    /// The `sid` parameter names no session.
    SessionUnknown = 1,
    /// A handshake that is no GET.
    BadHandshakeMethod = 2,
    /// Anything else that is wrong with the request.
    BadRequest = 3,
    /// The application refuses the client.
    Forbidden = 4,
    /// The `EIO` parameter is not 4.
    UnsupportedVersion = 5,
}

impl HandshakeError {
    /// The error's number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The error's text; a refused WebSocket upgrade has it as its body.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::TransportUnknown => "Transport unknown",
            Self::SessionUnknown => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    /// The HTTP status: 403 for [`HandshakeError::Forbidden`], 400 for the others.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            _ => 400,
        }
    }

    /// The body of the answer: `{"code":0,"message":"Transport unknown"}`.
    #[must_use]
    pub fn json(self) -> String {
        format!(
            r#"{{"code":{},"message":"{}"}}"#,
            self.code(),
            self.message()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Result<Packet, DecodeError> {
        decode_text(ByteString::from_static(text))
    }

    fn payload(body: &'static str, max: usize) -> Vec<Result<Packet, DecodeError>> {
        decode_payload(ByteString::from_static(body), max).collect()
    }

    fn message(text: &'static str) -> Result<Packet, DecodeError> {
        Ok(Packet::Message(ByteString::from_static(text)))
    }

    fn binary(bytes: &'static [u8]) -> Result<Packet, DecodeError> {
        Ok(Packet::Binary(Bytes::from_static(bytes)))
    }

    #[test]
    fn every_packet_type_is_decoded() {
        assert_eq!(text("0{}"), Ok(Packet::Open("{}".into())));
        assert_eq!(text("1"), Ok(Packet::Close));
        assert_eq!(text("2"), Ok(Packet::Ping));
        assert_eq!(text("2probe"), Ok(Packet::PingProbe));
        assert_eq!(text("3"), Ok(Packet::Pong));
        assert_eq!(text("3probe"), Ok(Packet::PongProbe));
        assert_eq!(text("4hello"), message("hello"));
        assert_eq!(text("4"), message(""));
        assert_eq!(text("5"), Ok(Packet::Upgrade));
        assert_eq!(text("6"), Ok(Packet::Noop));
        assert_eq!(text("bAQIDBA=="), binary(&[1, 2, 3, 4]));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        assert_eq!(text(""), Err(DecodeError::Empty));
        for unknown in ["abc", "7", "é", "-1", " 4"] {
            assert_eq!(text(unknown), Err(DecodeError::UnknownType), "{unknown}");
        }
        for data in ["1x", "2prob", "2probe ", "3x", "5 ", "60"] {
            assert_eq!(text(data), Err(DecodeError::UnexpectedData), "{data}");
        }
        for base64 in ["b*", "bA", "bAQ=A", "b===", "bAQ= ", "bé"] {
            assert_eq!(text(base64), Err(DecodeError::Base64), "{base64}");
        }
    }

    #[test]
    fn base64_is_read_as_node_reads_it() {
        assert_eq!(text("b"), binary(&[]));
        assert_eq!(text("bAQIDBA"), binary(&[1, 2, 3, 4]));
        assert_eq!(text("bAQ="), binary(&[1]));
        assert_eq!(text("bAR=="), binary(&[1]));
    }

    #[test]
    fn payloads_are_split_at_the_separator() {
        assert_eq!(payload("4hello", 9), [message("hello")]);
        assert_eq!(
            payload("4test1\x1e4test2\x1e4test3", 9),
            [message("test1"), message("test2"), message("test3")]
        );
        assert_eq!(
            payload("4hello\x1ebAQIDBA==", 9),
            [message("hello"), binary(&[1, 2, 3, 4])]
        );
    }

    #[test]
    fn payloads_end_at_the_first_error() {
        assert_eq!(payload("", 9), [Err(DecodeError::Empty)]);
        assert_eq!(payload("abc\x1e4a", 9), [Err(DecodeError::UnknownType)]);
        assert_eq!(
            payload("4a\x1e", 9),
            [message("a"), Err(DecodeError::Empty)]
        );
        assert_eq!(payload("\x1e4a", 9), [Err(DecodeError::Empty)]);
    }

    #[test]
    fn payloads_have_a_bounded_number_of_packets() {
        assert_eq!(payload("3\x1e3", 2), [Ok(Packet::Pong), Ok(Packet::Pong)]);
        assert_eq!(
            payload("3\x1e3\x1e3", 2),
            [
                Ok(Packet::Pong),
                Ok(Packet::Pong),
                Err(DecodeError::TooManyPackets)
            ]
        );
    }

    #[test]
    fn the_open_packet_has_its_keys_in_order() {
        let mut data = HandshakeData {
            sid: "lv_VI97HAXpY6yYWAAAC",
            upgrade: true,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: 1_000_000,
        };
        assert_eq!(
            data.encode(),
            r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        data.upgrade = false;
        assert!(data.encode().contains(r#""upgrades":[],"#));
        assert!(!format!("{data:?}").contains("lv_VI97"));
    }

    #[test]
    fn the_error_table_is_that_of_engine_io() {
        use HandshakeError::*;
        let table = [
            (
                TransportUnknown,
                400,
                r#"{"code":0,"message":"Transport unknown"}"#,
            ),
            (
                SessionUnknown,
                400,
                r#"{"code":1,"message":"Session ID unknown"}"#,
            ),
            (
                BadHandshakeMethod,
                400,
                r#"{"code":2,"message":"Bad handshake method"}"#,
            ),
            (BadRequest, 400, r#"{"code":3,"message":"Bad request"}"#),
            (Forbidden, 403, r#"{"code":4,"message":"Forbidden"}"#),
            (
                UnsupportedVersion,
                400,
                r#"{"code":5,"message":"Unsupported protocol version"}"#,
            ),
        ];
        for (error, status, json) in table {
            assert_eq!((error.status(), error.json().as_str()), (status, json));
        }
    }
}
