//! What happens to the nodes of every engine.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use slimy_rt::broker::{Health, ReplySink, Request, RoomBroker as _};
use slimy_rt_test_engines::Proxy;
use tokio::time::sleep;

use super::{
    eventually,
    node::{Node, to_room},
    traffic::Traffic,
};

/// Until when everything has to be back once the engine is.
pub(crate) const BACK: Duration = Duration::from_secs(2);

/// The link of the first node is cut for a while: afterwards both have everything.
pub(crate) async fn a_link_that_is_cut_for_a_while(nodes: &[Arc<Node>; 2], proxy: &Proxy) {
    let traffic = nodes.each_ref().map(Traffic::begin);
    traffic[1].is_heard_by(&nodes[0]).await;
    for _ in 0..3 {
        proxy.cut().await;
        eventually("the node knows", async || {
            nodes[0].told().health.last() == Some(&Health::Down)
        })
        .await;
        // The other node goes on meanwhile.
        traffic[1].is_heard_by(&nodes[1]).await;
        sleep(Duration::from_secs(1)).await;
        proxy.heal().await;
        for (node, other) in [(&nodes[0], &traffic[1]), (&nodes[1], &traffic[0])] {
            let took = other.is_heard_by(node).await;
            assert!(took < BACK, "{took:?} after the link was back");
        }
    }
    let [one, two] = traffic;
    for published in [one.end().await, two.end().await] {
        let from = published[0].id.as_ref().unwrap().0.clone();
        let expected: Vec<u64> = (1..=published.len() as u64).collect();
        for node in nodes {
            node.received(&published[published.len() - 1..]).await;
            assert_eq!(node.numbers_of(&from), expected);
            assert!(node.told().gaps.is_empty());
        }
    }
}

/// The link of the first node is slow: all comes, and in order.
pub(crate) async fn a_slow_link(nodes: &[Arc<Node>; 2], proxy: &Proxy) {
    proxy.slow(Duration::from_millis(150));
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
        for node in nodes {
            node.received(&published[published.len() - 1..]).await;
            assert_eq!(node.numbers_of(&from), expected);
        }
    }
}

/// One of two nodes is gone without a word.
pub(crate) async fn a_node_that_says_no_goodbye(node: Node, gone: Node) {
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

/// Both nodes publish so many: each has all of it once, in one order.
pub(crate) async fn much_of_two_nodes(nodes: &[Arc<Node>; 2], each: usize) {
    const BATCH: usize = 250;
    const ROOMS: usize = 10;
    for node in nodes {
        (0..ROOMS).for_each(|room| node.join(&format!("guild:{room}")));
    }
    let began = Instant::now();
    let publish = |node: Arc<Node>| async move {
        for batch in 0..each / BATCH {
            let room = |i| format!("guild:{}", (batch + i) % ROOMS);
            let batch: Vec<_> = (0..BATCH).map(|i| to_room(&room(i), "hello")).collect();
            node.publish(&batch).await;
        }
    };
    let publishing = nodes
        .each_ref()
        .map(|node| tokio::spawn(publish(Arc::clone(node))));
    for task in publishing {
        task.await.unwrap();
    }
    for node in nodes {
        eventually("everything arrives", async || {
            node.told().publications.len() >= 2 * each || !node.told().gaps.is_empty()
        })
        .await;
    }
    println!(
        "{} publications, each read by both nodes, in {:?}",
        2 * each,
        began.elapsed()
    );
    let expected: Vec<u64> = (1..=each as u64).collect();
    for node in nodes {
        assert!(node.told().gaps.is_empty(), "{:?}", node.told().gaps);
        for from in nodes {
            assert_eq!(node.numbers_of(&from.id), expected);
        }
        let told = node.told();
        assert!(
            told.publications.is_sorted_by(|(a, _), (b, _)| a < b),
            "in the log's order"
        );
    }
    let order = |node: &Node| -> Vec<_> {
        let told = node.told();
        told.publications.iter().map(|(at, _)| at.clone()).collect()
    };
    assert_eq!(order(&nodes[0]), order(&nodes[1]));
}

/// The second node gets members in further rooms.
pub(crate) async fn a_node_reads_what_it_has_members_for(one: &Node, two: &Node) {
    // Most of them share nothing with "room", not even a place in the log.
    let rooms: Vec<String> = (0..40).map(|i| format!("late {i}")).collect();
    for room in &rooms {
        let before = one.publish(&[to_room(room, "before")]).await;
        let began = Instant::now();
        two.join(room);
        let after = one.publish(&[to_room(room, "after")]).await;
        two.received(&after).await;
        // The reader was waiting for other rooms: it was woken.
        assert!(
            began.elapsed() < Duration::from_millis(900),
            "{:?}",
            began.elapsed()
        );
        drop(before);
    }
    let end = one.broker.end().await.unwrap();
    one.publish(&[to_room("nobody's room at all", "x")]).await;
    eventually("a node knows how far it is", async || {
        let told = two.told();
        let last = told.publications.last().and_then(|(at, _)| at.as_ref());
        told.advanced.iter().chain(last).any(|at| *at >= end)
    })
    .await;
    assert!(two.told().gaps.is_empty());
}
