//! Counts of uploads and messages, from tables.

use std::collections::BTreeMap;

use async_trait::async_trait;
use slimy_rt::{
    GuildId,
    metrics::{MetricsError, MetricsSource, Sample, Uploads},
};
use sqlx::Row as _;

use super::{Postgres, PostgresError};

/// The most guilds of a sample: those with the most uploads. The others count in the totals only.
pub const MAX_SAMPLED_GUILDS: i64 = 100_000;

/// A [`MetricsSource`] that counts uploads and chat messages in tables, for all servers together.
///
/// Whoever takes uploads counts them by one statement, `SELECT count_upload('<guild id>')` in the schema, or by [`count_upload`](Self::count_upload). A sample reads a row for
/// each guild, however many uploads there are.
#[derive(Clone, Debug)]
pub struct PostgresMetrics(Postgres);

impl PostgresMetrics {
    /// The counts in that database and schema. Nothing connects yet.
    #[must_use]
    pub fn new(postgres: &Postgres) -> Self {
        Self(postgres.clone())
    }

    /// Counts a file that a user of `guild` sent now.
    ///
    /// # Errors
    /// When it is not counted, or cannot be told.
    pub async fn count_upload(&self, guild: &GuildId) -> Result<(), PostgresError> {
        let count = sqlx::query("SELECT count_upload($1)").bind(guild.as_str());
        self.0.execute(count).await?;
        Ok(())
    }

    /// Counts a chat message.
    ///
    /// # Errors
    /// See [`count_messages`](Self::count_messages).
    pub async fn count_message(&self) -> Result<(), PostgresError> {
        self.count_messages(1).await
    }

    /// Counts so many chat messages: a server with many of them counts them every now and then, and not each for itself.
    ///
    /// # Errors
    /// When they are not counted, or cannot be told.
    pub async fn count_messages(&self, messages: u32) -> Result<(), PostgresError> {
        let count = sqlx::query("SELECT count_messages($1)").bind(i64::from(messages));
        self.0.execute(count).await?;
        Ok(())
    }
}

#[async_trait]
impl MetricsSource for PostgresMetrics {
    fn name(&self) -> &str {
        "postgres"
    }

    async fn sample(&self) -> Result<Sample, MetricsError> {
        // One statement, so that the parts are of one moment. The first row has the totals.
        let sample = sqlx::query(
            "WITH counts AS MATERIALIZED (
               SELECT guild, total, CASE WHEN day = (now() AT TIME ZONE 'UTC')::date THEN today ELSE 0 END AS today FROM uploads
             ), largest AS (
               SELECT guild, total FROM counts ORDER BY total DESC LIMIT $1
             )
             SELECT NULL AS guild, coalesce(sum(total), 0)::bigint, coalesce(sum(today), 0)::bigint,
               (SELECT coalesce(sum(total), 0)::bigint FROM chat_messages)
             FROM counts
             UNION ALL
             SELECT guild, total, 0, 0 FROM largest",
        );
        let rows = self.0.rows(sample.bind(MAX_SAMPLED_GUILDS)).await?;
        let mut sample = Sample::default();
        let mut uploads = Uploads {
            total: 0,
            today: 0,
            by_guild: BTreeMap::new(),
        };
        for row in rows {
            let count = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
            let guild: Option<&str> = row.try_get(0).map_err(PostgresError::from)?;
            let total = count(1).map_err(PostgresError::from)?;
            match guild {
                Some(guild) => {
                    // What no guild is called is somebody else's mistake, and counts in the totals.
                    let guild = GuildId::parse(guild).ok();
                    uploads.by_guild.extend(guild.map(|guild| (guild, total)));
                }
                None => {
                    uploads.total = total;
                    uploads.today = count(2).map_err(PostgresError::from)?;
                    sample.chat_messages = Some(count(3).map_err(PostgresError::from)?);
                }
            }
        }
        sample.uploads = Some(uploads);
        Ok(sample)
    }
}
