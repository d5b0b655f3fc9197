//! The kinds of load.

pub(crate) mod churn;
pub(crate) mod cluster;
pub(crate) mod fanout;
pub(crate) mod growth;
pub(crate) mod handshakes;
pub(crate) mod idle;
