//! The traits in this process's memory: for a single node, for several nodes in one process, and for tests.
//!
//! Nothing is shared with other processes and nothing outlives this one.

mod auth;
mod broker;
mod claims;
mod expiring;
mod log;
mod metrics;
mod recovery;
mod session;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::{
    auth::{MIN_TOKEN_BYTES, StaticTokenError, StaticTokens},
    broker::{MAX_WAITING_REQUESTS, MemoryBroker},
    claims::{MAX_CLAIMS, MAX_CLAIMS_PER_USER},
    log::{MAX_LOG_BYTES, MAX_LOG_ENTRIES},
    metrics::{MAX_COUNTED_GUILDS, MemoryMetrics},
    recovery::{MAX_RECOVERY_BYTES, MAX_RECOVERY_STATES},
    session::{MAX_DENIED_TOKENS, MAX_SESSIONS, MemorySessionStore, Replaced},
};

/// Locks, whether or not someone panicked meanwhile: nothing here runs foreign code under a lock, so what it guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
