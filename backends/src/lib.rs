//! Implementations of the four slimy-rt traits: [`Authenticator`], [`SessionStore`], [`RoomBroker`] and [`MetricsSource`].
//!
//! Each backend is a module behind a Cargo feature of the same name. A feature makes a backend available; the program constructs it, and nothing is
//! chosen by a feature alone.
//!
//! | feature | module | needs |
//! |---|---|---|
//! | `memory` (default) | [`memory`] | nothing: it lives and ends with the process |
//! | `postgres` | [`postgres`] | Postgres 13 or later |
//! | `redis` | [`redis`] | Redis 6.2 or later |
//!
//! ```
//! # #[cfg(feature = "memory")] {
//! use slimy_rt_backends::memory::{MemoryBroker, MemorySessionStore};
//!
//! let sessions = MemorySessionStore::new(); // a clone is the same store
//! let first = MemoryBroker::new();
//! let second = first.node(); // another node of the same cluster, in this process
//! # let _ = (sessions, second);
//! # }
//! ```
//!
//! Every store is bounded; each bound is a public constant, and its documentation says what happens there.
//!
//! [`Authenticator`]: slimy_rt::auth::Authenticator
//! [`SessionStore`]: slimy_rt::session::SessionStore
//! [`RoomBroker`]: slimy_rt::broker::RoomBroker
//! [`MetricsSource`]: slimy_rt::metrics::MetricsSource

#[cfg(any(feature = "postgres", feature = "redis"))]
mod backoff;
#[cfg(any(feature = "memory", feature = "postgres", feature = "redis"))]
mod credential;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod interest;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod open_requests;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
