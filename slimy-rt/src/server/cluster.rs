//! Between this node and the broker: the queue of publications that wait, their numbers, retry, and what other nodes sent.

mod patience;
mod requests;

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::requests::for_each;
use self::{patience::Patience, requests::Requests};
use super::{Core, lock, stats::Stats};
use crate::{
    NodeId,
    broker::{
        BrokerError, BrokerEvents, Delivered, Health, Interest, NodeInfo, Position, Publication,
        ReplySink, Request, RoomBroker,
    },
    protocol::EventData,
};

/// How many publications may wait for the broker.
pub(crate) const MAX_WAITING: usize = 65_536;
/// How many bytes of publications may wait for the broker.
pub(crate) const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;
/// How many publications go to the broker at once.
const MAX_BATCH: usize = 256;
/// The first and the longest pause between attempts: an engine that is back has what waited within two seconds.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How long a node that had to wait for the broker keeps what it has to say, so that others who waited are there to hear it: longer than the longest pause.
const COMPANY: Duration = Duration::from_millis(750);
/// After how many publications of other nodes it is looked whether clients keep up: what was missed in an outage comes as fast as the engine has it.
const PACE: usize = 128;
/// How long one look waits for those who do not.
const PAUSE: Duration = Duration::from_millis(5);
/// How many publishing nodes are remembered; the cluster is smaller, but nodes come and go.
const MAX_ORIGINS: usize = 4_096;

/// This node's side of the cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    node: NodeId,
    broker: Arc<dyn RoomBroker>,
    outgoing: Mutex<Outgoing>,
    arrived: Notify,
    /// Everything up to this own number is in the log, or will never be.
    published: watch::Sender<u64>,
    /// The last number seen of each publishing node.
    seen: Mutex<HashMap<NodeId, u64>>,
    up: AtomicBool,
    /// What the broker has reported of itself, and whether it took the last publication: up is both.
    reported: AtomicBool,
    taking: AtomicBool,
    requests: Requests,
    patience: Mutex<Patience>,
    core: OnceLock<Weak<Core>>,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct Outgoing {
    sequence: u64,
    waiting: VecDeque<Arc<Publication>>,
    bytes: usize,
    /// Publications that the others will never get, and have not been told of.
    lost: u64,
}

impl Outgoing {
    fn has_room_for(&self, publication: &Publication) -> bool {
        self.waiting.len() < MAX_WAITING
            && self.bytes + size(&publication.event) <= MAX_WAITING_BYTES
    }

    fn number(&mut self, node: &NodeId, publication: Publication) -> Arc<Publication> {
        self.sequence += 1;
        Arc::new(publication.numbered(node.clone(), self.sequence))
    }

    fn push(&mut self, node: &NodeId, publication: Publication) -> Arc<Publication> {
        let publication = self.number(node, publication);
        self.bytes += size(&publication.event);
        self.waiting.push_back(Arc::clone(&publication));
        publication
    }

    /// Tells the other nodes what they will not get, in the place where they do not get it.
    fn confess(&mut self, node: &NodeId) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            self.push(node, Publication::loss(lost));
        }
    }
}

impl Cluster {
    pub(crate) fn new(node: NodeId, broker: Arc<dyn RoomBroker>, stats: Arc<Stats>) -> Self {
        Self {
            node,
            broker,
            outgoing: Mutex::default(),
            arrived: Notify::new(),
            published: watch::Sender::new(0),
            seen: Mutex::default(),
            up: AtomicBool::new(false),
            reported: AtomicBool::new(false),
            taking: AtomicBool::new(true),
            requests: Requests::new(),
            patience: Mutex::default(),
            core: OnceLock::new(),
            stats,
        }
    }

    /// Says what publications and requests of other nodes are for. Weak, since it holds this.
    pub(crate) fn attach(&self, core: &Arc<Core>) {
        // Set once, by the builder.
        let _ = self.core.set(Arc::downgrade(core));
    }

    pub(crate) fn interest(&self, change: Interest<'_>) {
        self.broker.interest(change);
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Queues a publication, under the sequencer's lock: the queue has the order in which this node delivered. Gives it with its number. What
    /// does not fit is counted, and the others are told once there is room again.
    pub(crate) fn enqueue(&self, publication: Publication) -> Arc<Publication> {
        let publication = {
            let mut outgoing = lock(&self.outgoing);
            if outgoing.has_room_for(&publication) {
                outgoing.confess(&self.node);
                outgoing.push(&self.node, publication)
            } else {
                outgoing.lost += 1;
                self.stats.add_publication_dropped();
                return outgoing.number(&self.node, publication);
            }
        };
        self.arrived.notify_one();
        publication
    }

    /// How many publications wait for the broker.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.outgoing).waiting.len()
    }

    /// Publishes what is queued, and deals with what others ask, until `stop` or the server's end, and leaves the cluster.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.publish_forever() => {}
            () = self.serve_requests() => {}
        }
        self.broker.stop().await;
    }

    async fn publish_forever(self: &Arc<Self>) {
        let mut backoff = Backoff::new();
        let node = NodeInfo {
            id: self.node.clone(),
        };
        let mut late = false;
        loop {
            let events: Arc<dyn BrokerEvents> = Arc::clone(self) as _;
            match self.broker.start(&node, events).await {
                Ok(from) => {
                    self.started_at(&from);
                    if late {
                        // Clients may have been here while others published what this node will not be told of.
                        self.gap(None, &from);
                        sleep(COMPANY).await;
                    }
                    break;
                }
                Err(e) if late => {
                    tracing::debug!(error = %chain(&e), "still cannot join the broker");
                    backoff.pause().await;
                }
                Err(e) => {
                    late = true;
                    tracing::warn!(error = %chain(&e), "cannot join the broker; trying again");
                    backoff.pause().await;
                }
            }
        }
        self.health(Health::Up);
        loop {
            let (batch, up_to) = self.next_batch().await;
            self.publish(&batch).await;
            self.published.send_replace(up_to);
        }
    }

    /// Waits until everything is in the log that has been queued, or else that something is lost.
    async fn flushed(&self) {
        loop {
            let sequence = lock(&self.outgoing).sequence;
            self.published_up_to(sequence).await;
            let outgoing = lock(&self.outgoing);
            if outgoing.lost == 0 && outgoing.sequence == sequence {
                return;
            }
        }
    }

    /// Waits so long for the broker to take what waits, and says whether it did.
    pub(crate) async fn last_flush(&self, most: Duration) -> bool {
        if timeout(most, self.flushed()).await.is_ok() {
            return true;
        }
        let lost = lock(&self.outgoing).sequence - *self.published.borrow();
        tracing::error!(
            publications = lost,
            "the broker did not take in time what waited for it: the other nodes will not get that"
        );
        false
    }

    /// Waits until everything up to that own number is in the log, or can never be.
    pub(crate) async fn published_up_to(&self, sequence: u64) {
        let mut published = self.published.subscribe();
        // The sender is this.
        let _ = published.wait_for(|published| *published >= sequence).await;
    }

    /// The next publications, and the number up to which that is all.
    async fn next_batch(&self) -> (Vec<Arc<Publication>>, u64) {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut outgoing = lock(&self.outgoing);
                if outgoing.waiting.len() < MAX_BATCH {
                    outgoing.confess(&self.node);
                }
                let count = outgoing.waiting.len().min(MAX_BATCH);
                if count > 0 {
                    let batch: Vec<_> = outgoing.waiting.drain(..count).collect();
                    outgoing.bytes -= batch.iter().map(|p| size(&p.event)).sum::<usize>();
                    let last = batch.last().and_then(|p| p.id.as_ref());
                    let up_to = last.map_or(0, |(_, sequence)| *sequence);
                    return (batch, up_to);
                }
            }
            arrived.await;
        }
    }

    /// Publishes a batch, however long the broker is away. One that it refuses for good does not hold up those behind it.
    async fn publish(&self, batch: &[Arc<Publication>]) {
        let mut backoff = Backoff::new();
        let (mut rest, mut together) = (batch, batch.len());
        let mut is_told = false;
        while !rest.is_empty() {
            let now = &rest[..together.min(rest.len())];
            match self.broker.publish(now).await {
                Ok(()) => rest = &rest[now.len()..],
                // What refuses even to be told of a loss would refuse everything.
                Err(e) if e.is_retryable() || (now.len() == 1 && now[0].lost > 0) => {
                    self.takes(false);
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(error = %chain(&e), "the broker takes no publications; they wait for it");
                    }
                    backoff.pause().await;
                    continue;
                }
                Err(_) if now.len() > 1 => {
                    together = 1;
                    continue;
                }
                Err(e) => {
                    self.refused(&now[0], &e);
                    rest = &rest[1..];
                }
            }
            self.takes(true);
        }
    }

    fn takes(&self, is_taken: bool) {
        self.taking.store(is_taken, Ordering::SeqCst);
        self.judge();
    }

    /// Says so when the broker has gone down or come up.
    fn judge(&self) {
        let up = self.reported.load(Ordering::SeqCst) && self.taking.load(Ordering::SeqCst);
        if self.up.swap(up, Ordering::SeqCst) != up {
            match up {
                true => tracing::info!("the broker is up"),
                false => tracing::warn!(
                    "the broker is down: what this node and others say does not get to each other"
                ),
            }
        }
    }

    fn refused(&self, publication: &Publication, error: &BrokerError) {
        self.stats.add_publication_dropped();
        lock(&self.outgoing).lost += 1;
        self.arrived.notify_one();
        let namespace = &publication.namespace;
        tracing::error!(%namespace, error = %chain(error), "the broker refused a publication");
    }

    /// Whether a publication is to be delivered here: not an own one, not one that was seen.
    fn is_new(&self, publication: &Publication) -> bool {
        let Some((node, sequence)) = &publication.id else {
            return true;
        };
        if *node == self.node {
            return false;
        }
        let mut seen = lock(&self.seen);
        if seen.len() >= MAX_ORIGINS && !seen.contains_key(node) {
            seen.clear();
        }
        let last = seen
            .entry(node.clone())
            .or_insert(sequence.saturating_sub(1));
        if *sequence <= *last {
            return false;
        }
        if *sequence > *last + 1 && !self.broker.capabilities().filters {
            self.stats.add_gap();
            tracing::warn!(%node, missed = *sequence - *last - 1, "publications of a node were missed");
        }
        *last = *sequence;
        true
    }

    /// Waits for clients that are behind, as long as there is patience.
    async fn pace(&self, core: &Core) {
        if !lock(&self.patience).is_time_to_look(Instant::now()) {
            return;
        }
        // Only then the shards have seen what was said before.
        tokio::task::yield_now().await;
        let most = core.config.pending_budget() / 4;
        while core.is_anyone_behind(most) && lock(&self.patience).spend(PAUSE, Instant::now()) {
            sleep(PAUSE).await;
        }
    }

    fn started_at(&self, position: &Position) {
        if let Some(core) = self.core() {
            core.sequencer.advance(position);
        }
    }

    pub(crate) fn broker(&self) -> &Arc<dyn RoomBroker> {
        &self.broker
    }

    /// Whether publications were lost on the way to the log and nobody has been told yet.
    pub(crate) fn has_unconfessed_losses(&self) -> bool {
        lock(&self.outgoing).lost > 0
    }

    /// This node's name.
    pub(crate) fn node(&self) -> &NodeId {
        &self.node
    }

    fn core(&self) -> Option<Arc<Core>> {
        self.core.get().and_then(Weak::upgrade)
    }
}

#[async_trait]
impl BrokerEvents for Cluster {
    async fn publications(&self, batch: &[Delivered]) {
        let Some(core) = self.core() else { return };
        for (at, (position, publication)) in batch.iter().enumerate() {
            if at % PACE == PACE - 1 {
                self.pace(&core).await;
            }
            if !self.is_new(publication) {
                position.iter().for_each(|at| core.sequencer.advance(at));
            } else if publication.lost > 0 {
                position.iter().for_each(|at| core.sequencer.advance(at));
                self.stats.add_gap();
                let (node, lost) = (
                    publication.id.as_ref().map(|(node, _)| node),
                    publication.lost,
                );
                tracing::warn!(?node, lost, "a node could not publish everything");
            } else {
                core.sequencer
                    .deliver_remote(publication, position.as_ref());
            }
        }
    }

    fn advanced(&self, to: &Position) {
        if let Some(core) = self.core() {
            core.sequencer.advance(to);
        }
    }

    fn gap(&self, after: Option<&Position>, now: &Position) {
        self.stats.add_gap();
        tracing::warn!(
            ?after,
            ?now,
            "the broker's log has a gap; messages of other nodes may be missing"
        );
        if let Some(core) = self.core() {
            core.sequencer.restart_at(now);
        }
    }

    fn request(&self, request: Request, reply: ReplySink) {
        self.arrived(request, reply);
    }

    fn health(&self, health: Health) {
        self.reported.store(health == Health::Up, Ordering::SeqCst);
        self.judge();
    }
}

/// Growing pauses with jitter, so that nodes do not come back all at once.
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Self(BACKOFF.0)
    }

    async fn pause(&mut self) {
        let jitter = 0.5 + f64::from(random_u32()) / f64::from(u32::MAX) / 2.0;
        sleep(self.0.mul_f64(jitter)).await;
        self.0 = (self.0 * 2).min(BACKOFF.1);
    }
}

fn random_u32() -> u32 {
    // Without randomness there is no jitter, and that harms nobody.
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

/// How much of the queue's bytes an event takes.
fn size(event: &EventData) -> usize {
    event.json().len()
        + event
            .attachments()
            .iter()
            .map(|bytes| bytes.len())
            .sum::<usize>()
}

/// An error with its causes, for a log line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
