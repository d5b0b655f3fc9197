//! The log: what it keeps, what nodes read of it, and much at once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use slimy_rt::{
    broker::{Audience, BrokerError, HistoryError, Position, RoomBroker},
    protocol::{EventData, Placeholder},
};
use slimy_rt_backends::postgres::{MAX_PUBLICATION_BYTES, MAX_RECOVERY_BYTES, PostgresBroker};

use super::{
    Engine, eventually,
    node::{Node, to_room},
    scenes, start,
};

/// Publishes to the one room, `size` bytes each, and gives the positions of the first and the last.
async fn publish(node: &Node, count: usize, size: usize) -> (Position, Position) {
    let text = "x".repeat(size);
    let mut ends = Vec::new();
    for _ in 0..count {
        node.publish(&[to_room("room", &text)]).await;
        ends.push(node.broker.end().await.unwrap());
    }
    (ends[0].clone(), ends[count - 1].clone())
}

async fn is_gone(node: &Node, after: &Position, to: &Position) -> bool {
    let all = Audience::default();
    match node.broker.history(after, to, &all, 10_000).await {
        Err(HistoryError::Gone) => true,
        Ok(page) => {
            assert!(page.complete);
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// How many entries and bytes the log has.
async fn kept(engine: &Engine) -> (i64, i64) {
    let kept = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM slimy_rt.log";
    let kept = engine.sql(kept).await;
    let (entries, bytes) = kept.split_once('|').unwrap();
    (entries.parse().unwrap(), bytes.parse().unwrap())
}

/// What keeps more reads everything after the log was trimmed, and is told of the gap before.
fn told_of_one_gap(node: &Node, last: &Position) {
    let told = node.told();
    let [(Some(after), now)] = &told.gaps[..] else {
        panic!("{:?}", told.gaps)
    };
    assert!(after < now, "{:?}", told.gaps);
    let behind = told
        .publications
        .iter()
        .filter(|(at, _)| at.as_ref() > Some(now));
    let number = |at: &Position| at.parts().unwrap().1;
    assert_eq!(behind.count() as u64, number(last) - number(now));
}

#[tokio::test]
async fn the_log_keeps_so_many_entries() {
    let engine = Engine::start().await;
    let broker = || {
        PostgresBroker::builder(&engine.client())
            .max_entries(100)
            .build()
    };
    let node = Node::with(broker(), true).await;
    let slow = Node::with(broker(), false).await;
    let (first, _) = publish(&node, 100, 10).await;
    assert!(!is_gone(&node, &node.start, &first).await, "all is there");
    let (_, last) = publish(&node, 400, 10).await;
    eventually("the log is trimmed", async || kept(&engine).await.0 == 100).await;
    assert!(is_gone(&node, &node.start, &first).await);
    let (epoch, number) = last.parts().unwrap();
    let recent = Position::at(epoch, number - 100);
    assert!(!is_gone(&node, &recent, &last).await);
    assert!(is_gone(&node, &Position::at(epoch, number - 101), &last).await);

    // What the slow one could not read any more it is told of as a gap, and it goes on.
    slow.open();
    let next = node.publish(&[to_room("room", "next")]).await;
    slow.received(&next).await;
    told_of_one_gap(&slow, &node.broker.end().await.unwrap());
    assert!(node.told().gaps.is_empty());
}

#[tokio::test]
async fn the_log_keeps_so_many_bytes() {
    let engine = Engine::start().await;
    let builder = PostgresBroker::builder(&engine.client()).max_bytes(100_000);
    let node = Node::with(builder.build(), true).await;
    let (first, last) = publish(&node, 200, 5_000).await;
    eventually("the log is trimmed", async || {
        let (entries, bytes) = kept(&engine).await;
        (15..=20).contains(&entries) && bytes <= 100_000
    })
    .await;
    assert!(is_gone(&node, &first, &last).await);

    let batch = [
        node.publication(to_room("room", "small")),
        node.publication(to_room("room", &"x".repeat(100_001))),
    ];
    let error = node.broker.publish(&batch).await.unwrap_err();
    let is_told = |text| matches!(&error, BrokerError::Invalid(t) if t.contains(text));
    assert!(is_told("max_bytes"), "{error}");
    assert_eq!(
        node.broker.end().await.unwrap(),
        last,
        "nothing of it got there"
    );
}

#[tokio::test]
async fn whoever_deletes_from_the_log_makes_a_gap_and_no_hole() {
    let engine = Engine::start().await;
    let node = start(&engine.client()).await;
    let slow = Node::with(PostgresBroker::new(&engine.client()), false).await;
    let (first, last) = publish(&node, 20, 10).await;
    engine
        .sql("DELETE FROM slimy_rt.log WHERE id IN (5, 6)")
        .await;
    assert!(is_gone(&node, &first, &last).await);
    let (epoch, _) = last.parts().unwrap();
    assert!(!is_gone(&node, &Position::at(epoch, 6), &last).await);
    slow.open();
    let next = node.publish(&[to_room("room", "next")]).await;
    slow.received(&next).await;
    // It may have read the first before they were deleted.
    if !slow.told().gaps.is_empty() {
        told_of_one_gap(&slow, &node.broker.end().await.unwrap());
    }
}

/// Does something to the log while nobody publishes, and says whether it is another one then.
async fn is_another_after(engine: &Engine, node: &Node, sql: &str) -> bool {
    let before = node.publish(&[to_room("room", "before")]).await;
    node.received(&before).await;
    let (end, gaps) = (node.broker.end().await.unwrap(), node.told().gaps.len());
    engine.sql(sql).await;
    let after = node.publish(&[to_room("room", "after")]).await;
    node.received(&after).await;
    let now = node.broker.end().await.unwrap();
    let is_another = now.parts().unwrap().0 != end.parts().unwrap().0;
    assert_eq!(is_gone(node, &end, &now).await, is_another);
    assert!(now.partial_cmp(&end).is_none_or(|order| order.is_gt()));
    let gaps = node.told().gaps.len() - gaps;
    assert_eq!(gaps, usize::from(is_another), "{sql}");
    is_another
}

#[tokio::test]
async fn another_copy_of_the_log_is_another_log() {
    let engine = Engine::start().await;
    let node = start(&engine.client()).await;
    for (sql, expected) in [
        ("SELECT", false),
        ("VACUUM FULL slimy_rt.log", false),
        ("TRUNCATE slimy_rt.log", true),
        // A restored backup or a promoted standby has another timeline or system, and the same table.
        ("UPDATE slimy_rt.log_end SET copy = 'another'", true),
        ("DELETE FROM slimy_rt.log_end", true),
        (
            "DELETE FROM slimy_rt.log_end; DELETE FROM slimy_rt.log_trimmed",
            true,
        ),
        // As it would be after a restore of everything but the log's end.
        (
            "UPDATE slimy_rt.log_end SET last = 1, copy = 'another'",
            true,
        ),
    ] {
        let is_another = is_another_after(&engine, &node, sql).await;
        assert_eq!(is_another, expected, "{sql}");
    }
    let numbers = node.numbers_of(&node.id);
    assert!(numbers.is_sorted_by(|a, b| a < b), "nothing came twice");
}

#[tokio::test]
async fn tables_that_were_dropped_are_made_anew() {
    let engine = Engine::start().await;
    let node = start(&engine.client()).await;
    let before = node.publish(&[to_room("room", "before")]).await;
    node.received(&before).await;
    engine.sql("DROP SCHEMA slimy_rt CASCADE").await;
    let late = [node.publication(to_room("room", "late"))];
    eventually("it is published", async || {
        node.broker.publish(&late).await.is_ok()
    })
    .await;
    node.received(&late).await;
    assert_eq!(node.told().gaps.len(), 1);
}

#[tokio::test]
async fn what_is_published_again_is_in_the_log_once() {
    let engine = Engine::start().await;
    let (node, other) = (start(&engine.client()).await, start(&engine.client()).await);
    let batch = node
        .publish(&[to_room("room", "1"), to_room("room", "2")])
        .await;
    let others = other.publish(&[to_room("room", "another's 1")]).await;
    let more = [batch[1].clone(), node.publication(to_room("room", "3"))];
    for again in [&batch[..], &more, &batch] {
        node.broker.publish(again).await.unwrap();
    }
    for node in [&node, &other] {
        node.received(&more).await;
        node.received(&others).await;
    }
    assert_eq!(kept(&engine).await.0, 4);
    for each in [&node, &other] {
        assert_eq!(each.numbers_of(&node.id), [1, 2, 3]);
    }
}

#[tokio::test]
async fn large_binary_payloads_arrive_as_they_were() {
    let engine = Engine::start().await;
    let (one, two) = (start(&engine.client()).await, start(&engine.client()).await);
    let file = |size: usize, seed: usize| {
        let bytes: Bytes = (0..size).map(|i| (i * 31 + seed) as u8).collect();
        let event = EventData::new("file", &Placeholder::new(0)).unwrap();
        let (audience, _) = to_room("room", "");
        (audience, event.with_attachments(vec![bytes]).unwrap())
    };
    // The largest that there may be, with its header; together more than one statement takes.
    let mut files: Vec<_> = (0..20).map(|seed| file(1 << 20, seed)).collect();
    files.push(file(MAX_PUBLICATION_BYTES - 1_000, 7));
    let sent = one.publish(&files).await;
    for node in [&one, &two] {
        node.received(&sent).await;
        assert!(node.told().gaps.is_empty());
        for ((_, event), (_, had)) in files.iter().zip(&node.told().publications) {
            assert_eq!(had.event.attachments(), event.attachments());
        }
    }
    let page = two
        .broker
        .history(
            &two.start,
            &two.broker.end().await.unwrap(),
            &Audience::default(),
            99,
        )
        .await
        .unwrap();
    assert!(page.complete && page.publications.len() == files.len());

    let large = [one.publication(file(MAX_PUBLICATION_BYTES + 1, 0))];
    let error = one.broker.publish(&large).await.unwrap_err();
    assert!(matches!(error, BrokerError::Invalid(_)), "{error}");
    let state = vec![0xff; MAX_RECOVERY_BYTES + 1];
    let ttl = Duration::from_secs(60);
    let kept = one.broker.save_recovery("k", &state[1..], ttl).await;
    kept.unwrap();
    let error = one.broker.save_recovery("k", &state, ttl).await;
    assert!(matches!(error, Err(BrokerError::Invalid(_))));
    let taken = two.broker.take_recovery("k").await.unwrap();
    assert_eq!(taken.as_deref(), Some(&state[1..]));
}

#[tokio::test]
async fn keys_of_states_may_hold_anything() {
    let engine = Engine::start().await;
    let node = start(&engine.client()).await;
    let ttl = Duration::from_secs(60);
    for key in ["\0", "a\0b", "a"] {
        let saved = node.broker.save_recovery(key, key.as_bytes(), ttl).await;
        saved.unwrap();
    }
    for key in ["a", "\0", "a\0b"] {
        let taken = node.broker.take_recovery(key).await.unwrap();
        assert_eq!(taken.as_deref(), Some(key.as_bytes()));
    }
}

#[tokio::test]
async fn a_node_reads_what_it_has_members_for_from_then_on() {
    let engine = Engine::start().await;
    let (one, two) = (start(&engine.client()).await, start(&engine.client()).await);
    scenes::a_node_reads_what_it_has_members_for(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_publications_of_two_nodes() {
    let engine = Engine::start().await;
    let nodes = [
        Arc::new(start(&engine.client()).await),
        Arc::new(start(&engine.client()).await),
    ];
    scenes::much_of_two_nodes(&nodes, 10_000).await;
}
