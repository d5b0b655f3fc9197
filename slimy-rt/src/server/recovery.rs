//! Connection state recovery: a client that was cut off comes back, here or at another node, as the same socket, and gets what it missed.
//!
//! It shows its private id and the [offset](offset) of the last event it has received. What it missed is in the broker's log: all that lies behind
//! that offset and is for its rooms. What this node publishes or hears while the log is read is remembered by the sequencer ([`Cut`]), so that the client
//! is let in without a hole. It gets all of that or none of it: then it is a new client.
//!
//! [`Cut`]: super::sequencer::Cut

mod keeper;
pub(crate) mod offset;
mod resume;
mod state;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, interval_at},
};
use tokio_util::sync::CancellationToken;

use self::keeper::{Keeper, Operation};
pub(crate) use self::{
    resume::{Taken, let_go},
    state::{Claim, State},
};
use super::{cluster::Cluster, lock, sequencer::Received};
use crate::{Pid, events::Socket, protocol::DisconnectReason};

/// How many clients may come back at once; the others wait for their turn.
const CONCURRENT_RETURNS: usize = 64;
/// How often the states of living clients are kept anew, where they outlive the node.
const REFRESH: Duration = Duration::from_secs(30);
/// How many of them are dealt with before others may run.
const PIDS_PER_TURN: usize = 256;

/// What a node knows of clients that may come back.
#[derive(Debug)]
pub(crate) struct Recovery {
    cluster: Arc<Cluster>,
    /// How long a client may be away.
    window: Duration,
    max_events: usize,
    /// Whether states outlive this node: then they are kept from the beginning.
    is_durable: bool,
    live: Mutex<HashMap<Pid, Live>>,
    keeper: Keeper,
    returns: Semaphore,
}

/// A socket whose client may come back.
#[derive(Debug)]
struct Live {
    socket: Socket,
    /// What it had received, or was said before, when it came in.
    received: Received,
}

impl Live {
    fn state(&self, node: Option<crate::NodeId>) -> State {
        State::of(&self.socket, node, self.received.clone())
    }
}

impl Recovery {
    pub(crate) fn new(cluster: Arc<Cluster>, window: Duration, max_events: usize) -> Self {
        Self {
            is_durable: cluster.broker().capabilities().durable,
            keeper: Keeper::new(Arc::clone(cluster.broker())),
            cluster,
            window,
            max_events,
            live: Mutex::default(),
            returns: Semaphore::new(CONCURRENT_RETURNS),
        }
    }

    /// Keeps states until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keeper.run() => {}
            () = self.refresh() => {}
        }
    }

    async fn refresh(&self) {
        if !self.is_durable {
            return std::future::pending().await;
        }
        let mut interval = interval_at(Instant::now() + REFRESH, REFRESH);
        loop {
            interval.tick().await;
            let pids: Vec<Pid> = lock(&self.live).keys().cloned().collect();
            for some in pids.chunks(PIDS_PER_TURN) {
                self.keep_living(some);
                tokio::task::yield_now().await;
            }
        }
    }

    fn keep_living(&self, pids: &[Pid]) {
        let live = lock(&self.live);
        for pid in pids {
            if let Some(living) = live.get(pid) {
                self.keep(pid, living);
            }
        }
    }

    fn keep(&self, pid: &Pid, living: &Live) {
        let state = living.state(Some(self.cluster.node().clone()));
        let operation = Operation::Keep(state, self.window + 2 * REFRESH);
        self.keeper.push(pid.clone(), operation);
    }

    /// A socket was let in under that id.
    pub(crate) fn entered(&self, pid: &Pid, socket: &Socket, received: Received) {
        let living = Live {
            socket: socket.clone(),
            received,
        };
        if self.is_durable {
            self.keep(pid, &living);
        }
        lock(&self.live).insert(pid.clone(), living);
    }

    /// A socket's rooms have changed.
    pub(crate) fn changed(&self, socket: &Socket) {
        let Some(pid) = socket.pid().filter(|_| self.is_durable) else {
            return;
        };
        if let Some(living) = lock(&self.live).get(pid) {
            self.keep(pid, living);
        }
    }

    /// A socket is about to leave for that reason: with its rooms still, if its client may come back.
    pub(crate) fn leaving(&self, socket: &Socket, reason: DisconnectReason) {
        let Some(pid) = socket.pid() else { return };
        let Some(living) = self.remove(pid, socket) else {
            return;
        };
        let comes_back = matches!(
            reason,
            DisconnectReason::TransportError
                | DisconnectReason::TransportClose
                | DisconnectReason::PingTimeout
                | DisconnectReason::ServerShuttingDown
        );
        if comes_back {
            let until = Instant::now() + self.window;
            let operation = Operation::KeepLast(living.state(None), until);
            self.keeper.push(pid.clone(), operation);
        } else if self.is_durable {
            self.keeper.push(pid.clone(), Operation::Forget);
        }
    }

    /// A socket has come back elsewhere: its state is no longer this node's.
    pub(crate) fn release(&self, socket: &Socket) {
        if let Some(pid) = socket.pid() {
            self.remove(pid, socket);
        }
    }

    fn remove(&self, pid: &Pid, socket: &Socket) -> Option<Live> {
        let mut live = lock(&self.live);
        if live.get(pid).is_some_and(|living| living.socket == *socket) {
            return live.remove(pid);
        }
        None
    }

    /// Waits until every state is where it belongs.
    pub(crate) async fn flushed(&self) {
        self.keeper.idle().await;
    }
}
