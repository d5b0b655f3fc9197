//! What the tests share: clients, a node, the program under attack, and the examples of the README and the book.

pub mod arena;
pub mod chatter;
pub mod client;
#[cfg(doctest)]
mod examples;
pub mod fleet;
pub mod node;
pub mod peers;
pub mod program;
pub mod raw;
pub mod returning;
pub mod token;
