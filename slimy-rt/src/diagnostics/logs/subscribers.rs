//! Who follows the log, and what they are sent.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

use super::{super::admin::may_administer, Logs, Wanted, entry::Entry, layer::silently};
use crate::{
    SocketId,
    events::{Rejection, Socket},
    server::lock,
};

/// How often subscribers get what is new.
pub const BATCH_INTERVAL: Duration = Duration::from_millis(250);
/// The most entries that are looked at for a subscriber at once; further ones come with the next batch.
pub const MAX_BATCH: usize = 1_000;
/// The most bytes of entries, roughly, that are sent to a subscriber at once, its first ones included.
pub const MAX_BATCH_BYTES: usize = 256 * 1024;
/// The most clients that may follow the log of a node at once.
pub const MAX_LOG_SUBSCRIBERS: usize = 64;

/// A client that has so much before it gets nothing new: it reads too slowly.
const BEHIND_BYTES: usize = 256 * 1024;

/// Those who follow the log.
#[derive(Debug, Default)]
pub(super) struct Subscribers(HashMap<SocketId, Subscriber>);

#[derive(Debug)]
struct Subscriber {
    socket: Socket,
    wanted: Wanted,
    /// The number of the next entry that it has not been sent.
    next: u64,
}

/// The event `log:entries`.
#[derive(Serialize)]
struct Batch<'a> {
    entries: &'a [Arc<Entry>],
    dropped: u64,
}

impl Logs {
    /// Has a socket follow the log, in place of what it followed before, and gives the entries that it begins with.
    pub(in crate::diagnostics) fn subscribe(
        &self,
        socket: &Socket,
        wanted: Wanted,
    ) -> Result<Vec<impl Serialize + use<>>, Rejection> {
        let (kept, next) = {
            let ring = lock(&self.0.ring);
            (ring.all(), ring.end())
        };
        // Whoever logs does not wait for this.
        let entries = wanted.backlog_of(&kept);
        let mut subscribers = lock(&self.0.subscribers);
        let all = &mut subscribers.0;
        if all.len() >= MAX_LOG_SUBSCRIBERS && !all.contains_key(socket.id()) {
            return Err(Rejection::new(
                "too_many_subscribers",
                "As many clients as may follow the log already do.",
            ));
        }
        let subscriber = Subscriber {
            socket: socket.clone(),
            wanted,
            next,
        };
        all.insert(socket.id().clone(), subscriber);
        self.follow_levels(&subscribers);
        Ok(entries)
    }

    pub(in crate::diagnostics) fn unsubscribe(&self, socket: &Socket) {
        let mut subscribers = lock(&self.0.subscribers);
        subscribers.0.remove(socket.id());
        self.follow_levels(&subscribers);
    }

    pub(in crate::diagnostics) fn forget_subscribers(&self) {
        let mut subscribers = lock(&self.0.subscribers);
        subscribers.0.clear();
        self.follow_levels(&subscribers);
    }

    /// Sends what is new, until `stop`.
    pub(in crate::diagnostics) async fn run(self, stop: CancellationToken) {
        let mut ticks = interval(BATCH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.send(),
            }
        }
    }

    fn send(&self) {
        let mut subscribers = lock(&self.0.subscribers);
        let before = subscribers.0.len();
        subscribers.0.retain(|_, subscriber| {
            let stays = subscriber.may_follow();
            if stays {
                silently(|| subscriber.send(self));
            }
            stays
        });
        if subscribers.0.len() != before {
            self.follow_levels(&subscribers);
        }
    }

    /// Keeps as much as the one who wants the most. Under the subscribers' lock, so that the last change is the one that stays.
    fn follow_levels(&self, subscribers: &Subscribers) {
        let levels = subscribers.0.values().map(|s| s.wanted.level());
        self.set_level(levels.max().unwrap_or(LevelFilter::OFF));
    }
}

impl Subscriber {
    fn may_follow(&self) -> bool {
        self.socket.is_connected() && may_administer(&self.socket)
    }

    fn send(&mut self, logs: &Logs) {
        // What the ring loses until it has caught up is counted as dropped.
        if self.socket.pending_bytes() > BEHIND_BYTES {
            return;
        }
        let (dropped, mut entries) = lock(&logs.0.ring).from(self.next, MAX_BATCH, MAX_BATCH_BYTES);
        self.next += dropped + entries.len() as u64;
        entries.retain(|entry| self.wanted.wants(entry));
        if entries.is_empty() && dropped == 0 {
            return;
        }
        let batch = Batch {
            entries: &entries,
            dropped,
        };
        // One that has just left needs nothing.
        let _ = self.socket.volatile().emit("log:entries", &batch);
    }
}
