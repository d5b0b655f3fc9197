//! Following the changes, through outages as well.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::stream;
use redis::{InfoDict, Script};
use slimy_rt::{
    TokenId, UserId,
    session::{SessionEvent, SessionWatch},
};

use super::super::{Redis, RedisError, connection::role, stream::Connection};
use crate::backoff::Backoff;

/// How long a read waits for something to come.
const BLOCK: Duration = Duration::from_secs(1);
/// How many changes are read at once.
const COUNT: usize = 256;

/// Someone who watches.
#[derive(Debug)]
pub(super) struct Watch {
    redis: Redis,
    changes: String,
    last: Script,
    connection: Option<Connection>,
    /// The run of the server whose changes were read, and the number of the last.
    at: (Arc<str>, u64),
    /// What was read and not told yet.
    events: VecDeque<SessionEvent>,
    backoff: Backoff,
}

/// Its number and its one field.
type Change = (String, Vec<Vec<u8>>);
/// Those of a stream.
type Changes = (String, Vec<Change>);

impl Watch {
    /// Begins behind the last change.
    pub(super) async fn begin(
        redis: Redis,
        changes: String,
        last: Script,
    ) -> Result<Self, RedisError> {
        let mut watch = Self {
            redis,
            changes,
            last,
            connection: None,
            at: ("".into(), 0),
            events: VecDeque::new(),
            backoff: Backoff::new(),
        };
        let (connection, at) = watch.connect().await?;
        (watch.connection, watch.at) = (Some(connection), at);
        Ok(watch)
    }

    /// The changes, for ever.
    pub(super) fn into_stream(self) -> SessionWatch {
        Box::pin(stream::unfold(self, async |mut watch| {
            let event = watch.next().await;
            Some((event, watch))
        }))
    }

    async fn next(&mut self) -> SessionEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            match self.read().await {
                Ok(()) => self.backoff = Backoff::new(),
                // The connection is gone with it.
                Err(error) => {
                    tracing::debug!(%error, "reading the changes of sessions failed");
                    self.backoff.pause().await;
                }
            }
        }
    }

    /// A connection, and where the changes end.
    async fn connect(&self) -> Result<(Connection, (Arc<str>, u64)), RedisError> {
        let timeout = BLOCK + self.redis.command_timeout();
        let mut link = self.redis.connect(timeout, None).await?;
        let ask = self.last.key(&self.changes);
        let last: u64 = ask.invoke_async(&mut link.connection).await?;
        Ok((link.connection, (link.run, last)))
    }

    async fn read(&mut self) -> Result<(), RedisError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let (connection, at) = self.connect().await?;
                // Another run may have lost changes, and given their numbers again.
                if at.0 != self.at.0 || at.1 < self.at.1 {
                    self.at = at;
                    self.events.push_back(SessionEvent::Missed);
                    self.connection = Some(connection);
                    return Ok(());
                }
                connection
            }
        };
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(COUNT);
        read.arg("BLOCK").arg(BLOCK.as_millis() as u64);
        read.arg("STREAMS")
            .arg(&self.changes)
            .arg(format!("{}-0", self.at.1));
        let mut both = redis::pipe();
        both.add_command(read).add_command(role());
        let (read, role): (Option<Vec<Changes>>, InfoDict) =
            both.query_async(&mut connection).await?;
        self.redis.is_primary(&self.at.0, &role)?;
        for (id, field) in read.into_iter().flatten().flat_map(|(_, changes)| changes) {
            self.take(&id, &field);
        }
        self.connection = Some(connection);
        Ok(())
    }

    fn take(&mut self, id: &str, field: &[Vec<u8>]) {
        let number = id.split('-').next().and_then(|number| number.parse().ok());
        let number = number.unwrap_or(self.at.1);
        if number != self.at.1 + 1 {
            self.events.push_back(SessionEvent::Missed);
        }
        self.at.1 = number;
        // What another version tells is somebody's change too.
        self.events
            .extend(event(field).unwrap_or(Some(SessionEvent::Missed)));
    }
}

/// What an entry tells: nothing when it begins the stream. `None`: it is of another version.
fn event(field: &[Vec<u8>]) -> Option<Option<SessionEvent>> {
    let [kind, id] = field else { return None };
    let id = std::str::from_utf8(id).ok()?;
    Some(Some(match kind.as_slice() {
        b"begun" => return Some(None),
        b"saved" => SessionEvent::Saved(UserId::parse(id).ok()?),
        b"deleted" => SessionEvent::Deleted(UserId::parse(id).ok()?),
        b"denied" => SessionEvent::Denied(TokenId::parse(id).ok()?),
        _ => return None,
    }))
}
