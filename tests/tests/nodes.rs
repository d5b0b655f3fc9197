//! What nodes tell and ask each other, and what happens when they cannot.

use std::time::Duration;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use serde_json::json;
use slimy_rt::{
    Room,
    broker::BrokerError,
    events::{ClusterError, Namespace, ServerSideEvent},
    protocol::AckData,
    server::Config,
};
use slimy_rt_backends::memory::MemoryBroker;
use slimy_rt_tests::{
    client::DEADLINE,
    peers::{Faulty, SHORT, TestNode, cluster, config, mute_node},
};
use tokio::sync::mpsc;

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
    let mut no_requests = Faulty::none(&hub);
    no_requests.requests = false;
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
        let asking = emitter.all().emit_with_ack("q", &1);
        let (answers, ()) = tokio::join!(asking, peer.answer("1"));
        let answers = answers.unwrap();
        assert_eq!(answers.answers.len(), 1, "what is known is not lost");
        assert!(!answers.is_complete());
        check(Arc::into_inner(answers.not_asked.unwrap()).unwrap());

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

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_function_that_panics_ends_no_node() {
    let hub = MemoryBroker::new();
    let node = |namespace| TestNode::new(Some(Faulty::none(&hub)), config(), namespace);
    let one = node(Namespace::new("/a")).await;
    let careless = node(Namespace::matching(|name| &name[..4] == "/abc")).await;
    let emitter = one.node.server.emitter("/a").unwrap();
    let asked = emitter.server_side_emit_with_ack("refresh", &1, DEADLINE);
    assert_eq!(asked.await.unwrap().silent.len(), 1);
    assert!(careless.node.server.is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_late_says_that_it_may_have_missed_something() {
    let hub = MemoryBroker::new();
    let late = Faulty::none(&hub);
    let (down, refused) = (Arc::clone(&late.down), Arc::clone(&late.refused));
    down.store(true, Ordering::SeqCst);
    let early = TestNode::new(Some(Faulty::none(&hub)), config(), Namespace::new("/")).await;
    let until = async |what: &dyn Fn() -> bool| {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let comes_up = async {
        until(&|| refused.load(Ordering::SeqCst) > 0).await;
        early.emitter().all().emit("unheard", &1).unwrap();
        down.store(false, Ordering::SeqCst);
    };
    let late = TestNode::new(Some(late), config(), Namespace::new("/"));
    let (late, ()) = tokio::join!(late, comes_up);
    let has_gap = || late.node.server.report().gaps > 0;
    let told = until(&has_gap);
    tokio::time::timeout(Duration::from_secs(5), told)
        .await
        .unwrap();
    assert_eq!(late.node.server.report().gaps, 1);
    assert_eq!(early.node.server.report().gaps, 0);
}
