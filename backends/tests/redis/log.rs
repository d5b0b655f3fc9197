//! The log: what it keeps, what nodes read of it, and much at once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use slimy_rt::{
    broker::{Audience, BrokerError, HistoryError, Position, RoomBroker},
    protocol::{EventData, Placeholder},
};
use slimy_rt_backends::redis::{
    MAX_PUBLICATION_BYTES, MAX_RECOVERY_BYTES, Redis, RedisBroker, RedisConfig,
};
use slimy_rt_test_engines::Redis as Server;

use super::{
    Engine,
    node::{Node, to_room},
    scenes, start,
};

fn client(server: &Server) -> Redis {
    Redis::new(RedisConfig::new(&server.url()).unwrap())
}

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

/// How many entries and bytes the streams of the log have.
async fn kept(server: &Server) -> (i64, i64) {
    let (mut entries, mut bytes) = (0, 0);
    for key in server.cli(&["KEYS", "{slimy-rt}:log:*"]).await.array() {
        entries += server.cli(&["XLEN", key.text()]).await.integer();
        bytes += server
            .cli(&["MEMORY", "USAGE", key.text(), "SAMPLES", "0"])
            .await
            .integer();
    }
    (entries, bytes)
}

#[tokio::test]
async fn a_stream_keeps_so_many_entries() {
    let server = Server::start().await;
    let broker = || {
        RedisBroker::builder(&client(&server))
            .max_entries(100)
            .build()
    };
    let node = Node::with(broker(), true).await;
    let slow = Node::with(broker(), false).await;
    let (first, _) = publish(&node, 100, 10).await;
    assert!(!is_gone(&node, &node.start, &first).await, "all is there");
    let (_, last) = publish(&node, 400, 10).await;
    let (entries, _) = kept(&server).await;
    assert!((100..=110).contains(&entries), "{entries} are kept");
    assert!(is_gone(&node, &node.start, &first).await);
    let (epoch, number) = last.parts().unwrap();
    let recent = Position::at(epoch, number - 100);
    assert!(!is_gone(&node, &recent, &last).await);

    // So many at once it has to read itself. What it cannot read any more it is told of as a gap, and it goes on.
    let many: Vec<_> = (0..9).map(|_| to_room("room", "many")).collect();
    node.publish(&many).await;
    slow.open();
    let next = node.publish(&[to_room("room", "next")]).await;
    slow.received(&next).await;
    let told = slow.told();
    let [(Some(after), now)] = &told.gaps[..] else {
        panic!("{:?}", told.gaps)
    };
    let is_behind = |at: &Position| {
        told.publications
            .iter()
            .any(|(p, _)| p.as_ref() == Some(at))
    };
    assert!(
        after < now && (*after == slow.start || is_behind(after)),
        "{:?}",
        told.gaps
    );
    let behind = told
        .publications
        .iter()
        .filter(|(at, _)| at.as_ref() > Some(now));
    let last = number + many.len() as u64 + 1;
    assert_eq!(behind.count() as u64, last - now.parts().unwrap().1);
    assert!(node.told().gaps.is_empty());
}

/// More than Redis lets wait for one that hears channels.
#[tokio::test(flavor = "multi_thread")]
async fn much_in_many_streams_is_read_after_a_cut() {
    let engine = Engine::start().await;
    let (node, other) = (start(&engine.client()).await, start(&engine.direct()).await);
    let rooms: Vec<_> = (0..40).map(|number| format!("room {number}")).collect();
    rooms.iter().for_each(|room| node.join(room));
    let first = other.publish(&[to_room("room 0", "first")]).await;
    node.received(&first).await;
    engine.proxy.cut().await;
    let text = "x".repeat(4_000);
    let mut last = Vec::new();
    for _ in 0..300 {
        let batch: Vec<_> = rooms.iter().map(|room| to_room(room, &text)).collect();
        last = other.publish(&batch).await;
    }
    engine.proxy.heal().await;
    node.received(&last).await;
    let numbers = node.numbers_of(&other.id);
    assert_eq!(numbers, (1..=300 * 40 + 1).collect::<Vec<_>>());
    assert!(node.told().gaps.is_empty());
}

#[tokio::test]
async fn a_stream_keeps_so_many_bytes() {
    let server = Server::start().await;
    let builder = RedisBroker::builder(&client(&server)).max_bytes(100_000);
    let node = Node::with(builder.build(), true).await;
    let (first, last) = publish(&node, 200, 5_000).await;
    let (entries, bytes) = kept(&server).await;
    assert!(
        (15..=20).contains(&entries) && bytes < 150_000,
        "{entries}: {bytes} B"
    );
    assert!(is_gone(&node, &first, &last).await);

    let batch = [
        node.publication(to_room("room", "small")),
        node.publication(to_room("room", &"x".repeat(100_001))),
    ];
    let error = node.broker.publish(&batch).await.unwrap_err();
    let is_told =
        |error: &BrokerError, text| matches!(error, BrokerError::Invalid(t) if t.contains(text));
    assert!(is_told(&error, "max_bytes"), "{error}");
    assert_eq!(
        node.broker.end().await.unwrap(),
        last,
        "nothing of it got there"
    );

    // Somebody deletes the streams, whose bytes are counted apart: they count anew.
    for key in server.cli(&["KEYS", "{slimy-rt}:log:*"]).await.array() {
        server.cli(&["DEL", key.text()]).await;
    }
    publish(&node, 40, 5_000).await;
    let (entries, _) = kept(&server).await;
    assert!((15..=20).contains(&entries), "{entries}");

    let node = start(&client(&server)).await;
    let large = [node.publication(to_room("room", &"x".repeat(MAX_PUBLICATION_BYTES)))];
    let error = node.broker.publish(&large).await.unwrap_err();
    assert!(is_told(&error, "8388608"), "{error}");
    let state = vec![0; MAX_RECOVERY_BYTES + 1];
    let (broker, hour) = (&node.broker, Duration::from_secs(3600));
    let error = broker.save_recovery("key", &state, hour).await.unwrap_err();
    assert!(is_told(&error, "1048576"), "{error}");
    broker
        .save_recovery("key", &state[1..], hour)
        .await
        .unwrap();
    let kept = broker.take_recovery("key").await.unwrap();
    assert!(kept.is_some_and(|kept| kept == state[1..]));
}

#[tokio::test]
async fn large_binary_payloads_arrive_as_they_were() {
    let server = Server::start().await;
    let redis = client(&server);
    let (one, two) = (start(&redis).await, start(&redis).await);
    let bytes: Vec<u8> = (0..2 * 1024 * 1024_u32)
        .map(|i| (i * 31 % 251) as u8)
        .collect();
    let places = [0, 1, 2].map(Placeholder::new);
    let parts = vec![Bytes::from(bytes.clone()), Bytes::new(), bytes.into()];
    let event = EventData::args("file", &places).unwrap();
    let event = event.with_attachments(parts).unwrap();
    let (audience, _) = to_room("room", "");
    let mut all = Vec::new();
    for _ in 0..8 {
        all.extend(one.publish(&[(audience.clone(), event.clone())]).await);
    }
    two.received(&all).await;
    for (_, had) in &two.told().publications {
        assert_eq!(had.event.attachments(), event.attachments());
        assert_eq!(had.event.json(), event.json());
    }
    assert!(two.told().gaps.is_empty());
}

#[tokio::test]
async fn a_node_reads_what_it_has_members_for_from_then_on() {
    let server = Server::start().await;
    let redis = client(&server);
    let (one, two) = (start(&redis).await, start(&redis).await);
    scenes::a_node_reads_what_it_has_members_for(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_publications_of_two_nodes() {
    let server = Server::start().await;
    let redis = [client(&server), client(&server)];
    let nodes = [
        Arc::new(start(&redis[0]).await),
        Arc::new(start(&redis[1]).await),
    ];
    scenes::much_of_two_nodes(&nodes, 50_000).await;
}
