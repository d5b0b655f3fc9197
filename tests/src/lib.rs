//! Shared helpers of the tests.

pub mod client;
pub mod node;
