//! The traits over PostgreSQL 13 or later, for servers that share what they know and lose none of it.

mod auth;
mod broker;
mod config;
mod connection;
mod error;
mod listener;
mod metrics;
mod migrate;
mod session;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use self::{
    auth::{MAX_TOKEN_LIFE, MAX_TOKENS_PER_USER, MAX_USER_BYTES, PostgresTokens},
    broker::{
        MAX_INBOX, MAX_MESSAGE_BYTES, MAX_PUBLICATION_BYTES, MAX_RECOVERY_BYTES, PostgresBroker,
        PostgresBrokerBuilder,
    },
    config::PostgresConfig,
    connection::Postgres,
    error::{PostgresError, Source},
    metrics::{MAX_SAMPLED_GUILDS, PostgresMetrics},
    session::{MAX_CHANGES, MAX_SESSION_BYTES, PostgresSessionStore},
};

/// What is longer is for ever: a hundred thousand years. A timestamp holds more than twice that.
const LONGEST: Duration = Duration::from_secs(3_155_760_000_000);

/// Locks, whether or not someone panicked meanwhile: nothing here runs foreign code under a lock, so what it guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A time as Postgres counts it: whole microseconds, and one more for what is over them. `None` is for ever.
fn micros(time: Duration) -> Option<i64> {
    if time >= LONGEST {
        return None;
    }
    i64::try_from(time.as_nanos().div_ceil(1_000)).ok()
}
