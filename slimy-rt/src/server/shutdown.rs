//! An orderly end.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    Server,
    link::Command,
    lock,
    serve::{ServeConfig, serve},
};
use crate::protocol::DisconnectReason;

/// How much of a shutdown's time may go into writing what is pending.
const FLUSH_SHARE: f64 = 0.8;
/// How long the broker may take at least: to take what waits for it, and then to leave.
const LAST_FLUSH: Duration = Duration::from_millis(500);

impl Server {
    /// Serves whoever connects to `listener` until `until` is over, then shuts down within the configuration's
    /// [`shutdown_timeout`](ServeConfig::shutdown_timeout): sockets first, while new handshakes are refused with 503, then the listener. Says whether the
    /// sockets' part was in time.
    ///
    /// For a program that does nothing else. Beside other routes, mount [`service`](Self::service) and call [`shutdown`](Self::shutdown).
    /// ```no_run
    /// # async fn run(server: slimy_rt::server::Server) -> std::io::Result<()> {
    /// use slimy_rt::server::serve::ServeConfig;
    ///
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3080").await?;
    /// server.run(listener, ServeConfig::default(), std::future::pending()).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancellation
    /// Dropping the future stops listening; the server goes on, and can be shut down.
    pub async fn run(
        &self,
        listener: TcpListener,
        config: ServeConfig,
        until: impl Future<Output = ()>,
    ) -> bool {
        let (stop, within) = (CancellationToken::new(), config.shutdown_timeout);
        let serving = serve(listener, self.service(), config, stop.clone());
        let ending = async {
            until.await;
            // The listener goes last: a client that polls fetches its close by one more request.
            let in_time = self.shutdown(within).await;
            stop.cancel();
            in_time
        };
        tokio::join!(serving, ending).1
    }

    /// Shuts the server down within `within`: no further handshakes, every connection's pending output is written, its transport is
    /// closed (WebSockets with 1001, so that clients come back elsewhere by themselves), handlers end, and the broker gets what waits for it, for which the rest of the
    /// time is there also while it is away (a second and a half more at the most).
    ///
    /// Says whether all that was done in time. What was not is dropped; publications that the other nodes do not get are logged.
    ///
    /// # Cancellation
    /// Dropping the future leaves the shutdown begun; call it again to finish.
    pub async fn shutdown(&self, within: Duration) -> bool {
        let core = &self.core;
        let until = Instant::now() + within;
        core.closing.store(true, Ordering::SeqCst);
        // The first shutdown's time stands. What is left of it is for handlers and the broker.
        let _ = core
            .flush_by
            .set(Instant::now() + within.mul_f64(FLUSH_SHARE));
        let links: Vec<_> = lock(&core.sessions).values().cloned().collect();
        for link in links {
            link.send(Command::Close(DisconnectReason::ServerShuttingDown));
        }
        core.tasks.close();
        let ended = tokio::time::timeout(within, core.tasks.wait())
            .await
            .is_ok();
        let published = match &core.cluster {
            Some(cluster) => {
                let left = until.saturating_duration_since(Instant::now());
                cluster.last_flush(left.max(LAST_FLUSH)).await
            }
            None => true,
        };
        let kept = match &core.recovery {
            Some(recovery) => tokio::time::timeout(LAST_FLUSH, recovery.flushed())
                .await
                .is_ok(),
            None => true,
        };
        core.stop.cancel();
        let stopped = tokio::time::timeout(LAST_FLUSH, core.background.wait())
            .await
            .is_ok();
        core.sequencer.close();
        ended && published && kept && stopped
    }
}
