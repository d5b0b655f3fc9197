//! A server that is killed, cut off, slow, or says nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use slimy_rt::{
    NodeId, UserId,
    broker::{Audience, Health, ReplySink, Request, RoomBroker},
    session::{Expiry, Session, SessionEvent, SessionStore},
};
use slimy_rt_backends::redis::{Redis, RedisBroker, RedisSessionStore};
use slimy_rt_test_engines::Redis as Server;
use tokio::time::timeout;

use super::{
    Engine, eventually,
    node::{Node, nobody, to_room},
    scenes::{self, BACK},
    start,
    traffic::{BATCH, Traffic, grow},
};

async fn two_nodes(engine: &Engine) -> [Arc<Node>; 2] {
    let (over_the_link, direct) = (engine.client(), engine.direct());
    [
        Arc::new(start(&over_the_link).await),
        Arc::new(start(&direct).await),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_empty() {
    let engine = Engine::start().await;
    let nodes = two_nodes(&engine).await;
    let traffic = nodes.each_ref().map(Traffic::begin);
    for traffic in &traffic {
        for node in &nodes {
            traffic.is_heard_by(node).await;
        }
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
            let logs = numbers_by_log(node, &from);
            let [old, new] = &logs[..] else {
                panic!("told of {} logs", logs.len());
            };
            assert!(grow(old) && grow(new), "twice in a log, or out of order");
            // What it was being told was there when it died is said again; servers drop it.
            let again = new.iter().filter(|number| old.contains(number)).count();
            assert!(again <= BATCH, "{again} were put into the new log again");
            let is_told = |number: &u64| old.contains(number) || new.contains(number);
            let lost: Vec<_> = (1..=last).filter(|number| !is_told(number)).collect();
            println!("{} of {last} were lost with the log", lost.len());
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

/// The numbers of what that node published, in the order in which this one was told, of each log.
fn numbers_by_log(node: &Node, from: &NodeId) -> Vec<Vec<u64>> {
    let told = node.told();
    let numbers = told.publications.iter().filter_map(|(at, publication)| {
        let (epoch, _) = at.as_ref()?.parts()?;
        let (publisher, number) = publication.id.as_ref()?;
        (publisher == from).then_some((epoch, *number))
    });
    let numbers: Vec<_> = numbers.collect();
    let logs = numbers.chunk_by(|one, next| one.0 == next.0);
    logs.map(|log| log.iter().map(|(_, number)| *number).collect())
        .collect()
}

/// The primary becomes a replica that is never in step, and the name leads to another server. Nobody closes a connection.
#[tokio::test(flavor = "multi_thread")]
async fn another_server_takes_over() {
    let (engine, other) = (Engine::start().await, Server::start().await);
    let nodes = [
        Arc::new(start(&engine.client()).await),
        Arc::new(start(&engine.client()).await),
    ];
    // With a client of its own, which nothing but reading would tell of it.
    let (reading, writing) = (engine.client(), engine.client());
    let sessions = RedisSessionStore::new(&reading);
    let mut watch = sessions.watch().await.unwrap();
    let traffic = nodes.each_ref().map(Traffic::begin);
    for traffic in &traffic {
        for node in &nodes {
            traffic.is_heard_by(node).await;
        }
    }
    engine.server.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
    engine.proxy.lead_to(other.addr());
    for (node, traffic) in [(&nodes[0], &traffic[1]), (&nodes[1], &traffic[0])] {
        let took = traffic.is_heard_by(node).await;
        assert!(took < BACK, "{took:?} after the other server was there");
    }
    let user = UserId::parse("u").unwrap();
    let sessions_there = RedisSessionStore::new(&writing);
    sessions_there
        .save(&user, &Session::default(), Expiry::Never)
        .await
        .unwrap();
    // That it has missed something, since that is another server.
    let told = timeout(BACK, watch.next()).await.unwrap();
    assert_eq!(told, Some(SessionEvent::Missed));
    assert!(sessions.load(&user).await.unwrap().is_some());
    for traffic in traffic {
        traffic.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_cut_for_a_while() {
    let engine = Engine::start().await;
    let nodes = two_nodes(&engine).await;
    scenes::a_link_that_is_cut_for_a_while(&nodes, &engine.proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link() {
    let engine = Engine::start().await;
    let nodes = two_nodes(&engine).await;
    scenes::a_slow_link(&nodes, &engine.proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing() {
    let engine = Engine::start().await;
    let quick = || {
        let config = engine.config().command_timeout(Duration::from_millis(300));
        Redis::new(config.connect_timeout(Duration::from_millis(300)))
    };
    let node = start(&quick()).await;
    let other = start(&engine.direct()).await;
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
    let (node, gone) = (start(&engine.client()).await, start(&engine.client()).await);
    scenes::a_node_that_says_no_goodbye(node, gone).await;
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
