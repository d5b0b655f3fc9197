//! The log: a table, a row with its end, and a row with what was deleted.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use slimy_rt::{
    NodeId,
    broker::{Audience, BrokerError, HistoryError, Page, Position, Publication},
};
use sqlx::{Row as _, postgres::PgRow};
use tokio::time::sleep;

use super::super::{Postgres, PostgresError, connection::Statement};
use crate::interest::{EVERYONE, buckets_for, buckets_of};

/// The most bytes that a publication may have.
pub const MAX_PUBLICATION_BYTES: usize = 8 * 1024 * 1024;

/// Of how many bytes of publications a statement is made at most: far less than the gigabyte that a value can have.
const MAX_STATEMENT_BYTES: usize = 16 * 1024 * 1024;
/// How many publications are read at once, and of how many bytes: one at least.
const READ: (i32, i64) = (512, 4 * 1024 * 1024);
/// How often the log is trimmed, and how many publications go in one transaction.
const TRIM: (Duration, i32) = (Duration::from_secs(1), 5_000);

/// How much the log keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    pub(super) max_entries: usize,
    pub(super) max_bytes: usize,
}

/// The log, seen from one node.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) postgres: Postgres,
    pub(super) retention: Retention,
    /// Publishing does not wait for the disk.
    pub(super) relaxed: bool,
}

/// A publication on its way into the log.
struct Entry {
    /// Its number among those of the node that publishes it.
    sequence: Option<i64>,
    mask: i64,
    payload: Bytes,
}

/// A place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) epoch: String,
    pub(super) number: i64,
}

impl Place {
    pub(super) fn position(&self) -> Position {
        position(&self.epoch, self.number)
    }
}

/// What was read at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    /// Where the log ends.
    pub(super) end: Place,
    /// What is behind this number is all there.
    pub(super) whole_behind: i64,
    /// The publications, by their numbers.
    pub(super) entries: Vec<(i64, Bytes)>,
    /// Up to where that is all.
    pub(super) complete_to: i64,
}

impl Log {
    /// Puts a node's publications into the log, in order. Those of its own that are in it already stay as they are.
    pub(super) async fn publish(
        &self,
        node: &NodeId,
        batch: &[Arc<Publication>],
    ) -> Result<(), BrokerError> {
        let mut entries = Vec::with_capacity(batch.len());
        for publication in batch {
            let bytes = publication.to_bytes()?;
            if bytes.len() > MAX_PUBLICATION_BYTES.min(self.retention.max_bytes) {
                let text = format!(
                    "a publication of {} bytes is larger than Postgres' log takes: {MAX_PUBLICATION_BYTES}, and no more than `max_bytes`",
                    bytes.len()
                );
                return Err(BrokerError::Invalid(text.into()));
            }
            let own = publication.id.as_ref().filter(|(of, _)| of == node);
            entries.push(Entry {
                sequence: own.map(|(_, sequence)| sequence.cast_signed()),
                mask: buckets_for(&publication.audience).cast_signed(),
                payload: bytes,
            });
        }
        let mut rest = entries.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|entry| {
                bytes += entry.payload.len();
                bytes <= MAX_STATEMENT_BYTES
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            let sequences: Vec<Option<i64>> = now.iter().map(|entry| entry.sequence).collect();
            let masks: Vec<i64> = now.iter().map(|entry| entry.mask).collect();
            let payloads: Vec<&[u8]> = now.iter().map(|entry| &entry.payload[..]).collect();
            let publish = sqlx::query("SELECT publish($1, $2, $3, $4, $5)");
            let publish = publish.bind(node.as_str()).bind(sequences);
            let publish = publish.bind(masks).bind(payloads).bind(self.relaxed);
            self.postgres.execute(publish).await?;
            rest = later;
        }
        Ok(())
    }

    /// Where the log ends.
    pub(super) async fn end(&self) -> Result<Place, PostgresError> {
        Ok(self.read(i64::MAX, 0, i64::MAX).await?.end)
    }

    async fn read(&self, after: i64, buckets: u64, to: i64) -> Result<Reading, PostgresError> {
        loop {
            let rows = self.postgres.rows(reading(after, buckets, to)).await?;
            if let Some(reading) = Reading::new(&rows, to)? {
                return Ok(reading);
            }
            self.postgres.execute(new_epoch()).await?;
        }
    }

    pub(super) async fn history(
        &self,
        after: &Position,
        to: &Position,
        audience: &Audience,
        max: usize,
    ) -> Result<Page, HistoryError> {
        let gone = || HistoryError::Gone;
        let number = |position: &Position| {
            let (epoch, number) = position.parts()?;
            Some((epoch.to_owned(), i64::try_from(number).ok()?))
        };
        let ((epoch, after), (to_epoch, to)) = (
            number(after).ok_or_else(gone)?,
            number(to).ok_or_else(gone)?,
        );
        if epoch != to_epoch {
            return Err(HistoryError::Gone);
        }
        let buckets = if audience.rooms.is_empty() {
            u64::MAX
        } else {
            buckets_of(&audience.rooms) | 1 << EVERYONE
        };
        let mut page = Page {
            publications: Vec::new(),
            complete: false,
        };
        let mut at = after;
        loop {
            let reading = self.read(at, buckets, to).await;
            let reading = reading.map_err(BrokerError::from)?;
            let is_there = reading.end.epoch == epoch
                && to.max(after) <= reading.end.number
                && reading.whole_behind <= at;
            if !is_there {
                return Err(HistoryError::Gone);
            }
            for (number, bytes) in &reading.entries {
                let publication = Publication::from_bytes(bytes)?;
                if !publication.audience.concerns(&audience.rooms) {
                    continue;
                }
                if page.publications.len() == max {
                    return Ok(page);
                }
                let position = position(&epoch, *number);
                page.publications.push((position, publication.into()));
            }
            at = reading.complete_to;
            if at >= to {
                page.complete = true;
                return Ok(page);
            }
        }
    }

    /// Deletes what is too much, again and again.
    pub(super) async fn keep_trimmed(&self) {
        let most = |bound: usize| i64::try_from(bound).unwrap_or(i64::MAX);
        loop {
            sleep(TRIM.0).await;
            loop {
                let trim = sqlx::query("SELECT trim_log($1, $2, $3) >= $3");
                let trim = trim.bind(most(self.retention.max_entries));
                let trim = trim.bind(most(self.retention.max_bytes)).bind(TRIM.1);
                match self.postgres.row(trim).await {
                    Ok(Some(row)) if row.try_get(0).unwrap_or(false) => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::debug!(%error, "the log could not be trimmed");
                        break;
                    }
                }
            }
        }
    }
}

/// Reads the next publications in these buckets behind `after` and up to `to`; [`Reading::new`] makes sense of the rows.
pub(super) fn reading(after: i64, buckets: u64, to: i64) -> Statement<'static> {
    let read = sqlx::query(
        "WITH place AS MATERIALIZED (
           SELECT e.epoch, e.copy = log_copy(e.relaxed) AS is_current, e.last, greatest(e.begun, t.last) AS whole_behind
           FROM log_end e, log_trimmed t
         )
         SELECT p.epoch, p.is_current, p.last, p.whole_behind, l.found, l.id, l.payload
         FROM place p LEFT JOIN LATERAL (
           SELECT id, payload, count(*) OVER () AS found, sum(size) OVER (ORDER BY id) - size AS before
           FROM (
             SELECT id, payload, size FROM log
             WHERE id > $1 AND id <= least($3, p.last) AND mask & $2 <> 0
             ORDER BY id LIMIT $4
           ) AS next
         ) AS l ON l.before < $5
         ORDER BY l.id",
    );
    read.bind(after)
        .bind(buckets.cast_signed())
        .bind(to)
        .bind(READ.0)
        .bind(READ.1)
}

/// Begins a new epoch, if the log is another one than the epoch's.
pub(super) fn new_epoch() -> Statement<'static> {
    sqlx::query("SELECT begin_epoch(false)")
}

impl Reading {
    /// What the rows say. `None`: the log was lost, and has no epoch of its own yet.
    pub(super) fn new(rows: &[PgRow], to: i64) -> Result<Option<Self>, PostgresError> {
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        if !first.try_get::<bool, _>(1)? {
            return Ok(None);
        }
        let end = Place {
            epoch: first.try_get(0)?,
            number: first.try_get(2)?,
        };
        let mut reading = Self {
            whole_behind: first.try_get(3)?,
            entries: Vec::with_capacity(rows.len()),
            complete_to: to.min(end.number),
            end,
        };
        let found: Option<i64> = first.try_get(4)?;
        for row in rows {
            if let Some(number) = row.try_get(5)? {
                let payload: Vec<u8> = row.try_get(6)?;
                reading.entries.push((number, payload.into()));
            }
        }
        let read = i64::try_from(reading.entries.len()).unwrap_or(i64::MAX);
        let is_cut = read >= i64::from(READ.0) || found.is_some_and(|found| read < found);
        if let Some((last, _)) = reading.entries.last().filter(|_| is_cut) {
            reading.complete_to = *last;
        }
        Ok(Some(reading))
    }
}

fn position(epoch: &str, number: i64) -> Position {
    Position::at(epoch, number.unsigned_abs())
}
