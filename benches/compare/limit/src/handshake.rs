//! The HTTP request that opens a WebSocket, and its answer.

use base64::{Engine, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};

const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// What a client's first bytes are.
pub(crate) enum Request {
    Incomplete,
    /// An upgrade: what to answer, and how many bytes it took.
    Upgrade {
        answer: String,
        bytes: usize,
    },
    Refused,
}

pub(crate) const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

pub(crate) fn read(input: &[u8]) -> Request {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let bytes = match request.parse(input) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) if input.len() < MAX_HEAD_BYTES => {
            return Request::Incomplete;
        }
        _ => return Request::Refused,
    };
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    };
    let upgrades = header("upgrade").is_some_and(|to| to.eq_ignore_ascii_case(b"websocket"));
    match header("sec-websocket-key") {
        Some(key) if upgrades && request.method == Some("GET") => Request::Upgrade {
            answer: accept(key),
            bytes,
        },
        _ => Request::Refused,
    }
}

fn accept(key: &[u8]) -> String {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    let accept = BASE64_STANDARD.encode(digest);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}
