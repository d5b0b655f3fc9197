//! A Socket.IO client that shows every packet.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

/// How long a test waits for what has to come.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// One WebSocket connection.
#[derive(Debug)]
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    /// Connects as `user` and reads the open packet.
    pub async fn open(addr: SocketAddr, user: &str) -> Self {
        let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket");
        let mut request = url.into_client_request().unwrap();
        request
            .headers_mut()
            .insert("x-user", HeaderValue::from_str(user).unwrap());
        let (socket, _) = connect_async(request).await.unwrap();
        let mut client = Self { socket };
        assert!(client.text().await.starts_with("0{"));
        client
    }

    /// Connects as `user` and joins the namespace `/`.
    pub async fn join(addr: SocketAddr, user: &str) -> Self {
        let mut client = Self::open(addr, user).await;
        client.send("40").await;
        let answer = client.text().await;
        assert!(answer.starts_with("40{"), "{answer}");
        client
    }

    /// Sends an Engine.IO packet.
    pub async fn send(&mut self, packet: &str) {
        self.socket.send(Message::text(packet)).await.unwrap();
    }

    /// Sends an attachment.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        let message = Message::Binary(bytes.to_vec().into());
        self.socket.send(message).await.unwrap();
    }

    /// The next message, whatever it is; `None` when the connection is over.
    pub async fn next(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(DEADLINE, self.socket.next()).await;
        next.expect("nothing came in time").and_then(Result::ok)
    }

    /// The next packet; pings are answered and left out.
    pub async fn text(&mut self) -> String {
        loop {
            match self.next().await {
                Some(Message::Text(text)) if text == "2" => self.send("3").await,
                Some(Message::Text(text)) => return text.to_string(),
                other => panic!("expected a packet, got {other:?}"),
            }
        }
    }

    /// The next packet, which must be an event: its name and first argument.
    pub async fn event(&mut self) -> (String, Value) {
        let text = self.text().await;
        let json = text
            .strip_prefix("42")
            .unwrap_or_else(|| panic!("no event: {text}"));
        let array: Vec<Value> = serde_json::from_str(json).unwrap();
        (
            array[0].as_str().unwrap().to_owned(),
            array.get(1).cloned().unwrap_or(Value::Null),
        )
    }

    /// Waits for the close frame and gives its code.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match self.next().await {
                Some(Message::Close(frame)) => return frame.expect("a code").code.into(),
                Some(_) => {}
                None => panic!("the connection ended without a close frame"),
            }
        }
    }

    /// Nothing but pings comes for a while.
    pub async fn expect_silence(&mut self, time: Duration) {
        if let Ok(text) = tokio::time::timeout(time, self.text()).await {
            panic!("unexpected: {text}");
        }
    }
}
