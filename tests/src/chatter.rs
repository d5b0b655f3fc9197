//! A chat client for tests of clusters: it chats, keeps what it hears, notices when it is cut off, and comes back as the stock client does.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{client::DEADLINE, returning::Memory};

/// How many packets may wait to be written.
const OUTGOING: usize = 1024;

type Socket = WebSocketStream<TcpStream>;

/// A chat client and all that it has heard, over all of its connections.
#[derive(Debug)]
pub struct Chatter {
    cookie: HeaderValue,
    notes: Arc<Notes>,
    connection: Option<Connection>,
    next_ack: u64,
}

/// A chat message that was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Its id.
    pub id: String,
    /// Its guild.
    pub guild: String,
    /// When it came.
    pub at: Instant,
    /// As which socket: counted from 1, the same when it came back as it was.
    pub session: u32,
}

/// An answer that will come: the acknowledgement's first argument, or an error when the connection ends before.
pub type Answer = oneshot::Receiver<Value>;

/// How a client has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// As a new socket.
    New,
    /// As the socket that it was.
    Recovered,
}

#[derive(Debug)]
struct Connection {
    packets: mpsc::Sender<Message>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Notes {
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    heard: Vec<Heard>,
    /// Other events: their names and first arguments.
    events: Vec<(String, Value)>,
    answers: HashMap<u64, oneshot::Sender<Value>>,
    memory: Memory,
    /// How often it came in as a new socket.
    sessions: u32,
    entry: Option<Result<Entry, Value>>,
    /// The number of the connection that counts: one that was cut may still be read for a moment.
    connection: u64,
    /// Why the connection, or the namespace, ended.
    ended: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    message_id: String,
    guild_id: String,
}

impl Chatter {
    /// A client with this token, not connected.
    #[must_use]
    pub fn new(token: &str) -> Self {
        let cookie = format!("slimy_admin_token={token}");
        Self {
            cookie: HeaderValue::from_str(&cookie).expect("a token"),
            notes: Arc::default(),
            connection: None,
            next_ack: 0,
        }
    }

    /// Connects, with what it remembers of the connection before. The error is what a refusal says.
    pub async fn connect(&mut self, addr: SocketAddr) -> Result<Entry, Value> {
        self.cut();
        let stream = TcpStream::connect(addr).await;
        let stream = stream.map_err(|error| json!({"message": error.to_string()}))?;
        stream.set_nodelay(true).expect("sets TCP_NODELAY");
        // A connection that is dropped is reset.
        stream.set_zero_linger().expect("sets SO_LINGER");
        let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket");
        let mut request = url.into_client_request().expect("a URL");
        request.headers_mut().insert("cookie", self.cookie.clone());
        let upgraded = timeout(DEADLINE, client_async(request, stream)).await;
        let (socket, _) = upgraded
            .expect("the server answers")
            .map_err(|error| json!({"message": error.to_string()}))?;
        let (sink, stream) = socket.split();
        let (packets, outgoing) = mpsc::channel(OUTGOING);
        let mut tasks = JoinSet::new();
        let notes = Arc::clone(&self.notes);
        notes.inner().ended = None;
        let number = notes.inner().connection;
        tasks.spawn(write(sink, outgoing));
        tasks.spawn(notes.read(number, stream, packets.clone()));
        self.connection = Some(Connection {
            packets,
            _tasks: tasks,
        });
        let auth = {
            let memory = &self.notes.inner().memory;
            let both = memory.pid.as_ref().zip(memory.offset.as_ref());
            both.map(|(pid, offset)| json!({"pid": pid, "offset": offset}).to_string())
        };
        self.send(format!("40{}", auth.unwrap_or_default())).await;
        self.wait_for("an answer to CONNECT", |inner| inner.entry.is_some())
            .await;
        let entry = self.notes.inner().entry.take();
        entry.expect("it was there")
    }

    /// The same; a refusal fails the test.
    pub async fn enter(&mut self, addr: SocketAddr) -> Entry {
        let entry = self.connect(addr).await;
        entry.unwrap_or_else(|refusal| panic!("refused: {refusal}"))
    }

    /// Ends the connection without a word.
    pub fn cut(&mut self) {
        self.connection = None;
        let mut inner = self.notes.inner();
        inner.answers.clear();
        inner.entry = None;
        inner.connection += 1;
    }

    /// Sends a chat message.
    pub async fn say(&mut self, guild: &str, id: &str) -> Answer {
        self.next_ack += 1;
        let number = self.next_ack;
        let (answer, answered) = oneshot::channel();
        {
            let mut inner = self.notes.inner();
            // Who has been cut off waits for no answer.
            if inner.ended.is_none() {
                inner.answers.insert(number, answer);
            }
        }
        let message = json!({"text": "hello", "guildId": guild, "messageId": id});
        self.send(format!("42{number}[\"chat:message\",{message}]"))
            .await;
        answered
    }

    /// Sends a chat message and waits until it is accepted.
    pub async fn say_and_wait(&mut self, guild: &str, id: &str) {
        let answer = self.say(guild, id).await;
        let answer = timeout(DEADLINE, answer).await.expect("an answer in time");
        let answer = answer.expect("an answer");
        assert_eq!(answer["ok"], true, "{answer}");
    }

    /// What it has heard so far, in the order in which it came.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.notes.inner().heard.clone()
    }

    /// How much it has heard so far.
    #[must_use]
    pub fn heard_count(&self) -> usize {
        self.notes.inner().heard.len()
    }

    /// The other events that came so far: their names and first arguments.
    #[must_use]
    pub fn events(&self) -> Vec<(String, Value)> {
        self.notes.inner().events.clone()
    }

    /// Why its connection ended by itself; `None` while it has not.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        self.notes.inner().ended.clone()
    }

    /// What it remembers of its session.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.notes.inner().memory.clone()
    }

    /// Waits until its connection has ended by itself.
    pub async fn wait_for_end(&self) {
        self.wait_for("the end", |inner| inner.ended.is_some())
            .await;
    }

    /// Waits until it has heard a message.
    pub async fn wait_for_message(&self, id: &str) {
        let what = format!("message {id}");
        self.wait_for(&what, |inner| {
            inner.heard.iter().any(|heard| heard.id == id)
        })
        .await;
    }

    /// The same until a deadline; says whether it came.
    pub async fn wait_for_message_until(&self, id: &str, deadline: Instant) -> bool {
        // It is one of the last, if it is there.
        let heard = |inner: &Inner| inner.heard.iter().rev().any(|heard| heard.id == id);
        self.wait_until(deadline, heard).await
    }

    /// Waits until it has heard that much; says whether that came.
    pub async fn wait_for_count(&self, count: usize, deadline: Instant) -> bool {
        let is_so = self.wait_until(deadline, |inner| inner.heard.len() >= count);
        is_so.await
    }

    async fn send(&self, packet: String) {
        if let Some(connection) = &self.connection {
            // A connection that has ended says so itself.
            let _ = connection.packets.send(Message::text(packet)).await;
        }
    }

    async fn wait_for(&self, what: &str, is_so: impl Fn(&Inner) -> bool) {
        let waited = self.wait_until(Instant::now() + DEADLINE, is_so).await;
        assert!(waited, "{what} did not come: {:?}", self.ended());
    }

    async fn wait_until(&self, deadline: Instant, is_so: impl Fn(&Inner) -> bool) -> bool {
        let mut changes = self.notes.changes.subscribe();
        loop {
            if is_so(&self.notes.inner()) {
                return true;
            }
            match timeout_at(deadline, changes.changed()).await {
                Ok(changed) => changed.expect("the sender is here"),
                Err(_) => return false,
            }
        }
    }
}

async fn write(mut sink: SplitSink<Socket, Message>, mut packets: mpsc::Receiver<Message>) {
    while let Some(packet) = packets.recv().await {
        if sink.feed(packet).await.is_err() {
            return;
        }
        while let Ok(packet) = packets.try_recv() {
            if sink.feed(packet).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}

impl Notes {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(
        self: Arc<Self>,
        number: u64,
        mut stream: SplitStream<Socket>,
        packets: mpsc::Sender<Message>,
    ) {
        let ended = loop {
            let text = match stream.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => break format!("closed: {frame:?}"),
                Some(Ok(_)) => continue,
                Some(Err(error)) => break error.to_string(),
                None => break "the connection ended".to_owned(),
            };
            if text == "2" {
                // Who is cut off answers no more.
                let _ = packets.send(Message::text("3")).await;
                continue;
            }
            let over = {
                let mut inner = self.inner();
                if inner.connection != number {
                    return;
                }
                inner.note(&text)
            };
            self.changes.send_modify(|changes| *changes += 1);
            if over {
                break "disconnected".to_owned();
            }
        };
        let mut inner = self.inner();
        if inner.connection != number {
            return;
        }
        inner.ended = Some(ended.clone());
        inner.answers.clear();
        inner.entry.get_or_insert(Err(json!({"message": ended})));
        drop(inner);
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl Inner {
    /// Notes a packet, and says whether it was the last.
    fn note(&mut self, packet: &str) -> bool {
        match packet.split_at_checked(2) {
            Some(("42", event)) => self.note_event(event),
            Some(("43", rest)) => {
                let at = rest.find('[').expect("an acknowledgement has arguments");
                let number: u64 = rest[..at].parse().expect("a number");
                let arguments: Vec<Value> = serde_json::from_str(&rest[at..]).expect("JSON");
                if let Some(answer) = self.answers.remove(&number) {
                    // Nobody has to wait for it.
                    let _ = answer.send(arguments.into_iter().next().unwrap_or_default());
                }
            }
            Some(("40", answer)) => {
                let answer: Memory = serde_json::from_str(answer).expect("an id");
                let is_back = answer.pid.is_some() && answer.pid == self.memory.pid;
                let entry = if is_back {
                    Entry::Recovered
                } else {
                    self.sessions += 1;
                    Entry::New
                };
                let offset = self.memory.offset.take().filter(|_| is_back);
                self.memory = Memory { offset, ..answer };
                self.entry = Some(Ok(entry));
            }
            Some(("44", refusal)) => {
                let refusal = serde_json::from_str(refusal).expect("JSON");
                self.entry = Some(Err(refusal));
            }
            Some(("41", _)) => return true,
            // The open packet.
            Some(("0{", _)) => {}
            other => panic!("unexpected: {other:?}"),
        }
        false
    }

    fn note_event(&mut self, event: &str) {
        let mut arguments: Vec<&RawValue> = serde_json::from_str(event).expect("an event");
        if self.memory.pid.is_some() && arguments.len() > 1 {
            let last = arguments.last().map(|last| last.get());
            if let Some(offset) = last.and_then(|last| serde_json::from_str(last).ok()) {
                self.memory.offset = Some(offset);
                arguments.pop();
            }
        }
        let payload = arguments.get(1).map_or("null", |payload| payload.get());
        match arguments[0].get() {
            r#""chat:message""# => {
                let payload: Payload = serde_json::from_str(payload).expect("a chat message");
                self.heard.push(Heard {
                    id: payload.message_id,
                    guild: payload.guild_id,
                    at: Instant::now(),
                    session: self.sessions,
                });
            }
            name => {
                let name = serde_json::from_str(name).expect("a name");
                let payload = serde_json::from_str(payload).expect("JSON");
                self.events.push((name, payload));
            }
        }
    }
}
