//! An engine that is away, and a log that is lost.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::timeout;

use super::{
    super::{
        run::{Verdict, clauses, ensure, failed, in_time, same},
        support::until,
    },
    Harness, Node, audience, batch, claimed, publication,
    requests::{ask, asked, asking, marked},
};
use crate::{
    NodeId,
    broker::{Health, HistoryError, Reply, ReplySink, Request},
};

/// How long an answer is waited for before the request is made again.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

clauses! { Harness;
    "outage-is-error": "While the engine is away `publish` is an error that `is_retryable`." => outage_is_error,
    "outage-health": "An engine that goes away is reported as `Down`, and as `Up` when it is back." => outage_health,
    "outage-retried": "A batch that failed in an outage and is published again afterwards is reported to every node." => outage_retried,
    "outage-request": "While the engine is away `request` is an error that `is_retryable`, and requests under way end." => outage_request,
    "outage-requests-again": "After an outage requests reach the other nodes again, and answers come back." => outage_requests_again,
    "outage-history": "While the engine is away `history` is an error, and not `Gone`." => outage_history,
    "lost-log-is-gone": "When the log is lost, positions of the old one are `Gone`." => lost_log_is_gone,
    "lost-log-is-told": "When the log is lost, nodes are told of a gap, or were told of everything; and of what comes after." => lost_log_is_told,
}

async fn publish_in_outage(node: &Node) -> Verdict {
    let batch = batch(&node.id, [1]);
    match in_time("publish", node.broker.publish(&batch)).await? {
        Err(error) if error.is_retryable() => Ok(()),
        Err(error) => failed(format!(
            "`publish` to an engine that is away: {error:?} is not retryable"
        )),
        Ok(()) => failed("`publish` to an engine that is away said `Ok`"),
    }
}

async fn outage_is_error(harness: Harness) -> Verdict {
    let (cluster, [node]) = harness.nodes().await?;
    cluster.cut_off().await?;
    publish_in_outage(&node).await
}

async fn outage_health(harness: Harness) -> Verdict {
    let (cluster, [node]) = harness.nodes().await?;
    let told = |health| {
        let told = &node.told;
        move || async move { Ok(told.last_health() == Some(health)) }
    };
    until("a broker that has started reports `Up`", told(Health::Up)).await?;
    cluster.cut_off().await?;
    until(
        "an engine that is away is reported as `Down`",
        told(Health::Down),
    )
    .await?;
    cluster.0.reconnect().await;
    until(
        "an engine that is back is reported as `Up`",
        told(Health::Up),
    )
    .await
}

async fn outage_retried(harness: Harness) -> Verdict {
    let (cluster, [first, second]) = harness.nodes().await?;
    cluster.cut_off().await?;
    let failed_before = batch(&first.id, 1..=3);
    // Whether any of it got there is what nobody knows.
    let _ = in_time("publish", first.broker.publish(&failed_before)).await?;
    cluster.0.reconnect().await;
    until("`publish` works again", || async {
        Ok(in_time("publish", first.broker.publish(&failed_before))
            .await?
            .is_ok())
    })
    .await?;
    for node in [&first, &second] {
        node.told.wait_for(&failed_before[2]).await?;
        let seen: Vec<u64> = node.told.first_ids().iter().map(|id| id.1).collect();
        same(
            "what was published again after the outage",
            &seen,
            &vec![1, 2, 3],
        )?;
    }
    Ok(())
}

async fn outage_request(harness: Harness) -> Verdict {
    let (cluster, [asks, keeps]) = asking(&harness).await?;
    keeps.told.keep_sinks();
    let open = marked("left open");
    let (_, mut answers) = ask(&asks, &open).await?;
    until("the request reaches the other node", || async {
        Ok(asked(&keeps, &open) > 0)
    })
    .await?;
    cluster.cut_off().await?;
    let (replies, _answers) = ReplySink::channel();
    let asking = asks.broker.request(&Request::Nodes, replies);
    match in_time("request", asking).await? {
        Err(error) if error.is_retryable() => {}
        Err(error) => {
            return failed(format!(
                "`request` while the engine is away: {error:?} is not retryable"
            ));
        }
        Ok(expected) => {
            return failed(format!(
                "`request` while the engine is away said `Ok`: {} nodes were asked",
                expected.nodes
            ));
        }
    }
    let what = "a request that was under way when the engine went away";
    match in_time(what, answers.recv()).await? {
        None => Ok(()),
        Some(answer) => failed(format!("{what} was answered by nobody, but got {answer:?}")),
    }
}

/// Whether a request to the one other node gets its answer.
async fn is_answered(node: &Node, sockets: usize) -> Verdict<bool> {
    let (replies, mut answers) = ReplySink::channel();
    let asking = node.broker.request(&Request::Nodes, replies);
    match in_time("request", asking).await? {
        Ok(expected) if expected.nodes == 1 => {}
        // The nodes may need a moment to know of each other again.
        Ok(_) | Err(_) => return Ok(false),
    }
    let answer = timeout(ANSWER_LIMIT, answers.recv()).await;
    Ok(matches!(answer, Ok(Some(Reply::Node { sockets: seen, .. })) if seen == sockets))
}

async fn outage_requests_again(harness: Harness) -> Verdict {
    let (cluster, nodes) = asking::<2>(&harness).await?;
    cluster.cut_off().await?;
    // What it says is another clause's.
    is_answered(&nodes[0], 1).await?;
    cluster.0.reconnect().await;
    for (node, of_other) in [(&nodes[0], 1), (&nodes[1], 0)] {
        until("requests are answered again", || {
            is_answered(node, of_other)
        })
        .await?;
    }
    Ok(())
}

async fn outage_history(harness: Harness) -> Verdict {
    let (cluster, [node]) = harness.nodes().await?;
    claimed(&*node.broker, "log", |can| can.log)?;
    let one = publication(&node.id, 1);
    node.publish_one(&one).await?;
    let Some(to) = node.told.wait_for(&one).await? else {
        return failed("the log is claimed, but a publication was reported without its position");
    };
    cluster.cut_off().await?;
    let all = audience(&[]);
    match in_time("history", node.broker.history(&node.start, &to, &all, 9)).await? {
        Err(HistoryError::Broker(_)) => Ok(()),
        Err(HistoryError::Gone) => failed("`history` while the engine is away said `Gone`"),
        Ok(page) => failed(format!(
            "`history` while the engine is away said `Ok`, with {} publications",
            page.publications.len()
        )),
    }
}

async fn lost_log_is_gone(harness: Harness) -> Verdict {
    let (cluster, [node]) = harness.nodes().await?;
    claimed(&*node.broker, "log", |can| can.log)?;
    let one = publication(&node.id, 1);
    node.publish_one(&one).await?;
    let Some(old) = node.told.wait_for(&one).await? else {
        return failed("the log is claimed, but a publication was reported without its position");
    };
    cluster.lose_log().await?;
    let two = publication(&node.id, 2);
    until("`publish` works on a new log", || async {
        Ok(
            in_time("publish", node.broker.publish(std::slice::from_ref(&two)))
                .await?
                .is_ok(),
        )
    })
    .await?;
    let new = node
        .told
        .wait_for(&two)
        .await?
        .unwrap_or_else(|| old.clone());
    for after in [&old, &node.start] {
        let all = audience(&[]);
        match in_time("history", node.broker.history(after, &new, &all, 9)).await? {
            Err(HistoryError::Gone) => {}
            other => {
                return failed(format!(
                    "`history` behind a place in the log that was lost gave {other:?}"
                ));
            }
        }
    }
    Ok(())
}

async fn lost_log_is_told(harness: Harness) -> Verdict {
    let (cluster, nodes) = harness.nodes::<2>().await?;
    let held_up = cluster.join(super::Recorder::shut()).await?;
    let early = batch(&nodes[0].id, 1..=200);
    for publication in &early {
        nodes[0].publish_one(publication).await?;
    }
    nodes[1].told.wait_for(&early[199]).await?;
    cluster.lose_log().await?;
    held_up.told.open();
    let everyone = || nodes.iter().chain([&held_up]);
    // Without a log, a node that comes back later than the first of these is told of those that come then.
    let last = AtomicU64::new(200);
    until("every node is told of what comes on a new log", || async {
        let next = publication(&nodes[0].id, last.load(Relaxed) + 1);
        let publish = nodes[0].broker.publish(std::slice::from_ref(&next));
        if in_time("publish", publish).await?.is_err() {
            return Ok(false);
        }
        last.fetch_add(1, Relaxed);
        let is_late = |(_, number): &(NodeId, u64)| *number > 200;
        Ok(everyone().all(|node| node.told.ids().iter().any(is_late)))
    })
    .await?;
    let last = last.into_inner();
    for node in everyone() {
        node.told.wait_for(&publication(&nodes[0].id, last)).await?;
        let (told, gaps) = (node.told.first_ids().len() as u64, node.told.gaps());
        ensure!(
            gaps > 0 || told == last,
            "the log was lost; a node was told of {told} of {last} publications, and of no gap"
        );
    }
    Ok(())
}
