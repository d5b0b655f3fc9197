//! What is in the tables, for those who look into them and write there.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use slimy_rt::{
    GuildId, TokenId, UserId,
    broker::RoomBroker,
    metrics::MetricsSource,
    session::{Claim, Expiry, Guild, Session, SessionEvent, SessionStore},
};
use slimy_rt_backends::postgres::{
    MAX_CHANGES, PostgresBroker, PostgresMetrics, PostgresSessionStore, PostgresTokens,
};

use super::{Engine, node::to_room, start};

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

#[tokio::test]
async fn an_operator_writes_sessions_in_sql_and_servers_follow() {
    let engine = Engine::start().await;
    let store = PostgresSessionStore::new(&engine.client());
    let mut changes = store.watch().await.unwrap();
    let saved = r#"{"guilds": [{"id": 1176605506912141444, "roles": ["a"]}], "role": "owner"}"#;
    engine
        .sql(&format!(
            "SELECT slimy_rt.save_session('u', '{saved}', NULL)"
        ))
        .await;
    assert_eq!(changes.next().await, Some(SessionEvent::Saved(user("u"))));
    let session = store.load(&user("u")).await.unwrap().unwrap();
    assert!(session.has_guild("1176605506912141444") && session.role.unwrap().is_admin());
    engine.sql("SELECT slimy_rt.deny('t', NULL)").await;
    let token = TokenId::parse("t").unwrap();
    assert_eq!(
        changes.next().await,
        Some(SessionEvent::Denied(token.clone()))
    );
    assert!(store.is_denied(&token).await.unwrap());
    let deleted = engine.sql("SELECT slimy_rt.delete_session('u')").await;
    assert_eq!(deleted, "t");
    assert_eq!(changes.next().await, Some(SessionEvent::Deleted(user("u"))));

    engine
        .sql("SELECT slimy_rt.save_session('u', '{\"guilds\": 7}', NULL)")
        .await;
    let error = store.load(&user("u")).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
}

#[tokio::test]
async fn what_has_expired_is_swept() {
    let engine = Engine::start().await;
    let postgres = engine.client();
    let store = PostgresSessionStore::new(&postgres);
    let node = start(&postgres).await;
    let (short, long) = (Duration::ZERO, Duration::from_secs(3600));
    let session = Session::new(vec![Guild::new(GuildId::parse("g").unwrap())]);
    let guild = GuildId::parse("g").unwrap();
    for (id, life) in [("gone", short), ("stays", long)] {
        let id_of_user = user(id);
        let expiry = Expiry::In(life);
        store.save(&id_of_user, &session, expiry).await.unwrap();
        let claim = Claim::new(&guild, id, &id_of_user, 1, life);
        store.claim(&claim).await.unwrap();
        node.broker.save_recovery(id, b"state", life).await.unwrap();
    }
    store
        .save(&user("for ever"), &session, Expiry::Never)
        .await
        .unwrap();
    for (id, until) in [
        ("gone", SystemTime::UNIX_EPOCH),
        ("stays", SystemTime::now()),
    ] {
        let token = TokenId::parse(id).unwrap();
        store.deny(&token, until).await.unwrap();
    }
    let tokens = PostgresTokens::new(&postgres);
    let alice = slimy_rt::auth::User::new(user("alice"), slimy_rt::auth::Role::Member);
    for life in [short, long] {
        tokens.issue(&alice, life).await.unwrap();
    }
    engine
        .sql("INSERT INTO slimy_rt.messages (to_node, from_node, request, is_answer) VALUES ('nobody', 'n', 'r', false)")
        .await;
    let rows = "SELECT (SELECT count(*) FROM slimy_rt.sessions), (SELECT count(*) FROM slimy_rt.claims), (SELECT count(*) FROM slimy_rt.recovery),
        (SELECT count(*) FROM slimy_rt.denied), (SELECT count(*) FROM slimy_rt.tokens), (SELECT count(*) FROM slimy_rt.messages)";
    assert_eq!(engine.sql(rows).await, "3|2|2|2|2|1");
    engine
        .sql("SELECT slimy_rt.sweep(100, 10000, '1 min', '1 hour')")
        .await;
    assert_eq!(
        engine.sql(rows).await,
        "2|1|1|1|2|1",
        "tokens and messages are kept for a while"
    );
    engine
        .sql("SELECT slimy_rt.sweep(100, 10000, '0', '0')")
        .await;
    assert_eq!(engine.sql(rows).await, "2|1|1|1|1|0");
    assert!(store.load(&user("stays")).await.unwrap().is_some());
}

#[tokio::test]
async fn changes_are_bounded_and_whoever_is_behind_is_told_so() {
    let engine = Engine::start().await;
    let store = PostgresSessionStore::new(&engine.client());
    let mut changes = store.watch().await.unwrap();
    engine.proxy.cut().await;
    let many = format!(
        "SELECT slimy_rt.tell(1, 'u') FROM generate_series(1, {})",
        MAX_CHANGES + 500
    );
    engine.sql(&many).await;
    let sweep = format!("SELECT slimy_rt.sweep(2000, {MAX_CHANGES}, '1 min', '1 hour')");
    assert_eq!(engine.sql(&sweep).await, "500");
    let kept = engine.sql("SELECT count(*) FROM slimy_rt.changes").await;
    assert_eq!(kept, MAX_CHANGES.to_string());
    engine.proxy.heal().await;
    assert_eq!(changes.next().await, Some(SessionEvent::Missed));
    // One that is not further behind than that is told everything.
    for _ in 0..2 {
        engine.proxy.cut().await;
        engine
            .sql("SELECT slimy_rt.tell(1, 'v' || n) FROM generate_series(1, 1000) n")
            .await;
        engine.proxy.heal().await;
        for n in 1..=1000 {
            let expected = SessionEvent::Saved(user(&format!("v{n}")));
            assert_eq!(changes.next().await, Some(expected));
        }
    }
}

#[tokio::test]
async fn schemas_share_nothing() {
    let engine = Engine::start().await;
    let (one, two) = (engine.client_of("one"), engine.client_of("Two_2"));
    let (first, second) = (
        PostgresSessionStore::new(&one),
        PostgresSessionStore::new(&two),
    );
    let mut changes = second.watch().await.unwrap();
    let session = Session::default();
    first
        .save(&user("u"), &session, Expiry::Never)
        .await
        .unwrap();
    assert_eq!(second.load(&user("u")).await.unwrap(), None);
    second
        .save(&user("v"), &session, Expiry::Never)
        .await
        .unwrap();
    assert_eq!(changes.next().await, Some(SessionEvent::Saved(user("v"))));

    let nodes = [start(&one).await, start(&two).await, start(&two).await];
    assert_eq!((nodes[0].nodes().await, nodes[1].nodes().await), (0, 1));
    let here = nodes[0].publish(&[to_room("room", "one")]).await;
    let there = nodes[1].publish(&[to_room("room", "two")]).await;
    nodes[0].received(&here).await;
    nodes[2].received(&there).await;
    assert_eq!(nodes[2].told().publications.len(), 1);
    assert_eq!(nodes[0].told().publications.len(), 1);
    let schemas = "SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace WHERE nspname IN ('one', 'Two_2', 'slimy_rt')";
    assert_eq!(engine.sql(schemas).await, "Two_2 one");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_at_once_make_the_tables_once() {
    let engine = Engine::start().await;
    let clients: Vec<_> = (0..12).map(|_| engine.client()).collect();
    let starting = clients.iter().map(|client| client.ready());
    for ready in futures_util::future::join_all(starting).await {
        ready.unwrap();
    }
    let made = "SELECT count(*), count(DISTINCT version), max(version) FROM slimy_rt.migrations";
    assert_eq!(engine.sql(made).await, "6|6|6");
}

#[tokio::test]
async fn a_pool_of_one_connection_is_enough() {
    let engine = Engine::start().await;
    let postgres = slimy_rt_backends::postgres::Postgres::new(engine.config().max_connections(1));
    let (store, metrics) = (
        PostgresSessionStore::new(&postgres),
        PostgresMetrics::new(&postgres),
    );
    let node = super::Node::of(PostgresBroker::new(&postgres)).await;
    let calls = (0..20).map(async |i| {
        let id = user(&format!("u{i}"));
        store
            .save(&id, &Session::default(), Expiry::Never)
            .await
            .unwrap();
        metrics.count_message().await.unwrap();
        node.publish(&[to_room("room", "x")]).await
    });
    for published in futures_util::future::join_all(calls).await {
        node.received(&published).await;
    }
    assert_eq!(metrics.sample().await.unwrap().chat_messages, Some(20));
    assert_eq!(store.list(None, 99).await.unwrap().sessions.len(), 20);
}
