//! How often the bounds of serving were reached.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::super::bound::bounds;

bounds! {
/// A bound of [`ServeConfig`](super::ServeConfig) that somebody reached.
ServeBound {
    /// A request's headers were not complete in time, or none came on an idle connection, which was closed.
    HeaderReadTimeout = "header_read_timeout",
    /// A request's line and headers were too large, or too many.
    MaxHeaderBytes = "max_header_bytes",
    /// A TLS handshake was not complete in time.
    TlsHandshakeTimeout = "tls_handshake_timeout",
    /// A TCP connection was refused: too many.
    MaxConnections = "max_connections",
    /// A connection did not finish in time after the shutdown began, and was dropped.
    ShutdownTimeout = "shutdown_timeout",
}}

/// How often each bound was reached, by everyone who serves with it. A cheap clone: keep one of a configuration's to read.
#[derive(Clone, Default)]
pub struct ServeCounts(Arc<[AtomicU64; ServeBound::ALL.len()]>);

impl ServeCounts {
    /// How often this bound was reached.
    #[must_use]
    pub fn reached(&self, bound: ServeBound) -> u64 {
        self.0[bound as usize].load(Relaxed)
    }

    pub(super) fn add(&self, bound: ServeBound, times: usize) {
        self.0[bound as usize].fetch_add(times as u64, Relaxed);
    }
}

impl fmt::Debug for ServeCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = ServeBound::ALL
            .iter()
            .map(|b| (b.as_str(), self.reached(*b)));
        f.debug_map().entries(counts).finish()
    }
}
