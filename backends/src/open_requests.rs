//! Requests of this node that wait for the answers of others.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use slimy_rt::{
    NodeId,
    broker::{BrokerError, Reply, ReplySink},
};

/// How many requests of a node may be under way.
const MAX_OPEN_REQUESTS: usize = 4_096;
/// How long one that does not take its answers holds up the others. There is room for all that it expects.
const HANDING_OVER: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct OpenRequests(Mutex<HashMap<String, Open>>);

#[derive(Debug)]
struct Open {
    /// Who has not answered; `None` as long as it is not known who was asked.
    waits_for: Option<HashSet<NodeId>>,
    /// Who has answered before that was known.
    early: HashSet<NodeId>,
    replies: ReplySink,
}

/// A request that is being sent. Dropped without being [asked](Self::asked) it waits for nobody.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    open: &'a OpenRequests,
    id: NodeId,
    is_asked: bool,
}

impl OpenRequests {
    /// A new request. Answers may come from now on.
    pub(crate) fn begin(&self, replies: ReplySink) -> Result<Asking<'_>, BrokerError> {
        let mut open = self.lock();
        if open.len() >= MAX_OPEN_REQUESTS {
            open.retain(|_, request| !request.replies.is_closed());
        }
        if open.len() >= MAX_OPEN_REQUESTS {
            return Err(BrokerError::Unavailable(
                "too many requests to other nodes are open".into(),
            ));
        }
        let id = NodeId::random();
        let request = Open {
            waits_for: None,
            early: HashSet::new(),
            replies,
        };
        open.insert(id.as_str().to_owned(), request);
        Ok(Asking {
            open: self,
            id,
            is_asked: false,
        })
    }

    /// A node has answered, or said that it does not.
    pub(crate) async fn answered(&self, from: &NodeId, id: &str, reply: Option<Reply>) {
        let replies = {
            let mut open = self.lock();
            let Some(request) = open.get_mut(id) else {
                return;
            };
            let is_expected = match &mut request.waits_for {
                Some(waits_for) => waits_for.remove(from),
                None => request.early.insert(from.clone()),
            };
            let replies = request.replies.clone();
            if request.waits_for.as_ref().is_some_and(HashSet::is_empty) {
                open.remove(id);
            }
            is_expected.then_some(replies)
        };
        if let (Some(replies), Some(reply)) = (replies, reply) {
            // The asker may be gone.
            let _ = tokio::time::timeout(HANDING_OVER, replies.send(reply)).await;
        }
    }

    /// Waits no longer for nodes that are not among these.
    pub(crate) fn only(&self, nodes: &[NodeId]) {
        self.lock().retain(|_, request| match &mut request.waits_for {
            Some(waits_for) => {
                waits_for.retain(|node| nodes.contains(node));
                !waits_for.is_empty() && !request.replies.is_closed()
            }
            None => true,
        });
    }

    /// Waits for nobody.
    pub(crate) fn give_up(&self) {
        self.lock().retain(|_, request| request.waits_for.is_none());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        // Nothing here runs foreign code under the lock, so what it guards is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking<'_> {
    /// The request's name among this node's.
    pub(crate) fn id(&self) -> &NodeId {
        &self.id
    }

    /// These nodes were asked.
    pub(crate) fn asked(mut self, nodes: Vec<NodeId>) {
        self.is_asked = true;
        let mut open = self.open.lock();
        let Some(request) = open.get_mut(self.id.as_str()) else {
            return;
        };
        let early = std::mem::take(&mut request.early);
        let others = nodes.into_iter().filter(|node| !early.contains(node));
        let waits_for: HashSet<_> = others.collect();
        if waits_for.is_empty() {
            open.remove(self.id.as_str());
        } else {
            request.waits_for = Some(waits_for);
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.is_asked {
            self.open.lock().remove(self.id.as_str());
        }
    }
}
