//! What programs handle and send: namespaces with their handlers, sockets, acks, and emitters.
//!
//! Handlers of one socket run one at a time, in the order in which its events came; heartbeats are answered meanwhile. A handler that
//! panics or takes longer than the server's `handler_timeout` ends alone: the client's ack is answered with `server_error`, and the socket lives on.

mod ack;
mod answers;
mod emitter;
mod namespace;
mod room;
mod server_side;
mod socket;
mod socket_emit;

use std::fmt;

pub(crate) use self::{
    ack::PendingAcks, answers::Questions, namespace::Handlers, server_side::OnServerSide,
    socket::SocketInner,
};
pub use self::{
    ack::{Ack, AckError},
    answers::{Answers, ClusterError, Fetched, MAX_ANSWER_BYTES, MAX_FETCHED_SOCKETS, NodeAnswers},
    emitter::{Broadcast, Emitter},
    namespace::Namespace,
    room::{IntoRoom, JoinError},
    server_side::ServerSideEvent,
    socket::Socket,
    socket_emit::SocketEmit,
};
use crate::{
    InvalidId,
    protocol::{self, Arguments, EncodeError},
};

/// One event that a client sent.
pub struct Event {
    socket: Socket,
    event: protocol::Event,
    ack: Option<Ack>,
}

impl Event {
    pub(crate) fn new(socket: Socket, event: protocol::Event, ack: Option<Ack>) -> Self {
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

    /// The way to answer, when the client asked for an answer and it was not taken yet.
    pub fn take_ack(&mut self) -> Option<Ack> {
        self.ack.take()
    }

    pub(crate) fn ack(&self) -> Option<&Ack> {
        self.ack.as_ref()
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
