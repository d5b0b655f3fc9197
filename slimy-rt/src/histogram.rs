//! How long things take: counts in buckets, written by whoever does them and read by whoever reports.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Four buckets for each doubling, from a microsecond to more than a minute: a quantile is at most a quarter too long.
const BUCKETS: usize = 104;
/// The last doubling, of 2^26 microseconds: whatever takes longer counts in its last bucket.
const LAST_OCTAVE: u32 = 26;
/// The octaves whose ends are told as bounds: 128 µs to 8.4 s.
const TOLD: std::ops::RangeInclusive<u32> = 7..=23;

/// Counts durations. Recording is two additions without a lock.
#[derive(Debug)]
pub(crate) struct Histogram {
    sum_us: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            sum_us: AtomicU64::new(0),
            buckets: array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Relaxed);
        self.buckets[bucket_of(us)].fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> Latencies {
        Latencies {
            sum_us: self.sum_us.load(Relaxed),
            buckets: array::from_fn(|index| self.buckets[index].load(Relaxed)),
        }
    }
}

/// How long things took, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies {
    sum_us: u64,
    buckets: [u64; BUCKETS],
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            sum_us: 0,
            buckets: [0; BUCKETS],
        }
    }
}

impl Latencies {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How long they took together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us)
    }

    /// What that share of them, from 0 to 1, did not exceed: at most a quarter too long. Zero when there were none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_micros(end_of(index));
            }
        }
        Duration::ZERO
    }

    /// Some durations, growing, and how many took no longer.
    pub fn bounds(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        TOLD.map(|octave| {
            let end = 1 << octave;
            let buckets = self.buckets.iter().enumerate();
            let within = buckets.take_while(move |(index, _)| end_of(*index) <= end);
            (
                Duration::from_micros(end),
                within.map(|(_, count)| count).sum(),
            )
        })
    }

    /// Those of both.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.sum_us += other.sum_us;
        for (own, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += theirs;
        }
        self
    }

    /// Those since an earlier look.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        self.sum_us = self.sum_us.saturating_sub(earlier.sum_us);
        for (own, before) in self.buckets.iter_mut().zip(&earlier.buckets) {
            *own = own.saturating_sub(*before);
        }
        self
    }
}

fn bucket_of(us: u64) -> usize {
    if us < 4 {
        return us as usize;
    }
    let octave = us.ilog2();
    if octave > LAST_OCTAVE {
        return BUCKETS - 1;
    }
    let quarter = (us >> (octave - 2)) & 3;
    4 + (octave as usize - 2) * 4 + quarter as usize
}

/// The first microsecond behind a bucket.
fn end_of(index: usize) -> u64 {
    let next = index + 1;
    if next <= 4 {
        return next as u64;
    }
    let (octave, quarter) = (2 + (next - 4) / 4, (next - 4) % 4);
    (4 + quarter as u64) << (octave - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut last = 0;
        for us in 0..200_000_u64 {
            let bucket = bucket_of(us);
            assert!(bucket == last || bucket == last + 1, "{us}");
            assert!(us < end_of(bucket), "{us}");
            last = bucket;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(end_of(BUCKETS - 1), 1 << (LAST_OCTAVE + 1));
    }

    #[test]
    fn quantiles_are_at_most_a_quarter_too_long() {
        let histogram = Histogram::default();
        for us in 1..=10_000 {
            histogram.record(Duration::from_micros(us));
        }
        let read = histogram.read();
        for (share, exact) in [(0.5, 5_000.0), (0.95, 9_500.0), (0.99, 9_900.0)] {
            let told = read.quantile(share).as_secs_f64() * 1e6;
            assert!((exact..=exact * 1.26).contains(&told), "{share}: {told}");
        }
        assert_eq!(read.count(), 10_000);
        assert_eq!(read.sum(), Duration::from_micros(50_005_000));
        assert_eq!(Latencies::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn bounds_grow_and_count_what_is_within() {
        let histogram = Histogram::default();
        for us in [100, 130, 300, 20_000_000] {
            histogram.record(Duration::from_micros(us));
        }
        let read = histogram.read();
        let bounds: Vec<_> = read.bounds().collect();
        assert_eq!(bounds[0], (Duration::from_micros(128), 1));
        assert_eq!(bounds[1], (Duration::from_micros(256), 2));
        assert_eq!(bounds[2], (Duration::from_micros(512), 3));
        assert_eq!(bounds.last().map(|(_, count)| *count), Some(3));
        let earlier = read.clone();
        histogram.record(Duration::from_micros(7));
        assert_eq!(histogram.read().since(&earlier).count(), 1);
        assert_eq!(earlier.clone().with(&earlier).count(), 8);
    }
}
