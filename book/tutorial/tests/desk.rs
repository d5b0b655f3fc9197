use std::{collections::VecDeque, future::pending, net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use helpdesk::auth::Codes;
use serde_json::{Value, json};
use slimy_rt::server::serve::ServeConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// A server of its own for each test, on a free port.
async fn start() -> SocketAddr {
    let server = helpdesk::server(Codes::new("agent code", "guest code")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let config = ServeConfig::default();
        server.run(listener, config, pending()).await
    });
    addr
}

/// A client that sees the packets as they are: `40` connects, `42` is an event, `43` an answer.
struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Events that came while an answer was waited for.
    early: VecDeque<String>,
}

impl Client {
    /// Connects; gives what the server says to that.
    async fn connect(addr: SocketAddr, auth: Value) -> (Self, String) {
        let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket");
        let (socket, _) = connect_async(url).await.unwrap();
        let early = VecDeque::new();
        let mut client = Self { socket, early };
        assert!(client.packet().await.starts_with("0{"));
        client.send(&format!("40{auth}")).await;
        let answer = client.packet().await;
        (client, answer)
    }

    /// Connects and is let in.
    async fn join(addr: SocketAddr, name: &str, code: &str) -> Self {
        let (client, answer) = Self::connect(addr, json!({"name": name, "code": code})).await;
        assert!(answer.starts_with("40{"), "{answer}");
        client
    }

    async fn send(&mut self, packet: &str) {
        self.socket.send(Message::text(packet)).await.unwrap();
    }

    async fn packet(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(5), self.socket.next());
        let message = next.await.expect("nothing came in time").unwrap().unwrap();
        message.into_text().unwrap().to_string()
    }

    /// The next event, which must be this one; gives its argument.
    async fn event(&mut self, name: &str) -> Value {
        let packet = match self.early.pop_front() {
            Some(packet) => packet,
            None => self.packet().await,
        };
        let array = packet
            .strip_prefix("42")
            .unwrap_or_else(|| panic!("no event: {packet}"));
        let mut array: Vec<Value> = serde_json::from_str(array).unwrap();
        assert_eq!(array[0], name);
        array.remove(1)
    }

    /// Sends an event and gives the answer. What comes before it is kept for `event`.
    async fn ask(&mut self, event: &str, payload: Value) -> Value {
        self.send(&format!("421{}", json!([event, payload]))).await;
        loop {
            let packet = self.packet().await;
            if let Some(array) = packet.strip_prefix("431") {
                let mut array: Vec<Value> = serde_json::from_str(array).unwrap();
                return array.remove(0);
            }
            self.early.push_back(packet);
        }
    }
}

#[tokio::test]
async fn who_has_no_code_stays_out() {
    let addr = start().await;
    let (_client, answer) = Client::connect(addr, json!({"name": "eve", "code": "guess"})).await;
    assert_eq!(
        answer,
        r#"44{"message":"not_authorized","data":{"code":"not_authorized"}}"#
    );
}

#[tokio::test]
async fn a_guest_and_an_agent_talk() {
    let addr = start().await;
    let mut agent = Client::join(addr, "ada", "agent code").await;
    let mut guest = Client::join(addr, "gus", "guest code").await;

    let ticket = guest.ask("open", json!({"subject": "no tea"})).await;
    assert_eq!(ticket, json!({"id": 1, "subject": "no tea"}));
    assert_eq!(agent.event("opened").await, ticket);
    assert_eq!(agent.ask("watch", json!(1)).await, ticket);

    guest.send(r#"42["say",{"ticket":1,"text":"help"}]"#).await;
    let said = json!({"ticket": 1, "from": "gus", "text": "help"});
    assert_eq!(agent.event("said").await, said);
    assert_eq!(guest.event("said").await, said);
}

#[tokio::test]
async fn what_is_not_allowed_is_refused() {
    let addr = start().await;
    let mut gus = Client::join(addr, "gus", "guest code").await;
    let mut eve = Client::join(addr, "eve", "guest code").await;
    gus.ask("open", json!({"subject": "no tea"})).await;

    let refused = [
        ("open", json!({"subject": " "}), "no_subject"),
        ("open", json!("no tea"), "invalid_payload"),
        ("watch", json!(9), "no_ticket"),
        ("watch", json!(1), "forbidden"),
        ("say", json!({"ticket": 1, "text": "hi"}), "not_watching"),
    ];
    for (event, payload, code) in refused {
        assert_eq!(eve.ask(event, payload).await["code"], code);
    }
}
