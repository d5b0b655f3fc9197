//! One event to all members of a room, over real sockets on loopback: elements are deliveries.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use async_trait::async_trait;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use slimy_rt::{
    Room, UserId,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    events::{Namespace, Socket},
    protocol::{EventData, Frame},
    server::{
        Server,
        serve::{ServeConfig, serve},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

/// How many events are on their way at once.
const WINDOW: u32 = 16;
const MEMBERS: [usize; 4] = [10, 100, 1_000, 5_000];

/// Everyone may come: the room is what is measured.
#[derive(Debug)]
struct Anyone;

#[async_trait]
impl Authenticator for Anyone {
    async fn authenticate(&self, _: &Handshake) -> Result<Identity, AuthError> {
        let id = UserId::parse("bench")?;
        Ok(Identity::new(User::new(id, Role::Member)))
    }
}

fn room() -> Room {
    Room::parse("bench").expect("a room's name")
}

fn event() -> EventData {
    let payload = serde_json::json!({"text": "x".repeat(200), "guildId": "1176605506912141444"});
    EventData::new("chat:message", &payload).expect("an event")
}

/// A server, and clients that count what they get.
struct Field {
    server: Server,
    received: Arc<Semaphore>,
    stop: CancellationToken,
    members: usize,
}

impl Field {
    async fn new(members: usize) -> Self {
        let namespace = Namespace::new("/").on_connect(|socket: Socket| async move {
            socket.join(room()).expect("room for a room");
        });
        let server = Server::builder(Anyone)
            .namespace(namespace)
            .build()
            .expect("a server");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let stop = CancellationToken::new();
        tokio::spawn(serve(
            listener,
            server.service(),
            ServeConfig::default(),
            stop.clone(),
        ));
        let received = Arc::new(Semaphore::new(0));
        for _ in 0..members {
            let client = connect(addr).await;
            tokio::spawn(count(client, Arc::clone(&received)));
        }
        while server.report().rooms == 0 || server.report().sockets < members {
            tokio::task::yield_now().await;
        }
        Self {
            server,
            received,
            stop,
            members,
        }
    }

    /// Sends `events` events and waits until every member has each.
    async fn run(&self, events: u64) {
        let emitter = self.server.emitter("/").expect("the namespace");
        let bytes = Frame::event("/", None, &event()).len() * self.members;
        let mut sent = 0;
        let mut waited = 0;
        while waited < events {
            while sent < events && sent - waited < u64::from(WINDOW) {
                emitter
                    .to(room())
                    .emit_data(&event())
                    .expect("a room's name");
                sent += 1;
            }
            let bytes = u32::try_from(bytes).expect("a small event");
            self.received
                .acquire_many(bytes)
                .await
                .expect("an open semaphore")
                .forget();
            waited += 1;
        }
    }
}

/// Joins the namespace over a WebSocket, with as little as that needs.
async fn connect(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    read_until(&mut stream, "\"maxPayload\":1000000}").await;
    // `40` in a masked text frame; the mask is zero.
    stream
        .write_all(&[0x81, 0x82, 0, 0, 0, 0, b'4', b'0'])
        .await
        .expect("a packet");
    read_until(&mut stream, "\"}").await;
    stream
}

async fn read_until(stream: &mut TcpStream, end: &str) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        bytes.push(stream.read_u8().await.expect("more bytes"));
    }
}

async fn count(mut client: TcpStream, received: Arc<Semaphore>) {
    let mut space = vec![0; 16 * 1024];
    while let Ok(read) = client.read(&mut space).await {
        if read == 0 {
            return;
        }
        received.add_permits(read);
    }
}

fn broadcast(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("broadcast");
    group.sample_size(10);
    for members in MEMBERS {
        let field = runtime.block_on(Field::new(members));
        group.throughput(Throughput::Elements(members as u64));
        group.bench_function(BenchmarkId::from_parameter(members), |b| {
            b.iter_custom(|events| {
                let start = Instant::now();
                runtime.block_on(field.run(events));
                start.elapsed()
            });
        });
        field.stop.cancel();
    }
    group.finish();
}

criterion_group!(benches, broadcast);
criterion_main!(benches);
