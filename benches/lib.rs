//! Shared helpers of the benches: what is sent, to whose server, and for how long it is measured.

mod in_process;
mod loopback;

use std::time::Duration;

use async_trait::async_trait;
use criterion::Criterion;
use serde_json::{Value, json};
use slimy_rt::{
    NodeId, Room, UserId,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    events::Namespace,
    protocol::EventData,
    server::{Config, Server},
};
use slimy_rt_backends::{
    postgres::{Postgres, PostgresConfig},
    redis::{Redis, RedisConfig},
};
use tokio::runtime::{Builder, Runtime};

pub use self::{
    in_process::{Emptying, InProcess},
    loopback::{Loopback, raise_open_files},
};

/// The variable that names a database of Postgres, which may be thrown away: what the benches put into it stays.
const POSTGRES: &str = "BENCH_POSTGRES_URL";
/// The variable that names a Redis, which may be thrown away: what the benches put into it stays.
const REDIS: &str = "BENCH_REDIS_URL";

/// Criterion with shorter times than its own, so that all benches together take minutes. The command line has the last word.
#[must_use]
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

/// A runtime on this thread alone, so that what is measured does not wait for another to wake.
#[must_use]
pub fn one_thread() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// Postgres, if one is named, with a schema that nobody else has.
///
/// # Panics
/// When its URL is none.
#[must_use]
pub fn postgres() -> Option<Postgres> {
    let url = std::env::var(POSTGRES).ok()?;
    // Some characters of an id are not legal in a schema.
    let schema = format!("bench_{}", NodeId::random()).replace('-', "_");
    let config = PostgresConfig::new(&url).and_then(|config| config.schema(&schema));
    Some(Postgres::new(config.expect(POSTGRES)))
}

/// Redis, if one is named, with a prefix that nobody else has.
///
/// # Panics
/// When its URL is none.
#[must_use]
pub fn redis() -> Option<Redis> {
    let url = std::env::var(REDIS).ok()?;
    let config = RedisConfig::new(&url).and_then(|config| {
        // Some characters of an id, which are legal in a prefix.
        config.prefix(&format!("bench-{}", NodeId::random()))
    });
    Some(Redis::new(config.expect(REDIS)))
}

/// A runtime whose tasks go on while nobody waits: what keeps a node of a cluster alive.
#[must_use]
pub fn two_threads() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.expect("a runtime")
}

/// What a chat server sends for a line of `text` bytes.
#[must_use]
pub fn chat(text: usize) -> Value {
    json!({
        "messageId": "1f6a0c1e-7a0d-4f4e-9d0b-2d1f7f3b9a11",
        "guildId": "1176605506912141444",
        "adminOnly": false,
        "text": "x".repeat(text),
        "ts": "2026-11-22T18:00:00.000Z",
        "from": {"id": "u1", "name": "Alice", "role": "member", "color": "#3b82f6"},
    })
}

/// The same as an event.
#[must_use]
pub fn event(text: usize) -> EventData {
    EventData::new("chat:message", &chat(text)).expect("JSON serialises")
}

/// One of the rooms that members are in.
#[must_use]
pub fn room(number: usize) -> Room {
    Room::parse(&format!("bench:{number}")).expect("a room's name")
}

/// Everyone may come: the rooms are what is measured.
#[derive(Debug)]
struct Anyone;

#[async_trait]
impl Authenticator for Anyone {
    async fn authenticate(&self, _: &Handshake) -> Result<Identity, AuthError> {
        let id = UserId::parse("bench")?;
        Ok(Identity::new(User::new(id, Role::Member)))
    }
}

/// A server with this namespace that sends no heartbeat while it is measured: the clients here answer none.
fn server(namespace: Namespace) -> Server {
    let config = Config {
        ping_interval: Duration::from_secs(3600),
        ..Config::default()
    };
    Server::builder(Anyone)
        .config(config)
        .namespace(namespace)
        .build()
        .expect("a server")
}
