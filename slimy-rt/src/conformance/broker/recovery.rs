//! States of clients that were cut off.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{
    super::{
        run::{Verdict, call, clauses, ensure, failed, in_time, same},
        support::{HOSTILE, drop_after, poll_counts},
    },
    Cluster, Harness, claimed,
};
use crate::broker::RoomBroker;

const TTL: Duration = Duration::from_secs(3_600);
/// Soon enough to be waited for.
const SHORT: Duration = Duration::from_millis(1_200);
/// How many take the same state at once.
const TAKERS: usize = 16;
/// The size of a large state.
const LARGE: usize = 256 * 1024;

clauses! { Harness;
    "recovery-once": "A state that was saved is taken once; then it is gone." => recovery_once,
    "recovery-unknown": "Taking what was never saved gives `None`." => recovery_unknown,
    "recovery-replaces": "A state that is saved under the same key replaces the one before." => recovery_replaces,
    "recovery-binary": "States are bytes and keys are text: both of any content, and none is taken for another." => recovery_binary,
    "recovery-ends": "A state is kept for its `ttl`, and no longer." => recovery_ends,
    "recovery-one-winner": "Of several takers at once, on any nodes, one gets the state." => recovery_one_winner,
    "recovery-shared": "What one node saved another takes." => recovery_shared,
    "recovery-cancelled": "A `take_recovery` that is dropped has taken the state or has not." => recovery_cancelled,
}

async fn keeping(harness: &Harness) -> Verdict<(Cluster, Arc<dyn RoomBroker>)> {
    let (cluster, [node]) = harness.nodes().await?;
    claimed(&*node.broker, "recovery", |can| can.recovery)?;
    Ok((cluster, node.broker))
}

async fn save(broker: &dyn RoomBroker, key: &str, state: &[u8], ttl: Duration) -> Verdict {
    call("save_recovery", broker.save_recovery(key, state, ttl)).await
}

async fn take(broker: &dyn RoomBroker, key: &str) -> Verdict<Option<Vec<u8>>> {
    call("take_recovery", broker.take_recovery(key)).await
}

async fn recovery_once(harness: Harness) -> Verdict {
    let (_cluster, broker) = keeping(&harness).await?;
    save(&*broker, "key", b"state", TTL).await?;
    same(
        "the state that was saved",
        &take(&*broker, "key").await?,
        &Some(b"state".to_vec()),
    )?;
    same(
        "the state that was taken",
        &take(&*broker, "key").await?,
        &None,
    )
}

async fn recovery_unknown(harness: Harness) -> Verdict {
    let (_cluster, broker) = keeping(&harness).await?;
    save(&*broker, "key", b"state", TTL).await?;
    for key in ["other", "ke", "key ", "", "*"] {
        same(
            &format!("the state of {key:?}"),
            &take(&*broker, key).await?,
            &None,
        )?;
    }
    Ok(())
}

async fn recovery_replaces(harness: Harness) -> Verdict {
    let (_cluster, broker) = keeping(&harness).await?;
    save(&*broker, "key", b"one", SHORT).await?;
    save(&*broker, "key", b"two", TTL).await?;
    // The `ttl` is the second one's as well.
    tokio::time::sleep(SHORT * 2).await;
    same(
        "the state that was saved last",
        &take(&*broker, "key").await?,
        &Some(b"two".to_vec()),
    )?;
    same(
        "the state after it was taken",
        &take(&*broker, "key").await?,
        &None,
    )
}

async fn recovery_binary(harness: Harness) -> Verdict {
    let (_cluster, broker) = keeping(&harness).await?;
    let states = [
        Vec::new(),
        vec![0],
        (0..=255).collect(),
        vec![0xff, 0xfe, 0xc0, 0x80],
        (0..LARGE).map(|i| (i % 251) as u8).collect(),
    ];
    for state in states {
        save(&*broker, "key", &state, TTL).await?;
        same("a state", &take(&*broker, "key").await?, &Some(state))?;
    }
    for key in HOSTILE {
        save(&*broker, key, key.as_bytes(), TTL).await?;
    }
    for key in HOSTILE {
        let expected = Some(key.as_bytes().to_vec());
        same(
            &format!("the state of {key:?}"),
            &take(&*broker, key).await?,
            &expected,
        )?;
    }
    Ok(())
}

async fn recovery_ends(harness: Harness) -> Verdict {
    let (_cluster, broker) = keeping(&harness).await?;
    save(&*broker, "forever", b"state", Duration::MAX).await?;
    save(&*broker, "long", b"state", TTL).await?;
    save(&*broker, "short", b"state", SHORT).await?;
    tokio::time::sleep(SHORT * 2).await;
    same(
        "a state whose `ttl` is over",
        &take(&*broker, "short").await?,
        &None,
    )?;
    for key in ["long", "forever"] {
        let state = take(&*broker, key).await?;
        same(
            &format!("the {key:?} state"),
            &state,
            &Some(b"state".to_vec()),
        )?;
    }
    Ok(())
}

async fn recovery_one_winner(harness: Harness) -> Verdict {
    let cluster = harness.cluster().await;
    let mut brokers = vec![cluster.join(super::Recorder::new()).await?.broker];
    claimed(&*brokers[0], "recovery", |can| can.recovery)?;
    if let Ok(second) = cluster.join(super::Recorder::new()).await {
        brokers.push(second.broker);
    }
    save(&*brokers[0], "key", b"state", TTL).await?;
    let mut takers = JoinSet::new();
    for i in 0..TAKERS {
        let broker = Arc::clone(&brokers[i % brokers.len()]);
        takers.spawn(async move { take(&*broker, "key").await });
    }
    let mut winners = 0;
    while let Some(taken) = takers.join_next().await {
        match taken {
            Ok(state) => winners += usize::from(state?.is_some()),
            Err(error) => return failed(format!("one that took a state panicked: {error}")),
        }
    }
    ensure!(
        winners == 1,
        "of {TAKERS} that took one state at once, {winners} got it"
    );
    Ok(())
}

async fn recovery_shared(harness: Harness) -> Verdict {
    let cluster = harness.cluster().await;
    let first = cluster.join(super::Recorder::new()).await?;
    claimed(&*first.broker, "recovery", |can| can.recovery)?;
    let second = cluster.join(super::Recorder::new()).await?;
    save(&*first.broker, "key", b"state", TTL).await?;
    same(
        "the state at another node",
        &take(&*second.broker, "key").await?,
        &Some(b"state".to_vec()),
    )?;
    same(
        "the state where it was saved",
        &take(&*first.broker, "key").await?,
        &None,
    )
}

async fn recovery_cancelled(harness: Harness) -> Verdict {
    let (_cluster, broker) = keeping(&harness).await?;
    for polls in poll_counts() {
        let key = format!("key {polls}");
        save(&*broker, &key, b"state", TTL).await?;
        let taking = drop_after(polls, broker.take_recovery(&key));
        let ended = in_time("a `take_recovery` that is dropped", taking).await?;
        if let Some(state) = take(&*broker, &key).await? {
            same("the state after a dropped call", &state, &b"state".to_vec())?;
        }
        save(&*broker, &key, b"again", TTL).await?;
        same(
            "the state after that",
            &take(&*broker, &key).await?,
            &Some(b"again".to_vec()),
        )?;
        if ended.is_some() {
            break;
        }
    }
    Ok(())
}
