//! cargo run --example custom-authenticator
//!
//! Clients prove who they are by an API key, in the handshake's `auth` or in the header `x-api-key`:
//! ```js
//! const socket = io("http://127.0.0.1:3080", { auth: { key: "k-ann-1" } });
//! socket.emit("whoami", (answer) => console.log(answer)); // { user: "ann", role: "admin" }
//! ```

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use slimy_rt::{
    TokenId, UserId, async_trait,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    events::{Answer, ConnectError, Namespace},
    server::{Server, origin::Origins, serve::ServeConfig},
};
use tokio::net::TcpListener;

/// The keys that are known, and whose they are. A real one would ask a database, and keep hashes only.
#[derive(Default)]
struct ApiKeys(HashMap<Box<str>, (UserId, Role)>);

/// Secrets never reach a log: `Debug` is written by hand.
impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys")
            .field("count", &self.0.len())
            .finish()
    }
}

/// How long a connection may live on one look at its key.
const VALID_FOR: Duration = Duration::from_secs(12 * 3600);

#[async_trait]
impl Authenticator for ApiKeys {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let key = handshake.auth()["key"]
            .as_str()
            .or_else(|| handshake.header("x-api-key"))
            .ok_or(AuthError::Missing)?;
        // The error says nothing of the key: what is wrong with it is nobody's business.
        let found = self
            .0
            .get(key)
            .ok_or(AuthError::Invalid("unknown key".into()))?;
        let (user, role) = found.clone();
        // By this id the session store can deny the key: its sockets end at once.
        let token = TokenId::parse(&format!("key-of-{user}"))?;
        Ok(Identity::new(User::new(user, role))
            .token(token)
            .expires_at(SystemTime::now() + VALID_FOR))
    }
}

async fn whoami(me: Identity) -> Answer<Value> {
    Answer(json!({"user": me.user.id, "role": me.user.role.as_str()}))
}

/// A middleware refuses by the program's own rules, after the authenticator.
async fn administrators(me: Identity) -> Result<(), ConnectError> {
    if me.user.role.is_admin() {
        return Ok(());
    }
    Err(ConnectError::new("administrators only").data(json!({"code": "not_admin"})))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut keys = ApiKeys::default();
    keys.0
        .insert("k-ann-1".into(), (UserId::parse("ann")?, Role::Admin));
    keys.0
        .insert("k-bob-1".into(), (UserId::parse("bob")?, Role::Member));
    let admin = Namespace::new("/admin").connect_middleware(administrators);
    let server = Server::builder(keys)
        .origins(Origins::any())
        .namespace(Namespace::new("/").on("whoami", whoami))
        .namespace(admin.on("whoami", whoami))
        .build()?;
    let address = std::env::var("ADDRESS").unwrap_or("127.0.0.1:3080".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let never = std::future::pending();
    server.run(listener, ServeConfig::default(), never).await;
    Ok(())
}
