//! The traits over Redis 6.2 or later, for servers that share what they know.

mod broker;
mod config;
mod connection;
mod error;
mod session;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::{
    broker::{
        MAX_INBOX, MAX_PUBLICATION_BYTES, MAX_RECOVERY_BYTES, RedisBroker, RedisBrokerBuilder,
    },
    config::RedisConfig,
    connection::Redis,
    error::{RedisError, Source},
    session::{MAX_CHANGES, MAX_DENIED_TOKENS, MAX_SESSION_BYTES, MAX_SESSIONS, RedisSessionStore},
};

/// Locks, whether or not someone panicked meanwhile: nothing here runs foreign code under a lock, so what it guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
