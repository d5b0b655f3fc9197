//! A namespace and its handlers.

use std::{collections::HashMap, fmt, sync::Arc};

use super::{
    Event, IntoAck, IntoOutcome, Rejection, ServerSideEvent, Socket,
    answer::ConnectError,
    handler::{Disconnect, Erased, Handler, erase},
    pattern::Pattern,
    state::Requirements,
};
use crate::{
    histogram::{Histogram, Latencies},
    protocol::AckData,
};

/// A namespace and what happens in it.
///
/// Handlers are async functions of *extractors*: what they name as their arguments, they get.
/// ```
/// use slimy_rt::events::{Answer, Namespace, Payload, Rejection, Socket};
///
/// async fn joined(socket: Socket) {
///     tracing::info!(id = %socket.id(), "hello");
/// }
///
/// async fn shout(Payload(text): Payload<String>) -> Result<Answer<String>, Rejection> {
///     match text.is_empty() {
///         true => Err(Rejection::new("empty", "there is nothing to shout")),
///         false => Ok(Answer(text.to_uppercase())),
///     }
/// }
///
/// let namespace = Namespace::new("/").on_connect(joined).on("shout", shout);
/// ```
///
/// Handlers of one socket run one at a time, in the order in which its events came, unless they were added by [`on_concurrent`](Self::on_concurrent). One
/// that panics or takes longer than `handler_timeout` ends alone: the client that asked for an answer gets `server_error`.
///
/// # Namespaces that come and go
/// A name with segments in braces is a pattern: `/tenants/{tenant}` answers to `/tenants/a` and `/tenants/b`, which are two namespaces with the same handlers. Each is
/// there while it has sockets; [`Socket::param`] says what stood in the braces. Exact names come first, then patterns in the order in which they were added.
pub struct Namespace {
    pattern: Pattern,
    handlers: Handlers,
}

pub(crate) type OnEvent = Erased<Event, ()>;
pub(crate) type OnServerSide = Erased<ServerSideEvent, Option<AckData>>;

/// What happens in a namespace.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    pub(crate) connect_middleware: Vec<Erased<Socket, Result<(), ConnectError>>>,
    pub(crate) event_middleware: Vec<Erased<Event, Result<(), Rejection>>>,
    pub(crate) on_connect: Option<Erased<Socket, ()>>,
    on_event: HashMap<Box<str>, Listener>,
    fallback: Option<Listener>,
    pub(crate) on_access_change: Option<Erased<Socket, ()>>,
    pub(crate) on_disconnect: Option<Erased<Disconnect, ()>>,
    pub(crate) on_server_side: HashMap<Box<str>, OnServerSide>,
    pub(crate) requirements: Requirements,
    /// What was added a second time.
    pub(crate) twice: Option<Box<str>>,
}

/// What handles an event.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) handler: OnEvent,
    /// The socket's next events do not wait for it.
    pub(crate) concurrent: bool,
    /// How long it took each time.
    pub(crate) took: Arc<Histogram>,
}

impl Namespace {
    /// The namespace of that name: `/`, or `/` and more, without commas and question marks. A name with `{segments}` is a pattern. The server's `build` refuses another.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::with(Pattern::new(name))
    }

    /// Namespaces that come and go, for all names that the function accepts. It is called for each client that asks for a name, before anything is known of the client: keep it cheap.
    #[must_use]
    pub fn matching(accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self::with(Pattern::Matching(Arc::new(accepts)))
    }

    fn with(pattern: Pattern) -> Self {
        Self {
            pattern,
            handlers: Handlers::default(),
        }
    }

    /// Asked before a socket is let in, after the authenticator and the session store have accepted its user. Several are asked in the order in which they were added;
    /// the first error refuses the socket, and the client's `connect_error` gets its message and data.
    ///
    /// The socket is not connected yet: it has an identity, takes data and joins rooms, in which it is once it is let in. It receives nothing before.
    ///
    /// It is asked once. What may change while the socket is connected belongs into an [`event_middleware`](Self::event_middleware) or
    /// [`on_access_change`](Self::on_access_change).
    #[must_use]
    pub fn connect_middleware<H, Args>(mut self, middleware: H) -> Self
    where
        Args: 'static,
        H: Handler<Socket, Args, Output = Result<(), ConnectError>>,
    {
        H::requires(self.handlers.requirements.of("a connect middleware"));
        let middleware = erase(middleware, |result| match result {
            Ok(answer) => answer,
            Err(rejection) => Err(rejection.into()),
        });
        self.handlers.connect_middleware.push(middleware);
        self
    }

    /// Asked about each event before its handler, in the order in which they were added; also about events that nobody handles. The first rejection is the
    /// client's answer, and the handler is not called.
    #[must_use]
    pub fn event_middleware<H, Args>(mut self, middleware: H) -> Self
    where
        Args: 'static,
        H: Handler<Event, Args, Output = Result<(), Rejection>>,
    {
        H::requires(self.handlers.requirements.of("an event middleware"));
        let middleware = erase(middleware, |result| result?);
        self.handlers.event_middleware.push(middleware);
        self
    }

    /// Called when a socket has been let in, before any of its events.
    #[must_use]
    pub fn on_connect<H, Args>(mut self, handler: H) -> Self
    where
        Args: 'static,
        H: Handler<Socket, Args>,
        H::Output: IntoOutcome,
    {
        H::requires(self.handlers.requirements.of("the handler `on_connect`"));
        let before = self
            .handlers
            .on_connect
            .replace(erase(handler, log_rejection));
        self.once(before, "`on_connect`")
    }

    /// Called for each event of that name. A second handler for a name is a mistake, which the server's `build` reports.
    #[must_use]
    pub fn on<H, Args>(mut self, event: &str, handler: H) -> Self
    where
        Args: 'static,
        H: Handler<Event, Args>,
        H::Output: IntoAck,
    {
        let listener = self.listener(format!("the handler of {event:?}"), handler, false);
        let before = self.handlers.on_event.insert(event.into(), listener);
        self.once(before, event)
    }

    /// As [`on`](Self::on), but the socket's next events do not wait for this handler: for what takes long and needs no order. It begins once the events before it have begun, ended or not. At most
    /// [`max_concurrent_handlers`](crate::server::Config::max_concurrent_handlers) run for a socket; then its next events do wait.
    #[must_use]
    pub fn on_concurrent<H, Args>(mut self, event: &str, handler: H) -> Self
    where
        Args: 'static,
        H: Handler<Event, Args>,
        H::Output: IntoAck,
    {
        let listener = self.listener(format!("the handler of {event:?}"), handler, true);
        let before = self.handlers.on_event.insert(event.into(), listener);
        self.once(before, event)
    }

    /// Called for each event that has no handler of its own. Without it such events are ignored.
    #[must_use]
    pub fn fallback<H, Args>(mut self, handler: H) -> Self
    where
        Args: 'static,
        H: Handler<Event, Args>,
        H::Output: IntoAck,
    {
        let listener = self.listener("the fallback handler".into(), handler, false);
        let before = self.handlers.fallback.replace(listener);
        self.once(before, "`fallback`")
    }

    /// Called when the session store changed what a connected socket's user may see: [`Socket::access`] is that of now. The rooms of the user's guilds and of the
    /// administrators have followed already. Everything else that was decided by the access before has not: connect middleware is not asked again, and rooms that the
    /// program joined stay. Several changes may be one call.
    #[must_use]
    pub fn on_access_change<H, Args>(mut self, handler: H) -> Self
    where
        Args: 'static,
        H: Handler<Socket, Args>,
        H::Output: IntoOutcome,
    {
        H::requires(
            self.handlers
                .requirements
                .of("the handler `on_access_change`"),
        );
        let handler = erase(handler, log_rejection);
        let before = self.handlers.on_access_change.replace(handler);
        self.once(before, "`on_access_change`")
    }

    /// Called when a socket has left the namespace, after its last event's handler has ended.
    #[must_use]
    pub fn on_disconnect<H, Args>(mut self, handler: H) -> Self
    where
        Args: 'static,
        H: Handler<Disconnect, Args>,
        H::Output: IntoOutcome,
    {
        H::requires(self.handlers.requirements.of("the handler `on_disconnect`"));
        let before = self
            .handlers
            .on_disconnect
            .replace(erase(handler, log_rejection));
        self.once(before, "`on_disconnect`")
    }

    /// Called for each server-side event of that name that another node sends. What it returns answers
    /// [`server_side_emit_with_ack`](super::Emitter::server_side_emit_with_ack).
    #[must_use]
    pub fn on_server_side<H, Args>(mut self, event: &str, handler: H) -> Self
    where
        Args: 'static,
        H: Handler<ServerSideEvent, Args>,
        H::Output: IntoAck,
    {
        let name = format!("the handler of the server-side event {event:?}");
        H::requires(self.handlers.requirements.of(name));
        let handler = erase(handler, |result| {
            let data = match result {
                Ok(answer) => answer.into_ack(),
                Err(rejection) => rejection.into_ack(),
            };
            data.unwrap_or_else(|error| {
                tracing::error!(%error, "an answer to a server-side event cannot be sent");
                None
            })
        });
        let before = self.handlers.on_server_side.insert(event.into(), handler);
        self.once(before, event)
    }

    /// Notes that something was there before.
    fn once<T>(mut self, before: Option<T>, what: &str) -> Self {
        if before.is_some() {
            self.handlers.twice = Some(what.into());
        }
        self
    }

    fn listener<H, Args>(&mut self, name: String, handler: H, concurrent: bool) -> Listener
    where
        Args: 'static,
        H: Handler<Event, Args>,
        H::Output: IntoAck,
    {
        H::requires(self.handlers.requirements.of(name));
        let handler = Arc::new(handler);
        let handler: OnEvent = Arc::new(move |event: Event| {
            let handler = Arc::clone(&handler);
            Box::pin(async move {
                let ack = event.ack();
                match handler.call(event).await {
                    Ok(answer) => ack.answer(answer),
                    Err(rejection) => ack.answer(rejection),
                }
            })
        });
        Listener {
            handler,
            concurrent,
            took: Arc::default(),
        }
    }

    pub(crate) fn into_parts(mut self) -> (Pattern, Handlers) {
        if !self.handlers.event_middleware.is_empty() {
            // The middleware sees every event, also those that nobody handles.
            self.handlers.fallback.get_or_insert_with(|| Listener {
                handler: Arc::new(|_| Box::pin(std::future::ready(()))),
                concurrent: false,
                took: Arc::default(),
            });
        }
        (self.pattern, self.handlers)
    }
}

impl Handlers {
    /// What handles events of that name.
    pub(crate) fn listener(&self, event: &str) -> Option<&Listener> {
        self.on_event.get(event).or(self.fallback.as_ref())
    }

    /// The names of events, in their order, and how long their handlers took.
    pub(crate) fn latencies(&self) -> Vec<(&str, Latencies)> {
        let events = self.on_event.iter();
        let mut events: Vec<_> = events.map(|(name, l)| (&**name, l.took.read())).collect();
        events.sort_by_key(|(name, _)| *name);
        events
    }
}

/// Nobody waits for an answer here.
fn log_rejection(result: Result<impl IntoOutcome, Rejection>) {
    if let Err(rejection) = result.and_then(IntoOutcome::into_outcome) {
        tracing::warn!(code = rejection.code(), %rejection, "a handler did not do its work");
    }
}

/// Its name, or the pattern of several.
impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.fmt(f)
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
            .field("name", &self.pattern)
            .field("events", &events)
            .finish()
    }
}
