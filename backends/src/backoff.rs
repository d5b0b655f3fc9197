//! Growing pauses with jitter, so that nodes do not come back all at once.

use std::time::Duration;

use slimy_rt::NodeId;

/// The first and the longest pause: an engine that is back is found within half a second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(PAUSES.0)
    }

    /// Waits for between half of a pause and all of it; the next one is twice as long.
    pub(crate) async fn pause(&mut self) {
        // A node's random name is as random as anything.
        let random = NodeId::random().as_str().bytes().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
        let jitter = 0.5 + f64::from(random % 1_024) / 2_048.0;
        tokio::time::sleep(self.0.mul_f64(jitter)).await;
        self.0 = (self.0 * 2).min(PAUSES.1);
    }
}
