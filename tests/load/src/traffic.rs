//! Clients in numbers, chat messages that can be told apart, and the account that each client keeps of them.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    Failure,
    client::Client,
    server::{GUILD, Server},
};

/// How many clients join at once, unless a scenario is about that.
const JOINING_AT_ONCE: usize = 256;

/// What all times in messages count from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

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

/// A chat message: number `number` of `sender`, with an ack under that number, and as long as `padding` says.
pub(crate) fn chat_message(sender: usize, number: u32, padding: &str) -> String {
    let now = EPOCH.elapsed().as_micros();
    format!(
        r#"42{number}["chat:message",{{"text":"m:{sender}:{number}:{now}:{padding}","guildId":"{GUILD}"}}]"#
    )
}

/// What one client has received so far of what `senders` sent.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    next: Vec<u32>,
    /// The longest that a message took.
    pub(crate) slowest: Duration,
}

/// What a packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Message,
    /// The ack of the client's own message of that number.
    Ack(u32),
}

impl Account {
    pub(crate) fn new(senders: usize) -> Self {
        Self {
            next: vec![0; senders],
            slowest: Duration::ZERO,
        }
    }

    /// Enters a packet. A message that is not its sender's next is a failure: lost, double, or out of order.
    pub(crate) fn enter(&mut self, packet: &[u8]) -> Result<Seen, Failure> {
        let strange = || {
            format!(
                "unexpected: {}",
                String::from_utf8_lossy(&packet[..packet.len().min(200)])
            )
        };
        if let Some(ack) = packet.strip_prefix(b"43") {
            let text = std::str::from_utf8(ack).map_err(|_| strange())?;
            let (number, answer) = text.split_once('[').ok_or_else(strange)?;
            if !answer.starts_with(r#"{"ok":true"#) {
                return Err(strange());
            }
            return number.parse().map(Seen::Ack).map_err(|_| strange());
        }
        let start = memchr::memmem::find(packet, br#""text":"m:"#).ok_or_else(strange)?;
        let text = std::str::from_utf8(&packet[start + 10..]).map_err(|_| strange())?;
        let mut fields = text.splitn(4, ':');
        let mut field = || fields.next()?.parse::<u64>().ok();
        let (sender, number, sent) =
            (|| Some((field()?, field()?, field()?)))().ok_or_else(strange)?;
        let next = self.next.get_mut(sender as usize).ok_or_else(strange)?;
        if u64::from(*next) != number {
            return Err(format!(
                "sender {sender}: message {number} came where {next} was due"
            ));
        }
        *next += 1;
        let taken = EPOCH.elapsed().saturating_sub(Duration::from_micros(sent));
        self.slowest = self.slowest.max(taken);
        Ok(Seen::Message)
    }

    /// Whether every sender's first `each` messages are there.
    pub(crate) fn is_complete(&self, each: u32) -> bool {
        self.next.iter().all(|&next| next == each)
    }

    pub(crate) fn received(&self) -> u64 {
        self.next.iter().copied().map(u64::from).sum()
    }
}

/// Every client gets every message: the first clients send `each` messages, one at a time, and all read until nothing is missing.
///
/// Gives the clients back, and how long the slowest delivery took.
pub(crate) async fn everyone_hears(
    clients: Vec<Client>,
    senders: usize,
    each: u32,
    padding: &str,
    limit: Duration,
) -> Result<(Vec<Client>, Duration), Failure> {
    let padding: Arc<str> = padding.into();
    let mut reading = JoinSet::new();
    for (index, client) in clients.into_iter().enumerate() {
        let sends = if index < senders { each } else { 0 };
        let (account, padding) = (Account::new(senders), Arc::clone(&padding));
        reading.spawn(async move {
            let heard = hear(client, account, index, sends, each, &padding);
            tokio::time::timeout(limit, heard)
                .await
                .unwrap_or_else(|_| {
                    Err(format!(
                        "client {index}: messages are missing after {limit:?}"
                    ))
                })
        });
    }
    let (mut clients, mut slowest) = (Vec::with_capacity(reading.len()), Duration::ZERO);
    while let Some(read) = reading.join_next().await {
        let (client, took) = read.map_err(|error| error.to_string())??;
        slowest = slowest.max(took);
        clients.push(client);
    }
    Ok((clients, slowest))
}

async fn hear(
    mut client: Client,
    mut account: Account,
    index: usize,
    sends: u32,
    each: u32,
    padding: &str,
) -> Result<(Client, Duration), Failure> {
    let mut sent = 0;
    let mut acked = 0;
    loop {
        if sent < sends && acked == sent {
            client.send(&chat_message(index, sent, padding)).await?;
            sent += 1;
        }
        if acked == sends && account.is_complete(each) {
            return Ok((client, account.slowest));
        }
        let Some(packet) = client.message().await? else {
            let received = account.received();
            return Err(format!(
                "client {index} was closed after {received} messages"
            ));
        };
        if let Seen::Ack(number) = account.enter(&packet)? {
            if number != acked {
                return Err(format!("ack {number} came where {acked} was due"));
            }
            acked += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sender: usize, number: u32) -> Vec<u8> {
        chat_message(sender, number, "padding").into_bytes()
    }

    #[test]
    fn an_account_notices_what_is_lost_double_or_out_of_order() {
        let mut account = Account::new(2);
        assert_eq!(account.enter(&message(1, 0)), Ok(Seen::Message));
        assert_eq!(account.enter(&message(0, 0)), Ok(Seen::Message));
        assert_eq!(
            account.enter(br#"430[{"ok":true,"messageId":"a"}]"#),
            Ok(Seen::Ack(0))
        );
        assert!(account.is_complete(1) && account.received() == 2);
        for wrong in [message(1, 0), message(1, 2), message(2, 0)] {
            assert!(account.enter(&wrong).is_err());
        }
        for refusal in [&br#"431[{"error":"no"}]"#[..], b"42[]", b"41", b"43"] {
            assert!(account.enter(refusal).is_err());
        }
        assert!(!account.is_complete(2));
    }
}
