//! Members at the other end of real sockets: WebSocket clients on loopback that count the bytes they get.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use slimy_rt::{
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

use crate::{event, room, server};

/// Open files beside the members' two each: listeners, runtimes, standard streams, what criterion writes.
const OTHER_FILES: u64 = 64;

/// Raises the limit of open files as far as this process may, and says whether `members` fit: both ends of each connection are here.
///
/// # Errors
/// How many open files are needed, and how many there may be.
pub fn raise_open_files(members: usize) -> Result<(), String> {
    let needed = 2 * members as u64 + OTHER_FILES;
    match rlimit::increase_nofile_limit(needed) {
        Ok(limit) if limit >= needed => Ok(()),
        Ok(limit) => Err(format!(
            "it needs {needed} open files and the hard limit is {limit}"
        )),
        Err(error) => Err(format!(
            "it needs {needed} open files, and the limit cannot be read or raised: {error}"
        )),
    }
}

/// A server, and clients in one of its rooms, each with a connection of its own. Its tasks and its sockets end with it.
#[derive(Debug)]
pub struct Loopback {
    runtime: Runtime,
    server: Server,
    received: Arc<Semaphore>,
    event: EventData,
    /// How many bytes one event is to all members together.
    bytes: u32,
}

impl Loopback {
    /// How many events are on their way at once.
    pub const WINDOW: u64 = 16;

    /// Starts a server and lets the members in.
    #[must_use]
    pub fn new(members: usize) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let joined = Arc::new(Semaphore::new(0));
        let received = Arc::new(Semaphore::new(0));
        let server = runtime.block_on(async {
            let server = server(namespace(Arc::clone(&joined)));
            let addr = listen(&server).await;
            for _ in 0..members {
                let client = connect(addr).await;
                tokio::spawn(count(client, Arc::clone(&received)));
            }
            take(&joined, members as u32).await;
            server
        });
        let event = event(200);
        let bytes = Frame::event("/", None, &event).len() * members;
        Self {
            runtime,
            server,
            received,
            event,
            bytes: u32::try_from(bytes).expect("a small event"),
        }
    }

    /// How long it takes to send `windows` times [`WINDOW`](Self::WINDOW) events until every member has each. Less than a window would be
    /// another thing: what is on its way together is written together.
    #[must_use]
    pub fn broadcast(&self, windows: u64) -> Duration {
        let events = windows * Self::WINDOW;
        let emitter = self.server.emitter("/").expect("the namespace");
        let room = room(0);
        let start = Instant::now();
        self.runtime.block_on(async {
            let mut sent = 0;
            for arrived in 0..events {
                while sent < events.min(arrived + Self::WINDOW) {
                    let audience = emitter.to(&room);
                    audience.emit_data(&self.event).expect("a room's name");
                    sent += 1;
                }
                take(&self.received, self.bytes).await;
            }
        });
        start.elapsed()
    }
}

/// A namespace in which everyone joins the room, and is counted then.
fn namespace(joined: Arc<Semaphore>) -> Namespace {
    Namespace::new("/").on_connect(move |socket: Socket| {
        let joined = Arc::clone(&joined);
        async move {
            socket.join(room(0)).expect("room for a room");
            joined.add_permits(1);
        }
    })
}

async fn listen(server: &Server) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("its address");
    let never = CancellationToken::new();
    tokio::spawn(serve(
        listener,
        server.service(),
        ServeConfig::default(),
        never,
    ));
    addr
}

async fn take(semaphore: &Semaphore, permits: u32) {
    let taken = semaphore.acquire_many(permits).await;
    taken.expect("an open semaphore").forget();
}

/// Joins the namespace over a WebSocket, with as little as that needs.
async fn connect(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let written = stream.write_all(request.as_bytes()).await;
    written.expect("a request");
    read_until(&mut stream, "\"maxPayload\":1000000}").await;
    // `40` in a masked text frame; the mask is zero.
    let written = stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'4', b'0']);
    written.await.expect("a packet");
    read_until(&mut stream, "\"}").await;
    stream
}

async fn read_until(stream: &mut TcpStream, end: &str) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        bytes.push(stream.read_u8().await.expect("more bytes"));
    }
}

/// Counts what comes. An idle client keeps no buffer, so that many of them do not push the server out of the cache.
async fn count(client: TcpStream, received: Arc<Semaphore>) {
    while client.readable().await.is_ok() {
        let mut space = [0; 16 * 1024];
        match client.try_read(&mut space) {
            Ok(0) => return,
            Ok(read) => received.add_permits(read),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
