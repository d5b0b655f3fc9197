//! Follows the log and the inbox, through outages as well.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis::{InfoDict, Value};
use slimy_rt::broker::{BrokerEvents, Delivered, Health, Position, Publication};
use tokio::sync::Notify;

use super::{
    super::{
        Redis, RedisError,
        connection::{Link, role},
        error::unavailable,
    },
    log::{End, Log, Reading},
    messages::Messages,
    pushes::{Next, Pushed, Pushes},
};
use crate::{backoff::Backoff, interest::Interests};

/// How often it is looked whether something was missed, and the connection with it.
const LOOK: Duration = Duration::from_secs(1);
/// How many publications of a stream are read at once: more when they are small, fewer when they are large. Several times what a node
/// publishes at once, so that the others keep up with one that has a full queue.
const COUNT: (usize, usize) = (8, 1024);
/// What is a large read, in bytes.
const LARGE: usize = 4 * 1024 * 1024;
/// How many messages of the inbox are read at once.
const MESSAGES: usize = 64;

/// A node's reading. Publications come by themselves as long as they are few; what comes in large numbers, or was missed, is read.
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
    changed: Notify,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            interests: Interests::new(),
            changed: Notify::new(),
        }
    }

    /// There is a bucket more to be read, or somebody wants to know how far the log has been.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }
}

/// What a node has for reading. Redis closes a connection that hears channels when it does not take what comes fast enough, large answers included:
/// so these are two.
pub(super) struct Lines {
    reading: Link,
    hearing: Link,
    /// What Redis says on it.
    pushes: Pushes,
}

/// What lasts longer than a connection.
struct Progress {
    /// The last message of the inbox.
    heard: String,
    /// How many publications are read at once.
    count: usize,
    backoff: Backoff,
}

/// What is followed on a connection.
struct Following {
    lines: Lines,
    /// The streams that are heard.
    streams: Vec<usize>,
    /// The buckets that are in these streams.
    mask: u64,
    looked: Option<Instant>,
    /// When only what was wanted then was heard.
    settled: Option<Instant>,
}

impl Following {
    /// How long it is until it has to be looked again.
    fn rest(&self) -> Duration {
        let rest = |at: Instant| LOOK.saturating_sub(at.elapsed());
        self.looked.map_or(Duration::ZERO, rest)
    }

    /// The buckets that are wanted whether somebody is there or not: who comes and goes all the time must not have everything read anew all the time.
    fn kept(&mut self) -> u64 {
        if self.settled.is_some_and(|at| at.elapsed() < LOOK) {
            return self.mask;
        }
        self.settled = Some(Instant::now());
        0
    }
}

impl Reader {
    pub(super) async fn connect(redis: &Redis) -> Result<Lines, RedisError> {
        let (pushes, within) = (Pushes::default(), redis.command_timeout());
        let reading = redis.connect(within, None);
        let hearing = redis.connect(within, Some(pushes.clone()));
        let (reading, hearing) = tokio::try_join!(reading, hearing)?;
        Ok(Lines {
            reading,
            hearing,
            pushes,
        })
    }

    /// Reads for ever, on these connections first.
    pub(super) async fn run(mut self, lines: Lines) {
        let mut progress = Progress {
            heard: "0-0".to_owned(),
            count: COUNT.1,
            backoff: Backoff::new(),
        };
        let mut lines = Some(lines);
        loop {
            let Err(error) = self.follow(lines.take(), &mut progress).await;
            // It may have been too much for the time that an answer has.
            progress.count = (progress.count / 2).max(COUNT.0);
            self.events.health(Health::Down);
            self.messages.give_up();
            tracing::debug!(%error, "reading from Redis failed");
            progress.backoff.pause().await;
        }
    }

    /// Reads until something fails.
    async fn follow(
        &mut self,
        lines: Option<Lines>,
        progress: &mut Progress,
    ) -> Result<Infallible, RedisError> {
        let lines = match lines {
            Some(lines) => lines,
            None => {
                let lines = Self::connect(&self.redis).await?;
                // What there is of a log may be of another run.
                let end = self.log.end().await;
                self.look_at(&end.map_err(|e| unavailable(e.to_string()))?);
                lines
            }
        };
        let mut following = Following {
            lines,
            streams: Vec::new(),
            mask: 0,
            looked: None,
            settled: None,
        };
        let (inbox, bell) = (self.messages.inbox(), self.messages.channel());
        let hearing = &mut following.lines.hearing.connection;
        hearing.follow(&[bell], true).await?;
        let mut is_due = true;
        loop {
            let rest = following.rest();
            if is_due || rest.is_zero() {
                is_due = self.look(&mut following, &inbox, progress).await?;
                continue;
            }
            let next = tokio::select! {
                next = following.lines.pushes.next(rest) => next,
                () = self.shared.changed.notified() => Next::Look,
            };
            is_due = match next {
                Next::Look => true,
                Next::Tell(pushed) => !self.tell_pushed(pushed, following.mask).await,
            };
        }
    }

    /// Reads what there is, and says whether there may be more.
    async fn look(
        &mut self,
        following: &mut Following,
        inbox: &str,
        progress: &mut Progress,
    ) -> Result<bool, RedisError> {
        let mask = self.shared.interests.mask() | following.kept();
        self.hear(following, mask).await?;
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("XRANGE")
            .arg(inbox)
            .arg(format!("({}", progress.heard))
            .arg("+")
            .arg("COUNT")
            .arg(MESSAGES);
        let (streams, count) = (&following.streams, progress.count);
        self.log
            .reading(&mut pipeline, streams, self.at.number, None, count);
        let reading = &mut following.lines.reading;
        self.redis.is_current(&reading.run)?;
        let answer = pipeline.query_async(&mut reading.connection).await?;
        let (messages, answer): (Value, Value) = answer;
        let read = Log::read(answer, count, None)?;
        following.looked = Some(Instant::now());
        progress.backoff = Backoff::new();
        self.events.health(self.messages.health());

        let messages: Vec<(String, Vec<Value>)> =
            redis::from_redis_value(messages).map_err(redis::RedisError::from)?;
        let mut is_more = messages.len() == MESSAGES;
        for (id, fields) in messages {
            self.messages.message(&fields, &self.events).await;
            progress.heard = id;
        }
        // Somebody cleared it when there is none. Whoever publishes next begins another, and says so.
        if let Some(reading) = read {
            // What is wanted since the read was sent may lie between what it read, which is not to be told without.
            if self.shared.interests.mask() & !mask != 0 {
                return Ok(true);
            }
            let bytes: usize = reading.entries.values().map(Bytes::len).sum();
            let next = if bytes > LARGE { count / 2 } else { count * 2 };
            progress.count = next.clamp(COUNT.0, COUNT.1);
            is_more |= reading.complete_to < reading.end.number;
            is_more |= self.tell(reading).await;
        }
        Ok(is_more)
    }

    /// Hears the streams of these buckets, and no others.
    async fn hear(&self, following: &mut Following, mask: u64) -> Result<(), RedisError> {
        let (wanted, is_due) = (self.log.streams(mask), following.rest().is_zero());
        let others = |some: &[usize], than: &[usize]| -> Vec<String> {
            let others = some.iter().filter(|stream| !than.contains(stream));
            others.map(|stream| self.log.channel(*stream)).collect()
        };
        let (new, old) = (
            others(&wanted, &following.streams),
            others(&following.streams, &wanted),
        );
        let hearing = &mut following.lines.hearing;
        hearing.connection.follow(&new, true).await?;
        hearing.connection.follow(&old, false).await?;
        if is_due {
            // One that is dead says nothing, and neither does one to a server that nobody publishes at any more.
            let role: InfoDict = role().query_async(&mut hearing.connection).await?;
            self.redis.is_primary(&hearing.run, &role)?;
        }
        (following.streams, following.mask) = (wanted, mask);
        Ok(())
    }

    /// Reports what Redis said by itself; says whether it did, or has to look instead.
    async fn tell_pushed(&mut self, pushed: Vec<Pushed>, mask: u64) -> bool {
        let is_of_this_log = pushed.iter().all(|pushed| *pushed.epoch == *self.at.epoch);
        // As at a look: what is wanted since then may lie between these.
        if !is_of_this_log || self.shared.interests.mask() & !mask != 0 {
            return false;
        }
        // One that is in several streams comes once for each; what was read since comes again.
        let new = pushed.into_iter().filter(|p| p.number > self.at.number);
        let entries: BTreeMap<_, _> = new.map(|p| (p.number, p.bytes)).collect();
        if let Some((last, _)) = entries.last_key_value() {
            let complete_to = *last;
            self.report(entries, complete_to).await;
        }
        true
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

    /// Reports what was read; says whether it was of another log, which then has to be read.
    async fn tell(&mut self, reading: Reading) -> bool {
        if reading.end.epoch != self.at.epoch {
            // What was read is behind a place in another log.
            self.look_at(&reading.end);
            return true;
        }
        if reading.trimmed > self.at.number {
            let now = Position::at(&self.at.epoch, reading.trimmed);
            self.events.gap(Some(&self.at.position()), &now);
        }
        self.report(reading.entries, reading.complete_to).await;
        false
    }

    /// Reports publications, which are all up to that number.
    async fn report(&mut self, entries: BTreeMap<u64, Bytes>, complete_to: u64) {
        let mut batch: Vec<Delivered> = Vec::with_capacity(entries.len());
        for (number, bytes) in entries {
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
        self.at.number = complete_to;
        let reached = self.at.position();
        if last.as_ref() != Some(&reached) {
            self.events.advanced(&reached);
        }
    }
}
