//! What a session store takes for its calls, and what it takes to find out who connects.
//!
//! * `sessions/<backend>`: each method that a connect, a listing or a change needs, in a store of 10 and of 10,000 users in three guilds each. Elements are
//!   calls; of `list`, sessions. `save and be told`: from `save` until a watcher has the change. One caller at a time, on one thread;
//!   two for Redis and Postgres, which are measured when `BENCH_REDIS_URL` and `BENCH_POSTGRES_URL` name ones that may be thrown away.
//! * `authenticate`: from a handshake with a JWT in its cookie to an identity or a refusal: cookie, signature, claims. `authorize` adds what the
//!   server asks the store: whether the token is denied, and the user's session. Parsing HTTP and keeping its headers is not inside.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, SystemTime},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, header};
use slimy_rt::{
    GuildId, TokenId, UserId,
    auth::{Authenticator, Handshake, JwtAuthenticator, JwtConfig, Role, User},
    events::Namespace,
    server::Server,
    session::{Expiry, Guild, Session, SessionEvent, SessionStore},
};
use slimy_rt_backends::{
    memory::MemorySessionStore, postgres::PostgresSessionStore, redis::RedisSessionStore,
};
use slimy_rt_benches::{criterion, one_thread, postgres, redis, two_threads};
use tokio::runtime::Runtime;

const USERS: [usize; 2] = [10, 10_000];
/// The most sessions in a page of a listing.
const PAGE: usize = 100;
/// How long what is saved lives.
const HOUR: Duration = Duration::from_secs(3600);

fn backends(criterion: &mut Criterion) {
    let runtime = one_thread();
    for users in USERS {
        let store = MemorySessionStore::new();
        measure(criterion, "memory", &runtime, &store, users);
        if let Some(redis) = redis() {
            let store = RedisSessionStore::new(&redis);
            measure(criterion, "redis", &two_threads(), &store, users);
        }
        if let Some(postgres) = postgres() {
            let store = PostgresSessionStore::new(&postgres);
            measure(criterion, "postgres", &two_threads(), &store, users);
        }
    }
}

/// Measures an empty store.
fn measure(
    criterion: &mut Criterion,
    backend: &str,
    runtime: &Runtime,
    store: &dyn SessionStore,
    users: usize,
) {
    runtime.block_on(fill(store, users));
    let mut group = criterion.benchmark_group(format!("sessions/{backend}"));
    let (ids, session): (Vec<_>, _) = ((0..users).map(user).collect(), session());

    group.throughput(Throughput::Elements(1));
    let mut next = in_turn(&ids);
    group.bench_function(BenchmarkId::new("load", users), |b| {
        b.to_async(runtime).iter(|| {
            let user = next();
            async move { store.load(user).await.expect("a session") }
        });
    });
    let denied = token(users / 2);
    group.bench_function(BenchmarkId::new("is_denied", users), |b| {
        b.to_async(runtime)
            .iter(async || store.is_denied(&denied).await.expect("an answer"));
    });
    let mut next = in_turn(&ids);
    group.bench_function(BenchmarkId::new("save", users), |b| {
        b.to_async(runtime).iter(|| {
            let (user, session) = (next(), &session);
            async move {
                let saved = store.save(user, session, Expiry::In(HOUR)).await;
                saved.expect("room for a session");
            }
        });
    });

    let mut watch = runtime.block_on(store.watch()).expect("changes");
    let mut next = in_turn(&ids);
    group.bench_function(BenchmarkId::new("save and be told", users), |b| {
        b.iter(|| {
            let user = next();
            runtime.block_on(async {
                let saved = store.save(user, &session, Expiry::In(HOUR)).await;
                saved.expect("room for a session");
                let told = watch.next().await;
                assert!(matches!(told, Some(SessionEvent::Saved(saved)) if saved == *user));
            });
        });
    });

    let middle = &ids[users / 2 - 1];
    let rest = PAGE.min(users / 2);
    group.throughput(Throughput::Elements(rest as u64));
    group.bench_function(BenchmarkId::new("list", users), |b| {
        b.to_async(runtime).iter(async || {
            let page = store.list(Some(middle), PAGE).await.expect("a page");
            assert_eq!(page.sessions.len(), rest);
            page
        });
    });
    group.finish();
}

/// As many sessions as users, and as many denied tokens.
async fn fill(store: &dyn SessionStore, users: usize) {
    let (session, later) = (session(), SystemTime::now() + HOUR);
    for number in 0..users {
        let (user, token) = (user(number), token(number));
        let saved = store.save(&user, &session, Expiry::In(HOUR)).await;
        saved.expect("room for a session");
        let denied = store.deny(&token, later).await;
        denied.expect("room for a token");
    }
}

/// The users one after the other, but not as neighbours: nobody connects in the order of ids.
fn in_turn<'a>(users: &'a [UserId]) -> impl FnMut() -> &'a UserId {
    // A prime that divides neither number of users: all have their turn.
    const STEP: usize = 7_919;
    let mut number = 0;
    move || {
        number = (number + STEP) % users.len();
        &users[number]
    }
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user-{number:06}")).expect("a user's id")
}

fn token(number: usize) -> TokenId {
    TokenId::parse(&format!("token-{number:06}")).expect("a token's id")
}

fn session() -> Session {
    let guild = |number| {
        let id = format!("117660550691214144{number}");
        Guild::new(GuildId::parse(&id).expect("a guild's id")).name("a guild")
    };
    Session::new((0..3).map(guild).collect())
}

fn authenticate(criterion: &mut Criterion) {
    let runtime = one_thread();
    let mut group = criterion.benchmark_group("authenticate");
    let alice = User::new(user(0), Role::Member);
    let (old, new, other) = ([1; 32], [2; 32], [3; 32]);
    let authenticator = jwt(&[new, old]);
    for (name, signed_with, is_valid) in [
        ("valid", new, true),
        ("valid, by the second secret", old, true),
        ("forged", other, false),
    ] {
        let issued = jwt(&[signed_with]).issue(&alice, HOUR);
        let handshake = handshake(&authenticator, &issued.expect("a token"));
        group.bench_function(name, |b| {
            b.to_async(&runtime).iter(async || {
                let answer = authenticator.authenticate(black_box(&handshake)).await;
                assert_eq!(answer.is_ok(), is_valid);
                answer
            });
        });
    }

    let issued = authenticator.issue(&alice, HOUR).expect("a token");
    let handshake = handshake(&authenticator, &issued);
    let store = MemorySessionStore::new();
    let server = runtime.block_on(async {
        fill(&store, USERS[1]).await;
        let server = Server::builder(authenticator).sessions(store);
        server
            .namespace(Namespace::new("/"))
            .build()
            .expect("a server")
    });
    group.bench_function("authorize", |b| {
        b.to_async(&runtime).iter(async || {
            server
                .authorize(black_box(&handshake))
                .await
                .expect("Alice")
        });
    });
    group.finish();
}

fn jwt(secrets: &[[u8; 32]]) -> JwtAuthenticator {
    JwtConfig::new(secrets).build().expect("long secrets")
}

fn handshake(authenticator: &JwtAuthenticator, token: &str) -> Handshake {
    let cookie = format!("theme=dark; {}={token}", authenticator.cookie_name());
    let cookie = HeaderValue::from_str(&cookie).expect("a cookie");
    let headers = HeaderMap::from_iter([(header::COOKIE, cookie)]);
    Handshake::builder(&headers, IpAddr::V4(Ipv4Addr::LOCALHOST)).build()
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = backends, authenticate
}
criterion_main!(benches);
