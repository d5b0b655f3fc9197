//! The shared connections, which are made when they are needed and replaced when they break.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    sync::Mutex,
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions as _, PgConnection,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    PostgresConfig, PostgresError,
    error::{is_schema_lost, unavailable},
    lock, migrate,
    session::MAX_CHANGES,
};

/// A connection that was not used for so long may have been cut somewhere on the way without a word.
const IDLE: Duration = Duration::from_secs(300);
/// How often what has expired is deleted, as long as anything is done at all.
const SWEEP: Duration = Duration::from_secs(30);
/// How many rows of each kind a sweep deletes at once.
const SWEPT_AT_ONCE: i32 = 2_000;
/// After how many seconds a message between servers is given up that nobody took.
const MESSAGES_KEPT: f64 = 60.0;
/// For how many seconds a token that has expired is known as such.
const EXPIRED_TOKENS_KEPT: f64 = 3_600.0;

/// A statement with its values.
pub(super) type Statement<'q> = Query<'q, sqlx::Postgres, PgArguments>;

/// A Postgres database that backends share. A cheap clone. It connects when it is first needed, and again whenever connections have broken.
#[derive(Clone)]
pub struct Postgres(Arc<Shared>);

struct Shared {
    config: PostgresConfig,
    /// One for each connection that may be open.
    slots: Arc<Semaphore>,
    idle: Mutex<Idle>,
    /// Whether the schema was found to be this version's.
    is_checked: tokio::sync::Mutex<bool>,
    next_sweep: Mutex<Instant>,
}

#[derive(Default)]
struct Idle {
    /// Grows when a connection breaks: those from before are not used any more.
    generation: u64,
    connections: Vec<(Instant, PgConnection)>,
}

/// A connection in use. Dropped in the middle of something it is closed.
struct Link {
    connection: PgConnection,
    generation: u64,
    _slot: OwnedSemaphorePermit,
}

impl Postgres {
    /// A client of that database. Nothing connects yet.
    #[must_use]
    pub fn new(config: PostgresConfig) -> Self {
        Self(Arc::new(Shared {
            slots: Arc::new(Semaphore::new(
                config.max_connections.min(Semaphore::MAX_PERMITS),
            )),
            idle: Mutex::default(),
            is_checked: tokio::sync::Mutex::default(),
            next_sweep: Mutex::new(Instant::now() + SWEEP),
            config,
        }))
    }

    /// Connects, and makes the schema and its tables or brings them to this version, unless [`migrate`](PostgresConfig::migrate) is off: then it only looks.
    /// Every other call does the same when it is the first; this one is for programs that want to fail at their start.
    ///
    /// # Errors
    /// [`PostgresError`] when Postgres cannot be reached, or the schema cannot be used. The text says what to change.
    pub async fn ready(&self) -> Result<(), PostgresError> {
        self.ping().await
    }

    /// Whether Postgres answers now; the first time it is made [ready](Self::ready), too.
    ///
    /// # Errors
    /// [`PostgresError`] when it does not, or refuses.
    pub async fn ping(&self) -> Result<(), PostgresError> {
        self.execute(sqlx::query("SELECT")).await?;
        Ok(())
    }

    pub(super) fn config(&self) -> &PostgresConfig {
        &self.0.config
    }

    /// Runs a statement and says how many rows it changed.
    pub(super) async fn execute(&self, statement: Statement<'_>) -> Result<u64, PostgresError> {
        let mut link = self.link().await?;
        let running = statement.execute(&mut link.connection);
        let answer = timeout(self.0.config.patience(), running).await;
        let done = self.settle(link, answer).await?;
        Ok(done.rows_affected())
    }

    /// Runs a statement that gives rows.
    pub(super) async fn rows(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, PostgresError> {
        let mut link = self.link().await?;
        let running = statement.fetch_all(&mut link.connection);
        let answer = timeout(self.0.config.patience(), running).await;
        self.settle(link, answer).await
    }

    /// Runs a statement that gives one row, or none.
    pub(super) async fn row(
        &self,
        statement: Statement<'_>,
    ) -> Result<Option<PgRow>, PostgresError> {
        Ok(self.rows(statement).await?.pop())
    }

    /// Looks at the schema, if that was not done yet. For those who have a connection of their own.
    pub(super) async fn check(&self, connection: &mut PgConnection) -> Result<(), PostgresError> {
        let Shared {
            config, is_checked, ..
        } = &*self.0;
        let waiting = timeout(config.patience(), is_checked.lock()).await;
        let mut is_checked = waiting
            .map_err(|_| unavailable("Postgres does not answer whether the tables are there"))?;
        if !*is_checked {
            migrate::ensure(connection, config).await?;
            *is_checked = true;
        }
        Ok(())
    }

    /// The schema was not what it should be: it is looked at again before the next use.
    pub(super) async fn look_again(&self) {
        *self.0.is_checked.lock().await = false;
    }

    async fn link(&self) -> Result<Link, PostgresError> {
        let Shared { config, slots, .. } = &*self.0;
        let connecting = async {
            let slot = Arc::clone(slots).acquire_owned().await;
            let slot = slot.map_err(|_| unavailable("the connections are closed"))?;
            let (generation, idle) = self.idle();
            let connection = match idle {
                Some(connection) => connection,
                None => connect(config).await?,
            };
            Ok::<_, PostgresError>(Link {
                connection,
                generation,
                _slot: slot,
            })
        };
        let connected = timeout(config.connect_timeout, connecting).await;
        let mut link = connected.map_err(|_| {
            self.forget_idle();
            unavailable(
                "Postgres gives no connection within `connect_timeout`: it cannot be reached, or all of `max_connections` are in use",
            )
        })??;
        self.check(&mut link.connection).await?;
        self.sweep_if_due();
        Ok(link)
    }

    fn idle(&self) -> (u64, Option<PgConnection>) {
        let mut idle = lock(&self.0.idle);
        idle.connections.retain(|(since, _)| since.elapsed() < IDLE);
        let connection = idle.connections.pop().map(|(_, connection)| connection);
        (idle.generation, connection)
    }

    /// Connections that nobody uses are probably broken too.
    pub(super) fn forget_idle(&self) {
        let mut idle = lock(&self.0.idle);
        idle.generation += 1;
        idle.connections.clear();
    }

    /// Keeps the connection for the next one if it is still good.
    async fn settle<T>(
        &self,
        link: Link,
        answer: Result<sqlx::Result<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, PostgresError> {
        match answer {
            Ok(Ok(value)) => {
                self.give_back(link);
                Ok(value)
            }
            Ok(Err(error)) => {
                if is_schema_lost(&error) {
                    self.look_again().await;
                }
                let error = PostgresError::from(error);
                // What Postgres answers leaves the connection as it was, unless it is the end.
                match &error {
                    PostgresError::Unavailable { .. } => self.forget_idle(),
                    _ => self.give_back(link),
                }
                Err(error)
            }
            Err(_) => {
                self.forget_idle();
                Err(unavailable("Postgres does not answer in time"))
            }
        }
    }

    fn give_back(&self, link: Link) {
        let mut idle = lock(&self.0.idle);
        if link.generation == idle.generation {
            idle.connections.push((Instant::now(), link.connection));
        }
    }

    /// Deletes what has expired, beside what is being done.
    fn sweep_if_due(&self) {
        {
            let mut next = lock(&self.0.next_sweep);
            if Instant::now() < *next {
                return;
            }
            *next = Instant::now() + SWEEP;
        }
        tokio::spawn(self.clone().sweep());
    }

    // Boxed, since it does itself what it is spawned by.
    fn sweep(self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            loop {
                let sweep = sqlx::query(
                    "SELECT sweep($1, $2, make_interval(secs => $3), make_interval(secs => $4)) >= $1",
                );
                let sweep = sweep.bind(SWEPT_AT_ONCE).bind(MAX_CHANGES);
                let sweep = sweep.bind(MESSAGES_KEPT).bind(EXPIRED_TOKENS_KEPT);
                match self.row(sweep).await {
                    Ok(Some(row)) if sqlx::Row::try_get(&row, 0).unwrap_or(false) => {}
                    Ok(_) => return,
                    // The next one tries again.
                    Err(error) => {
                        return tracing::debug!(%error, "what has expired could not be deleted");
                    }
                }
            }
        })
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Postgres").field(&self.0.config).finish()
    }
}

async fn connect(config: &PostgresConfig) -> Result<PgConnection, PostgresError> {
    let mut connection = config.options.connect().await?;
    let settings = sqlx::raw_sql(sqlx::AssertSqlSafe(config.settings()));
    settings.execute(&mut connection).await?;
    Ok(connection)
}
