//! Questions between nodes: asking the others, and dealing with theirs.
//!
//! What others ask waits in a bounded queue, so that the broker's reading task never waits, and is dealt with in order by one task. What takes
//! longer (clients' answers, handlers, handing a reply over) runs beside it, a bounded number at once. What does not fit is logged and counted, and
//! whoever asked sees a node that says nothing.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use super::Cluster;
use crate::{
    NodeId, SocketId,
    broker::{BrokerError, Reply, ReplySink, Request, Selection},
    events::{
        ClusterError, Emitter, MAX_FETCHED_SOCKETS, OnServerSide, Questions, ServerSideEvent,
        Socket,
    },
    protocol::{self, AckData, EventData},
    server::{Bound, Core, recovery::let_go},
};

/// How many requests of other nodes may wait.
const MAX_WAITING_REQUESTS: usize = 1_024;
/// How many answers to other nodes may be in the making.
const MAX_RUNNING_REQUESTS: usize = 1_024;
/// How long a node may take to let go of a socket.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_millis(500);
/// How many sockets are dealt with before others may run.
const SOCKETS_PER_TURN: usize = 256;

/// What a broker hands over.
type Incoming = (Request, ReplySink);

/// The requests of other nodes.
#[derive(Debug)]
pub(super) struct Requests {
    queue: mpsc::Sender<Incoming>,
    /// Taken by the task that deals with them.
    waiting: tokio::sync::Mutex<mpsc::Receiver<Incoming>>,
    running: Arc<Semaphore>,
}

impl Requests {
    pub(super) fn new() -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING_REQUESTS);
        Self {
            queue,
            waiting: waiting.into(),
            running: Arc::new(Semaphore::new(MAX_RUNNING_REQUESTS)),
        }
    }
}

/// Does something with each of many sockets.
pub(crate) async fn for_each(sockets: Vec<Socket>, each: impl Fn(&Socket)) {
    for some in sockets.chunks(SOCKETS_PER_TURN) {
        some.iter().for_each(&each);
        if some.len() == SOCKETS_PER_TURN {
            tokio::task::yield_now().await;
        }
    }
}

impl Cluster {
    /// Hands a request that nobody answers to the other nodes.
    pub(crate) async fn tell(
        &self,
        request: &Request,
        within: Duration,
    ) -> Result<(), ClusterError> {
        let (sink, _) = ReplySink::channel();
        self.send(request, sink, within).await?;
        Ok(())
    }

    /// Asks the other nodes: the request is handed over `within` that time, and answers are waited for until `answered_within` is over.
    /// `take` says whether a reply is one. Gives the number of nodes that were asked and said nothing.
    pub(crate) async fn ask(
        &self,
        request: &Request,
        within: Duration,
        answered_within: Duration,
        mut take: impl FnMut(Reply) -> bool,
    ) -> Result<usize, ClusterError> {
        let began = Instant::now();
        let (sink, mut replies) = ReplySink::channel();
        let mut missing = self.send(request, sink, within).await?;
        let gather = async {
            // Without a sink left, nobody is going to say anything more.
            while missing > 0
                && let Some(reply) = replies.recv().await
            {
                missing -= usize::from(take(reply));
            }
        };
        let left = answered_within.saturating_sub(began.elapsed());
        if tokio::time::timeout(left, gather).await.is_err() {
            self.stats.reached(Bound::RequestTimeout);
        }
        Ok(missing)
    }

    /// Has the node that has a socket let go of it, and waits until it has, unless it is gone itself.
    pub(crate) async fn take_over(&self, socket: &SocketId, from: &NodeId) {
        let request = Request::TakeOver {
            socket: socket.clone(),
            node: from.clone(),
        };
        let (sink, mut replies) = ReplySink::channel();
        let told = async {
            // Who cannot be asked cannot be heard by the client either.
            let asked = self.send(&request, sink, TAKE_OVER_TIMEOUT).await;
            let mut waits = asked.is_ok_and(|nodes| nodes > 0);
            while waits && let Some(reply) = replies.recv().await {
                waits = !matches!(reply, Reply::TakenOver { node } if node == *from);
            }
        };
        // A node that was killed says nothing for as long as it counts as one.
        let _ = tokio::time::timeout(TAKE_OVER_TIMEOUT, told).await;
    }

    async fn send(
        &self,
        request: &Request,
        replies: ReplySink,
        within: Duration,
    ) -> Result<usize, ClusterError> {
        if !self.broker.capabilities().requests {
            return Err(ClusterError::Unsupported);
        }
        let asked = tokio::time::timeout(within, self.broker.request(request, replies)).await;
        let asked = asked.unwrap_or_else(|e| Err(BrokerError::Unavailable(e.into())));
        Ok(asked.map_err(ClusterError::Broker)?.nodes)
    }

    /// Queues another node's request.
    pub(super) fn arrived(&self, request: Request, reply: ReplySink) {
        if self.requests.queue.try_send((request, reply)).is_err() {
            self.drop_request("too many of them wait");
        }
    }

    fn drop_request(&self, why: &str) {
        self.stats.add_request_dropped();
        tracing::warn!(why, "a request of another node was dropped");
    }

    /// Deals with other nodes' requests, for as long as there is a server to ask.
    pub(super) async fn serve_requests(&self) {
        let mut waiting = self.requests.waiting.lock().await;
        while let Some((request, reply)) = waiting.recv().await {
            let Some(core) = self.core() else { return };
            self.deal_with(&core, request, reply).await;
        }
    }

    async fn deal_with(&self, core: &Arc<Core>, request: Request, reply: ReplySink) {
        match request {
            Request::Join { sockets, rooms } => {
                let join = |socket: &Socket| socket.join_or_log(&rooms);
                for_each(selected(core, &sockets), join).await;
            }
            Request::Leave { sockets, rooms } => {
                let leave = |socket: &Socket| rooms.iter().for_each(|room| socket.leave(room));
                for_each(selected(core, &sockets), leave).await;
            }
            Request::Disconnect { sockets, close } => {
                let end = |socket: &Socket| socket.disconnect_or_close(close);
                for_each(selected(core, &sockets), end).await;
            }
            Request::Fetch { sockets } => {
                let sockets = selected(core, &sockets);
                let sockets = sockets.iter().take(MAX_FETCHED_SOCKETS);
                let answer = Reply::Sockets(sockets.map(Socket::summary).collect());
                self.answer(core, reply, async { Some(answer) });
            }
            Request::TakeOver { socket, node } => {
                let here = core.sequencer.socket(&socket).filter(|_| node == self.node);
                if let Some(socket) = here {
                    if let Some(recovery) = &core.recovery {
                        recovery.release(&socket);
                    }
                    let_go(core, &socket);
                }
                let node = self.node.clone();
                self.answer(core, reply, async { Some(Reply::TakenOver { node }) });
            }
            Request::Nodes => {
                let answer = Reply::Node {
                    id: self.node.clone(),
                    sockets: self.stats.report(0).sockets,
                };
                self.answer(core, reply, async { Some(answer) });
            }
            Request::ServerEvent { namespace, event } => {
                let called = call(core, &namespace, event, false);
                self.answer(core, reply, async {
                    called.await;
                    None
                });
            }
            Request::ServerEventWithAck { namespace, event } => {
                let called = call(core, &namespace, event, true);
                let node = self.node.clone();
                self.answer(core, reply, async {
                    let answer = called.await;
                    Some(Reply::ServerEvent { node, answer })
                });
            }
            Request::EmitWithAck {
                sockets,
                event,
                timeout,
                volatile,
            } => {
                // Sent here and not beside, so that it keeps its place.
                let asked = ask_sockets(core, sockets, &event, volatile);
                let node = self.node.clone();
                self.answer(core, reply, answers(node, asked, timeout));
            }
        }
    }

    /// Makes an answer and hands it over, beside everything else.
    fn answer(
        &self,
        core: &Core,
        reply: ReplySink,
        answer: impl Future<Output = Option<Reply>> + Send + 'static,
    ) {
        let running = Arc::clone(&self.requests.running);
        let Ok(permit) = running.try_acquire_owned() else {
            return self.drop_request("too many of them are being answered");
        };
        let stop = core.stop.clone();
        core.background.spawn(async move {
            let answer = async {
                if let Some(answer) = answer.await {
                    // Whoever asked may wait no longer.
                    let _ = reply.send(answer).await;
                }
            };
            // The end of the server ends what is left of it.
            let _ = stop.run_until_cancelled(answer).await;
            drop(permit);
        });
    }
}

fn selected(core: &Core, selection: &Selection) -> Vec<Socket> {
    match selection {
        Selection::Audience {
            namespace,
            audience,
        } => core.sequencer.select(namespace, audience),
        Selection::Socket(id) => core.sequencer.socket(id).into_iter().collect(),
    }
}

/// Sends an event to the selected sockets; `None` when they are too many.
fn ask_sockets(
    core: &Core,
    selection: Selection,
    event: &EventData,
    volatile: bool,
) -> Option<Questions> {
    let (namespace, audience) = match selection {
        Selection::Audience {
            namespace,
            audience,
        } => (namespace, audience),
        Selection::Socket(id) => match core.sequencer.socket(&id) {
            Some(socket) => (socket.namespace().into(), crate::broker::Audience::of(&id)),
            None => return Some(Questions::default()),
        },
    };
    let asked = core
        .sequencer
        .publish_asking(&namespace, &audience, event, volatile, &core.config);
    asked
        .inspect_err(|e| tracing::warn!(error = %e, "another node's event was not sent"))
        .ok()
}

async fn answers(
    node: crate::NodeId,
    asked: Option<Questions>,
    timeout: Duration,
) -> Option<Reply> {
    let Some(asked) = asked else {
        return Some(Reply::Refused { node });
    };
    let answers = asked.answers(timeout).await;
    let data = |(id, arguments)| (id, AckData::from_arguments(&arguments));
    Some(Reply::Answers {
        node,
        answers: answers.answers.into_iter().map(data).collect(),
        silent: answers.silent,
    })
}

/// Calls the handler of a server-side event, as sockets' handlers are called: within a time, and a panic ends nothing else.
fn call(
    core: &Arc<Core>,
    namespace: &str,
    event: EventData,
    wanted: bool,
) -> impl Future<Output = Option<AckData>> + Send + use<> {
    let event = protocol::Event::from(event);
    let found = core.namespace(namespace).and_then(|(name, handlers)| {
        let handler = handlers.on_server_side.get(event.name())?;
        Some((name, OnServerSide::clone(handler)))
    });
    let core = Arc::clone(core);
    async move {
        let (namespace, handler) = found?;
        let within = core.config.handler_timeout;
        let event = ServerSideEvent::new(Emitter::new(core, namespace), event, wanted);
        let called = async move { handler(event).await };
        let called = AssertUnwindSafe(tokio::time::timeout(within, called)).catch_unwind();
        let problem = match called.await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(_)) => "a handler took too long",
            Err(_) => "a handler panicked",
        };
        tracing::error!(handler = "server-side event", problem);
        AckData::new(&json!({"error": "server_error", "code": "server_error"})).ok()
    }
}
