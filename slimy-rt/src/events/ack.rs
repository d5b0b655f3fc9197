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

use super::{EmitError, Socket};
use crate::protocol::{AckData, Arguments, Frame};

/// The way to answer one event. It can be answered once; dropped unanswered, the client gets no answer.
#[derive(Clone)]
pub struct Ack(Arc<AckInner>);

struct AckInner {
    socket: Socket,
    id: u64,
    sent: AtomicBool,
}

impl Ack {
    pub(crate) fn new(socket: Socket, id: u64) -> Self {
        Self(Arc::new(AckInner {
            socket,
            id,
            sent: AtomicBool::new(false),
        }))
    }

    /// Answers with one value. A second answer is ignored.
    ///
    /// # Errors
    /// When the value cannot be written as JSON, or the socket is gone.
    pub fn send<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), EmitError> {
        self.send_data(&AckData::new(value)?)
    }

    /// Answers with several arguments, attachments included.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn send_data(&self, data: &AckData) -> Result<(), EmitError> {
        if self.0.sent.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let socket = &self.0.socket;
        socket.send_frame(Frame::ack(socket.namespace(), self.0.id, data), false)
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack")
            .field("id", &self.0.id)
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
