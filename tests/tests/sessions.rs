//! Access follows the session store, and an outage is never taken for an answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use serde_json::json;
use slimy_rt::{
    GuildId, Room, TokenId, UserId,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    events::{Namespace, Socket},
    server::{Access, Config, Server},
    session::{Expiry, Guild, Session, SessionError, SessionPage, SessionStore, SessionWatch},
};
use slimy_rt_backends::memory::MemorySessionStore;
use slimy_rt_tests::{
    client::Client,
    node::{ByHeader, Node},
};

/// A store whose engine can be away, or have lost everything.
#[derive(Clone, Debug)]
struct Shaky {
    inner: MemorySessionStore,
    down: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
    slow: Arc<AtomicBool>,
}

impl Shaky {
    fn new() -> Self {
        Self {
            inner: MemorySessionStore::new(),
            down: Arc::default(),
            lost: Arc::default(),
            slow: Arc::default(),
        }
    }

    fn check(&self) -> Result<(), SessionError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(SessionError::Unavailable("the engine is down".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl SessionStore for Shaky {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, SessionError> {
        self.check()?;
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        if self.lost.load(Ordering::SeqCst) {
            return Ok(None);
        }
        self.inner.load(user).await
    }
    async fn save(&self, u: &UserId, s: &Session, e: Expiry) -> Result<(), SessionError> {
        self.inner.save(u, s, e).await
    }
    async fn delete(&self, user: &UserId) -> Result<bool, SessionError> {
        self.inner.delete(user).await
    }
    async fn list(&self, a: Option<&UserId>, limit: usize) -> Result<SessionPage, SessionError> {
        self.inner.list(a, limit).await
    }
    async fn deny(&self, token: &TokenId, until: SystemTime) -> Result<(), SessionError> {
        self.inner.deny(token, until).await
    }
    async fn is_denied(&self, token: &TokenId) -> Result<bool, SessionError> {
        self.check()?;
        self.inner.is_denied(token).await
    }
    async fn watch(&self) -> Result<SessionWatch, SessionError> {
        self.inner.watch().await
    }
}

fn guilds(ids: &[&str]) -> Session {
    Session::new(
        ids.iter()
            .map(|id| Guild::new(GuildId::parse(id).unwrap()))
            .collect(),
    )
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

async fn node(store: &Shaky) -> Node {
    let config = Config {
        admission_timeout: Duration::from_millis(500),
        ..Config::default()
    };
    let builder = Server::builder(ByHeader)
        .sessions(store.clone())
        .config(config);
    Node::start(builder.namespace(Namespace::new("/"))).await
}

/// Two clients of different users in one guild.
async fn two_members() -> (Shaky, Node, Client, Client) {
    let store = Shaky::new();
    for name in ["u", "v"] {
        store
            .save(&user(name), &guilds(&["1"]), Expiry::Never)
            .await
            .unwrap();
    }
    let node = node(&store).await;
    let (u, v) = (
        Client::join(node.addr, "u").await,
        Client::join(node.addr, "v").await,
    );
    (store, node, u, v)
}

fn tell(node: &Node, guild: &str, text: &str) {
    let room = Room::guild(&GuildId::parse(guild).unwrap());
    node.server
        .emitter("/")
        .unwrap()
        .to(room)
        .emit("told", text)
        .unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_answer_refuses_with_server_error() {
    let store = Shaky::new();
    store.down.store(true, Ordering::SeqCst);
    let node = node(&store).await;
    let mut client = Client::open(node.addr, "u").await;
    client.send("40").await;
    let refusal = r#"44{"message":"server_error","data":{"code":"server_error"}}"#;
    assert_eq!(client.text().await, refusal);
    // The transport stays open, and once the store is back the same client gets in.
    store.down.store(false, Ordering::SeqCst);
    client.send("40").await;
    let refusal = r#"44{"message":"no_guild_context","data":{"code":"no_guild_context"}}"#;
    assert_eq!(client.text().await, refusal);
    store
        .save(&user("u"), &guilds(&["1"]), Expiry::Never)
        .await
        .unwrap();
    client.send("40").await;
    assert!(client.text().await.starts_with("40{"));
}

#[tokio::test]
async fn guilds_that_come_and_go_move_the_sockets_of_their_user_only() {
    let (store, node, mut u, mut v) = two_members().await;
    store
        .save(&user("u"), &guilds(&["2", "3"]), Expiry::Never)
        .await
        .unwrap();
    let moved = async {
        loop {
            tell(&node, "2", "moved");
            let came = tokio::time::timeout(Duration::from_millis(20), u.event()).await;
            if came.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(2), moved)
        .await
        .unwrap();
    tell(&node, "1", "for v");
    tell(&node, "3", "for u");
    assert_eq!(v.event().await.1, "for v");
    loop {
        match u.event().await.1.as_str() {
            Some("moved") => {}
            Some("for u") => break,
            other => panic!("{other:?}"),
        }
    }
    v.expect_silence(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn deleting_a_session_ends_its_sockets_and_losing_it_ends_nobody() {
    let (store, node, mut u, mut v) = two_members().await;

    store.lost.store(true, Ordering::SeqCst);
    store
        .save(&user("v"), &guilds(&["1"]), Expiry::Never)
        .await
        .unwrap();
    v.expect_silence(Duration::from_millis(300)).await;
    store.lost.store(false, Ordering::SeqCst);

    store.delete(&user("u")).await.unwrap();
    assert_eq!(
        u.text().await,
        r#"42["session:ended",{"reason":"revoked"}]"#
    );
    assert_eq!(u.text().await, "41");
    tell(&node, "1", "still here");
    assert_eq!(v.event().await.1, "still here");
    u.expect_silence(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_change_during_an_outage_is_followed_afterwards() {
    let store = Shaky::new();
    store
        .save(&user("u"), &guilds(&["1"]), Expiry::Never)
        .await
        .unwrap();
    let node = node(&store).await;
    let mut u = Client::join(node.addr, "u").await;
    store.down.store(true, Ordering::SeqCst);
    store
        .save(&user("u"), &Session::default(), Expiry::Never)
        .await
        .unwrap();
    u.expect_silence(Duration::from_millis(600)).await;
    store.down.store(false, Ordering::SeqCst);
    assert_eq!(
        u.text().await,
        r#"42["session:ended",{"reason":"revoked"}]"#
    );
    assert_eq!(u.text().await, "41");
}

#[tokio::test]
async fn a_new_role_changes_the_rooms() {
    let store = Shaky::new();
    store
        .save(&user("u"), &guilds(&["1"]), Expiry::Never)
        .await
        .unwrap();
    let node = node(&store).await;
    let mut u = Client::join(node.addr, "u").await;
    store
        .save(&user("u"), &guilds(&["1"]).role(Role::Admin), Expiry::Never)
        .await
        .unwrap();
    let admins = node.server.emitter("/").unwrap();
    let promoted = async {
        loop {
            admins.to(Room::admins()).emit("told", "admins").unwrap();
            if tokio::time::timeout(Duration::from_millis(20), u.event())
                .await
                .is_ok()
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(2), promoted)
        .await
        .unwrap();
}

/// Lets everyone in for a moment.
#[derive(Debug)]
struct Briefly;

#[async_trait]
impl Authenticator for Briefly {
    async fn authenticate(&self, _: &Handshake) -> Result<Identity, AuthError> {
        let identity = Identity::new(User::new(user("u"), Role::Member));
        Ok(identity.expires_at(SystemTime::now() + Duration::from_millis(200)))
    }
}

#[tokio::test]
async fn a_credential_that_runs_out_while_the_store_is_asked_ends_at_once() {
    let store = Shaky::new();
    store.slow.store(true, Ordering::SeqCst);
    store
        .save(&user("u"), &guilds(&["1"]), Expiry::Never)
        .await
        .unwrap();
    let builder = Server::builder(Briefly)
        .sessions(store)
        .namespace(Namespace::new("/"));
    let node = Node::start(builder).await;
    let mut client = Client::join(node.addr, "u").await;
    let ended = async {
        assert_eq!(
            client.text().await,
            r#"42["session:ended",{"reason":"expired"}]"#
        );
        assert_eq!(client.text().await, "41");
    };
    tokio::time::timeout(Duration::from_secs(2), ended)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_program_is_told_when_what_a_user_may_see_changes() {
    async fn own_rooms(socket: Socket, access: Access) {
        for room in socket.rooms() {
            if let Some(guild) = room.as_str().strip_prefix("family:")
                && !access.guilds.iter().any(|g| g.id.as_str() == guild)
            {
                socket.leave(&room);
            }
        }
        let guilds: Vec<_> = access.guilds.iter().map(|g| g.id.clone()).collect();
        socket.emit("guilds", &guilds).unwrap();
    }
    let store = Shaky::new();
    let save = async |ids: &[&str]| {
        let saved = store.save(&user("u"), &guilds(ids), Expiry::Never).await;
        saved.unwrap();
    };
    save(&["1", "2"]).await;
    let namespace = Namespace::new("/")
        .connect_middleware(async |socket: Socket| Ok(socket.join("family:1")?))
        .on_access_change(own_rooms)
        .on("hold", async || {
            tokio::time::sleep(Duration::from_millis(300)).await
        });
    let builder = Server::builder(ByHeader).sessions(store.clone());
    let node = Node::start(builder.namespace(namespace)).await;
    let mut u = Client::join(node.addr, "u").await;
    let family = || node.server.emitter("/").unwrap().to("family:1");
    family().emit("news", &1).unwrap();
    assert_eq!(u.event().await.0, "news");
    save(&["2"]).await;
    assert_eq!(u.event().await, ("guilds".into(), json!(["2"])));
    family().emit("news", &2).unwrap();
    // Changes while a handler runs are one call when it is over.
    u.send(r#"42["hold"]"#).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    for ids in [&["3"], &["4"], &["5"]] {
        save(ids).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(u.event().await, ("guilds".into(), json!(["5"])));
    // What changes nothing is no change.
    save(&["5"]).await;
    u.expect_silence(Duration::from_millis(200)).await;
}
