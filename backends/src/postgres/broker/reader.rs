//! Follows the log and the inbox, through outages as well.

use std::{convert::Infallible, mem, sync::Arc, time::Duration};

use slimy_rt::broker::{BrokerEvents, Delivered, Health, Publication};
use tokio::{sync::Notify, time::Instant};

use super::{
    super::{Postgres, PostgresError, listener::Listener},
    log::{Place, Reading, new_epoch, reading},
    messages::{Bells, Messages},
};
use crate::{backoff::Backoff, interest::Interests};

/// How often it is looked whether a ring was missed, and the connection with it.
const LOOK: Duration = Duration::from_secs(1);

/// A node's reading.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) postgres: Postgres,
    pub(super) messages: Arc<Messages>,
    pub(super) bells: Bells,
    pub(super) events: Arc<dyn BrokerEvents>,
    pub(super) shared: Arc<Shared>,
    /// How far the log has been read.
    pub(super) at: Place,
}

/// What the reader and the node's interests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) interests: Interests,
    /// There is a bucket more to be read.
    pub(super) changed: Notify,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            interests: Interests::new(),
            changed: Notify::new(),
        }
    }
}

/// What is to be looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    log: bool,
    inbox: bool,
}

impl Reader {
    /// Reads for ever, on this connection first.
    pub(super) async fn run(mut self, mut listener: Listener) {
        let mut backoff = Backoff::new();
        loop {
            let Err(error) = self.follow(&mut listener, &mut backoff).await;
            drop(listener);
            self.events.health(Health::Down);
            self.messages.give_up();
            tracing::debug!(%error, "reading from Postgres failed");
            listener = loop {
                backoff.pause().await;
                self.postgres.forget_idle();
                match Listener::connect(&self.postgres, &self.bells.each()).await {
                    Ok(listener) => break listener,
                    Err(error) => tracing::debug!(%error, "Postgres cannot be read from yet"),
                }
            };
        }
    }

    /// Reads until something fails.
    async fn follow(
        &mut self,
        listener: &mut Listener,
        backoff: &mut Backoff,
    ) -> Result<Infallible, PostgresError> {
        // Nobody can say what was missed while nobody listened.
        let mut due = Due {
            log: true,
            inbox: true,
        };
        let mut looked = Instant::now();
        loop {
            while let Some(channel) = listener.heard() {
                self.rings(&mut due, &channel);
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                due = Due {
                    log: true,
                    inbox: true,
                };
            }
            if mem::take(&mut due.inbox) {
                due.inbox = self.messages.read(listener, &self.events).await?;
            }
            if mem::take(&mut due.log) {
                due.log = self.read_log(listener).await?;
            }
            *backoff = Backoff::new();
            self.events.health(self.messages.health());
            if due.log || due.inbox {
                continue;
            }
            let rest = LOOK.saturating_sub(looked.elapsed());
            tokio::select! {
                heard = listener.wait(rest) => {
                    if let Some(channel) = heard? {
                        self.rings(&mut due, &channel);
                    }
                }
                () = self.shared.changed.notified() => due.log = true,
            }
        }
    }

    fn rings(&self, due: &mut Due, channel: &str) {
        due.log |= channel == self.bells.log;
        due.inbox |= channel == self.bells.inbox;
    }

    /// Reports what comes next in the log, and says whether there is more.
    async fn read_log(&mut self, listener: &mut Listener) -> Result<bool, PostgresError> {
        let mask = self.shared.interests.mask();
        let rows = listener
            .rows(reading(self.at.number, mask, i64::MAX))
            .await?;
        let Some(reading) = Reading::new(&rows, i64::MAX)? else {
            listener.rows(new_epoch()).await?;
            return Ok(true);
        };
        if self.shared.interests.mask() & !mask != 0 {
            // What came meanwhile for the new rooms lies before the end that was read, and was not read.
            return Ok(true);
        }
        if reading.end.epoch != self.at.epoch {
            // What was read is behind a place in another log.
            let before = self.at.position();
            self.at = Place {
                epoch: reading.end.epoch,
                number: reading.whole_behind,
            };
            self.events.gap(Some(&before), &self.at.position());
            return Ok(true);
        }
        if reading.whole_behind > self.at.number {
            let before = self.at.position();
            self.at.number = reading.whole_behind;
            self.events.gap(Some(&before), &self.at.position());
        }
        let is_all = reading.complete_to >= reading.end.number;
        self.tell(reading).await;
        Ok(!is_all)
    }

    async fn tell(&mut self, reading: Reading) {
        let place = |number| Place {
            epoch: self.at.epoch.clone(),
            number,
        };
        let mut batch: Vec<Delivered> = Vec::with_capacity(reading.entries.len());
        let mut told = self.at.number;
        for (number, bytes) in reading.entries {
            let position = place(number).position();
            match Publication::from_bytes(&bytes) {
                Ok(publication) => batch.push((Some(position), Arc::new(publication))),
                Err(error) => {
                    tracing::error!(%error, ?position, "a publication cannot be read: it may be of another version");
                    if !batch.is_empty() {
                        self.events.publications(&mem::take(&mut batch)).await;
                    }
                    self.events.gap(Some(&place(told).position()), &position);
                }
            }
            told = number;
        }
        let last = batch.last().and_then(|(position, _)| position.clone());
        if !batch.is_empty() {
            self.events.publications(&batch).await;
        }
        if reading.complete_to > self.at.number {
            self.at.number = reading.complete_to;
            let reached = self.at.position();
            if last.as_ref() != Some(&reached) {
                self.events.advanced(&reached);
            }
        }
    }
}
