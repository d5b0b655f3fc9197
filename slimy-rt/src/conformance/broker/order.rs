//! What nodes are told, and in which order.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    super::{
        run::{Verdict, call, clauses, ensure, failed, in_time, same},
        support::{HOSTILE, until},
    },
    Harness, NAMESPACES, Node, QUIET, Recorder, batch, publication, rooms,
};
use crate::{
    NodeId,
    broker::{Audience, Interest, Publication},
    protocol::{EventData, Placeholder},
};

/// How many publications each of several nodes sends at once.
const EACH: u64 = 60;
/// How many are sent to a node that is slow.
const TO_SLOW: u64 = 300;
/// How long a slow node lets publishers go on.
const MEANWHILE: Duration = Duration::from_millis(500);
/// The size of a large argument and of a large attachment.
const LARGE: usize = 256 * 1024;

clauses! { Harness;
    "own-reported": "A node is told of its own publications too." => own_reported,
    "all-reported": "Every started node is told of every publication that may concern it, by whichever node." => all_reported,
    "publisher-order": "Publications of one node are reported in the order in which it published them, within a batch and from batch to batch." => publisher_order,
    "one-order": "All nodes see one order, whoever publishes at once." => one_order,
    "exactly-as-sent": "A publication is reported exactly as it was sent: id, namespace, audience, event and attachments." => exactly_as_sent,
    "without-id": "A publication without an id, from no node, is reported like any other." => without_id,
    "empty-batch": "An empty batch is published without an error." => empty_batch,
    "one-at-a-time": "Reporting is awaited: a node is told of the next publications when it has taken those before." => one_at_a_time,
    "slow-node": "A node that is slow is told of everything, in order, or of a gap." => slow_node,
}

async fn own_reported(harness: Harness) -> Verdict {
    let (_cluster, [node]) = harness.nodes().await?;
    let one = publication(&node.id, 1);
    node.publish_one(&one).await?;
    node.told.wait_for(&one).await.map(|_| ())
}

async fn all_reported(harness: Harness) -> Verdict {
    let (_cluster, nodes) = harness.nodes::<3>().await?;
    let other = &rooms(&["of nobody"])[0];
    nodes[1].broker.interest(Interest::Began {
        namespace: "/",
        room: other,
    });
    nodes[2].broker.interest(Interest::Ceased {
        namespace: "/",
        room: other,
    });
    for publisher in &nodes {
        let batch = batch(&publisher.id, 1..=3);
        publisher.publish(&batch).await?;
        for node in &nodes {
            for publication in &batch {
                node.told.wait_for(publication).await?;
            }
            ensure!(
                node.told.gaps() == 0,
                "a gap was reported, although nothing was lost"
            );
        }
    }
    Ok(())
}

async fn publisher_order(harness: Harness) -> Verdict {
    let (_cluster, [publisher, other]) = harness.nodes().await?;
    let mut next = 1;
    for size in [1, 2, 17, 1, 100, 3] {
        publisher
            .publish(&batch(&publisher.id, next..next + size))
            .await?;
        next += size;
    }
    let last = publication(&publisher.id, next - 1);
    for node in [&publisher, &other] {
        node.told.wait_for(&last).await?;
        let seen: Vec<u64> = node.told.first_ids().iter().map(|id| id.1).collect();
        same(
            "the order of one node's publications",
            &seen,
            &(1..next).collect(),
        )?;
    }
    Ok(())
}

async fn publish_each(node: (NodeId, Arc<dyn crate::broker::RoomBroker>)) -> Verdict {
    let (id, broker) = node;
    for number in (1..=EACH).step_by(3) {
        let batch = batch(&id, number..(number + 3).min(EACH + 1));
        call("publish", broker.publish(&batch)).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn one_order(harness: Harness) -> Verdict {
    let (_cluster, nodes) = harness.nodes::<3>().await?;
    let mut tasks = JoinSet::new();
    for node in &nodes {
        tasks.spawn(publish_each((node.id.clone(), Arc::clone(&node.broker))));
    }
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(verdict) => verdict?,
            Err(error) => {
                return failed(format!(
                    "a `publish` at the same time as others panicked: {error}"
                ));
            }
        }
    }
    let complete = |node: &Node| node.told.first_ids().len() as u64 == EACH * nodes.len() as u64;
    let all = || async { Ok(nodes.iter().all(complete)) };
    until(
        "every node is told of what three nodes published at once",
        all,
    )
    .await?;
    let expected = nodes[0].told.first_ids();
    for (i, node) in nodes.iter().enumerate() {
        let seen = node.told.first_ids();
        let differs = seen.iter().zip(&expected).position(|(a, b)| a != b);
        if let Some(at) = differs {
            return failed(format!(
                "nodes 0 and {i} see two orders: place {at} is {:?} and {:?}",
                expected[at], seen[at]
            ));
        }
    }
    let numbers = |id: &NodeId| -> Vec<u64> {
        let of = expected.iter().filter(|(node, _)| node == id);
        of.map(|(_, number)| *number).collect()
    };
    for node in &nodes {
        same(
            "one of several nodes' publications",
            &numbers(&node.id),
            &(1..=EACH).collect(),
        )?;
    }
    Ok(())
}

/// Events and audiences of every kind.
fn samples(node: &NodeId) -> Vec<Arc<Publication>> {
    let event = |argument: &str| EventData::new("event", argument);
    let files = |sizes: &[usize]| {
        let placeholders: Vec<_> = (0..sizes.len()).map(Placeholder::new).collect();
        let bytes = sizes
            .iter()
            .map(|&size| (0..size).map(|i| i as u8).collect::<Bytes>());
        EventData::new("files", &placeholders)?.with_attachments(bytes.collect())
    };
    let events = [
        EventData::empty("no arguments"),
        event("Grüße 🦀 \u{2028}\0\"\\\n日本語"),
        EventData::raw("spaced", &["{ \"a\" : 1.0, \"a\":\t2 }", "[[], {}]"]),
        EventData::raw("numbers", &["12345678901234567890123", "-0.0", "2e400"]),
        event(&"x".repeat(LARGE)),
        files(&[0]),
        files(&[3, 0, 256]),
        files(&[LARGE]),
    ];
    let odd = rooms(HOSTILE);
    let audiences = [
        (rooms(&["room"]), Vec::new()),
        (Vec::new(), Vec::new()),
        (Vec::new(), rooms(&["b", "a", "a"])),
        (odd.clone(), odd),
    ];
    let samples = events.into_iter().enumerate().map(|(i, event)| {
        let (rooms, except) = audiences[i % audiences.len()].clone();
        let publication = Publication::new(
            Some((node.clone(), i as u64 + 1)),
            NAMESPACES[i % NAMESPACES.len()].into(),
            Audience { rooms, except },
            event.expect("the clauses' events are legal"),
        );
        Arc::new(publication.volatile(i % 2 == 1))
    });
    samples.collect()
}

/// Fails unless both say the same.
pub(super) fn same_publication(seen: &Publication, sent: &Publication) -> Verdict {
    same("a publication's id", &seen.id, &sent.id)?;
    same(
        "a publication's namespace",
        &seen.namespace,
        &sent.namespace,
    )?;
    same("a publication's audience", &seen.audience, &sent.audience)?;
    same("whether it is volatile", &seen.volatile, &sent.volatile)?;
    same("a publication's JSON", seen.event.json(), sent.event.json())?;
    same(
        "a publication's attachments",
        &seen.event.attachments(),
        &sent.event.attachments(),
    )
}

async fn exactly_as_sent(harness: Harness) -> Verdict {
    let (cluster, [publisher]) = harness.nodes().await?;
    // The other node's report goes through the engine; without one, one's own has to do.
    let other = match cluster.0.node().await {
        Some(broker) => {
            let (id, told) = (NodeId::random(), Recorder::new());
            let start = super::start(&*broker, &id, &told).await?;
            Some(Node {
                id,
                broker,
                told,
                start,
            })
        }
        None => None,
    };
    for sample in samples(&publisher.id) {
        publisher.publish_one(&sample).await?;
        for node in [Some(&publisher), other.as_ref()].into_iter().flatten() {
            node.told.wait_for(&sample).await?;
            let seen = node.told.publications();
            let mut same_id = seen.iter().filter(|(_, seen)| seen.id == sample.id);
            same_id.try_for_each(|(_, seen)| same_publication(seen, &sample))?;
        }
    }
    Ok(())
}

async fn without_id(harness: Harness) -> Verdict {
    let (_cluster, [node]) = harness.nodes().await?;
    let event = EventData::new("event", "from an emitter");
    let event = event.expect("the clauses' events are legal");
    let sent = Arc::new(Publication::new(
        None,
        "/".into(),
        Audience::default(),
        event,
    ));
    node.publish_one(&sent).await?;
    node.told.wait_for(&sent).await?;
    match node.told.publications().first() {
        Some((_, seen)) => same_publication(seen, &sent),
        None => failed("the report disappeared"),
    }
}

async fn empty_batch(harness: Harness) -> Verdict {
    let (_cluster, [node]) = harness.nodes().await?;
    node.publish(&[]).await?;
    let one = publication(&node.id, 1);
    node.publish_one(&one).await?;
    node.told.wait_for(&one).await?;
    same("what was reported", &node.told.ids().len(), &1)
}

/// Publishes in a task: a broker may await the report of its own node's publications.
fn publish_behind(node: &Node, last: u64) -> JoinSet<Verdict> {
    let (id, broker) = (node.id.clone(), Arc::clone(&node.broker));
    let mut task = JoinSet::new();
    task.spawn(async move {
        for number in 1..=last {
            call("publish", broker.publish(&batch(&id, [number]))).await?;
            // So that reports begin before everything is published.
            tokio::task::yield_now().await;
        }
        Ok(())
    });
    task
}

async fn ended(mut task: JoinSet<Verdict>) -> Verdict {
    match in_time("publish", task.join_next()).await? {
        Some(Ok(verdict)) => verdict,
        other => failed(format!("`publish` did not end well: {other:?}")),
    }
}

async fn one_at_a_time(harness: Harness) -> Verdict {
    let cluster = harness.cluster().await;
    let node = cluster.join(Recorder::shut()).await?;
    let task = publish_behind(&node, 20);
    until("the first publication is being reported", || async {
        Ok(node.told.is_held_up())
    })
    .await?;
    // Another report would begin while the first is held up.
    sleep(QUIET).await;
    node.told.open();
    ended(task).await?;
    node.told.wait_for(&publication(&node.id, 20)).await?;
    ensure!(
        !node.told.overlapped(),
        "a report began before the one before it had been taken"
    );
    Ok(())
}

async fn slow_node(harness: Harness) -> Verdict {
    let cluster = harness.cluster().await;
    let slow = cluster.join(Recorder::shut()).await?;
    let mut task = publish_behind(&slow, TO_SLOW);
    until("the first publication is being reported", || async {
        Ok(slow.told.is_held_up())
    })
    .await?;
    // All of it is published meanwhile, unless the broker makes the publisher wait for its own node's report.
    let published = timeout(MEANWHILE, task.join_next()).await;
    slow.told.open();
    match published {
        Ok(Some(Ok(verdict))) => verdict?,
        Ok(other) => return failed(format!("`publish` did not end well: {other:?}")),
        Err(_) => ended(task).await?,
    }
    let told =
        || async { Ok(slow.told.gaps() > 0 || slow.told.first_ids().len() as u64 == TO_SLOW) };
    until("a slow node is told of everything or of a gap", told).await?;
    let numbers: Vec<u64> = slow.told.first_ids().iter().map(|id| id.1).collect();
    let once: BTreeSet<u64> = numbers.iter().copied().collect();
    ensure!(
        once.into_iter().eq(numbers),
        "a slow node was told of publications in another order"
    );
    Ok(())
}
