//! The shared pool, which connects when it is needed, and the tables, which are made when they are missing.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sqlx::{
    Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{sync::Mutex, time::timeout};

use super::{PostgresConfig, PostgresError, error::unavailable, migrate::migrate};

/// A Postgres database that backends share. A cheap clone. It connects when it is first needed.
#[derive(Clone)]
pub struct Postgres(Arc<Shared>);

struct Shared {
    pool: PgPool,
    options: PgConnectOptions,
    config: PostgresConfig,
    /// Whether the tables are known to be there.
    ready: Mutex<bool>,
}

impl Postgres {
    /// A client of that database. Nothing connects yet.
    #[must_use]
    pub fn new(config: PostgresConfig) -> Self {
        let options = config
            .options
            .clone()
            .options([("search_path", format!("\"{}\"", config.schema))]);
        // Without times of their own for idle connections the pool needs no task, and so no runtime yet.
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(config.connect_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options.clone());
        Self(Arc::new(Shared {
            pool,
            options,
            config,
            ready: Mutex::new(false),
        }))
    }

    /// Connects, and makes the tables that are missing, or checks that none is.
    ///
    /// # Errors
    /// [`PostgresError`] when Postgres cannot be reached, refuses, or has tables of a newer version.
    pub async fn ready(&self) -> Result<(), PostgresError> {
        // Whoever waits here need not look again.
        let mut ready = self.0.ready.lock().await;
        if *ready {
            return Ok(());
        }
        let mut connection = self.connect().await?;
        let config = &self.0.config;
        let migrated = timeout(
            MIGRATION,
            migrate(&mut connection, &config.schema, config.migrate),
        )
        .await;
        migrated.map_err(|_| unavailable("making the tables took too long"))??;
        *ready = true;
        // It is closed with or without a farewell.
        let _ = timeout(config.connect_timeout, connection.close()).await;
        Ok(())
    }

    /// Runs something on a connection of the pool, within the statement's time.
    pub(super) async fn run<T: Send>(
        &self,
        run: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send,
    ) -> Result<T, PostgresError> {
        self.ready().await?;
        let mut connection = self.0.pool.acquire().await?;
        let ran = timeout(self.0.config.statement_timeout, run(&mut connection)).await;
        if !matches!(ran, Ok(Ok(_))) {
            // What state it is in is not known.
            connection.close_on_drop();
        }
        self.seen(ran.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut)))
            .await
    }

    /// Notices that tables are gone which were there.
    pub(super) async fn seen<T>(&self, ran: Result<T, sqlx::Error>) -> Result<T, PostgresError> {
        if let Err(sqlx::Error::Database(error)) = &ran
            && matches!(error.code().as_deref(), Some("42P01" | "3F000" | "42883"))
        {
            *self.0.ready.lock().await = false;
        }
        Ok(ran?)
    }

    /// A connection of one's own.
    pub(super) async fn connect(&self) -> Result<PgConnection, PostgresError> {
        let connected = timeout(
            self.0.config.connect_timeout,
            PgConnection::connect_with(&self.0.options),
        )
        .await;
        Ok(connected.map_err(|_| unavailable("Postgres does not answer in time"))??)
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    pub(super) fn statement_timeout(&self) -> Duration {
        self.0.config.statement_timeout
    }

    /// The name of a channel of this schema's own.
    pub(super) fn channel(&self, name: &str) -> String {
        // Postgres cuts names off after 63 bytes.
        let schema: String = self.0.config.schema.chars().take(48).collect();
        format!("{schema}.{name}")
    }
}

/// How long making all tables may take.
const MIGRATION: Duration = Duration::from_secs(30);

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Postgres").field(&self.0.config).finish()
    }
}
