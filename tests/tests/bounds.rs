//! Bounds by what their reaching looks like from outside. That each is counted is in `reached.rs`.

use std::{net::SocketAddr, time::Duration};

use async_trait::async_trait;
use slimy_rt::{
    Room,
    auth::{AuthError, Authenticator, Handshake, Identity},
    events::{Answer, Namespace, Payload, Socket},
    server::{Config, Server, serve::ServeConfig},
};
use slimy_rt_tests::{
    client::{Client, DEADLINE},
    node::{ByHeader, Node},
    raw::{Raw, frame, text},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn node(config: Config, namespace: Namespace) -> Node {
    Node::start(
        Server::builder(ByHeader)
            .config(config)
            .namespace(namespace),
    )
    .await
}

/// Sends raw bytes and reads until the server closes or `end` comes.
async fn exchange(addr: SocketAddr, request: &str, end: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        let mut space = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains(end) {
            match stream.read(&mut space).await.unwrap() {
                0 => break,
                read => answer.extend_from_slice(&space[..read]),
            }
        }
    };
    tokio::time::timeout(DEADLINE, read)
        .await
        .expect("no answer in time");
    String::from_utf8(answer).unwrap()
}

async fn polling_session(addr: SocketAddr) -> String {
    let request = "GET /?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nx-user: u\r\n\r\n";
    let answer = exchange(addr, request, "maxPayload").await;
    let sid = answer.split("\"sid\":\"").nth(1).unwrap();
    sid[..20].to_owned()
}

#[tokio::test]
async fn rooms_per_socket() {
    let namespace = Namespace::new("/").on(
        "join",
        async |socket: Socket, Payload(room): Payload<String>| {
            let joined = socket.join(Room::parse(&room).unwrap());
            Answer(joined.map_err(|e| e.to_string()).err())
        },
    );
    let config = Config {
        max_rooms_per_socket: 2,
        ..Config::default()
    };
    let node = node(config, namespace).await;
    let mut client = Client::join(node.addr, "u").await;
    for (room, answer) in [("a", "null"), ("b", "null"), ("a", "null")] {
        client.send(&format!(r#"420["join","{room}"]"#)).await;
        assert_eq!(client.text().await, format!("430[{answer}]"));
    }
    client.send(r#"421["join","c"]"#).await;
    assert!(client.text().await.contains("max_rooms_per_socket"));
    assert_eq!(node.server.report().rooms, 2);
}

#[derive(Debug)]
struct Hangs;

#[async_trait]
impl Authenticator for Hangs {
    async fn authenticate(&self, _: &Handshake) -> Result<Identity, AuthError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn time_to_let_a_socket_in() {
    let config = Config {
        admission_timeout: Duration::from_millis(100),
        ..Config::default()
    };
    let builder = Server::builder(Hangs)
        .config(config)
        .namespace(Namespace::new("/"));
    let node = Node::start(builder).await;
    let mut client = Client::open(node.addr, "u").await;
    client.send("40").await;
    let refusal = r#"44{"message":"server_error","data":{"code":"server_error"}}"#;
    assert_eq!(client.text().await, refusal);
}

#[tokio::test]
async fn time_for_a_body_and_the_session_survives() {
    let config = Config {
        body_timeout: Duration::from_millis(100),
        ..Config::default()
    };
    let node = node(config, Namespace::new("/")).await;
    let sid = polling_session(node.addr).await;
    let post = |length: usize, body: &str| {
        let path = format!("/?EIO=4&transport=polling&sid={sid}");
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let answer = exchange(node.addr, &post(10, "40"), "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let answer = exchange(node.addr, &post(2, "40"), "ok").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn packets_in_one_payload() {
    let config = Config {
        max_payload_packets: 3,
        packet_rate: None,
        ..Config::default()
    };
    let node = node(config, Namespace::new("/")).await;
    for (body, status) in [("40\u{1e}3\u{1e}3", 200), ("40\u{1e}3\u{1e}3\u{1e}3", 400)] {
        let sid = polling_session(node.addr).await;
        let path = format!("/?EIO=4&transport=polling&sid={sid}");
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nx-user: u\r\n");
        let request = format!("{head}Content-Length: {length}\r\n\r\n{body}");
        let answer = exchange(node.addr, &request, "\r\n\r\n").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_wait_for_a_client_that_never_reads() {
    let config = Config {
        max_payload: 50_000,
        max_pending_bytes: 100_000,
        ..Config::default()
    };
    let node = node(config, Namespace::new("/")).await;
    // It joins and then reads no more.
    let stuck = Client::join(node.addr, "stuck").await;
    let mut healthy = Client::join(node.addr, "healthy").await;
    let emitter = node.server.emitter("/").unwrap();
    let payload = "x".repeat(40_000);
    for number in 0..300 {
        emitter.all().emit("news", &(number, &payload)).unwrap();
        assert_eq!(healthy.event().await.1[0], number);
    }
    let closed = async {
        while node.server.report().connections > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, closed)
        .await
        .expect("the stuck client is still there");
    assert_eq!(node.server.report().slow_consumers, 1);
    drop(stuck);
}

#[tokio::test]
async fn namespaces_of_one_client() {
    let config = Config {
        max_namespaces: 2,
        ..Config::default()
    };
    let mut builder = Server::builder(ByHeader).config(config);
    for name in ["/a", "/b", "/c"] {
        builder = builder.namespace(Namespace::new(name));
    }
    let node = Node::start(builder).await;
    let mut client = Client::open(node.addr, "u").await;
    for name in ["/a", "/b"] {
        client.send(&format!("40{name},")).await;
        assert!(client.text().await.starts_with(&format!("40{name},{{")));
    }
    client.send("40/c,").await;
    assert_eq!(client.close_code().await, 1000);
}

/// One byte now and then does not keep a connection open: it is the whole time that counts.
#[tokio::test]
async fn time_for_headers_that_come_byte_by_byte() {
    let config = ServeConfig {
        header_read_timeout: Duration::from_millis(300),
        ..ServeConfig::default()
    };
    let builder = Server::builder(ByHeader).namespace(Namespace::new("/"));
    let node = Node::start_with(builder, config).await;
    let mut neighbour = Client::join(node.addr, "neighbour").await;
    let mut slow = Raw::connect(node.addr).await;
    let dribble = async {
        let mut bytes = "GET /?EIO=4&transport=polling HTTP/1.1\r\nX: "
            .bytes()
            .chain(std::iter::repeat(b'x'));
        while slow.send([bytes.next().unwrap()]).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, dribble)
        .await
        .expect("the slow client is still there");
    neighbour.send("40/nobody,").await;
    assert!(neighbour.text().await.starts_with("44/nobody,"));
}

/// Of the pongs that somebody asks for and does not read only a few wait, and then the newest: RFC 6455, section 5.5.3, allows that.
#[tokio::test(flavor = "multi_thread")]
async fn pongs_that_nobody_reads() {
    const PINGS: usize = 60_000;
    let config = Config {
        packet_rate: None,
        ..Config::default()
    };
    let node = node(config, Namespace::new("/")).await;
    let mut healthy = Client::join(node.addr, "healthy").await;
    let mut stuck = Raw::connect_with_small_buffers(node.addr).await;
    stuck.upgrade("/?EIO=4&transport=websocket", "").await;
    for _ in 0..PINGS / 100 {
        stuck.send(frame(9, [7; 125]).bytes().repeat(100)).await;
    }
    healthy.send("40/nobody,").await;
    assert!(healthy.text().await.starts_with("44/nobody,"));
    stuck.send(text("40/nobody,")).await;
    let mut pongs = 0;
    loop {
        let frame = stuck.frame().await.expect("a frame");
        if frame.first == 0x8a {
            pongs += 1;
        } else if frame.payload.starts_with(b"44/nobody,") {
            break;
        }
    }
    assert!((1..PINGS).contains(&pongs), "{pongs} pongs waited");
}
