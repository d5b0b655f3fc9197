//! Members without sockets: polling clients whose requests are function calls, beside a server on one thread.
//!
//! What the server has for a polling client waits in its outbox until the next GET takes it, so that filling and emptying outboxes are
//! two things that can be measured apart, and nothing is written to a socket.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use slimy_rt::{
    Room,
    events::{Emitter, Namespace, Socket},
    protocol::EventData,
    server::{Server, SocketIoService},
};
use tokio::{runtime::Runtime, task::yield_now};
use tower_service::Service;

use crate::{event, one_thread, server};

/// A server with one shard, and its members.
#[derive(Debug)]
pub struct InProcess {
    runtime: Runtime,
    server: Server,
    emitter: Emitter,
    event: EventData,
    clients: Vec<Client>,
    /// The clients' sockets, in their order.
    sockets: Vec<Socket>,
}

/// A polling client.
#[derive(Debug)]
struct Client {
    service: SocketIoService,
    target: String,
}

/// Whether the time that it takes to empty the outboxes counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emptying {
    /// It does.
    Measured,
    /// It does not.
    Apart,
}

impl InProcess {
    /// How many events are appended before the outboxes are emptied.
    pub const BATCH: u64 = 64;

    /// Starts a server and lets the members in. They are in no room.
    #[must_use]
    pub fn new(members: usize) -> Self {
        let runtime = one_thread();
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (server, clients) = runtime.block_on(async {
            let server = server(namespace(Arc::clone(&arrived)));
            let mut clients = Vec::with_capacity(members);
            for _ in 0..members {
                clients.push(Client::connect(server.service()).await);
                while lock(&arrived).len() < clients.len() {
                    yield_now().await;
                }
            }
            (server, clients)
        });
        // Taken: the namespace would keep the sockets, and they the namespace.
        let sockets = std::mem::take(&mut *lock(&arrived));
        Self {
            emitter: server.emitter("/").expect("the namespace"),
            event: event(200),
            runtime,
            server,
            clients,
            sockets,
        }
    }

    /// Joins every member to all of the rooms.
    #[must_use]
    pub fn joined(self, rooms: &[Room]) -> Self {
        self.join(rooms);
        self
    }

    /// How long it takes until a batch of events to these rooms is in every member's outbox, and taken from there if that is measured.
    #[must_use]
    pub fn broadcast(&self, rooms: &[Room], emptying: Emptying) -> Duration {
        let start = Instant::now();
        self.append(rooms);
        let appended = start.elapsed();
        self.empty(&self.clients);
        match emptying {
            Emptying::Measured => start.elapsed(),
            Emptying::Apart => appended,
        }
    }

    /// Publishes one event to a room that nobody is in.
    pub fn publish_to_nobody(&self, room: &Room) {
        let audience = self.emitter.to(room);
        audience.emit_data(&self.event).expect("a room's name");
    }

    /// How long it takes until every member has joined all of the rooms.
    pub fn join(&self, rooms: &[Room]) -> Duration {
        self.settled(|socket| {
            for room in rooms {
                socket.join(room).expect("room for a room");
            }
        })
    }

    /// How long it takes until every member has left all of the rooms.
    pub fn leave(&self, rooms: &[Room]) -> Duration {
        self.settled(|socket| {
            for room in rooms {
                socket.leave(room);
            }
        })
    }

    /// How long it takes until the shard has done for every member what `change` asks for.
    fn settled(&self, change: impl Fn(&Socket)) -> Duration {
        let start = Instant::now();
        self.sockets.iter().for_each(change);
        // The shard's queue is in order: when the first member has this event, all that was asked for before has been done.
        self.runtime.block_on(async {
            let before = self.server.report().deliveries;
            let sent = self.sockets[0].emit_data(&self.event);
            sent.expect("a connected socket");
            self.appended(before + 1).await;
        });
        let spent = start.elapsed();
        self.empty(&self.clients[..1]);
        spent
    }

    fn append(&self, rooms: &[Room]) {
        self.runtime.block_on(async {
            let before = self.server.report().deliveries;
            for _ in 0..Self::BATCH {
                let everyone = self.emitter.to(&rooms[0]);
                let audience = rooms[1..].iter().fold(everyone, |to, room| to.to(room));
                audience.emit_data(&self.event).expect("rooms' names");
            }
            let deliveries = Self::BATCH * self.sockets.len() as u64;
            self.appended(before + deliveries).await;
        });
    }

    /// Lets the shard work until it has put that many frames into outboxes.
    async fn appended(&self, deliveries: u64) {
        while self.server.report().deliveries < deliveries {
            yield_now().await;
        }
    }

    /// Takes what waits for these clients; for each there is something.
    fn empty(&self, clients: &[Client]) {
        self.runtime.block_on(async {
            for client in clients {
                client.get().await;
            }
        });
    }
}

impl Client {
    /// Opens a session and joins the namespace.
    async fn connect(service: SocketIoService) -> Self {
        let target = "/socket.io/?EIO=4&transport=polling".to_owned();
        let mut client = Self { service, target };
        let open = client.get().await;
        let open: Value = serde_json::from_slice(&open[1..]).expect("JSON behind a `0`");
        let sid = open["sid"].as_str().expect("a session's id");
        client.target.push_str("&sid=");
        client.target.push_str(sid);
        client.call(Method::POST, "40").await;
        client.get().await;
        client
    }

    async fn get(&self) -> Bytes {
        self.call(Method::GET, "").await
    }

    async fn call(&self, method: Method, body: &'static str) -> Bytes {
        let request = Request::builder().method(method).uri(&self.target);
        let request = request.body(Full::<Bytes>::from(body)).expect("a request");
        let Ok(answer) = self.service.clone().call(request).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let Ok(body) = answer.into_body().collect().await;
        body.to_bytes()
    }
}

/// A namespace that keeps its sockets.
fn namespace(arrived: Arc<Mutex<Vec<Socket>>>) -> Namespace {
    Namespace::new("/").on_connect(move |socket: Socket| {
        lock(&arrived).push(socket);
        std::future::ready(())
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
