//! Implementations of the four slimy-rt traits: [`Authenticator`], [`SessionStore`], [`RoomBroker`] and [`MetricsSource`].
//!
//! Each backend is a module with the same four files, behind a Cargo feature of the same name. A feature makes a backend available; the program
//! constructs it.
//!
//! | feature | module | needs |
//! |---|---|---|
//! | `memory` (default) | [`memory`] | nothing: it lives and ends with the process |
//!
//! [`Authenticator`]: slimy_rt::auth::Authenticator
//! [`SessionStore`]: slimy_rt::session::SessionStore
//! [`RoomBroker`]: slimy_rt::broker::RoomBroker
//! [`MetricsSource`]: slimy_rt::metrics::MetricsSource

#[cfg(feature = "memory")]
pub mod memory;
