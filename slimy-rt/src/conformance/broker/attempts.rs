//! Publishing again: after an error, and after a call that was dropped.

use std::sync::Arc;

use super::{
    super::{
        run::{Verdict, clauses, in_time, same},
        support::{drop_after, poll_counts},
    },
    Harness, Node, batch, publication,
};
use crate::broker::Publication;

/// How many publications a dropped batch has.
const BATCH: u64 = 5;

clauses! { Harness;
    "published-again": "A batch that is in the log already can be published again: `Ok`, and every node is told of it at least once." => published_again,
    "cancelled-publish": "A dropped `publish` has put in a beginning of its batch; published again, all of it is reported, in order." => cancelled_publish,
}

async fn published_again(harness: Harness) -> Verdict {
    let (_cluster, [node]) = harness.nodes().await?;
    let (first, second) = (batch(&node.id, 1..=3), batch(&node.id, 2..=5));
    for batch in [&first, &first, &second] {
        node.publish(batch).await?;
    }
    told_once(&node, 5).await
}

/// Waits for the last publication; leaving out what came before, all up to it were told in order.
async fn told_once(node: &Node, last: u64) -> Verdict {
    node.told.wait_for(&publication(&node.id, last)).await?;
    let seen: Vec<u64> = node.told.first_ids().iter().map(|id| id.1).collect();
    same(
        "the publications, without repetitions",
        &seen,
        &(1..=last).collect(),
    )
}

async fn cancelled_publish(harness: Harness) -> Verdict {
    let (_cluster, [node]) = harness.nodes().await?;
    let mut next = 1;
    for polls in poll_counts() {
        let batch: Vec<Arc<Publication>> = batch(&node.id, next..next + BATCH);
        next += BATCH;
        let publishing = drop_after(polls, node.broker.publish(&batch));
        let ended = in_time("a `publish` that is dropped", publishing).await?;
        node.publish(&batch).await?;
        if ended.is_some() {
            break;
        }
    }
    told_once(&node, next - 1).await
}
