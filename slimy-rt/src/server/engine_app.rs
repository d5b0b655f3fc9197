//! Programs that speak Engine.IO without Socket.IO.

use std::{fmt, sync::Arc};

use super::{
    core::Core,
    link::{Command, LinkRef},
};
use crate::protocol::{DisconnectReason, Frame, session::Message};

/// A program over bare Engine.IO sessions: no namespaces, no events, and **no authentication** of its own.
///
/// Its functions are called by the connection's task and should return at once.
pub trait EngineApp: fmt::Debug + Send + Sync + 'static {
    /// A session was opened.
    fn opened(&self, socket: &EngineSocket) {
        let _ = socket;
    }

    /// A message came.
    fn message(&self, socket: &EngineSocket, message: Message);

    /// The session was closed.
    fn closed(&self, socket: &EngineSocket, reason: DisconnectReason) {
        let _ = (socket, reason);
    }
}

/// One Engine.IO session.
#[derive(Clone)]
pub struct EngineSocket {
    core: Arc<Core>,
    link: LinkRef,
}

impl EngineSocket {
    pub(crate) fn new(core: Arc<Core>, link: LinkRef) -> Self {
        Self { core, link }
    }

    /// Sends a message.
    pub fn send(&self, message: &Message) {
        let frame = match message {
            Message::Text(text) => Frame::message(text),
            Message::Binary(bytes) => Frame::binary(bytes),
        };
        self.core
            .sequencer
            .send(self.link.key, Arc::new(frame), false);
    }

    /// Closes the session.
    pub fn close(&self) {
        self.link
            .send(Command::Close(DisconnectReason::ForcedClose));
    }
}

impl fmt::Debug for EngineSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineSocket")
            .field("key", &self.link.key)
            .finish_non_exhaustive()
    }
}
