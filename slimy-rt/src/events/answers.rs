//! Answers of many: what came of an event that wants one from every socket, of a look at sockets, and of a question to the nodes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::Socket;
use crate::{
    InvalidId, NodeId, SocketId,
    broker::{BrokerError, SocketSummary},
    protocol::{Arguments, EncodeError},
    server::Bound,
};

/// The most bytes of answers that one broadcast keeps on one node: 64 MiB. Who answers beyond it counts as silent.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The most sockets that one node describes in one [`Fetched`]: 65,536.
pub const MAX_FETCHED_SOCKETS: usize = 65_536;

/// The longest that answers are waited for: 24 h, whatever timeout is given.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(24 * 3600);

/// What sockets answered to one event.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Answers {
    /// Who answered, and what; in no order.
    pub answers: Vec<(SocketId, Arguments)>,
    /// Who was to answer and did not: not in time, since it left, since `Config::max_pending_acks` were awaited from it already, or since
    /// there was no more room for answers ([`MAX_ANSWER_BYTES`]).
    pub silent: Vec<SocketId>,
    /// How many nodes were asked and said nothing.
    pub missing_nodes: usize,
    /// Why the other nodes were not asked, when they could not be.
    pub not_asked: Option<Arc<ClusterError>>,
    /// Nodes that asked nobody, since more sockets were meant there than their `Config::max_broadcast_acks`.
    pub refused: Vec<NodeId>,
}

impl Answers {
    /// Whether everybody answered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.silent.is_empty()
            && self.missing_nodes == 0
            && self.refused.is_empty()
            && self.not_asked.is_none()
    }
}

/// Sockets, as they were a moment ago.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Fetched {
    /// The sockets, in no order.
    pub sockets: Vec<SocketSummary>,
    /// How many nodes were asked and said nothing.
    pub missing_nodes: usize,
    /// Whether a node has more than it described: [`MAX_FETCHED_SOCKETS`].
    pub is_truncated: bool,
}

impl Fetched {
    /// Whether these are all.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing_nodes == 0 && !self.is_truncated
    }
}

/// What the other nodes answered.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct NodeAnswers {
    /// Which nodes answered, and what; in no order.
    pub answers: Vec<(NodeId, Arguments)>,
    /// Nodes that have no handler for it, or whose handler gave no answer.
    pub silent: Vec<NodeId>,
    /// How many nodes were asked and said nothing in time.
    pub missing_nodes: usize,
}

impl NodeAnswers {
    /// Whether every other node answered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.silent.is_empty() && self.missing_nodes == 0
    }
}

/// Why the other nodes were not asked. What was to be done on this node is done all the same, unless a name or the event was wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// That is no room's name: nothing was done.
    #[error(transparent)]
    Room(#[from] InvalidId),
    /// The event's name is reserved, or its payload cannot be written as JSON: nothing was done.
    #[error(transparent)]
    Data(#[from] EncodeError),
    /// The broker carries no requests between nodes; `local` selections work.
    #[error("the broker carries no requests between nodes")]
    Unsupported,
    /// The broker did not take the request, or not within `Config::request_timeout`.
    #[error("the other nodes could not be asked")]
    Broker(#[source] BrokerError),
}

/// One answer that is awaited. Dropping it gives the answer up.
#[derive(Debug)]
pub(crate) struct Question {
    socket: Socket,
    id: u64,
    answer: oneshot::Receiver<Arguments>,
}

impl Question {
    /// Notes that the socket's client owes an answer; `None` when it owes `bound` already.
    pub(crate) fn new(socket: &Socket, bound: usize) -> Option<Self> {
        let begun = socket.acks().begin(bound);
        let Some((id, answer)) = begun else {
            socket.stats().reached(Bound::MaxPendingAcks);
            return None;
        };
        let socket = socket.clone();
        Some(Self { socket, id, answer })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The answer; `None` when it will not come.
    pub(crate) async fn answer(&mut self) -> Option<Arguments> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.socket.acks().forget(self.id);
    }
}

/// The same question to several sockets, under one id.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    asked: Vec<Question>,
    silent: Vec<SocketId>,
}

impl Questions {
    /// Notes that these sockets' clients owe an answer to `id`, unless they owe `bound` already.
    pub(crate) fn new(sockets: Vec<Socket>, id: u64, bound: usize) -> Self {
        let budget = Arc::new(AnswerBudget::new(MAX_ANSWER_BYTES));
        let mut questions = Self::default();
        questions.asked.reserve_exact(sockets.len());
        for socket in sockets {
            let begun = socket.acks().begin_shared(id, bound, &budget);
            match begun {
                Some(answer) => questions.asked.push(Question { socket, id, answer }),
                None => questions.silent.push(socket.id().clone()),
            }
        }
        questions
    }

    /// The sockets to send it to.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.asked.iter().map(|question| &question.socket)
    }

    /// Waits until everybody answered or left, or the time is over.
    pub(crate) async fn answers(mut self, timeout: Duration) -> Answers {
        let deadline = Instant::now() + timeout.min(MAX_ANSWER_TIME);
        let mut answers = Answers {
            silent: std::mem::take(&mut self.silent),
            ..Answers::default()
        };
        // They are all under way; the order only says which is looked at first, and one that is there is taken even past the deadline.
        for mut question in std::mem::take(&mut self.asked) {
            let answer = tokio::time::timeout_at(deadline, question.answer()).await;
            if answer.is_err() {
                question.socket.stats().reached(Bound::AckTimeout);
            }
            let id = question.socket.id().clone();
            match answer.ok().flatten() {
                Some(arguments) => answers.answers.push((id, arguments)),
                None => answers.silent.push(id),
            }
        }
        answers
    }
}

/// How many more bytes of answers one broadcast keeps.
#[derive(Debug)]
pub(crate) struct AnswerBudget(AtomicUsize);

impl AnswerBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// Takes an answer's bytes, if there is room for them.
    pub(crate) fn take(&self, arguments: &Arguments) -> bool {
        let attached = arguments.attachments().iter().map(bytes::Bytes::len);
        let bytes = arguments.args_json().len() + attached.sum::<usize>();
        let left = |left: usize| left.checked_sub(bytes);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
            .is_ok()
    }
}
