//! A node that writes down what it is told.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use async_trait::async_trait;
use slimy_rt::{
    NodeId, Room,
    broker::{
        Audience, BrokerEvents, Delivered, Health, Interest, NodeInfo, Position, Publication,
        Reply, ReplySink, Request, RoomBroker,
    },
    protocol::EventData,
};
use tokio::sync::Semaphore;

use super::eventually;

/// An open gate.
const OPEN: usize = Semaphore::MAX_PERMITS / 2;

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) broker: Arc<dyn RoomBroker>,
    pub(crate) start: Position,
    notes: Arc<Notes>,
    published: AtomicU64,
}

/// What a node has been told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) publications: Vec<Delivered>,
    pub(crate) gaps: Vec<(Option<Position>, Position)>,
    pub(crate) advanced: Option<Position>,
    /// The changes of its health, and how often it was reported.
    pub(crate) health: Vec<Health>,
    pub(crate) reports: usize,
}

#[derive(Debug)]
struct Notes {
    id: NodeId,
    told: Mutex<Told>,
    gate: Semaphore,
}

impl Node {
    /// A node with members in the room "room".
    pub(crate) async fn of(broker: impl RoomBroker) -> Self {
        Self::with(broker, true).await
    }

    /// One that takes no publication before [`open`](Self::open), if it is shut.
    pub(crate) async fn with(broker: impl RoomBroker, is_open: bool) -> Self {
        let (broker, id): (Arc<dyn RoomBroker>, _) = (Arc::new(broker), NodeId::random());
        let notes = Notes::new(&id, if is_open { OPEN } else { 0 });
        let info = NodeInfo { id: id.clone() };
        let start = broker.start(&info, Arc::clone(&notes) as _).await.unwrap();
        let node = Self {
            id,
            broker,
            start,
            notes,
            published: AtomicU64::new(0),
        };
        node.join("room");
        node
    }

    pub(crate) fn open(&self) {
        self.notes.gate.add_permits(OPEN);
    }

    pub(crate) fn join(&self, name: &str) {
        let room = Room::parse(name).unwrap();
        self.broker.interest(Interest::Began {
            namespace: "/",
            room: &room,
        });
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.notes.told()
    }

    /// The next of its publications.
    pub(crate) fn publication(&self, (audience, event): (Audience, EventData)) -> Arc<Publication> {
        let number = self.published.fetch_add(1, Relaxed) + 1;
        let id = Some((self.id.clone(), number));
        Arc::new(Publication::new(id, "/".into(), audience, event))
    }

    /// Publishes, which must succeed.
    pub(crate) async fn publish(&self, what: &[(Audience, EventData)]) -> Vec<Arc<Publication>> {
        let batch: Vec<_> = what
            .iter()
            .map(|what| self.publication(what.clone()))
            .collect();
        self.broker.publish(&batch).await.unwrap();
        batch
    }

    /// Waits until it has been told of these.
    pub(crate) async fn received(&self, publications: &[Arc<Publication>]) {
        for wanted in publications {
            let what = format!("the publication {:?}", wanted.id);
            eventually(&what, async || self.has(wanted)).await;
        }
    }

    pub(crate) fn has(&self, wanted: &Publication) -> bool {
        let told = self.told();
        told.publications.iter().any(|(_, had)| had.id == wanted.id)
    }

    /// The numbers of what that node published, in the order in which this one was told.
    pub(crate) fn numbers_of(&self, node: &NodeId) -> Vec<u64> {
        let told = self.told();
        let ids = told.publications.iter().filter_map(|(_, p)| p.id.as_ref());
        ids.filter(|(from, _)| from == node)
            .map(|(_, number)| *number)
            .collect()
    }

    /// How many other nodes are asked, and all answer.
    pub(crate) async fn nodes(&self) -> usize {
        let (replies, mut answers) = ReplySink::channel();
        let asked = self.broker.request(&Request::Nodes, replies).await.unwrap();
        let mut answered = 0;
        while answers.recv().await.is_some() {
            answered += 1;
        }
        assert_eq!(answered, asked.nodes);
        answered
    }
}

/// Whoever is told this tells nobody.
pub(crate) fn nobody(id: &NodeId) -> Arc<dyn BrokerEvents> {
    Notes::new(id, OPEN)
}

impl Notes {
    fn new(id: &NodeId, permits: usize) -> Arc<Self> {
        Arc::new(Self {
            id: id.clone(),
            told: Mutex::default(),
            gate: Semaphore::new(permits),
        })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BrokerEvents for Notes {
    async fn publications(&self, batch: &[Delivered]) {
        // Never closed.
        self.gate.acquire().await.unwrap().forget();
        self.told().publications.extend_from_slice(batch);
    }

    fn advanced(&self, to: &Position) {
        self.told().advanced = Some(to.clone());
    }

    fn gap(&self, after: Option<&Position>, now: &Position) {
        self.told().gaps.push((after.cloned(), now.clone()));
    }

    fn request(&self, _: Request, reply: ReplySink) {
        let id = self.id.clone();
        tokio::spawn(async move { reply.send(Reply::Node { id, sockets: 0 }).await });
    }

    fn health(&self, health: Health) {
        let mut told = self.told();
        told.reports += 1;
        if told.health.last() != Some(&health) {
            told.health.push(health);
        }
    }
}

/// An event for a room.
pub(crate) fn to_room(room: &str, text: &str) -> (Audience, EventData) {
    let audience = Audience {
        rooms: vec![Room::parse(room).unwrap()],
        except: Vec::new(),
    };
    (audience, EventData::new("event", text).unwrap())
}
