//! The protocol, pure: no socket, no task, no clock.
mod arguments;
mod data;
pub mod engine;
pub mod frame;
mod json;
pub mod packet;
mod reason;

#[cfg(test)]
mod tests;

pub use reason::DisconnectReason;
