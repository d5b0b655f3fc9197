//! Broken brokers.

use std::{
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use async_trait::async_trait;
use slimy_rt::{
    NodeId,
    broker::{
        Audience, BrokerError, BrokerEvents, Capabilities, Expected, Health, HistoryError,
        Interest, NodeInfo, Page, Position, Publication, ReplySink, Request, RoomBroker,
    },
    conformance::broker::{BrokerFactory, check, check_clause, clauses},
};
use slimy_rt_backends::memory::MemoryBroker;
use tokio::{sync::watch, task::yield_now};

use super::{
    AtLeast, Only, all_hold,
    broken_events::{Forward, Running, until_away},
    broker_flaws::{FLAWS, Flaw, Flaw as F},
    each_is_caught,
};

const TTL: Duration = Duration::from_secs(3_600);

/// What the nodes of a cluster share: the memory brokers' cluster, which is replaced when its log is lost.
#[derive(Debug)]
struct Shared {
    flaw: Flaw,
    base: Mutex<MemoryBroker>,
    lost: Mutex<Vec<String>>,
    nodes: Mutex<Vec<Weak<Node>>>,
    away: watch::Sender<bool>,
}

/// A memory broker with one flaw, that can be cut off and lose its log.
#[derive(Debug)]
struct Node {
    shared: Arc<Shared>,
    index: usize,
    inner: Mutex<MemoryBroker>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Arc<Running>>,
    start: Option<Position>,
    stops: usize,
    /// What goes on after `stop`.
    shadow: Option<MemoryBroker>,
    ids: Vec<(NodeId, u64)>,
    failed: Vec<(NodeId, u64)>,
    pending: Vec<String>,
    /// Whether it was asked in an outage.
    asked_away: bool,
}

impl Node {
    fn flaw(&self) -> Flaw {
        self.shared.flaw
    }

    fn inner(&self) -> MemoryBroker {
        self.inner.lock().unwrap().clone()
    }

    fn running(&self) -> Option<Arc<Running>> {
        self.state.lock().unwrap().running.clone()
    }

    fn is_away(&self) -> bool {
        *self.shared.away.borrow()
    }

    fn key(&self, key: &str) -> String {
        match self.flaw() {
            F::KeepsPerNode => format!("{}:{key}", self.index),
            _ => key.to_owned(),
        }
    }
}

const EMPTY: Page = Page {
    publications: Vec::new(),
    complete: true,
};

fn cut_off() -> BrokerError {
    BrokerError::Unavailable("cut off".into())
}

fn epoch(position: &Position) -> String {
    position
        .as_str()
        .split(':')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn number(position: &Position) -> Option<u64> {
    position.as_str().split(':').nth(1)?.parse().ok()
}

#[async_trait]
impl RoomBroker for Node {
    fn capabilities(&self) -> Capabilities {
        match self.flaw() {
            F::ClaimsNothing => Capabilities::default(),
            _ => self.inner().capabilities(),
        }
    }

    async fn start(
        &self,
        node: &NodeInfo,
        events: Arc<dyn BrokerEvents>,
    ) -> Result<Position, BrokerError> {
        if self.flaw() == F::StartsTwice && self.running().is_some() {
            return Ok(Position::new("again"));
        }
        if self.flaw() == F::StartsOnce && self.state.lock().unwrap().start.is_some() {
            return Err(BrokerError::Invalid("once only".into()));
        }
        let shadow = self.state.lock().unwrap().shadow.take();
        if let Some(shadow) = shadow {
            shadow.stop().await;
        }
        let running = Arc::new(Running::new(
            self.flaw(),
            self.index,
            node.id.clone(),
            events,
        ));
        let forward = Forward::new(&running, self.shared.away.subscribe());
        let start = self.inner().start(node, forward).await?;
        let start = match self.flaw() {
            F::StartsAtZero => Position::new(format!("{}:0", epoch(&start))),
            _ => start,
        };
        if self.flaw() == F::TellsThePast {
            let from = Position::new(format!("{}:0", epoch(&start)));
            let past = self
                .inner()
                .history(&from, &start, &Audience::default(), 999)
                .await;
            let past: Vec<_> = past
                .unwrap()
                .publications
                .into_iter()
                .map(|(at, past)| (Some(at), past))
                .collect();
            running.events.publications(&past).await;
        }
        let mut state = self.state.lock().unwrap();
        state.running = Some(running);
        state.start = Some(start.clone());
        Ok(start)
    }

    fn interest(&self, change: Interest<'_>) {
        self.inner().interest(change);
    }

    async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
        let Some(running) = self.running() else {
            let stopped = self.state.lock().unwrap().stops > 0;
            return match self.flaw() {
                F::PublishesUnstarted if !stopped => Ok(()),
                F::PublishesStopped if stopped => Ok(()),
                _ => Err(BrokerError::Stopped),
            };
        };
        let ids: Vec<_> = batch
            .iter()
            .filter_map(|publication| publication.id.clone())
            .collect();
        if self.is_away() {
            if self.flaw() == F::OutageIsOk {
                return Ok(());
            }
            self.state.lock().unwrap().failed.extend(ids);
            return Err(cut_off());
        }
        let mut batch = batch.to_vec();
        match self.flaw() {
            F::SkipsFailed
                if ids
                    .iter()
                    .any(|id| self.state.lock().unwrap().failed.contains(id)) =>
            {
                return Ok(());
            }
            F::RefusesEmptyBatches if batch.is_empty() => {
                return Err(BrokerError::Invalid("empty".into()));
            }
            F::ReversesBatches => batch.reverse(),
            F::OwnFirst => {
                let own: Vec<_> = batch
                    .iter()
                    .map(|publication| (None, Arc::clone(publication)))
                    .collect();
                running.events.publications(&own).await;
            }
            F::RefusesRepetition => {
                let mut state = self.state.lock().unwrap();
                if ids.iter().any(|id| state.ids.contains(id)) {
                    return Err(BrokerError::Invalid("twice".into()));
                }
                state.ids.extend(ids);
            }
            F::SkipsBegunBatches if batch.len() > 1 => {
                let first = ids[0].clone();
                {
                    let mut state = self.state.lock().unwrap();
                    if state.ids.contains(&first) {
                        return Ok(());
                    }
                    state.ids.push(first);
                }
                self.inner().publish(&batch[..1]).await?;
                yield_now().await;
                batch.remove(0);
            }
            _ => {}
        }
        self.inner().publish(&batch).await
    }

    async fn end(&self) -> Result<Position, BrokerError> {
        if self.is_away() {
            return Err(cut_off());
        }
        let start = self.state.lock().unwrap().start.clone();
        match (self.flaw(), start) {
            (F::EndStandsStill, Some(start)) => Ok(start),
            _ => self.inner().end().await,
        }
    }

    async fn history(
        &self,
        after: &Position,
        to: &Position,
        audience: &Audience,
        max: usize,
    ) -> Result<Page, HistoryError> {
        if self.is_away() {
            return match self.flaw() {
                F::OutageIsGone => Err(HistoryError::Gone),
                F::OutageIsEmpty => Ok(EMPTY),
                _ => Err(cut_off().into()),
            };
        }
        let (mut audience, mut to) = (audience.clone(), to.clone());
        match self.flaw() {
            F::IgnoresAudience => audience = Audience::default(),
            F::EndIsExclusive => {
                let last = number(&to).unwrap_or_default().saturating_sub(1);
                to = Position::new(format!("{}:{last}", epoch(&to)));
            }
            F::ForgetsBeforeJoin => {
                let start = self.state.lock().unwrap().start.as_ref().and_then(number);
                if number(after) < start {
                    return Err(HistoryError::Gone);
                }
            }
            F::PanicsOnNonsense => assert!(after.as_str().contains(':'), "nonsense"),
            F::OldLogIsEmpty if self.shared.lost.lock().unwrap().contains(&epoch(after)) => {
                return Ok(EMPTY);
            }
            _ => {}
        }
        let mut page = self.inner().history(after, &to, &audience, max).await?;
        match self.flaw() {
            F::AlwaysComplete => page.complete = true,
            F::WritesOtherPositions => {
                for (position, _) in &mut page.publications {
                    let number = number(position).unwrap_or_default();
                    *position = Position::new(format!("{}:0{number}", epoch(position)));
                }
            }
            _ => {}
        }
        Ok(page)
    }

    async fn request(
        &self,
        request: &Request,
        replies: ReplySink,
    ) -> Result<Expected, BrokerError> {
        let Some(running) = self.running() else {
            return match self.flaw() {
                F::AsksUnstarted => Ok(Expected { nodes: 0 }),
                _ => Err(BrokerError::Stopped),
            };
        };
        let was_away = {
            let mut state = self.state.lock().unwrap();
            state.asked_away |= self.is_away();
            state.asked_away
        };
        match self.flaw() {
            F::OutageAsksNobody if self.is_away() => return Ok(Expected { nodes: 0 }),
            _ if self.is_away() => return Err(cut_off()),
            F::AsksNobodyAgain if was_away => return Ok(Expected { nodes: 0 }),
            _ => {}
        }
        if self.flaw() == F::AsksItself {
            running.events.request(request.clone(), replies.clone());
        }
        let replies = match self.flaw() {
            F::LosesAnswers => ReplySink::channel().0,
            // It tells by the asker's own sink that nobody takes the answers.
            F::StopsAtAbandoned | F::LeavesAskersWaiting => replies,
            flaw => until_away(flaw, self.shared.away.subscribe(), replies),
        };
        let mut expected = self.inner().request(request, replies).await?;
        if self.flaw() == F::ExpectsMore {
            expected.nodes += 1;
        }
        Ok(expected)
    }

    async fn save_recovery(
        &self,
        key: &str,
        state: &[u8],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        let (key, inner) = (self.key(key), self.inner());
        match self.flaw() {
            F::KeepsForLong => inner.save_recovery(&key, state, TTL).await,
            F::StatesAreText => {
                let text = String::from_utf8_lossy(state);
                inner.save_recovery(&key, text.as_bytes(), ttl).await
            }
            F::FirstStateStays => match inner.take_recovery(&key).await? {
                Some(first) => inner.save_recovery(&key, &first, TTL).await,
                None => inner.save_recovery(&key, state, ttl).await,
            },
            _ => inner.save_recovery(&key, state, ttl).await,
        }
    }

    async fn take_recovery(&self, key: &str) -> Result<Option<Vec<u8>>, BrokerError> {
        let (key, inner) = (self.key(key), self.inner());
        match self.flaw() {
            F::InventsStates => {
                return Ok(Some(inner.take_recovery(&key).await?.unwrap_or_default()));
            }
            F::LeavesTakePending => {
                {
                    let mut state = self.state.lock().unwrap();
                    if state.pending.contains(&key) {
                        return Ok(None);
                    }
                    state.pending.push(key.clone());
                }
                yield_now().await;
                self.state
                    .lock()
                    .unwrap()
                    .pending
                    .retain(|pending| *pending != key);
            }
            F::TakesInTwoSteps | F::KeepsTaken => {
                let seen = inner.take_recovery(&key).await?;
                if let Some(state) = &seen {
                    inner.save_recovery(&key, state, TTL).await?;
                }
                if self.flaw() == F::TakesInTwoSteps {
                    yield_now().await;
                    inner.take_recovery(&key).await?;
                }
                return Ok(seen);
            }
            _ => {}
        }
        inner.take_recovery(&key).await
    }

    async fn stop(&self) {
        let running = {
            let mut state = self.state.lock().unwrap();
            state.stops += 1;
            assert!(
                self.flaw() != F::PanicsOnSecondStop || state.stops < 3,
                "stopped too often"
            );
            state.running.take()
        };
        self.inner().stop().await;
        if let Some(running) = running.filter(|_| self.flaw() == F::GoesOnAfterStop) {
            let shadow = self.inner().node();
            let info = NodeInfo {
                id: NodeId::random(),
            };
            let deaf = Forward::deaf(&running, self.shared.away.subscribe());
            shadow.start(&info, deaf).await.unwrap();
            self.state.lock().unwrap().shadow = Some(shadow);
        }
    }
}

struct Brokers(Flaw);

impl BrokerFactory for Brokers {
    type Cluster = Arc<Shared>;
    type Broker = Arc<Node>;

    async fn cluster(&self) -> Arc<Shared> {
        Arc::new(Shared {
            flaw: self.0,
            base: Mutex::new(MemoryBroker::new()),
            lost: Mutex::default(),
            nodes: Mutex::default(),
            away: watch::Sender::new(false),
        })
    }

    async fn node(&self, shared: &Arc<Shared>) -> Option<Arc<Node>> {
        let mut nodes = shared.nodes.lock().unwrap();
        let node = Arc::new(Node {
            shared: Arc::clone(shared),
            index: nodes.len(),
            inner: Mutex::new(shared.base.lock().unwrap().node()),
            state: Mutex::default(),
        });
        nodes.push(Arc::downgrade(&node));
        Some(node)
    }

    async fn lose_log(&self, shared: &Arc<Shared>) -> bool {
        let base = MemoryBroker::new();
        *shared.base.lock().unwrap() = base.clone();
        for node in started(shared) {
            let Some(running) = node.running() else {
                continue;
            };
            node.inner().stop().await;
            let inner = base.node();
            *node.inner.lock().unwrap() = inner.clone();
            let info = NodeInfo {
                id: running.id.clone(),
            };
            let start = inner
                .start(&info, Forward::new(&running, shared.away.subscribe()))
                .await
                .unwrap();
            let old = node.state.lock().unwrap().start.replace(start.clone());
            shared.lost.lock().unwrap().extend(old.as_ref().map(epoch));
            if shared.flaw != F::HidesGap {
                running.events.gap(old.as_ref(), &start);
            }
        }
        true
    }

    async fn cut_off(&self, shared: &Arc<Shared>) -> bool {
        shared.away.send_replace(true);
        if shared.flaw != F::HidesDown {
            tell(shared, Health::Down);
        }
        true
    }

    async fn reconnect(&self, shared: &Arc<Shared>) {
        shared.away.send_replace(false);
        tell(shared, Health::Up);
    }
}

fn started(shared: &Shared) -> Vec<Arc<Node>> {
    shared
        .nodes
        .lock()
        .unwrap()
        .iter()
        .filter_map(Weak::upgrade)
        .collect()
}

fn tell(shared: &Shared, health: Health) {
    for node in started(shared) {
        if let Some(running) = node.running() {
            running.events.health(health);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_broken_broker_is_caught() {
    each_is_caught(&clauses(), FLAWS, |flaw, breaks| match breaks {
        Only(_) => Box::pin(check(Brokers(flaw))),
        AtLeast(clause) => Box::pin(check_clause(Brokers(flaw), clause)),
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_a_flaw_keeps_every_clause() {
    all_hold(check(Brokers(F::None)).await, &clauses());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_claimed_does_not_apply() {
    let failures = check(Brokers(F::ClaimsNothing)).await.unwrap_err();
    let others = &failures.report.not_applicable;
    for (clause, capability) in [
        ("history-pages", "`log`"),
        ("request-others", "`requests`"),
        ("recovery-once", "`recovery`"),
    ] {
        let reason = others
            .iter()
            .find(|other| other.clause.name == clause)
            .map(|other| &other.reason);
        assert!(
            reason.is_some_and(|reason| reason.contains(capability)),
            "{clause}: {reason:?}"
        );
    }
}
