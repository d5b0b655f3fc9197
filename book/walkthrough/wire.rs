use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use slimy_rt::{
    NodeId, Room,
    broker::{Audience, Position, Publication},
    protocol::{EncodeError, EventData},
};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest frame, in bytes: nobody can make the other side reserve more.
const MAX_FRAME: u32 = 64 * 1024 * 1024;

/// What a node says to the hub.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToHub {
    /// Put this into the log. Answered by `Done`.
    Publish(Vec<Packed>),
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
    /// The publication with this number.
    Entry(u64, Packed),
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

/// A publication as it travels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Packed {
    id: Option<(NodeId, u64)>,
    namespace: String,
    rooms: Vec<Room>,
    except: Vec<Room>,
    event: String,
    attachments: Vec<Vec<u8>>,
    volatile: bool,
}

impl Packed {
    pub fn new(publication: &Publication) -> Self {
        let attachments = publication.event.attachments();
        Self {
            id: publication.id.clone(),
            namespace: publication.namespace.to_string(),
            rooms: publication.audience.rooms.clone(),
            except: publication.audience.except.clone(),
            event: publication.event.json().to_string(),
            attachments: attachments.iter().map(|bytes| bytes.to_vec()).collect(),
            volatile: publication.volatile,
        }
    }

    /// The error is an event that no client would take.
    pub fn unpack(self) -> Result<Publication, EncodeError> {
        let audience = Audience {
            rooms: self.rooms,
            except: self.except,
        };
        let attachments = self.attachments.into_iter().map(Into::into).collect();
        let event = EventData::from_parts(self.event.into(), attachments)?;
        let namespace = self.namespace.into();
        let publication = Publication::new(self.id, namespace, audience, event);
        Ok(publication.volatile(self.volatile))
    }
}

/// A message as a frame: its length in four bytes, then JSON.
pub fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    if length > MAX_FRAME {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(json);
    Ok(frame)
}

/// Reads one frame. Not to be dropped halfway: what was read of it is lost, and the line with it.
pub async fn read<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = from.read_u32().await?;
    if length > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut json = vec![0; length as usize];
    from.read_exact(&mut json).await?;
    Ok(serde_json::from_slice(&json)?)
}
