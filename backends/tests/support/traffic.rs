//! Nodes that publish while something happens to their engine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use slimy_rt::broker::Publication;
use tokio::{task::JoinHandle, time::sleep};

use super::{
    eventually,
    node::{Node, to_room},
};

/// How many it publishes at once.
pub(crate) const BATCH: usize = 4;

/// A node that publishes all the time, as a server does: in order, and again what could not be said to be there.
pub(crate) struct Traffic {
    node: Arc<Node>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Arc<Publication>>>,
}

impl Traffic {
    pub(crate) fn begin(node: &Arc<Node>) -> Self {
        let (node, stop) = (Arc::clone(node), Arc::new(AtomicBool::new(false)));
        let (publishing, stopped) = (Arc::clone(&node), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut all = Vec::new();
            while !stopped.load(Relaxed) {
                let batch: Vec<_> = (0..BATCH)
                    .map(|_| publishing.publication(to_room("room", "hello")))
                    .collect();
                while let Err(error) = publishing.broker.publish(&batch).await {
                    assert!(error.is_retryable(), "{error}");
                    sleep(Duration::from_millis(20)).await;
                }
                all.extend(batch);
                sleep(Duration::from_millis(1)).await;
            }
            all
        });
        Self { node, stop, task }
    }

    /// How many of its publications that node has been told of.
    pub(crate) fn heard_by(&self, node: &Node) -> usize {
        node.numbers_of(&self.node.id).len()
    }

    /// Waits until that node hears of more, and says how long that took.
    pub(crate) async fn is_heard_by(&self, node: &Node) -> Duration {
        let (before, began) = (self.heard_by(node), Instant::now());
        eventually("more is heard", async || self.heard_by(node) > before + 8).await;
        began.elapsed()
    }

    pub(crate) async fn end(self) -> Vec<Arc<Publication>> {
        self.stop.store(true, Relaxed);
        self.task.await.unwrap()
    }
}

/// Whether numbers grow, so that nothing came twice or out of order.
pub(crate) fn grow(numbers: &[u64]) -> bool {
    numbers.is_sorted_by(|a, b| a < b)
}
