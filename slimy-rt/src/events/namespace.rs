//! A namespace's handlers.

use std::{collections::HashMap, fmt, pin::Pin, sync::Arc};

use super::{Event, OnServerSide, ServerSideEvent, Socket};
use crate::protocol::{AckData, DisconnectReason};

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;
type OnConnect = Arc<dyn Fn(Socket) -> BoxFuture + Send + Sync>;
type OnEvent = Arc<dyn Fn(Event) -> BoxFuture + Send + Sync>;
type OnDisconnect = Arc<dyn Fn(Socket, DisconnectReason) -> BoxFuture + Send + Sync>;

/// A namespace and what happens in it.
///
/// ```
/// use slimy_rt::events::{Event, Namespace, Socket};
///
/// let namespace = Namespace::new("/")
///     .on_connect(|socket: Socket| async move { tracing::info!(id = %socket.id(), "hello") })
///     .on("echo", |mut event: Event| async move {
///         let text: Option<String> = event.arguments().parse(0).ok();
///         if let Some(ack) = event.take_ack() {
///             if let Err(e) = ack.send(&text) {
///                 tracing::debug!(error = %e, "the client has gone");
///             }
///         }
///     });
/// ```
pub struct Namespace {
    name: Arc<str>,
    handlers: Handlers,
}

/// What happens in a namespace.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    pub(crate) on_connect: Option<OnConnect>,
    pub(crate) on_event: HashMap<Box<str>, OnEvent>,
    pub(crate) on_disconnect: Option<OnDisconnect>,
    pub(crate) on_server_side: HashMap<Box<str>, OnServerSide>,
}

impl Namespace {
    /// The namespace of that name: `/`, or `/` and more. The server's builder refuses another.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            handlers: Handlers::default(),
        }
    }

    /// Called when a socket has been let in, before any of its events.
    #[must_use]
    pub fn on_connect<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Socket) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let handler = Arc::new(handler);
        // The call itself belongs into the future: a panic in either is caught where it is polled.
        self.handlers.on_connect = Some(Arc::new(move |socket| {
            let handler = Arc::clone(&handler);
            Box::pin(async move { handler(socket).await })
        }));
        self
    }

    /// Called for each event of that name. A second handler for a name replaces the first.
    #[must_use]
    pub fn on<F, R>(mut self, event: &str, handler: F) -> Self
    where
        F: Fn(Event) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let handler: OnEvent = Arc::new(move |event| {
            let handler = Arc::clone(&handler);
            Box::pin(async move { handler(event).await })
        });
        self.handlers.on_event.insert(event.into(), handler);
        self
    }

    /// Called when a socket has left the namespace, after its last event's handler has ended.
    #[must_use]
    pub fn on_disconnect<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Socket, DisconnectReason) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.handlers.on_disconnect = Some(Arc::new(move |socket, reason| {
            let handler = Arc::clone(&handler);
            Box::pin(async move { handler(socket, reason).await })
        }));
        self
    }

    /// Called for each server-side event of that name that another node sends. What it gives is this node's answer.
    #[must_use]
    pub fn on_server_side<F, R>(mut self, event: &str, handler: F) -> Self
    where
        F: Fn(ServerSideEvent) -> R + Send + Sync + 'static,
        R: Future<Output = Option<AckData>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let handler: OnServerSide = Arc::new(move |event| {
            let handler = Arc::clone(&handler);
            Box::pin(async move { handler(event).await })
        });
        self.handlers.on_server_side.insert(event.into(), handler);
        self
    }

    pub(crate) fn into_parts(self) -> (Arc<str>, Handlers) {
        (self.name, self.handlers)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.on_event.keys()).finish()
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = self.handlers.on_event.keys();
        f.debug_struct("Namespace")
            .field("name", &self.name)
            .field("events", &events)
            .finish()
    }
}
