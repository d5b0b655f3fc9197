//! Neither twice nor not at all: clients that are cut off again and again and come back wherever it happens to be, while nodes whose brokers are
//! late publish. Whoever comes back has got everything once and in order; whoever cannot is plainly a new client.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use slimy_rt::server::{Config, Server};
use slimy_rt_backends::memory::MemoryBroker;
use slimy_rt_tests::{
    node::{ByHeader, Node},
    peers::until,
    returning::{Memory, Returning},
};

use super::{
    config,
    faults::{Late, Random},
    namespace, started,
};

const NODES: u64 = 3;
const ROOMS: [&str; 2] = ["a", "b"];
const CLIENTS: u64 = 4;

/// An event as a client saw it: the node and room it came from, and its number there.
type Seen = (u64, usize, i64);

/// What a client went through since it was new.
#[derive(Debug, Default)]
struct Story {
    seen: Vec<Seen>,
    /// How far each node had come in each room when the client had joined.
    since: HashMap<(u64, usize), i64>,
}

struct World {
    nodes: Vec<Node>,
    random: Arc<Random>,
    /// What each node has sent to each room.
    sent: std::sync::Mutex<HashMap<(u64, usize), i64>>,
}

impl World {
    async fn new(seed: u64, publish_ms: u64, report_ms: u64, durable: bool) -> Arc<Self> {
        let (random, hub) = (Arc::new(Random::new(seed)), MemoryBroker::new());
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            let broker = Late {
                inner: hub.node(),
                random: Arc::clone(&random),
                publish_ms,
                report_ms,
                durable,
            };
            let config = Config {
                shards: 2,
                ..config()
            };
            let builder = Server::builder(ByHeader)
                .broker(broker)
                .config(config)
                .namespace(namespace());
            nodes.push(started(builder).await);
        }
        Arc::new(Self {
            nodes,
            random,
            sent: std::sync::Mutex::default(),
        })
    }

    fn node(&self) -> &Node {
        &self.nodes[self.random.below(NODES) as usize]
    }

    fn emit(&self) {
        let (node, room) = (
            self.random.below(NODES),
            self.random.below(ROOMS.len() as u64) as usize,
        );
        let mut sent = self.sent.lock().unwrap();
        let number = sent.entry((node, room)).or_default();
        *number += 1;
        let all = self.nodes[node as usize].server.emitter("/").unwrap();
        all.to(ROOMS[room])
            .emit("n", &json!([node, room, *number]))
            .unwrap();
    }
}

fn read(event: &[Value]) -> Seen {
    assert_eq!(event[0], "n", "{event:?}");
    let number = |i: usize| event[1][i].as_i64().unwrap();
    (number(0) as u64, number(1) as usize, number(2))
}

impl Story {
    /// A new client joins its rooms: what is sent from now on it must get.
    async fn begin(world: &World, client: &mut Returning) -> Self {
        let mut story = Self::default();
        for room in ROOMS {
            client
                .client()
                .send(&format!(r#"421["join","{room}"]"#))
                .await;
            loop {
                let text = client.client().text().await;
                if text.starts_with("431") {
                    break;
                }
                story.seen.push(read(&client.noted(&text[2..])));
            }
        }
        story.since.clone_from(&world.sent.lock().unwrap());
        story
    }

    fn note(&mut self, event: &[Value]) {
        let (node, room, number) = read(event);
        let of_both = |seen: &&Seen| (seen.0, seen.1) == (node, room);
        if let Some(last) = self.seen.iter().rev().find(of_both) {
            assert!(
                number > last.2,
                "{number} of node {node} in room {room} came after {}",
                last.2
            );
        }
        self.seen.push((node, room, number));
    }

    /// Whether it has seen everything that was sent since it was there.
    fn is_complete(&self, sent: &HashMap<(u64, usize), i64>) -> bool {
        sent.iter().all(|(from, last)| {
            let since = self.since.get(from).copied().unwrap_or(0);
            let of_both = |seen: &&Seen| (seen.0, seen.1) == *from && seen.2 > since;
            self.seen.iter().filter(of_both).count() as i64 == last - since
        })
    }
}

/// Receives for a while.
async fn receive(client: &mut Returning, story: &mut Story, time: Duration) {
    let _ = tokio::time::timeout(time, async {
        loop {
            story.note(&client.event().await);
        }
    })
    .await;
}

/// One client's life; says how often it was brought back and how often not.
async fn live(world: Arc<World>, index: u64, cuts: u64) -> (u64, u64) {
    let user = format!("u{index}");
    let mut client = Returning::new(world.node().addr, &user).await;
    let mut story = Story::begin(&world, &mut client).await;
    let (mut back, mut new) = (0, 0);
    for _ in 0..cuts {
        receive(
            &mut client,
            &mut story,
            Duration::from_millis(world.random.below(60)),
        )
        .await;
        let memory: Memory = if world.random.below(4) == 0 {
            // Its old connection is still there when it comes back.
            let memory = client.memory.clone();
            std::mem::forget(client);
            memory
        } else {
            client.cut().await.memory
        };
        tokio::time::sleep(Duration::from_millis(world.random.below(30))).await;
        client = Returning::with(world.node().addr, &user, memory)
            .await
            .unwrap();
        if client.recovered {
            back += 1;
        } else {
            new += 1;
            story = Story::begin(&world, &mut client).await;
        }
    }
    let complete = async {
        while !story.is_complete(&world.sent.lock().unwrap().clone()) {
            story.note(&client.event().await);
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(8), complete).await;
    assert!(
        done.is_ok(),
        "client {index} misses something: {story:?}\n{:?}",
        world.sent
    );
    (back, new)
}

async fn run(seed: u64, publish_ms: u64, report_ms: u64, durable: bool) {
    let world = World::new(seed, publish_ms, report_ms, durable).await;
    let emitting = tokio::spawn({
        let world = Arc::clone(&world);
        async move {
            for _ in 0..600 {
                world.emit();
                tokio::time::sleep(Duration::from_millis(world.random.below(4))).await;
            }
        }
    });
    let clients = (0..CLIENTS).map(|index| tokio::spawn(live(Arc::clone(&world), index, 15)));
    let (mut back, mut new) = (0, 0);
    for client in clients.collect::<Vec<_>>() {
        let (b, n) = client.await.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        (back, new) = (back + b, new + n);
    }
    emitting.await.unwrap();
    println!(
        "seed {seed}, publishing up to {publish_ms} ms, hearing up to {report_ms} ms late: {back} brought back, {new} new"
    );
    assert!(back > new, "most clients are brought back");
    until("all is published", || {
        world
            .nodes
            .iter()
            .all(|node| node.server.report().publications_waiting == 0)
    })
    .await;
}

/// Some seeds, or as many as are wanted.
async fn run_all(publish_ms: u64, report_ms: u64) {
    let tries = std::env::var("RECOVERY_SEEDS").map_or(2, |tries| tries.parse().unwrap());
    for seed in 0..tries {
        run(seed, publish_ms, report_ms, seed % 2 == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prompt_nodes() {
    run_all(0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_publish_late() {
    run_all(6, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_hear_late() {
    run_all(0, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_do_everything_late() {
    run_all(4, 4).await;
}
