//! slimy-rt: real-time admin back-ends.
mod ids;
pub use ids::*;
pub mod protocol;
