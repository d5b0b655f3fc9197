//! The log and messenger between nodes, in Redis.

mod log;
mod messages;
mod pushes;
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
use tokio_util::sync::CancellationToken;

pub(super) use self::pushes::Pushes;
pub use self::{log::MAX_PUBLICATION_BYTES, messages::MAX_INBOX};
use self::{
    log::{Log, Retention},
    messages::Messages,
    reader::{Reader, Shared},
};
use super::{Redis, lock};

/// The most bytes of a client's kept state.
pub const MAX_RECOVERY_BYTES: usize = 1024 * 1024;
/// The longest time that a client's state is kept.
const MAX_RECOVERY_TIME: Duration = Duration::from_secs(24 * 3600);
/// How long leaving may take.
const LEAVE: Duration = Duration::from_millis(500);

/// A [`RoomBroker`] over Redis 6.2 or later.
///
/// The log is seventeen streams with one numbering: one for what every node has to hear, and sixteen over which rooms are spread. A node reads those in which
/// it has members. Each keeps at most [`max_entries`](RedisBrokerBuilder::max_entries) and [`max_bytes`](RedisBrokerBuilder::max_bytes). A batch of publications is one
/// script, and so one round trip. A publication has at most [`MAX_PUBLICATION_BYTES`].
///
/// Each run of the server is an epoch, since a restarted or promoted one may have lost the end of the log: nodes are then told of a gap, and of everything
/// from there on.
///
/// One value is one node's broker; a clone is the same node's.
#[derive(Clone)]
pub struct RedisBroker(Arc<Inner>);

struct Inner {
    redis: Redis,
    log: Arc<Log>,
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

struct Running {
    messages: Arc<Messages>,
    tasks: [JoinHandle<()>; 2],
}

/// Sets what a [`RedisBroker`] keeps.
#[derive(Clone, Debug)]
#[must_use = "nothing is built before `build`"]
pub struct RedisBrokerBuilder {
    redis: Redis,
    retention: Retention,
}

impl RedisBrokerBuilder {
    /// How many publications each stream keeps: 100,000 by default, up to a tenth and at most 1,000 more until it is trimmed. The oldest go first.
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.retention.max_entries = entries.max(1);
        self
    }

    /// How many bytes each stream keeps: 32 MiB by default. The oldest go first, and a publication that is larger is refused.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.retention.max_bytes = bytes.max(1);
        self
    }

    /// The broker of one node.
    #[must_use]
    pub fn build(self) -> RedisBroker {
        RedisBroker(Arc::new(Inner {
            log: Arc::new(Log::new(self.redis.clone(), self.retention)),
            redis: self.redis,
            shared: Arc::new(Shared::new()),
            running: Mutex::default(),
        }))
    }
}

impl RedisBroker {
    /// The broker of one node, which keeps what [`builder`](Self::builder) does by default.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        Self::builder(redis).build()
    }

    /// Begins to make a broker that keeps more or less.
    pub fn builder(redis: &Redis) -> RedisBrokerBuilder {
        RedisBrokerBuilder {
            redis: redis.clone(),
            retention: Retention {
                max_entries: 100_000,
                max_bytes: 32 * 1024 * 1024,
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
impl RoomBroker for RedisBroker {
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
            redis, log, shared, ..
        } = &*self.0;
        let stop = CancellationToken::new();
        let messages = Arc::new(Messages::new(redis.clone(), node.id.clone(), stop));
        let lines = Reader::connect(redis).await?;
        let at = log.end().await?;
        messages.join().await?;
        let position = at.position();
        events.health(Health::Up);
        let reader = Reader {
            redis: redis.clone(),
            log: Arc::clone(log),
            messages: Arc::clone(&messages),
            events,
            shared: Arc::clone(shared),
            at,
        };
        let keeping = Arc::clone(&messages);
        let mut running = lock(&self.0.running);
        if running.is_some() {
            return Err(BrokerError::Invalid(
                "it is being started twice at once".into(),
            ));
        }
        *running = Some(Running {
            messages,
            tasks: [
                tokio::spawn(reader.run(lines)),
                tokio::spawn(async move { keeping.keep_registered().await }),
            ],
        });
        Ok(position)
    }

    fn interest(&self, change: Interest<'_>) {
        let Inner { shared, .. } = &*self.0;
        if shared.interests.change(change) {
            shared.changed();
        }
    }

    /// See the trait. The whole batch gets into the log, or nothing of it; what is in it already is not put in again. One with a publication of more than [`MAX_PUBLICATION_BYTES`] is
    /// [`BrokerError::Invalid`].
    async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
        let messages = self.messages()?;
        let published = self.0.log.publish(messages.node(), batch).await;
        // One that can never be published says nothing of the engine.
        messages.wrote(!matches!(&published, Err(error) if error.is_retryable()));
        published.map(|_| ())
    }

    /// See the trait. A started broker soon reports that it has [advanced](BrokerEvents::advanced) up to there.
    async fn end(&self) -> Result<Position, BrokerError> {
        let end = self.0.log.end().await?;
        self.0.shared.changed();
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
        let millis = ttl.min(MAX_RECOVERY_TIME).as_millis().max(1) as u64;
        let mut set = redis::cmd("SET");
        set.arg(self.0.redis.key(&format!("state:{key}")))
            .arg(state)
            .arg("PX")
            .arg(millis);
        Ok(self.0.redis.query(&set).await?)
    }

    async fn take_recovery(&self, key: &str) -> Result<Option<Vec<u8>>, BrokerError> {
        let mut take = redis::cmd("GETDEL");
        take.arg(self.0.redis.key(&format!("state:{key}")));
        Ok(self.0.redis.query(&take).await?)
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

impl fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroker")
            .field("redis", &self.0.redis)
            .field("started", &self.messages().is_ok())
            .finish_non_exhaustive()
    }
}
