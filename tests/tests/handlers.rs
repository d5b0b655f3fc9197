//! What handlers can rely on, and what they cannot break.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use slimy_rt::{
    events::{AckError, Answer, Data, Event, Namespace, Socket},
    protocol::{DisconnectReason, EventData},
    server::{Config, Server},
};
use slimy_rt_tests::{
    client::{Client, DEADLINE},
    node::{ByHeader, Node},
    peers::TestNode,
};

fn config() -> Config {
    Config {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(200),
        handler_timeout: Duration::from_millis(600),
        ..Config::default()
    }
}

async fn node(namespace: Namespace, config: Config) -> Node {
    Node::start(
        Server::builder(ByHeader)
            .config(config)
            .namespace(namespace),
    )
    .await
}

async fn mistaken() {
    panic!("a handler's own mistake")
}

async fn answer() -> Answer<Value> {
    Answer(json!({"ok": true}))
}

#[tokio::test]
async fn a_panic_ends_one_event_and_answers_it() {
    let namespace = Namespace::new("/").on("panic", mistaken).on("fine", answer);
    let node = node(namespace, config()).await;
    let mut client = Client::join(node.addr, "u").await;
    client.send(r#"421["panic"]"#).await;
    assert_eq!(
        client.text().await,
        r#"431[{"code":"server_error","error":"server_error"}]"#
    );
    client.send(r#"422["fine"]"#).await;
    assert_eq!(client.text().await, r#"432[{"ok":true}]"#);
}

/// Counts how many of it there are, and panics when it is dropped.
struct Bomb(Arc<()>, Option<Socket>);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!(
            "a value's own mistake, with {} others",
            Arc::strong_count(&self.0)
        );
    }
}

#[tokio::test]
async fn what_is_kept_with_a_socket_goes_with_it_whatever_it_does() {
    let alive = Arc::new(());
    let (kept, held) = (Arc::clone(&alive), Arc::clone(&alive));
    let namespace = Namespace::new("/")
        .on("keep", move |socket: Socket| {
            // It holds its own socket.
            let bomb = Bomb(Arc::clone(&kept), Some(socket.clone()));
            socket.set_data(bomb);
            answer()
        })
        .on("hang", move || {
            let bomb = Bomb(Arc::clone(&held), None);
            async move {
                std::future::pending::<()>().await;
                drop(bomb);
            }
        })
        .on_disconnect(async |Data(bomb): Data<Bomb>| assert!(bomb.1.is_some()))
        .on("fine", answer);
    let node = node(namespace, config()).await;
    let mut client = Client::join(node.addr, "u").await;
    client.send(r#"421["keep"]"#).await;
    assert_eq!(client.text().await, r#"431[{"ok":true}]"#);
    client.send(r#"422["hang"]"#).await;
    assert!(client.text().await.contains("server_error"));
    client.send(r#"423["fine"]"#).await;
    assert_eq!(client.text().await, r#"433[{"ok":true}]"#);
    client.send("41").await;
    // The namespace's handlers have one each.
    let gone = async {
        while Arc::strong_count(&alive) > 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone)
        .await
        .unwrap();
    client.send("40").await;
    assert!(
        client.text().await.starts_with("40{"),
        "the connection lives"
    );
}

#[tokio::test]
async fn a_handler_that_hangs_is_given_up_and_pings_go_on_meanwhile() {
    let namespace = Namespace::new("/")
        .on("hang", |_: Event| std::future::pending::<()>())
        .on("fine", answer);
    let node = node(namespace, config()).await;
    let mut client = Client::join(node.addr, "u").await;
    client.send(r#"421["hang"]"#).await;
    client.send(r#"422["fine"]"#).await;
    // The handler's time is longer than ping interval and timeout together: without pongs the client would be gone.
    assert_eq!(
        client.text().await,
        r#"431[{"code":"server_error","error":"server_error"}]"#
    );
    assert_eq!(client.text().await, r#"432[{"ok":true}]"#);
}

#[tokio::test]
async fn events_of_one_socket_are_handled_in_order_and_beyond_the_queue() {
    let namespace = Namespace::new("/").on("slow", async || {
        tokio::time::sleep(Duration::from_millis(2)).await;
        answer().await
    });
    let config = Config {
        max_queued_events: 4,
        packet_rate: None,
        ..config()
    };
    let node = node(namespace, config).await;
    let mut client = Client::join(node.addr, "u").await;
    for id in 0..300 {
        client.send(&format!(r#"42{id}["slow"]"#)).await;
    }
    for id in 0..300 {
        assert_eq!(client.text().await, format!(r#"43{id}[{{"ok":true}}]"#));
    }
}

#[tokio::test]
async fn a_client_whose_handlers_stand_still_is_closed_after_the_stall_timeout() {
    let namespace = Namespace::new("/").on("hang", |_: Event| std::future::pending::<()>());
    let config = Config {
        max_queued_events: 1,
        handler_timeout: Duration::from_secs(60),
        stall_timeout: Duration::from_millis(500),
        ..config()
    };
    let node = node(namespace, config).await;
    let mut client = Client::join(node.addr, "u").await;
    for _ in 0..3 {
        client.send(r#"42["hang"]"#).await;
    }
    assert_eq!(client.close_code().await, 1008);
}

#[tokio::test]
async fn connect_and_disconnect_handlers_frame_the_events() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |text: &'static str| {
        let seen = Arc::clone(&seen);
        move || seen.lock().unwrap().push(text.to_owned())
    };
    let (connected, handled) = (note("connected"), note("event"));
    let left = Arc::clone(&seen);
    let namespace = Namespace::new("/")
        .on_connect(move |_: Socket| {
            connected();
            tokio::time::sleep(Duration::from_millis(20))
        })
        .on("event", move |_: Event| {
            handled();
            tokio::time::sleep(Duration::from_millis(50))
        })
        .on_disconnect(move |_: Socket, reason: DisconnectReason| {
            left.lock().unwrap().push(reason.to_string());
            std::future::ready(())
        });
    let node = node(namespace, config()).await;
    let mut client = Client::join(node.addr, "u").await;
    client.send(r#"42["event"]"#).await;
    client.send(r#"42["event"]"#).await;
    client.send("41").await;
    client.send("40").await;
    assert!(client.text().await.starts_with("40{"), "it may come back");
    drop(client);
    let wanted = [
        "connected",
        "event",
        "client namespace disconnect",
        "connected",
        "transport close",
    ];
    let all = async {
        while seen.lock().unwrap().len() < wanted.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), all)
        .await
        .unwrap();
    // The two lives of the socket run beside each other; each is in order.
    let seen = seen.lock().unwrap().clone();
    let position = |text: &str| seen.iter().position(|s| s == text).unwrap();
    assert!(position("connected") < position("event"));
    assert!(position("event") < position("client namespace disconnect"));
    assert!(seen.iter().any(|s| s == "transport close"));
    assert_eq!(
        seen.iter().filter(|s| *s == "event").count(),
        1,
        "the queued event was dropped"
    );
}

#[tokio::test]
async fn acks_from_the_client_come_back_time_out_and_are_bounded() {
    let (sender, mut sockets) = tokio::sync::mpsc::unbounded_channel();
    let namespace = Namespace::new("/").on_connect(move |socket: Socket| {
        sender.send(socket).unwrap();
        std::future::ready(())
    });
    let node = node(
        namespace,
        Config {
            max_pending_acks: 2,
            ..config()
        },
    )
    .await;
    let mut client = Client::join(node.addr, "u").await;
    let socket = sockets.recv().await.unwrap();
    let question = EventData::new("question", &1).unwrap();
    let ask = |timeout| {
        let asking = socket.timeout(Duration::from_millis(timeout));
        asking.emit_data_with_ack(&question)
    };

    let answering = async {
        let asked = client.text().await;
        let asked = asked.strip_prefix("42").unwrap();
        let id = asked.strip_suffix(r#"["question",1]"#).unwrap();
        client.send(&format!(r#"43{id}["yes",2]"#)).await;
    };
    let (answer, ()) = tokio::join!(ask(5_000), answering);
    assert_eq!(answer.unwrap().parse::<String>(0).unwrap(), "yes");

    assert!(matches!(ask(50).await, Err(AckError::Timeout(_))));
    let (first, second, third) = tokio::join!(ask(100), ask(100), ask(100));
    assert!(matches!(first, Err(AckError::Timeout(_))));
    assert!(matches!(second, Err(AckError::Timeout(_))));
    assert!(matches!(third, Err(AckError::TooMany(2))));

    let (answer, ()) = tokio::join!(ask(5_000), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(client);
    });
    assert!(matches!(answer, Err(AckError::Disconnected)));
    assert!(matches!(ask(50).await, Err(AckError::Emit(_))));
}

#[tokio::test]
async fn shutting_down_writes_what_is_pending_and_closes_with_1001() {
    let namespace = Namespace::new("/").on("last words", |event: Event| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // The client is gone from the namespace by now, and that is no mistake of the handler.
        assert!(event.socket().emit("late", &1).is_err());
    });
    let node = node(namespace, config()).await;
    let mut client = Client::join(node.addr, "u").await;
    let emitter = node.server.emitter("/").unwrap();
    client.send(r#"42["last words"]"#).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    emitter.all().emit("news", &"x".repeat(500_000)).unwrap();
    let (in_time, ()) = tokio::join!(node.server.shutdown(Duration::from_secs(5)), async {
        assert_eq!(client.event().await.0, "news");
        assert_eq!(client.close_code().await, 1001);
    });
    assert!(in_time);
    assert!(!node.server.is_ready());
    assert_eq!(node.server.report().connections, 0);
    assert_eq!(node.server.report().sockets, 0);
    assert_eq!(node.server.report().rooms, 0);
}

#[tokio::test]
async fn a_socket_that_was_ended_while_it_was_let_in_connects_and_disconnects() {
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let left = sender.clone();
    let namespace = Namespace::new("/")
        .connect_middleware(async |socket: Socket| {
            socket.disconnect();
            Ok(())
        })
        .on_connect(move || {
            sender.send("connected".to_owned()).unwrap();
            std::future::ready(())
        })
        .on_disconnect(move |reason: DisconnectReason| {
            left.send(reason.to_string()).unwrap();
            std::future::ready(())
        });
    let node = node(namespace, config()).await;
    let mut client = Client::join(node.addr, "u").await;
    assert_eq!(client.text().await, "41");
    assert_eq!(seen.recv().await.unwrap(), "connected");
    assert_eq!(seen.recv().await.unwrap(), "server namespace disconnect");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_before_the_welcome() {
    let namespace = Namespace::new("/").connect_middleware(|socket: Socket| {
        let (begun, begins) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            begun.send(()).unwrap();
            let deadline = std::time::Instant::now() + DEADLINE;
            while socket.emit("early", &1).is_err() && std::time::Instant::now() < deadline {
                std::hint::spin_loop();
            }
        });
        begins.recv().unwrap();
        std::future::ready(Ok(()))
    });
    let node = node(namespace, config()).await;
    for _ in 0..100 {
        let mut client = Client::join(node.addr, "u").await;
        assert_eq!(client.event().await.0, "early");
    }
}

#[tokio::test]
async fn an_answer_to_a_former_socket_is_none_to_the_new_one() {
    let mut node = TestNode::alone(config()).await;
    let mut former = node.peer(&[]).await;
    let socket = former.socket.clone();
    let asking = tokio::spawn(async move { socket.emit_with_ack("delete?", &1).await });
    let (_, old) = former.asked().await;
    drop(former.client);
    let answer = asking.await.unwrap();
    assert!(matches!(answer, Err(AckError::Disconnected)));

    let mut back = node.peer(&[]).await;
    let socket = back.socket.clone();
    let asking = tokio::spawn(async move { socket.emit_with_ack("keep?", &1).await });
    let (_, new) = back.asked().await;
    back.client.send(&format!(r#"43{old}["old"]"#)).await;
    back.client.send(&format!(r#"43{new}["new"]"#)).await;
    let answer = asking.await.unwrap().unwrap();
    assert_eq!(answer.parse::<String>(0).unwrap(), "new");
}

#[tokio::test]
async fn what_was_on_its_way_to_a_socket_that_the_server_ended_does_no_harm() {
    let ending = Namespace::new("/").on("end", async |socket: Socket| socket.disconnect());
    let other = Namespace::new("/other").on("fine", answer);
    let server = Server::builder(ByHeader).namespace(ending).namespace(other);
    let node = Node::start(server).await;
    let mut client = Client::join(node.addr, "u").await;
    client.send("40/other,").await;
    assert!(client.text().await.starts_with("40/other,"));
    client.send(r#"42["end"]"#).await;
    assert_eq!(client.text().await, "41");
    for late in [r#"42["typing"]"#, "437[]", "41"] {
        client.send(late).await;
    }
    client.send(r#"42/other,1["fine"]"#).await;
    assert_eq!(client.text().await, r#"43/other,1[{"ok":true}]"#);
    client.send("40").await;
    assert!(client.text().await.starts_with("40{"), "it may come back");
}
