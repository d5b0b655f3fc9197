//! WebSocket frames: the one that is broadcast, small ones of the server's, and what is worth knowing of a client's.

use std::io::{self, ErrorKind};

const FIN_TEXT: u8 = 0x81;
const OPENING: &str = r#"42["chat:message",""#;
const ENDING: &str = r#""]"#;

/// The broadcast frame, as many times in a row as one write has needed so far.
pub(crate) struct Broadcast {
    frame: Vec<u8>,
    repeated: Vec<u8>,
}

impl Broadcast {
    /// A frame of `bytes` bytes in total: header, packet, and a text that fills the rest.
    pub(crate) fn of_size(bytes: usize) -> Result<Self, String> {
        let smallest = 2 + OPENING.len() + ENDING.len();
        // A payload that fits a shorter header must have it (RFC 6455, 5.2), so a few totals do not exist.
        let Some(payload) = [2, 4, 10]
            .into_iter()
            .filter_map(|header| bytes.checked_sub(header).map(|payload| (header, payload)))
            .find(|&(header, payload)| header_bytes(payload) == header)
            .map(|(_, payload)| payload)
            .filter(|_| bytes >= smallest)
        else {
            return Err(format!(
                "FRAME_BYTES: no chat frame has {bytes} bytes; the smallest has {smallest}"
            ));
        };
        let text = "x".repeat(payload - OPENING.len() - ENDING.len());
        let frame = text_frame(&format!("{OPENING}{text}{ENDING}"));
        Ok(Self {
            repeated: frame.clone(),
            frame,
        })
    }

    /// `count` frames in a row.
    pub(crate) fn times(&mut self, count: usize) -> &[u8] {
        let bytes = count * self.frame.len();
        while self.repeated.len() < bytes {
            self.repeated.extend_from_slice(&self.frame);
        }
        &self.repeated[..bytes]
    }
}

/// A text message in one frame, unmasked as a server's are.
pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    let length = text.len();
    let mut frame = Vec::with_capacity(header_bytes(length) + length);
    frame.push(FIN_TEXT);
    match length {
        0..=125 => frame.push(length as u8),
        126..=0xffff => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(text.as_bytes());
    frame
}

fn header_bytes(payload: usize) -> usize {
    match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// A frame of a client's, and how many bytes it took.
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) bytes: usize,
}

pub(crate) enum Message {
    Text(Head),
    Close,
    /// A ping or pong of WebSocket's own, which no load generator waits for.
    Control,
}

/// How a text message begins, unmasked. The rest is nobody's business here.
pub(crate) struct Head {
    bytes: [u8; Self::BYTES],
    length: usize,
}

impl Head {
    /// `42` and the 16 digits of the largest ack id, and a little.
    const BYTES: usize = 24;

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A frame that no client may send, or that this program does not understand.
#[derive(Debug)]
pub(crate) struct Violation;

impl From<Violation> for io::Error {
    fn from(Violation: Violation) -> Self {
        ErrorKind::InvalidData.into()
    }
}

const MAX_PAYLOAD: u64 = 1_000_000;

/// The first frame of `input`; `None` until it is there as a whole.
pub(crate) fn parse(input: &[u8]) -> Result<Option<Received>, Violation> {
    let [first, second, rest @ ..] = input else {
        return Ok(None);
    };
    if second & 0x80 == 0 {
        return Err(Violation);
    }
    let (length, rest) = match (second & 0x7f, rest) {
        (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
        (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest)
        }
        (126 | 127, _) => return Ok(None),
        (short, rest) => (u64::from(short), rest),
    };
    if length > MAX_PAYLOAD {
        return Err(Violation);
    }
    let length = length as usize;
    let Some((mask, payload)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let Some(payload) = payload.get(..length) else {
        return Ok(None);
    };
    let bytes = input.len() - rest.len() + mask.len() + length;
    let message = match *first {
        FIN_TEXT => Message::Text(unmask_head(payload, mask)),
        0x88 => Message::Close,
        0x89 | 0x8a => Message::Control,
        _ => return Err(Violation),
    };
    Ok(Some(Received { message, bytes }))
}

fn unmask_head(payload: &[u8], mask: &[u8; 4]) -> Head {
    let mut bytes = [0; Head::BYTES];
    let length = payload.len().min(Head::BYTES);
    for (index, (to, from)) in bytes.iter_mut().zip(payload).enumerate() {
        *to = from ^ mask[index % 4];
    }
    Head { bytes, length }
}
