use std::io;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use slimy_rt::broker::Position;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest frame, in bytes: nobody can make the other side reserve more.
const MAX_FRAME: u32 = 64 * 1024 * 1024;

/// What a node says to the hub.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToHub {
    /// Put the publication that comes with this into the log.
    Publish,
    /// Say `Done` when all of that is in the log.
    Confirm,
    /// From now on, tell me of everything behind this place; without a place, of everything new.
    Follow(Option<Place>),
}

/// What the hub says to a node.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromHub {
    /// It is in the log.
    Done,
    /// What comes next lies behind this place. If it is not where the node is, the node has missed something.
    At(Place),
    /// The publication with this number comes with this.
    Entry(u64),
    /// Nothing new, but the line is not dead.
    Alive,
}

/// A place in the log. Another epoch is another log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub epoch: String,
    pub number: u64,
}

impl Place {
    pub fn position(&self) -> Position {
        Position::new(format!("{}:{}", self.epoch, self.number))
    }
}

/// A message as a frame: its length in four bytes, then the message as a line of JSON, then the bytes that come with it.
pub fn frame(message: &impl Serialize, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let length = u32::try_from(line.len() + bytes.len()).unwrap_or(u32::MAX);
    if length > MAX_FRAME {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(line);
    frame.extend_from_slice(bytes);
    Ok(frame)
}

/// Reads one frame. Not to be dropped halfway: what was read of it is lost, and the line with it.
pub async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<(T, Bytes)> {
    let length = from.read_u32().await?;
    if length > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length as usize];
    from.read_exact(&mut frame).await?;
    let end = frame.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or(io::ErrorKind::InvalidData)?;
    let message = serde_json::from_slice(&frame[..end])?;
    Ok((message, Bytes::from(frame).slice(end + 1..)))
}
