//! The contract of [`RoomBroker`].
//!
//! A closure that makes a broker is a factory of clusters of one node. For more nodes, implement [`BrokerFactory`]: most of the contract is about what
//! several nodes see.

mod attempts;
mod history;
mod lifecycle;
mod order;
mod outage;
mod recorder;
mod recovery;
mod replies;
mod requests;

use std::{future::ready, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use self::recorder::Recorder;
use super::{
    Clause, Failures, Report,
    run::{self, Tables, Verdict, call, failed, in_time, not_applicable},
    support::HOSTILE,
};
use crate::{
    NodeId, Room,
    broker::{Audience, Capabilities, Interest, NodeInfo, Position, Publication, RoomBroker},
    protocol::EventData,
};

/// The namespaces and rooms of the clauses' publications; rooms with hostile names come on top.
const NAMESPACES: [&str; 3] = ["/", "/admin", "/ü 🦀"];
const ROOMS: &[&str] = &["room", "b", "c"];

/// How long clauses give what must not come.
const QUIET: Duration = Duration::from_millis(100);

const NAME: &str = "RoomBroker";

/// Makes the clusters that are checked. A closure that gives a future of a broker is one whose clusters have one node.
pub trait BrokerFactory: Send + Sync + 'static {
    /// What the nodes of one cluster share: a connection's address and a prefix, or the first broker.
    type Cluster: Send + Sync + 'static;
    /// One node's broker.
    type Broker: RoomBroker;

    /// A fresh cluster with an empty log, which shares nothing with earlier ones.
    fn cluster(&self) -> impl Future<Output = Self::Cluster> + Send;

    /// A broker for one more node of the cluster, not started yet. `None`: the cluster has its last node; the first is never `None`.
    fn node(&self, cluster: &Self::Cluster) -> impl Future<Output = Option<Self::Broker>> + Send;

    /// Loses the cluster's log, as a restart of the engine without its data would, and says whether it did. Default: not offered.
    fn lose_log(&self, cluster: &Self::Cluster) -> impl Future<Output = bool> + Send {
        let _ = cluster;
        ready(false)
    }

    /// Makes the cluster's engine unreachable and says whether it is. Default: not offered.
    fn cut_off(&self, cluster: &Self::Cluster) -> impl Future<Output = bool> + Send {
        let _ = cluster;
        ready(false)
    }

    /// Makes it reachable again, after [`cut_off`](Self::cut_off) said `true`.
    fn reconnect(&self, cluster: &Self::Cluster) -> impl Future<Output = ()> + Send {
        let _ = cluster;
        ready(())
    }
}

/// What a closure's clusters share: whether they have their node.
#[derive(Debug, Default)]
pub struct OneNode(std::sync::atomic::AtomicBool);

impl<F, Fut> BrokerFactory for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future + Send,
    Fut::Output: RoomBroker,
{
    type Cluster = OneNode;
    type Broker = Fut::Output;

    fn cluster(&self) -> impl Future<Output = OneNode> + Send {
        ready(OneNode::default())
    }

    async fn node(&self, cluster: &OneNode) -> Option<Fut::Output> {
        if cluster.0.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return None;
        }
        Some(self().await)
    }
}

/// Checks every clause, each on a fresh cluster.
///
/// # Errors
/// [`Failures`] when a clause is broken.
pub async fn check(factory: impl BrokerFactory) -> Result<Report, Failures> {
    run::check(NAME, TABLES, harness(factory)).await
}

/// Checks the clause of that name, on a fresh cluster.
///
/// # Errors
/// [`Failures`] when the clause is broken, or there is none of that name.
pub async fn check_clause(factory: impl BrokerFactory, name: &str) -> Result<Report, Failures> {
    run::check_clause(NAME, TABLES, harness(factory), name).await
}

/// The clauses, in the order in which they are checked.
#[must_use]
pub fn clauses() -> Vec<Clause> {
    run::list(TABLES)
}

const TABLES: Tables<Harness> = &[
    lifecycle::CLAUSES,
    order::CLAUSES,
    attempts::CLAUSES,
    history::CLAUSES,
    requests::CLAUSES,
    replies::CLAUSES,
    recovery::CLAUSES,
    outage::CLAUSES,
];

/// The factory without its type: the clauses are compiled once, and not for each backend.
#[derive(Clone)]
struct Harness(Arc<dyn Erased>);

trait Erased: Send + Sync {
    fn cluster(&self) -> BoxFuture<'_, Cluster>;
}

/// A cluster, and what its factory can do with it.
struct Cluster(Box<dyn Controls>);

trait Controls: Send + Sync {
    fn node(&self) -> BoxFuture<'_, Option<Arc<dyn RoomBroker>>>;
    fn lose_log(&self) -> BoxFuture<'_, bool>;
    fn cut_off(&self) -> BoxFuture<'_, bool>;
    fn reconnect(&self) -> BoxFuture<'_, ()>;
}

struct Of<F: BrokerFactory>(Arc<F>);

struct ClusterOf<F: BrokerFactory> {
    factory: Arc<F>,
    cluster: F::Cluster,
}

fn harness<F: BrokerFactory>(factory: F) -> Harness {
    Harness(Arc::new(Of(Arc::new(factory))))
}

impl<F: BrokerFactory> Erased for Of<F> {
    fn cluster(&self) -> BoxFuture<'_, Cluster> {
        Box::pin(async {
            Cluster(Box::new(ClusterOf {
                factory: Arc::clone(&self.0),
                cluster: self.0.cluster().await,
            }))
        })
    }
}

impl<F: BrokerFactory> Controls for ClusterOf<F> {
    fn node(&self) -> BoxFuture<'_, Option<Arc<dyn RoomBroker>>> {
        Box::pin(async {
            let broker = self.factory.node(&self.cluster).await?;
            Some(Arc::new(broker) as _)
        })
    }

    fn lose_log(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.factory.lose_log(&self.cluster))
    }

    fn cut_off(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.factory.cut_off(&self.cluster))
    }

    fn reconnect(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.factory.reconnect(&self.cluster))
    }
}

impl Harness {
    async fn cluster(&self) -> Cluster {
        self.0.cluster().await
    }

    /// The first node of a fresh cluster, not started.
    async fn alone(&self) -> Verdict<(Cluster, Arc<dyn RoomBroker>)> {
        let cluster = self.cluster().await;
        let broker = cluster.broker().await?;
        Ok((cluster, broker))
    }

    /// A fresh cluster with so many nodes, all started.
    async fn nodes<const N: usize>(&self) -> Verdict<(Cluster, [Node; N])> {
        let cluster = self.cluster().await;
        let mut nodes = Vec::new();
        for _ in 0..N {
            nodes.push(cluster.join(Recorder::new()).await?);
        }
        match nodes.try_into() {
            Ok(nodes) => Ok((cluster, nodes)),
            Err(_) => failed("the clauses miscounted"),
        }
    }
}

/// A started node.
struct Node {
    id: NodeId,
    broker: Arc<dyn RoomBroker>,
    told: Arc<Recorder>,
    start: Position,
}

impl Cluster {
    async fn broker(&self) -> Verdict<Arc<dyn RoomBroker>> {
        match self.0.node().await {
            Some(broker) => Ok(broker),
            None => not_applicable("the factory offers no further node (`node`)"),
        }
    }

    /// Starts one more node.
    async fn join(&self, told: Arc<Recorder>) -> Verdict<Node> {
        let broker = self.broker().await?;
        let id = NodeId::random();
        let start = start(&*broker, &id, &told).await?;
        Ok(Node {
            id,
            broker,
            told,
            start,
        })
    }

    async fn lose_log(&self) -> Verdict {
        if self.0.lose_log().await {
            return Ok(());
        }
        not_applicable("the factory does not offer to lose the log (`lose_log`)")
    }

    async fn cut_off(&self) -> Verdict {
        if self.0.cut_off().await {
            return Ok(());
        }
        not_applicable("the factory does not offer to cut the engine off (`cut_off`)")
    }
}

impl Node {
    async fn publish(&self, batch: &[Arc<Publication>]) -> Verdict {
        call("publish", self.broker.publish(batch)).await
    }

    async fn publish_one(&self, publication: &Arc<Publication>) -> Verdict {
        self.publish(std::slice::from_ref(publication)).await
    }

    async fn stop(&self) -> Verdict {
        in_time("stop", self.broker.stop()).await
    }
}

async fn start(broker: &dyn RoomBroker, id: &NodeId, told: &Arc<Recorder>) -> Verdict<Position> {
    let info = NodeInfo { id: id.clone() };
    let position = call("start", broker.start(&info, Arc::clone(told) as _)).await?;
    // A broker may leave out what a node has no members for.
    for namespace in NAMESPACES {
        for room in &rooms(ROOMS)
            .into_iter()
            .chain(rooms(HOSTILE))
            .collect::<Vec<_>>()
        {
            broker.interest(Interest::Began { namespace, room });
        }
    }
    Ok(position)
}

/// The clause does not apply unless the broker claims what it is about.
fn claimed(broker: &dyn RoomBroker, what: &str, claim: fn(Capabilities) -> bool) -> Verdict {
    if claim(broker.capabilities()) {
        return Ok(());
    }
    not_applicable(format!("the broker does not claim `{what}`"))
}

fn rooms(names: &[&str]) -> Vec<Room> {
    let parse = |name: &&str| Room::parse(name).expect("the clauses' rooms are legal");
    names.iter().map(parse).collect()
}

fn audience(names: &[&str]) -> Audience {
    Audience {
        rooms: rooms(names),
        except: Vec::new(),
    }
}

fn event(argument: &str) -> EventData {
    EventData::new("event", argument).expect("the clauses' events are legal")
}

/// A node's publication for a room, told from others by its number.
fn publication(node: &NodeId, number: u64) -> Arc<Publication> {
    to_rooms(node, number, &["room"])
}

fn to_rooms(node: &NodeId, number: u64, rooms: &[&str]) -> Arc<Publication> {
    let id = Some((node.clone(), number));
    let event = event(&format!("{node} {number}"));
    Arc::new(Publication::new(id, "/".into(), audience(rooms), event))
}

/// A node's publications of these numbers.
fn batch(node: &NodeId, numbers: impl IntoIterator<Item = u64>) -> Vec<Arc<Publication>> {
    let numbers = numbers.into_iter();
    numbers.map(|number| publication(node, number)).collect()
}
