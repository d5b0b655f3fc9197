//! Follows the log and the inbox, through outages as well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use redis::Value;
use slimy_rt::broker::{BrokerEvents, Delivered, Health, Position, Publication};
use tokio::{sync::Notify, time::sleep};

use super::{
    super::{Redis, RedisError, connection::Link, stream::Connection},
    log::{End, Log, Reading},
    messages::{Messages, message_to},
};
use crate::{backoff::Backoff, interest::Interests};

/// How long a read waits for something to come.
const BLOCK: Duration = Duration::from_secs(1);
/// How many publications of a stream are read at once: more when they are small, fewer when they are large. Several times what a node
/// publishes at once, so that the others keep up with one that has a full queue.
const COUNT: (usize, usize) = (8, 1024);
/// What is a large read, in bytes.
const LARGE: usize = 4 * 1024 * 1024;
/// How many messages of the inbox are read at once.
const MESSAGES: usize = 64;

/// A node's reading.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) redis: Redis,
    pub(super) log: Arc<Log>,
    pub(super) messages: Arc<Messages>,
    pub(super) events: Arc<dyn BrokerEvents>,
    pub(super) shared: Arc<Shared>,
    /// How far the log has been read.
    pub(super) at: End,
}

/// What the reader and the node's interests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) interests: Interests,
    /// The buckets that are being read.
    reads: AtomicU64,
    changed: Notify,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            interests: Interests::new(),
            reads: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// There is a bucket more to be read.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }
}

/// Wakes the reader when it waits for too little: by a message, which it does not miss whenever it comes.
pub(super) async fn wake(
    redis: Redis,
    messages: Arc<Messages>,
    node: slimy_rt::NodeId,
    shared: Arc<Shared>,
) {
    loop {
        shared.changed.notified().await;
        if shared.interests.mask() & !shared.reads.load(SeqCst) == 0 {
            continue;
        }
        let message = message_to(&messages.inbox(), "wake", &node, "");
        // One that cannot be reached wakes up by itself.
        if let Err(error) = redis.query::<()>(&message).await {
            tracing::debug!(%error, "the reader could not be woken");
        }
    }
}

/// A connection for reading: a read that gets no answer fails, although it may wait for something to come.
pub(super) async fn connect(redis: &Redis) -> Result<Link, RedisError> {
    redis.connect(BLOCK + redis.command_timeout()).await
}

impl Reader {
    /// Reads for ever, on this connection first.
    pub(super) async fn run(mut self, connection: Connection) {
        let mut connection = Some(connection);
        let (mut backoff, mut count) = (Backoff::new(), COUNT.1);
        let mut heard = "0-0".to_owned();
        loop {
            let Err(error) = self
                .follow(&mut connection, &mut backoff, &mut count, &mut heard)
                .await;
            connection = None;
            self.events.health(Health::Down);
            self.messages.give_up();
            tracing::debug!(%error, "reading from Redis failed");
            backoff.pause().await;
        }
    }

    /// Reads until something fails.
    async fn follow(
        &mut self,
        connection: &mut Option<Connection>,
        backoff: &mut Backoff,
        count: &mut usize,
        heard: &mut String,
    ) -> Result<std::convert::Infallible, RedisError> {
        let mut connection = match connection.take() {
            Some(connection) => connection,
            None => {
                let link = connect(&self.redis).await?;
                // What there is of a log may be of another run.
                let end = self
                    .log
                    .end()
                    .await
                    .map_err(|e| super::super::error::unavailable(e.to_string()))?;
                self.look_at(&end);
                link.connection
            }
        };
        // Buckets that came to be wanted during a read, until one has read them.
        let mut also = 0;
        loop {
            let mask = self.shared.interests.mask() | also;
            self.shared.reads.store(mask, SeqCst);
            let streams = self.log.streams(mask);
            let inbox = self.messages.inbox();
            let mut pipeline = redis::pipe();
            let wait = pipeline
                .cmd("XREAD")
                .arg("COUNT")
                .arg(1)
                .arg("BLOCK")
                .arg(BLOCK.as_millis() as u64)
                .arg("STREAMS");
            let keys = streams.iter().map(|stream| self.log.stream_key(*stream));
            wait.arg(keys.chain([&*inbox]).collect::<Vec<_>>());
            wait.arg(vec![format!("{}-0", self.at.number); streams.len()]);
            wait.arg(&**heard).ignore();
            pipeline
                .cmd("XRANGE")
                .arg(&inbox)
                .arg(format!("({heard}"))
                .arg("+")
                .arg("COUNT")
                .arg(MESSAGES);
            self.log
                .reading(&mut pipeline, &streams, self.at.number, None, *count);
            let (messages, answer): (Value, Value) = pipeline.query_async(&mut connection).await?;
            *backoff = Backoff::new();
            self.events.health(self.messages.health());

            for message in redis::from_redis_value::<Vec<(String, Vec<Value>)>>(messages)
                .map_err(redis::RedisError::from)?
            {
                let (id, fields) = message;
                self.messages.message(&fields, &self.events).await;
                *heard = id;
            }
            match Log::read(answer, *count, None)? {
                // What is wanted since the read was sent may lie between what it read, which is not to be told without.
                Some(_) if self.shared.interests.mask() & !mask != 0 => {
                    also = mask | self.shared.interests.mask();
                }
                Some(reading) => {
                    also = 0;
                    let bytes: usize = reading.entries.values().map(bytes::Bytes::len).sum();
                    *count = if bytes > LARGE {
                        *count / 2
                    } else {
                        *count * 2
                    }
                    .clamp(COUNT.0, COUNT.1);
                    self.tell(reading).await;
                }
                // Somebody cleared it. Whoever publishes next begins another.
                None => sleep(BLOCK / 10).await,
            }
        }
    }

    /// Says so if this is not the log that was read before, and begins it.
    fn look_at(&mut self, end: &End) {
        if end.epoch != self.at.epoch {
            let before = self.at.position();
            self.at = End {
                epoch: end.epoch.clone(),
                number: 0,
            };
            self.events.gap(Some(&before), &self.at.position());
        }
    }

    async fn tell(&mut self, reading: Reading) {
        if reading.end.epoch != self.at.epoch {
            // What was read is behind a place in another log.
            return self.look_at(&reading.end);
        }
        if reading.trimmed > self.at.number {
            let now = Position::at(&self.at.epoch, reading.trimmed);
            self.events.gap(Some(&self.at.position()), &now);
        }
        let mut batch: Vec<Delivered> = Vec::with_capacity(reading.entries.len());
        for (number, bytes) in reading.entries {
            let position = Position::at(&self.at.epoch, number);
            match Publication::from_bytes(&bytes) {
                Ok(publication) => batch.push((Some(position), Arc::new(publication))),
                Err(error) => {
                    tracing::error!(%error, ?position, "a publication cannot be read: it may be of another version");
                    self.events.publications(&std::mem::take(&mut batch)).await;
                    self.events.gap(Some(&self.at.position()), &position);
                }
            }
        }
        let last = batch.last().and_then(|(position, _)| position.clone());
        if !batch.is_empty() {
            self.events.publications(&batch).await;
        }
        self.at.number = reading.complete_to;
        let reached = self.at.position();
        if last.as_ref() != Some(&reached) {
            self.events.advanced(&reached);
        }
    }
}
