//! What one connection does in one namespace: letting the socket in, then its events one after the other, then its leaving.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;

use crate::{
    SocketId,
    events::{Ack, Event, Handlers, Socket},
    protocol::DisconnectReason,
};

use super::{Bound, authorization::Refusal, link::Key, stats::Stats};

/// The longest time without a look at the wall clock, which may be set or have stood still.
const MAX_SLEEP: Duration = Duration::from_secs(60);

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One namespace of one connection.
pub(crate) struct Worker {
    pub(crate) namespace: Arc<str>,
    pub(crate) key: Key,
    handlers: Arc<Handlers>,
    stage: Stage,
    running: Option<Running>,
    queue: VecDeque<Work>,
    queued_bytes: usize,
    handler_timeout: Duration,
    /// When to look whether the socket's credential has run out.
    expires: Option<Instant>,
}

enum Stage {
    /// Being let in.
    Admission(BoxFuture<Result<Socket, Refusal>>),
    /// In the namespace.
    Joined(Socket),
    /// No longer in it; what was begun ends.
    Left,
}

enum Work {
    Connected(Socket),
    Event(Event, usize),
    Disconnected(Socket, DisconnectReason),
}

struct Running {
    handler: BoxFuture<()>,
    until: Instant,
    /// Answered when the handler does not come to its end.
    ack: Option<Ack>,
    what: &'static str,
}

/// What became of a worker.
pub(crate) enum Progress {
    /// The socket may come in, or not.
    Admitted(Result<Socket, Refusal>),
    /// Everything has ended.
    Ended,
}

impl Worker {
    pub(crate) fn new(
        namespace: Arc<str>,
        key: Key,
        handlers: Arc<Handlers>,
        admission: BoxFuture<Result<Socket, Refusal>>,
        handler_timeout: Duration,
    ) -> Self {
        Self {
            namespace,
            key,
            handlers,
            stage: Stage::Admission(admission),
            running: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            handler_timeout,
            expires: None,
        }
    }

    /// The socket, while it is in the namespace.
    pub(crate) fn socket(&self) -> Option<&Socket> {
        match &self.stage {
            Stage::Joined(socket) => Some(socket),
            Stage::Admission(_) | Stage::Left => None,
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
        self.stage = Stage::Left;
    }

    /// Whether the socket is still being let in.
    pub(crate) fn is_in_admission(&self) -> bool {
        matches!(self.stage, Stage::Admission(_))
    }

    /// The socket has left: queued events are dropped, the running handler ends.
    pub(crate) fn leave(&mut self, reason: DisconnectReason) {
        let Stage::Joined(socket) = std::mem::replace(&mut self.stage, Stage::Left) else {
            return;
        };
        self.expires = None;
        self.queue.clear();
        self.queued_bytes = 0;
        if self.handlers.on_disconnect.is_some() {
            self.queue.push_back(Work::Disconnected(socket, reason));
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
        [running, self.expires].into_iter().flatten().min()
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
            let panicked = || Poll::Ready(Err(Refusal::Unavailable("a panic".into())));
            return poll.unwrap_or_else(|_| panicked()).map(Progress::Admitted);
        }
        loop {
            if let Some(running) = &mut self.running {
                let handler = AssertUnwindSafe(|| running.handler.as_mut().poll(cx));
                match catch_unwind(handler) {
                    Ok(Poll::Ready(())) => {}
                    Ok(Poll::Pending) if now < running.until => return Poll::Pending,
                    Ok(Poll::Pending) => {
                        stats.reached(Bound::HandlerTimeout);
                        running.fail("a handler took too long");
                    }
                    Err(_) => running.fail("a handler panicked"),
                }
                self.running = None;
            }
            match self.queue.pop_front() {
                Some(work) => self.running = self.begin(work, now),
                None if matches!(self.stage, Stage::Left) => return Poll::Ready(Progress::Ended),
                None => return Poll::Pending,
            }
        }
    }

    fn begin(&mut self, work: Work, now: Instant) -> Option<Running> {
        let handlers = &self.handlers;
        let (handler, ack, what) = match work {
            Work::Connected(socket) => (handlers.on_connect.as_ref()?(socket), None, "connect"),
            Work::Disconnected(socket, reason) => (
                handlers.on_disconnect.as_ref()?(socket, reason),
                None,
                "disconnect",
            ),
            Work::Event(event, bytes) => {
                self.queued_bytes -= bytes;
                let ack = event.ack().cloned();
                (handlers.on_event.get(event.name())?(event), ack, "event")
            }
        };
        Some(Running {
            handler,
            until: now + self.handler_timeout,
            ack,
            what,
        })
    }
}

impl Running {
    /// Answers for a handler that cannot.
    fn fail(&self, problem: &str) {
        tracing::error!(handler = self.what, problem);
        let answer = json!({"error": "server_error", "code": "server_error"});
        if let Some(ack) = &self.ack
            && let Err(e) = ack.send(&answer)
        {
            tracing::debug!(error = %e, "cannot answer for a handler");
        }
    }
}
