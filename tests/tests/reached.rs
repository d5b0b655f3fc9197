//! Every bound of `Config`, reached: who goes beyond it is told or closed, it is counted by its name, and a neighbour notices nothing.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use slimy_rt::{
    NodeId, Room,
    auth::{AuthError, Authenticator, Handshake, Identity},
    broker::{BrokerEvents, Delivered, Health, NodeInfo, Position, ReplySink, Request, RoomBroker},
    events::{Answer, Emitter, Namespace, Payload, Socket},
    protocol::{client::PacketRate, packet::PacketLimits},
    server::{Bound, Config, Server},
};
use slimy_rt_backends::memory::MemoryBroker;
use slimy_rt_tests::{
    client::DEADLINE,
    node::{ByHeader, Node},
    raw::{End, Raw, begin, frame, go_on, text},
    returning::Returning,
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The longest time that the neighbour may wait for an answer.
const LONGEST_GAP: Duration = Duration::from_secs(3);
const SHORT: Duration = Duration::from_millis(150);

/// As `ByHeader`, but never comes to a decision about `slow`.
#[derive(Debug)]
struct Slow;

#[async_trait]
impl Authenticator for Slow {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let identity = ByHeader.authenticate(handshake).await?;
        if identity.user.id.as_str() == "slow" {
            std::future::pending::<()>().await;
        }
        Ok(identity)
    }
}

fn namespace() -> Namespace {
    Namespace::new("/")
        .on("echo", async |Payload(value): Payload<u64>| Answer(value))
        .on("hang", async || std::future::pending::<()>().await)
        .on(
            "join",
            async |socket: Socket, Payload(room): Payload<String>| {
                let joined = socket.join(Room::parse(&room).expect("a room"));
                Answer(joined.err().map(|e| e.to_string()))
            },
        )
        .on("ask twice", async |socket: Socket| {
            let (first, second) = tokio::join!(
                socket.timeout(SHORT).emit_with_ack("ask", &1),
                socket.timeout(SHORT).emit_with_ack("ask", &1)
            );
            assert!(first.is_err(), "nobody answers");
            Answer(second.expect_err("one is too many").to_string())
        })
        .on("ask", async |socket: Socket| {
            let answer = socket.emit_with_ack("ask", &1).await;
            Answer(answer.expect_err("nobody answers").to_string())
        })
        .on("ask all", async |everyone: Emitter| {
            let answers = everyone.all().emit_with_ack("ask", &1).await;
            Answer(answers.expect_err("too many").to_string())
        })
        .on("fetch", async |everyone: Emitter| {
            let fetched = everyone.all().fetch_sockets().await;
            Answer(fetched.expect("the rest").missing_nodes)
        })
        .on(
            "say thrice",
            async |everyone: Emitter, Payload(room): Payload<String>| {
                for n in 1..=3 {
                    everyone.to(room.as_str()).emit("n", &n).expect("sent");
                }
                Answer(3)
            },
        )
        .on_concurrent("hang beside", async || std::future::pending::<()>().await)
        .on("flood", async |socket: Socket| {
            let payload = "x".repeat(40_000);
            for _ in 0..400 {
                if socket.emit("x", &payload).is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        })
}

/// Asks for echoes until it is told to stop; ends with what went wrong.
fn neighbour(addr: SocketAddr, recovers: bool, stop: CancellationToken) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let mut client = connect(addr, "neighbour").await;
        client.join().await;
        if recovers {
            assert!(client.text().await.starts_with(r#"42["session:started","#));
        }
        let mut round = 0;
        while !stop.is_cancelled() || round < 3 {
            client
                .send(text(format!("42{round}[\"echo\",{round}]")))
                .await;
            let answer = timeout(LONGEST_GAP, client.text())
                .await
                .expect("a neighbour waits");
            assert_eq!(answer, format!("43{round}[{round}]"));
            round += 1;
            sleep(Duration::from_millis(20)).await;
        }
        round
    })
}

async fn connect(addr: SocketAddr, user: &str) -> Raw {
    Raw::websocket(addr, &format!("x-user: {user}\r\n")).await
}

async fn joined(addr: SocketAddr) -> Raw {
    let mut raw = connect(addr, "u").await;
    raw.join().await;
    raw
}

/// A polling session: the connection that opened it, and the target of its further requests.
async fn polling(addr: SocketAddr) -> (Raw, String) {
    let mut raw = Raw::connect(addr).await;
    raw.send("GET /?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nx-user: u\r\n\r\n")
        .await;
    let open = raw.answer().await.expect("an answer");
    let sid = open.body.split("\"sid\":\"").nth(1).expect("an id")[..20].to_owned();
    (raw, format!("/?EIO=4&sid={sid}&transport="))
}

fn post(target: &str, body: &str, length: usize) -> String {
    format!("POST {target}polling HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A node that takes requests and never answers.
#[derive(Debug)]
struct Silent(Mutex<Vec<ReplySink>>);

#[async_trait]
impl BrokerEvents for Silent {
    async fn publications(&self, _: &[Delivered]) {}
    fn gap(&self, _: Option<&Position>, _: &Position) {}
    fn request(&self, _: Request, reply: ReplySink) {
        self.0.lock().expect("no panic").push(reply);
    }
    fn health(&self, _: Health) {}
}

async fn silent_node(hub: &MemoryBroker) -> MemoryBroker {
    let (broker, id) = (hub.node(), NodeId::random());
    let events = Arc::new(Silent(Mutex::default()));
    let started = broker.start(&NodeInfo { id }, events).await;
    started.expect("a node");
    broker
}

/// Runs a case beside a neighbour, and waits until the bound's counter has gone from 0 to 1, or further where one cannot go beyond by one only.
async fn reached(bound: Bound, config: Config, case: impl AsyncFnOnce(SocketAddr)) {
    let hub = MemoryBroker::new();
    let _silent = silent_node(&hub).await;
    let recovers = config.recovery.is_some();
    let builder = Server::builder(Slow)
        .config(config)
        .namespace(namespace())
        .namespace(Namespace::new("/b"))
        .namespace(Namespace::new("/rooms/{room}"))
        .broker(hub.node());
    let node = Node::start(builder).await;
    let stop = CancellationToken::new();
    let neighbour = neighbour(node.addr, recovers, stop.clone());
    while node.server.report().sockets == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(node.server.report().reached(bound), 0);
    case(node.addr).await;
    let counted = async {
        while node.server.report().reached(bound) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, counted).await.expect("it is not counted");
    stop.cancel();
    neighbour.await.expect("a healthy neighbour");
    let gone = async {
        while node.server.report().connections > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, gone).await.expect("connections are left");
    let report = node.server.report();
    assert_eq!((report.sockets, report.rooms), (0, 0), "nothing is left");
    let exact = !matches!(
        bound,
        Bound::MaxQueuedEvents
            | Bound::MaxQueuedBytes
            | Bound::HandshakesPerSecond
            | Bound::AckTimeout
    );
    assert!(report.reached(bound) == 1 || !exact, "{report:?}");
}

macro_rules! bounds {
    ($($name:ident: $bound:ident, { $($config:tt)* }, $case:expr;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let config = Config { $($config)* ..Config::default() };
                reached(Bound::$bound, config, $case).await;
            }
        )*

        #[test]
        fn every_bound_has_a_test() {
            let tested = [$((Bound::$bound, stringify!($name))),*];
            for bound in Bound::ALL {
                let name = bound.as_str().replace('.', "_");
                assert!(tested.contains(&(*bound, &name)), "no test reaches {bound}");
            }
            assert_eq!(tested.len(), Bound::ALL.len());
        }
    };
}

bounds! {
    ping_timeout: PingTimeout, { ping_interval: SHORT, ping_timeout: SHORT, }, async |addr| {
        let mut raw = joined(addr).await;
        assert_eq!(raw.end().await, End::Code(1000));
    };
    connect_timeout: ConnectTimeout, { connect_timeout: SHORT, }, async |addr| {
        let mut raw = connect(addr, "u").await;
        assert_eq!(raw.end().await, End::Code(1000));
    };
    upgrade_timeout: UpgradeTimeout, { upgrade_timeout: SHORT, }, async |addr| {
        let (mut first, target) = polling(addr).await;
        let mut raw = Raw::connect(addr).await;
        raw.upgrade(&format!("{target}websocket"), "").await;
        assert_eq!(raw.rest().await, b"", "the WebSocket is closed");
        first.send(post(&target, "1", 1)).await;
        assert_eq!(first.answer().await.expect("an answer").status, 200, "the session went on");
    };
    admission_timeout: AdmissionTimeout, { admission_timeout: SHORT, }, async |addr| {
        let mut raw = connect(addr, "slow").await;
        raw.send(text("40")).await;
        assert_eq!(raw.text().await, r#"44{"message":"server_error","data":{"code":"server_error"}}"#);
    };
    handler_timeout: HandlerTimeout, { handler_timeout: SHORT, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text(r#"420["hang"]"#)).await;
        assert!(raw.text().await.starts_with(r#"430[{"#));
    };
    stall_timeout: StallTimeout, { stall_timeout: SHORT, handler_timeout: Duration::from_secs(1), max_queued_events: 1, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text(r#"42["hang"]"#).repeat(3)).await;
        assert_eq!(raw.end().await, End::Code(1008));
    };
    close_timeout: CloseTimeout, { close_timeout: SHORT, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text("47")).await;
        assert_eq!(raw.end().await, End::Code(1000));
        // It does not close its side, until it cannot but notice.
        while raw.send(text("6")).await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    body_timeout: BodyTimeout, { body_timeout: SHORT, }, async |addr| {
        let (mut raw, target) = polling(addr).await;
        raw.send(post(&target, "", 1)).await;
        assert_eq!(raw.answer().await.expect("an answer").status, 408);
        let mut raw = Raw::connect(addr).await;
        raw.send(post(&target, "1", 1)).await;
        assert_eq!(raw.answer().await.expect("an answer").status, 200);
    };
    max_payload: MaxPayload, { max_payload: 1_000, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text("4".repeat(1_001))).await;
        assert_eq!(raw.end().await, End::Code(1009));
    };
    max_payload_before_connect: MaxPayloadBeforeConnect, { max_payload_before_connect: 1_000, }, async |addr| {
        let (mut raw, target) = polling(addr).await;
        raw.send(post(&target, &"4".repeat(1_001), 1_001)).await;
        assert_eq!(raw.answer().await.expect("an answer").status, 413);
        let mut raw = Raw::connect(addr).await;
        raw.send(post(&target, "1", 1)).await;
        assert_eq!(raw.answer().await.expect("an answer").status, 200);
    };
    max_fragments: MaxFragments, { max_fragments: 3, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send([begin("4"), go_on("", false), go_on("", false), go_on("", true)].concat()).await;
        assert_eq!(raw.end().await, End::Code(1008));
    };
    max_payload_packets: MaxPayloadPackets, { max_payload_packets: 3, }, async |addr| {
        let (mut raw, target) = polling(addr).await;
        raw.send(post(&target, "3\x1e3\x1e3\x1e3", 7)).await;
        assert_eq!(raw.answer().await.expect("an answer").status, 400);
    };
    packet_max_attachments: MaxAttachments, { packet: PacketLimits { max_attachments: 2, ..PacketLimits::default() }, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text(r#"453-["x"]"#)).await;
        assert_eq!(raw.end().await, End::Code(1000));
    };
    packet_max_attachment_bytes: MaxAttachmentBytes, {
        max_payload: 1_000,
        packet: PacketLimits { max_attachment_bytes: 0, ..PacketLimits::default() },
    }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send([text(r#"452-["x"]"#), frame(2, [0; 501]).bytes().repeat(2)].concat()).await;
        assert_eq!(raw.end().await, End::Code(1000));
    };
    packet_max_depth: MaxDepth, { packet: PacketLimits { max_depth: 2, ..PacketLimits::default() }, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text(r#"42["x",[[]]]"#)).await;
        assert_eq!(raw.end().await, End::Code(1000));
    };
    packet_max_namespace_len: MaxNamespaceLen, { packet: PacketLimits { max_namespace_len: 4, ..PacketLimits::default() }, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text("40/long,")).await;
        assert_eq!(raw.end().await, End::Code(1000));
    };
    max_namespaces: MaxNamespaces, { max_namespaces: 1, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text("40/b,")).await;
        assert_eq!(raw.end().await, End::Code(1000));
    };
    packet_rate: PacketRate, { packet_rate: Some(PacketRate { packets: 100, per: Duration::from_secs(1), burst: 100 }), }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text("6").repeat(500)).await;
        assert_eq!(raw.end().await, End::Code(1000));
    };
    max_rooms_per_socket: MaxRoomsPerSocket, { max_rooms_per_socket: 1, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send([text(r#"420["join","a"]"#), text(r#"421["join","b"]"#)].concat()).await;
        assert_eq!(raw.text().await, "430[null]");
        assert!(raw.text().await.contains("max_rooms_per_socket"));
    };
    max_pending_bytes: MaxPendingBytes, { max_payload: 50_000, max_pending_bytes: 100_000, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text(r#"42["flood"]"#)).await;
        // It reads only after it was closed.
        let closed = async {
            while raw.send(text("6")).await {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, closed).await.expect("it is still open");
    };
    max_pending_acks: MaxPendingAcks, { max_pending_acks: 1, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text(r#"420["ask twice"]"#)).await;
        assert!(raw.text().await.ends_with(r#"["ask",1]"#));
        assert!(raw.text().await.contains("max_pending_acks"));
    };
    ack_timeout: AckTimeout, { ack_timeout: SHORT, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text(r#"420["ask"]"#)).await;
        assert!(raw.text().await.ends_with(r#"["ask",1]"#));
        assert!(raw.text().await.contains("did not answer"));
    };
    max_broadcast_acks: MaxBroadcastAcks, { max_broadcast_acks: 1, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text(r#"420["ask all"]"#)).await;
        assert!(raw.text().await.contains("max_broadcast_acks"));
    };
    request_timeout: RequestTimeout, { request_timeout: SHORT, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text(r#"420["fetch"]"#)).await;
        assert_eq!(raw.text().await, "430[1]", "one node said nothing");
    };
    max_recovered_events: MaxRecoveredEvents, { recovery: Some(Duration::from_secs(60)), max_recovered_events: 2, }, async |addr| {
        let mut away = Returning::new(addr, "u").await;
        away.client().send(r#"420["join","r"]"#).await;
        assert_eq!(away.client().text().await, "430[null]");
        let away = away.cut().await;
        let mut other = Returning::new(addr, "v").await;
        other.client().send(r#"420["say thrice","r"]"#).await;
        assert_eq!(other.client().text().await, "430[3]");
        let back = away.back(addr).await;
        assert!(!back.recovered && back.early() == 0, "none of it, since all would be too much");
    };
    max_dynamic_namespaces: MaxDynamicNamespaces, { max_dynamic_namespaces: 1, }, async |addr| {
        let mut raw = connect(addr, "u").await;
        raw.send(text("40/rooms/1,")).await;
        assert!(raw.text().await.starts_with("40/rooms/1,{"));
        raw.send(text("40/rooms/2,")).await;
        assert!(raw.text().await.contains("too_many_namespaces"));
    };
    max_concurrent_handlers: MaxConcurrentHandlers, { max_concurrent_handlers: 1, handler_timeout: SHORT, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send(text(r#"420["hang beside"]"#)).await;
        assert!(raw.text().await.starts_with("430[{"));
    };
    max_queued_events: MaxQueuedEvents, { max_queued_events: 2, handler_timeout: SHORT, }, async |addr| {
        let mut raw = joined(addr).await;
        raw.send((0..6).flat_map(|id| text(format!(r#"42{id}["hang"]"#))).collect::<Vec<_>>()).await;
        for id in 0..6 {
            assert!(raw.text().await.starts_with(&format!("43{id}[")), "all are looked at, in their order");
        }
    };
    max_queued_bytes: MaxQueuedBytes, { max_queued_bytes: 1_000, handler_timeout: SHORT, }, async |addr| {
        let mut raw = joined(addr).await;
        let filler = "x".repeat(2_000);
        raw.send((0..4).flat_map(|id| text(format!(r#"42{id}["hang","{filler}"]"#))).collect::<Vec<_>>()).await;
        for id in 0..4 {
            assert!(raw.text().await.starts_with(&format!("43{id}[")), "all are looked at, in their order");
        }
    };
    max_connections: MaxConnections, { max_connections: 2, }, async |addr| {
        let _second = joined(addr).await;
        third_is_refused(addr).await;
    };
    max_connections_per_ip: MaxConnectionsPerIp, { max_connections_per_ip: 2, }, async |addr| {
        let _second = joined(addr).await;
        third_is_refused(addr).await;
    };
    handshakes_per_second: HandshakesPerSecond, { handshakes_per_second: 3, }, async |addr| {
        let mut refused = 0;
        for _ in 0..10 {
            let mut raw = Raw::connect(addr).await;
            let request = raw.upgrade_request("/?EIO=4&transport=websocket", "");
            raw.send(request).await;
            refused += u32::from(raw.answer().await.expect("an answer").status == 503);
        }
        assert!(refused >= 5, "{refused}");
    };
}

async fn third_is_refused(addr: SocketAddr) {
    let mut raw = Raw::connect(addr).await;
    let request = raw.upgrade_request("/?EIO=4&transport=websocket", "");
    raw.send(request).await;
    assert_eq!(raw.answer().await.expect("an answer").status, 503);
}
