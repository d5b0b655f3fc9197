//! What the tests share: a client, a node, and the examples of the README and the book.

pub mod client;
#[cfg(doctest)]
mod examples;
pub mod node;
pub mod peers;
