//! Questions between nodes, and their answers.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Selection;
use crate::{NodeId, Room, SocketId, UserId, protocol::EventData};

/// How many answers may wait to be taken.
const MAX_WAITING_REPLIES: usize = 1_024;

/// Something that one node asks of all others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Request {
    /// Join the selected sockets to rooms.
    Join {
        /// Which sockets.
        sockets: Selection,
        /// Which rooms.
        rooms: Vec<Room>,
    },
    /// Take the selected sockets out of rooms.
    Leave {
        /// Which sockets.
        sockets: Selection,
        /// Which rooms.
        rooms: Vec<Room>,
    },
    /// Disconnect the selected sockets.
    Disconnect {
        /// Which sockets.
        sockets: Selection,
        /// Whether the transport is closed too.
        close: bool,
    },
    /// Describe the selected sockets: answered by [`Reply::Sockets`].
    Fetch {
        /// Which sockets.
        sockets: Selection,
    },
    /// Say who you are and how many sockets you have: answered by [`Reply::Node`].
    Nodes,
    /// An event for the nodes themselves.
    ServerEvent {
        /// The namespace.
        namespace: Arc<str>,
        /// The event.
        event: EventData,
    },
}

/// A node's answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reply {
    /// To [`Request::Fetch`].
    Sockets(Vec<SocketSummary>),
    /// To [`Request::Nodes`].
    Node {
        /// The node that answers.
        id: NodeId,
        /// How many sockets it has.
        sockets: usize,
    },
}

/// A socket, as other nodes see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketSummary {
    /// The socket.
    pub id: SocketId,
    /// Whose it is.
    pub user: UserId,
    /// The rooms it is in.
    pub rooms: Vec<Room>,
}

impl SocketSummary {
    /// A description of a socket.
    #[must_use]
    pub fn new(id: SocketId, user: UserId, rooms: Vec<Room>) -> Self {
        Self { id, user, rooms }
    }
}

/// Where answers go. Answers that nobody takes any more are dropped.
#[derive(Clone, Debug)]
pub struct ReplySink(mpsc::Sender<Reply>);

impl ReplySink {
    /// A sink and what comes out of it. It is bounded: a sender waits while 1,024 answers wait.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Reply>) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING_REPLIES);
        (Self(sender), receiver)
    }

    /// Hands over an answer; says whether anyone still waits for it.
    pub async fn send(&self, reply: Reply) -> bool {
        self.0.send(reply).await.is_ok()
    }
}
