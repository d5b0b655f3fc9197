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
use tokio::{task::JoinHandle, time::timeout};

pub use self::{
    log::MAX_PUBLICATION_BYTES,
    messages::{MAX_INBOX, MAX_MESSAGE_BYTES},
};
use self::{
    log::{Log, Retention},
    messages::Messages,
    reader::{Reader, Shared},
};
use super::{Postgres, PostgresError, listener::Listener, lock, micros};

/// The most bytes of a client's kept state.
pub const MAX_RECOVERY_BYTES: usize = 1024 * 1024;
/// How long leaving may take.
const LEAVE: Duration = Duration::from_millis(500);

/// A [`RoomBroker`] over Postgres.
///
/// The log is a table, and `NOTIFY` only the doorbell. A batch of publications is one statement, and so one round trip; it is in the log when it is on the disk. The log keeps
/// [`max_entries`](PostgresBrokerBuilder::max_entries) and [`max_bytes`](PostgresBrokerBuilder::max_bytes), and what is published until it is next
/// trimmed, within seconds. A publication has at most [`MAX_PUBLICATION_BYTES`]. A node reads what is for rooms that share one of 63 buckets with its own.
///
/// A restart of Postgres changes nothing. Another copy of the log begins a new epoch: a restored backup, a promoted standby, a table that was emptied. Nodes are then told of a gap, and of
/// everything from there on.
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
    synchronous: bool,
}

impl PostgresBrokerBuilder {
    /// How many publications the log keeps: 100,000 by default, at least 1. The oldest go first.
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.retention.max_entries = entries.max(1);
        self
    }

    /// How many bytes the log keeps: 256 MiB by default, at least 1. The oldest go first, and a publication that is larger is refused.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.retention.max_bytes = bytes.max(1);
        self
    }

    /// Whether publishing waits until the disk has it (`synchronous_commit`): so by default. Otherwise it is faster on slow disks, and a crash of Postgres begins a new
    /// epoch, since nodes may then have heard what is lost. From the first node that says so on it holds for the log, whatever the others say.
    pub fn synchronous_commit(mut self, synchronous: bool) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// The broker of one node.
    #[must_use]
    pub fn build(self) -> PostgresBroker {
        let log = Log {
            postgres: self.postgres.clone(),
            retention: self.retention,
            relaxed: !self.synchronous,
        };
        PostgresBroker(Arc::new(Inner {
            log: Arc::new(log),
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
            synchronous: true,
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
        let bells = messages.bells().await?;
        let listener = Listener::connect(postgres, &bells.each()).await?;
        let at = log.end().await?;
        messages.join().await?;
        let position = at.position();
        events.health(Health::Up);
        let reader = Reader {
            postgres: postgres.clone(),
            messages: Arc::clone(&messages),
            bells,
            events,
            shared: Arc::clone(shared),
            at,
        };
        let (keeping, trimming) = (Arc::clone(&messages), Arc::clone(log));
        let mut running = lock(&self.0.running);
        if running.is_some() {
            return Err(BrokerError::Invalid(
                "it is being started twice at once".into(),
            ));
        }
        *running = Some(Running {
            messages,
            tasks: [
                tokio::spawn(reader.run(listener)),
                tokio::spawn(async move { keeping.keep_registered().await }),
                tokio::spawn(async move { trimming.keep_trimmed().await }),
            ],
        });
        Ok(position)
    }

    fn interest(&self, change: Interest<'_>) {
        let Inner { shared, .. } = &*self.0;
        if shared.interests.change(change) {
            shared.changed.notify_one();
        }
    }

    /// See the trait. A large batch goes in several statements, each whole or not at all; what is in the log already is not put in again. One with a publication of more than [`MAX_PUBLICATION_BYTES`] is
    /// [`BrokerError::Invalid`], and nothing of it gets into the log.
    async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
        let messages = self.messages()?;
        let published = self.0.log.publish(messages.node(), batch).await;
        let is_refused = published.as_ref().is_err_and(BrokerError::is_retryable);
        messages.wrote(!is_refused);
        published
    }

    /// See the trait. A started broker soon reports that it has [advanced](BrokerEvents::advanced) up to there.
    async fn end(&self) -> Result<Position, BrokerError> {
        let end = self.0.log.end().await?;
        self.0.shared.changed.notify_one();
        Ok(end.position())
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

    /// See the trait. A request of more than [`MAX_MESSAGE_BYTES`] is [`BrokerError::Invalid`]. A node whose inbox has [`MAX_INBOX`] messages is counted, and says nothing.
    async fn request(
        &self,
        request: &Request,
        replies: ReplySink,
    ) -> Result<Expected, BrokerError> {
        self.messages()?.ask(request, replies).await
    }

    /// See the trait. A state of more than [`MAX_RECOVERY_BYTES`] is [`BrokerError::Invalid`].
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
        let save = sqlx::query(
            "INSERT INTO recovery VALUES ($1, $2, ending($3))
             ON CONFLICT (key) DO UPDATE SET state = EXCLUDED.state, expires_at = EXCLUDED.expires_at",
        );
        let save = save.bind(key.as_bytes()).bind(state).bind(micros(ttl));
        self.0.postgres.execute(save).await?;
        Ok(())
    }

    async fn take_recovery(&self, key: &str) -> Result<Option<Vec<u8>>, BrokerError> {
        let take = sqlx::query(
            "DELETE FROM recovery WHERE key = $1 RETURNING CASE WHEN expires_at > now() THEN state END",
        );
        let row = self.0.postgres.row(take.bind(key.as_bytes())).await?;
        let state = row.map_or(Ok(None), |row| sqlx::Row::try_get(&row, 0));
        Ok(state.map_err(PostgresError::from)?)
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
