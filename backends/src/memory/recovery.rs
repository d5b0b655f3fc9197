//! The states of clients that were cut off.

use std::time::Duration;

use tokio::time::Instant;

use super::expiring::{Expiring, FARTHEST};

/// The most states that are kept; those that would end first go first.
pub const MAX_RECOVERY_STATES: usize = 10_000;
/// The most bytes of states and their keys that are kept; those that would end first go first, and one that is larger is refused.
pub const MAX_RECOVERY_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Recovery {
    states: Expiring<Box<str>, Box<[u8]>, Instant>,
    bytes: usize,
}

impl Recovery {
    /// Keeps a state and says whether it could.
    pub(super) fn save(&mut self, key: &str, state: &[u8], ttl: Duration, now: Instant) -> bool {
        let bytes = key.len() + state.len();
        if bytes > MAX_RECOVERY_BYTES {
            return false;
        }
        self.prune(now);
        self.remove(key);
        while self.states.len() >= MAX_RECOVERY_STATES || self.bytes + bytes > MAX_RECOVERY_BYTES {
            let Some((key, state)) = self.states.pop_first_to_end() else {
                break;
            };
            self.bytes -= key.len() + state.len();
        }
        // Everything ends, or it could not make room for others.
        let until = now + ttl.min(FARTHEST);
        self.states.insert(key.into(), state.into(), Some(until));
        self.bytes += bytes;
        true
    }

    pub(super) fn take(&mut self, key: &str, now: Instant) -> Option<Box<[u8]>> {
        self.prune(now);
        self.remove(key)
    }

    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    fn prune(&mut self, now: Instant) {
        while let Some((key, state)) = self.states.pop_expired(now) {
            self.bytes -= key.len() + state.len();
        }
    }

    fn remove(&mut self, key: &str) -> Option<Box<[u8]>> {
        let state = self.states.remove(key)?;
        self.bytes -= key.len() + state.len();
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(120);

    #[test]
    fn a_state_is_taken_once_and_in_time() {
        let (mut recovery, now) = (Recovery::default(), Instant::now());
        assert!(recovery.save("a", b"1", TTL, now));
        assert!(recovery.save("a", b"22", TTL, now));
        assert!(recovery.save("b", b"3", TTL, now));
        assert!(recovery.save("c", b"4", Duration::MAX, now));
        assert_eq!(recovery.take("a", now).as_deref(), Some(b"22".as_slice()));
        assert_eq!(recovery.take("a", now), None);
        assert_eq!(recovery.take("b", now + TTL), None);
        assert!(recovery.take("c", now + TTL).is_some());
        assert_eq!((recovery.len(), recovery.bytes), (0, 0));
    }

    #[test]
    fn number_and_bytes_are_bounded() {
        let (mut recovery, now) = (Recovery::default(), Instant::now());
        for i in 0..=MAX_RECOVERY_STATES {
            recovery.save(&i.to_string(), b"", TTL, now);
        }
        assert_eq!(recovery.len(), MAX_RECOVERY_STATES);
        assert_eq!(recovery.take("0", now), None);
        assert!(recovery.take("1", now).is_some());

        let half = vec![0; MAX_RECOVERY_BYTES / 2];
        for key in ["x", "y"] {
            assert!(recovery.save(key, &half, TTL, now));
        }
        assert_eq!(recovery.len(), 1);
        assert!(recovery.take("y", now).is_some());
        assert!(!recovery.save("z", &vec![0; MAX_RECOVERY_BYTES], TTL, now));
        assert_eq!(recovery.bytes, 0);
    }
}
