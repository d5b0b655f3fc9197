//! Connection state recovery, over nodes of one cluster in this process.

mod faults;
mod model;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use slimy_rt::{
    GuildId, UserId,
    events::{Event, Namespace, Socket},
    server::{Bound, Config, Server},
    session::{Expiry, Guild, Session, SessionStore},
};
use slimy_rt_backends::memory::{MemoryBroker, MemorySessionStore};
use slimy_rt_tests::{
    node::{ByHeader, Node},
    peers::until,
    returning::{Memory, Returning},
};

const WINDOW: Duration = Duration::from_secs(60);

fn config() -> Config {
    Config {
        recovery: Some(WINDOW),
        ..Config::default()
    }
}

/// Clients join the room that they name, and can have an event sent to themselves.
fn namespace() -> Namespace {
    Namespace::new("/")
        .on("join", async |event: Event| {
            let room: String = event.arguments().parse(0).unwrap();
            event.socket().join(room.as_str()).unwrap();
            event.ack().send(&event.socket().is_recovered()).unwrap();
        })
        .on("echo", async |event: Event| {
            let value: Value = event.arguments().parse(0).unwrap();
            event.socket().emit("echo", &value).unwrap();
            event
                .socket()
                .volatile()
                .emit("echo", &json!(["volatile", value]))
                .unwrap();
        })
}

async fn start(broker: MemoryBroker, config: Config) -> Node {
    let builder = Server::builder(ByHeader)
        .broker(broker)
        .config(config)
        .namespace(namespace());
    started(builder).await
}

async fn started(builder: slimy_rt::server::ServerBuilder) -> Node {
    let node = Node::start(builder).await;
    until("the broker is up", || {
        node.server.is_broker_up() == Some(true)
    })
    .await;
    node
}

async fn nodes() -> [Node; 2] {
    let hub = MemoryBroker::new();
    [
        start(hub.clone(), config()).await,
        start(hub.node(), config()).await,
    ]
}

async fn join(client: &mut Returning, room: &str) -> bool {
    client
        .client()
        .send(&format!(r#"421["join","{room}"]"#))
        .await;
    let answer = client.client().text().await;
    answer == "431[true]"
}

fn emit(node: &Node, room: &str, value: impl Into<Value>) {
    let all = node.server.emitter("/").unwrap();
    all.to(room).emit("n", &value.into()).unwrap();
}

/// Waits until nobody is connected any more: the cut was seen.
async fn alone(node: &Node) {
    until("the cut is seen", || node.server.report().sockets == 0).await;
}

async fn expect(client: &mut Returning, values: &[i64]) {
    for value in values {
        assert_eq!(client.event().await, [json!("n"), json!(value)]);
    }
}

#[tokio::test]
async fn without_it_nothing_changes() {
    let config = Config::default();
    let node = start(MemoryBroker::new(), config).await;
    let mut client = Returning::new(node.addr, "u").await;
    assert_eq!(client.memory.pid, None);
    assert!(!join(&mut client, "a").await);
    emit(&node, "a", 1);
    assert_eq!(client.client().text().await, r#"42["n",1]"#);
}

#[tokio::test]
async fn a_client_gets_what_it_missed_here_or_elsewhere() {
    let [first, second] = nodes().await;
    let mut client = Returning::new(first.addr, "u").await;
    let before = client.memory.clone();
    assert_eq!(before.pid.as_ref().unwrap().len(), 20);
    join(&mut client, "a").await;
    emit(&first, "a", 1);
    emit(&second, "a", 2);
    expect(&mut client, &[1, 2]).await;

    for (at, others, n) in [(&second, &first, 3), (&first, &second, 6)] {
        let gone = client.cut().await;
        alone(others).await;
        emit(&first, "a", n);
        emit(&second, "a", n + 1);
        emit(&second, "b", 99);
        let broadcast = second
            .server
            .emitter("/")
            .unwrap()
            .all()
            .except(before.sid.as_str());
        broadcast.emit("n", &99).unwrap();
        client = gone.back(at.addr).await;
        assert!(client.recovered);
        assert_eq!(
            (&client.memory.sid, &client.memory.pid),
            (&before.sid, &before.pid)
        );
        assert_eq!(client.early(), 2, "what was missed comes before the answer");
        let mut missed =
            [client.event().await, client.event().await].map(|event| event[1].as_i64().unwrap());
        missed.sort_unstable();
        assert_eq!(missed, [n, n + 1]);
        assert_eq!(at.server.report().recovered, 1);
        emit(others, "a", n + 2);
        expect(&mut client, &[n + 2]).await;
        assert!(join(&mut client, "c").await, "the program is told");
    }
}

#[tokio::test]
async fn events_to_one_socket_are_missed_too_and_volatile_ones_are_not() {
    let [first, second] = nodes().await;
    let mut client = Returning::new(first.addr, "u").await;
    client.client().send(r#"42["echo",1]"#).await;
    assert_eq!(client.event().await, [json!("echo"), json!(1)]);
    let offset = client.memory.offset.clone();
    assert_eq!(
        client.client().text().await,
        r#"42["echo",["volatile",1]]"#,
        "no offset"
    );
    assert_eq!(client.memory.offset, offset);
    let sid = client.memory.sid.clone();
    let gone = client.cut().await;
    alone(&first).await;
    let to = || second.server.emitter("/").unwrap().to(sid.as_str());
    to().emit("n", &1).unwrap();
    to().volatile().emit("n", &2).unwrap();
    to().emit("n", &3).unwrap();
    let mut client = gone.back(first.addr).await;
    assert!(client.recovered);
    expect(&mut client, &[1, 3]).await;
}

#[tokio::test]
async fn who_left_on_purpose_or_does_not_belong_is_a_new_client() {
    let [first, second] = nodes().await;
    let fresh = async |user: &str, memory: Memory| {
        let client = Returning::with(second.addr, user, memory.clone())
            .await
            .unwrap();
        assert!(
            !client.recovered && client.memory.sid != memory.sid,
            "{memory:?}"
        );
        assert_ne!(client.memory.pid, memory.pid);
    };
    let mut client = Returning::new(first.addr, "u").await;
    client.client().send("41").await;
    until("it has left", || first.server.report().sockets == 0).await;
    fresh("u", client.memory.clone()).await;

    let gone = Returning::new(first.addr, "u").await.cut().await;
    alone(&first).await;
    let memory = gone.memory.clone();
    let with = |pid: &str, offset: &str| Memory {
        pid: Some(pid.into()),
        offset: Some(offset.into()),
        ..memory.clone()
    };
    let (pid, offset) = (
        memory.pid.as_deref().unwrap(),
        memory.offset.as_deref().unwrap(),
    );
    for pid in [
        "",
        "x",
        "01234567890123456789",
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ] {
        fresh("u", with(pid, offset)).await;
    }
    // Its own state is used up by what follows.
    fresh("v", with(pid, offset)).await;
    for offset in [
        "0",
        "1.2.3",
        &offset.replace(':', ":9"),
        &offset.replacen("0.", "0.1", 1),
    ] {
        let gone = Returning::new(first.addr, "u").await.cut().await;
        alone(&first).await;
        fresh("u", with(gone.memory.pid.as_deref().unwrap(), offset)).await;
    }
    assert!(second.server.report().recovery_refused >= 3);
}

#[tokio::test]
async fn a_session_is_taken_once_and_its_old_socket_ends() {
    let [first, second] = nodes().await;
    let mut old = Returning::new(first.addr, "u").await;
    join(&mut old, "a").await;
    emit(&first, "a", 1);
    expect(&mut old, &[1]).await;
    // It is back before its old connection is seen to be dead.
    let mut new = Returning::with(first.addr, "u", old.memory.clone())
        .await
        .unwrap();
    assert!(new.recovered);
    emit(&first, "a", 2);
    expect(&mut new, &[2]).await;
    assert_eq!(old.client().close_code().await, 1000);
    until("one socket is left", || first.server.report().sockets == 1).await;
    emit(&first, "a", 3);
    expect(&mut new, &[3]).await;

    let gone = new.cut().await;
    alone(&first).await;
    let (a, b) = tokio::join!(gone.clone().back(first.addr), gone.back(second.addr));
    assert!(a.recovered != b.recovered, "one of two wins");
}

#[tokio::test]
async fn what_a_user_may_no_longer_see_is_not_restored() {
    let store = MemorySessionStore::new();
    let user = UserId::parse("u").unwrap();
    let guild = |name: &str| Guild::new(GuildId::parse(name).unwrap());
    let save = async |guilds: &[&str], not_before| {
        let mut session = Session::new(guilds.iter().copied().map(guild).collect());
        session.not_before = not_before;
        store.save(&user, &session, Expiry::Never).await.unwrap();
    };
    save(&["1", "2"], None).await;
    let builder = Server::builder(ByHeader)
        .sessions(store.clone())
        .broker(MemoryBroker::new())
        .config(config())
        .namespace(namespace());
    let node = started(builder).await;
    let client = Returning::new(node.addr, "u").await;
    let gone = client.cut().await;
    alone(&node).await;
    emit(&node, "guild:1", 1);
    emit(&node, "guild:2", 2);
    emit(&node, "admins", 3);
    save(&["2", "3"], None).await;
    let mut client = gone.back(node.addr).await;
    assert!(client.recovered);
    expect(&mut client, &[2]).await;
    for (room, n) in [("guild:1", 4), ("guild:2", 5), ("guild:3", 6)] {
        emit(&node, room, n);
    }
    expect(&mut client, &[5, 6]).await;

    let gone = client.cut().await;
    alone(&node).await;
    save(&["2"], Some(u64::MAX)).await;
    let refused = Returning::with(node.addr, "u", gone.memory.clone())
        .await
        .unwrap_err();
    assert_eq!(refused["message"], "not_authorized");
    save(&["2"], None).await;
    assert!(
        gone.back(node.addr).await.recovered,
        "a refusal does not use the state up"
    );
}

/// Whatever offset it shows: an old one brings again what it has had, and nothing that it was never to have.
#[tokio::test]
async fn what_was_said_before_it_was_there_is_not_its() {
    let [first, second] = nodes().await;
    let mut witness = Returning::new(first.addr, "v").await;
    join(&mut witness, "a").await;
    let older = witness.memory.offset.clone();
    emit(&first, "a", 1);
    emit(&second, "a", 2);
    expect(&mut witness, &[1, 2]).await;
    let mut client = Returning::new(first.addr, "u").await;
    let old = client.memory.offset.clone();
    emit(&first, "a", 3);
    emit(&second, "a", 4);
    expect(&mut witness, &[3, 4]).await;
    join(&mut client, "a").await;
    emit(&first, "a", 5);
    emit(&second, "a", 6);
    expect(&mut client, &[5, 6]).await;
    for (at, other, offset) in [(&second, &first, older), (&first, &second, old)] {
        let mut gone = client.cut().await;
        let witnesses = usize::from(other.addr == first.addr);
        until("the cut is seen", || {
            other.server.report().sockets == witnesses
        })
        .await;
        gone.memory.offset = offset;
        client = gone.back(at.addr).await;
        assert!(client.recovered);
        expect(&mut client, &[5, 6]).await;
        client
            .client()
            .expect_silence(Duration::from_millis(50))
            .await;
    }
}

#[tokio::test]
async fn too_much_is_a_new_client() {
    let config = Config {
        max_recovered_events: 10,
        ..config()
    };
    let node = start(MemoryBroker::new(), config).await;
    for (count, recovered) in [(10, true), (11, false)] {
        let mut client = Returning::new(node.addr, "u").await;
        join(&mut client, "a").await;
        let gone = client.cut().await;
        alone(&node).await;
        (0..count).for_each(|n| emit(&node, "a", n));
        let client = gone.back(node.addr).await;
        assert_eq!(client.recovered, recovered, "{count}");
        assert_eq!(client.early(), if recovered { count } else { 0 });
        drop(client);
        alone(&node).await;
    }
    assert_eq!(node.server.report().reached(Bound::MaxRecoveredEvents), 1);
}

#[tokio::test]
async fn what_fell_out_of_the_log_is_a_new_client() {
    let node = start(MemoryBroker::new(), config()).await;
    let mut client = Returning::new(node.addr, "u").await;
    join(&mut client, "a").await;
    let gone = client.cut().await;
    alone(&node).await;
    (0..10_001).for_each(|n| emit(&node, "b", n));
    until("all is in the log", || {
        node.server.report().publications_waiting == 0
    })
    .await;
    let client = gone.back(node.addr).await;
    assert!(!client.recovered && client.early() == 0);
}

#[tokio::test]
async fn a_shutdown_is_a_cut_too() {
    let [first, second] = nodes().await;
    let mut client = Returning::new(first.addr, "u").await;
    join(&mut client, "a").await;
    assert!(first.server.shutdown(Duration::from_secs(5)).await);
    emit(&second, "a", 1);
    let mut client = client.back(second.addr).await;
    assert!(client.recovered);
    expect(&mut client, &[1]).await;
}

#[tokio::test]
async fn it_needs_a_broker_with_a_log() {
    let without = Server::builder(ByHeader)
        .config(config())
        .namespace(namespace());
    let error = without.build().unwrap_err().to_string();
    assert!(error.contains("`recovery` needs a broker"), "{error}");
}

#[tokio::test]
async fn data_is_not_restored_and_handlers_run_as_ever() {
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let sender = Arc::new(sender);
    let namespace = namespace().on_connect(move |socket: Socket| {
        let before = socket.set_data(1_u8).is_some();
        sender
            .send((socket.is_recovered(), before, socket.rooms()))
            .unwrap();
        std::future::ready(())
    });
    let builder = Server::builder(ByHeader)
        .broker(MemoryBroker::new())
        .config(config())
        .namespace(namespace);
    let node = started(builder).await;
    let mut client = Returning::new(node.addr, "u").await;
    join(&mut client, "a").await;
    client.back(node.addr).await;
    assert_eq!(seen.recv().await.unwrap(), (false, false, vec![]));
    let (recovered, before, rooms) = seen.recv().await.unwrap();
    assert!(recovered && !before);
    assert_eq!(
        rooms.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["a"]
    );
}
