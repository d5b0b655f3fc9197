//! Several nodes over one broker, in one process: each message once, in order, also across an outage.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use slimy_rt::{
    Room,
    broker::{
        Audience, BrokerError, BrokerEvents, Capabilities, Expected, HistoryError, Interest,
        NodeInfo, Page, Position, Publication, ReplySink, Request, RoomBroker,
    },
    events::{Namespace, Socket},
    server::Server,
};
use slimy_rt_backends::memory::MemoryBroker;
use slimy_rt_tests::{
    client::Client,
    node::{ByHeader, Node},
    peers::until,
};

/// A broker whose engine can be away, and which then fails halfway through a batch; or can refuse whatever it is given.
#[derive(Clone, Debug)]
struct Shaky {
    inner: MemoryBroker,
    down: Arc<AtomicBool>,
    refusing: Arc<AtomicBool>,
    /// How often it was given something.
    asked: Arc<AtomicUsize>,
}

impl Shaky {
    fn new(inner: MemoryBroker) -> Self {
        Self {
            inner,
            down: Arc::default(),
            refusing: Arc::default(),
            asked: Arc::default(),
        }
    }
}

#[async_trait]
impl RoomBroker for Shaky {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn start(&self, n: &NodeInfo, e: Arc<dyn BrokerEvents>) -> Result<Position, BrokerError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(BrokerError::Unavailable("the engine is down".into()));
        }
        self.inner.start(n, e).await
    }
    fn interest(&self, change: Interest<'_>) {
        self.inner.interest(change);
    }
    async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.refusing.load(Ordering::SeqCst) {
            return Err(BrokerError::Invalid("not this".into()));
        }
        if self.down.load(Ordering::SeqCst) {
            // Half of it arrives, and nobody can tell which half.
            self.inner.publish(&batch[..batch.len() / 2]).await?;
            return Err(BrokerError::Unavailable("the engine is down".into()));
        }
        self.inner.publish(batch).await
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

async fn node(broker: impl RoomBroker) -> Node {
    let node = lonely(broker).await;
    let up = async {
        while node.server.is_broker_up() != Some(true) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), up)
        .await
        .unwrap();
    node
}

/// A node whose broker need not be up.
async fn lonely(broker: impl RoomBroker) -> Node {
    let namespace = Namespace::new("/").on_connect(|socket: Socket| async move {
        for room in ["a", "b"] {
            socket.join(Room::parse(room).unwrap()).unwrap();
        }
    });
    Node::start(
        Server::builder(ByHeader)
            .broker(broker)
            .namespace(namespace),
    )
    .await
}

/// Publishes to two rooms of which every socket is in both.
fn publish(node: &Node, number: usize) {
    let emitter = node.server.emitter("/").unwrap();
    let (a, b) = (Room::parse("a").unwrap(), Room::parse("b").unwrap());
    emitter.to(a).to(b).emit("n", &number).unwrap();
}

async fn expect_numbers(client: &mut Client, numbers: std::ops::Range<usize>) {
    for number in numbers {
        assert_eq!(client.event().await, ("n".into(), number.into()));
    }
}

async fn settled(node: &Node, client: &mut Client) {
    // `on_connect` joins after the CONNECT answer; wait until the rooms are there.
    let joined = async {
        while node.server.report().rooms < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), joined)
        .await
        .unwrap();
    client.expect_silence(Duration::from_millis(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_reaches_both_nodes_once_and_in_order() {
    let hub = MemoryBroker::new();
    let (one, two) = (node(hub.node()).await, node(hub.node()).await);
    let mut near = Client::join(one.addr, "u").await;
    let mut far = Client::join(two.addr, "v").await;
    settled(&one, &mut near).await;
    settled(&two, &mut far).await;
    for number in 0..2_000 {
        publish(&one, number);
    }
    expect_numbers(&mut near, 0..2_000).await;
    expect_numbers(&mut far, 0..2_000).await;
    near.expect_silence(Duration::from_millis(50)).await;
    far.expect_silence(Duration::from_millis(50)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_no_local_message_and_the_other_node_catches_up() {
    let hub = MemoryBroker::new();
    let shaky = Shaky::new(hub.node());
    let down = Arc::clone(&shaky.down);
    let (one, two) = (node(shaky).await, node(hub.node()).await);
    let mut near = Client::join(one.addr, "u").await;
    let mut far = Client::join(two.addr, "v").await;
    settled(&one, &mut near).await;
    settled(&two, &mut far).await;
    down.store(true, Ordering::SeqCst);
    for number in 0..500 {
        publish(&one, number);
    }
    expect_numbers(&mut near, 0..500).await;
    until("the outage is noticed", || {
        one.server.is_broker_up() == Some(false)
    })
    .await;
    assert!(
        one.server.is_ready(),
        "a broker that is down does not make a node unready"
    );
    down.store(false, Ordering::SeqCst);
    expect_numbers(&mut far, 0..500).await;
    far.expect_silence(Duration::from_millis(50)).await;
    assert_eq!(two.server.report().gaps, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_refuses_everything_is_asked_now_and_then_and_the_loss_is_told() {
    let hub = MemoryBroker::new();
    let shaky = Shaky::new(hub.node());
    let (refusing, asked) = (Arc::clone(&shaky.refusing), Arc::clone(&shaky.asked));
    let (one, two) = (node(shaky).await, node(hub.node()).await);
    let mut near = Client::join(one.addr, "u").await;
    let mut far = Client::join(two.addr, "v").await;
    settled(&one, &mut near).await;
    settled(&two, &mut far).await;
    refusing.store(true, Ordering::SeqCst);
    let before = asked.load(Ordering::SeqCst);
    for number in 0..2 {
        publish(&one, number);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let times = asked.load(Ordering::SeqCst) - before;
    assert!((2..20).contains(&times), "it was asked {times} times");
    assert_eq!(one.server.is_broker_up(), Some(false));
    refusing.store(false, Ordering::SeqCst);
    expect_numbers(&mut near, 0..2).await;
    expect_numbers(&mut far, 1..2).await;
    assert_eq!(one.server.report().publications_dropped, 1);
    assert_eq!(two.server.report().gaps, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_wait_for_the_broker_wait_for_each_other() {
    let hub = MemoryBroker::new();
    let brokers = [(); 2].map(|()| Shaky::new(hub.node()));
    for broker in &brokers {
        broker.down.store(true, Ordering::SeqCst);
    }
    let [first, second] = brokers.each_ref().map(|broker| Arc::clone(&broker.down));
    let [one, two] = brokers.map(lonely);
    let (one, two) = (one.await, two.await);
    let mut far = Client::join(two.addr, "v").await;
    for number in 0..100 {
        publish(&one, number);
    }
    first.store(false, Ordering::SeqCst);
    until("the first is there", || {
        one.server.is_broker_up() == Some(true)
    })
    .await;
    second.store(false, Ordering::SeqCst);
    expect_numbers(&mut far, 0..100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_broadcasts_stay_on_their_node() {
    let hub = MemoryBroker::new();
    let (one, two) = (node(hub.node()).await, node(hub.node()).await);
    let mut near = Client::join(one.addr, "u").await;
    let mut far = Client::join(two.addr, "v").await;
    one.server
        .emitter("/")
        .unwrap()
        .all()
        .local()
        .emit("n", &1)
        .unwrap();
    one.server
        .emitter("/")
        .unwrap()
        .all()
        .emit("n", &2)
        .unwrap();
    expect_numbers(&mut near, 1..3).await;
    expect_numbers(&mut far, 2..3).await;
}
