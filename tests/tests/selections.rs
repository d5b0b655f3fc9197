//! Sending to selected sockets and acting on them, on one node and on several.

use std::time::Instant;

use slimy_rt::{
    Room,
    events::{AckError, ClusterError, EmitError, Event, JoinError, Namespace},
    server::Config,
};
use slimy_rt_backends::memory::MemoryBroker;
use slimy_rt_tests::{
    client::DEADLINE,
    peers::{Peer, SHORT, TestNode, cluster, config, mute_node, until},
};
use tokio::sync::mpsc;

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_the_selected_sockets_of_all_nodes_once() {
    let [mut one, mut two, _three] = cluster(&MemoryBroker::new(), &config()).await;
    let mut near = one.peer(&["a", "b"]).await;
    let mut far = two.peer(&["a", "b"]).await;
    let mut other = two.peer(&["b", "c"]).await;
    let emitter = one.emitter();
    emitter.to("a").to(String::from("b")).emit("1", &0).unwrap();
    near.socket.to("b").emit("2", &0).unwrap();
    emitter.to("b").except("c").emit("3", &0).unwrap();
    near.socket.broadcast().emit("4", &0).unwrap();
    emitter.to(other.socket.id()).emit("5", &0).unwrap();
    emitter
        .except(Room::parse("a").unwrap())
        .emit("6", &0)
        .unwrap();
    emitter.to("b").local().volatile().emit("7", &0).unwrap();
    near.socket.volatile().emit("8", &0).unwrap();
    emitter.all().emit("end", &0).unwrap();
    for (peer, events) in [
        (&mut near, ["1", "3", "7", "8", "end"].as_slice()),
        (&mut far, &["1", "2", "3", "4", "end"]),
        (&mut other, &["1", "2", "4", "5", "6", "end"]),
    ] {
        for event in events {
            peer.expect(event).await;
        }
    }
}

#[tokio::test]
async fn who_joins_the_room_of_a_socket_hears_what_it_hears() {
    let mut node = TestNode::alone(config()).await;
    let (mut watched, mut watcher) = (node.peer(&[]).await, node.peer(&[]).await);
    watcher.socket.join(watched.socket.id()).unwrap();
    let to = || node.emitter().to(watched.socket.id());
    to().emit("told", &1).unwrap();
    assert_eq!(to().fetch_sockets().await.unwrap().sockets.len(), 2);
    to().except(watched.socket.id()).emit("nobody", &1).unwrap();
    node.emitter().all().emit("end", &1).unwrap();
    for peer in [&mut watched, &mut watcher] {
        peer.expect("told").await;
        peer.expect("end").await;
    }
}

#[tokio::test]
async fn names_that_no_room_can_have_are_reported() {
    let mut node = TestNode::alone(config()).await;
    let mut peer = node.peer(&[]).await;
    let emitter = node.emitter();
    let wrong = || emitter.all().to("").to("fine");
    assert!(matches!(wrong().emit("e", &1), Err(EmitError::Room(_))));
    let except = emitter.all().except("a\0");
    assert!(matches!(except.emit("e", &1), Err(EmitError::Room(_))));
    let asked = wrong().emit_with_ack("e", &1).await;
    assert!(matches!(asked, Err(AckError::Emit(EmitError::Room(_)))));
    let fetched = wrong().fetch_sockets().await;
    assert!(matches!(fetched, Err(ClusterError::Room(_))));
    assert!(matches!(
        wrong().join("a").await,
        Err(ClusterError::Room(_))
    ));
    assert!(matches!(
        wrong().leave("a").await,
        Err(ClusterError::Room(_))
    ));
    assert!(matches!(
        wrong().disconnect().await,
        Err(ClusterError::Room(_))
    ));
    let joined = emitter.all().join("").await;
    assert!(matches!(joined, Err(ClusterError::Room(_))));
    assert!(matches!(peer.socket.join(""), Err(JoinError::Name(_))));
    peer.socket.leave("");
    emitter.all().emit("end", &1).unwrap();
    peer.expect("end").await;
    assert!(peer.socket.rooms().is_empty());
    peer.socket.disconnect();
    until("it has left", || !peer.socket.is_connected()).await;
    assert_eq!(peer.socket.join("a"), Err(JoinError::NotConnected));
}

#[tokio::test]
async fn an_event_to_be_answered_keeps_its_place_and_asks_each_socket_once() {
    let mut node = TestNode::alone(config()).await;
    let mut peer = node.peer(&["a", "b"]).await;
    let mut other = node.peer(&["b"]).await;
    let emitter = node.emitter();
    emitter.all().emit("before", &1).unwrap();
    let asked = emitter.to("a").to("b").emit_with_ack("question", &1);
    let (answers, ()) = tokio::join!(asked, async {
        emitter.all().emit("after", &1).unwrap();
        for peer in [&mut peer, &mut other] {
            peer.expect("before").await;
            let (name, id) = peer.asked().await;
            assert_eq!(name, "question");
            peer.expect("after").await;
            peer.client.send(&format!(r#"43{id}["yes",2]"#)).await;
        }
    });
    let answers = answers.unwrap();
    assert!(answers.is_complete());
    assert_eq!(answers.answers.len(), 2);
    for (_, arguments) in &answers.answers {
        assert_eq!(arguments.parse::<String>(0).unwrap(), "yes");
        assert_eq!(arguments.parse::<u8>(1).unwrap(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_answers_name_who_is_missing_and_leave_nothing_behind() {
    let hub = MemoryBroker::new();
    let [mut one, mut two, mut three] = cluster(&hub, &config()).await;
    let (mut near, mut quiet) = (one.peer(&["a"]).await, one.peer(&["a"]).await);
    let (mut far, far_quiet) = (two.peer(&["a"]).await, two.peer(&["a"]).await);
    let not_meant = three.peer(&["b"]).await;
    let _mute = mute_node(&hub).await;
    let began = Instant::now();
    let asked = one
        .emitter()
        .to("a")
        .timeout(SHORT * 2)
        .emit_with_ack("q", &1);
    let (answers, ..) = tokio::join!(asked, near.answer("1"), far.answer("2"), async {
        quiet.asked().await;
    });
    let took = began.elapsed();
    let answers = answers.unwrap();
    assert!(took >= SHORT * 4, "the mute node was waited for: {took:?}");
    assert!(took < DEADLINE / 2, "{took:?}");
    let mut answered: Vec<_> = answers
        .answers
        .iter()
        .map(|(id, answer)| (id, answer.parse::<u8>(0).unwrap()))
        .collect();
    answered.sort_by_key(|(_, answer)| *answer);
    assert_eq!(answered, [(near.socket.id(), 1), (far.socket.id(), 2)]);
    let mut silent = [quiet.socket.id(), far_quiet.socket.id()];
    let mut named: Vec<_> = answers.silent.iter().collect();
    silent.sort();
    named.sort();
    assert_eq!(named, silent);
    assert_eq!((answers.missing_nodes, answers.refused.len()), (1, 0));
    assert!(!answers.is_complete());
    for peer in [&near, &quiet, &far, &far_quiet, &not_meant] {
        assert_eq!(peer.socket.pending_acks(), 0);
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_not_waited_for_and_a_dropped_question_is_forgotten() {
    let mut node = TestNode::alone(config()).await;
    let (stays, mut leaves) = (node.peer(&["a"]).await, node.peer(&["b"]).await);
    let asked = node
        .emitter()
        .to("b")
        .timeout(DEADLINE)
        .emit_with_ack("q", &1);
    let began = Instant::now();
    let (answers, ()) = tokio::join!(asked, async {
        leaves.asked().await;
        leaves.client.send("41").await;
    });
    assert!(began.elapsed() < DEADLINE / 2);
    assert_eq!(answers.unwrap().silent, [leaves.socket.id().clone()]);

    let all = node
        .emitter()
        .to("a")
        .timeout(DEADLINE)
        .emit_with_ack("q", &1);
    assert!(tokio::time::timeout(SHORT, all).await.is_err());
    let single = stays.socket.timeout(SHORT).emit_with_ack("q", &1).await;
    assert!(matches!(single, Err(AckError::Timeout(SHORT))));
    assert_eq!(stays.socket.pending_acks(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_bounded_here_and_elsewhere() {
    let config = Config {
        max_broadcast_acks: 1,
        max_pending_acks: 1,
        ack_timeout: SHORT,
        ..config()
    };
    let [mut one, mut two, _three] = cluster(&MemoryBroker::new(), &config).await;
    let (mut near, mut far) = (one.peer(&["a"]).await, two.peer(&["a"]).await);
    let mut also_far = two.peer(&["a"]).await;
    let refused = two.emitter().to("a").emit_with_ack("q", &1).await;
    assert!(matches!(
        refused,
        Err(AckError::TooManySockets {
            sockets: 2,
            limit: 1
        })
    ));
    let (answers, ()) = tokio::join!(
        one.emitter().to("a").emit_with_ack("q", &1),
        near.answer("1")
    );
    let answers = answers.unwrap();
    assert_eq!((answers.answers.len(), answers.refused.len()), (1, 1));
    assert!(!answers.is_complete() && answers.silent.is_empty() && answers.missing_nodes == 0);

    // One that owes as many answers as it may is not asked.
    let asker = near.socket.clone();
    let owed = asker.timeout(DEADLINE).emit_with_ack("first", &1);
    let again = async {
        let (name, first) = near.asked().await;
        assert_eq!(name, "first");
        let again = one.emitter().to("a").local().emit_with_ack("second", &1);
        assert_eq!(again.await.unwrap().silent, [near.socket.id().clone()]);
        one.emitter().all().emit("end", &1).unwrap();
        assert_eq!(near.client.event().await.0, "end");
        near.client.send(&format!("43{first}[]")).await;
    };
    let (owed, ()) = tokio::join!(owed, again);
    owed.unwrap();
    for peer in [&mut far, &mut also_far] {
        peer.expect("end").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_all_nodes_are_described() {
    let hub = MemoryBroker::new();
    let [mut one, mut two, _three] = cluster(&hub, &config()).await;
    let near = one.peer(&["a", "b"]).await;
    let (far, _other) = (two.peer(&["a"]).await, two.peer(&["c"]).await);
    let fetched = one.emitter().to("a").fetch_sockets().await.unwrap();
    assert!(fetched.is_complete());
    assert_eq!(fetched.sockets.len(), 2);
    let of = |peer: &Peer| {
        let mut of = fetched.sockets.iter().filter(|s| s.id == *peer.socket.id());
        of.next().unwrap().clone()
    };
    let (here, there) = (of(&near), of(&far));
    assert_eq!(there.rooms, [Room::parse("a").unwrap()]);
    assert_eq!(here.rooms.len(), 2);
    assert_eq!((there.user.as_str(), &*there.namespace), ("u", "/"));
    assert_eq!(there.remote_addr, Some([127, 0, 0, 1].into()));
    assert_eq!(there.connected_at, far.socket.connected_at());
    assert!(there.connected_at.is_some() && here.node.is_some() && here.node != there.node);

    let local = one.emitter().all().local().fetch_sockets().await.unwrap();
    assert_eq!(local.sockets.len(), 1);
    let _mute = mute_node(&hub).await;
    let partial = one.emitter().all().fetch_sockets().await.unwrap();
    assert_eq!((partial.sockets.len(), partial.missing_nodes), (3, 1));
    assert!(!partial.is_complete());
}

#[tokio::test(flavor = "multi_thread")]
async fn selections_join_leave_and_end_on_all_nodes() {
    let [mut one, mut two, mut three] = cluster(&MemoryBroker::new(), &config()).await;
    let (near, far) = (one.peer(&["a"]).await, two.peer(&["a"]).await);
    let mut other = three.peer(&["a", "c"]).await;
    let select = || one.emitter().to("a").except("c");
    let rooms = |peer: &Peer| {
        let mut rooms = peer.socket.rooms();
        rooms.sort();
        rooms
    };
    let named =
        |names: &[&str]| -> Vec<_> { names.iter().map(|n| Room::parse(n).unwrap()).collect() };
    select().join("b").await.unwrap();
    assert_eq!(rooms(&near), named(&["a", "b"]));
    until("the far one joined", || rooms(&far) == named(&["a", "b"])).await;
    select().leave("b").await.unwrap();
    assert_eq!(rooms(&near), named(&["a"]));
    until("the far one left", || rooms(&far) == named(&["a"])).await;
    assert_eq!(rooms(&other), named(&["a", "c"]));

    one.emitter().to("a").local().join("here").await.unwrap();
    one.emitter().to("here").disconnect().await.unwrap();
    let mut near = near.client;
    assert_eq!(near.text().await, "41");
    select().close().await.unwrap();
    let mut far = far.client;
    loop {
        match far.next().await {
            // It is told, or just closed.
            Some(message) if !message.is_close() => {}
            _ => break,
        }
    }
    assert!(other.socket.is_connected());
    one.emitter().all().emit("end", &1).unwrap();
    other.expect("end").await;
}

#[tokio::test]
async fn a_selection_may_join_a_socket_that_is_in_enough_rooms() {
    let mut node = TestNode::alone(Config {
        max_rooms_per_socket: 1,
        ..config()
    })
    .await;
    let (full, free) = (node.peer(&["a"]).await, node.peer(&[]).await);
    node.emitter().all().join("b").await.unwrap();
    assert_eq!(full.socket.rooms(), [Room::parse("a").unwrap()]);
    assert_eq!(free.socket.rooms(), [Room::parse("b").unwrap()]);
    assert_eq!(
        full.socket.join("b"),
        Err(JoinError::TooManyRooms { limit: 1 })
    );
}

#[tokio::test]
async fn a_handler_that_ends_its_own_socket_comes_to_its_end() {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let namespace = Namespace::new("/").on("end all", move |event: Event| {
        let sender = sender.clone();
        async move {
            let emitter = event.socket().emitter();
            emitter.all().disconnect().await.unwrap();
            while event.socket().is_connected() {
                tokio::task::yield_now().await;
            }
            sender.send(event.socket().clone()).unwrap();
        }
    });
    let mut node = TestNode::new(None, config(), namespace).await;
    let (mut caller, mut other) = (node.peer(&[]).await, node.peer(&[]).await);
    caller.client.send(r#"42["end all"]"#).await;
    assert_eq!(other.client.text().await, "41");
    assert_eq!(caller.client.text().await, "41");
    assert_eq!(ended.recv().await.unwrap().id(), caller.socket.id());
}
