//! An orderly end.

use std::{sync::atomic::Ordering, time::Duration};

use super::{Server, link::Command, lock};
use crate::protocol::DisconnectReason;

impl Server {
    /// Shuts the server down within `within`: no further handshakes, every connection's pending output is written, its transport is
    /// closed (WebSockets with 1001, so that clients come back elsewhere by themselves), handlers end, and the broker gets what waits for it.
    ///
    /// Says whether all that was done in time. What was not is dropped.
    ///
    /// # Cancellation
    /// Dropping the future leaves the shutdown begun; call it again to finish.
    pub async fn shutdown(&self, within: Duration) -> bool {
        let core = &self.core;
        core.closing.store(true, Ordering::SeqCst);
        let links: Vec<_> = lock(&core.sessions).values().cloned().collect();
        for link in links {
            link.send(Command::Close(DisconnectReason::ServerShuttingDown));
        }
        core.tasks.close();
        let ended = async {
            core.tasks.wait().await;
            if let Some(cluster) = core.cluster.as_ref().filter(|cluster| cluster.is_up()) {
                cluster.flushed().await;
            }
        };
        let in_time = tokio::time::timeout(within, ended).await.is_ok();
        core.stop.cancel();
        if in_time {
            core.background.wait().await;
        }
        core.sequencer.close();
        in_time
    }
}
