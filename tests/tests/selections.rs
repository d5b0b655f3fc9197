//! Sending to selected sockets and acting on them, on one node and on several, and what the nodes tell each other.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::json;
use slimy_rt::{
    NodeId, Room,
    broker::{
        Audience, BrokerError, BrokerEvents, Capabilities, Delivered, Expected, Health,
        HistoryError, Interest, NodeInfo, Page, Position, Publication, ReplySink, Request,
        RoomBroker,
    },
    events::{
        AckError, ClusterError, ConnectError, EmitError, Emitter, Event, JoinError, Namespace,
        ServerSideEvent, Socket,
    },
    protocol::AckData,
    server::{Config, Server},
};
use slimy_rt_backends::memory::MemoryBroker;
use slimy_rt_tests::{
    client::{Client, DEADLINE},
    node::{ByHeader, Node},
};
use tokio::sync::mpsc;

/// Long enough for what is awaited to fail by itself, short enough for a test.
const SHORT: Duration = Duration::from_millis(150);

struct TestNode {
    node: Node,
    sockets: mpsc::UnboundedReceiver<Socket>,
}

struct Peer {
    client: Client,
    socket: Socket,
}

fn config() -> Config {
    Config {
        request_timeout: SHORT * 2,
        ..Config::default()
    }
}

impl TestNode {
    async fn new(broker: Option<Faulty>, config: Config, namespace: Namespace) -> Self {
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

    async fn alone(config: Config) -> Self {
        Self::new(None, config, Namespace::new("/")).await
    }

    fn emitter(&self) -> Emitter {
        self.node.server.emitter("/").unwrap()
    }

    /// A client in these rooms.
    async fn peer(&mut self, rooms: &[&str]) -> Peer {
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
    async fn asked(&mut self) -> (String, String) {
        let text = self.client.text().await;
        let rest = text.strip_prefix("42").unwrap();
        let (id, array) = rest.split_at(rest.find('[').unwrap());
        assert!(!id.is_empty(), "no answer is wanted: {text}");
        let array: Vec<serde_json::Value> = serde_json::from_str(array).unwrap();
        (array[0].as_str().unwrap().into(), id.into())
    }

    async fn answer(&mut self, answer: &str) {
        let (_, id) = self.asked().await;
        self.client.send(&format!("43{id}[{answer}]")).await;
    }

    async fn expect(&mut self, event: &str) {
        assert_eq!(self.client.event().await.0, event);
    }
}

async fn cluster(hub: &MemoryBroker, config: &Config) -> [TestNode; 3] {
    let node = || TestNode::new(Some(Faulty::none(hub)), config.clone(), Namespace::new("/"));
    [node().await, node().await, node().await]
}

/// Waits for a condition.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A broker whose requests can fail, or that carries none.
#[derive(Clone, Debug)]
struct Faulty {
    inner: MemoryBroker,
    requests: bool,
    down: Arc<AtomicBool>,
}

impl Faulty {
    fn none(hub: &MemoryBroker) -> Self {
        Self {
            inner: hub.node(),
            requests: true,
            down: Arc::default(),
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
        self.inner.start(n, e).await
    }
    fn interest(&self, change: Interest<'_>) {
        self.inner.interest(change);
    }
    async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
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
async fn mute_node(hub: &MemoryBroker) -> MemoryBroker {
    let (broker, id) = (hub.node(), NodeId::random());
    let events: Arc<Mute> = Arc::default();
    broker.start(&NodeInfo { id }, events).await.unwrap();
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_the_selected_sockets_of_all_nodes_once() {
    let [mut one, mut two, _three] = cluster(&MemoryBroker::new(), &config()).await;
    let mut near = one.peer(&["a", "b"]).await;
    let mut far = two.peer(&["a", "b"]).await;
    let mut other = two.peer(&["b", "c"]).await;
    let emitter = one.emitter();
    emitter.to("a").to(String::from("b")).emit("1", &0).unwrap();
    near.socket.to("b").emit("2", &0).unwrap();
    emitter.to("b").except("c").emit("3", &0).unwrap();
    near.socket.broadcast().emit("4", &0).unwrap();
    emitter.to(other.socket.id()).emit("5", &0).unwrap();
    emitter
        .except(Room::parse("a").unwrap())
        .emit("6", &0)
        .unwrap();
    emitter.to("b").local().volatile().emit("7", &0).unwrap();
    near.socket.volatile().emit("8", &0).unwrap();
    emitter.all().emit("end", &0).unwrap();
    for (peer, events) in [
        (&mut near, ["1", "3", "7", "8", "end"].as_slice()),
        (&mut far, &["1", "2", "3", "4", "end"]),
        (&mut other, &["1", "2", "4", "5", "6", "end"]),
    ] {
        for event in events {
            peer.expect(event).await;
        }
    }
}

#[tokio::test]
async fn who_joins_the_room_of_a_socket_hears_what_it_hears() {
    let mut node = TestNode::alone(config()).await;
    let (mut watched, mut watcher) = (node.peer(&[]).await, node.peer(&[]).await);
    watcher.socket.join(watched.socket.id()).unwrap();
    let to = || node.emitter().to(watched.socket.id());
    to().emit("told", &1).unwrap();
    assert_eq!(to().fetch_sockets().await.unwrap().sockets.len(), 2);
    to().except(watched.socket.id()).emit("nobody", &1).unwrap();
    node.emitter().all().emit("end", &1).unwrap();
    for peer in [&mut watched, &mut watcher] {
        peer.expect("told").await;
        peer.expect("end").await;
    }
}

#[tokio::test]
async fn names_that_no_room_can_have_are_reported() {
    let mut node = TestNode::alone(config()).await;
    let mut peer = node.peer(&[]).await;
    let emitter = node.emitter();
    let wrong = || emitter.all().to("").to("fine");
    assert!(matches!(wrong().emit("e", &1), Err(EmitError::Room(_))));
    let except = emitter.all().except("a\0");
    assert!(matches!(except.emit("e", &1), Err(EmitError::Room(_))));
    let asked = wrong().emit_with_ack("e", &1).await;
    assert!(matches!(asked, Err(AckError::Emit(EmitError::Room(_)))));
    let fetched = wrong().fetch_sockets().await;
    assert!(matches!(fetched, Err(ClusterError::Room(_))));
    assert!(matches!(
        wrong().join("a").await,
        Err(ClusterError::Room(_))
    ));
    assert!(matches!(
        wrong().leave("a").await,
        Err(ClusterError::Room(_))
    ));
    assert!(matches!(
        wrong().disconnect().await,
        Err(ClusterError::Room(_))
    ));
    let joined = emitter.all().join("").await;
    assert!(matches!(joined, Err(ClusterError::Room(_))));
    assert!(matches!(peer.socket.join(""), Err(JoinError::Name(_))));
    peer.socket.leave("");
    emitter.all().emit("end", &1).unwrap();
    peer.expect("end").await;
    assert!(peer.socket.rooms().is_empty());
    peer.socket.disconnect();
    until("it has left", || !peer.socket.is_connected()).await;
    assert_eq!(peer.socket.join("a"), Err(JoinError::NotConnected));
}

#[tokio::test]
async fn an_event_to_be_answered_keeps_its_place_and_asks_each_socket_once() {
    let mut node = TestNode::alone(config()).await;
    let mut peer = node.peer(&["a", "b"]).await;
    let mut other = node.peer(&["b"]).await;
    let emitter = node.emitter();
    emitter.all().emit("before", &1).unwrap();
    let asked = emitter.to("a").to("b").emit_with_ack("question", &1);
    let (answers, ()) = tokio::join!(asked, async {
        emitter.all().emit("after", &1).unwrap();
        for peer in [&mut peer, &mut other] {
            peer.expect("before").await;
            let (name, id) = peer.asked().await;
            assert_eq!(name, "question");
            peer.expect("after").await;
            peer.client.send(&format!(r#"43{id}["yes",2]"#)).await;
        }
    });
    let answers = answers.unwrap();
    assert!(answers.is_complete());
    assert_eq!(answers.answers.len(), 2);
    for (_, arguments) in &answers.answers {
        assert_eq!(arguments.parse::<String>(0).unwrap(), "yes");
        assert_eq!(arguments.parse::<u8>(1).unwrap(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_answers_name_who_is_missing_and_leave_nothing_behind() {
    let hub = MemoryBroker::new();
    let [mut one, mut two, mut three] = cluster(&hub, &config()).await;
    let (mut near, mut quiet) = (one.peer(&["a"]).await, one.peer(&["a"]).await);
    let (mut far, far_quiet) = (two.peer(&["a"]).await, two.peer(&["a"]).await);
    let not_meant = three.peer(&["b"]).await;
    let _mute = mute_node(&hub).await;
    let began = Instant::now();
    let asked = one
        .emitter()
        .to("a")
        .timeout(SHORT * 2)
        .emit_with_ack("q", &1);
    let (answers, ..) = tokio::join!(asked, near.answer("1"), far.answer("2"), async {
        quiet.asked().await;
    });
    let took = began.elapsed();
    let answers = answers.unwrap();
    assert!(took >= SHORT * 4, "the mute node was waited for: {took:?}");
    assert!(took < DEADLINE / 2, "{took:?}");
    let mut answered: Vec<_> = answers
        .answers
        .iter()
        .map(|(id, answer)| (id, answer.parse::<u8>(0).unwrap()))
        .collect();
    answered.sort_by_key(|(_, answer)| *answer);
    assert_eq!(answered, [(near.socket.id(), 1), (far.socket.id(), 2)]);
    let mut silent = [quiet.socket.id(), far_quiet.socket.id()];
    let mut named: Vec<_> = answers.silent.iter().collect();
    silent.sort();
    named.sort();
    assert_eq!(named, silent);
    assert_eq!((answers.missing_nodes, answers.refused.len()), (1, 0));
    assert!(!answers.is_complete());
    for peer in [&near, &quiet, &far, &far_quiet, &not_meant] {
        assert_eq!(peer.socket.pending_acks(), 0);
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_not_waited_for_and_a_dropped_question_is_forgotten() {
    let mut node = TestNode::alone(config()).await;
    let (stays, mut leaves) = (node.peer(&["a"]).await, node.peer(&["b"]).await);
    let asked = node
        .emitter()
        .to("b")
        .timeout(DEADLINE)
        .emit_with_ack("q", &1);
    let began = Instant::now();
    let (answers, ()) = tokio::join!(asked, async {
        leaves.asked().await;
        leaves.client.send("41").await;
    });
    assert!(began.elapsed() < DEADLINE / 2);
    assert_eq!(answers.unwrap().silent, [leaves.socket.id().clone()]);

    let all = node
        .emitter()
        .to("a")
        .timeout(DEADLINE)
        .emit_with_ack("q", &1);
    assert!(tokio::time::timeout(SHORT, all).await.is_err());
    let single = stays.socket.timeout(SHORT).emit_with_ack("q", &1).await;
    assert!(matches!(single, Err(AckError::Timeout(SHORT))));
    assert_eq!(stays.socket.pending_acks(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_bounded_here_and_elsewhere() {
    let config = Config {
        max_broadcast_acks: 1,
        max_pending_acks: 1,
        ack_timeout: SHORT,
        ..config()
    };
    let [mut one, mut two, _three] = cluster(&MemoryBroker::new(), &config).await;
    let (mut near, mut far) = (one.peer(&["a"]).await, two.peer(&["a"]).await);
    let mut also_far = two.peer(&["a"]).await;
    let refused = two.emitter().to("a").emit_with_ack("q", &1).await;
    assert!(matches!(
        refused,
        Err(AckError::TooManySockets {
            sockets: 2,
            limit: 1
        })
    ));
    let (answers, ()) = tokio::join!(
        one.emitter().to("a").emit_with_ack("q", &1),
        near.answer("1")
    );
    let answers = answers.unwrap();
    assert_eq!((answers.answers.len(), answers.refused.len()), (1, 1));
    assert!(!answers.is_complete() && answers.silent.is_empty() && answers.missing_nodes == 0);

    // One that owes as many answers as it may is not asked.
    let owed = near.socket.timeout(DEADLINE).emit_with_ack("first", &1);
    let again = async {
        assert_eq!(near.client.text().await, r#"420["first",1]"#);
        let again = one.emitter().to("a").local().emit_with_ack("second", &1);
        assert_eq!(again.await.unwrap().silent, [near.socket.id().clone()]);
        one.emitter().all().emit("end", &1).unwrap();
        assert_eq!(near.client.event().await.0, "end");
        near.client.send("430[]").await;
    };
    let (owed, ()) = tokio::join!(owed, again);
    owed.unwrap();
    for peer in [&mut far, &mut also_far] {
        peer.expect("end").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_all_nodes_are_described() {
    let hub = MemoryBroker::new();
    let [mut one, mut two, _three] = cluster(&hub, &config()).await;
    let near = one.peer(&["a", "b"]).await;
    let (far, _other) = (two.peer(&["a"]).await, two.peer(&["c"]).await);
    let fetched = one.emitter().to("a").fetch_sockets().await.unwrap();
    assert!(fetched.is_complete());
    assert_eq!(fetched.sockets.len(), 2);
    let of = |peer: &Peer| {
        let mut of = fetched.sockets.iter().filter(|s| s.id == *peer.socket.id());
        of.next().unwrap().clone()
    };
    let (here, there) = (of(&near), of(&far));
    assert_eq!(there.rooms, [Room::parse("a").unwrap()]);
    assert_eq!(here.rooms.len(), 2);
    assert_eq!((there.user.as_str(), &*there.namespace), ("u", "/"));
    assert_eq!(there.remote_addr, Some([127, 0, 0, 1].into()));
    assert_eq!(there.connected_at, far.socket.connected_at());
    assert!(there.connected_at.is_some() && here.node.is_some() && here.node != there.node);

    let local = one.emitter().all().local().fetch_sockets().await.unwrap();
    assert_eq!(local.sockets.len(), 1);
    let _mute = mute_node(&hub).await;
    let partial = one.emitter().all().fetch_sockets().await.unwrap();
    assert_eq!((partial.sockets.len(), partial.missing_nodes), (3, 1));
    assert!(!partial.is_complete());
}

#[tokio::test(flavor = "multi_thread")]
async fn selections_join_leave_and_end_on_all_nodes() {
    let [mut one, mut two, mut three] = cluster(&MemoryBroker::new(), &config()).await;
    let (near, far) = (one.peer(&["a"]).await, two.peer(&["a"]).await);
    let mut other = three.peer(&["a", "c"]).await;
    let select = || one.emitter().to("a").except("c");
    let rooms = |peer: &Peer| {
        let mut rooms = peer.socket.rooms();
        rooms.sort();
        rooms
    };
    let named =
        |names: &[&str]| -> Vec<_> { names.iter().map(|n| Room::parse(n).unwrap()).collect() };
    select().join("b").await.unwrap();
    assert_eq!(rooms(&near), named(&["a", "b"]));
    until("the far one joined", || rooms(&far) == named(&["a", "b"])).await;
    select().leave("b").await.unwrap();
    assert_eq!(rooms(&near), named(&["a"]));
    until("the far one left", || rooms(&far) == named(&["a"])).await;
    assert_eq!(rooms(&other), named(&["a", "c"]));

    one.emitter().to("a").local().join("here").await.unwrap();
    one.emitter().to("here").disconnect().await.unwrap();
    let mut near = near.client;
    assert_eq!(near.text().await, "41");
    select().close().await.unwrap();
    let mut far = far.client;
    loop {
        match far.next().await {
            // It is told, or just closed.
            Some(message) if !message.is_close() => {}
            _ => break,
        }
    }
    assert!(other.socket.is_connected());
    one.emitter().all().emit("end", &1).unwrap();
    other.expect("end").await;
}

#[tokio::test]
async fn a_selection_may_join_a_socket_that_is_in_enough_rooms() {
    let mut node = TestNode::alone(Config {
        max_rooms_per_socket: 1,
        ..config()
    })
    .await;
    let (full, free) = (node.peer(&["a"]).await, node.peer(&[]).await);
    node.emitter().all().join("b").await.unwrap();
    assert_eq!(full.socket.rooms(), [Room::parse("a").unwrap()]);
    assert_eq!(free.socket.rooms(), [Room::parse("b").unwrap()]);
    assert_eq!(
        full.socket.join("b"),
        Err(JoinError::TooManyRooms { limit: 1 })
    );
}

#[tokio::test]
async fn a_handler_that_ends_its_own_socket_comes_to_its_end() {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let namespace = Namespace::new("/").on("end all", move |event: Event| {
        let sender = sender.clone();
        async move {
            let emitter = event.socket().emitter();
            emitter.all().disconnect().await.unwrap();
            while event.socket().is_connected() {
                tokio::task::yield_now().await;
            }
            sender.send(event.socket().clone()).unwrap();
        }
    });
    let mut node = TestNode::new(None, config(), namespace).await;
    let (mut caller, mut other) = (node.peer(&[]).await, node.peer(&[]).await);
    caller.client.send(r#"42["end all"]"#).await;
    assert_eq!(other.client.text().await, "41");
    assert_eq!(caller.client.text().await, "41");
    assert_eq!(ended.recv().await.unwrap().id(), caller.socket.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_between_nodes_are_handled_and_answered() {
    let hub = MemoryBroker::new();
    let (sender, mut heard) = mpsc::unbounded_channel();
    let namespace = |name: &'static str| {
        let sender = sender.clone();
        let heard = move |event: ServerSideEvent| {
            let number: u32 = event.arguments().parse(0).unwrap();
            let wanted = event.is_answer_wanted();
            sender
                .send((name, event.name().to_owned(), number, wanted))
                .unwrap();
            let answer = AckData::new(&json!({"node": name})).unwrap();
            std::future::ready(wanted.then_some(answer))
        };
        Namespace::new("/").on_server_side("refresh", heard)
    };
    let node = |namespace| TestNode::new(Some(Faulty::none(&hub)), config(), namespace);
    let one = node(namespace("one")).await;
    let _two = node(namespace("two")).await;
    let _panics =
        node(Namespace::new("/").on_server_side("refresh", async || -> () { panic!("its own") }))
            .await;

    one.emitter().server_side_emit("refresh", &7).await.unwrap();
    assert_eq!(
        heard.recv().await.unwrap(),
        ("two", "refresh".into(), 7, false)
    );

    let deaf = node(Namespace::new("/")).await;
    let ask = || one.emitter();
    let answers = ask()
        .server_side_emit_with_ack("refresh", &8, DEADLINE)
        .await
        .unwrap();
    assert_eq!(
        heard.recv().await.unwrap(),
        ("two", "refresh".into(), 8, true)
    );
    let mut texts: Vec<_> = answers
        .answers
        .iter()
        .map(|(_, a)| a.arg(0).unwrap())
        .collect();
    texts.sort_unstable();
    assert_eq!(
        texts,
        [
            r#"{"code":"server_error","error":"server_error"}"#,
            r#"{"node":"two"}"#
        ]
    );
    assert_eq!((answers.silent.len(), answers.missing_nodes), (1, 0));
    assert!(deaf.node.server.shutdown(DEADLINE).await);

    let _mute = mute_node(&hub).await;
    let began = Instant::now();
    let answers = ask()
        .server_side_emit_with_ack("refresh", &9, SHORT)
        .await
        .unwrap();
    assert!(began.elapsed() >= SHORT);
    assert_eq!((answers.answers.len(), answers.missing_nodes), (2, 1));
    let reserved = ask().server_side_emit("disconnect", &1).await;
    assert!(matches!(reserved, Err(ClusterError::Data(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_way_to_the_others_the_local_part_is_done_and_that_is_said() {
    let hub = MemoryBroker::new();
    let faulty = Faulty::none(&hub);
    let down = Arc::clone(&faulty.down);
    let no_requests = Faulty {
        requests: false,
        ..Faulty::none(&hub)
    };
    let mut broken = TestNode::new(Some(faulty), config(), Namespace::new("/")).await;
    let mut limited = TestNode::new(Some(no_requests), config(), Namespace::new("/")).await;
    down.store(true, Ordering::SeqCst);
    for node in [&mut broken, &mut limited] {
        let mut peer = node.peer(&[]).await;
        let emitter = node.emitter();
        let check = |error: ClusterError| match error {
            ClusterError::Broker(BrokerError::Unavailable(_)) => {
                assert!(down.load(Ordering::SeqCst))
            }
            ClusterError::Unsupported => {}
            other => panic!("{other:?}"),
        };
        check(emitter.all().join("a").await.unwrap_err());
        assert_eq!(peer.socket.rooms(), [Room::parse("a").unwrap()]);
        check(emitter.all().fetch_sockets().await.unwrap_err());
        check(emitter.server_side_emit("e", &1).await.unwrap_err());
        match emitter.all().emit_with_ack("q", &1).await {
            Err(AckError::Cluster(error)) => check(error),
            other => panic!("{other:?}"),
        }
        assert_eq!(peer.asked().await.0, "q");
        assert_eq!(peer.socket.pending_acks(), 0);

        let local = || emitter.to("a").local();
        assert_eq!(local().fetch_sockets().await.unwrap().sockets.len(), 1);
        let (answers, ()) = tokio::join!(local().emit_with_ack("q", &1), peer.answer("1"));
        assert!(answers.unwrap().is_complete());
        local().leave("a").await.unwrap();
        check(emitter.all().disconnect().await.unwrap_err());
        assert_eq!(peer.client.text().await, "41");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_deals_with_so_many_questions_at_once_and_counts_the_others() {
    let config = Config {
        max_pending_acks: 2_000,
        ack_timeout: SHORT * 4,
        request_timeout: DEADLINE,
        ..config()
    };
    let [one, mut two, _three] = cluster(&MemoryBroker::new(), &config).await;
    let far = two.peer(&["a"]).await;
    let ask = |_| one.emitter().to("a").emit_with_ack("q", &1);
    let answers = futures_util::future::join_all((0..1_100).map(ask)).await;
    let missing: usize = answers
        .iter()
        .map(|a| a.as_ref().unwrap().missing_nodes)
        .sum();
    let silent = answers
        .iter()
        .filter(|a| !a.as_ref().unwrap().silent.is_empty());
    assert!(missing > 0, "all were dealt with");
    assert_eq!(silent.count() + missing, 1_100);
    assert_eq!(two.node.server.report().requests_dropped, missing as u64);
    assert_eq!(far.socket.pending_acks(), 0);
    let once_more = one.emitter().to("a").emit_with_ack("q", &1).await.unwrap();
    assert_eq!(once_more.silent, [far.socket.id().clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_dropped_leaves_the_cluster_when_it_is_asked() {
    let [one, mut two, three] = cluster(&MemoryBroker::new(), &config()).await;
    let far = two.peer(&["a"]).await;
    drop(three);
    let deadline = Instant::now() + DEADLINE;
    loop {
        let fetched = one.emitter().all().fetch_sockets().await.unwrap();
        assert_eq!(fetched.sockets[0].id, *far.socket.id());
        if fetched.is_complete() {
            return;
        }
        assert!(Instant::now() < deadline, "it is still asked");
    }
}

#[tokio::test]
async fn a_socket_that_is_not_let_in_yet_joins_nothing() {
    let namespace =
        Namespace::new("/").connect_middleware(async |socket: Socket| match socket.join("early") {
            Err(JoinError::NotConnected) => Ok(()),
            other => Err(ConnectError::new(format!("{other:?}"))),
        });
    let mut node = TestNode::new(None, config(), namespace).await;
    let peer = node.peer(&[]).await;
    assert!(peer.socket.rooms().is_empty());
    assert_eq!(node.node.server.report().rooms, 0);
}
