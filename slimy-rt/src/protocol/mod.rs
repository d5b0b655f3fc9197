//! The protocol, pure: no socket, no task, no clock.
pub mod engine;
pub mod frame;
pub mod packet;
pub use frame::EventData;
