//! What a server that refuses says: the cause and the setting, and never a secret.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use slimy_rt::{
    UserId,
    broker::{Health, RoomBroker},
    session::{Expiry, Session, SessionError, SessionStore},
};
use slimy_rt_backends::postgres::{
    MAX_SESSION_BYTES, Postgres, PostgresBroker, PostgresConfig, PostgresError,
    PostgresSessionStore,
};
use slimy_rt_test_engines::Postgres as Server;

use super::{Engine, Place, eventually, node::to_room, start};

const SECRET: &str = "hunter2";

fn client(url: &str) -> Postgres {
    Postgres::new(PostgresConfig::new(url).unwrap())
}

/// All that an operator can read of an error.
fn shown(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    let shown = format!("{text} {error:?}");
    assert!(!shown.contains(SECRET), "a secret is shown");
    text
}

/// Fails unless the error says to come back, or not to, and names this.
fn says(error: &PostgresError, is_retryable: bool, names: &[&str]) {
    let text = shown(error);
    assert_eq!(error.is_retryable(), is_retryable, "{text}");
    for name in names {
        assert!(text.contains(name), "{name}: {text}");
    }
}

/// Fails unless the client is not let in, and says why.
async fn refused(url: &str, names: &[&str]) {
    let postgres = client(url);
    assert!(!format!("{postgres:?}").contains(SECRET));
    says(&postgres.ready().await.unwrap_err(), true, names);
    // The traits say the same.
    let error = PostgresSessionStore::new(&postgres).list(None, 9).await;
    let error = error.unwrap_err();
    assert!(error.is_retryable() && shown(&error).contains(names[0]));
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why() {
    let server = Server::builder().password(SECRET).start().await;
    let port = server.port();
    client(&server.url("postgres")).ready().await.unwrap();
    for user in ["postgres:wrong", "postgres", "nobody:wrong"] {
        let url = format!("postgres://{user}@127.0.0.1:{port}/postgres");
        refused(&url, &["password", "PGPASSWORD", "PGPASSFILE"]).await;
    }
    refused(&server.url("missing"), &["no such database", "`/database`"]).await;
    server
        .psql("CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 0")
        .await;
    let few = format!("postgres://few:few@127.0.0.1:{port}/postgres");
    refused(&few, &["no connection left", "max_connections"]).await;
    server.kill().await;
    let began = Instant::now();
    refused(&server.url("postgres"), &["cannot be reached"]).await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "it is refused at once"
    );
}

#[tokio::test]
async fn tls_is_asked_for_and_checked() {
    let server = Server::builder().tls().start().await;
    let url = |parameters: &str| format!("{}?{parameters}", server.url("postgres"));
    let authority = server.certificates().authority().display().to_string();
    let checked = url(&format!("sslmode=verify-full&sslrootcert={authority}"));
    let clients = [client(&checked), client(&url("sslmode=require"))];
    for client in &clients {
        client.ready().await.unwrap();
    }
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL";
    assert_eq!(server.psql(encrypted).await, "t");
    drop(clients);
    let names = ["TLS", "`sslrootcert`"];
    refused(&url("sslmode=verify-full"), &names).await;

    let plain = Server::shared().await;
    let required = format!("{}?sslmode=require", plain.url("postgres"));
    refused(&required, &["TLS", "`sslmode`"]).await;
}

#[tokio::test]
async fn tables_that_are_missing_newer_or_changed() {
    let engine = Engine::start().await;
    let looking = || Postgres::new(engine.config().migrate(false));
    let error = looking().ready().await.unwrap_err();
    says(&error, true, &["`slimy_rt`", "`migrate`"]);
    let made = "SELECT count(*) FROM pg_namespace WHERE nspname = 'slimy_rt'";
    assert_eq!(engine.sql(made).await, "0", "it only looked");
    engine.client().ready().await.unwrap();
    looking().ready().await.unwrap();
    for (sql, names) in [
        (
            "INSERT INTO slimy_rt.migrations VALUES (7, 'next', '')",
            ["newer", "7", "`schema`"],
        ),
        (
            "DELETE FROM slimy_rt.migrations WHERE version = 7; UPDATE slimy_rt.migrations SET checksum = 'x' WHERE version = 3",
            ["migration 3", "changed", "`schema`"],
        ),
    ] {
        engine.sql(sql).await;
        says(&engine.client().ready().await.unwrap_err(), true, &names);
        says(&looking().ready().await.unwrap_err(), true, &names);
    }
    // One that was there before goes on, and so does one that comes when it was put right.
    engine
        .sql("DELETE FROM slimy_rt.migrations WHERE version >= 3")
        .await;
    says(
        &looking().ready().await.unwrap_err(),
        true,
        &["2 of", "`migrate`"],
    );
}

#[tokio::test]
async fn a_read_only_database_takes_nothing_until_it_is_writable() {
    let engine = Engine::start().await;
    let set = |value: &str| {
        format!(
            "BEGIN READ WRITE; ALTER DATABASE {} SET default_transaction_read_only = {value}; COMMIT",
            engine.database
        )
    };
    engine.sql(&set("on")).await;
    let names = ["read-only", "default_transaction_read_only", "primary"];
    says(&engine.client().ready().await.unwrap_err(), true, &names);
    engine.sql(&set("off")).await;
    let node = start(&engine.client()).await;
    engine.sql(&set("on")).await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    engine.sql(end).await;
    let late = [node.publication(to_room("room", "late"))];
    eventually("it says so", async || {
        let error = node.broker.publish(&late).await.unwrap_err();
        assert!(error.is_retryable());
        shown(&error).contains("read-only")
    })
    .await;
    eventually("the node is down", async || {
        node.told().health.last() == Some(&Health::Down)
    })
    .await;
    let store = PostgresSessionStore::new(&engine.client());
    let user = UserId::parse("u").unwrap();
    assert_eq!(store.load(&user).await.unwrap(), None, "reading goes on");
    let error = store.save(&user, &Session::default(), Expiry::Never).await;
    assert!(shown(&error.unwrap_err()).contains("read-only"));
    engine.sql(&set("off")).await;
    engine.sql(end).await;
    eventually("it is published", async || {
        node.broker.publish(&late).await.is_ok()
    })
    .await;
    node.received(&late).await;
    eventually("the node is up", async || {
        node.told().health.last() == Some(&Health::Up)
    })
    .await;
    assert!(node.told().gaps.is_empty());
}

#[tokio::test]
async fn a_user_without_privileges_is_told_which() {
    let engine = Engine::at(Place::Own(Box::new(Server::start().await))).await;
    engine.sql("CREATE ROLE chat LOGIN").await;
    let config = || {
        let url = format!(
            "postgres://chat@127.0.0.1:{}/{}",
            engine.server.port(),
            engine.database
        );
        PostgresConfig::new(&url).unwrap()
    };
    let postgres = Postgres::new(config());
    let error = postgres.ready().await.unwrap_err();
    says(&error, true, &["GRANT CREATE ON DATABASE", "`migrate`"]);
    // Somebody else makes the tables, and grants what the documentation lists, one after the other.
    engine.direct().ready().await.unwrap();
    let postgres = Postgres::new(config().migrate(false));
    let store = PostgresSessionStore::new(&postgres);
    let broker = PostgresBroker::new(&postgres);
    let user = UserId::parse("u").unwrap();
    for grant in [
        "SELECT",
        "GRANT USAGE ON SCHEMA slimy_rt TO chat",
        "GRANT SELECT ON ALL TABLES IN SCHEMA slimy_rt TO chat",
    ] {
        engine.sql(grant).await;
        let error = store.save(&user, &Session::default(), Expiry::Never).await;
        let error = error.unwrap_err();
        let text = shown(&error);
        assert!(
            error.is_retryable() && text.contains("privilege"),
            "{grant}: {text}"
        );
    }
    engine
        .sql("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA slimy_rt TO chat; REVOKE INSERT, UPDATE, DELETE ON slimy_rt.migrations FROM chat")
        .await;
    store
        .save(&user, &Session::default(), Expiry::Never)
        .await
        .unwrap();
    let node = super::Node::of(broker).await;
    let other = super::Node::of(PostgresBroker::new(&postgres)).await;
    let published = node.publish(&[to_room("room", "x")]).await;
    other.received(&published).await;
    assert_eq!(node.nodes().await, 1, "requests and answers go both ways");
    engine
        .sql("SET ROLE chat; SELECT slimy_rt.sweep(9, 9, '0', '0'), slimy_rt.trim_log(0, 0, 9)")
        .await;
    // The owner of an empty schema makes the tables without more.
    engine.sql("CREATE SCHEMA own AUTHORIZATION chat").await;
    let own = Postgres::new(config().schema("own").unwrap());
    own.ready().await.unwrap();
}

#[tokio::test]
async fn a_database_of_another_encoding() {
    let engine = Engine::start().await;
    engine
        .sql("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        .await;
    let error = client(&engine.server.url("latin")).ready().await;
    says(&error.unwrap_err(), false, &["LATIN1", "UTF8"]);
}

#[tokio::test]
async fn what_is_too_large_or_unreadable() {
    let engine = Engine::start().await;
    let store = PostgresSessionStore::new(&engine.client());
    let user = UserId::parse("u").unwrap();
    let guild = slimy_rt::GuildId::parse("g").unwrap();
    let guild = slimy_rt::session::Guild::new(guild).name("x".repeat(MAX_SESSION_BYTES));
    let large = Session::new(vec![guild]);
    let error = store.save(&user, &large, Expiry::Never).await.unwrap_err();
    assert!(matches!(error, SessionError::Invalid(_)), "{error}");

    let node = start(&engine.client()).await;
    let other = start(&engine.client()).await;
    engine
        .sql("SELECT slimy_rt.publish('n', '{1}', '{-1}', '{\\x63}', false)")
        .await;
    engine
        .sql("INSERT INTO slimy_rt.messages (to_node, from_node, request, is_answer, body) SELECT node, 'n', 'r', false, 'what' FROM slimy_rt.nodes")
        .await;
    let next = node.publish(&[to_room("room", "next")]).await;
    for node in [&node, &other] {
        node.received(&next).await;
        assert_eq!(
            node.told().gaps.len(),
            1,
            "what cannot be read is owned up to"
        );
    }
    assert_eq!(node.nodes().await, 1, "requests go on");
}
