//! Socket.IO v5: what a client's packets are, and which of them close the connection.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use bytestring::ByteString;
use memchr::memchr;

pub use super::arguments::{ArgumentError, Arguments, Event};
use super::json::{self, JsonError};

/// The largest ack id: the largest integer that JavaScript holds exactly.
pub const MAX_ACK_ID: u64 = (1 << 53) - 1;

/// The names that an event must not have (Socket.IO protocol v5).
pub const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// What one packet may hold. A packet beyond it closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketLimits {
    /// Binary attachments of one packet: 10.
    pub max_attachments: usize,
    /// Bytes of one packet's attachments together: 1,000,000.
    pub max_attachment_bytes: usize,
    /// Nesting of arrays and objects in a packet's JSON: 128, which is also the most that is possible.
    pub max_depth: usize,
    /// Bytes of a namespace's name: 256.
    pub max_namespace_len: usize,
}

impl Default for PacketLimits {
    fn default() -> Self {
        Self {
            max_attachments: 10,
            max_attachment_bytes: 1_000_000,
            max_depth: json::MAX_DEPTH,
            max_namespace_len: 256,
        }
    }
}

/// A packet as clients send it, complete with its attachments. Texts share the buffer they arrived in.
#[derive(Clone, PartialEq, Eq)]
pub enum Packet {
    /// The client asks to join a namespace.
    Connect {
        /// The namespace, without its query string.
        namespace: ByteString,
        /// What the client gives to authenticate: the text of a JSON object.
        auth: Option<ByteString>,
    },
    /// The client leaves a namespace.
    Disconnect {
        /// The namespace.
        namespace: ByteString,
    },
    /// An event.
    Event {
        /// The namespace.
        namespace: ByteString,
        /// The id to acknowledge the event with, if the client wants that; at most [`MAX_ACK_ID`].
        id: Option<u64>,
        /// Its name and arguments.
        event: Event,
    },
    /// The answer to one of the server's events.
    Ack {
        /// The namespace.
        namespace: ByteString,
        /// The event's id; at most [`MAX_ACK_ID`].
        id: u64,
        /// What is answered.
        arguments: Arguments,
    },
}

impl Packet {
    /// The namespace that the packet is for.
    #[must_use]
    pub fn namespace(&self) -> &ByteString {
        match self {
            Self::Connect { namespace, .. }
            | Self::Disconnect { namespace }
            | Self::Event { namespace, .. }
            | Self::Ack { namespace, .. } => namespace,
        }
    }
}

/// Leaves out what a client authenticates with, and its arguments.
impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id, event) = match self {
            Self::Connect { .. } => ("Connect", None, None),
            Self::Disconnect { .. } => ("Disconnect", None, None),
            Self::Event { id, event, .. } => ("Event", *id, Some(event.name())),
            Self::Ack { id, .. } => ("Ack", Some(*id), None),
        };
        f.debug_struct(kind)
            .field("namespace", self.namespace())
            .field("id", &id)
            .field("event", &event)
            .finish_non_exhaustive()
    }
}

/// A client's packet that Socket.IO v5 does not allow. All of them close the connection, as a parse error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The first character is no packet type.
    #[error("unknown packet type")]
    UnknownType,
    /// Only servers send CONNECT_ERROR.
    #[error("CONNECT_ERROR from a client")]
    ConnectErrorFromClient,
    /// The number of attachments is not an integer followed by `-`, or is 0.
    #[error("illegal number of attachments")]
    IllegalAttachments,
    /// The number of attachments exceeds [`PacketLimits::max_attachments`].
    #[error("too many attachments")]
    TooManyAttachments,
    /// The attachments together exceed [`PacketLimits::max_attachment_bytes`].
    #[error("attachments are too large")]
    AttachmentsTooLarge,
    /// A text packet came while attachments are missing.
    #[error("text while attachments are awaited")]
    UnexpectedText,
    /// A binary message came that no packet announced.
    #[error("binary that no packet announced")]
    UnexpectedBinary,
    /// A placeholder's `num` is no number, or the index of no attachment.
    #[error("placeholder without attachment")]
    IllegalPlaceholder,
    /// The namespace is longer than [`PacketLimits::max_namespace_len`].
    #[error("namespace is too long")]
    NamespaceTooLong,
    /// The namespace has control characters.
    #[error("illegal namespace")]
    IllegalNamespace,
    /// The ack id is not made of digits, or exceeds [`MAX_ACK_ID`].
    #[error("illegal ack id")]
    IllegalAckId,
    /// An ACK has no id.
    #[error("ACK without id")]
    MissingAckId,
    /// The payload is not JSON, or something follows it.
    #[error("payload is not JSON")]
    IllegalJson,
    /// The payload nests deeper than [`PacketLimits::max_depth`].
    #[error("payload nests too deeply")]
    TooDeep,
    /// A CONNECT payload is not an object.
    #[error("CONNECT payload is not an object")]
    ConnectPayload,
    /// A DISCONNECT has a payload.
    #[error("DISCONNECT with payload")]
    DisconnectPayload,
    /// An EVENT or ACK payload is absent or not an array.
    #[error("payload is not an array")]
    NotAnArray,
    /// An EVENT has no name: the array is empty, or its first element is neither a string nor a number.
    #[error("event without name")]
    IllegalEventName,
    /// An EVENT has one of the [`RESERVED_EVENTS`]' names.
    #[error("reserved event name")]
    ReservedEventName,
}

impl From<JsonError> for PacketError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Syntax => Self::IllegalJson,
            JsonError::TooDeep => Self::TooDeep,
        }
    }
}

/// Decodes one client's packets; keeps a packet whose attachments are not all there yet.
///
/// After an error the connection is to be closed; the decoder has forgotten the incomplete packet.
#[derive(Debug)]
pub struct Decoder {
    limits: PacketLimits,
    /// Boxed, since nearly no connection awaits anything.
    pending: Option<Box<Pending>>,
}

/// A packet that lacks attachments.
#[derive(Debug)]
struct Pending {
    packet: Packet,
    /// The attachments so far.
    attachments: Vec<Bytes>,
    bytes: usize,
    announced: usize,
}

impl Decoder {
    /// A decoder that awaits a new packet.
    #[must_use]
    pub fn new(limits: PacketLimits) -> Self {
        Self {
            limits,
            pending: None,
        }
    }

    /// Whether a packet's attachments are missing.
    #[must_use]
    pub fn awaits_binary(&self) -> bool {
        self.pending.is_some()
    }

    /// Takes the text of an Engine.IO message. A packet with attachments comes with the last of them.
    ///
    /// # Errors
    /// [`PacketError`] says which rule is broken.
    pub fn text(&mut self, text: ByteString) -> Result<Option<Packet>, PacketError> {
        if self.pending.take().is_some() {
            return Err(PacketError::UnexpectedText);
        }
        let kind = *text.as_bytes().first().ok_or(PacketError::UnknownType)?;
        match kind {
            b'0'..=b'3' => self.packet(kind, &text, &text[1..], 0).map(Some),
            b'4' => Err(PacketError::ConnectErrorFromClient),
            b'5' | b'6' => {
                let (announced, rest) = self.attachments(&text[1..])?;
                let packet = self.packet(kind - 3, &text, rest, announced)?;
                self.pending = Some(Box::new(Pending {
                    packet,
                    attachments: Vec::with_capacity(announced),
                    bytes: 0,
                    announced,
                }));
                Ok(None)
            }
            _ => Err(PacketError::UnknownType),
        }
    }

    /// Takes a binary Engine.IO message; returns the packet that it completes.
    ///
    /// # Errors
    /// [`PacketError::UnexpectedBinary`] and [`PacketError::AttachmentsTooLarge`].
    pub fn binary(&mut self, bytes: Bytes) -> Result<Option<Packet>, PacketError> {
        let mut pending = self.pending.take().ok_or(PacketError::UnexpectedBinary)?;
        pending.bytes = pending.bytes.saturating_add(bytes.len());
        if pending.bytes > self.limits.max_attachment_bytes {
            return Err(PacketError::AttachmentsTooLarge);
        }
        pending.attachments.push(bytes);
        if pending.attachments.len() < pending.announced {
            self.pending = Some(pending);
            return Ok(None);
        }
        let Pending {
            mut packet,
            attachments,
            ..
        } = *pending;
        if let Packet::Event {
            event: Event { arguments, .. },
            ..
        }
        | Packet::Ack { arguments, .. } = &mut packet
        {
            arguments.attachments = attachments;
        }
        Ok(Some(packet))
    }

    /// Reads `<number>-`; returns what follows too.
    fn attachments<'a>(&self, text: &'a str) -> Result<(usize, &'a str), PacketError> {
        let (digits, rest) = text.split_at(json::skip_digits(text.as_bytes(), 0));
        let rest = rest
            .strip_prefix('-')
            .ok_or(PacketError::IllegalAttachments)?;
        match digits.parse::<usize>() {
            Ok(0) => Err(PacketError::IllegalAttachments),
            Ok(number) if number <= self.limits.max_attachments => Ok((number, rest)),
            Err(_) if digits.is_empty() => Err(PacketError::IllegalAttachments),
            _ => Err(PacketError::TooManyAttachments),
        }
    }

    /// Reads the packet of non-binary type `kind` from `rest`, which is the end of `text`.
    fn packet(
        &self,
        kind: u8,
        text: &ByteString,
        rest: &str,
        attachments: usize,
    ) -> Result<Packet, PacketError> {
        let (namespace, rest) = self.namespace(text, rest)?;
        match kind {
            b'0' => {
                let auth = json::trim(rest);
                if auth.is_empty() {
                    return Ok(Packet::Connect {
                        namespace,
                        auth: None,
                    });
                }
                json::validate(auth, self.limits.max_depth)?;
                if !auth.starts_with('{') {
                    return Err(PacketError::ConnectPayload);
                }
                Ok(Packet::Connect {
                    namespace,
                    auth: Some(text.slice_ref(auth)),
                })
            }
            b'1' if rest.is_empty() => Ok(Packet::Disconnect { namespace }),
            b'1' => Err(PacketError::DisconnectPayload),
            b'2' => {
                let (id, json) = self.array(rest, attachments)?;
                let event = event(text.slice_ref(json))?;
                Ok(Packet::Event {
                    namespace,
                    id,
                    event,
                })
            }
            _ => {
                let (id, json) = self.array(rest, attachments)?;
                Ok(Packet::Ack {
                    namespace,
                    id: id.ok_or(PacketError::MissingAckId)?,
                    arguments: Arguments {
                        json: text.slice_ref(json),
                        start: json::skip_whitespace(json.as_bytes(), 1),
                        attachments: Vec::new(),
                    },
                })
            }
        }
    }

    /// Reads the namespace, if one is given, and its comma; returns what follows too.
    fn namespace<'a>(
        &self,
        text: &ByteString,
        rest: &'a str,
    ) -> Result<(ByteString, &'a str), PacketError> {
        if !rest.starts_with('/') {
            return Ok((ByteString::from_static("/"), rest));
        }
        let (given, rest) = match memchr(b',', rest.as_bytes()) {
            Some(comma) => (&rest[..comma], &rest[comma + 1..]),
            None => (rest, ""),
        };
        let name = given.split_once('?').map_or(given, |(name, _query)| name);
        if name.len() > self.limits.max_namespace_len {
            return Err(PacketError::NamespaceTooLong);
        }
        // Echoed in a polling payload, a control character could pass for a separator.
        if name.chars().any(char::is_control) {
            return Err(PacketError::IllegalNamespace);
        }
        Ok((text.slice_ref(name), rest))
    }

    /// Reads an ack id, if one is given, and a valid array, whose placeholders fit if it has `attachments`.
    fn array<'a>(
        &self,
        text: &'a str,
        attachments: usize,
    ) -> Result<(Option<u64>, &'a str), PacketError> {
        let (digits, rest) = text.split_at(json::skip_digits(text.as_bytes(), 0));
        let id = match digits {
            "" => None,
            _ => match digits.parse() {
                Ok(id) if id <= MAX_ACK_ID => Some(id),
                _ => return Err(PacketError::IllegalAckId),
            },
        };
        let json = json::trim(rest);
        if json.is_empty() {
            return Err(PacketError::NotAnArray);
        }
        match json::validate(json, self.limits.max_depth) {
            Ok(()) if !json.starts_with('[') => Err(PacketError::NotAnArray),
            Ok(()) if attachments > 0 && !json::placeholders_fit(json, attachments) => {
                Err(PacketError::IllegalPlaceholder)
            }
            Ok(()) => Ok((id, json)),
            // What can neither be digits nor begin such JSON stands where the id should.
            Err(JsonError::Syntax) if !json.starts_with(['[', '{', '"']) => {
                Err(PacketError::IllegalAckId)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads an event from its valid array.
fn event(json: ByteString) -> Result<Event, PacketError> {
    let (name, start) = event_name(&json).ok_or(PacketError::IllegalEventName)?;
    if reserved_event(&name).is_some() {
        return Err(PacketError::ReservedEventName);
    }
    let name = match name {
        Cow::Borrowed(name) => json.slice_ref(name),
        Cow::Owned(name) => name.into(),
    };
    Ok(Event {
        name,
        arguments: Arguments {
            json,
            start,
            attachments: Vec::new(),
        },
    })
}

/// The name of the event whose valid array is `json`, and where its arguments start.
pub(super) fn event_name(json: &str) -> Option<(Cow<'_, str>, usize)> {
    let bytes = json.as_bytes();
    let at = json::skip_whitespace(bytes, 1);
    let end = json::skip_value(bytes, at);
    let name = match json.get(at..end)?.as_bytes() {
        [b'"', .., b'"'] => json::unescape(&json[at + 1..end - 1]),
        [b'-' | b'0'..=b'9', ..] => Cow::Borrowed(&json[at..end]),
        _ => return None,
    };
    Some((name, json::next_element(bytes, end)))
}

/// The reserved name that `name` is, if it is one.
pub(super) fn reserved_event(name: &str) -> Option<&'static str> {
    RESERVED_EVENTS
        .into_iter()
        .find(|&reserved| reserved == name)
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
