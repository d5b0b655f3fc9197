//! What one connection does in one namespace: letting the socket in, then its events one after the other, then its leaving.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    Pid, SocketId,
    events::{
        Ack, BoxFuture, ConnectError, Disconnect, Event, Handlers, Listener, Rejection, Socket,
    },
    histogram::Histogram,
    protocol::DisconnectReason,
};

use super::{Bound, Config, link::Key, sequencer::Return, stats::Stats};

/// The longest time without a look at the wall clock, which may be set or have stood still.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// One namespace of one connection.
pub(crate) struct Worker {
    pub(crate) namespace: Arc<str>,
    pub(crate) key: Key,
    handlers: Arc<Handlers>,
    stage: Stage,
    running: Option<Running>,
    /// Concurrent handlers, which most programs do not have.
    #[expect(
        clippy::box_collection,
        reason = "one word instead of three in every connection"
    )]
    beside: Option<Box<Vec<Running>>>,
    queue: VecDeque<Work>,
    queued_bytes: usize,
    bounds: HandlerBounds,
    /// When to look whether the socket's credential has run out.
    expires: Option<Instant>,
}

/// What bounds a worker's handlers.
#[derive(Clone, Copy)]
pub(crate) struct HandlerBounds {
    timeout: Duration,
    max_concurrent: usize,
}

impl From<&Config> for HandlerBounds {
    fn from(config: &Config) -> Self {
        Self {
            timeout: config.handler_timeout,
            max_concurrent: config.max_concurrent_handlers,
        }
    }
}

/// A socket that may come in: as a new one, or back.
pub(crate) struct Admitted {
    pub(crate) socket: Socket,
    pub(crate) back: Option<Box<Back>>,
}

/// How a client came back: by this id, and with what it missed.
pub(crate) struct Back {
    pub(crate) pid: Pid,
    pub(crate) owed: Return,
}

/// A socket's way in.
pub(crate) type Admission = BoxFuture<Result<Admitted, ConnectError>>;

enum Stage {
    /// Being let in.
    Admission(Admission),
    /// In the namespace.
    Joined(Socket),
    /// No longer in it; what was begun ends. The socket, if it was let in.
    Left(Option<Socket>),
}

enum Work {
    Connected(Socket),
    AccessChanged(Socket),
    Event(Event, usize),
    Disconnected(Disconnect),
}

struct Running {
    /// Taken when it is over.
    handler: Option<BoxFuture<()>>,
    until: Instant,
    /// Answered when the handler does not come to its end.
    ack: Ack,
    what: &'static str,
    /// When an event's handler began, and where to note how long it took.
    timed: Option<(Instant, Arc<Histogram>)>,
}

const CONNECT: &str = "connect";
const DISCONNECT: &str = "disconnect";
const EVENT: &str = "event";
const ACCESS_CHANGE: &str = "access change";

/// What became of a worker.
pub(crate) enum Progress {
    /// The socket may come in, or not.
    Admitted(Result<Admitted, ConnectError>),
    /// Everything has ended.
    Ended,
}

impl Worker {
    pub(crate) fn new(
        namespace: Arc<str>,
        key: Key,
        handlers: Arc<Handlers>,
        admission: Admission,
        bounds: HandlerBounds,
    ) -> Self {
        Self {
            namespace,
            key,
            handlers,
            stage: Stage::Admission(admission),
            running: None,
            beside: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            bounds,
            expires: None,
        }
    }

    /// The socket, while it is in the namespace.
    pub(crate) fn socket(&self) -> Option<&Socket> {
        match &self.stage {
            Stage::Joined(socket) => Some(socket),
            Stage::Admission(_) | Stage::Left(_) => None,
        }
    }

    pub(crate) fn is(&self, id: &SocketId) -> bool {
        self.socket().is_some_and(|socket| socket.id() == id)
    }

    /// The socket is in the namespace: its `on_connect` handler comes before its events.
    pub(crate) fn join(&mut self, socket: Socket, now: Instant) {
        self.look_at_expiry(&socket, now);
        self.stage = Stage::Joined(socket.clone());
        if self.handlers.on_connect.is_some() {
            self.queue.push_back(Work::Connected(socket));
        }
    }

    /// The socket was not let in, or is not wanted any more: an admission in progress is dropped.
    pub(crate) fn abandon(&mut self) {
        self.stage = Stage::Left(None);
    }

    /// Whether the socket is still being let in.
    pub(crate) fn is_in_admission(&self) -> bool {
        matches!(self.stage, Stage::Admission(_))
    }

    /// The socket has left: queued events are dropped, the running handler ends. An `on_connect` handler that has not begun, since the
    /// socket was ended while it was let in, still comes before `on_disconnect`.
    pub(crate) fn leave(&mut self, reason: DisconnectReason) {
        let Stage::Joined(socket) = &self.stage else {
            return;
        };
        let socket = socket.clone();
        self.stage = Stage::Left(Some(socket.clone()));
        self.expires = None;
        self.queue.retain(|work| matches!(work, Work::Connected(_)));
        self.queued_bytes = 0;
        if self.handlers.on_disconnect.is_some() {
            let disconnect = Disconnect { socket, reason };
            self.queue.push_back(Work::Disconnected(disconnect));
        }
    }

    /// Queues a call of the program's handler, unless one waits already: it looks at the access of then.
    pub(crate) fn access_changed(&mut self) {
        let waits = |work: &Work| matches!(work, Work::AccessChanged(_));
        if self.handlers.on_access_change.is_none() || self.queue.iter().any(waits) {
            return;
        }
        if let Some(socket) = self.socket().cloned() {
            self.queue.push_back(Work::AccessChanged(socket));
        }
    }

    /// Queues an event behind those that wait.
    pub(crate) fn push(&mut self, event: Event) {
        let bytes = event.arguments().args_json().len()
            + event
                .arguments()
                .attachments()
                .iter()
                .map(|a| a.len())
                .sum::<usize>();
        self.queued_bytes += bytes;
        self.queue.push_back(Work::Event(event, bytes));
    }

    /// The bound because of which nothing more may be queued.
    pub(crate) fn is_full(&self, max_events: usize, max_bytes: usize) -> Option<Bound> {
        if self.queue.len() >= max_events {
            Some(Bound::MaxQueuedEvents)
        } else {
            (self.queued_bytes > max_bytes).then_some(Bound::MaxQueuedBytes)
        }
    }

    /// When the running handler is given up, or the credential may have run out.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let running = self.running.as_ref().map(|running| running.until);
        let beside = self.beside().iter().map(|running| running.until).min();
        [running, beside, self.expires].into_iter().flatten().min()
    }

    /// Whether the socket's credential has run out.
    pub(crate) fn has_expired(&mut self, now: Instant) -> bool {
        if self.expires.is_none_or(|at| now < at) {
            return false;
        }
        let Some(socket) = self.socket().cloned() else {
            return false;
        };
        self.look_at_expiry(&socket, now)
    }

    /// Says whether the credential has run out by the wall clock, and when to look again: that clock may be set meanwhile.
    fn look_at_expiry(&mut self, socket: &Socket, now: Instant) -> bool {
        let left = socket
            .identity()
            .expires_at
            .map(|at| at.duration_since(SystemTime::now()));
        self.expires = left.as_ref().map(|left| {
            now + left
                .as_ref()
                .map_or(Duration::ZERO, |left| (*left).min(MAX_SLEEP))
        });
        left.is_some_and(|left| left.is_err())
    }

    /// Goes on with what is running, and begins what waits.
    pub(crate) fn poll(
        &mut self,
        stats: &Stats,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Progress> {
        if let Stage::Admission(admission) = &mut self.stage {
            let poll = catch_unwind(AssertUnwindSafe(|| admission.as_mut().poll(cx)));
            let panicked = |_| Poll::Ready(Err(ConnectError::coded("server_error")));
            return poll.unwrap_or_else(panicked).map(Progress::Admitted);
        }
        loop {
            let ended = |running: &mut Running| running.poll(stats, now, cx).is_ready();
            if self.running.as_mut().is_some_and(ended) {
                self.running = None;
            }
            if let Some(beside) = &mut self.beside {
                beside.retain_mut(|running| running.poll(stats, now, cx).is_pending());
            }
            let may_begin = self.queue.front().map(|work| self.may_begin(work));
            match may_begin {
                Some(true) => self.begin(stats, now),
                None if self.is_idle() => {
                    let Stage::Left(socket) = &self.stage else {
                        return Poll::Pending;
                    };
                    if let Some(socket) = socket {
                        socket.clear_data();
                    }
                    return Poll::Ready(Progress::Ended);
                }
                Some(false) | None => return Poll::Pending,
            }
        }
    }

    fn beside(&self) -> &[Running] {
        self.beside.as_ref().map_or(&[], |beside| beside)
    }

    fn is_idle(&self) -> bool {
        self.running.is_none() && self.beside().is_empty()
    }

    /// Whether it is this work's turn.
    fn may_begin(&self, work: &Work) -> bool {
        let event = match work {
            Work::Connected(_) | Work::Disconnected(_) => return self.is_idle(),
            Work::AccessChanged(_) => return self.running.is_none(),
            Work::Event(event, _) => event,
        };
        match self.handlers.listener(event.name()) {
            Some(listener) if listener.concurrent => {
                let connecting = self.running.as_ref().is_some_and(|r| r.what == CONNECT);
                !connecting && self.beside().len() < self.bounds.max_concurrent
            }
            Some(_) => self.running.is_none(),
            // Nobody handles it: it is dropped in its turn.
            None => true,
        }
    }

    fn begin(&mut self, stats: &Stats, now: Instant) {
        let Some(work) = self.queue.pop_front() else {
            return;
        };
        let until = now + self.bounds.timeout;
        let running = |handler, what| Running {
            handler: Some(handler),
            until,
            ack: Ack::unwanted(),
            what,
            timed: None,
        };
        let handlers = &self.handlers;
        match work {
            Work::Connected(socket) => {
                let handler = handlers.on_connect.as_ref();
                self.running = handler.map(|handler| running(handler(socket), CONNECT));
            }
            Work::AccessChanged(socket) => {
                let handler = handlers.on_access_change.as_ref();
                self.running = handler.map(|handler| running(handler(socket), ACCESS_CHANGE));
            }
            Work::Disconnected(disconnect) => {
                let handler = handlers.on_disconnect.as_ref();
                self.running = handler.map(|handler| running(handler(disconnect), DISCONNECT));
            }
            Work::Event(event, bytes) => {
                self.queued_bytes -= bytes;
                let Some(listener) = handlers.listener(event.name()) else {
                    return;
                };
                let (ack, began) = (event.ack(), Instant::now());
                let handler = handle(handlers, listener, event);
                let running = Running {
                    ack,
                    timed: Some((began, Arc::clone(&listener.took))),
                    ..running(handler, EVENT)
                };
                if listener.concurrent {
                    let beside = self.beside.get_or_insert_default();
                    beside.push(running);
                    if beside.len() >= self.bounds.max_concurrent {
                        stats.reached(Bound::MaxConcurrentHandlers);
                    }
                } else {
                    self.running = Some(running);
                }
            }
        }
    }
}

/// An event's way through the middleware to its handler.
fn handle(handlers: &Arc<Handlers>, listener: &Listener, event: Event) -> BoxFuture<()> {
    if handlers.event_middleware.is_empty() {
        return (listener.handler)(event);
    }
    let (handlers, handler) = (Arc::clone(handlers), Arc::clone(&listener.handler));
    Box::pin(async move {
        for middleware in &handlers.event_middleware {
            if let Err(rejection) = middleware(event.clone()).await {
                return event.ack().answer(rejection);
            }
        }
        handler(event).await;
    })
}

impl Running {
    /// Goes on with the handler; it is over when it has ended, panicked or taken too long.
    fn poll(&mut self, stats: &Stats, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let Some(handler) = &mut self.handler else {
            return Poll::Ready(());
        };
        match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) if now < self.until => return Poll::Pending,
            Ok(Poll::Pending) => {
                stats.reached(Bound::HandlerTimeout);
                self.fail("a handler took too long");
            }
            Err(_) => self.fail("a handler panicked"),
        }
        if let Some((began, took)) = self.timed.take() {
            took.record(began.elapsed());
        }
        // What it holds may panic as well when it is dropped.
        let handler = self.handler.take();
        if catch_unwind(AssertUnwindSafe(|| drop(handler))).is_err() {
            tracing::error!(handler = self.what, "a handler panicked as it was dropped");
        }
        Poll::Ready(())
    }

    /// Answers for a handler that cannot.
    fn fail(&self, problem: &str) {
        tracing::error!(handler = self.what, problem);
        self.ack.answer(Rejection::server_error());
    }
}
