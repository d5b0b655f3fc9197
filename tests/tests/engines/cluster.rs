//! Nodes over one engine, each through a link of its own that can be cut.

use std::time::Duration;

use serde_json::json;
use slimy_rt_test_engines::{Postgres, Proxy, Redis};
use slimy_rt_tests::fleet::Fleet;
use tokio::time::{Instant, sleep};

/// The guild that everybody is in.
pub(crate) const GUILD: &str = "1176605506912141444";
/// A secret of the engine, never to be seen.
pub(crate) const PASSWORD: &str = "engines-own-password-7d1f";
/// How soon what an operator or a balancer looks at tells the truth.
const STATUS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// What a node writes when it knows that it missed something.
const GAPS: [&str; 3] = [
    "the broker's log has a gap",
    "publications of a node were missed",
    "a node could not publish everything",
];

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Redis,
    Postgres,
}

/// A private engine.
#[derive(Debug)]
pub(crate) enum Engine {
    Redis(Redis),
    Postgres(Postgres),
}

/// An engine, nodes over it, and their links to it.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) engine: Engine,
    pub(crate) links: Vec<Proxy>,
    pub(crate) fleet: Fleet,
}

/// Whether the long variant is asked for.
pub(crate) fn is_soak() -> bool {
    std::env::var_os("SOAK").is_some_and(|soak| !soak.is_empty())
}

/// The users of a node: enough to see how they hear each other.
pub(crate) fn user(node: usize, letter: char) -> String {
    format!("u{node}{letter}")
}

impl Engine {
    pub(crate) async fn start(kind: Kind) -> Self {
        match kind {
            Kind::Redis => Self::Redis(Redis::builder().password(PASSWORD).start().await),
            Kind::Postgres => Self::Postgres(Postgres::builder().password(PASSWORD).start().await),
        }
    }

    /// Its URL by way of a port.
    pub(crate) fn url_at(&self, port: u16) -> String {
        match self {
            Self::Redis(redis) => redis.url_at(port),
            Self::Postgres(postgres) => postgres.url_at(port, "postgres"),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Redis(redis) => redis.port(),
            Self::Postgres(postgres) => postgres.port(),
        }
    }

    /// As hard as an operator can stop it.
    pub(crate) async fn stop_hard(&self) {
        match self {
            Self::Redis(redis) => redis.kill().await,
            Self::Postgres(postgres) => postgres.stop_immediate().await,
        }
    }

    pub(crate) async fn start_again(&self) {
        match self {
            Self::Redis(redis) => redis.start_again().await,
            Self::Postgres(postgres) => postgres.start_again().await,
        }
    }

    /// Whether what it had is there after [`start_again`](Self::start_again).
    pub(crate) fn keeps_its_data(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

impl Cluster {
    /// That many nodes, with sessions and broker in the engine, once all are up.
    pub(crate) async fn start(kind: Kind, nodes: usize) -> Self {
        Self::start_with(kind, nodes, &[]).await
    }

    /// The same with more flags.
    pub(crate) async fn start_with(kind: Kind, nodes: usize, flags: &[&str]) -> Self {
        let engine = Engine::start(kind).await;
        let mut links = Vec::new();
        for _ in 0..nodes {
            links.push(Proxy::start_for_port(engine.port()).await);
        }
        let flags = links.iter().map(|link| {
            let url = engine.url_at(link.port());
            let own = ["--broker", &url, "--sessions", &url];
            own.iter()
                .chain(flags)
                .map(|&flag| flag.to_owned())
                .collect()
        });
        let users: Vec<_> = (0..nodes)
            .flat_map(|node| ('a'..='h').map(move |letter| user(node, letter)))
            .collect();
        let guilds: &[&str] = &[GUILD];
        let users: Vec<_> = users.iter().map(|user| (user.as_str(), guilds)).collect();
        let fleet = Fleet::start(flags.collect(), &users);
        let cluster = Self {
            engine,
            links,
            fleet,
        };
        for node in 0..nodes {
            cluster.wait_for_all(node).await;
        }
        cluster
    }

    /// Gives users the session that they had, in an engine that has lost it.
    pub(crate) fn restore<'a>(&self, users: impl IntoIterator<Item = &'a str>) {
        let session = json!({"guilds": [{"id": GUILD}]}).to_string();
        for user in users {
            self.sessions(&["put", user, &session]);
        }
    }

    /// Edits the sessions in the engine, as an operator does, and gives what that prints.
    pub(crate) fn sessions(&self, args: &[&str]) -> String {
        let url = self.engine.url_at(self.engine.port());
        let args = [&["--sessions", &url, "sessions"], args].concat();
        let ended = self.fleet.run(&args);
        let (printed, errors) = (
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr),
        );
        assert!(ended.status.success(), "{args:?}: {printed}{errors}");
        assert!(!errors.contains(PASSWORD), "{errors}");
        printed.into_owned()
    }

    /// Waits until a node says that its broker is there, or not.
    pub(crate) async fn wait_for_broker(&self, node: usize, up: bool) {
        self.wait_for_subsystem("broker", node, up).await;
    }

    /// Waits until a node says that all of its subsystems are there.
    pub(crate) async fn wait_for_all(&self, node: usize) {
        for subsystem in ["broker", "sessions"] {
            self.wait_for_subsystem(subsystem, node, true).await;
        }
    }

    async fn wait_for_subsystem(&self, subsystem: &str, node: usize, up: bool) {
        let expected = if up { "ok" } else { "down" };
        let deadline = Instant::now() + STATUS;
        loop {
            let (code, status) = self.fleet.node(node).status().await;
            let state = &status["subsystems"][subsystem];
            if state == expected && (up || code == 503) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "node {node} says {code} {status}:\n{}",
                self.fleet.node(node).output()
            );
            sleep(LOOK).await;
        }
    }

    /// Whether a node has said that it missed something.
    pub(crate) fn has_gap(&self, node: usize) -> bool {
        let output = self.fleet.node(node).output();
        GAPS.iter().any(|gap| output.contains(gap))
    }

    /// Nobody missed anything, and no secret was written.
    pub(crate) fn assert_no_gap(&self) {
        for number in 0..self.fleet.nodes().len() {
            let output = self.fleet.node(number).output();
            assert!(!self.has_gap(number), "node {number} has a gap:\n{output}");
        }
        self.assert_clean();
    }

    pub(crate) fn assert_clean(&self) {
        self.fleet.assert_clean(&[PASSWORD]);
    }
}
