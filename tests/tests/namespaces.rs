//! Middleware, fallbacks, concurrent handlers, and namespaces that come and go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use slimy_rt::{
    Room, async_trait,
    auth::{AuthError, Authenticator, Handshake, Identity},
    events::{Answer, ConnectError, Data, Event, JoinError, Namespace, Payload, Rejection, Socket},
    protocol::DisconnectReason,
    server::{BuildError, Config, Server},
};
use slimy_rt_tests::{
    client::Client,
    node::{ByHeader, Node},
};
use tokio::sync::{Semaphore, mpsc};

async fn node(namespaces: impl IntoIterator<Item = Namespace>, config: Config) -> Node {
    let builder = Server::builder(ByHeader).config(config);
    Node::start(namespaces.into_iter().fold(builder, |b, n| b.namespace(n))).await
}

/// What a handshake with a namespace is answered.
async fn connect(client: &mut Client, namespace: &str, auth: &str) -> String {
    client.send(&format!("40{namespace},{auth}")).await;
    client.text().await
}

struct Name(String);

#[tokio::test]
async fn connect_middleware_refuses_with_message_and_data() {
    async fn named(socket: Socket) -> Result<(), ConnectError> {
        let name = socket.handshake().auth()["name"].as_str();
        let name = name.ok_or_else(|| {
            ConnectError::new("who are you?").data(json!({"code": "no_name", "field": "name"}))
        })?;
        socket.set_data(Name(name.to_owned()));
        Ok(())
    }
    async fn not_bob(Data(name): Data<Name>, me: Identity) -> Result<(), ConnectError> {
        assert_eq!(me.user.id.as_str(), "ann");
        if name.0 == "bob" {
            return Err(Rejection::new("banned", "no bobs").into());
        }
        Ok(())
    }
    async fn panics(socket: Socket) -> Result<(), ConnectError> {
        assert!(!socket.is_connected());
        assert!(socket.emit("early", &1).is_err(), "nothing before CONNECT");
        let name = socket.data::<Name>();
        assert_ne!(name.map(|n| n.0.clone()).as_deref(), Some("eve"));
        Ok(())
    }
    let chat = Namespace::new("/chat")
        .connect_middleware(named)
        .connect_middleware(not_bob)
        .connect_middleware(panics)
        .on("name", async |Data(name): Data<Name>| {
            Answer(name.0.clone())
        });
    let config = Config {
        admission_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let slow = Namespace::new("/slow").connect_middleware(async |_: Socket| {
        std::future::pending::<()>().await;
        Ok(())
    });
    let node = node([chat, slow], config).await;
    let mut client = Client::open(node.addr, "ann").await;
    for (auth, answer) in [
        (
            "{}",
            r#"{"message":"who are you?","data":{"code":"no_name","field":"name"}}"#,
        ),
        (
            r#"{"name":"bob"}"#,
            r#"{"message":"no bobs","data":{"code":"banned"}}"#,
        ),
        (
            r#"{"name":"eve"}"#,
            r#"{"message":"server_error","data":{"code":"server_error"}}"#,
        ),
    ] {
        let got = connect(&mut client, "/chat", auth).await;
        assert_eq!(got, format!("44/chat,{answer}"));
    }
    let got = connect(&mut client, "/slow", "").await;
    assert!(got.contains("server_error"), "{got}");
    assert_eq!(node.server.report().sockets, 0);
    let got = connect(&mut client, "/chat", r#"{"name":"dan"}"#).await;
    assert!(got.starts_with("40/chat,{"), "{got}");
    client.send(r#"42/chat,1["name"]"#).await;
    assert_eq!(client.text().await, r#"43/chat,1["dan"]"#);
}

#[tokio::test]
async fn event_middleware_comes_first_and_answers_for_handlers() {
    async fn not_muted(socket: Socket, event: Event) -> Result<(), Rejection> {
        if socket.data::<Name>().is_some() && event.name() != "unmute" {
            return Err(Rejection::new("muted", "be quiet"));
        }
        Ok(())
    }
    let namespace = Namespace::new("/")
        .event_middleware(async |event: Event| match event.name() {
            "secret" => Err(Rejection::new("unknown", "no such event")),
            _ => Ok(()),
        })
        .event_middleware(not_muted)
        .on("mute", async |socket: Socket| {
            socket.set_data(Name(String::new()));
            Answer("muted")
        })
        .on("unmute", async |socket: Socket| {
            socket.remove_data::<Name>();
            Answer("unmuted")
        })
        .on("secret", async || Answer("never"))
        .fallback(async |event: Event| Answer(format!("{}?", event.name())));
    let node = node([namespace], Config::default()).await;
    let mut client = Client::join(node.addr, "ann").await;
    let muted = r#"{"code":"muted","error":"be quiet"}"#;
    for (id, event, answer) in [
        (1, "hello", r#""hello?""#),
        (2, "secret", r#"{"code":"unknown","error":"no such event"}"#),
        (3, "mute", r#""muted""#),
        (4, "hello", muted),
        (5, "mute", muted),
        (6, "unmute", r#""unmuted""#),
        (7, "hello", r#""hello?""#),
    ] {
        client.send(&format!(r#"42{id}["{event}"]"#)).await;
        assert_eq!(client.text().await, format!("43{id}[{answer}]"));
    }
    // Without an answer to give, a refused event is just not handled.
    client.send(r#"42["secret"]"#).await;
    client.send(r#"428["end"]"#).await;
    assert_eq!(client.text().await, r#"438["end?"]"#);
}

#[tokio::test]
async fn middleware_sees_events_that_nobody_handles() {
    let namespace = Namespace::new("/").event_middleware(async |event: Event| {
        Err(Rejection::new("closed", format!("no {}", event.name())))
    });
    let node = node([namespace], Config::default()).await;
    let mut client = Client::join(node.addr, "ann").await;
    client.send(r#"421["anything"]"#).await;
    let answer = r#"431[{"code":"closed","error":"no anything"}]"#;
    assert_eq!(client.text().await, answer);
}

#[tokio::test]
async fn rooms_joined_in_a_middleware_are_there_when_the_client_is_told() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let namespace = Namespace::new("/{any}")
        .connect_middleware(move |socket: Socket| {
            assert_eq!(socket.join("early"), Ok(()));
            assert_eq!(socket.join("early"), Ok(()));
            assert_eq!(socket.join("left again"), Ok(()));
            socket.leave("left again");
            let full = socket.join("third").and_then(|()| socket.join("fourth"));
            assert!(matches!(full, Err(JoinError::TooManyRooms { limit: 2 })));
            sender.send(socket).unwrap();
            std::future::ready(Ok(()))
        })
        .on("rooms", async |socket: Socket| Answer(socket.rooms().len()));
    let config = Config {
        max_rooms_per_socket: 2,
        ..Config::default()
    };
    let node = node([namespace], config).await;
    let mut client = Client::open(node.addr, "ann").await;
    assert!(connect(&mut client, "/a", "").await.starts_with("40/a,"));
    let emitter = node.server.emitter("/a").unwrap();
    emitter.to("early").emit("news", &1).unwrap();
    assert_eq!(client.text().await, r#"42/a,["news",1]"#);
    client.send(r#"42/a,1["rooms"]"#).await;
    assert_eq!(client.text().await, "43/a,1[2]");
    client.send("41/a,").await;
    let socket = seen.recv().await.unwrap();
    while socket.is_connected() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(socket.join("late"), Err(JoinError::NotConnected));
    assert_eq!(node.server.report().rooms, 0);
}

#[tokio::test]
async fn two_handlers_for_one_thing_are_a_mistake() {
    let twice = [
        Namespace::new("/")
            .on("a", async || ())
            .on_concurrent("a", async || ()),
        Namespace::new("/")
            .on_connect(async || ())
            .on_connect(async || ()),
        Namespace::new("/")
            .on_disconnect(async || ())
            .on_disconnect(async || ()),
        Namespace::new("/")
            .fallback(async || ())
            .fallback(async || ()),
        Namespace::new("/")
            .on_server_side("a", async || ())
            .on_server_side("a", async || ()),
    ];
    for namespace in twice {
        let built = Server::builder(ByHeader).namespace(namespace).build();
        assert!(matches!(built, Err(BuildError::HandlerTwice { .. })));
    }
}

#[tokio::test]
async fn concurrent_handlers_run_beside_others_and_are_bounded() {
    let gate = Arc::new(Semaphore::new(0));
    let running = Arc::new(AtomicBool::new(false));
    let (ended, mut disconnected) = mpsc::unbounded_channel();
    let (held, busy, over) = (
        Arc::clone(&gate),
        Arc::clone(&running),
        Arc::clone(&running),
    );
    let namespace = Namespace::new("/")
        .on_connect(async || tokio::time::sleep(Duration::from_millis(50)).await)
        .on_concurrent("long", move |Payload(n): Payload<u64>| {
            let (gate, running) = (Arc::clone(&held), Arc::clone(&busy));
            async move {
                running.store(true, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                running.store(false, Ordering::SeqCst);
                Answer(n)
            }
        })
        .on("short", async |Payload(n): Payload<u64>| Answer(n))
        .on_disconnect(move |reason: DisconnectReason| {
            let late = over.load(Ordering::SeqCst);
            ended.send((reason, late)).unwrap();
            std::future::ready(())
        });
    let config = Config {
        max_concurrent_handlers: 2,
        ..Config::default()
    };
    let node = node([namespace], config).await;
    let mut client = Client::join(node.addr, "ann").await;
    client.send(r#"421["long",1]"#).await;
    client.send(r#"422["long",2]"#).await;
    client.send(r#"423["short",3]"#).await;
    assert_eq!(
        client.text().await,
        "433[3]",
        "two long ones do not hold it up"
    );
    client.send(r#"424["long",4]"#).await;
    client.send(r#"425["short",5]"#).await;
    client.expect_silence(Duration::from_millis(100)).await;
    gate.add_permits(1);
    let mut answers = vec![client.text().await, client.text().await];
    answers.sort();
    assert!(
        answers[0] == "431[1]" || answers[0] == "432[2]",
        "{answers:?}"
    );
    assert_eq!(answers[1], "435[5]", "the third long one let it pass");

    // What runs comes to its end before `on_disconnect`.
    client.send("41").await;
    let early = tokio::time::timeout(Duration::from_millis(100), disconnected.recv()).await;
    assert!(early.is_err(), "{early:?}");
    gate.add_permits(2);
    let (reason, late) = disconnected.recv().await.unwrap();
    assert_eq!(reason, DisconnectReason::ClientNamespaceDisconnect);
    assert!(!late, "a handler still ran");
}

#[tokio::test]
async fn dynamic_namespaces_come_and_go() {
    let tenants = Namespace::new("/tenants/{tenant}/{room}")
        .on_connect(async |socket: Socket| {
            socket.join(Room::parse("everyone").unwrap()).unwrap();
        })
        .on("where", async |socket: Socket| {
            Answer(json!([
                socket.param("tenant"),
                socket.param("room"),
                socket.param("x")
            ]))
        })
        .on(
            "say",
            async |socket: Socket, Payload(text): Payload<Value>| {
                socket.emitter().all().emit("said", &text).unwrap();
            },
        );
    let exact = Namespace::new("/tenants/a/b").on("where", async || Answer("exact"));
    let even = Namespace::matching(|name| name.starts_with("/x") && name.len() % 2 == 0)
        .on("where", async |socket: Socket| {
            Answer(socket.namespace().to_owned())
        });
    let config = Config {
        max_dynamic_namespaces: 2,
        ..Config::default()
    };
    let node = node([tenants, exact, even], config).await;
    let mut ann = Client::open(node.addr, "ann").await;
    let mut bob = Client::open(node.addr, "bob").await;
    let joined = connect(&mut ann, "/tenants/t/1", "").await;
    assert!(joined.starts_with("40/tenants/t/1,{"), "{joined}");
    assert!(
        connect(&mut bob, "/tenants/t/1", "")
            .await
            .starts_with("40")
    );
    assert!(
        connect(&mut bob, "/tenants/t/2", "")
            .await
            .starts_with("40")
    );
    ann.send(r#"42/tenants/t/1,1["where"]"#).await;
    assert_eq!(ann.text().await, r#"43/tenants/t/1,1[["t","1",null]]"#);
    // Two names of one pattern are two namespaces.
    bob.send(r#"42/tenants/t/2,["say","hi"]"#).await;
    assert_eq!(bob.text().await, r#"42/tenants/t/2,["said","hi"]"#);
    let emitter = node.server.emitter("/tenants/t/1").unwrap();
    emitter.all().emit("news", &1).unwrap();
    assert_eq!(ann.text().await, r#"42/tenants/t/1,["news",1]"#);
    assert_eq!(bob.text().await, r#"42/tenants/t/1,["news",1]"#);

    // There are two, as many as may be; exact ones do not count.
    let refused = connect(&mut ann, "/x1", "").await;
    assert_eq!(refused, "44/x1,{\"message\":\"Invalid namespace\"}");
    let refused = connect(&mut ann, "/x12", "").await;
    assert!(refused.contains("too_many_namespaces"), "{refused}");
    assert!(
        connect(&mut ann, "/tenants/a/b", "")
            .await
            .starts_with("40")
    );
    bob.send("41/tenants/t/2,").await;
    let mut joined = connect(&mut ann, "/x12", "").await;
    while joined.starts_with("44") {
        // The two clients are two connections: nothing orders them.
        joined = connect(&mut ann, "/x12", "").await;
    }
    ann.send(r#"42/x12,1["where"]"#).await;
    assert_eq!(ann.text().await, r#"43/x12,1["/x12"]"#);
    assert!(node.server.emitter("/tenants/t/2").is_some(), "it could be");
    assert!(node.server.emitter("/elsewhere").is_none());
    drop((ann, bob));
    let empty = async {
        while node.server.report().sockets > 0 || node.server.report().rooms > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), empty)
        .await
        .unwrap();
    let mut ann = Client::open(node.addr, "ann").await;
    for name in ["/x12", "/x1234"] {
        let joined = connect(&mut ann, name, "").await;
        assert!(joined.starts_with("40"), "{joined}");
    }
}

#[tokio::test]
async fn patterns_that_make_no_sense_are_refused() {
    for name in ["/{}", "/a{b}", "/{a}/{a}", "/{a b}", "{a}"] {
        let builder = Server::builder(ByHeader).namespace(Namespace::new(name));
        let error = builder.build().expect_err(name);
        assert!(matches!(error, BuildError::NamespaceName(_)), "{error}");
    }
}

#[tokio::test]
async fn a_function_that_panics_accepts_no_name() {
    let careless = Namespace::matching(|name| &name[..4] == "/abc");
    let fine = Namespace::new("/").on("fine", async || Answer(1));
    let node = node([fine, careless], Config::default()).await;
    let mut client = Client::join(node.addr, "ann").await;
    let refused = connect(&mut client, "/a", "").await;
    assert_eq!(refused, "44/a,{\"message\":\"Invalid namespace\"}");
    client.send(r#"421["fine"]"#).await;
    assert_eq!(client.text().await, "431[1]");
}

/// Refuses in its own words.
#[derive(Debug)]
struct Polite;

#[async_trait]
impl Authenticator for Polite {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        if handshake.auth()["age"].as_u64() < Some(18) {
            let error = ConnectError::new("come back later");
            return Err(error.data(json!({"years": 3})).into());
        }
        ByHeader.authenticate(handshake).await
    }
}

#[tokio::test]
async fn an_authenticator_can_say_why_and_handlers_without_an_audience_may_fail() {
    let namespace = Namespace::new("/")
        .on_connect(async |socket: Socket| -> Result<(), Rejection> {
            socket.emit("welcome", &1)?;
            socket.join("")?;
            unreachable!("that is no room");
        })
        .on_disconnect(async || Err::<(), _>(Rejection::new("late", "nobody reads this")));
    let node = Node::start(Server::builder(Polite).namespace(namespace)).await;
    let mut client = Client::open(node.addr, "ann").await;
    client.send(r#"40{"age":15}"#).await;
    let refusal = r#"44{"message":"come back later","data":{"years":3}}"#;
    assert_eq!(client.text().await, refusal);
    client.send(r#"40{"age":18}"#).await;
    assert!(client.text().await.starts_with("40{"));
    assert_eq!(client.event().await.0, "welcome");
}
