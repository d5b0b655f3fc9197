//! How long a node waits for slow clients before it goes on delivering what others publish.

use std::time::Duration;

use tokio::time::Instant;

/// As long as this at once: what was missed in an outage comes as fast as the engine has it, and clients that read well may need some seconds for it.
const MOST: Duration = Duration::from_secs(5);
/// And then a sixth of the time: a client that reads slowly all the time must not hold up the others.
const SHARE: u32 = 6;

/// How often clients are looked at, at most. In that time a node does not deliver what could be too much for one that reads.
const LOOK: Duration = Duration::from_millis(10);

/// Time that may be spent waiting. It comes back by and by.
#[derive(Debug)]
pub(super) struct Patience {
    left: Duration,
    at: Option<Instant>,
    looked: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            left: MOST,
            at: None,
            looked: None,
        }
    }
}

impl Patience {
    /// Whether the last look at the clients, which are many, was long enough ago.
    pub(super) fn is_time_to_look(&mut self, now: Instant) -> bool {
        let is_time = self.looked.is_none_or(|at| now - at >= LOOK);
        if is_time {
            self.looked = Some(now);
        }
        is_time
    }

    /// Whether that much is left, which is spent then.
    pub(super) fn spend(&mut self, time: Duration, now: Instant) -> bool {
        let since = self.at.replace(now).map_or(Duration::ZERO, |at| now - at);
        self.left = (self.left + since / SHARE).min(MOST);
        let spent = self.left.checked_sub(time);
        self.left = spent.unwrap_or(self.left);
        spent.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_and_comes_back_by_and_by() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        let step = Duration::from_millis(5);
        let mut spend = |from: &mut Instant, for_: Duration| {
            let (end, mut waited) = (*from + for_, Duration::ZERO);
            while *from < end {
                waited += if patience.spend(step, *from) {
                    step
                } else {
                    Duration::ZERO
                };
                *from += step;
            }
            waited
        };
        let first = spend(&mut now, Duration::from_secs(60));
        let most = MOST + Duration::from_secs(60) / SHARE;
        assert!(
            first <= most && first > most - Duration::from_secs(1),
            "{first:?}"
        );
        let second = spend(&mut now, Duration::from_secs(60));
        assert!(
            second <= Duration::from_secs(60) / SHARE + step,
            "{second:?}"
        );
        now += Duration::from_secs(3600);
        assert!(spend(&mut now, Duration::from_secs(5)) > Duration::from_secs(4));
    }
}
