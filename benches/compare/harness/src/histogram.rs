//! Latencies in buckets, each within 3% of its neighbours: recording one costs a few instructions.

use std::time::Duration;

/// Buckets for each doubling.
const FINE_BITS: u32 = 5;
const FINE: u64 = 1 << FINE_BITS;
const BUCKETS: usize = 64 << FINE_BITS;

/// How often each latency occurred.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS].into(),
            total: 0,
        }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// The latency that this share of the recorded ones did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= rank {
                return Duration::from_nanos(upper(index));
            }
        }
        Duration::ZERO
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < FINE {
        return nanos as usize;
    }
    let doubling = nanos.ilog2() - FINE_BITS;
    let fine = (nanos >> doubling) - FINE;
    ((u64::from(doubling) + 1) * FINE + fine) as usize
}

/// The largest latency of a bucket.
fn upper(index: usize) -> u64 {
    let (doubling, fine) = (index as u64 / FINE, index as u64 % FINE);
    match doubling {
        0 => fine,
        _ => ((FINE + fine + 1) << (doubling - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_is_in_the_bucket_that_ends_at_or_above_it() {
        for nanos in (0..5_000).chain([1 << 20, (1 << 40) + 12_345, u64::MAX >> 1]) {
            let end = upper(bucket(nanos));
            assert!(
                end >= nanos && end <= nanos + nanos / 30 + 1,
                "{nanos} {end}"
            );
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut histogram = Histogram::new();
        for micros in 1..=1_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = histogram.quantile(share).as_secs_f64() * 1e6;
            assert!((found / micros - 1.0).abs() < 0.05, "{share}: {found}");
        }
    }
}
