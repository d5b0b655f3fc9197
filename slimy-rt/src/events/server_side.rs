//! Events between the nodes of a cluster.

use std::{fmt, sync::Arc};

use super::{Emitter, state::States};
use crate::protocol::Arguments;

/// An event that another node's program sent to this one's. A cheap clone.
#[derive(Clone)]
pub struct ServerSideEvent {
    emitter: Emitter,
    arguments: Arguments,
    states: Arc<States>,
}

impl ServerSideEvent {
    /// Sends to the sockets of the namespace.
    #[must_use]
    pub fn emitter(&self) -> &Emitter {
        &self.emitter
    }

    /// What came with it.
    #[must_use]
    pub fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    pub(crate) fn states(&self) -> &States {
        &self.states
    }
}

impl fmt::Debug for ServerSideEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSideEvent").finish_non_exhaustive()
    }
}
