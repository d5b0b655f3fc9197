//! The log and messenger between the nodes of one process.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use slimy_rt::{
    NodeId,
    broker::{
        Audience, BrokerError, BrokerEvents, Capabilities, Expected, Health, HistoryError,
        Interest, NodeInfo, Page, Position, Publication, ReplySink, Request, RoomBroker,
    },
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

use super::{
    lock,
    log::{Behind, Log, MAX_LOG_BYTES},
    recovery::{MAX_RECOVERY_BYTES, Recovery},
};

/// The most requests that wait for one node; who asks it more waits.
pub const MAX_WAITING_REQUESTS: usize = 1_024;

/// The most publications that a node is told of at once.
const MAX_BATCH: usize = 128;

/// A [`RoomBroker`] in memory, for one node and for several in one process.
///
/// [`new`](Self::new) makes the first node's broker, and [`node`](Self::node) one for each further node of the same cluster; a clone is the same
/// node's. The log holds [`MAX_LOG_ENTRIES`](super::MAX_LOG_ENTRIES) and [`MAX_LOG_BYTES`]: a node that falls further behind is told of a
/// gap, and goes on with what is there. A slow node holds up no other.
///
/// [`history`](RoomBroker::history) leaves out publications to rooms that are not asked for, and nothing else: namespaces and `except`
/// are the caller's to look at.
///
/// ```
/// use slimy_rt_backends::memory::MemoryBroker;
/// use slimy_rt::broker::RoomBroker;
///
/// let first = MemoryBroker::new();
/// let second = first.node();
/// assert!(first.capabilities().log && second.capabilities().requests);
/// ```
#[derive(Clone)]
pub struct MemoryBroker {
    node: Arc<Node>,
}

/// One node's place in the cluster.
struct Node {
    cluster: Arc<Cluster>,
    running: Mutex<Option<Running>>,
}

struct Running {
    id: NodeId,
    tasks: [JoinHandle<()>; 2],
}

/// What the nodes share.
struct Cluster {
    state: Mutex<State>,
    /// The number of the log's last publication.
    end: watch::Sender<u64>,
}

struct State {
    log: Log,
    nodes: HashMap<NodeId, Inbox>,
    recovery: Recovery,
}

/// Where a node's requests wait.
type Inbox = mpsc::Sender<(Request, ReplySink)>;

impl MemoryBroker {
    /// The first node's broker, on a new and empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Arc::new(Cluster {
            state: Mutex::new(State {
                log: Log::new(),
                nodes: HashMap::new(),
                recovery: Recovery::default(),
            }),
            end: watch::Sender::new(0),
        }))
    }

    /// A broker for another node of the same cluster.
    #[must_use]
    pub fn node(&self) -> Self {
        Self::of(Arc::clone(&self.node.cluster))
    }

    fn of(cluster: Arc<Cluster>) -> Self {
        let running = Mutex::new(None);
        Self {
            node: Arc::new(Node { cluster, running }),
        }
    }

    fn cluster(&self) -> &Cluster {
        &self.node.cluster
    }

    /// The node that has been started here.
    fn id(&self) -> Result<NodeId, BrokerError> {
        let running = lock(&self.node.running);
        let running = running.as_ref().ok_or(BrokerError::Stopped)?;
        Ok(running.id.clone())
    }
}

#[async_trait]
impl RoomBroker for MemoryBroker {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            log: true,
            requests: true,
            recovery: true,
            durable: false,
            filters: false,
        }
    }

    /// See the trait. Reports come from tasks of the tokio runtime in which this is called.
    async fn start(
        &self,
        node: &NodeInfo,
        events: Arc<dyn BrokerEvents>,
    ) -> Result<Position, BrokerError> {
        let runtime = Handle::try_current()
            .map_err(|_| BrokerError::Invalid("start it inside a tokio runtime".into()))?;
        let mut running = lock(&self.node.running);
        if running.is_some() {
            return Err(BrokerError::Invalid(
                "stop it before starting it again".into(),
            ));
        }
        let cluster = &self.node.cluster;
        let mut state = lock(&cluster.state);
        if state.nodes.contains_key(&node.id) {
            let text = format!("the node id {} is taken", node.id);
            return Err(BrokerError::Invalid(text.into()));
        }
        let (inbox, requests) = mpsc::channel(MAX_WAITING_REQUESTS);
        state.nodes.insert(node.id.clone(), inbox);
        let end = state.log.end();
        let position = state.log.position(end);
        drop(state);
        let deliver = deliver(Arc::clone(cluster), end, Arc::clone(&events));
        *running = Some(Running {
            id: node.id.clone(),
            tasks: [runtime.spawn(deliver), runtime.spawn(ask(requests, events))],
        });
        Ok(position)
    }

    /// Every node is told of everything: in one process that costs less than choosing.
    fn interest(&self, _: Interest<'_>) {}

    /// See the trait. The whole batch gets into the log at once. It is [`BrokerError::Invalid`], and nothing of it gets there, when one of its
    /// publications is larger than [`MAX_LOG_BYTES`].
    async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
        self.id()?;
        if !batch.iter().all(|publication| Log::fits(publication)) {
            let text = format!("a publication has at most {MAX_LOG_BYTES} bytes");
            return Err(BrokerError::Invalid(text.into()));
        }
        let mut state = lock(&self.cluster().state);
        for publication in batch {
            state.log.append(Arc::clone(publication));
        }
        self.cluster().end.send_replace(state.log.end());
        Ok(())
    }

    async fn end(&self) -> Result<Position, BrokerError> {
        let state = lock(&self.cluster().state);
        Ok(state.log.position(state.log.end()))
    }

    async fn history(
        &self,
        after: &Position,
        to: &Position,
        audience: &Audience,
        max: usize,
    ) -> Result<Page, HistoryError> {
        let state = lock(&self.cluster().state);
        state.log.history(after, to, audience, max)
    }

    async fn request(
        &self,
        request: &Request,
        replies: ReplySink,
    ) -> Result<Expected, BrokerError> {
        let own = self.id()?;
        let others: Vec<Inbox> = {
            let state = lock(&self.cluster().state);
            let others = state.nodes.iter().filter(|(id, _)| **id != own);
            others.map(|(_, inbox)| inbox.clone()).collect()
        };
        let mut nodes = 0;
        for inbox in others {
            // The error is that the node has stopped since: it is not asked.
            if inbox.send((request.clone(), replies.clone())).await.is_ok() {
                nodes += 1;
            }
        }
        Ok(Expected { nodes })
    }

    /// See the trait. States are bounded: what would end first makes room, and a state larger than [`MAX_RECOVERY_BYTES`] is
    /// [`BrokerError::Invalid`].
    async fn save_recovery(
        &self,
        key: &str,
        state: &[u8],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        let saved = {
            let mut cluster = lock(&self.cluster().state);
            cluster.recovery.save(key, state, ttl, Instant::now())
        };
        if saved {
            return Ok(());
        }
        let text = format!("a recovery state has at most {MAX_RECOVERY_BYTES} bytes");
        Err(BrokerError::Invalid(text.into()))
    }

    async fn take_recovery(&self, key: &str) -> Result<Option<Vec<u8>>, BrokerError> {
        let mut state = lock(&self.cluster().state);
        Ok(state.recovery.take(key, Instant::now()).map(Vec::from))
    }

    /// See the trait. A report that is being awaited is dropped.
    async fn stop(&self) {
        let Some(running) = self.node.leave() else {
            return;
        };
        for task in running.tasks {
            // It says that the task was aborted; what counts is that it has ended.
            let _ = task.await;
        }
    }
}

impl Node {
    /// Leaves the cluster and ends the tasks, without waiting for them.
    fn leave(&self) -> Option<Running> {
        let running = lock(&self.running).take()?;
        lock(&self.cluster.state).nodes.remove(&running.id);
        for task in &running.tasks {
            task.abort();
        }
        Some(running)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.id().ok();
        let state = lock(&self.cluster().state);
        f.debug_struct("MemoryBroker")
            .field("node", &node)
            .field("nodes", &state.nodes.len())
            .field("end", &state.log.end())
            .field("recovery", &state.recovery.len())
            .finish_non_exhaustive()
    }
}

/// Tells a node of the log behind `done`, at the node's own pace.
async fn deliver(cluster: Arc<Cluster>, mut done: u64, events: Arc<dyn BrokerEvents>) {
    // Subscribed before the first look, so that nothing comes in between unseen.
    let mut end = cluster.end.subscribe();
    events.health(Health::Up);
    loop {
        let behind = lock(&cluster.state).log.behind(done, MAX_BATCH);
        match behind {
            Behind::Some(batch) => {
                events.publications(&batch).await;
                done += batch.len() as u64;
            }
            Behind::Lost(dropped) => {
                let (after, now) = {
                    let state = lock(&cluster.state);
                    (state.log.position(done), state.log.position(dropped))
                };
                events.gap(Some(&after), &now);
                done = dropped;
            }
            // The task keeps the cluster, and so the sender, alive: there is no end but the task's.
            Behind::Nothing if end.changed().await.is_err() => return,
            Behind::Nothing => {}
        }
    }
}

/// Passes on the requests of the other nodes.
async fn ask(mut requests: mpsc::Receiver<(Request, ReplySink)>, events: Arc<dyn BrokerEvents>) {
    while let Some((request, reply)) = requests.recv().await {
        events.request(request, reply);
    }
}

#[cfg(test)]
#[path = "broker_tests.rs"]
mod tests;
