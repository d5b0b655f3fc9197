//! Follows the log and the messages, through outages as well.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use slimy_rt::broker::{BrokerEvents, Delivered, Health, Position, Publication};
use sqlx::{PgConnection, postgres::PgListener};
use tokio::{sync::Notify, time::timeout};

use super::{
    super::{Postgres, PostgresError, error::unavailable},
    log::{End, Log, Reading},
    messages::Messages,
};
use crate::{backoff::Backoff, interest::Interests};

/// How long to wait for the doorbell before a look without it: it may have been lost.
const POLL: Duration = Duration::from_secs(1);
/// How many publications are read at once: more when they are small, fewer when they are large.
const COUNT: (usize, usize) = (8, 256);
/// What is a large read, in bytes.
const LARGE: usize = 4 * 1024 * 1024;

/// A node's reading.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) postgres: Postgres,
    pub(super) log: Arc<Log>,
    pub(super) messages: Arc<Messages>,
    pub(super) events: Arc<dyn BrokerEvents>,
    pub(super) shared: Arc<Shared>,
    /// How far the log has been read.
    pub(super) at: End,
}

/// What the reader, the doorbell and the node's interests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) interests: Interests,
    bell: Notify,
    has_messages: AtomicBool,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            interests: Interests::new(),
            bell: Notify::new(),
            has_messages: AtomicBool::new(true),
        }
    }

    /// There is something to read.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }
}

/// Rings whenever somebody has published or sent a message.
pub(super) async fn listen(postgres: Postgres, shared: Arc<Shared>) {
    let mut backoff = Backoff::new();
    loop {
        let listening = async {
            postgres.ready().await?;
            let mut listener = PgListener::connect_with(postgres.pool()).await?;
            listener.listen(&postgres.channel("log")).await?;
            Ok::<_, PostgresError>(listener)
        };
        match listening.await {
            Ok(mut listener) => {
                backoff = Backoff::new();
                // Whatever came before is found by looking.
                shared.has_messages.store(true, SeqCst);
                shared.ring();
                // `None` and an error both say that the connection was lost, and what was rung meanwhile.
                while let Ok(Some(notification)) = listener.try_recv().await {
                    if notification.payload() == "m" {
                        shared.has_messages.store(true, SeqCst);
                    }
                    shared.ring();
                }
            }
            Err(error) => tracing::debug!(%error, "cannot listen to Postgres"),
        }
        backoff.pause().await;
    }
}

impl Reader {
    /// Reads for ever.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let Err(error) = self.follow(&mut backoff).await;
            self.events.health(Health::Down);
            self.messages.give_up();
            tracing::debug!(%error, "reading from Postgres failed");
            backoff.pause().await;
        }
    }

    /// Reads until something fails.
    async fn follow(&mut self, backoff: &mut Backoff) -> Result<Infallible, PostgresError> {
        self.postgres.ready().await?;
        let mut connection = self.postgres.connect().await?;
        let end = self
            .log
            .end()
            .await
            .map_err(|e| unavailable(e.to_string()))?;
        self.look_at(&end);
        let mut count = COUNT.1;
        loop {
            let is_behind = self.read(&mut connection, &mut count).await?;
            *backoff = Backoff::new();
            self.events.health(Health::Up);
            if self.shared.has_messages.swap(false, SeqCst)
                && self.messages.take(&self.events).await?
            {
                self.shared.has_messages.store(true, SeqCst);
                continue;
            }
            if !is_behind && timeout(POLL, self.shared.bell.notified()).await.is_err() {
                self.shared.has_messages.store(true, SeqCst);
            }
        }
    }

    /// Reads once, and says whether there is more.
    async fn read(
        &mut self,
        connection: &mut PgConnection,
        count: &mut usize,
    ) -> Result<bool, PostgresError> {
        let mask = self.shared.interests.mask();
        let reading = self
            .log
            .read(connection, mask, self.at.number, None, *count)
            .await?;
        if self.shared.interests.mask() & !mask != 0 {
            // What came meanwhile for the new rooms lies before the end that was read, and was not read.
            return Ok(true);
        }
        let Some(reading) = reading else {
            // Somebody cleared it. Whoever publishes next begins another.
            return Ok(false);
        };
        let bytes: usize = reading.entries.iter().map(|(_, bytes)| bytes.len()).sum();
        let is_behind = reading.complete_to < reading.end.number;
        *count = if bytes > LARGE {
            *count / 2
        } else {
            *count * 2
        }
        .clamp(COUNT.0, COUNT.1);
        self.tell(reading).await;
        Ok(is_behind)
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
            self.look_at(&reading.end);
            return self.shared.ring();
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
        if self.at.number == reading.complete_to {
            return;
        }
        self.at.number = reading.complete_to;
        let reached = self.at.position();
        if last.as_ref() != Some(&reached) {
            self.events.advanced(&reached);
        }
    }
}
