//! The memory backends keep the traits' contracts: bare, and behind `Arc<dyn …>` and `Box<dyn …>`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, header::AUTHORIZATION};
use slimy_rt::{
    GuildId, UserId,
    auth::{Authenticator, Handshake, Identity, Role, User},
    broker::RoomBroker,
    conformance::{
        Failures, Report,
        authenticator::{self, Candidate, Refusal},
        broker::{self, BrokerFactory},
        metrics::{self, MetricsFactory},
        session_store::{self, SessionStoreFactory},
    },
    metrics::{MetricsSource, ProcessMetrics},
    session::SessionStore,
};
use slimy_rt_backends::memory::{MemoryBroker, MemoryMetrics, MemorySessionStore, StaticTokens};

/// Fails unless exactly these clauses do not apply.
fn holds_but_for(result: Result<Report, Failures>, expected: &[&str]) {
    let report = result.unwrap();
    let others = report.not_applicable.iter();
    let names: Vec<&str> = others.map(|other| other.clause.name).collect();
    assert_eq!(names, expected, "{report}");
}

struct Sessions;

impl SessionStoreFactory for Sessions {
    type Store = MemorySessionStore;

    async fn create(&self) -> MemorySessionStore {
        MemorySessionStore::new()
    }

    async fn reopen(&self, store: &MemorySessionStore) -> Option<MemorySessionStore> {
        Some(store.clone())
    }
}

/// Memory ends with the process.
const RESTARTS: [&str; 2] = ["restarted-loads", "restarted-denies"];
/// Memory cannot be away.
const SESSION_OUTAGES: [&str; 3] = ["outage-is-error", "outage-ends", "outage-watch"];

#[tokio::test(flavor = "multi_thread")]
async fn sessions() {
    let expected = [&RESTARTS[..], &SESSION_OUTAGES].concat();
    holds_but_for(session_store::check(Sessions).await, &expected);
}

#[tokio::test]
async fn sessions_behind_a_pointer() {
    let arc = || async { Arc::new(MemorySessionStore::new()) as Arc<dyn SessionStore> };
    let boxed = || async { Box::new(MemorySessionStore::new()) as Box<dyn SessionStore> };
    let (arc, boxed) = tokio::join!(session_store::check(arc), session_store::check(boxed));
    let [loads, denies] = RESTARTS;
    let one_handle = [
        "reopened-loads",
        loads,
        "reopened-denies",
        denies,
        "watch-from-now-reopened",
        "watch-reopened",
        "claim-reopened",
        "concurrent-reopened",
    ];
    let expected = [&one_handle[..], &SESSION_OUTAGES].concat();
    holds_but_for(arc, &expected);
    holds_but_for(boxed, &expected);
}

struct Brokers;

impl BrokerFactory for Brokers {
    type Cluster = MemoryBroker;
    type Broker = MemoryBroker;

    async fn cluster(&self) -> MemoryBroker {
        MemoryBroker::new()
    }

    async fn node(&self, cluster: &MemoryBroker) -> Option<MemoryBroker> {
        Some(cluster.node())
    }
}

struct BrokersBehindAPointer;

impl BrokerFactory for BrokersBehindAPointer {
    type Cluster = MemoryBroker;
    type Broker = Arc<dyn RoomBroker>;

    async fn cluster(&self) -> MemoryBroker {
        MemoryBroker::new()
    }

    async fn node(&self, cluster: &MemoryBroker) -> Option<Arc<dyn RoomBroker>> {
        Some(Arc::new(Box::new(cluster.node()) as Box<dyn RoomBroker>))
    }
}

/// Memory cannot be away, and its log ends with the process.
const BROKER_OUTAGES: [&str; 8] = [
    "outage-is-error",
    "outage-health",
    "outage-retried",
    "outage-request",
    "outage-requests-again",
    "outage-history",
    "lost-log-is-gone",
    "lost-log-is-told",
];

#[tokio::test(flavor = "multi_thread")]
async fn brokers() {
    holds_but_for(broker::check(Brokers).await, &BROKER_OUTAGES);
}

#[tokio::test]
async fn brokers_behind_a_pointer() {
    holds_but_for(broker::check(BrokersBehindAPointer).await, &BROKER_OUTAGES);
}

#[tokio::test]
async fn a_broker_of_one_node() {
    let report = broker::check(|| async { MemoryBroker::new() })
        .await
        .unwrap();
    let others = report.not_applicable.iter();
    assert!(
        others.clone().any(|other| other.clause.name == "one-order"),
        "{report}"
    );
    for other in others {
        let offered = other.reason.contains("offer");
        assert!(offered, "{}: {}", other.clause.name, other.reason);
    }
}

const TOKENS: [&str; 3] = [
    "a long and random text",
    "another long and random text",
    "a text whose time is over",
];

fn candidate() -> Candidate<StaticTokens> {
    let user = |id: &str| UserId::parse(id).unwrap();
    let identity = |id: &str| Identity::new(User::new(user(id), Role::Member));
    let now = SystemTime::now();
    let tokens = StaticTokens::new()
        .with(TOKENS[0], identity("alice"))
        .and_then(|tokens| {
            tokens.with(
                TOKENS[1],
                identity("bob").expires_at(now + Duration::from_secs(60)),
            )
        })
        .and_then(|tokens| tokens.with(TOKENS[2], identity("eve").expires_at(now)))
        .unwrap();
    let bearer = |token: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        Handshake::builder(&headers, [127, 0, 0, 1].into()).build()
    };
    let payload = |token: &str| Handshake::default().with_auth(serde_json::json!({"token": token}));
    Candidate::new(tokens)
        .accepts(bearer(TOKENS[0]), user("alice"), TOKENS[0])
        .accepts(payload(TOKENS[0]), user("alice"), TOKENS[0])
        .accepts(payload(TOKENS[1]), user("bob"), TOKENS[1])
        .refuses(bearer(TOKENS[2]), Refusal::Expired, TOKENS[2])
        .refuses(
            payload("nobody's token"),
            Refusal::Invalid,
            "nobody's token",
        )
        .refuses(bearer(""), Refusal::Missing, "")
}

#[tokio::test(flavor = "multi_thread")]
async fn authenticators() {
    let result = authenticator::check(|| async { candidate() }).await;
    holds_but_for(result, &["outage-is-unavailable"]);
}

#[tokio::test]
async fn authenticators_behind_a_pointer() {
    let report = authenticator::check(|| async {
        candidate().map(|tokens| Arc::new(tokens) as Arc<dyn Authenticator>)
    });
    holds_but_for(report.await, &["outage-is-unavailable"]);
    let report = authenticator::check(|| async {
        candidate().map(|tokens| Box::new(tokens) as Box<dyn Authenticator>)
    });
    holds_but_for(report.await, &["outage-is-unavailable"]);
}

struct Counters;

impl MetricsFactory for Counters {
    type Source = MemoryMetrics;

    async fn create(&self) -> MemoryMetrics {
        MemoryMetrics::new()
    }

    async fn happen(&self, source: &MemoryMetrics) -> bool {
        source.count_message();
        source.count_upload(&GuildId::parse("g").unwrap());
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters() {
    holds_but_for(metrics::check(Counters).await, &["outage-is-no-zero"]);
}

#[tokio::test]
async fn sources_behind_a_pointer() {
    let sources = [
        Arc::new(MemoryMetrics::new()) as Arc<dyn MetricsSource>,
        #[cfg(target_os = "linux")]
        Arc::new(ProcessMetrics::new()),
    ];
    for source in sources {
        let result = metrics::check(move || {
            let source = Box::new(Arc::clone(&source)) as Box<dyn MetricsSource>;
            async move { source }
        });
        holds_but_for(result.await, &["happenings-counted", "outage-is-no-zero"]);
    }
}
