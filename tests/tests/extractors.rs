//! What handlers can take as arguments and give as answers, and what a client is told when its event does not fit.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde::Deserialize;
use serde_json::{Value, json};
use slimy_rt::{
    auth::Identity,
    events::{
        Ack, Answer, Args, Attachments, Binary, Data, Emitter, Event, FromEvent, FromSocket,
        Namespace, Payload, Rejection, Requirements, Socket, State,
    },
    protocol::{AckData, Arguments, Placeholder},
    server::{Access, BuildError, Server},
};
use slimy_rt_tests::{
    client::Client,
    node::{ByHeader, Node},
};
use tokio_tungstenite::tungstenite::Message;

#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

async fn client_of(namespace: Namespace) -> (Node, Client) {
    let builder = Server::builder(ByHeader)
        .state(Counter::default())
        .namespace(namespace);
    let node = Node::start(builder).await;
    let client = Client::join(node.addr, "ann").await;
    (node, client)
}

/// Sends an event with ack id 7 and gives the answer's array.
async fn ask(client: &mut Client, event: &str) -> Value {
    client.send(&format!("427{event}")).await;
    let text = client.text().await;
    let json = text
        .strip_prefix("437")
        .unwrap_or_else(|| panic!("no answer: {text}"));
    serde_json::from_str(json).unwrap()
}

#[derive(Deserialize)]
struct Point {
    x: i64,
    y: i64,
}

#[tokio::test]
async fn payloads_and_arguments() {
    let namespace = Namespace::new("/")
        .on("point", async |Payload(p): Payload<Point>| {
            Answer(p.x + p.y)
        })
        .on("two", async |Args((a, b)): Args<(String, u8)>| {
            Answer(format!("{a}{b}"))
        })
        .on(
            "optional",
            async |Args((name, point)): Args<(String, Option<Point>)>| {
                Answer((name, point.map(|p| p.x + p.y)))
            },
        )
        .on("callback", async || AckData::args(&(Value::Null, 7)))
        .on("nothing", async |socket: Socket| {
            socket.emit_args("nothing", &()).map_err(Rejection::from)
        })
        .on("many", async |Args(all): Args<Vec<Value>>| {
            Answer(all.len())
        })
        .on("raw", async |arguments: Arguments| {
            AckData::from_arguments(&arguments)
        })
        .on("maybe", async |payload: Option<Payload<u8>>| {
            Answer(payload.map(|p| p.0))
        })
        .on("whole", async |event: Event| {
            Answer(event.name().to_owned())
        });
    let (_node, mut client) = client_of(namespace).await;
    for (event, answer) in [
        (r#"["point",{"x":1,"y":2}]"#, json!([3])),
        (r#"["two","a",5]"#, json!(["a5"])),
        (r#"["two","a",5,6,[7]]"#, json!(["a5"])),
        (r#"["optional","a"]"#, json!([["a", null]])),
        (r#"["optional","a",{"x":1,"y":2},0]"#, json!([["a", 3]])),
        (r#"["many"]"#, json!([0])),
        (r#"["many",1,[2],{}]"#, json!([3])),
        (r#"["raw",1,"2",null]"#, json!([1, "2", null])),
        (r#"["callback"]"#, json!([null, 7])),
        (r#"["maybe",5]"#, json!([5])),
        (r#"["maybe",-5]"#, json!([null])),
        (r#"["maybe"]"#, json!([null])),
        (r#"["whole"]"#, json!(["whole"])),
    ] {
        assert_eq!(ask(&mut client, event).await, answer, "{event}");
    }
    client.send(r#"42["nothing"]"#).await;
    assert_eq!(client.text().await, r#"42["nothing"]"#);
    for (event, error) in [
        (r#"["point"]"#, "argument 0 is missing"),
        (
            r#"["point",{"x":1}]"#,
            "argument 0 is not what is expected: missing field `y`",
        ),
        (r#"["two","a"]"#, "the arguments are not what is expected"),
        (
            r#"["two","a",256]"#,
            "the arguments are not what is expected",
        ),
    ] {
        let answer = ask(&mut client, event).await;
        assert_eq!(answer[0]["code"], "invalid_payload", "{event}");
        let text = answer[0]["error"].as_str().unwrap();
        assert!(text.starts_with(error), "{event}: {text}");
    }
}

#[tokio::test]
async fn binary_arguments_and_attachments() {
    let namespace = Namespace::new("/")
        .on("one", async |Binary(bytes): Binary| Answer(bytes.to_vec()))
        .on("all", async |Attachments(all): Attachments| {
            Answer(all.iter().map(|bytes| bytes.len()).collect::<Vec<_>>())
        })
        .on(
            "upload",
            async |Args((name, file)): Args<(String, Placeholder)>, attachments: Attachments| {
                Answer((name, attachments.get(file).map(|bytes| bytes.len())))
            },
        )
        .on("back", async |Binary(bytes): Binary| {
            let answer = AckData::new(&Placeholder::new(0))?;
            answer.with_attachments(vec![bytes])
        });
    let (_node, mut client) = client_of(namespace).await;
    let place = |num: usize| format!(r#"{{"_placeholder":true,"num":{num}}}"#);
    // No answer is asked for: none comes.
    client.send(&format!(r#"451-["one",{}]"#, place(0))).await;
    client.send_binary(&[1, 2, 3]).await;
    client.send(&format!(r#"451-8["one",{}]"#, place(0))).await;
    client.send_binary(&[1, 2]).await;
    assert_eq!(client.text().await, "438[[1,2]]");
    let upload = format!(r#"452-4["upload","a.txt",{},{}]"#, place(1), place(0));
    client.send(&upload).await;
    client.send_binary(&[1]).await;
    client.send_binary(&[1, 2]).await;
    assert_eq!(client.text().await, r#"434[["a.txt",2]]"#);
    let fake = r#"["upload","a.txt",{"_placeholder":false,"num":0}]"#;
    assert_eq!(ask(&mut client, fake).await[0]["code"], "invalid_payload");
    let without = r#"["upload","a.txt",{"_placeholder":true,"num":0}]"#;
    assert_eq!(ask(&mut client, without).await, json!([["a.txt", null]]));
    client
        .send(&format!(r#"452-9["all",{},{}]"#, place(1), place(0)))
        .await;
    client.send_binary(&[1]).await;
    client.send_binary(&[1, 2]).await;
    assert_eq!(client.text().await, "439[[1,2]]");
    client.send(&format!(r#"451-3["back",{}]"#, place(0))).await;
    client.send_binary(&[9, 8]).await;
    assert_eq!(client.text().await, format!("461-3[{}]", place(0)));
    assert_eq!(
        client.next().await,
        Some(Message::Binary(vec![9, 8].into()))
    );
    let answer = ask(&mut client, r#"["one","text"]"#).await;
    assert_eq!(
        answer,
        json!([{"code": "invalid_payload", "error": "argument 0 is not binary"}])
    );
}

struct Name(String);

#[tokio::test]
async fn data_state_identity_and_emitter() {
    let namespace = Namespace::new("/")
        .on(
            "name",
            async |socket: Socket, Payload(name): Payload<String>| {
                let before = socket.set_data(Name(name));
                Answer(before.map(|name| name.0.clone()))
            },
        )
        .on("who", async |Data(name): Data<Name>, me: Identity| {
            Answer(format!("{} is {}", me.user.id, name.0))
        })
        .on("forget", async |socket: Socket| {
            Answer(socket.remove_data::<Name>().is_some())
        })
        .on("count", async |State(counter): State<Counter>| {
            Answer(counter.0.fetch_add(1, Ordering::Relaxed))
        })
        .on_connect(async |data: Option<Data<Name>>| assert!(data.is_none()))
        .on("role", async |access: Access| Answer(access.role.as_str()))
        .on("args", async |socket: Socket, emitter: Emitter| {
            socket.emit_args("args", &("a", 1)).unwrap();
            socket.volatile().emit_args("args", &[(); 0]).unwrap();
            emitter.all().emit_args("args", &(1, 2, 3)).unwrap();
            Answer(socket.emit_args("args", &1).unwrap_err().to_string())
        })
        .on("all", async |emitter: Emitter| {
            emitter.all().emit("news", &1).unwrap();
        });
    let (node, mut client) = client_of(namespace).await;
    let missing = ask(&mut client, r#"["who"]"#).await;
    assert_eq!(missing[0]["code"], "no_data");
    assert_eq!(ask(&mut client, r#"["name","a"]"#).await, json!([null]));
    assert_eq!(ask(&mut client, r#"["name","b"]"#).await, json!(["a"]));
    assert_eq!(ask(&mut client, r#"["who"]"#).await, json!(["ann is b"]));
    // Another socket of the same user has data of its own, and the same state.
    let mut other = Client::join(node.addr, "ann").await;
    assert_eq!(ask(&mut other, r#"["forget"]"#).await, json!([false]));
    assert_eq!(ask(&mut client, r#"["forget"]"#).await, json!([true]));
    assert_eq!(ask(&mut client, r#"["count"]"#).await, json!([0]));
    assert_eq!(ask(&mut other, r#"["count"]"#).await, json!([1]));
    assert_eq!(ask(&mut client, r#"["role"]"#).await, json!(["member"]));
    client.send(r#"421["args"]"#).await;
    assert_eq!(client.text().await, r#"42["args","a",1]"#);
    assert_eq!(client.text().await, r#"42["args"]"#);
    assert_eq!(client.text().await, r#"42["args",1,2,3]"#);
    assert!(client.text().await.starts_with("431["));
    assert_eq!(other.text().await, r#"42["args",1,2,3]"#);
    client.send(r#"42["all"]"#).await;
    assert_eq!(client.event().await, ("news".into(), json!(1)));
    assert_eq!(other.event().await, ("news".into(), json!(1)));
}

#[tokio::test]
async fn a_missing_state_is_found_when_the_server_is_built() {
    struct Wrapped;
    impl FromSocket for Wrapped {
        async fn from_socket(socket: &Socket) -> Result<Self, Rejection> {
            State::<u8>::from_socket(socket).await.map(|_| Self)
        }
        fn requires(requirements: &mut Requirements) {
            requirements.state::<u8>();
        }
    }
    let takes_it = [
        Namespace::new("/").on("a", async |_: Option<State<u8>>| ()),
        Namespace::new("/").on_connect(async |_: State<u8>| ()),
        Namespace::new("/").on_disconnect(async |_: State<u8>| ()),
        Namespace::new("/").connect_middleware(async |_: State<u8>| Ok(())),
        Namespace::new("/").event_middleware(async |_: Wrapped| Ok(())),
        Namespace::new("/{x}").fallback(async |_: Wrapped| ()),
        Namespace::new("/").on_server_side("a", async |_: State<u8>| ()),
    ];
    for namespace in takes_it {
        let text = format!("{namespace:?}");
        let built = Server::builder(ByHeader).namespace(namespace).build();
        let error = built.expect_err(&text);
        assert!(matches!(
            error,
            BuildError::MissingState { state: "u8", .. }
        ));
        assert!(
            error.to_string().contains("ServerBuilder::state"),
            "{error}"
        );
    }
    let namespace = Namespace::new("/").on("a", async |_: State<u8>| ());
    let builder = Server::builder(ByHeader).state(1_u8).namespace(namespace);
    builder.build().unwrap();
}

/// An extractor of the test's own.
#[derive(Debug)]
struct Administrator;

impl FromSocket for Administrator {
    async fn from_socket(socket: &Socket) -> Result<Self, Rejection> {
        match socket.access().role.is_admin() {
            true => Ok(Self),
            false => Err(Rejection::new("not_authorized", "administrators only")),
        }
    }
}

struct Short(String);

impl FromEvent for Short {
    async fn from_event(event: &Event) -> Result<Self, Rejection> {
        // Extractors may wait.
        tokio::task::yield_now().await;
        let text: String = event.arguments().parse(0)?;
        if text.len() > 3 {
            return Err(Rejection::new("too_long", format!("{} bytes", text.len())));
        }
        Ok(Self(text))
    }
}

#[tokio::test]
async fn extractors_of_the_programs_own() {
    let namespace = Namespace::new("/")
        .on("restart", async |_: Administrator| Answer("restarting"))
        .on("short", async |Short(text): Short| Answer(text));
    let (node, mut client) = client_of(namespace).await;
    assert_eq!(
        ask(&mut client, r#"["restart"]"#).await,
        json!([{"code": "not_authorized", "error": "administrators only"}])
    );
    let mut admin = Client::join(node.addr, "admin").await;
    assert_eq!(
        ask(&mut admin, r#"["restart"]"#).await,
        json!(["restarting"])
    );
    assert_eq!(ask(&mut client, r#"["short","abc"]"#).await, json!(["abc"]));
    assert_eq!(
        ask(&mut client, r#"["short","abcd"]"#).await,
        json!([{"code": "too_long", "error": "4 bytes"}])
    );
}

/// No key of a JSON object: it cannot be written.
fn unwritable() -> std::collections::HashMap<Vec<u8>, u8> {
    [(vec![1], 1)].into()
}

#[tokio::test]
async fn answers() {
    let namespace = Namespace::new("/")
        .on("value", async || Answer(json!({"a": [1]})))
        .on("several", async || {
            AckData::new(&1).and_then(|a| a.arg(&2)).ok()
        })
        .on("result", async |Payload(fine): Payload<bool>| {
            fine.then_some(Answer(1))
                .ok_or(Rejection::new("no", "not so"))
        })
        .on("twice", async |ack: Ack| {
            assert!(ack.is_wanted());
            ack.send("first").unwrap();
            assert!(!ack.is_wanted());
            ack.send("second").unwrap();
            Answer("third")
        })
        .on("unwritable", async || Answer(unwritable()))
        .on("silent", async || ())
        .on("none", async || None::<Answer<u8>>)
        .on("unwanted", async |ack: Ack, emitter: Emitter| {
            assert!(!ack.is_wanted());
            ack.send(&unwritable()).unwrap();
            emitter.all().emit("still here", &1).unwrap();
            Answer(unwritable())
        });
    let (_node, mut client) = client_of(namespace).await;
    for (event, answer) in [
        (r#"["value"]"#, json!([{"a": [1]}])),
        (r#"["several"]"#, json!([1, 2])),
        (r#"["result",true]"#, json!([1])),
        (
            r#"["result",false]"#,
            json!([{"code": "no", "error": "not so"}]),
        ),
        (r#"["twice"]"#, json!(["first"])),
        (
            r#"["unwritable"]"#,
            json!([{"code": "server_error", "error": "server_error"}]),
        ),
    ] {
        assert_eq!(ask(&mut client, event).await, answer, "{event}");
    }
    for event in [r#"["silent"]"#, r#"["none"]"#, r#"["nobody handles it"]"#] {
        client.send(&format!("428{event}")).await;
    }
    client.send(r#"42["unwanted"]"#).await;
    assert_eq!(client.event().await.0, "still here");
}
