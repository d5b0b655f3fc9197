//! The book's "Writing a backend": its files compile, keep what the page promises, and are shown as they are.

use std::{
    future::poll_fn,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use slimy_rt::{
    GuildId, TokenId, UserId,
    conformance::{
        Report,
        broker::{self, BrokerFactory},
        session_store::{self, SessionStoreFactory},
    },
    events::Namespace,
    server::Server,
    session::{Expiry, Guild, Session, SessionEvent, SessionStore},
};
use slimy_rt_tests::{
    client::Client,
    node::{ByHeader, Node},
};
use tokio::{net::TcpListener, task::JoinHandle};

use self::{file_store::FileStore, hub::Hub, tcp_broker::TcpBroker};

#[path = "../../book/walkthrough/file_store.rs"]
#[allow(unreachable_pub)]
mod file_store;
#[path = "../../book/walkthrough/hub.rs"]
#[allow(unreachable_pub)]
mod hub;
#[path = "../../book/walkthrough/tcp_broker.rs"]
#[allow(unreachable_pub)]
mod tcp_broker;
#[path = "../../book/walkthrough/wire.rs"]
#[allow(unreachable_pub)]
mod wire;

const PAGE: &str = include_str!("../../book/src/backends/writing.md");

#[test]
fn the_page_shows_the_files() {
    let files = [
        include_str!("../../book/walkthrough/file_store.rs"),
        include_str!("../../book/walkthrough/wire.rs"),
        include_str!("../../book/walkthrough/hub.rs"),
        include_str!("../../book/walkthrough/tcp_broker.rs"),
    ];
    let shown = |line: &&str| !line.starts_with("# ");
    let page: Vec<&str> = PAGE.lines().filter(shown).collect();
    let page = page.join("\n");
    for file in files {
        let third = file.lines().nth(2).unwrap_or_default();
        assert!(
            page.contains(file),
            "the file whose third line is {third:?}"
        );
    }
}

/// A path that is gone at the test's end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        // In memory where there is such a place: a store that waits for its disk at each change takes half a minute for all clauses.
        let memory = PathBuf::from("/dev/shm");
        let directory = Some(memory).filter(|path| path.is_dir());
        let directory = directory.unwrap_or_else(std::env::temp_dir);
        Self(directory.join(format!("slimy-rt-book-{}-{name}.json", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The error is that the test did not get so far as to make it.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn session() -> Session {
    Session::new(vec![
        Guild::new(GuildId::parse("1176605506912141444").unwrap()).name("Ä \"ö\""),
    ])
}

#[tokio::test]
async fn the_file_store_outlives_its_process() {
    let scratch = Scratch::new("outlives");
    let (ada, bob) = (UserId::parse("ada").unwrap(), UserId::parse("7").unwrap());
    let token = TokenId::parse("login-7").unwrap();
    let store = FileStore::open(&scratch.0).unwrap();
    let mut changes = store.watch().await.unwrap();
    store.save(&ada, &session(), Expiry::Never).await.unwrap();
    let short = Expiry::In(Duration::from_millis(1));
    store.save(&bob, &session(), short).await.unwrap();
    let later = std::time::SystemTime::now() + Duration::from_secs(3600);
    store.deny(&token, later).await.unwrap();
    assert_eq!(changes.next().await, Some(SessionEvent::Saved(ada.clone())));

    let again = FileStore::open(&scratch.0).unwrap();
    assert_eq!(again.load(&ada).await.unwrap(), Some(session()));
    assert!(again.is_denied(&token).await.unwrap());
    let gone = async {
        while again.load(&bob).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone)
        .await
        .unwrap();
    assert_eq!(again.list(None, 9).await.unwrap().sessions.len(), 1);
    assert!(again.delete(&ada).await.unwrap());
    assert!(!again.delete(&ada).await.unwrap());
}

#[tokio::test]
async fn the_file_store_finishes_what_a_dropped_caller_began() {
    let scratch = Scratch::new("dropped");
    let store = FileStore::open(&scratch.0).unwrap();
    let ada = UserId::parse("ada").unwrap();
    let session = session();
    let mut changes = store.watch().await.unwrap();
    {
        let mut saving = store.save(&ada, &session, Expiry::Never);
        poll_fn(|context| {
            let _ = saving.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    }
    let change = tokio::time::timeout(Duration::from_secs(5), changes.next()).await;
    assert_eq!(change.unwrap(), Some(SessionEvent::Saved(ada.clone())));
    assert_eq!(store.load(&ada).await.unwrap(), Some(session));
}

#[test]
fn a_file_that_cannot_be_read_is_no_empty_store() {
    let scratch = Scratch::new("broken");
    std::fs::write(&scratch.0, "{").unwrap();
    assert!(FileStore::open(&scratch.0).is_err());
}

async fn listen(addr: SocketAddr, hub: &Arc<Hub>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(addr).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (addr, tokio::spawn(Arc::clone(hub).serve(listener)))
}

async fn node(hub: SocketAddr) -> (Node, Client) {
    let builder = Server::builder(ByHeader).broker(TcpBroker::new(hub));
    let node = Node::start(builder.namespace(Namespace::new("/"))).await;
    until(|| node.server.is_broker_up() == Some(true)).await;
    let client = Client::join(node.addr, "u").await;
    (node, client)
}

async fn until(condition: impl Fn() -> bool + Send + Sync) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .expect("in time");
}

fn publish(node: &Node, numbers: std::ops::Range<usize>) {
    let emitter = node.server.emitter("/").unwrap();
    for number in numbers {
        emitter.all().emit("n", &number).unwrap();
    }
}

async fn expect(client: &mut Client, numbers: std::ops::Range<usize>) {
    for number in numbers {
        assert_eq!(client.event().await, ("n".into(), number.into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_delivers_also_across_a_cut_and_reports_a_lost_log() {
    let hub = Hub::new();
    let (addr, serving) = listen("127.0.0.1:0".parse().unwrap(), &hub).await;
    let (one, mut near) = node(addr).await;
    let (two, mut far) = node(addr).await;
    publish(&one, 0..300);
    expect(&mut near, 0..300).await;
    expect(&mut far, 0..300).await;

    // All lines are cut; the log stays.
    serving.abort();
    let _ = serving.await;
    publish(&one, 300..400);
    expect(&mut near, 300..400).await;
    until(|| two.server.is_broker_up() == Some(false)).await;
    let (_, serving) = listen(addr, &hub).await;
    expect(&mut far, 300..400).await;
    assert_eq!(two.server.report().gaps, 0);

    // The hub begins again with an empty log.
    until(|| two.server.is_broker_up() == Some(true)).await;
    serving.abort();
    let _ = serving.await;
    until(|| two.server.is_broker_up() == Some(false)).await;
    let (_, _serving) = listen(addr, &Hub::new()).await;
    until(|| two.server.report().gaps > 0).await;
    publish(&one, 400..410);
    expect(&mut far, 400..410).await;
}

/// Stores in files of their own, which go with it.
#[derive(Default)]
struct Stores(Mutex<Vec<Scratch>>);

impl SessionStoreFactory for Stores {
    type Store = FileStore;

    async fn create(&self) -> FileStore {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let scratch = Scratch::new(&format!("contract-{number}"));
        let store = FileStore::open(&scratch.0).unwrap();
        self.0.lock().unwrap().push(scratch);
        store
    }

    /// Another handle of the same process: the store is for one.
    async fn reopen(&self, store: &FileStore) -> Option<FileStore> {
        Some(store.clone())
    }

    async fn restart(&self, store: FileStore) -> Option<FileStore> {
        let path = store.path().to_owned();
        drop(store);
        Some(FileStore::open(path).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_store_keeps_the_contract() {
    let report = session_store::check(Stores::default()).await.unwrap();
    // It shares no claims, and nobody can take its file away.
    let claims = |name: &str| name.starts_with("claim-") || name == "cancelled-claim";
    leaves_out(&report, |name| claims(name) || name.starts_with("outage-"));
}

/// Nothing else was left out than what the page says is missing.
fn leaves_out(report: &Report, expected: impl Fn(&str) -> bool) {
    for other in &report.not_applicable {
        assert!(expected(other.clause.name), "{report}");
    }
}

/// Hubs whose lines can be cut.
struct Hubs;

struct Line {
    hub: Arc<Hub>,
    addr: SocketAddr,
    serving: JoinHandle<()>,
}

impl Line {
    async fn cut(&mut self) {
        self.serving.abort();
        // It says that it was aborted; what counts is that it has ended.
        let _ = (&mut self.serving).await;
    }

    async fn mend(&mut self) {
        self.serving = listen(self.addr, &self.hub).await.1;
    }
}

impl BrokerFactory for Hubs {
    type Cluster = tokio::sync::Mutex<Line>;
    type Broker = TcpBroker;

    async fn cluster(&self) -> Self::Cluster {
        let hub = Hub::new();
        let (addr, serving) = listen("127.0.0.1:0".parse().unwrap(), &hub).await;
        tokio::sync::Mutex::new(Line { hub, addr, serving })
    }

    async fn node(&self, cluster: &Self::Cluster) -> Option<TcpBroker> {
        Some(TcpBroker::new(cluster.lock().await.addr))
    }

    async fn lose_log(&self, cluster: &Self::Cluster) -> bool {
        let mut line = cluster.lock().await;
        line.cut().await;
        line.hub = Hub::new();
        line.mend().await;
        true
    }

    async fn cut_off(&self, cluster: &Self::Cluster) -> bool {
        cluster.lock().await.cut().await;
        true
    }

    async fn reconnect(&self, cluster: &Self::Cluster) {
        cluster.lock().await.mend().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tcp_broker_keeps_the_contract() {
    let report = broker::check(Hubs).await.unwrap();
    let missing = [
        "history-",
        "end-covers",
        "request-",
        "reply-",
        "recovery-",
        "outage-request",
        "outage-history",
        "lost-log-is-gone",
    ];
    leaves_out(&report, |name| missing.iter().any(|m| name.starts_with(m)));
}
