//! What administrators may see and do beyond figures: the log, who is connected, and ending that.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Diagnostics,
    logs::Wanted,
    request::{Fields, invalid},
};
use crate::{
    NodeId, SocketId, UserId,
    auth::Role,
    events::{Answer, Emitter, FromSocket, Namespace, Payload, Rejection, Socket},
    protocol::Arguments,
    session,
    time::{timestamp, unix_ms},
};

/// The most connections that a list has; it says so when there are more.
pub const MAX_LISTED_CONNECTIONS: usize = 2_000;

/// The most bytes that a list has, roughly: a client that is behind must be able to get it.
pub const MAX_LISTED_BYTES: usize = 512 * 1024;
/// The most rooms that are named of a connection.
pub const MAX_LISTED_ROOMS: usize = 100;

/// How many sockets are looked at before other tasks get their turn.
const SOCKETS_PER_TURN: usize = 256;
/// What a connection takes in a list beside its rooms and name, roughly.
const CONNECTION_BYTES: usize = 256;

/// How long other nodes may take to list theirs.
const NODES_TIMEOUT: Duration = Duration::from_secs(2);

/// By which nodes ask each other who is connected.
const NODE: &str = "diag:connections";

/// A socket whose user is an administrator now.
#[derive(Debug)]
pub(super) struct Administrator(pub(super) Socket);

impl FromSocket for Administrator {
    async fn from_socket(socket: &Socket) -> Result<Self, Rejection> {
        match may_administer(socket) {
            true => Ok(Self(socket.clone())),
            false => Err(Rejection::new("forbidden", "Admins only.")),
        }
    }
}

/// Whether a socket is that of an administrator, now.
pub(super) fn may_administer(socket: &Socket) -> bool {
    socket.access().is_admin()
}

/// One socket, as administrators see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    socket_id: SocketId,
    user_id: UserId,
    name: String,
    role: Role,
    transport: String,
    rooms: Vec<String>,
    /// How many there are; the list may be shorter.
    room_count: usize,
    address: String,
    connected_at: String,
    pending_bytes: usize,
    node: NodeId,
}

/// The sockets of a node, or of all.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Connections {
    connections: Vec<Connection>,
    /// How many there are; the list may be shorter.
    total: usize,
}

/// What is looked for in a connection's texts.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Search {
    text: String,
}

pub(super) fn install(diagnostics: &Diagnostics, namespace: Namespace) -> Namespace {
    let with = || diagnostics.clone();
    let (follow, leave, list) = (with(), with(), with());
    let (end, node, revoke) = (with(), with(), with());
    namespace
        .on(
            "logs:subscribe",
            move |admin: Administrator, arguments: Arguments| {
                let diagnostics = follow.clone();
                async move { diagnostics.follow_log(admin, &arguments) }
            },
        )
        .on(
            "logs:unsubscribe",
            move |Administrator(socket): Administrator| {
                let logs = leave.0.logs.clone();
                async move {
                    if let Some(logs) = logs {
                        logs.unsubscribe(&socket);
                    }
                    Answer(json!({"ok": true}))
                }
            },
        )
        .on(
            "connections:list",
            move |admin: Administrator, arguments: Arguments| {
                let diagnostics = list.clone();
                async move { diagnostics.list(admin, &arguments).await }
            },
        )
        .on(
            "connections:disconnect",
            move |admin: Administrator, arguments: Arguments| {
                let running = end.running().map(|_| ());
                async move {
                    running?;
                    disconnect(admin, arguments).await
                }
            },
        )
        .on(
            "sessions:revoke",
            move |admin: Administrator, arguments: Arguments| {
                let diagnostics = revoke.clone();
                async move { diagnostics.revoke(admin, &arguments).await }
            },
        )
        .on_server_side(
            NODE,
            move |emitter: Emitter, Payload(search): Payload<Search>| {
                let diagnostics = node.clone();
                async move { Answer(diagnostics.connections_here(&emitter, &search).await) }
            },
        )
}

impl Diagnostics {
    fn follow_log(
        &self,
        Administrator(socket): Administrator,
        arguments: &Arguments,
    ) -> Result<Answer<impl Serialize + use<>>, Rejection> {
        self.running()?;
        let unavailable = || Rejection::new("unavailable", "This server shows no log.");
        let logs = self.0.logs.as_ref().ok_or_else(unavailable)?;
        let wanted = Wanted::read(&Fields::of(arguments)?)?;
        let entries = logs.subscribe(&socket, wanted)?;
        Ok(Answer(json!({"ok": true, "entries": entries})))
    }

    async fn list(
        &self,
        Administrator(socket): Administrator,
        arguments: &Arguments,
    ) -> Result<Answer<impl Serialize + use<>>, Rejection> {
        self.running()?;
        let text = Fields::of(arguments)?.text("text")?;
        let search = Search {
            text: text.unwrap_or_default(),
        };
        let emitter = socket.emitter();
        let mut all = self.connections_here(&emitter, &search).await;
        let asked = emitter.server_side_emit_with_ack(NODE, &search, NODES_TIMEOUT);
        let mut missing_nodes;
        match asked.await {
            Ok(answers) => {
                missing_nodes = answers.missing_nodes + answers.silent.len();
                for (node, answer) in answers.answers {
                    match answer.parse::<Connections>(0) {
                        Ok(others) => {
                            all.total += others.total;
                            all.connections.extend(others.connections);
                        }
                        Err(error) => {
                            missing_nodes += 1;
                            tracing::warn!(%node, %error, "a node's connections cannot be read");
                        }
                    }
                }
            }
            Err(error) => {
                // Nobody knows how many there are: there may be one.
                missing_nodes = 1;
                tracing::warn!(%error, "other nodes cannot be asked who is connected");
            }
        }
        all.bound();
        let truncated = all.connections.len() < all.total;
        let Connections { connections, total } = all;
        Ok(Answer(json!({
            "ok": true,
            "connections": connections,
            "total": total,
            "truncated": truncated,
            "missingNodes": missing_nodes,
        })))
    }

    /// Those of this node: looked through a few at a time, and described as far as the list goes.
    async fn connections_here(&self, emitter: &Emitter, search: &Search) -> Connections {
        let text = search.text.to_lowercase();
        let mut found = Vec::new();
        for some in emitter.all().here().chunks(SOCKETS_PER_TURN) {
            found.extend(some.iter().filter(|socket| has(socket, &text)).cloned());
            tokio::task::yield_now().await;
        }
        found.sort_by_cached_key(Socket::connected_at);
        let described = found.iter().take(MAX_LISTED_CONNECTIONS);
        let mut connections = Connections {
            connections: described.map(|socket| self.describe(socket)).collect(),
            total: found.len(),
        };
        connections.bound();
        connections
    }

    fn describe(&self, socket: &Socket) -> Connection {
        let user = &socket.identity().user;
        let connected_at = socket.connected_at().unwrap_or(UNIX_EPOCH);
        let mut rooms: Vec<_> = socket.rooms().iter().map(ToString::to_string).collect();
        let room_count = rooms.len();
        rooms.sort_unstable();
        rooms.truncate(MAX_LISTED_ROOMS);
        Connection {
            socket_id: socket.id().clone(),
            user_id: user.id.clone(),
            name: user.display_name().to_owned(),
            role: socket.access().role,
            transport: socket.transport().as_str().to_owned(),
            rooms,
            room_count,
            address: socket.handshake().remote_addr().to_string(),
            connected_at: timestamp(unix_ms(connected_at)),
            pending_bytes: socket.pending_bytes(),
            node: self.0.node.clone(),
        }
    }

    async fn revoke(
        &self,
        Administrator(socket): Administrator,
        arguments: &Arguments,
    ) -> Result<Answer<impl Serialize + use<>>, Rejection> {
        self.running()?;
        let user = Fields::of(arguments)?.text("userId")?;
        let user = user.and_then(|id| UserId::parse(&id).ok());
        let user = user.ok_or_else(|| invalid("`userId` is the id of a user."))?;
        let unavailable = || Rejection::new("unavailable", "This server has no sessions.");
        let store = self.0.sessions.as_ref().ok_or_else(unavailable)?;
        session::revoke(store, &user).await?;
        let by = &socket.identity().user.id;
        tracing::info!(%user, %by, "an administrator ended a user's sessions");
        Ok(Answer(json!({"ok": true})))
    }
}

async fn disconnect(
    Administrator(socket): Administrator,
    arguments: Arguments,
) -> Result<Answer<impl Serialize>, Rejection> {
    let socket_id = Fields::of(&arguments)?.text("socketId")?;
    let socket_id = socket_id.ok_or_else(|| invalid("`socketId` is missing."))?;
    let nobody = || Rejection::new("not_found", "There is no such connection.");
    let emitter = socket.emitter();
    let found = emitter.to(&*socket_id).fetch_sockets().await;
    let found = found.map_err(|error| match error {
        crate::events::ClusterError::Room(_) => nobody(),
        error => error.into(),
    })?;
    // Its room may have other members; they are not meant.
    let target = found.sockets.iter().find(|s| s.id.as_str() == socket_id);
    let target = target.ok_or_else(nobody)?;
    let by = &socket.identity().user.id;
    tracing::info!(socket = socket_id, user = %target.user, %by, "an administrator disconnects a client");
    let id = target.id.clone();
    emitter.to(&id).disconnect().await?;
    Ok(Answer(json!({"ok": true})))
}

impl Connections {
    /// The longest connected come first, and the last are left out when there are too many.
    fn bound(&mut self) {
        self.connections
            .sort_by(|a, b| a.connected_at.cmp(&b.connected_at));
        let mut bytes = 0;
        let fits = |connection: &&Connection| {
            bytes += connection.bytes();
            bytes <= MAX_LISTED_BYTES
        };
        let fitting = self.connections.iter().take_while(fits).count();
        self.connections
            .truncate(fitting.min(MAX_LISTED_CONNECTIONS));
    }
}

impl Connection {
    fn bytes(&self) -> usize {
        let rooms: usize = self.rooms.iter().map(|room| room.len() + 3).sum();
        CONNECTION_BYTES + self.name.len() + self.user_id.as_str().len() + rooms
    }
}

/// Whether a text is in what is told of a socket, in whatever case.
fn has(socket: &Socket, text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let user = &socket.identity().user;
    let has = |told: &str| told.to_lowercase().contains(text);
    has(user.id.as_str())
        || has(user.display_name())
        || has(socket.id().as_str())
        || has(&socket.handshake().remote_addr().to_string())
        || socket.rooms().iter().any(|room| has(room.as_str()))
}
