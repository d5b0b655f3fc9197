//! cargo run --example multi-tenant-namespaces
//!
//! A namespace for each tenant, made when its first client comes and gone with its last. No tenant hears of another:
//! ```js
//! const socket = io("http://127.0.0.1:3080/tenants/acme", { auth: { user: "ann", tenant: "acme" } });
//! socket.on("note", (note) => console.log(note));
//! socket.emit("note", "hello", (count) => console.log(count));
//! ```

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;
use slimy_rt::{
    UserId, async_trait,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    events::{Answer, ConnectError, FromSocket, Namespace, Payload, Rejection, Socket, State},
    server::{Server, origin::Origins, serve::ServeConfig},
};
use tokio::net::TcpListener;

/// What handlers share: they take it as `State<Notes>`.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<HashMap<String, usize>>>);

impl Notes {
    fn count(&self, tenant: &str) -> usize {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = notes.entry(tenant.to_owned()).or_default();
        *count += 1;
        *count
    }
}

/// An extractor of our own: the tenant that stands in the namespace's name.
struct Tenant(String);

impl FromSocket for Tenant {
    async fn from_socket(socket: &Socket) -> Result<Self, Rejection> {
        let tenant = socket.param("tenant").map(str::to_owned);
        tenant.map(Self).ok_or_else(Rejection::server_error)
    }
}

/// Believes what clients say of themselves, which no real program does.
#[derive(Debug)]
struct Believer;

#[async_trait]
impl Authenticator for Believer {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let name = handshake.auth()["user"]
            .as_str()
            .ok_or(AuthError::Missing)?;
        let id = UserId::parse(name)?;
        Ok(Identity::new(User::new(id, Role::Member)))
    }
}

/// Only a tenant's own users come in.
async fn own_tenant(socket: Socket, Tenant(tenant): Tenant) -> Result<(), ConnectError> {
    if socket.handshake().auth()["tenant"] == *tenant {
        return Ok(());
    }
    let data = json!({"code": "wrong_tenant", "tenant": tenant});
    Err(ConnectError::new("you do not belong to this tenant").data(data))
}

async fn note(
    socket: Socket,
    Tenant(tenant): Tenant,
    State(notes): State<Notes>,
    Payload(text): Payload<String>,
) -> Result<Answer<usize>, Rejection> {
    let from = &socket.identity().user.id;
    // The emitter is that of this socket's namespace: other tenants are elsewhere.
    let note = json!({"tenant": tenant, "from": from, "text": text});
    socket.emitter().all().emit("note", &note)?;
    Ok(Answer(notes.count(&tenant)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tenants = Namespace::new("/tenants/{tenant}")
        .connect_middleware(own_tenant)
        .on("note", note);
    let server = Server::builder(Believer)
        .state(Notes::default())
        .origins(Origins::any())
        .namespace(tenants)
        .build()?;
    let address = std::env::var("ADDRESS").unwrap_or("127.0.0.1:3080".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let never = std::future::pending();
    server.run(listener, ServeConfig::default(), never).await;
    Ok(())
}
