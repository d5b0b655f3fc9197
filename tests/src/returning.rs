//! A client that comes back: it remembers its private id and its last offset, as the stock client does.

use std::{collections::VecDeque, net::SocketAddr};

use serde::Deserialize;
use serde_json::Value;

use crate::client::Client;

/// What a client remembers of its session.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Memory {
    /// The socket's id.
    pub sid: String,
    /// The private id.
    pub pid: Option<String>,
    /// The offset of the last event.
    #[serde(skip)]
    pub offset: Option<String>,
}

/// A client in the namespace `/`.
#[derive(Debug)]
pub struct Returning {
    client: Client,
    user: String,
    /// What it remembers.
    pub memory: Memory,
    /// Whether its last connect brought it back.
    pub recovered: bool,
    /// Events that came before the answer to CONNECT, and are not taken yet.
    early: VecDeque<Vec<Value>>,
}

impl Returning {
    /// Connects as a new client.
    pub async fn new(addr: SocketAddr, user: &str) -> Self {
        Self::with(addr, user, Memory::default()).await.unwrap()
    }

    /// Is cut off and comes back with what it remembers.
    pub async fn back(self, addr: SocketAddr) -> Self {
        self.cut().await.back(addr).await
    }

    /// Connects with a memory; the error is what a refusal says.
    pub async fn with(addr: SocketAddr, user: &str, memory: Memory) -> Result<Self, Value> {
        let mut client = Client::open(addr, user).await;
        let mut auth = serde_json::Map::new();
        for (key, value) in [("pid", &memory.pid), ("offset", &memory.offset)] {
            if let Some(value) = value {
                auth.insert(key.into(), value.clone().into());
            }
        }
        client.send(&format!("40{}", Value::Object(auth))).await;
        let mut this = Self {
            client,
            user: user.into(),
            memory: memory.clone(),
            recovered: false,
            early: VecDeque::new(),
        };
        let answer: Value = loop {
            let text = this.client.text().await;
            match text.split_at(2) {
                ("42", event) => {
                    let event = this.noted(event);
                    this.early.push_back(event);
                }
                ("40", answer) => break serde_json::from_str(answer).unwrap(),
                ("44", refusal) => return Err(serde_json::from_str(refusal).unwrap()),
                _ => panic!("unexpected: {text}"),
            }
        };
        let text = |key| answer[key].as_str().map(str::to_owned);
        let pid = text("pid");
        this.recovered = pid.is_some() && pid == memory.pid;
        this.memory.sid = text("sid").unwrap();
        this.memory.pid = pid;
        if this.memory.pid.is_some() && !this.recovered {
            let first = this.event().await;
            assert_eq!(first[0], "session:started");
        }
        Ok(this)
    }

    /// The connection ends without a word.
    pub async fn cut(self) -> Gone {
        let Self { user, memory, .. } = self;
        Gone { user, memory }
    }

    /// The next event: its name and arguments, without the offset.
    pub async fn event(&mut self) -> Vec<Value> {
        if let Some(event) = self.early.pop_front() {
            return event;
        }
        let text = self.client.text().await;
        let event = text
            .strip_prefix("42")
            .unwrap_or_else(|| panic!("no event: {text}"));
        self.noted(event)
    }

    /// How many events came before the answer to CONNECT.
    pub fn early(&self) -> usize {
        self.early.len()
    }

    /// The client below.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Reads an event and remembers its offset.
    pub fn noted(&mut self, event: &str) -> Vec<Value> {
        let mut event: Vec<Value> = serde_json::from_str(event).unwrap();
        // As the stock client, which does not know either which text is an offset.
        if self.memory.pid.is_some()
            && event.last().is_some_and(Value::is_string)
            && event.len() > 1
        {
            self.memory.offset = event
                .pop()
                .and_then(|offset| offset.as_str().map(str::to_owned));
        } else if event[0] == "session:started" {
            panic!("no offset in {event:?}");
        }
        event
    }
}

/// A client that was cut off.
#[derive(Clone, Debug)]
pub struct Gone {
    /// Its user.
    pub user: String,
    /// What it remembers.
    pub memory: Memory,
}

impl Gone {
    /// Comes back.
    pub async fn back(self, addr: SocketAddr) -> Returning {
        Returning::with(addr, &self.user, self.memory)
            .await
            .unwrap()
    }
}
