//! What a server that refuses says: the cause and the setting, and never a secret.

use std::{
    error::Error,
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use slimy_rt::{
    UserId,
    auth::{Role, User},
    broker::{Health, RoomBroker},
    session::{Expiry, Session, SessionError, SessionStore},
};
use slimy_rt_backends::redis::{
    MAX_SESSION_BYTES, Redis, RedisBroker, RedisConfig, RedisError, RedisSessionStore, RedisTokens,
};
use slimy_rt_test_engines::Redis as Server;

use super::{eventually, node::to_room, start};

const SECRET: &str = "hunter2";
const HOUR: Duration = Duration::from_secs(3600);

fn client(url: &str) -> Redis {
    Redis::new(RedisConfig::new(url).unwrap())
}

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
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
fn says(error: &RedisError, is_retryable: bool, names: &str) {
    let text = shown(error);
    assert!(
        error.is_retryable() == is_retryable && text.contains(names),
        "{text}"
    );
}

async fn save(store: &RedisSessionStore, id: &str) -> Result<(), SessionError> {
    store
        .save(&user(id), &Session::default(), Expiry::Never)
        .await
}

/// A file that is gone after the test.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(text: &str) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let (process, number) = (std::process::id(), MADE.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(format!("slimy-rt-redis-{process}-{number}"));
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // The test has said what there was to say.
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn passwords() {
    let server = Server::builder().password(SECRET).start().await;
    client(&server.url()).ping().await.unwrap();
    let port = server.port();
    for login in ["", ":hunter22@", "nobody:hunter2@"] {
        let redis = client(&format!("redis://{login}127.0.0.1:{port}"));
        says(&redis.ping().await.unwrap_err(), true, "password");
        assert!(!format!("{redis:?}").contains(SECRET));
    }

    let file = TemporaryFile::new("hunter2\n");
    let without = || RedisConfig::new(&format!("redis://127.0.0.1:{port}")).unwrap();
    let config = without().password_file(&file.0).unwrap();
    Redis::new(config).ping().await.unwrap();
    fs::write(&file.0, "\n").unwrap();
    let error = without().password_file(&file.0).unwrap_err();
    says(&error, false, file.0.to_str().unwrap());
    let error = without().password_file("/nowhere/at/all").unwrap_err();
    says(&error, false, "/nowhere/at/all");

    let open = Server::start().await;
    let redis = client(&format!("redis://:{SECRET}@127.0.0.1:{}", open.port()));
    if let Err(error) = redis.ping().await {
        says(&error, true, "password");
    }
}

/// What the documentation says that a user needs.
const NEEDED: &str = "~{slimy-rt}:* resetchannels &{slimy-rt}:* -@all +@read +@write +eval +evalsha +script|load +multi +exec +publish +subscribe +unsubscribe +hello +time +info +ping +select";

#[tokio::test]
async fn permissions() {
    let acl = format!(
        "user enough on >{SECRET} {NEEDED}\nuser reads on >{SECRET} {NEEDED} -@write +evalsha +eval\nuser other on >{SECRET} ~other:* +@all"
    );
    let server = Server::builder().acl(acl).start().await;
    let of = |user: &str| {
        client(&format!(
            "redis://{user}:{SECRET}@127.0.0.1:{}",
            server.port()
        ))
    };

    let enough = of("enough");
    let (sessions, tokens) = (RedisSessionStore::new(&enough), RedisTokens::new(&enough));
    save(&sessions, "u").await.unwrap();
    assert_eq!(sessions.list(None, 9).await.unwrap().sessions.len(), 1);
    let issued = tokens
        .issue(&User::new(user("u"), Role::Member), HOUR)
        .await;
    assert!(tokens.revoke(&issued.unwrap()).await.unwrap());
    let (one, two) = (start(&enough).await, start(&enough).await);
    let published = one.publish(&[to_room("room", "x")]).await;
    two.received(&published).await;
    assert_eq!(one.nodes().await, 1);
    one.broker
        .save_recovery("key", b"state", HOUR)
        .await
        .unwrap();
    let state = two.broker.take_recovery("key").await.unwrap();
    assert_eq!(state.as_deref(), Some(&b"state"[..]));

    for redis in [of("reads"), of("other")] {
        let error = save(&RedisSessionStore::new(&redis), "u")
            .await
            .unwrap_err();
        let text = shown(&error);
        assert!(error.is_retryable() && text.contains("ACL"), "{text}");
    }
}

#[tokio::test]
async fn a_full_memory_ends_when_there_is_more() {
    let server = Server::builder().args(["--maxmemory", "3mb"]).start().await;
    let redis = client(&server.url());
    let sessions = RedisSessionStore::new(&redis);
    let node = start(&redis).await;
    save(&sessions, "first").await.unwrap();
    let fill = [
        "EVAL",
        "for i = 1, 300 do redis.pcall('SET', 'fill' .. i, string.rep('x', 10000)) end",
        "0",
    ];
    server.cli(&fill).await;
    let error = save(&sessions, "u").await.unwrap_err();
    let text = shown(&error);
    assert!(error.is_retryable() && text.contains("maxmemory"), "{text}");
    let load = sessions.load(&user("first")).await.unwrap();
    assert_eq!(load, Some(Session::default()));
    let health = || node.told().health.last().copied();
    eventually("the node is down", async || health() == Some(Health::Down)).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "100mb"]).await;
    eventually("the node is up", async || health() == Some(Health::Up)).await;
    save(&sessions, "u").await.unwrap();
}

#[tokio::test]
async fn a_replica_takes_no_writes_until_it_is_the_primary() {
    let (server, nobody) = (Server::start().await, Server::start().await);
    let redis = client(&server.url());
    let sessions = RedisSessionStore::new(&redis);
    let node = start(&redis).await;
    save(&sessions, "u").await.unwrap();
    let port = nobody.port().to_string();
    nobody.kill().await;
    server.cli(&["REPLICAOF", "127.0.0.1", &port]).await;
    let error = save(&sessions, "u").await.unwrap_err();
    let text = shown(&error);
    assert!(
        error.is_retryable() && text.contains("read-only replica"),
        "{text}"
    );
    let batch = [node.publication(to_room("room", "x"))];
    let error = node.broker.publish(&batch).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    // It can be read, but the node is not well before it can write again.
    let health = || node.told().health.last().copied();
    eventually("the node is down", async || health() == Some(Health::Down)).await;
    let changes = node.told().health.len();
    let reports = node.told().reports;
    eventually("it has read again and again", async || {
        node.told().reports > reports + 5
    })
    .await;
    assert_eq!(node.told().health.len(), changes, "no change");
    server.cli(&["REPLICAOF", "NO", "ONE"]).await;
    save(&sessions, "u").await.unwrap();
    node.broker.publish(&batch).await.unwrap();
    node.received(&batch).await;
    eventually("the node is up", async || health() == Some(Health::Up)).await;
}

#[tokio::test]
async fn a_server_that_cannot_save_says_so() {
    let server = Server::start().await;
    let directory = server.cli(&["CONFIG", "GET", "dir"]).await;
    // A file cannot take the place of a directory that has something in it.
    let in_the_way = PathBuf::from(directory.array()[1].text()).join("dump.rdb/x");
    fs::create_dir_all(&in_the_way).unwrap();
    server.cli(&["CONFIG", "SET", "save", "3600 1"]).await;
    server.cli(&["BGSAVE"]).await;
    eventually("saving fails", async || {
        let info = server.cli(&["INFO", "persistence"]).await;
        info.text().contains("rdb_last_bgsave_status:err")
    })
    .await;
    let sessions = RedisSessionStore::new(&client(&server.url()));
    let error = save(&sessions, "u").await.unwrap_err();
    let text = shown(&error);
    assert!(
        error.is_retryable() && text.contains("stop-writes-on-bgsave-error"),
        "{text}"
    );
    fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn keys_of_somebody_else() {
    let server = Server::start().await;
    let redis = client(&server.url());
    let sessions = RedisSessionStore::new(&redis);
    for key in ["users", "changes", "session:u", "log"] {
        let key = format!("{{slimy-rt}}:{key}");
        server.cli(&["RPUSH", &key, "x"]).await;
    }
    let error = sessions.load(&user("u")).await.unwrap_err();
    let refused = |error: &SessionError| matches!(error, SessionError::Invalid(text) if text.contains("prefix"));
    assert!(refused(&error), "{}", shown(&error));
    let error = save(&sessions, "v").await.unwrap_err();
    assert!(refused(&error), "{}", shown(&error));
    let error = RedisBroker::new(&redis).end().await.unwrap_err();
    assert!(shown(&error).contains("prefix"));
}

#[tokio::test]
async fn what_the_server_cannot_do() {
    let server = Server::builder()
        .args(["--rename-command", "GETDEL", ""])
        .start()
        .await;
    let node = start(&client(&server.url())).await;
    let error = node.broker.take_recovery("key").await.unwrap_err();
    let text = shown(&error);
    assert!(!error.is_retryable() && text.contains("6.2"), "{text}");

    let redis = client(&server.url_db(99));
    says(&redis.ping().await.unwrap_err(), false, "databases");

    server.cli(&["CONFIG", "SET", "maxclients", "1"]).await;
    let _takes_the_one = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
    let redis = client(&server.url());
    eventually("no further connection is taken", async || {
        redis
            .ping()
            .await
            .is_err_and(|error| shown(&error).contains("maxclients"))
    })
    .await;
}

#[tokio::test]
async fn sizes_and_what_cannot_be_read() {
    let server = Server::start().await;
    let sessions = RedisSessionStore::new(&client(&server.url()));
    let mut guild = slimy_rt::session::Guild::new(slimy_rt::GuildId::parse("g").unwrap());
    guild = guild.name("x".repeat(MAX_SESSION_BYTES));
    let large = Session::new(vec![guild]);
    let error = sessions.save(&user("u"), &large, Expiry::Never).await;
    assert!(matches!(error, Err(SessionError::Invalid(_))), "{error:?}");
    assert_eq!(sessions.load(&user("u")).await.unwrap(), None);
    server
        .cli(&["SET", "{slimy-rt}:session:u", "no JSON"])
        .await;
    let error = sessions.load(&user("u")).await.unwrap_err();
    assert!(matches!(error, SessionError::Backend(_)), "{error:?}");
}

#[tokio::test]
async fn databases_and_prefixes_share_nothing() {
    let server = Server::start().await;
    let with = |prefix: &str| {
        Redis::new(
            RedisConfig::new(&server.url())
                .unwrap()
                .prefix(prefix)
                .unwrap(),
        )
    };
    let places = [
        client(&server.url()),
        client(&server.url_db(2)),
        with("one"),
        with("one:x"),
    ];
    for (i, redis) in places.iter().enumerate() {
        save(&RedisSessionStore::new(redis), &format!("user {i}"))
            .await
            .unwrap();
    }
    for (i, redis) in places.iter().enumerate() {
        let page = RedisSessionStore::new(redis).list(None, 9).await.unwrap();
        let expected = [(user(&format!("user {i}")), Session::default())];
        assert_eq!(page.sessions, expected);
    }
    let nodes = [
        start(&places[0]).await,
        start(&places[1]).await,
        start(&places[2]).await,
        start(&places[3]).await,
    ];
    for node in &nodes {
        let own = node.publish(&[to_room("room", "x")]).await;
        node.received(&own).await;
    }
    for node in &nodes {
        assert_eq!(node.told().publications.len(), 1);
        assert_eq!(node.nodes().await, 0);
    }
}

#[tokio::test]
async fn tls() {
    let server = Server::builder().tls().password(SECRET).start().await;
    let authority = server.certificates().authority();
    let config = RedisConfig::new(&server.url_tls()).unwrap();
    let redis = Redis::new(config.clone().authority_file(authority).unwrap());
    redis.ping().await.unwrap();
    let (one, two) = (start(&redis).await, start(&redis).await);
    let published = one.publish(&[to_room("room", "x")]).await;
    two.received(&published).await;

    // The machine does not trust it.
    let error = Redis::new(config.clone()).ping().await.unwrap_err();
    says(&error, true, "authority_file");
    // It is for another host.
    let elsewhere = server.url_tls().replace("localhost", "127.0.0.2");
    let elsewhere = RedisConfig::new(&elsewhere).unwrap();
    let elsewhere = Redis::new(elsewhere.authority_file(authority).unwrap());
    let error = elsewhere.ping().await.unwrap_err();
    assert!(error.is_retryable(), "{}", shown(&error));
    // One side speaks TLS, and the other does not.
    let plain = server.url().replace("redis://", "rediss://");
    let plain = RedisConfig::new(&plain)
        .unwrap()
        .authority_file(authority)
        .unwrap();
    let error = Redis::new(plain).ping().await.unwrap_err();
    assert!(error.is_retryable(), "{}", shown(&error));
    let error = client(&server.url_tls().replace("rediss://", "redis://"))
        .ping()
        .await;
    assert!(error.is_err_and(|error| error.is_retryable()));

    let error = RedisConfig::new("redis://h")
        .unwrap()
        .authority_file(authority);
    says(&error.unwrap_err(), false, "rediss://");
    for (text, why) in [
        ("", "none"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "",
        ),
    ] {
        let file = TemporaryFile::new(text);
        let error = config.clone().authority_file(&file.0).unwrap_err();
        says(&error, false, file.0.to_str().unwrap());
        assert!(error.to_string().contains(why), "{error}");
    }
}
