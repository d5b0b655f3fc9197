//! A server that is killed, cut off, slow, or says nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use slimy_rt::{
    UserId,
    broker::{Audience, Health, Publication, ReplySink, Request, RoomBroker},
    session::{Expiry, Session, SessionEvent, SessionStore},
};
use slimy_rt_backends::redis::{Redis, RedisBroker, RedisSessionStore};
use tokio::{task::JoinHandle, time::sleep};

use super::{
    Engine, eventually,
    node::{Node, nobody, to_room},
};

/// Until when everything has to be back once the server is.
const BACK: Duration = Duration::from_secs(2);

/// A node that publishes all the time, as a server does: in order, and again what could not be said to be there.
struct Traffic {
    node: Arc<Node>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Arc<Publication>>>,
}

impl Traffic {
    fn begin(node: &Arc<Node>) -> Self {
        let (node, stop) = (Arc::clone(node), Arc::new(AtomicBool::new(false)));
        let (publishing, stopped) = (Arc::clone(&node), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut all = Vec::new();
            while !stopped.load(Relaxed) {
                let batch: Vec<_> = (0..4)
                    .map(|_| publishing.publication(to_room("room", "hello")))
                    .collect();
                while let Err(error) = publishing.broker.publish(&batch).await {
                    assert!(error.is_retryable(), "{error}");
                    sleep(Duration::from_millis(20)).await;
                }
                all.extend(batch);
                sleep(Duration::from_millis(1)).await;
            }
            all
        });
        Self { node, stop, task }
    }

    /// How many of its publications that node has been told of.
    fn heard_by(&self, node: &Node) -> usize {
        node.numbers_of(&self.node.id).len()
    }

    /// Waits until that node hears of more, and says how long that took.
    async fn is_heard_by(&self, node: &Node) -> Duration {
        let (before, began) = (self.heard_by(node), Instant::now());
        eventually("more is heard", async || self.heard_by(node) > before + 8).await;
        began.elapsed()
    }

    async fn end(self) -> Vec<Arc<Publication>> {
        self.stop.store(true, Relaxed);
        self.task.await.unwrap()
    }
}

async fn two_nodes(engine: &Engine) -> [Arc<Node>; 2] {
    let (over_the_link, direct) = (engine.client(), engine.direct());
    [
        Arc::new(Node::start(&over_the_link).await),
        Arc::new(Node::start(&direct).await),
    ]
}

/// Whether numbers grow, so that nothing came twice or out of order.
fn grow(numbers: &[u64]) -> bool {
    numbers.is_sorted_by(|a, b| a < b)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_empty() {
    let engine = Engine::start().await;
    let nodes = two_nodes(&engine).await;
    let traffic = nodes.each_ref().map(Traffic::begin);
    for node in &nodes {
        traffic[0].is_heard_by(node).await;
    }
    engine.server.restart_empty().await;
    for (node, other) in [(&nodes[0], &traffic[1]), (&nodes[1], &traffic[0])] {
        let took = other.is_heard_by(node).await;
        assert!(took < BACK, "{took:?} after the server was back");
    }
    let [one, two] = traffic;
    let published = [one.end().await, two.end().await];
    for node in &nodes {
        for published in &published {
            node.received(&published[published.len() - 1..]).await;
            let (from, last) = published[published.len() - 1].id.clone().unwrap();
            let numbers = node.numbers_of(&from);
            assert!(grow(&numbers), "twice, or out of order");
            let missed = last - numbers.len() as u64;
            println!("{missed} of {last} were lost with the log");
            let lost: Vec<_> = (1..=last).filter(|n| !numbers.contains(n)).collect();
            // Only what lay in the old log and had not been read: one stretch.
            assert!(
                lost.windows(2).all(|pair| pair[0] + 1 == pair[1]),
                "{lost:?}"
            );
        }
        let gaps = node.told().gaps.len();
        assert_eq!(gaps, 1, "each node is told once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_cut_for_a_while() {
    let engine = Engine::start().await;
    let nodes = two_nodes(&engine).await;
    let traffic = nodes.each_ref().map(Traffic::begin);
    traffic[1].is_heard_by(&nodes[0]).await;
    for _ in 0..3 {
        engine.proxy.cut().await;
        eventually("the node knows", async || {
            nodes[0].told().health.last() == Some(&Health::Down)
        })
        .await;
        // The other node goes on meanwhile.
        traffic[1].is_heard_by(&nodes[1]).await;
        sleep(Duration::from_secs(1)).await;
        engine.proxy.heal().await;
        for (node, other) in [(&nodes[0], &traffic[1]), (&nodes[1], &traffic[0])] {
            let took = other.is_heard_by(node).await;
            assert!(took < BACK, "{took:?} after the link was back");
        }
    }
    let [one, two] = traffic;
    for published in [one.end().await, two.end().await] {
        let from = published[0].id.as_ref().unwrap().0.clone();
        let expected: Vec<u64> = (1..=published.len() as u64).collect();
        for node in &nodes {
            node.received(&published[published.len() - 1..]).await;
            assert_eq!(node.numbers_of(&from), expected);
            assert!(node.told().gaps.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link() {
    let engine = Engine::start().await;
    let nodes = two_nodes(&engine).await;
    engine.proxy.slow(Duration::from_millis(150));
    let traffic = nodes.each_ref().map(Traffic::begin);
    for (node, other) in [(&nodes[0], &traffic[1]), (&nodes[1], &traffic[0])] {
        other.is_heard_by(node).await;
        other.is_heard_by(node).await;
    }
    assert_eq!(nodes[0].nodes().await, 1);
    let [one, two] = traffic;
    for published in [one.end().await, two.end().await] {
        let from = published[0].id.as_ref().unwrap().0.clone();
        let expected: Vec<u64> = (1..=published.len() as u64).collect();
        for node in &nodes {
            node.received(&published[published.len() - 1..]).await;
            assert_eq!(node.numbers_of(&from), expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing() {
    let engine = Engine::start().await;
    let quick = || {
        let config = engine.config().command_timeout(Duration::from_millis(300));
        Redis::new(config.connect_timeout(Duration::from_millis(300)))
    };
    let node = Node::start(&quick()).await;
    let other = Node::start(&engine.direct()).await;
    let sessions = RedisSessionStore::new(&quick());
    let user = UserId::parse("u").unwrap();
    sessions.load(&user).await.unwrap();
    engine.server.pause();
    let first = node.publication(to_room("room", "first"));
    let batch = [Arc::clone(&first)];
    let began = Instant::now();
    let all = Audience::default();
    for _ in 0..3 {
        let (replies, _answers) = ReplySink::channel();
        assert!(
            node.broker
                .publish(&batch)
                .await
                .unwrap_err()
                .is_retryable()
        );
        let asked = node.broker.request(&Request::Nodes, replies).await;
        assert!(asked.unwrap_err().is_retryable());
        let history = node.broker.history(&node.start, &node.start, &all, 9).await;
        assert!(history.is_err());
        assert!(sessions.load(&user).await.unwrap_err().is_retryable());
        assert!(sessions.watch().await.is_err());
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(12), "15 calls took {took:?}");
    eventually("the node is down", async || {
        node.told().health.last() == Some(&Health::Down)
    })
    .await;
    engine.server.resume();
    eventually("publishing works again", async || {
        node.broker.publish(&batch).await.is_ok()
    })
    .await;
    for told in [&node, &other] {
        told.received(&batch).await;
        assert_eq!(told.numbers_of(&node.id), [1]);
    }
    eventually("the node is up", async || {
        node.told().health.last() == Some(&Health::Up)
    })
    .await;
    assert!(sessions.load(&user).await.is_ok());
}

#[tokio::test]
async fn a_node_that_says_no_goodbye_is_gone_in_time() {
    let engine = Engine::start().await;
    let node = Node::start(&engine.client()).await;
    let gone = Node::start(&engine.client()).await;
    assert_eq!(node.nodes().await, 1);
    drop(gone);
    let began = Instant::now();
    let (replies, mut answers) = ReplySink::channel();
    let asked = node.broker.request(&Request::Nodes, replies).await.unwrap();
    assert_eq!(asked.nodes, 1, "it is not known to be gone yet");
    // Nobody answers, and the one who asked is told so.
    assert!(answers.recv().await.is_none());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(node.nodes().await, 0);
}

#[tokio::test]
async fn a_start_that_fails_can_be_tried_again() {
    let engine = Engine::start().await;
    engine.server.kill().await;
    let broker = RedisBroker::new(&engine.client());
    let info = slimy_rt::broker::NodeInfo {
        id: slimy_rt::NodeId::random(),
    };
    let told = nobody(&info.id);
    let error = broker.start(&info, told.clone()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    engine.server.start_again().await;
    eventually("it starts", async || {
        broker.start(&info, told.clone()).await.is_ok()
    })
    .await;
    broker.stop().await;
}

#[tokio::test]
async fn changes_of_sessions_that_were_missed_are_told_or_owned_up_to() {
    let engine = Engine::start().await;
    let (watching, changing) = (
        RedisSessionStore::new(&engine.client()),
        RedisSessionStore::new(&engine.direct()),
    );
    let save = async |id: &str| {
        let user = UserId::parse(id).unwrap();
        let saved = changing
            .save(&user, &Session::default(), Expiry::Never)
            .await;
        saved.unwrap();
        SessionEvent::Saved(user)
    };
    let mut changes = watching.watch().await.unwrap();
    // While the link is cut: they wait in Redis.
    let mut expected = vec![save("a").await];
    engine.proxy.cut().await;
    expected.extend([save("b").await, save("c").await]);
    engine.proxy.heal().await;
    for expected in expected {
        assert_eq!(changes.next().await, Some(expected));
    }
    // Cleared: whoever saves next begins the changes anew.
    engine.server.cli(&["FLUSHALL"]).await;
    let saved = save("d").await;
    assert_eq!(changes.next().await, Some(SessionEvent::Missed));
    assert_eq!(changes.next().await, Some(saved));
    // Trimmed, while nobody read: some is still there.
    engine.proxy.cut().await;
    let last = save("e").await;
    engine
        .server
        .cli(&["XTRIM", "{slimy-rt}:changes", "MAXLEN", "1"])
        .await;
    save("f").await;
    engine
        .server
        .cli(&["XTRIM", "{slimy-rt}:changes", "MAXLEN", "1"])
        .await;
    engine.proxy.heal().await;
    assert_eq!(changes.next().await, Some(SessionEvent::Missed));
    let next = changes.next().await;
    assert!(next.is_some() && next != Some(last));
    // Lost: nobody is said to be deleted.
    engine.server.restart_empty().await;
    assert_eq!(changes.next().await, Some(SessionEvent::Missed));
    let saved = save_until(&changing, "g").await;
    loop {
        match changes.next().await {
            Some(SessionEvent::Missed) => {}
            other => break assert_eq!(other, Some(saved)),
        }
    }
}

/// Saves, however often that takes.
async fn save_until(store: &RedisSessionStore, id: &str) -> SessionEvent {
    let user = UserId::parse(id).unwrap();
    eventually("it is saved", async || {
        store
            .save(&user, &Session::default(), Expiry::Never)
            .await
            .is_ok()
    })
    .await;
    SessionEvent::Saved(user)
}
