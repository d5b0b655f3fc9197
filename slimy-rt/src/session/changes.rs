//! Changes told to whoever watches, for stores that live in one process.

use futures_util::stream;
use tokio::sync::broadcast::{self, error::RecvError};

use super::{SessionEvent, SessionWatch};

/// How many changes wait for a watcher that does not take them: 1,024. Then it is told [`SessionEvent::Missed`] in their place.
pub const MAX_WAITING_CHANGES: usize = 1_024;

/// Tells changes to everyone who watches: what a store whose writers are all in this process needs for
/// [`SessionStore::watch`](super::SessionStore::watch). A cheap clone.
///
/// ```
/// use futures_util::StreamExt;
/// use slimy_rt::{UserId, session::{SessionChanges, SessionEvent}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let changes = SessionChanges::default();
/// let mut watch = changes.watch();
/// let saved = SessionEvent::Saved(UserId::parse("ann")?);
/// changes.tell(saved.clone());
/// assert_eq!(watch.next().await, Some(saved));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SessionChanges(broadcast::Sender<SessionEvent>);

impl Default for SessionChanges {
    fn default() -> Self {
        Self(broadcast::Sender::new(MAX_WAITING_CHANGES))
    }
}

impl SessionChanges {
    /// Tells a change to everyone who watches now. Tell it after it can be loaded.
    pub fn tell(&self, event: SessionEvent) {
        // The only error is that nobody watches.
        let _ = self.0.send(event);
    }

    /// The changes from now on. The stream ends when every clone of this is gone.
    #[must_use]
    pub fn watch(&self) -> SessionWatch {
        Box::pin(stream::unfold(
            self.0.subscribe(),
            async |mut changes| match changes.recv().await {
                Ok(event) => Some((event, changes)),
                Err(RecvError::Lagged(_)) => Some((SessionEvent::Missed, changes)),
                Err(RecvError::Closed) => None,
            },
        ))
    }

    /// How many watch.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.0.receiver_count()
    }
}
