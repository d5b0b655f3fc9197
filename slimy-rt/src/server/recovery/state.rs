//! What is kept of a client that may come back, and the credential by which it does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::offset::Offset;
use crate::{NodeId, Pid, Room, SocketId, UserId, events::Socket, server::sequencer::Received};

/// The state of one socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(super) socket: SocketId,
    pub(super) namespace: Arc<str>,
    pub(super) user: UserId,
    pub(super) rooms: Vec<Room>,
    /// The node that has the socket, unless it was cut off.
    pub(super) node: Option<NodeId>,
    /// Of the rooms that it joined after it had come in, what had been said by then.
    #[serde(default)]
    pub(super) later: Vec<(Room, Received)>,
    /// What it had received elsewhere, or was said before, when it came here.
    pub(super) received: Received,
}

impl State {
    pub(super) fn of(socket: &Socket, node: Option<NodeId>, received: Received) -> Self {
        let (rooms, later) = {
            let rooms = socket.rooms_mut();
            (rooms.to_vec(), rooms.later().to_vec())
        };
        Self {
            socket: socket.id().clone(),
            namespace: Arc::clone(socket.shared_namespace()),
            user: socket.identity().user.id.clone(),
            rooms,
            later,
            node,
            received,
        }
    }
}

/// What a client shows to come back: its private id, and what it has received.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(super) pid: Pid,
    pub(super) offset: Offset,
}

impl Claim {
    /// Reads a CONNECT packet's payload: `{"pid":"…","offset":"…"}` among other things.
    pub(crate) fn read(auth: &Value) -> Option<Self> {
        let text = |key| auth.get(key).and_then(Value::as_str);
        Some(Self {
            pid: Pid::parse(text("pid")?)?,
            offset: Offset::parse(text("offset")?)?,
        })
    }
}
