//! Several nodes on one memory broker.

use slimy_rt::{
    Room,
    broker::{Delivered, Reply},
    protocol::EventData,
};
use tokio::sync::{Notify, Semaphore};

use super::{super::log::MAX_LOG_ENTRIES, *};

/// Writes down what a node is told.
#[derive(Debug)]
struct Told {
    told: Mutex<Vec<String>>,
    more: Notify,
    /// How many batches may still be taken.
    batches: Semaphore,
}

impl Told {
    fn new(batches: usize) -> Arc<Self> {
        Arc::new(Self {
            told: Mutex::default(),
            more: Notify::new(),
            batches: Semaphore::new(batches),
        })
    }

    fn write(&self, text: impl Into<String>) {
        lock(&self.told).push(text.into());
        self.more.notify_one();
    }

    /// Waits until that much was told.
    async fn wait(&self, length: usize) -> Vec<String> {
        loop {
            let told = lock(&self.told).clone();
            if told.len() >= length {
                return told;
            }
            self.more.notified().await;
        }
    }
}

#[async_trait]
impl BrokerEvents for Told {
    async fn publications(&self, batch: &[Delivered]) {
        self.batches.acquire().await.unwrap().forget();
        for (position, publication) in batch {
            let number = position
                .as_ref()
                .unwrap()
                .as_str()
                .split(':')
                .nth(1)
                .unwrap();
            self.write(format!("{number} {}", publication.id.as_ref().unwrap().1));
        }
    }

    fn gap(&self, after: Option<&Position>, now: &Position) {
        let number = |position: &Position| position.as_str().split(':').nth(1).unwrap().to_owned();
        self.write(format!("gap {} {}", number(after.unwrap()), number(now)));
    }

    fn request(&self, request: Request, reply: ReplySink) {
        assert!(matches!(request, Request::Nodes));
        self.write("request");
        tokio::spawn(async move {
            let id = NodeId::random();
            reply.send(Reply::Node { id, sockets: 7 }).await
        });
    }

    fn health(&self, health: Health) {
        self.write(format!("{health:?}"));
    }
}

fn info(id: &str) -> NodeInfo {
    let id = NodeId::parse(id).unwrap();
    NodeInfo { id }
}

fn publication(node: &str, sequence: u64) -> Arc<Publication> {
    let id = Some((NodeId::parse(node).unwrap(), sequence));
    let event = EventData::new("e", &sequence).unwrap();
    let rooms = vec![Room::parse("r").unwrap()];
    let audience = Audience {
        rooms,
        except: Vec::new(),
    };
    Arc::new(Publication::new(id, "/".into(), audience, event))
}

#[tokio::test]
async fn every_node_is_told_of_everything_in_one_order() {
    let (a, told_a, told_b) = (MemoryBroker::new(), Told::new(99), Told::new(99));
    let b = a.node();
    a.start(&info("a"), told_a.clone()).await.unwrap();
    a.publish(&[publication("a", 1)]).await.unwrap();
    let start = b.start(&info("b"), told_b.clone()).await.unwrap();
    b.publish(&[publication("b", 1), publication("b", 2)])
        .await
        .unwrap();
    a.publish(&[publication("a", 2)]).await.unwrap();
    assert_eq!(told_a.wait(5).await, ["Up", "1 1", "2 1", "3 2", "4 2"]);
    assert_eq!(told_b.wait(4).await, ["Up", "2 1", "3 2", "4 2"]);

    let end = Position::new(start.as_str().replace(":1", ":4"));
    let history = b
        .history(&start, &end, &Audience::default(), 9)
        .await
        .unwrap();
    assert_eq!((history.publications.len(), history.complete), (3, true));
    let other = MemoryBroker::new()
        .history(&start, &end, &Audience::default(), 9)
        .await;
    assert!(matches!(other, Err(HistoryError::Gone)));
}

#[tokio::test]
async fn a_slow_node_holds_up_no_other_and_catches_up() {
    let (fast, slow) = (MemoryBroker::new(), Told::new(0));
    let told = Told::new(usize::MAX >> 4);
    fast.start(&info("fast"), told.clone()).await.unwrap();
    let other = fast.node();
    other.start(&info("slow"), slow.clone()).await.unwrap();
    for sequence in 1..=300 {
        fast.publish(&[publication("fast", sequence)])
            .await
            .unwrap();
    }
    let expected: Vec<String> = (1..=300).map(|n| format!("{n} {n}")).collect();
    assert_eq!(told.wait(301).await[1..], expected);
    assert_eq!(*lock(&slow.told), ["Up"]);
    slow.batches.add_permits(999);
    assert_eq!(slow.wait(301).await[1..], expected);
}

#[tokio::test]
async fn a_node_that_lags_beyond_the_log_is_told_of_the_gap() {
    let (broker, told) = (MemoryBroker::new(), Told::new(0));
    broker.start(&info("a"), told.clone()).await.unwrap();
    broker.publish(&[publication("a", 1)]).await.unwrap();
    told.wait(1).await;
    tokio::task::yield_now().await;
    let last = MAX_LOG_ENTRIES as u64 + 9;
    for sequence in 2..=last {
        broker.publish(&[publication("a", sequence)]).await.unwrap();
    }
    told.batches.add_permits(99_999);
    let all = told.wait(3 + MAX_LOG_ENTRIES).await;
    assert_eq!(all[..4], ["Up", "1 1", "gap 1 9", "10 10"]);
    assert_eq!(all[all.len() - 1], format!("{last} {last}"));
}

#[tokio::test]
async fn requests_go_to_every_other_node_even_a_busy_one() {
    let (a, told_a, told_b, told_c) = (
        MemoryBroker::new(),
        Told::new(9),
        Told::new(0),
        Told::new(9),
    );
    let (b, c) = (a.node(), a.node());
    for (broker, id, told) in [(&a, "a", &told_a), (&b, "b", &told_b), (&c, "c", &told_c)] {
        broker.start(&info(id), told.clone()).await.unwrap();
    }
    a.publish(&[publication("a", 1)]).await.unwrap();
    let (sink, mut replies) = ReplySink::channel();
    let expected = a.request(&Request::Nodes, sink).await.unwrap();
    assert_eq!(expected.nodes, 2);
    for _ in 0..2 {
        assert!(matches!(
            replies.recv().await,
            Some(Reply::Node { sockets: 7, .. })
        ));
    }
    assert!(replies.recv().await.is_none());
    assert!(!lock(&told_a.told).contains(&"request".to_owned()));

    c.stop().await;
    let (sink, _replies) = ReplySink::channel();
    assert_eq!(a.request(&Request::Nodes, sink).await.unwrap().nodes, 1);
}

#[tokio::test]
async fn a_stopped_node_is_told_nothing_and_can_start_again() {
    let (a, told) = (MemoryBroker::new(), Told::new(99));
    let (b, told_b) = (a.node(), Told::new(99));
    a.start(&info("a"), told.clone()).await.unwrap();
    b.start(&info("b"), told_b.clone()).await.unwrap();
    told.wait(1).await;
    a.stop().await;
    a.stop().await;
    let stopped = a.publish(&[publication("a", 1)]).await;
    assert!(matches!(stopped, Err(BrokerError::Stopped)));
    b.publish(&[publication("b", 1)]).await.unwrap();
    told_b.wait(2).await;
    assert_eq!(*lock(&told.told), ["Up"]);
    a.start(&info("a"), told.clone()).await.unwrap();
    b.publish(&[publication("b", 2)]).await.unwrap();
    assert_eq!(told.wait(3).await, ["Up", "Up", "2 2"]);
}

#[tokio::test]
async fn a_node_stops_from_inside_its_own_report() {
    #[derive(Debug)]
    struct StopsItself(MemoryBroker, Notify);

    #[async_trait]
    impl BrokerEvents for StopsItself {
        async fn publications(&self, _: &[Delivered]) {
            self.1.notify_one();
            self.0.stop().await;
            panic!("the report goes on after the stop");
        }
        fn gap(&self, _: Option<&Position>, _: &Position) {}
        fn request(&self, _: Request, _: ReplySink) {}
        fn health(&self, _: Health) {}
    }

    let broker = MemoryBroker::new();
    let events = Arc::new(StopsItself(broker.clone(), Notify::new()));
    broker.start(&info("a"), events.clone()).await.unwrap();
    broker.publish(&[publication("a", 1)]).await.unwrap();
    events.1.notified().await;
    while broker.id().is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_node_starts_once_and_its_id_is_its_own() {
    let (a, told) = (MemoryBroker::new(), Told::new(9));
    a.start(&info("a"), told.clone()).await.unwrap();
    let again = a.clone().start(&info("b"), told.clone()).await;
    assert!(matches!(again, Err(BrokerError::Invalid(_))));
    let taken = a.node().start(&info("a"), told.clone()).await;
    assert!(matches!(taken, Err(BrokerError::Invalid(_))));
    let late = a.node();
    drop(a);
    late.start(&info("a"), told).await.unwrap();
    assert!(format!("{late:?}").contains("nodes: 1"));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_whole() {
    let (broker, told) = (MemoryBroker::new(), Told::new(9));
    broker.start(&info("a"), told.clone()).await.unwrap();
    let mut large = Publication::clone(&publication("a", 2));
    large.event = EventData::new("e", &"x".repeat(MAX_LOG_BYTES)).unwrap();
    let error = broker
        .publish(&[publication("a", 1), Arc::new(large)])
        .await
        .unwrap_err();
    assert!(!error.is_retryable());
    broker.publish(&[publication("a", 3)]).await.unwrap();
    assert_eq!(told.wait(2).await, ["Up", "1 3"]);
}

#[tokio::test(start_paused = true)]
async fn one_of_the_nodes_takes_a_recovery_state() {
    let a = MemoryBroker::new();
    let b = a.node();
    let ttl = Duration::from_secs(120);
    a.save_recovery("pid", b"state", ttl).await.unwrap();
    assert_eq!(
        b.take_recovery("pid").await.unwrap().as_deref(),
        Some(b"state".as_slice())
    );
    assert_eq!(a.take_recovery("pid").await.unwrap(), None);
    a.save_recovery("pid", b"state", ttl).await.unwrap();
    tokio::time::advance(ttl).await;
    assert_eq!(b.take_recovery("pid").await.unwrap(), None);
    let large = a
        .save_recovery("pid", &vec![0; MAX_RECOVERY_BYTES], ttl)
        .await;
    assert!(matches!(large, Err(BrokerError::Invalid(_))));
}
