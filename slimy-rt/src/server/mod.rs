//! The server: what listens, and what decides who may speak to it.

pub mod forwarded;
pub mod origin;
pub mod serve;
#[cfg(feature = "tls")]
pub mod tls;
