//! Answers to events, both ways.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::sync::oneshot;

use super::{EmitError, IntoAck, Rejection, Socket};
use crate::protocol::{AckData, Arguments, Frame};

/// The way to answer one event. It can be answered once; dropped unanswered, the client gets no answer. A cheap clone.
///
/// A client need not ask for an answer: then there is nothing to send, and [`send`](Self::send) does nothing.
#[derive(Clone)]
pub struct Ack(Option<Arc<AckInner>>);

struct AckInner {
    socket: Socket,
    id: u64,
    sent: AtomicBool,
}

impl Ack {
    pub(crate) fn new(socket: Socket, id: u64) -> Self {
        Self(Some(Arc::new(AckInner {
            socket,
            id,
            sent: AtomicBool::new(false),
        })))
    }

    /// Of an event whose client wants no answer.
    pub(crate) const fn unwanted() -> Self {
        Self(None)
    }

    /// Whether the client asked for an answer and has none yet.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let wanted = |inner: &Arc<AckInner>| !inner.sent.load(Ordering::Acquire);
        self.0.as_ref().is_some_and(wanted)
    }

    /// Answers with one value. A second answer is ignored, and so is one that nobody asked for.
    ///
    /// # Errors
    /// When the value cannot be written as JSON, or the socket is gone.
    pub fn send<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), EmitError> {
        if !self.is_wanted() {
            return Ok(());
        }
        self.send_data(&AckData::new(value)?)
    }

    /// Answers with several arguments, attachments included.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn send_data(&self, data: &AckData) -> Result<(), EmitError> {
        let Some(inner) = &self.0 else {
            return Ok(());
        };
        if inner.sent.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let socket = &inner.socket;
        socket.send_frame(Frame::ack(socket.namespace(), inner.id, data), false)
    }

    /// Answers with what a handler returned.
    pub(crate) fn answer(&self, answer: impl IntoAck) {
        if !self.is_wanted() {
            return;
        }
        let sent = match answer.into_ack() {
            Ok(None) => Ok(()),
            Ok(Some(data)) => self.send_data(&data),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written as JSON");
                return self.answer(Rejection::server_error());
            }
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer was not sent");
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack")
            .field("id", &self.0.as_ref().map(|inner| inner.id))
            .finish_non_exhaustive()
    }
}

/// Why a client's answer did not come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The event was not sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// It did not come in time.
    #[error("the client did not answer within {0:?}")]
    Timeout(Duration),
    /// The socket went away first.
    #[error("the socket disconnected before it answered")]
    Disconnected,
    /// Too many answers are awaited from this socket.
    #[error(
        "{0} answers are awaited from this socket already, as many as `max_pending_acks` allows"
    )]
    TooMany(usize),
}

/// The answers that a socket's client owes.
#[derive(Debug, Default)]
pub(crate) struct PendingAcks {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Arguments>>,
}

impl PendingAcks {
    pub(crate) fn begin(&mut self, bound: usize) -> Option<(u64, oneshot::Receiver<Arguments>)> {
        if self.waiting.len() >= bound {
            // Whoever gave up has dropped the receiver.
            self.waiting.retain(|_, sender| !sender.is_closed());
            if self.waiting.len() >= bound {
                return None;
            }
        }
        let (sender, receiver) = oneshot::channel();
        let id = self.next;
        self.next += 1;
        self.waiting.insert(id, sender);
        Some((id, receiver))
    }

    /// An answer came. One that nobody awaits is ignored, as the field does: it may just be late.
    pub(crate) fn resolve(&mut self, id: u64, arguments: Arguments) {
        if let Some(sender) = self.waiting.remove(&id) {
            // The error means that the caller gave up meanwhile.
            let _ = sender.send(arguments);
        }
    }

    pub(crate) fn forget(&mut self, id: u64) {
        self.waiting.remove(&id);
    }

    pub(crate) fn clear(&mut self) {
        self.waiting = HashMap::new();
    }
}
