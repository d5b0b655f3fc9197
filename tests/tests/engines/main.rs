//! Several nodes of the real program over real engines: what clients see when all is well, and when the engine, a link or a node is not.
//!
//! `SOAK=yes` makes the long ones long.

mod cluster;
mod exchange;
mod operators;
mod outages;
mod recovery;
mod refusals;
mod sessions;
mod talk;
mod tokens;

mod postgres;
mod redis;
