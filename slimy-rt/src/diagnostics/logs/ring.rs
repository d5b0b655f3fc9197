//! The last entries of the log.

use std::{collections::VecDeque, sync::Arc};

use super::entry::Entry;

/// How many entries are kept; the oldest go first.
pub const MAX_ENTRIES: usize = 10_000;
/// How many bytes the entries that are kept may have; the oldest go first.
pub const MAX_RING_BYTES: usize = 8 * 1024 * 1024;

/// Threads may come in another order than they looked at the clock. Further back is a clock that was set.
const OUT_OF_ORDER_MS: u64 = 1_000;

/// Entries, each with a number. Their times are in order.
#[derive(Debug, Default)]
pub(super) struct Ring {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// The number of the first that is kept.
    first: u64,
}

impl Ring {
    pub(super) fn push(&mut self, mut entry: Entry) {
        let last = self.entries.back().map_or(0, |last| last.ts);
        if (entry.ts..entry.ts + OUT_OF_ORDER_MS).contains(&last) {
            entry.ts = last;
        }
        self.bytes += entry.bytes();
        self.entries.push_back(Arc::new(entry));
        while self.entries.len() > MAX_ENTRIES || self.bytes > MAX_RING_BYTES {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
            self.first += 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number of the next entry.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The entries from that number on, at most so many and so many bytes, and how many of those before them are gone.
    pub(super) fn from(&self, number: u64, most: usize, bytes: usize) -> (u64, Vec<Arc<Entry>>) {
        let gone = self.first.saturating_sub(number);
        let skip = usize::try_from(number.max(self.first) - self.first).unwrap_or(usize::MAX);
        let entries = self.entries.iter().skip(skip).take(most);
        (gone, within(entries, bytes).cloned().collect())
    }

    /// All that is kept, oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.iter().cloned().collect()
    }
}

/// As many of them as have no more bytes than that together, and the first in any case.
pub(super) fn within<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry>>,
    bytes: usize,
) -> impl Iterator<Item = &'a Arc<Entry>> {
    let mut seen = 0;
    entries.take_while(move |entry| {
        let is_first = seen == 0;
        seen += entry.bytes();
        is_first || seen <= bytes
    })
}
