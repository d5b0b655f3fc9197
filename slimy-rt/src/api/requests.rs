//! What the routes have answered, counted.

use std::{
    array,
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::StatusCode;

use crate::histogram::{Histogram, Latencies};

/// Status codes are 100 to 599; others do not happen.
const FIRST: u16 = 100;
const CODES: usize = 500;

/// Counts requests, without a lock.
#[derive(Debug)]
pub(super) struct Requests {
    took: Histogram,
    codes: [AtomicU64; CODES],
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            took: Histogram::default(),
            codes: array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Requests {
    pub(super) fn record(&self, status: StatusCode, took: Duration) {
        self.took.record(took);
        let index = usize::from(status.as_u16().saturating_sub(FIRST));
        if let Some(count) = self.codes.get(index) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn read(&self) -> RequestReport {
        let codes = (FIRST..).zip(&self.codes);
        let counts = codes.map(|(code, count)| (code, count.load(Relaxed)));
        RequestReport {
            took: self.took.read(),
            status_codes: counts.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

/// What the routes under [`manners`](super::manners) have answered so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RequestReport {
    /// How long answers took, bodies that are sent in pieces aside.
    pub took: Latencies,
    /// How many answers had each status code.
    pub status_codes: BTreeMap<u16, u64>,
}

impl RequestReport {
    /// How many were the server's own failures: 500 and above.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.status_codes.range(500..).map(|(_, count)| count).sum()
    }
}
