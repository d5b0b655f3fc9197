//! What programs handle and send: namespaces with their handlers, sockets, acks, and emitters.
//!
//! Handlers of one socket run one at a time, in the order in which its events came; heartbeats are answered meanwhile. A handler that
//! panics or takes longer than the server's `handler_timeout` ends alone: the client's ack is answered with `server_error`, and the socket lives on.

mod ack;
mod answer;
mod answers;
mod emitter;
mod extract;
mod handler;
mod namespace;
mod pattern;
mod room;
mod rooms;
mod server_side;
mod socket;
mod socket_emit;
mod state;

use std::fmt;

pub(crate) use self::{
    ack::PendingAcks,
    answers::Questions,
    handler::BoxFuture,
    namespace::{Handlers, Listener, OnServerSide},
    pattern::Pattern,
    socket::SocketInner,
    state::States,
};
pub use self::{
    ack::{Ack, AckError},
    answer::{Answer, ConnectError, IntoAck, IntoOutcome, Rejection},
    answers::{Answers, ClusterError, Fetched, MAX_ANSWER_BYTES, MAX_FETCHED_SOCKETS, NodeAnswers},
    emitter::{Broadcast, Emitter},
    extract::{Args, Attachments, Binary, Data, FromEvent, FromSocket, Payload},
    handler::{Disconnect, Extract, Handler},
    namespace::Namespace,
    room::{IntoRoom, JoinError},
    server_side::ServerSideEvent,
    socket::Socket,
    socket_emit::SocketEmit,
    state::{Requirements, State},
};
pub use crate::protocol::{AckData, Arguments, DisconnectReason, EventData};
use crate::{
    InvalidId,
    protocol::{self, EncodeError},
};

/// One event that a client sent. A cheap clone.
#[derive(Clone)]
pub struct Event {
    socket: Socket,
    event: protocol::Event,
    ack: Ack,
}

impl Event {
    pub(crate) fn new(socket: Socket, event: protocol::Event, ack: Ack) -> Self {
        Self { socket, event, ack }
    }

    /// The socket that sent it.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.event.name()
    }

    /// What came with it.
    #[must_use]
    pub fn arguments(&self) -> &Arguments {
        self.event.arguments()
    }

    /// The way to answer.
    #[must_use]
    pub fn ack(&self) -> Ack {
        self.ack.clone()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// Why an event was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The event's name is reserved, or its payload cannot be written as JSON.
    #[error(transparent)]
    Data(#[from] EncodeError),
    /// The socket is no longer connected.
    #[error("the socket is no longer connected")]
    Disconnected,
    /// The name of one of the rooms is none.
    #[error(transparent)]
    Room(#[from] InvalidId),
}
