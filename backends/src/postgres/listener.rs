//! A connection of one's own, on which Postgres rings.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe,
    postgres::{PgListener, PgPoolOptions, PgRow},
};
use tokio::time::timeout;

use super::{
    Postgres, PostgresError,
    connection::Statement,
    error::{is_schema_lost, unavailable},
};

/// A connection that listens, and on which statements run as well: what shows that it is alive shows that it hears.
#[derive(Debug)]
pub(super) struct Listener {
    postgres: Postgres,
    inner: PgListener,
}

impl Listener {
    /// Connects, and listens to these channels from now on.
    pub(super) async fn connect(
        postgres: &Postgres,
        channels: &[&str],
    ) -> Result<Self, PostgresError> {
        // It says what is the matter, which the pool does not.
        postgres.ready().await?;
        let config = postgres.config();
        let settings = config.settings();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(config.connect_timeout)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let settings = settings.clone();
                Box::pin(async move {
                    let settings = sqlx::raw_sql(AssertSqlSafe(settings));
                    settings.execute(connection).await.map(drop)
                })
            })
            .connect_lazy_with(config.options.clone());
        let connecting = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            // What it hears after it came back by itself would hide what it missed.
            listener.eager_reconnect(false);
            listener.listen_all(channels.iter().copied()).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        let connected = timeout(config.patience(), connecting).await;
        let inner = connected.map_err(|_| unavailable("Postgres does not answer in time"))??;
        Ok(Self {
            postgres: postgres.clone(),
            inner,
        })
    }

    /// Runs a statement that gives rows.
    pub(super) async fn rows(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, PostgresError> {
        let running = statement.fetch_all(&mut self.inner);
        match timeout(self.postgres.config().patience(), running).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => {
                if is_schema_lost(&error) {
                    self.postgres.look_again().await;
                }
                Err(error.into())
            }
            Err(_) => Err(unavailable("Postgres does not answer in time")),
        }
    }

    /// The channel of the next ring that was heard already.
    pub(super) fn heard(&mut self) -> Option<String> {
        let ring = self.inner.next_buffered()?;
        Some(ring.channel().to_owned())
    }

    /// Waits for a ring, for so long, and gives its channel. It may be dropped at any time.
    pub(super) async fn wait(&mut self, time: Duration) -> Result<Option<String>, PostgresError> {
        match timeout(time, self.inner.try_recv()).await {
            Ok(Ok(Some(ring))) => Ok(Some(ring.channel().to_owned())),
            Ok(Ok(None)) => Err(unavailable("the connection to Postgres was lost")),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }
}
