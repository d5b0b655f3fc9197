//! Nodes with clients whose sockets are at hand, and brokers and nodes that fail.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use slimy_rt::{
    NodeId,
    broker::{
        Audience, BrokerError, BrokerEvents, Capabilities, Delivered, Expected, Health,
        HistoryError, Interest, NodeInfo, Page, Position, Publication, ReplySink, Request,
        RoomBroker,
    },
    events::{Emitter, Namespace, Socket},
    server::{Config, Server},
};
use slimy_rt_backends::memory::MemoryBroker;
use tokio::sync::mpsc;

use crate::{
    client::{Client, DEADLINE},
    node::{ByHeader, Node},
};

/// Long enough for what is awaited to fail by itself, short enough for a test.
pub const SHORT: Duration = Duration::from_millis(150);

/// A node that hands out its sockets.
#[derive(Debug)]
pub struct TestNode {
    /// The node.
    pub node: Node,
    /// Those that were let in, in their order.
    pub sockets: mpsc::UnboundedReceiver<Socket>,
}

/// A client and its socket.
#[derive(Debug)]
pub struct Peer {
    /// The client's side.
    pub client: Client,
    /// The server's side.
    pub socket: Socket,
}

/// Other nodes are not waited for as long as by default.
#[must_use]
pub fn config() -> Config {
    Config {
        request_timeout: SHORT * 2,
        ..Config::default()
    }
}

impl TestNode {
    /// A node with that namespace, once its broker is there.
    pub async fn new(broker: Option<Faulty>, config: Config, namespace: Namespace) -> Self {
        let (sender, sockets) = mpsc::unbounded_channel();
        let namespace = namespace.on_connect(move |socket: Socket| {
            sender.send(socket).unwrap();
            std::future::ready(())
        });
        let mut builder = Server::builder(ByHeader)
            .config(config)
            .namespace(namespace);
        let has_broker = broker.is_some();
        if let Some(broker) = broker {
            builder = builder.broker(broker);
        }
        let node = Node::start(builder).await;
        until("the broker is up", || {
            !has_broker || node.server.is_broker_up() == Some(true)
        })
        .await;
        Self { node, sockets }
    }

    /// A node without a broker.
    pub async fn alone(config: Config) -> Self {
        Self::new(None, config, Namespace::new("/")).await
    }

    /// Its emitter.
    #[must_use]
    pub fn emitter(&self) -> Emitter {
        self.node.server.emitter("/").unwrap()
    }

    /// A client in these rooms.
    pub async fn peer(&mut self, rooms: &[&str]) -> Peer {
        let client = Client::join(self.node.addr, "u").await;
        let socket = self.sockets.recv().await.unwrap();
        for room in rooms {
            socket.join(*room).unwrap();
        }
        Peer { client, socket }
    }
}

impl Peer {
    /// Takes the next event, which must want an answer, and gives its name and its answer's id.
    pub async fn asked(&mut self) -> (String, String) {
        let text = self.client.text().await;
        let rest = text.strip_prefix("42").unwrap();
        let (id, array) = rest.split_at(rest.find('[').unwrap());
        assert!(!id.is_empty(), "no answer is wanted: {text}");
        let array: Vec<serde_json::Value> = serde_json::from_str(array).unwrap();
        (array[0].as_str().unwrap().into(), id.into())
    }

    /// Takes the next event and answers it with these JSON texts.
    pub async fn answer(&mut self, answer: &str) {
        let (_, id) = self.asked().await;
        self.client.send(&format!("43{id}[{answer}]")).await;
    }

    /// Takes the next event, which must have that name.
    pub async fn expect(&mut self, event: &str) {
        assert_eq!(self.client.event().await.0, event);
    }
}

/// Three nodes of one cluster.
pub async fn cluster(hub: &MemoryBroker, config: &Config) -> [TestNode; 3] {
    let node = || TestNode::new(Some(Faulty::none(hub)), config.clone(), Namespace::new("/"));
    [node().await, node().await, node().await]
}

/// Waits for a condition.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A broker whose start and requests can fail, or that carries no requests.
#[derive(Clone, Debug)]
pub struct Faulty {
    inner: MemoryBroker,
    /// Whether it carries requests.
    pub requests: bool,
    /// Whether its start and its requests fail now.
    pub down: Arc<AtomicBool>,
    /// How often it refused to start.
    pub refused: Arc<AtomicUsize>,
}

impl Faulty {
    /// Another node's broker, without a fault so far.
    #[must_use]
    pub fn none(hub: &MemoryBroker) -> Self {
        Self {
            inner: hub.node(),
            requests: true,
            down: Arc::default(),
            refused: Arc::default(),
        }
    }
}

#[async_trait]
impl RoomBroker for Faulty {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            requests: self.requests,
            ..self.inner.capabilities()
        }
    }
    async fn start(&self, n: &NodeInfo, e: Arc<dyn BrokerEvents>) -> Result<Position, BrokerError> {
        if self.down.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(BrokerError::Unavailable("it is down".into()));
        }
        self.inner.start(n, e).await
    }
    fn interest(&self, change: Interest<'_>) {
        self.inner.interest(change);
    }
    async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
        self.inner.publish(batch).await
    }
    async fn end(&self) -> Result<Position, BrokerError> {
        self.inner.end().await
    }
    async fn history(
        &self,
        a: &Position,
        t: &Position,
        u: &Audience,
        m: usize,
    ) -> Result<Page, HistoryError> {
        self.inner.history(a, t, u, m).await
    }
    async fn request(&self, r: &Request, s: ReplySink) -> Result<Expected, BrokerError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(BrokerError::Unavailable("the engine is down".into()));
        }
        self.inner.request(r, s).await
    }
    async fn save_recovery(&self, k: &str, s: &[u8], t: Duration) -> Result<(), BrokerError> {
        self.inner.save_recovery(k, s, t).await
    }
    async fn take_recovery(&self, k: &str) -> Result<Option<Vec<u8>>, BrokerError> {
        self.inner.take_recovery(k).await
    }
    async fn stop(&self) {
        self.inner.stop().await;
    }
}

/// A node that is asked and keeps the questions to itself.
#[derive(Debug, Default)]
struct Mute(Mutex<Vec<ReplySink>>);

#[async_trait]
impl BrokerEvents for Mute {
    async fn publications(&self, _: &[Delivered]) {}
    fn gap(&self, _: Option<&Position>, _: &Position) {}
    fn request(&self, _: Request, reply: ReplySink) {
        self.0.lock().unwrap().push(reply);
    }
    fn health(&self, _: Health) {}
}

/// Adds a mute node, for as long as what is given lives.
pub async fn mute_node(hub: &MemoryBroker) -> MemoryBroker {
    let (broker, id) = (hub.node(), NodeId::random());
    let events: Arc<Mute> = Arc::default();
    broker.start(&NodeInfo { id }, events).await.unwrap();
    broker
}
