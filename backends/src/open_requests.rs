//! A node's own requests to the others that are under way: who was asked, and who has answered.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use slimy_rt::{
    NodeId,
    broker::{BrokerError, Expected, Reply, ReplySink},
};

/// How many requests of a node may be under way.
pub(crate) const MAX_OPEN_REQUESTS: usize = 4_096;
/// How long an asker may take to take an answer, for which it has room.
const TAKE: Duration = Duration::from_millis(100);

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

impl OpenRequests {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        // Nothing here runs foreign code under the lock, so that what it guards is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request, before anyone is asked, and gives it an id.
    pub(crate) fn begin(&self, replies: ReplySink) -> Result<String, BrokerError> {
        let mut open = self.lock();
        if open.len() >= MAX_OPEN_REQUESTS {
            open.retain(|_, request| !request.replies.is_closed());
        }
        if open.len() >= MAX_OPEN_REQUESTS {
            return Err(BrokerError::Unavailable(
                "too many requests to other nodes are open".into(),
            ));
        }
        let id = NodeId::random().as_str().to_owned();
        let request = Open {
            waits_for: None,
            early: HashSet::new(),
            replies,
        };
        open.insert(id.clone(), request);
        Ok(id)
    }

    /// Nobody could be asked.
    pub(crate) fn abandon(&self, id: &str) {
        self.lock().remove(id);
    }

    /// These nodes were asked.
    pub(crate) fn asked(&self, id: &str, nodes: Vec<NodeId>) -> Expected {
        let expected = Expected { nodes: nodes.len() };
        let mut open = self.lock();
        if let Some(request) = open.get_mut(id) {
            let early = std::mem::take(&mut request.early);
            let waits_for: HashSet<_> = nodes
                .into_iter()
                .filter(|node| !early.contains(node))
                .collect();
            if waits_for.is_empty() {
                open.remove(id);
            } else {
                request.waits_for = Some(waits_for);
            }
        }
        expected
    }

    /// A node has answered, or will not.
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
            // The asker may be gone. One that does not take its answers holds up nobody for long.
            let _ = tokio::time::timeout(TAKE, replies.send(reply)).await;
        }
    }

    /// Waits no longer for nodes that are not among these.
    pub(crate) fn only(&self, nodes: &[NodeId]) {
        self.lock()
            .retain(|_, request| match &mut request.waits_for {
                Some(waits_for) => {
                    waits_for.retain(|node| nodes.contains(node));
                    !waits_for.is_empty() && !request.replies.is_closed()
                }
                // Who was asking may have been dropped meanwhile, with what it waited on.
                None => !request.replies.is_closed(),
            });
    }

    /// Waits for nobody who was asked.
    pub(crate) fn give_up(&self) {
        self.lock().retain(|_, request| request.waits_for.is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::parse(name).unwrap()
    }

    fn reply(name: &str) -> Option<Reply> {
        Some(Reply::TakenOver { node: node(name) })
    }

    #[tokio::test]
    async fn a_request_ends_when_all_have_answered_or_gone() {
        let open = OpenRequests::default();
        let (sink, mut replies) = ReplySink::channel();
        let id = open.begin(sink).unwrap();
        open.answered(&node("early"), &id, reply("early")).await;
        open.give_up();
        assert_eq!(
            open.asked(&id, vec![node("early"), node("late"), node("gone")])
                .nodes,
            3
        );
        open.answered(&node("late"), &id, reply("late")).await;
        open.answered(&node("late"), &id, reply("late")).await;
        open.answered(&node("stranger"), &id, reply("stranger"))
            .await;
        open.only(&[node("early"), node("late")]);
        let mut count = 0;
        while replies.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, 2);
    }

    #[tokio::test]
    async fn they_are_bounded() {
        let open = OpenRequests::default();
        let (sink, replies) = ReplySink::channel();
        for _ in 0..MAX_OPEN_REQUESTS {
            open.begin(sink.clone()).unwrap();
        }
        assert!(open.begin(sink.clone()).is_err_and(|e| e.is_retryable()));
        drop(replies);
        assert!(
            open.begin(sink).is_ok(),
            "nobody waits for the others any more"
        );
    }
}
