//! The log: a table, whose numbers are given out in the order of commits.

use std::sync::Arc;

use bytes::Bytes;
use slimy_rt::{
    NodeId,
    broker::{Audience, BrokerError, HistoryError, Page, Position, Publication},
};
use sqlx::{PgConnection, Row, postgres::PgRow};
use tokio::{sync::Mutex, time::timeout};

use super::super::{Postgres, PostgresError, error::unavailable};
use crate::interest::{EVERYONE, buckets_for, buckets_of};

/// The most bytes that a publication may have.
pub const MAX_PUBLICATION_BYTES: usize = 8 * 1024 * 1024;

/// Selects where the log ends, and what is given. The server's timeline is a part of the epoch: a restored or promoted one may have lost the log's end.
macro_rules! select_end {
    ($more:literal) => {
        concat!(
            "SELECT epoch || ltrim(substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8), '0') AS epoch, last, trimmed, bytes",
            $more
        )
    };
}

/// How much the log keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    pub(super) max_entries: u64,
    pub(super) max_bytes: u64,
}

/// The log, seen from one node.
#[derive(Debug)]
pub(super) struct Log {
    postgres: Postgres,
    retention: Retention,
    /// Publishing has a connection of its own, so that it is one round trip.
    publishing: Mutex<Option<PgConnection>>,
    trimming: Mutex<()>,
}

/// Where the log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) epoch: String,
    pub(super) number: u64,
}

impl End {
    pub(super) fn position(&self) -> Position {
        Position::at(&self.epoch, self.number)
    }
}

/// What was read of the log at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) end: End,
    pub(super) trimmed: u64,
    /// The publications, by their numbers.
    pub(super) entries: Vec<(u64, Bytes)>,
    /// Up to where that is all.
    pub(super) complete_to: u64,
}

impl Log {
    pub(super) fn new(postgres: Postgres, retention: Retention) -> Self {
        Self {
            postgres,
            retention,
            publishing: Mutex::default(),
            trimming: Mutex::default(),
        }
    }

    /// Puts a node's publications into the log, all of them or none, and says where it ends. Those of its own that are in it already stay as they are.
    pub(super) async fn publish(
        self: &Arc<Self>,
        node: &NodeId,
        batch: &[Arc<Publication>],
    ) -> Result<End, BrokerError> {
        let mut payloads = Vec::with_capacity(batch.len());
        let mut buckets = Vec::with_capacity(batch.len());
        let mut sequences = Vec::with_capacity(batch.len());
        for publication in batch {
            let bytes = publication.to_bytes()?;
            if bytes.len() > MAX_PUBLICATION_BYTES || bytes.len() as u64 > self.retention.max_bytes
            {
                let text = format!(
                    "a publication of {} bytes is larger than the log in Postgres takes: {MAX_PUBLICATION_BYTES}, and no more than `max_bytes`",
                    bytes.len()
                );
                return Err(BrokerError::Invalid(text.into()));
            }
            payloads.push(bytes.to_vec());
            buckets.push(buckets_for(&publication.audience).cast_signed());
            let own = publication.id.as_ref().filter(|(n, _)| n == node);
            sequences.push(own.map(|(_, sequence)| sequence.cast_signed()));
        }
        let (end, is_full) = self.append(node, &sequences, &payloads, &buckets).await?;
        if is_full {
            self.trim_beside();
        }
        Ok(end)
    }

    /// Where the log ends; a log is begun if there is none.
    pub(super) async fn end(&self) -> Result<End, BrokerError> {
        Ok(self.append(&NodeId::random(), &[], &[], &[]).await?.0)
    }

    async fn append(
        &self,
        node: &NodeId,
        sequences: &[Option<i64>],
        payloads: &[Vec<u8>],
        buckets: &[i64],
    ) -> Result<(End, bool), PostgresError> {
        self.postgres.ready().await?;
        let mut publishing = self.publishing.lock().await;
        // Taken out: a connection whose statement was given up is not used again.
        let mut connection = match publishing.take() {
            Some(connection) => connection,
            None => self.postgres.connect().await?,
        };
        let epoch = NodeId::random();
        let query = sqlx::query(select_end!(" FROM publish($1, $2, $3, $4, $5, $6)"))
            .bind(node.as_str().as_bytes())
            .bind(sequences)
            .bind(payloads)
            .bind(buckets)
            .bind(&epoch.as_str()[..8])
            .bind(self.postgres.channel("log"))
            .fetch_one(&mut connection);
        let row = timeout(self.postgres.statement_timeout(), query).await;
        let row = row.map_err(|_| unavailable("Postgres does not answer in time"))?;
        let row = self.postgres.seen(row).await?;
        *publishing = Some(connection);
        drop(publishing);
        let (trimmed, bytes) = (number(&row, "trimmed")?, number(&row, "bytes")?);
        let end = end(&row)?;
        let Retention {
            max_entries,
            max_bytes,
        } = self.retention;
        // A tenth more than allowed, so that trimming is worth its while.
        let is_full = end.number - trimmed > max_entries + max_entries / 10 || bytes > max_bytes;
        Ok((end, is_full))
    }

    /// Trims the log, unless that is being done.
    fn trim_beside(self: &Arc<Self>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let Ok(_alone) = this.trimming.try_lock() else {
                return;
            };
            if let Err(error) = this.trim().await {
                tracing::warn!(error = %error, "the log in Postgres was not trimmed");
            }
        });
    }

    /// Takes out what is beyond the bounds, piece by piece.
    async fn trim(&self) -> Result<(), PostgresError> {
        let (entries, bytes) = (
            self.retention.max_entries.cast_signed(),
            (self.retention.max_bytes / 10 * 9).cast_signed(),
        );
        loop {
            let more: bool = self
                .postgres
                .run(|connection| {
                    let query = sqlx::query_scalar("SELECT trim_log($1, $2)")
                        .bind(entries)
                        .bind(bytes);
                    Box::pin(query.fetch_one(connection))
                })
                .await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// What the log has behind a number for these buckets; `None` when there is no log.
    pub(super) async fn read(
        &self,
        connection: &mut PgConnection,
        buckets: u64,
        after: u64,
        to: Option<u64>,
        count: usize,
    ) -> Result<Option<Reading>, PostgresError> {
        // One statement, and so one moment.
        let sql = select_end!(
            ", l.id, l.payload FROM log_end LEFT JOIN LATERAL (\
             SELECT id, payload FROM log WHERE id > $1 AND id <= $2 AND buckets & $3 <> 0 ORDER BY id LIMIT $4) l ON true ORDER BY l.id"
        );
        let query = sqlx::query(sql)
            .bind(after.cast_signed())
            .bind(to.unwrap_or(i64::MAX as u64).cast_signed())
            .bind(buckets.cast_signed())
            .bind(count as i64)
            .fetch_all(connection);
        let rows = timeout(self.postgres.statement_timeout(), query).await;
        let rows = rows.map_err(|_| unavailable("Postgres does not answer in time"))?;
        let rows = self.postgres.seen(rows).await?;
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let (end, trimmed) = (end(first)?, number(first, "trimmed")?);
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(id) = row.try_get::<Option<i64>, _>("id")? {
                entries.push((
                    id.cast_unsigned(),
                    Bytes::from(row.try_get::<Vec<u8>, _>("payload")?),
                ));
            }
        }
        let all = to.unwrap_or(end.number).min(end.number);
        let complete_to = match entries.last() {
            Some((last, _)) if entries.len() >= count => *last,
            _ => all,
        };
        Ok(Some(Reading {
            end,
            trimmed,
            entries,
            complete_to,
        }))
    }

    pub(super) async fn history(
        &self,
        after: &Position,
        to: &Position,
        audience: &Audience,
        max: usize,
    ) -> Result<Page, HistoryError> {
        let gone = || HistoryError::Gone;
        let ((epoch, after), (to_epoch, to)) = (
            after.parts().ok_or_else(gone)?,
            to.parts().ok_or_else(gone)?,
        );
        let is_possible = after.max(to) <= i64::MAX as u64;
        if epoch != to_epoch || !is_possible {
            return Err(HistoryError::Gone);
        }
        let buckets = if audience.rooms.is_empty() {
            u64::MAX
        } else {
            buckets_of(&audience.rooms) | 1 << EVERYONE
        };
        let count = max.clamp(16, 512);
        let mut page = Page {
            publications: Vec::new(),
            complete: false,
        };
        let mut at = after;
        loop {
            let reading = self
                .read_once(buckets, at, to, count)
                .await
                .map_err(BrokerError::from)?;
            let reading = reading.filter(|reading| {
                let end = &reading.end;
                end.epoch == epoch && to.max(after) <= end.number && reading.trimmed <= at
            });
            let reading = reading.ok_or_else(gone)?;
            for (number, bytes) in &reading.entries {
                let publication = Publication::from_bytes(bytes)?;
                if !publication.audience.concerns(&audience.rooms) {
                    continue;
                }
                if page.publications.len() == max {
                    return Ok(page);
                }
                page.publications
                    .push((Position::at(epoch, *number), publication.into()));
            }
            at = reading.complete_to;
            if at >= to {
                page.complete = true;
                return Ok(page);
            }
        }
    }

    async fn read_once(
        &self,
        buckets: u64,
        after: u64,
        to: u64,
        count: usize,
    ) -> Result<Option<Reading>, PostgresError> {
        self.postgres.ready().await?;
        let mut connection = self.postgres.pool().acquire().await?;
        let read = self
            .read(&mut connection, buckets, after, Some(to), count)
            .await;
        if read.is_err() {
            connection.close_on_drop();
        }
        read
    }
}

fn end(row: &PgRow) -> Result<End, PostgresError> {
    Ok(End {
        epoch: row.try_get("epoch")?,
        number: number(row, "last")?,
    })
}

fn number(row: &PgRow, name: &str) -> Result<u64, PostgresError> {
    Ok(row.try_get::<i64, _>(name)?.cast_unsigned())
}
