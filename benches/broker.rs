//! What a broker takes from one node to another.
//!
//! Two nodes, in `broker/<backend>`:
//! * `publish`: from the call with a batch of 1, 16 or 256 until the other node has been told of all of it; elements are publications. The
//!   publishing node is told of its own too, meanwhile. What a server does with a publication then is not inside.
//! * `request`: from the question until the other node's answer is there and no other can come.
//! * `history`: a page of 100, of a log of 1,000 publications to ten rooms in turn: of all rooms, and of one; elements are publications.
//!
//! In memory, both nodes' tasks are on one thread: no figure has a thread's waking in it. Redis is measured when `BENCH_REDIS_URL` names one that may be thrown
//! away, and Postgres when `BENCH_POSTGRES_URL` does; there the nodes share two threads, and the connections for commands.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use slimy_rt::{
    NodeId,
    broker::{
        Audience, BrokerEvents, Delivered, Health, Interest, NodeInfo, Position, Publication,
        Reply, ReplySink, Request, RoomBroker,
    },
    protocol::EventData,
};
use slimy_rt_backends::{memory::MemoryBroker, postgres::PostgresBroker, redis::RedisBroker};
use slimy_rt_benches::{criterion, event, one_thread, postgres, redis, room, two_threads};
use tokio::{runtime::Runtime, sync::Semaphore};

const BATCHES: [usize; 3] = [1, 16, 256];
/// How many publications the log has when its pages are read, and to how many rooms.
const LOG: usize = 1_000;
const ROOMS: usize = 10;
const PAGE: usize = LOG / ROOMS;

fn backends(criterion: &mut Criterion) {
    let nodes = || {
        let first = MemoryBroker::new();
        let second = first.node();
        Pair::new(one_thread(), Arc::new(first), Arc::new(second))
    };
    measure(criterion, "memory", nodes);
    if redis().is_some() {
        measure(criterion, "redis", || {
            // With a prefix of its own each pair has a log of its own.
            let redis = redis().expect("it was there just now");
            let node = || Arc::new(RedisBroker::new(&redis));
            Pair::new(two_threads(), node(), node())
        });
    }
    if postgres().is_some() {
        measure(criterion, "postgres", || {
            let postgres = postgres().expect("it was there just now");
            let node = || Arc::new(PostgresBroker::new(&postgres));
            Pair::new(two_threads(), node(), node())
        });
    }
}

/// Measures a backend; `pair` makes two nodes on a log of their own.
fn measure(criterion: &mut Criterion, backend: &str, pair: impl Fn() -> Pair) {
    let mut group = criterion.benchmark_group(format!("broker/{backend}"));
    let mut nodes = pair();
    for size in BATCHES {
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("publish", size), |b| {
            b.iter_custom(|times| (0..times).map(|_| nodes.publish(size)).sum());
        });
    }
    let can = nodes.publisher.capabilities();

    group.throughput(Throughput::Elements(1));
    if can.requests {
        group.bench_function("request", |b| b.iter(|| nodes.request()));
    } else {
        eprintln!("broker/{backend}/request is skipped: it carries no requests");
    }

    if !can.log {
        return eprintln!("broker/{backend}/history is skipped: it keeps no log");
    }
    let mut nodes = pair();
    nodes.publish(LOG);
    let one = Audience {
        rooms: vec![room(0)],
        except: Vec::new(),
    };
    group.throughput(Throughput::Elements(PAGE as u64));
    for (rooms, audience) in [("all rooms", Audience::default()), ("one room of ten", one)] {
        group.bench_function(BenchmarkId::new("history", rooms), |b| {
            b.iter(|| nodes.history(&audience));
        });
    }
    group.finish();
}

/// Two nodes: the first publishes and asks, the second is told and answers.
struct Pair {
    runtime: Runtime,
    publisher: Arc<dyn RoomBroker>,
    /// Never called, but what keeps the second node in the cluster.
    _reader: Arc<dyn RoomBroker>,
    told: Arc<Told>,
    event: EventData,
    id: NodeId,
    published: u64,
    start: Position,
}

impl Pair {
    fn new(runtime: Runtime, publisher: Arc<dyn RoomBroker>, reader: Arc<dyn RoomBroker>) -> Self {
        let (own, told) = (Arc::new(Told::new()), Arc::new(Told::new()));
        let id = own.node.clone();
        let start = runtime.block_on(async {
            let at = join(&publisher, own).await;
            join(&reader, Arc::clone(&told)).await;
            at
        });
        Self {
            runtime,
            publisher,
            _reader: reader,
            told,
            event: event(200),
            id,
            published: 0,
            start,
        }
    }

    /// How long it takes until a batch is where it should be. Making it is not counted.
    fn publish(&mut self, size: usize) -> Duration {
        let batch: Vec<_> = (0..size).map(|_| self.publication()).collect();
        let start = Instant::now();
        self.runtime.block_on(async {
            let published = self.publisher.publish(&batch).await;
            published.expect("room in the log");
            let told = self.told.publications.acquire_many(size as u32).await;
            told.expect("no gap").forget();
        });
        start.elapsed()
    }

    fn publication(&mut self) -> Arc<Publication> {
        let number = self.published as usize;
        self.published += 1;
        let audience = Audience {
            rooms: vec![room(number % ROOMS)],
            except: Vec::new(),
        };
        let id = (self.id.clone(), self.published);
        let event = self.event.clone();
        Arc::new(Publication::new(Some(id), "/".into(), audience, event))
    }

    fn request(&self) {
        self.runtime.block_on(async {
            let (sink, mut replies) = ReplySink::channel();
            let asked = self.publisher.request(&Request::Nodes, sink).await;
            let mut expected = asked.expect("a started broker").nodes;
            while replies.recv().await.is_some() {
                expected -= 1;
            }
            assert_eq!(expected, 0);
        });
    }

    fn history(&self, audience: &Audience) {
        let last = self.told.last.lock();
        let last = last.unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref().expect("a broker with a log gives positions");
        let page = self.publisher.history(&self.start, last, audience, PAGE);
        let page = self.runtime.block_on(page).expect("what was published");
        assert_eq!(page.publications.len(), PAGE);
    }
}

async fn join(broker: &Arc<dyn RoomBroker>, told: Arc<Told>) -> Position {
    let node = NodeInfo {
        id: told.node.clone(),
    };
    let place = broker.start(&node, told).await.expect("a place");
    for number in 0..ROOMS {
        let (namespace, room) = ("/", &room(number));
        broker.interest(Interest::Began { namespace, room });
    }
    place
}

/// A node that counts what it is told.
#[derive(Debug)]
struct Told {
    node: NodeId,
    publications: Semaphore,
    last: Mutex<Option<Position>>,
}

impl Told {
    fn new() -> Self {
        Self {
            node: NodeId::random(),
            publications: Semaphore::new(0),
            last: Mutex::default(),
        }
    }
}

#[async_trait]
impl BrokerEvents for Told {
    async fn publications(&self, batch: &[Delivered]) {
        if let Some((position, _)) = batch.last() {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.clone_from(position);
        }
        self.publications.add_permits(batch.len());
    }

    fn gap(&self, _: Option<&Position>, _: &Position) {
        // Who waits for what was missed is told, and ends the bench.
        self.publications.close();
    }

    fn request(&self, _: Request, reply: ReplySink) {
        let id = self.node.clone();
        tokio::spawn(async move { reply.send(Reply::Node { id, sockets: 0 }).await });
    }

    fn health(&self, _: Health) {}
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = backends
}
criterion_main!(benches);
