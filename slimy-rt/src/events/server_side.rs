//! Events between nodes, which no client sees.

use std::fmt;

use super::{Emitter, States};
use crate::protocol::{self, Arguments};

/// One event that another node sent to the nodes themselves. A cheap clone.
#[derive(Clone)]
pub struct ServerSideEvent {
    emitter: Emitter,
    event: protocol::Event,
    wanted: bool,
}

impl ServerSideEvent {
    pub(crate) fn new(emitter: Emitter, event: protocol::Event, wanted: bool) -> Self {
        Self {
            emitter,
            event,
            wanted,
        }
    }

    /// Sends to the sockets of the namespace that it was sent in.
    #[must_use]
    pub fn emitter(&self) -> &Emitter {
        &self.emitter
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

    /// Whether the other node waits for an answer.
    #[must_use]
    pub fn is_answer_wanted(&self) -> bool {
        self.wanted
    }

    pub(crate) fn states(&self) -> &States {
        self.emitter.states()
    }
}

impl fmt::Debug for ServerSideEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSideEvent")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
