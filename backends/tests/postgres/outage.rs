//! A server that is killed, cut off, slow, or says nothing, and strangers who hold locks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use slimy_rt::{
    NodeId, UserId,
    broker::{Audience, Health, NodeInfo, ReplySink, Request, RoomBroker},
    session::{Expiry, Session, SessionEvent, SessionStore},
};
use slimy_rt_backends::postgres::{Postgres, PostgresBroker, PostgresSessionStore};

use super::{
    Engine, eventually,
    node::{Node, nobody, to_room},
    scenes::{self, BACK},
    start,
    traffic::{Traffic, grow},
};

async fn two_nodes(engine: &Engine) -> [Arc<Node>; 2] {
    let (over_the_link, direct) = (engine.client(), engine.direct());
    [
        Arc::new(start(&over_the_link).await),
        Arc::new(start(&direct).await),
    ]
}

/// Ends the server somehow while both nodes publish, and starts it again: both have everything, once and in order.
async fn nothing_is_lost(engine: &Engine, end: impl AsyncFn(&Engine)) {
    let nodes = two_nodes(engine).await;
    let traffic = nodes.each_ref().map(Traffic::begin);
    for _ in 0..2 {
        for node in &nodes {
            traffic[0].is_heard_by(node).await;
        }
        end(engine).await;
        engine.server.start_again().await;
        for (node, other) in [(&nodes[0], &traffic[1]), (&nodes[1], &traffic[0])] {
            let took = other.is_heard_by(node).await;
            assert!(took < BACK, "{took:?} after the server was back");
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
async fn a_server_that_is_stopped_hard() {
    let engine = Engine::alone().await;
    nothing_is_lost(&engine, async |engine| engine.server.stop_immediate().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed() {
    let engine = Engine::alone().await;
    nothing_is_lost(&engine, async |engine| engine.server.kill().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_wait_for_the_disk_is_another_after_a_crash() {
    let engine = Engine::alone().await;
    let broker = |postgres: &Postgres| {
        let builder = PostgresBroker::builder(postgres);
        builder.synchronous_commit(false).build()
    };
    let (one, two) = (
        Node::with(broker(&engine.client()), true).await,
        start(&engine.direct()).await,
    );
    let first = one.publish(&[to_room("room", "first")]).await;
    two.received(&first).await;
    // It became another one when the first of them said so.
    let end = two.broker.end().await.unwrap();
    let gaps = two.told().gaps.len();
    engine.server.restart().await;
    eventually("it answers", async || two.broker.end().await.is_ok()).await;
    assert_eq!(two.broker.end().await.unwrap(), end, "that was no crash");
    engine.server.stop_immediate().await;
    engine.server.start_again().await;
    let second = [two.publication(to_room("room", "second"))];
    eventually("it is published", async || {
        two.broker.publish(&second).await.is_ok()
    })
    .await;
    for node in [&one, &two] {
        node.received(&second).await;
    }
    assert_eq!(two.told().gaps.len(), gaps + 1);
    assert!(end.partial_cmp(&two.broker.end().await.unwrap()).is_none());
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

/// A client that does not wait for long.
fn quick(engine: &Engine) -> Postgres {
    let (short, config) = (Duration::from_millis(300), engine.config());
    Postgres::new(config.statement_timeout(short).connect_timeout(short))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing() {
    let engine = Engine::alone().await;
    let node = start(&quick(&engine)).await;
    let other = start(&engine.direct()).await;
    let sessions = PostgresSessionStore::new(&quick(&engine));
    let user = UserId::parse("u").unwrap();
    sessions.load(&user).await.unwrap();
    engine.server.pause();
    let batch = [node.publication(to_room("room", "first"))];
    let began = Instant::now();
    let all = Audience::default();
    for _ in 0..3 {
        let (replies, _answers) = ReplySink::channel();
        let published = node.broker.publish(&batch).await;
        assert!(published.unwrap_err().is_retryable());
        let asked = node.broker.request(&Request::Nodes, replies).await;
        assert!(asked.unwrap_err().is_retryable());
        let history = node.broker.history(&node.start, &node.start, &all, 9).await;
        assert!(history.is_err());
        assert!(sessions.load(&user).await.unwrap_err().is_retryable());
        assert!(sessions.watch().await.is_err());
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(15), "15 calls took {took:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_stalls_leaves_no_heap_of_connections() {
    let engine = Engine::start().await;
    let node = start(&quick(&engine)).await;
    let store = PostgresSessionStore::new(&quick(&engine));
    let user = UserId::parse("u").unwrap();
    store.load(&user).await.unwrap();
    engine.proxy.stall();
    let calls = (0..200).map(|_| store.load(&user));
    let answers = futures_util::future::join_all(calls).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().is_err_and(|e| e.is_retryable()))
    );
    engine.proxy.resume();
    eventually("it answers", async || store.load(&user).await.is_ok()).await;
    let next = [node.publication(to_room("room", "next"))];
    eventually("it is published", async || {
        node.broker.publish(&next).await.is_ok()
    })
    .await;
    node.received(&next).await;
    // Eight of the store, eight of the broker and one that listens; what was given up goes as soon as the link lets it.
    eventually("connections are closed", async || {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        engine.sql(open).await.parse::<u32>().unwrap() <= 17
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_holds_locks() {
    let engine = Engine::start().await;
    let node = start(&quick(&engine)).await;
    let other = start(&engine.direct()).await;
    let store = PostgresSessionStore::new(&quick(&engine));
    let user = UserId::parse("u").unwrap();
    let session = Session::default();
    store.save(&user, &session, Expiry::Never).await.unwrap();
    let stranger = engine.sql(
        "BEGIN; LOCK TABLE slimy_rt.log, slimy_rt.sessions IN EXCLUSIVE MODE; SELECT pg_sleep(3)",
    );
    let batch = [node.publication(to_room("room", "first"))];
    let meanwhile = async {
        eventually("it is locked", async || {
            node.broker.publish(&batch).await.is_err()
        })
        .await;
        let began = Instant::now();
        let error = node.broker.publish(&batch).await.unwrap_err();
        assert!(error.is_retryable());
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("lock"), "{cause}");
        let saved = store.save(&user, &session, Expiry::Never).await;
        assert!(saved.unwrap_err().is_retryable());
        assert!(began.elapsed() < Duration::from_secs(2));
        // Reading goes on.
        assert!(store.load(&user).await.unwrap().is_some());
    };
    tokio::join!(stranger, meanwhile);
    node.broker.publish(&batch).await.unwrap();
    store.save(&user, &session, Expiry::Never).await.unwrap();
    for told in [&node, &other] {
        told.received(&batch).await;
        assert_eq!(told.numbers_of(&node.id), [1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_whose_transaction_takes_long_holds_up_nobody() {
    let engine = Engine::start().await;
    let nodes = two_nodes(&engine).await;
    let stranger = engine.sql(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; CREATE TABLE public.own AS SELECT count(*) FROM slimy_rt.log; SELECT pg_sleep(2); COMMIT",
    );
    let meanwhile = async {
        let traffic = nodes.each_ref().map(Traffic::begin);
        for (node, other) in [(&nodes[0], &traffic[1]), (&nodes[1], &traffic[0])] {
            let took = other.is_heard_by(node).await;
            assert!(took < Duration::from_secs(1), "{took:?}");
        }
        for traffic in traffic {
            let published = traffic.end().await;
            nodes[0].received(&published).await;
        }
    };
    tokio::join!(stranger, meanwhile);
    assert!(grow(&nodes[0].numbers_of(&nodes[1].id)));
}

#[tokio::test]
async fn a_node_that_says_no_goodbye_is_gone_in_time() {
    let engine = Engine::start().await;
    let (node, gone) = (start(&engine.client()).await, start(&engine.client()).await);
    scenes::a_node_that_says_no_goodbye(node, gone).await;
}

#[tokio::test]
async fn a_start_that_fails_can_be_tried_again() {
    let engine = Engine::alone().await;
    engine.server.kill().await;
    let broker = PostgresBroker::new(&engine.client());
    let info = NodeInfo {
        id: NodeId::random(),
    };
    let told = nobody(&info.id);
    let error = broker.start(&info, told.clone()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    engine.server.start_again().await;
    eventually("it starts", async || {
        broker.start(&info, told.clone()).await.is_ok()
    })
    .await;
    let taken = PostgresBroker::new(&engine.client());
    let error = taken.start(&info, told).await.unwrap_err();
    assert!(error.to_string().contains("taken"), "{error}");
    broker.stop().await;
}

#[tokio::test]
async fn changes_of_sessions_that_were_missed_are_told_or_owned_up_to() {
    let engine = Engine::start().await;
    let (watching, changing) = (
        PostgresSessionStore::new(&engine.client()),
        PostgresSessionStore::new(&engine.direct()),
    );
    let empty = Session::default();
    let save = async |id: &str| {
        let user = UserId::parse(id).unwrap();
        changing.save(&user, &empty, Expiry::Never).await.unwrap();
        SessionEvent::Saved(user)
    };
    let mut changes = watching.watch().await.unwrap();
    // While the link is cut: they wait in the table.
    let mut expected = vec![save("a").await];
    engine.proxy.cut().await;
    expected.extend([save("b").await, save("c").await]);
    let a = UserId::parse("a").unwrap();
    assert!(changing.delete(&a).await.unwrap());
    expected.push(SessionEvent::Deleted(a));
    engine.proxy.heal().await;
    for expected in expected {
        assert_eq!(changes.next().await, Some(expected));
    }
    // Deleted or lost without a word: nobody is said to be gone.
    for lost in [
        "TRUNCATE slimy_rt.sessions",
        "DELETE FROM slimy_rt.sessions",
        "SELECT slimy_rt.sweep(100, 10000, '0', '0')",
    ] {
        engine.sql(lost).await;
        let saved = save("d").await;
        assert_eq!(changes.next().await, Some(saved), "{lost}");
    }
    for lost in [
        "DELETE FROM slimy_rt.changes",
        "TRUNCATE slimy_rt.changes",
        "DELETE FROM slimy_rt.changes_end",
        "DROP SCHEMA slimy_rt CASCADE",
    ] {
        engine.proxy.cut().await;
        save("e").await;
        engine.sql(lost).await;
        let user = UserId::parse("f").unwrap();
        eventually("it is saved", async || {
            changing.save(&user, &empty, Expiry::Never).await.is_ok()
        })
        .await;
        engine.proxy.heal().await;
        // It knows that something is missing, or has it all.
        let mut told = Vec::new();
        while told.last() != Some(&SessionEvent::Saved(user.clone())) {
            told.push(changes.next().await.unwrap());
            if told.last() == Some(&SessionEvent::Missed) {
                break;
            }
        }
        let first = &told[0];
        let is_all = *first == SessionEvent::Saved(UserId::parse("e").unwrap());
        assert!(is_all || *first == SessionEvent::Missed, "{lost}: {told:?}");
        // From here on it follows again.
        let saved = save("g").await;
        while changes.next().await != Some(saved.clone()) {}
    }
}
