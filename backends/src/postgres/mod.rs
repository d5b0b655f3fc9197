//! The traits over Postgres 13 or later, for servers that share what they know.

mod broker;
mod config;
mod connection;
mod error;
mod migrate;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::{
    broker::{
        MAX_PUBLICATION_BYTES, MAX_RECOVERY_BYTES, MAX_WAITING_MESSAGES, PostgresBroker,
        PostgresBrokerBuilder,
    },
    config::PostgresConfig,
    connection::Postgres,
    error::{PostgresError, Source},
};

/// Locks, whether or not someone panicked meanwhile: nothing here runs foreign code under a lock, so what it guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
