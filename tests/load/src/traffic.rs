//! Clients in numbers, and rooms in which some of them talk and all check what they hear.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    Failure, LONGEST,
    account::{Account, Seen, chat_message},
    client::Client,
    server::{GUILD, Server},
};

/// How many clients join at once, unless a scenario is about that.
const JOINING_AT_ONCE: usize = 256;

/// Joins the users `first..first + count`, in that order.
pub(crate) async fn join_all(
    server: &Server,
    first: usize,
    count: usize,
) -> Result<Vec<Client>, Failure> {
    join_at_once(server, first, count, JOINING_AT_ONCE).await
}

/// As [`join_all`], with so many under way at a time.
pub(crate) async fn join_at_once(
    server: &Server,
    first: usize,
    count: usize,
    at_once: usize,
) -> Result<Vec<Client>, Failure> {
    let addr = server.addr;
    let permits = Arc::new(Semaphore::new(at_once));
    let mut joining = JoinSet::new();
    for user in first..first + count {
        let (cookie, permits) = (server.cookie(user)?, Arc::clone(&permits));
        joining.spawn(async move {
            let _permit = permits.acquire().await;
            Client::join(addr, &cookie, None).await
        });
    }
    let mut clients = Vec::with_capacity(count);
    while let Some(joined) = joining.join_next().await {
        clients.push(joined.map_err(|error| error.to_string())??);
    }
    Ok(clients)
}

/// What is said in [`GUILD`], and how far it has come.
#[derive(Debug)]
pub(crate) struct Talk {
    each: u32,
    window: u32,
    padding: String,
    limit: Duration,
    progress: Vec<Progress>,
}

/// How far a sender is.
#[derive(Debug, Default)]
struct Progress {
    /// Messages that it has begun to send.
    begun: AtomicU32,
    /// Messages whose ack it has, so that they have been published.
    published: AtomicU32,
}

impl Talk {
    /// Of the first clients so many send `each` short messages, one at a time.
    pub(crate) fn new(senders: usize, each: u32) -> Self {
        Self {
            each,
            window: 1,
            padding: String::new(),
            limit: LONGEST,
            progress: (0..senders).map(|_| Progress::default()).collect(),
        }
    }

    /// So many messages of a sender at a time.
    pub(crate) fn window(self, window: u32) -> Self {
        Self { window, ..self }
    }

    /// Longer messages.
    pub(crate) fn padding(self, padding: String) -> Self {
        Self { padding, ..self }
    }

    /// How long everything may take.
    pub(crate) fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// How many messages each sender has begun to send.
    pub(crate) fn begun(&self) -> Vec<u32> {
        let senders = self.progress.iter();
        senders.map(|sender| sender.begun.load(SeqCst)).collect()
    }

    /// How many messages of each sender have been published for sure.
    pub(crate) fn published(&self) -> Vec<u32> {
        let senders = self.progress.iter();
        senders
            .map(|sender| sender.published.load(SeqCst))
            .collect()
    }
}

/// What came of a talk.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) clients: Vec<Client>,
    /// Messages that were received, and were each sender's next.
    pub(crate) deliveries: u64,
    /// How long the slowest of them took.
    pub(crate) slowest: Duration,
}

/// Every client gets every message: all read until nothing is missing.
pub(crate) async fn everyone_hears(
    clients: Vec<Client>,
    talk: impl Into<Arc<Talk>>,
) -> Result<Heard, Failure> {
    let talk = talk.into();
    let mut reading = JoinSet::new();
    for (index, client) in clients.into_iter().enumerate() {
        let talk = Arc::clone(&talk);
        reading.spawn(async move {
            tokio::time::timeout(talk.limit, hear(client, index, &talk))
                .await
                .unwrap_or_else(|_| {
                    let limit = talk.limit;
                    Err(format!(
                        "client {index}: messages are missing after {limit:?}"
                    ))
                })
        });
    }
    let mut all = Heard {
        clients: Vec::with_capacity(reading.len()),
        deliveries: 0,
        slowest: Duration::ZERO,
    };
    while let Some(read) = reading.join_next().await {
        let (client, deliveries, slowest) = read.map_err(|error| error.to_string())??;
        all.clients.push(client);
        all.deliveries += deliveries;
        all.slowest = all.slowest.max(slowest);
    }
    Ok(all)
}

async fn hear(
    mut client: Client,
    index: usize,
    talk: &Talk,
) -> Result<(Client, u64, Duration), Failure> {
    let mut account = Account::new(talk.progress.len());
    let mut slowest = Duration::ZERO;
    let own = talk.progress.get(index);
    let sends = own.map_or(0, |_| talk.each);
    let (mut sent, mut acked) = (0, 0);
    loop {
        while sent < sends && sent - acked < talk.window {
            let message = chat_message(GUILD, index, sent, &talk.padding);
            sent += 1;
            own.inspect(|own| own.begun.store(sent, SeqCst));
            client.send(&message).await?;
        }
        if acked == sends && account.is_complete(talk.each) {
            return Ok((client, account.received(), slowest));
        }
        let Some(packet) = client.message().await? else {
            let received = account.received();
            return Err(format!(
                "client {index} was closed after {received} messages"
            ));
        };
        match account.enter(&packet)? {
            Seen::Message(taken) => slowest = slowest.max(taken),
            Seen::Ack(number) if number == acked => {
                acked += 1;
                own.inspect(|own| own.published.store(acked, SeqCst));
            }
            Seen::Ack(number) => {
                return Err(format!("ack {number} came where {acked} was due"));
            }
        }
    }
}
