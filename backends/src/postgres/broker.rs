//! The log and messenger between nodes, in Postgres.

mod log;
mod messages;
mod reader;

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use slimy_rt::broker::{
    Audience, BrokerError, BrokerEvents, Capabilities, Expected, Health, HistoryError, Interest,
    NodeInfo, Page, Position, Publication, ReplySink, Request, RoomBroker,
};
use sqlx::Row;
use tokio::{task::JoinHandle, time::timeout};

pub use self::{log::MAX_PUBLICATION_BYTES, messages::MAX_WAITING_MESSAGES};
use self::{
    log::{Log, Retention},
    messages::Messages,
    reader::{Reader, Shared, listen},
};
use super::{Postgres, lock};

/// The most bytes of a client's kept state.
pub const MAX_RECOVERY_BYTES: usize = 1024 * 1024;
/// The longest time that a client's state is kept.
const MAX_RECOVERY_TIME: Duration = Duration::from_secs(24 * 3600);
/// How long leaving may take.
const LEAVE: Duration = Duration::from_millis(500);

/// A [`RoomBroker`] over Postgres 13 or later.
///
/// The log is a table, and `NOTIFY` only the doorbell: a node that was away reads on where it had stopped. Numbers are given out in the order of commits. A
/// batch of publications is one statement, and so one round trip and one commit. The log keeps at most [`max_entries`](PostgresBrokerBuilder::max_entries) and
/// [`max_bytes`](PostgresBrokerBuilder::max_bytes). A publication has at most [`MAX_PUBLICATION_BYTES`]. A node reads what is for the rooms that it has members in, as far
/// as their names fall into the same of 63 buckets.
///
/// The log is durable: a restart of the server loses nothing. It begins a new epoch when the table is cleared, and when the server's timeline is another, since a restored or
/// promoted one may have lost the log's end.
///
/// One value is one node's broker; a clone is the same node's.
#[derive(Clone)]
pub struct PostgresBroker(Arc<Inner>);

struct Inner {
    postgres: Postgres,
    log: Arc<Log>,
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

struct Running {
    messages: Arc<Messages>,
    tasks: [JoinHandle<()>; 3],
}

/// Sets what a [`PostgresBroker`] keeps.
#[derive(Clone, Debug)]
#[must_use = "nothing is built before `build`"]
pub struct PostgresBrokerBuilder {
    postgres: Postgres,
    retention: Retention,
}

impl PostgresBrokerBuilder {
    /// How many publications the log keeps: 100,000 by default, up to a tenth more until it is trimmed. The oldest go first.
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.retention.max_entries = entries.clamp(1, i64::MAX as u64 / 2);
        self
    }

    /// How many bytes the log keeps: 256 MiB by default. The oldest go first, and a publication that is larger is refused.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.retention.max_bytes = bytes.clamp(1, i64::MAX as u64 / 2);
        self
    }

    /// The broker of one node.
    #[must_use]
    pub fn build(self) -> PostgresBroker {
        PostgresBroker(Arc::new(Inner {
            log: Arc::new(Log::new(self.postgres.clone(), self.retention)),
            postgres: self.postgres,
            shared: Arc::new(Shared::new()),
            running: Mutex::default(),
        }))
    }
}

impl PostgresBroker {
    /// The broker of one node, which keeps what [`builder`](Self::builder) does by default.
    #[must_use]
    pub fn new(postgres: &Postgres) -> Self {
        Self::builder(postgres).build()
    }

    /// Begins to make a broker that keeps more or less.
    pub fn builder(postgres: &Postgres) -> PostgresBrokerBuilder {
        PostgresBrokerBuilder {
            postgres: postgres.clone(),
            retention: Retention {
                max_entries: 100_000,
                max_bytes: 256 * 1024 * 1024,
            },
        }
    }

    fn messages(&self) -> Result<Arc<Messages>, BrokerError> {
        let running = lock(&self.0.running);
        let running = running.as_ref().ok_or(BrokerError::Stopped)?;
        Ok(Arc::clone(&running.messages))
    }
}

#[async_trait]
impl RoomBroker for PostgresBroker {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            log: true,
            requests: true,
            recovery: true,
            durable: true,
            filters: true,
        }
    }

    /// See the trait. Reports come from tasks of the tokio runtime in which this is called.
    async fn start(
        &self,
        node: &NodeInfo,
        events: Arc<dyn BrokerEvents>,
    ) -> Result<Position, BrokerError> {
        if self.messages().is_ok() {
            return Err(BrokerError::Invalid(
                "stop it before starting it again".into(),
            ));
        }
        let Inner {
            postgres,
            log,
            shared,
            ..
        } = &*self.0;
        let messages = Arc::new(Messages::new(postgres.clone(), node.id.clone()));
        let at = log.end().await?;
        messages.join().await?;
        let position = at.position();
        events.health(Health::Up);
        let reader = Reader {
            postgres: postgres.clone(),
            log: Arc::clone(log),
            messages: Arc::clone(&messages),
            events,
            shared: Arc::clone(shared),
            at,
        };
        let keeping = Arc::clone(&messages);
        let listening = listen(postgres.clone(), Arc::clone(shared));
        let mut running = lock(&self.0.running);
        if running.is_some() {
            return Err(BrokerError::Invalid(
                "it is being started twice at once".into(),
            ));
        }
        *running = Some(Running {
            messages,
            tasks: [
                tokio::spawn(reader.run()),
                tokio::spawn(async move { keeping.keep_registered().await }),
                tokio::spawn(listening),
            ],
        });
        Ok(position)
    }

    fn interest(&self, change: Interest<'_>) {
        let Inner { shared, .. } = &*self.0;
        if shared.interests.change(change) {
            shared.ring();
        }
    }

    /// See the trait. The whole batch gets into the log, or nothing of it; what is in it already is not put in again. One with a publication of more than [`MAX_PUBLICATION_BYTES`] is
    /// [`BrokerError::Invalid`].
    async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
        let messages = self.messages()?;
        self.0.log.publish(messages.node(), batch).await?;
        Ok(())
    }

    async fn end(&self) -> Result<Position, BrokerError> {
        Ok(self.0.log.end().await?.position())
    }

    async fn history(
        &self,
        after: &Position,
        to: &Position,
        audience: &Audience,
        max: usize,
    ) -> Result<Page, HistoryError> {
        self.0.log.history(after, to, audience, max).await
    }

    async fn request(
        &self,
        request: &Request,
        replies: ReplySink,
    ) -> Result<Expected, BrokerError> {
        self.messages()?.ask(request, replies).await
    }

    /// See the trait. A state of more than [`MAX_RECOVERY_BYTES`] is [`BrokerError::Invalid`]; none is kept for longer than a day.
    async fn save_recovery(
        &self,
        key: &str,
        state: &[u8],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        if state.len() > MAX_RECOVERY_BYTES {
            let text = format!("a recovery state has at most {MAX_RECOVERY_BYTES} bytes");
            return Err(BrokerError::Invalid(text.into()));
        }
        let (key, state, seconds) = (
            key.as_bytes().to_vec(),
            state.to_vec(),
            ttl.min(MAX_RECOVERY_TIME).as_secs_f64(),
        );
        let saved = self.0.postgres.run(move |connection| {
            let sql = "INSERT INTO states (key, state, expires) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3)) \
                       ON CONFLICT (key) DO UPDATE SET state = excluded.state, expires = excluded.expires";
            Box::pin(sqlx::query(sql).bind(key).bind(state).bind(seconds).execute(connection))
        });
        saved.await?;
        Ok(())
    }

    async fn take_recovery(&self, key: &str) -> Result<Option<Vec<u8>>, BrokerError> {
        let key = key.as_bytes().to_vec();
        let taken = self.0.postgres.run(move |connection| {
            let sql = "DELETE FROM states WHERE key = $1 RETURNING state, expires > clock_timestamp() AS is_kept";
            Box::pin(sqlx::query(sql).bind(key).fetch_optional(connection))
        });
        let row = taken.await?.filter(|row| row.get("is_kept"));
        Ok(row.map(|row| row.get("state")))
    }

    /// See the trait. A report that is being awaited is dropped.
    async fn stop(&self) {
        let running = lock(&self.0.running).take();
        let Some(Running { messages, tasks }) = running else {
            return;
        };
        for task in tasks {
            task.abort();
            // It says that it was aborted; what counts is that it has ended.
            let _ = task.await;
        }
        // The register forgets a node that could not say goodbye.
        let _ = timeout(LEAVE, messages.leave()).await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.running).take() {
            running.tasks.iter().for_each(JoinHandle::abort);
        }
    }
}

impl fmt::Debug for PostgresBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBroker")
            .field("postgres", &self.0.postgres)
            .field("started", &self.messages().is_ok())
            .finish_non_exhaustive()
    }
}
