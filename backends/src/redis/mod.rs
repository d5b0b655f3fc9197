//! The traits over Redis 6.2 or later, for servers that share what they know.

mod auth;
mod broker;
mod config;
mod connection;
mod error;
mod metrics;
mod session;
mod stream;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::{
    auth::{MAX_TOKEN_LIFE, MAX_TOKENS_PER_USER, MAX_USER_BYTES, RedisTokens},
    broker::{
        MAX_INBOX, MAX_PUBLICATION_BYTES, MAX_RECOVERY_BYTES, RedisBroker, RedisBrokerBuilder,
    },
    config::RedisConfig,
    connection::Redis,
    error::{RedisError, Source},
    metrics::{MAX_COUNTED_GUILDS, NODE_SAMPLE_TTL, RedisMetrics},
    session::{MAX_CHANGES, MAX_DENIED_TOKENS, MAX_SESSION_BYTES, MAX_SESSIONS, RedisSessionStore},
};

/// A script that tells a change.
macro_rules! telling {
    ($file:literal) => {
        redis::Script::new(concat!(
            include_str!("scripts/changes.lua"),
            include_str!($file)
        ))
    };
}
use telling;

/// Locks, whether or not someone panicked meanwhile: nothing here runs foreign code under a lock, so what it guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
