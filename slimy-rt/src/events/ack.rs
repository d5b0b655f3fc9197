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

use super::{EmitError, IntoAck, Rejection, Socket, answers::AnswerBudget};
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

/// Why clients' answers did not come.
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
    /// An event that every socket is to answer is meant for too many.
    #[error("{sockets} sockets were to answer, and `max_broadcast_acks` allows {limit}")]
    TooManySockets {
        /// How many sockets of this node were meant.
        sockets: usize,
        /// `Config::max_broadcast_acks`.
        limit: usize,
    },
}

/// The answers that a socket's client owes.
///
/// Ids for one socket alone are even; odd ones are a broadcast's, the same for all its sockets, so that one frame serves all. They begin
/// anywhere: a client that came back may still answer its former socket's question, and that must not be taken for its new one's.
#[derive(Debug, Default)]
pub(crate) struct PendingAcks {
    next: Option<u32>,
    waiting: HashMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    sender: oneshot::Sender<Arguments>,
    /// How much a broadcast's answers may take together.
    budget: Option<Arc<AnswerBudget>>,
}

/// Some clients keep ids in 32 bits with a sign, and the lowest bit says whose an id is.
const MAX_NUMBER: u32 = u32::MAX >> 2;

impl PendingAcks {
    /// The number of the first question.
    pub(crate) fn first() -> u32 {
        // Without randomness it is as likely to be one of another socket's as with any fixed number.
        getrandom::u32().unwrap_or(0)
    }

    /// The id of a broadcast's answers, from its number on this node.
    pub(crate) fn shared_id(number: u32) -> u64 {
        2 * u64::from(number & MAX_NUMBER) + 1
    }

    pub(crate) fn begin(&mut self, bound: usize) -> Option<(u64, oneshot::Receiver<Arguments>)> {
        let number = self.next.unwrap_or_else(Self::first) & MAX_NUMBER;
        let id = 2 * u64::from(number);
        let receiver = self.insert(id, bound, None)?;
        self.next = Some(number + 1);
        Some((id, receiver))
    }

    /// Awaits an answer under an id of [`PendingAcks::shared_id`].
    pub(crate) fn begin_shared(
        &mut self,
        id: u64,
        bound: usize,
        budget: &Arc<AnswerBudget>,
    ) -> Option<oneshot::Receiver<Arguments>> {
        self.insert(id, bound, Some(Arc::clone(budget)))
    }

    fn insert(
        &mut self,
        id: u64,
        bound: usize,
        budget: Option<Arc<AnswerBudget>>,
    ) -> Option<oneshot::Receiver<Arguments>> {
        if self.waiting.len() >= bound {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.insert(id, Waiting { sender, budget });
        Some(receiver)
    }

    /// An answer came. One that nobody awaits is ignored, as the field does: it may just be late.
    pub(crate) fn resolve(&mut self, id: u64, arguments: Arguments) {
        let Some(Waiting { sender, budget }) = self.waiting.remove(&id) else {
            return;
        };
        if budget.is_none_or(|budget| budget.take(&arguments)) {
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

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcasts_answers_share_a_budget_and_ids_never_meet() {
        let mut pending = PendingAcks::default();
        let answer = || Arguments::from(AckData::new("0123456789").unwrap());
        let budget = Arc::new(AnswerBudget::new(20));
        let (a, b) = (PendingAcks::shared_id(0), PendingAcks::shared_id(1));
        let mut fits = pending.begin_shared(a, 3, &budget).unwrap();
        let mut beyond = pending.begin_shared(b, 3, &budget).unwrap();
        let (own, mut alone) = pending.begin(3).unwrap();
        assert!(own != a && own != b);
        let last = PendingAcks::shared_id(u32::MAX);
        assert_eq!(last, u64::from(i32::MAX.unsigned_abs()));
        assert!(
            pending.begin(3).is_none(),
            "the bound holds for all of them"
        );
        for id in [a, b, own] {
            pending.resolve(id, answer());
        }
        assert_eq!(fits.try_recv().unwrap().arg(0), Some("\"0123456789\""));
        assert!(beyond.try_recv().is_err());
        assert!(alone.try_recv().is_ok());
        assert_eq!(pending.len(), 0);
    }
}
