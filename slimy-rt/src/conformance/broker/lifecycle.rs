//! Starting, stopping, joining.

use super::{
    super::run::{Verdict, clauses, ensure, failed, in_time, short},
    Harness, QUIET, Recorder, audience, batch, publication, start,
};
use crate::{
    NodeId,
    broker::{BrokerError, HistoryError, NodeInfo, Position, ReplySink, Request, RoomBroker},
};

clauses! { Harness;
    "start-twice": "A broker that has been started and not stopped refuses to start with `Invalid`, and works on." => start_twice,
    "publish-not-started": "`publish` before `start` is `Stopped`." => publish_not_started,
    "publish-stopped": "`publish` after `stop` is `Stopped`." => publish_stopped,
    "stop-silences": "After `stop` nothing is reported any more; the other nodes go on." => stop_silences,
    "stop-again": "`stop` of a broker that is not started does nothing." => stop_again,
    "start-anew": "A stopped broker can be started again." => start_anew,
    "join-later": "A node is told of everything from its `start` on, and of nothing before." => join_later,
    "capabilities-honest": "What is not claimed is refused and not feigned; `request` may also say that it asked no node." => capabilities_honest,
}

async fn start_twice(harness: Harness) -> Verdict {
    let (_cluster, [node]) = harness.nodes().await?;
    let second = Recorder::new();
    for id in [node.id.clone(), NodeId::random()] {
        let info = NodeInfo { id };
        let starting = node.broker.start(&info, second.clone());
        match in_time("the second `start`", starting).await? {
            Err(BrokerError::Invalid(_)) => {}
            other => return failed(format!("the second `start` gave {other:?}, not `Invalid`")),
        }
    }
    let one = publication(&node.id, 1);
    node.publish_one(&one).await?;
    node.told.wait_for(&one).await?;
    ensure!(
        second.ids().is_empty(),
        "the node that was refused was told of a publication"
    );
    Ok(())
}

async fn publish_refused(broker: &dyn RoomBroker, node: &NodeId, when: &str) -> Verdict {
    let batch = batch(node, [1]);
    match in_time("publish", broker.publish(&batch)).await? {
        Err(BrokerError::Stopped) => Ok(()),
        other => failed(format!("`publish` {when} gave {other:?}, not `Stopped`")),
    }
}

async fn publish_not_started(harness: Harness) -> Verdict {
    let (_cluster, broker) = harness.alone().await?;
    publish_refused(&*broker, &NodeId::random(), "before `start`").await
}

async fn publish_stopped(harness: Harness) -> Verdict {
    let (_cluster, [node]) = harness.nodes().await?;
    node.stop().await?;
    publish_refused(&*node.broker, &node.id, "after `stop`").await
}

async fn stop_silences(harness: Harness) -> Verdict {
    let (_cluster, [stays, stops]) = harness.nodes().await?;
    let (one, two) = (publication(&stays.id, 1), publication(&stays.id, 2));
    stays.publish_one(&one).await?;
    stops.told.wait_for(&one).await?;
    stops.stop().await?;
    let before = stops.told.ids().len();
    stays.publish_one(&two).await?;
    stays.told.wait_for(&two).await?;
    // What a stopped node is told wrongly comes about when the others are told: a third one gives it time.
    let three = publication(&stays.id, 3);
    stays.publish_one(&three).await?;
    stays.told.wait_for(&three).await?;
    tokio::time::sleep(QUIET).await;
    let after = stops.told.ids().len();
    ensure!(
        after == before,
        "after `stop` returned, {} more publications were reported",
        after - before
    );
    Ok(())
}

async fn stop_again(harness: Harness) -> Verdict {
    let (_cluster, broker) = harness.alone().await?;
    in_time("`stop` before `start`", broker.stop()).await?;
    let (id, told) = (NodeId::random(), Recorder::new());
    start(&*broker, &id, &told).await?;
    in_time("stop", broker.stop()).await?;
    in_time("the second `stop`", broker.stop()).await
}

async fn start_anew(harness: Harness) -> Verdict {
    let (_cluster, [node]) = harness.nodes().await?;
    let one = publication(&node.id, 1);
    node.publish_one(&one).await?;
    node.told.wait_for(&one).await?;
    node.stop().await?;
    let told = Recorder::new();
    start(&*node.broker, &node.id, &told).await?;
    let two = publication(&node.id, 2);
    node.publish_one(&two).await?;
    told.wait_for(&two).await?;
    let seen = told.ids();
    ensure!(
        !seen.contains(&(node.id.clone(), 1)),
        "after the second `start`, a publication from before it was reported"
    );
    Ok(())
}

async fn join_later(harness: Harness) -> Verdict {
    let (cluster, [first]) = harness.nodes().await?;
    let early = batch(&first.id, 1..=3);
    first.publish(&early).await?;
    first.told.wait_for(&early[2]).await?;
    let second = cluster.join(Recorder::new()).await?;
    let late = batch(&first.id, 4..=6);
    first.publish(&late).await?;
    second.told.wait_for(&late[2]).await?;
    let seen: Vec<u64> = second.told.first_ids().iter().map(|id| id.1).collect();
    ensure!(
        seen == [4, 5, 6],
        "a node that joined after 3 of 6 publications was told of {seen:?}"
    );
    Ok(())
}

/// Fails unless it is refused.
fn refused<T: std::fmt::Debug>(what: &str, result: &Result<T, BrokerError>) -> Verdict {
    ensure!(
        matches!(result, Err(BrokerError::Unsupported(_))),
        "{what} is not claimed, and yet it gave {}, not `Unsupported`",
        short(result)
    );
    Ok(())
}

async fn capabilities_honest(harness: Harness) -> Verdict {
    let (_cluster, [node]) = harness.nodes().await?;
    let broker = &node.broker;
    let can = broker.capabilities();
    if !can.log {
        let all = audience(&[]);
        let nowhere = Position::new("nowhere");
        let history = broker.history(&node.start, &nowhere, &all, 9);
        match in_time("history", history).await? {
            Err(HistoryError::Gone | HistoryError::Broker(BrokerError::Unsupported(_))) => {}
            other => {
                return failed(format!(
                    "the log is not claimed, and yet `history` gave {other:?}"
                ));
            }
        }
    }
    if !can.requests {
        let (replies, _answers) = ReplySink::channel();
        let asked = in_time("request", broker.request(&Request::Nodes, replies)).await?;
        if !matches!(asked, Ok(expected) if expected.nodes == 0) {
            refused("requests", &asked)?;
        }
    }
    if !can.recovery {
        let ttl = std::time::Duration::from_secs(60);
        let saved = broker.save_recovery("key", b"state", ttl);
        refused("recovery", &in_time("save_recovery", saved).await?)?;
        refused(
            "recovery",
            &in_time("take_recovery", broker.take_recovery("key")).await?,
        )?;
    }
    Ok(())
}
