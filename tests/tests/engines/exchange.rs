//! A burst from both sides: each message is received exactly once everywhere, in order.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use slimy_rt_tests::chatter::{Chatter, Heard};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    cluster::{Cluster, GUILD, Kind, user},
    talk::{assert_in_order, say_many, speaker_of},
};

const NODES: usize = 2;
/// So many speakers of each node.
const SPEAKERS: usize = 2;
/// How long all of it may take.
const DEADLINE: Duration = Duration::from_secs(120);
/// How much more memory a node may hold afterwards, in KiB. What waits is bounded by 64 MiB, and so is the engine's log in a reader's hands.
const MEMORY_KIB: u64 = 128 * 1024;

/// `messages` in all, by speakers of two nodes at the same time.
pub(crate) async fn every_message_once_and_in_order(kind: Kind, messages: usize) {
    let cluster = Cluster::start(kind, NODES).await;
    let memory: Vec<_> = cluster
        .fleet
        .nodes()
        .iter()
        .map(|node| node.rss_kib())
        .collect();
    let each = messages / (NODES * SPEAKERS);
    let mut chatters = Vec::new();
    for node in 0..NODES {
        for letter in ('a'..).take(SPEAKERS) {
            let user = user(node, letter);
            let chatter = cluster.fleet.enter(&user, node).await;
            chatters.push((node, user, chatter));
        }
    }

    let begin = Instant::now();
    let mut speaking = JoinSet::new();
    for (node, user, mut chatter) in chatters {
        speaking.spawn(async move {
            say_many(&mut chatter, &user, GUILD, each).await;
            (node, user, chatter)
        });
    }
    let listeners = speaking.join_all().await;
    let spoken = begin.elapsed();
    for (_, user, chatter) in &listeners {
        let all = each * NODES * SPEAKERS;
        let came = chatter.wait_for_count(all, begin + DEADLINE).await;
        assert!(came, "{user}: {}", what_is_missing(&cluster, chatter, each));
    }
    let took = begin.elapsed();

    let heard = heard_by_all(&listeners);
    for (user, heard) in &heard {
        assert_eq!(heard.len(), each * NODES * SPEAKERS, "{user}");
        assert_in_order(user, heard);
    }
    assert_same_order(&heard);
    for (node, before) in cluster.fleet.nodes().iter().zip(memory) {
        let grown = node.rss_kib().saturating_sub(before);
        assert!(grown < MEMORY_KIB, "memory: {grown} KiB more");
    }
    cluster.assert_no_gap();
    println!("{kind:?}: {messages} messages in {took:?}, accepted within {spoken:?}");
}

fn heard_by_all(listeners: &[(usize, String, Chatter)]) -> HashMap<String, Vec<Heard>> {
    let heard = |(_, user, chatter): &(usize, String, Chatter)| (user.clone(), chatter.heard());
    listeners.iter().map(heard).collect()
}

fn what_is_missing(cluster: &Cluster, chatter: &Chatter, each: usize) -> String {
    let heard: HashSet<_> = chatter.heard().into_iter().map(|heard| heard.id).collect();
    let speakers =
        (0..NODES).flat_map(|node| ('a'..).take(SPEAKERS).map(move |letter| user(node, letter)));
    let said = speakers.flat_map(|user| (0..each).map(move |number| format!("{user}-{number}")));
    let missing: Vec<_> = said.filter(|id| !heard.contains(id)).collect();
    let some = &missing[..missing.len().min(10)];
    let nodes = cluster.fleet.nodes().iter();
    let wrote: String = nodes
        .map(|node| format!("{} wrote:\n{}\n", node.addr, node.output()))
        .collect();
    format!("{} missing: {some:?}\n{wrote}", missing.len())
}

/// What one node's speakers said in a room has one order for everybody.
fn assert_same_order(heard: &HashMap<String, Vec<Heard>>) {
    for node in 0..NODES {
        let speakers: Vec<_> = ('a'..)
            .take(SPEAKERS)
            .map(|letter| user(node, letter))
            .collect();
        let of_node = |heard: &[Heard]| -> Vec<String> {
            heard
                .iter()
                .filter(|heard| speakers.iter().any(|user| user == speaker_of(&heard.id)))
                .map(|heard| heard.id.clone())
                .collect()
        };
        let mut orders = heard.values().map(|heard| of_node(heard));
        let first = orders.next().expect("a listener");
        assert!(
            orders.all(|order| order == first),
            "node {node}'s messages have several orders"
        );
    }
}
