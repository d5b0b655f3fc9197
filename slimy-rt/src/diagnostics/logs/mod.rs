//! The program's log, as it happens: a bounded ring that a `tracing` layer fills, and subscribers who follow it.
//!
//! Whoever logs only puts an entry into the ring. A task of its own reads it for the subscribers, four times per second; what the ring has lost by then is counted and told.

mod entry;
mod filter;
mod layer;
mod redact;
mod ring;
mod subscribers;

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
};

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, registry::LookupSpan};

pub(super) use self::filter::Wanted;
use self::{
    entry::Entry,
    layer::{Gate, LogLayer},
    ring::Ring,
    subscribers::Subscribers,
};
pub use self::{
    entry::{MAX_FIELDS, MAX_TEXT_BYTES},
    filter::{MAX_BACKLOG, MAX_FILTER_CHARS},
    ring::{MAX_ENTRIES, MAX_RING_BYTES},
    subscribers::{BATCH_INTERVAL, MAX_BATCH, MAX_BATCH_BYTES, MAX_LOG_SUBSCRIBERS},
};
use crate::server::lock;

/// The level that is kept when nobody asks for more.
const USUAL: LevelFilter = LevelFilter::INFO;

/// The program's log. A cheap clone.
///
/// [`layer`](Self::layer) belongs into the program's `tracing` subscriber, and the value into
/// [`Diagnostics`](super::Diagnostics).
/// ```
/// use slimy_rt::diagnostics::Logs;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let logs = Logs::new();
/// let subscriber = tracing_subscriber::registry().with(logs.layer());
/// # tracing::subscriber::with_default(subscriber, || tracing::info!(answer = 42, "hello"));
/// # assert_eq!(logs.entries(), 1);
/// ```
#[derive(Clone)]
pub struct Logs(Arc<Hub>);

#[derive(Debug)]
struct Hub {
    ring: Mutex<Ring>,
    subscribers: Mutex<Subscribers>,
    level: Arc<AtomicU8>,
}

impl Logs {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Hub {
            ring: Mutex::default(),
            subscribers: Mutex::default(),
            level: Arc::new(AtomicU8::new(rank(USUAL))),
        }))
    }

    /// What puts events into the log: those of level `info` and graver, and others while somebody follows them.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        LogLayer::new(self.clone()).with_filter(Gate::new(Arc::clone(&self.0.level)))
    }

    /// How many entries are kept now.
    #[must_use]
    pub fn entries(&self) -> usize {
        lock(&self.0.ring).len()
    }

    fn push(&self, entry: Entry) {
        lock(&self.0.ring).push(entry);
    }

    /// Has events of that level kept, for as long as it stays so.
    fn set_level(&self, level: LevelFilter) {
        let level = level.max(USUAL);
        if self.0.level.swap(rank(level), Ordering::Relaxed) != rank(level) {
            // Whether an event is wanted is remembered where it is written.
            tracing::callsite::rebuild_interest_cache();
        }
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs")
            .field("entries", &self.entries())
            .finish_non_exhaustive()
    }
}

/// A level as a number: the larger, the more is logged.
fn rank(level: LevelFilter) -> u8 {
    LEVELS.iter().position(|l| *l == level).unwrap_or(0) as u8
}

const LEVELS: [LevelFilter; 6] = [
    LevelFilter::OFF,
    LevelFilter::ERROR,
    LevelFilter::WARN,
    LevelFilter::INFO,
    LevelFilter::DEBUG,
    LevelFilter::TRACE,
];

fn of_rank(rank: u8) -> LevelFilter {
    LEVELS.get(usize::from(rank)).copied().unwrap_or(USUAL)
}

#[cfg(test)]
mod tests;
