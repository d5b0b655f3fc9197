//! The server: drives the protocol over real connections.
//!
//! It holds no protocol rules of its own (those are [`protocol`](crate::protocol)'s) and knows nothing of chat. A [`Server`] is built
//! from an authenticator and namespaces, mounted as a tower service, and shut down by whoever runs it.

mod admission;
pub(crate) mod authorization;
mod bound;
mod builder;
pub(crate) mod cluster;
mod config;
mod connection;
pub(crate) mod core;
mod engine_app;
pub mod forwarded;
pub(crate) mod link;
pub mod origin;
mod polling;
pub(crate) mod recovery;
pub(crate) mod sequencer;
pub mod serve;
mod service;
mod shard;
mod shutdown;
mod stats;
#[cfg(feature = "tls")]
pub mod tls;
mod websocket;
mod wheel;
mod worker;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[cfg(fuzzing)]
pub use self::websocket::meter;
pub use self::{
    authorization::{Access, Authorized, Refusal},
    bound::Bound,
    builder::{BuildError, ServerBuilder},
    config::Config,
    engine_app::{EngineApp, EngineSocket},
    service::{ResponseFuture, SocketIoService},
    stats::{EventReport, Refused, Report},
};
pub(crate) use self::{core::Core, stats::Stats};
#[cfg(feature = "api")]
use crate::auth::Identity;
use crate::{
    auth::{Authenticator, Handshake},
    events::Emitter,
    session::SessionStore,
};

/// A running server. A cheap clone; its tasks run until [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct Server {
    core: Arc<Core>,
}

impl Server {
    /// Begins to build a Socket.IO server. Whoever connects has to pass `authenticator`: without one there is no server.
    #[must_use]
    pub fn builder(authenticator: impl Authenticator) -> ServerBuilder {
        ServerBuilder::new(Arc::new(authenticator))
    }

    /// Begins to build a server of bare Engine.IO sessions, which authenticates nobody.
    #[must_use]
    pub fn engine_builder(app: impl EngineApp) -> ServerBuilder {
        ServerBuilder::engine(Arc::new(app))
    }

    fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The service to mount.
    #[must_use]
    pub fn service(&self) -> SocketIoService {
        SocketIoService::new(Arc::clone(&self.core))
    }

    /// Sends to the sockets of a namespace; `None` when there is no such namespace, and no pattern that its name matches.
    #[must_use]
    pub fn emitter(&self, namespace: &str) -> Option<Emitter> {
        let (name, _) = self.core.namespace(namespace)?;
        Some(Emitter::new(Arc::clone(&self.core), name))
    }

    /// Who a request comes from and what it may see, by the same rules as for sockets. Belonging to no guild is no refusal here.
    ///
    /// # Errors
    /// [`Refusal`] says whether it is the client's fault.
    pub async fn authorize(&self, handshake: &Handshake) -> Result<Authorized, Refusal> {
        self.core.authorization.authorize(handshake).await
    }

    /// Who a request comes from, whatever it may see.
    #[cfg(feature = "api")]
    pub(crate) async fn identify(&self, handshake: &Handshake) -> Result<Identity, Refusal> {
        self.core.authorization.identify(handshake).await
    }

    /// What whoever that is may see.
    #[cfg(feature = "api")]
    pub(crate) async fn access(&self, identity: &Identity) -> Result<Access, Refusal> {
        self.core.authorization.access(identity).await
    }

    /// The session store, if there is one.
    #[must_use]
    pub fn sessions(&self) -> Option<&Arc<dyn SessionStore>> {
        self.core.authorization.sessions()
    }

    /// Which pages may connect.
    #[must_use]
    pub fn origins(&self) -> &origin::Origins {
        &self.core.origins
    }

    /// Whose forwarding headers are believed.
    #[must_use]
    pub fn proxies(&self) -> &forwarded::TrustedProxies {
        &self.core.proxies
    }

    /// Whether new clients are welcome: not once a shutdown has begun. A broker that is down does not matter here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.core.is_closing() && !self.core.stop.is_cancelled()
    }

    /// Waits until the server can do no more: it was shut down, or something that it cannot do without has panicked.
    pub async fn stopped(&self) {
        self.core.stop.cancelled().await;
    }

    /// Whether the broker can be reached; `None` without a broker.
    #[must_use]
    pub fn is_broker_up(&self) -> Option<bool> {
        self.core.cluster.as_ref().map(|cluster| cluster.is_up())
    }

    /// What the server has done so far and has now.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = self.core.stats.report(self.core.sequencer.room_count());
        report.publications_waiting = self.core.cluster.as_ref().map_or(0, |c| c.waiting());
        report
    }

    /// Bytes of output that wait for clients now. It looks at every connection.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.core.pending_bytes()
    }

    /// What the handlers of events have done, namespace by namespace in the order of names. Events that a namespace's fallback handles, or nobody, have no name here: it is
    /// the client's.
    #[must_use]
    pub fn events(&self) -> Vec<EventReport> {
        self.core.program.events()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

/// Locks a mutex; nothing that panics leaves what these guard half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
