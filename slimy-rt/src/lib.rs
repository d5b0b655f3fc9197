//! slimy-rt: real-time admin back-ends.
mod ids;
pub use ids::*;
#[cfg(feature = "api")]
pub mod api;
pub mod auth;
pub mod broker;
pub mod chat;
pub mod events;
pub mod metrics;
pub mod protocol;
pub mod server;
pub mod session;
