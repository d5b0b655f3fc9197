//! The protocol, pure: no task, no socket, no clock. Bytes and time go in, bytes and events come out.

mod arguments;
pub mod client;
mod data;
pub mod engine;
mod frame;
mod json;
pub mod packet;
mod reason;
mod sequence;
pub mod session;

#[cfg(test)]
mod tests;

pub use self::{
    arguments::{ArgumentError, Arguments, Event},
    data::{AckData, EncodeError, EventData, Placeholder},
    frame::{Frame, MAX_CLOSE_REASON, close_frame},
    reason::DisconnectReason,
};
