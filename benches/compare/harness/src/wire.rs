//! As much of HTTP, WebSocket and Socket.IO as a client needs, on bytes.

use std::net::SocketAddr;

/// FIN and the opcode of a text frame (RFC 6455, section 5.2).
const TEXT: u8 = 0x81;
/// The bit that says that a frame is masked.
const MASKED: u8 = 0x80;

/// The request that opens a WebSocket.
pub(crate) fn upgrade_request(addr: SocketAddr, cookie: &str) -> Vec<u8> {
    format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2xpbXktcnQtYmVuY2gtMQ==\r\nCookie: {cookie}\r\n\r\n"
    )
    .into_bytes()
}

/// A client's text frame. The mask is zero, which is as good as another here and costs nothing to apply.
pub(crate) fn push_text(out: &mut Vec<u8>, payload: &[u8]) {
    out.push(TEXT);
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => out.push(MASKED | short),
        _ => {
            let length = u16::try_from(payload.len()).expect("what is sent here is short");
            out.push(MASKED | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// What a server sends, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// The Engine.IO handshake.
    Open,
    Ping,
    Connected,
    Event,
    Ack,
    Other,
}

impl Packet {
    pub(crate) fn of(payload: &[u8]) -> Self {
        match payload {
            [b'4', b'2', ..] => Self::Event,
            [b'4', b'3', ..] => Self::Ack,
            [b'2'] => Self::Ping,
            [b'4', b'0', ..] => Self::Connected,
            [b'0', ..] => Self::Open,
            _ => Self::Other,
        }
    }
}

/// The first frame's payload, and where the next one starts; `None` when it is not all there.
pub(crate) fn frame(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (&[_, short], rest) = bytes.split_first_chunk::<2>()?;
    let (header, len) = match short {
        126 => {
            let (len, _) = rest.split_first_chunk::<2>()?;
            (4, usize::from(u16::from_be_bytes(*len)))
        }
        127 => {
            let (len, _) = rest.split_first_chunk::<8>()?;
            (10, usize::try_from(u64::from_be_bytes(*len)).ok()?)
        }
        _ => (2, usize::from(short)),
    };
    let end = header + len;
    Some((bytes.get(header..end)?, end))
}

/// The length of an HTTP answer's head, once it is all there.
pub(crate) fn head_len(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(end + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_in_any_pieces() {
        for len in [1, 125, 126, 300, 70_000] {
            let payload = vec![b'4'; len];
            let mut bytes = vec![TEXT];
            match len {
                0..126 => bytes.push(len as u8),
                126..65_536 => {
                    bytes.push(126);
                    bytes.extend((len as u16).to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend((len as u64).to_be_bytes());
                }
            }
            bytes.extend(&payload);
            for end in 0..bytes.len() {
                assert_eq!(frame(&bytes[..end]), None, "{len} {end}");
            }
            bytes.push(7);
            assert_eq!(frame(&bytes), Some((&payload[..], bytes.len() - 1)));
        }
    }

    #[test]
    fn packets_are_told_apart() {
        for (payload, packet) in [
            (r#"42["chat:message",{}]"#, Packet::Event),
            ("431[]", Packet::Ack),
            ("2", Packet::Ping),
            (r#"40{"sid":"x"}"#, Packet::Connected),
            (r#"0{"sid":"x"}"#, Packet::Open),
            ("44{}", Packet::Other),
        ] {
            assert_eq!(Packet::of(payload.as_bytes()), packet);
        }
    }

    #[test]
    fn a_message_is_masked_and_its_length_is_minimal() {
        for (len, header) in [(5, 6), (125, 6), (126, 8), (400, 8)] {
            let mut out = Vec::new();
            push_text(&mut out, &vec![b'x'; len]);
            assert_eq!((out.len(), out[1] & MASKED), (header + len, MASKED));
        }
    }
}
