//! Questions between nodes, and their answers.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{Selection, serial};
use crate::{
    NodeId, Room, SocketId, UserId,
    protocol::{AckData, EventData},
};

/// How many answers may wait to be taken.
const MAX_WAITING_REPLIES: usize = 1_024;

/// Something that one node asks of all others. Brokers write and read it by serde, in any format; the parts of an event come as the text of its JSON and base64.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// Let go of a socket whose client has come back elsewhere: answered by [`Reply::TakenOver`].
    TakeOver {
        /// The socket.
        socket: SocketId,
        /// The node that has it. The others answer too, and do nothing.
        node: NodeId,
    },
    /// Say who you are and how many sockets you have: answered by [`Reply::Node`].
    Nodes,
    /// An event for the nodes themselves.
    ServerEvent {
        /// The namespace.
        namespace: Arc<str>,
        /// The event.
        #[serde(with = "serial::event")]
        event: EventData,
    },
    /// The same, and each node is to answer: by [`Reply::ServerEvent`].
    ServerEventWithAck {
        /// The namespace.
        namespace: Arc<str>,
        /// The event.
        #[serde(with = "serial::event")]
        event: EventData,
    },
    /// Send an event to the selected sockets and collect what their clients answer: answered by [`Reply::Answers`], once all have
    /// answered or the time is over, or by [`Reply::Refused`].
    EmitWithAck {
        /// Which sockets.
        sockets: Selection,
        /// The event.
        #[serde(with = "serial::event")]
        event: EventData,
        /// How long the clients have.
        timeout: Duration,
        /// Whether it may be dropped for a client that does not keep up.
        volatile: bool,
    },
}

/// A node's answer. Brokers write and read it by serde, as [`Request`]s.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// To [`Request::TakeOver`].
    TakenOver {
        /// The node that answers.
        node: NodeId,
    },
    /// To [`Request::ServerEventWithAck`].
    ServerEvent {
        /// The node that answers.
        node: NodeId,
        /// Its answer; `None` when it has no handler, or that one gave none.
        #[serde(with = "serial::answer")]
        answer: Option<AckData>,
    },
    /// To [`Request::EmitWithAck`].
    Answers {
        /// The node that answers.
        node: NodeId,
        /// What its sockets' clients answered.
        #[serde(with = "serial::answers")]
        answers: Vec<(SocketId, AckData)>,
        /// Those of its sockets whose clients did not.
        silent: Vec<SocketId>,
    },
    /// To [`Request::EmitWithAck`], when more sockets are meant than may be asked: none was.
    Refused {
        /// The node that answers.
        node: NodeId,
    },
}

/// A socket, as other nodes see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SocketSummary {
    /// The socket.
    pub id: SocketId,
    /// Whose it is.
    pub user: UserId,
    /// The rooms it is in.
    pub rooms: Vec<Room>,
    /// The namespace that it is in.
    pub namespace: Arc<str>,
    /// The node that it is connected to; `None` for a node without a broker.
    pub node: Option<NodeId>,
    /// The client's address, if it is told.
    pub remote_addr: Option<IpAddr>,
    /// When it was let in, if that is told.
    pub connected_at: Option<SystemTime>,
}

impl SocketSummary {
    /// A description of a socket, in the namespace `/`.
    #[must_use]
    pub fn new(id: SocketId, user: UserId, rooms: Vec<Room>) -> Self {
        Self {
            id,
            user,
            rooms,
            namespace: "/".into(),
            node: None,
            remote_addr: None,
            connected_at: None,
        }
    }

    /// Sets the namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the node.
    #[must_use]
    pub fn node(mut self, node: NodeId) -> Self {
        self.node = Some(node);
        self
    }

    /// Sets the client's address.
    #[must_use]
    pub fn remote_addr(mut self, remote_addr: IpAddr) -> Self {
        self.remote_addr = Some(remote_addr);
        self
    }

    /// Sets when it was let in.
    #[must_use]
    pub fn connected_at(mut self, connected_at: SystemTime) -> Self {
        self.connected_at = Some(connected_at);
        self
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

    /// Whether nobody waits for answers any more: a broker that keeps sinks may forget such a one.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Hands over an answer; says whether anyone still waits for it.
    pub async fn send(&self, reply: Reply) -> bool {
        self.0.send(reply).await.is_ok()
    }
}
