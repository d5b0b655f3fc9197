//! Sending to many sockets.

use std::{fmt, sync::Arc};

use serde::Serialize;

use super::EmitError;
use crate::{
    Room,
    broker::Audience,
    protocol::EventData,
    server::sequencer::{Flags, Sequencer},
};

/// Sends to the sockets of a namespace, on every node, from any task. A cheap clone.
#[derive(Clone)]
pub struct Emitter {
    sequencer: Arc<Sequencer>,
    namespace: Arc<str>,
}

impl Emitter {
    pub(crate) fn new(sequencer: Arc<Sequencer>, namespace: Arc<str>) -> Self {
        Self {
            sequencer,
            namespace,
        }
    }

    /// To the members of a room.
    pub fn to(&self, room: Room) -> Broadcast {
        self.all().to(room)
    }

    /// To everyone in the namespace.
    pub fn all(&self) -> Broadcast {
        Broadcast {
            emitter: self.clone(),
            audience: Audience::default(),
            flags: Flags::default(),
        }
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// One event's audience. A socket gets one copy, whatever rooms it is in.
#[derive(Debug)]
#[must_use = "nothing is sent before `emit`"]
pub struct Broadcast {
    emitter: Emitter,
    audience: Audience,
    flags: Flags,
}

impl Broadcast {
    /// Also to the members of this room.
    pub fn to(mut self, room: Room) -> Self {
        self.audience.rooms.push(room);
        self
    }

    /// But not to the members of this room.
    pub fn except(mut self, room: Room) -> Self {
        self.audience.except.push(room);
        self
    }

    /// May be dropped for a client that does not keep up.
    pub fn volatile(mut self) -> Self {
        self.flags.volatile = true;
        self
    }

    /// Only on this node.
    pub fn local(mut self) -> Self {
        self.flags.local = true;
        self
    }

    /// Sends an event with one argument.
    ///
    /// # Errors
    /// When the name is reserved, or the payload cannot be written as JSON.
    pub fn emit<T: Serialize + ?Sized>(self, event: &str, payload: &T) -> Result<(), EmitError> {
        self.emit_data(EventData::new(event, payload)?);
        Ok(())
    }

    /// Sends an event with any arguments and attachments.
    pub fn emit_data(self, event: EventData) {
        let Emitter {
            sequencer,
            namespace,
        } = &self.emitter;
        sequencer.publish(namespace, self.audience, event, self.flags);
    }
}
