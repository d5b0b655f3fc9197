//! Counters of uploads and messages in this process.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use slimy_rt::{
    GuildId,
    metrics::{MetricsError, MetricsSource, Sample, Uploads},
};

use super::lock;

/// The most guilds that are counted singly; uploads of further ones count in the totals only.
pub const MAX_COUNTED_GUILDS: usize = 100_000;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// A [`MetricsSource`] that counts what its program tells it. Clones share the counters, which begin at zero with the process.
///
/// It knows nothing of memory: that is [`ProcessMetrics`](slimy_rt::metrics::ProcessMetrics)'s.
///
/// ```
/// use slimy_rt::GuildId;
/// use slimy_rt::metrics::MetricsSource;
/// use slimy_rt_backends::memory::MemoryMetrics;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let metrics = MemoryMetrics::new();
/// metrics.count_upload(&GuildId::parse("g1")?);
/// assert_eq!(metrics.sample().await?.uploads.map(|uploads| uploads.total), Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryMetrics {
    counters: Arc<Mutex<Counters>>,
}

#[derive(Debug, Default)]
struct Counters {
    messages: u64,
    uploads: u64,
    by_guild: BTreeMap<GuildId, u64>,
    /// The UTC day that `today` counts, in days of Unix time.
    day: u64,
    today: u64,
}

impl MemoryMetrics {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a file that a user of `guild` sent now.
    pub fn count_upload(&self, guild: &GuildId) {
        lock(&self.counters).upload(guild, SystemTime::now());
    }

    /// Counts a chat message.
    pub fn count_message(&self) {
        lock(&self.counters).messages += 1;
    }
}

impl Counters {
    fn upload(&mut self, guild: &GuildId, now: SystemTime) {
        self.turn_to(now);
        self.uploads += 1;
        self.today += 1;
        if let Some(count) = self.by_guild.get_mut(guild) {
            *count += 1;
        } else if self.by_guild.len() < MAX_COUNTED_GUILDS {
            self.by_guild.insert(guild.clone(), 1);
        }
    }

    fn sample(&mut self, now: SystemTime) -> Sample {
        self.turn_to(now);
        Sample {
            uploads: Some(Uploads {
                total: self.uploads,
                today: self.today,
                by_guild: self.by_guild.clone(),
            }),
            chat_messages: Some(self.messages),
            ..Sample::default()
        }
    }

    fn turn_to(&mut self, now: SystemTime) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let day = now.as_secs() / SECONDS_PER_DAY;
        if day != self.day {
            self.day = day;
            self.today = 0;
        }
    }
}

impl fmt::Debug for MemoryMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = lock(&self.counters);
        f.debug_struct("MemoryMetrics")
            .field("uploads", &counters.uploads)
            .field("messages", &counters.messages)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl MetricsSource for MemoryMetrics {
    fn name(&self) -> &str {
        "memory"
    }

    async fn sample(&self) -> Result<Sample, MetricsError> {
        Ok(lock(&self.counters).sample(SystemTime::now()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn guild(id: &str) -> GuildId {
        GuildId::parse(id).unwrap()
    }

    #[test]
    fn today_begins_at_utc_midnight() {
        let midnight = UNIX_EPOCH + Duration::from_secs(20_000 * SECONDS_PER_DAY);
        let before = midnight - Duration::from_millis(1);
        let mut counters = Counters::default();
        counters.upload(&guild("a"), before);
        counters.upload(&guild("b"), before);
        assert_eq!(counters.sample(before).uploads.unwrap().today, 2);
        assert_eq!(counters.sample(midnight).uploads.unwrap().today, 0);
        counters.upload(&guild("a"), midnight);
        let uploads = counters.sample(midnight).uploads.unwrap();
        assert_eq!((uploads.total, uploads.today), (3, 1));
        assert_eq!(uploads.by_guild, [(guild("a"), 2), (guild("b"), 1)].into());
    }

    #[test]
    fn guilds_are_bounded_and_totals_are_not() {
        let mut counters = Counters::default();
        for i in 0..=MAX_COUNTED_GUILDS {
            counters.upload(&guild(&i.to_string()), UNIX_EPOCH);
        }
        assert_eq!(counters.by_guild.len(), MAX_COUNTED_GUILDS);
        assert_eq!(counters.uploads as usize, MAX_COUNTED_GUILDS + 1);
    }

    #[tokio::test]
    async fn clones_share_the_counters() {
        let metrics = MemoryMetrics::new();
        metrics.clone().count_message();
        metrics.clone().count_upload(&guild("g"));
        let sample = metrics.sample().await.unwrap();
        assert_eq!(sample.chat_messages, Some(1));
        assert_eq!(sample.uploads.unwrap().today, 1);
        assert_eq!((metrics.name(), sample.memory), ("memory", None));
    }
}
