//! Follows the changes, through outages as well.

use std::{convert::Infallible, time::Duration};

use futures_util::stream;
use slimy_rt::{
    TokenId, UserId,
    session::{SessionEvent, SessionWatch},
};
use sqlx::{Row as _, postgres::PgRow};
use tokio::sync::mpsc;

use super::super::{Postgres, PostgresError, listener::Listener};
use crate::backoff::Backoff;

/// How many changes wait for a watcher that does not take them; the others wait in the table.
const MAX_WAITING: usize = 64;
/// How many changes are read at once.
const COUNT: i64 = 256;
/// How often it is looked whether a ring was missed, and the connection with it.
const LOOK: Duration = Duration::from_secs(1);

/// Where somebody who watches is.
pub(super) struct Watch {
    postgres: Postgres,
    channel: String,
    listener: Listener,
    at: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// Of the table.
    copy: String,
    number: i64,
}

/// What was read.
struct Reading {
    end: Place,
    changes: Vec<(i64, SessionEvent)>,
}

impl Watch {
    /// Begins behind the last change.
    pub(super) async fn begin(postgres: &Postgres) -> Result<Self, PostgresError> {
        let channel = format!("{}:changes", postgres.config().schema);
        let mut listener = Listener::connect(postgres, &[&channel]).await?;
        let at = read(&mut listener, i64::MAX).await?.end;
        Ok(Self {
            postgres: postgres.clone(),
            channel,
            listener,
            at,
        })
    }

    /// The changes from there on, which a task reads as long as somebody has the stream.
    pub(super) fn into_stream(self) -> SessionWatch {
        let (changes, stream) = mpsc::channel(MAX_WAITING);
        tokio::spawn(async move {
            let closed = changes.clone();
            tokio::select! {
                () = closed.closed() => {}
                () = self.run(changes) => {}
            }
        });
        Box::pin(stream::unfold(stream, async |mut stream| {
            Some((stream.recv().await?, stream))
        }))
    }

    async fn run(mut self, changes: mpsc::Sender<SessionEvent>) {
        let mut backoff = Backoff::new();
        loop {
            let Err(error) = self.follow(&changes, &mut backoff).await;
            tracing::debug!(%error, "following changes of sessions failed");
            self.listener = loop {
                backoff.pause().await;
                self.postgres.forget_idle();
                match Listener::connect(&self.postgres, &[&self.channel]).await {
                    Ok(listener) => break listener,
                    Err(error) => {
                        tracing::debug!(%error, "changes of sessions cannot be followed yet")
                    }
                }
            };
        }
    }

    /// Tells changes until something fails.
    async fn follow(
        &mut self,
        changes: &mpsc::Sender<SessionEvent>,
        backoff: &mut Backoff,
    ) -> Result<Infallible, PostgresError> {
        loop {
            // Rings from before are answered by what is read now.
            while self.listener.heard().is_some() {}
            let reading = read(&mut self.listener, self.at.number).await?;
            *backoff = Backoff::new();
            let mut is_complete = true;
            let follows = (1..).zip(&reading.changes);
            let is_whole = reading.end.copy == self.at.copy
                && reading.end.number >= self.at.number
                && follows.fold(true, |is_whole, (i, (number, _))| {
                    is_whole && *number == self.at.number + i
                })
                && (!reading.changes.is_empty() || reading.end.number == self.at.number);
            if is_whole {
                for (number, change) in reading.changes {
                    // Nobody listens any more: then this task is being ended.
                    let _ = changes.send(change).await;
                    self.at.number = number;
                }
                is_complete = self.at.number == reading.end.number;
            } else {
                self.at = reading.end;
                let _ = changes.send(SessionEvent::Missed).await;
            }
            if is_complete {
                self.listener.wait(LOOK).await?;
            }
        }
    }
}

/// Reads the next changes behind that one, and where they end.
async fn read(listener: &mut Listener, after: i64) -> Result<Reading, PostgresError> {
    let read = sqlx::query(
        "SELECT e.copy, e.last, c.id, c.kind, c.subject
         FROM (SELECT copy_of('changes') AS copy, coalesce((SELECT last FROM changes_end), 0) AS last) AS e
         LEFT JOIN LATERAL (
           SELECT id, kind, subject FROM changes WHERE id > $1 ORDER BY id LIMIT $2
         ) AS c ON true
         ORDER BY c.id",
    );
    let rows = listener.rows(read.bind(after).bind(COUNT)).await?;
    let mut reading = Reading {
        end: Place {
            copy: String::new(),
            number: 0,
        },
        changes: Vec::new(),
    };
    for row in rows {
        reading.end = Place {
            copy: row.try_get(0)?,
            number: row.try_get(1)?,
        };
        if let Some(number) = row.try_get::<Option<i64>, _>(2)? {
            reading.changes.push((number, change(&row)?));
        }
    }
    Ok(reading)
}

fn change(row: &PgRow) -> Result<SessionEvent, PostgresError> {
    let (kind, subject): (i16, &str) = (row.try_get(3)?, row.try_get(4)?);
    let event = match kind {
        1 => UserId::parse(subject).ok().map(SessionEvent::Saved),
        2 => UserId::parse(subject).ok().map(SessionEvent::Deleted),
        3 => TokenId::parse(subject).ok().map(SessionEvent::Denied),
        _ => None,
    };
    // Somebody else's, or a newer version's: whatever it was, it is not told.
    Ok(event.unwrap_or(SessionEvent::Missed))
}
