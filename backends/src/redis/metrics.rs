//! Counters that all servers share, and what each of them says of itself.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use redis::Script;
use slimy_rt::{
    GuildId, NodeId,
    metrics::{MetricsError, MetricsSource, NodeSample, Sample, Uploads},
};

use super::{Redis, RedisError, error::refused};

/// The most guilds that are counted singly; uploads of further ones count in the totals only.
pub const MAX_COUNTED_GUILDS: usize = 100_000;
/// After what time a node's figures are too old: tell them more often.
pub const NODE_SAMPLE_TTL: Duration = Duration::from_secs(10);

const SECONDS_PER_DAY: u64 = 24 * 3600;

/// A [`MetricsSource`] of counters in Redis, which outlive the servers that count. It also carries each node's figures to the others.
///
/// It knows nothing of memory: that is [`ProcessMetrics`](slimy_rt::metrics::ProcessMetrics)'s.
#[derive(Clone)]
pub struct RedisMetrics {
    redis: Redis,
    node: NodeId,
    upload: Script,
    nodes: Script,
}

impl RedisMetrics {
    /// The counters of that server and prefix, for this node. Nothing connects yet.
    #[must_use]
    pub fn new(redis: &Redis, node: NodeId) -> Self {
        Self {
            redis: redis.clone(),
            node,
            upload: Script::new(include_str!("scripts/upload.lua")),
            nodes: Script::new(include_str!("scripts/nodes.lua")),
        }
    }

    /// Counts a file that a user of `guild` sent now. The day is that of Redis' clock.
    ///
    /// # Errors
    /// When it is not counted, or cannot be told.
    pub async fn count_upload(&self, guild: &GuildId) -> Result<(), RedisError> {
        let counted: u64 = self
            .redis
            .script(&self.upload, |call, _| {
                call.key(self.redis.key("counters"))
                    .key(self.redis.key("uploads"));
                call.arg(guild.as_str()).arg(MAX_COUNTED_GUILDS);
            })
            .await?;
        tracing::trace!(counted, "an upload was counted");
        Ok(())
    }

    /// Counts a chat message.
    ///
    /// # Errors
    /// When it is not counted, or cannot be told.
    pub async fn count_message(&self) -> Result<(), RedisError> {
        let mut count = redis::cmd("HINCRBY");
        count.arg(self.redis.key("counters")).arg("messages").arg(1);
        self.redis.query::<u64>(&count).await.map(|_| ())
    }

    /// Tells the other nodes this one's figures, for [`NODE_SAMPLE_TTL`].
    ///
    /// # Errors
    /// [`RedisError::Invalid`] when they are another node's; else when they are not told, or it cannot be said.
    pub async fn publish_node(&self, sample: &NodeSample) -> Result<(), RedisError> {
        if sample.id != self.node {
            return Err(refused(format!(
                "{} tells its own figures, and not those of {}",
                self.node, sample.id
            )));
        }
        let figures = serde_json::to_string(sample).map_err(|error| refused(error.to_string()))?;
        self.told(Some(&figures)).await.map(|_| ())
    }

    /// The figures of all nodes that told them within [`NODE_SAMPLE_TTL`], this one included, in the order of their ids.
    ///
    /// # Errors
    /// When it cannot be found out.
    pub async fn nodes(&self) -> Result<Vec<NodeSample>, RedisError> {
        let mut nodes = Vec::new();
        for figures in self.told(None).await? {
            match serde_json::from_str::<NodeSample>(&figures) {
                Ok(node) => nodes.push(node),
                Err(error) => {
                    tracing::warn!(%error, "a node's figures cannot be read: it may be of another version")
                }
            }
        }
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(nodes)
    }

    async fn told(&self, own: Option<&str>) -> Result<Vec<String>, RedisError> {
        self.redis
            .script(&self.nodes, |call, _| {
                call.key(self.redis.key("samples:told"))
                    .key(self.redis.key("samples"));
                call.arg(NODE_SAMPLE_TTL.as_millis() as u64);
                if let Some(figures) = own {
                    call.arg(self.node.as_str()).arg(figures);
                }
            })
            .await
    }
}

#[async_trait]
impl MetricsSource for RedisMetrics {
    fn name(&self) -> &str {
        "redis"
    }

    async fn sample(&self) -> Result<Sample, MetricsError> {
        let mut look = redis::pipe();
        look.atomic();
        look.cmd("TIME");
        look.cmd("HMGET").arg(self.redis.key("counters"));
        look.arg("messages").arg("uploads").arg("day").arg("today");
        look.cmd("HGETALL").arg(self.redis.key("uploads"));
        type Counters = (Option<u64>, Option<u64>, Option<u64>, Option<u64>);
        let ((seconds, _), counters, guilds): ((u64, u64), Counters, BTreeMap<String, u64>) =
            self.redis.pipeline(&look).await?;
        let (messages, uploads, day, today) = counters;
        let is_today = day == Some(seconds / SECONDS_PER_DAY);
        let by_guild = guilds
            .into_iter()
            .filter_map(|(guild, count)| Some((GuildId::parse(&guild).ok()?, count)));
        Ok(Sample {
            uploads: Some(Uploads {
                total: uploads.unwrap_or(0),
                today: today.filter(|_| is_today).unwrap_or(0),
                by_guild: by_guild.collect(),
            }),
            chat_messages: Some(messages.unwrap_or(0)),
            ..Sample::default()
        })
    }
}

impl fmt::Debug for RedisMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisMetrics")
            .field("redis", &self.redis)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
