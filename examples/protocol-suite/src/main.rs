//! The servers that the official Engine.IO and Socket.IO protocol suites expect.
//!
//! ```text
//! cargo run --release -p protocol-suite -- engine [--port 3000]
//! cargo run --release -p protocol-suite -- socket [--port 3000]
//! ```
//! `engine` echoes every message at `/engine.io/`. `socket` greets with the handshake's auth at `/socket.io/`, sends messages back,
//! and acknowledges with what it got; beyond what the suites ask for, `ask` has the client acknowledge, and `bye` closes the connection.
//! Port 0 picks a free one; the line `listening on http://…` says which.

use std::{
    error::Error,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use slimy_rt::{
    UserId,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    events::{Event, Namespace, Socket},
    protocol::{AckData, Arguments, EventData, session::Message},
    server::{
        Config, EngineApp, EngineSocket, Server,
        origin::Origins,
        serve::{ServeConfig, serve},
    },
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter())
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (suite, port) = match arguments[..] {
        [suite] => (suite, 3000),
        [suite, "--port", port] => (suite, port.parse()?),
        _ => return Err("usage: protocol-suite engine|socket [--port PORT]".into()),
    };
    let server = match suite {
        "engine" => Server::engine_builder(Echo),
        "socket" => Server::builder(Anyone)
            .namespace(main_namespace())
            .namespace(custom_namespace()),
        _ => return Err("the suite is `engine` or `socket`".into()),
    };
    let server = server.config(config()).origins(Origins::any()).build()?;
    listen(port, &server).await
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into())
}

/// What the suites' heartbeats and timeouts are written for.
fn config() -> Config {
    Config {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_millis(1000),
        ..Config::default()
    }
}

/// Both loopback addresses, since `localhost` may be either.
async fn listen(port: u16, server: &Server) -> Result<(), Box<dyn Error>> {
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = v4.local_addr()?.port();
    let never = CancellationToken::new();
    if let Ok(v6) = TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
        tokio::spawn(serve(
            v6,
            server.service(),
            ServeConfig::default(),
            never.clone(),
        ));
    }
    println!("listening on http://127.0.0.1:{port}");
    serve(v4, server.service(), ServeConfig::default(), never).await;
    Ok(())
}

/// Sends every message back.
#[derive(Debug)]
struct Echo;

impl EngineApp for Echo {
    fn message(&self, socket: &EngineSocket, message: Message) {
        socket.send(&message);
    }
}

/// Lets everyone in: the suites bring no credentials.
#[derive(Debug)]
struct Anyone;

#[async_trait::async_trait]
impl Authenticator for Anyone {
    async fn authenticate(&self, _: &Handshake) -> Result<Identity, AuthError> {
        let id = UserId::parse("guest")?;
        Ok(Identity::new(User::new(id, Role::Member)))
    }
}

async fn greet(socket: Socket) {
    let auth = socket.handshake().auth();
    let nothing = serde_json::json!({});
    log(socket.emit("auth", if auth.is_null() { &nothing } else { auth }));
}

fn main_namespace() -> Namespace {
    Namespace::new("/")
        .on_connect(greet)
        .on("message", |event: Event| async move {
            match EventData::from_arguments("message-back", event.arguments()) {
                Ok(back) => log(event.socket().emit_data(&back)),
                Err(e) => log(Err(e.into())),
            }
        })
        .on("message-with-ack", async |arguments: Arguments| {
            AckData::from_arguments(&arguments)
        })
        .on("ask", |event: Event| async move {
            // What the client acknowledges comes back as an event: acks in the other direction.
            match EventData::from_arguments("question", event.arguments()) {
                Ok(question) => answer_back(event.socket(), &question).await,
                Err(e) => log(Err(e.into())),
            }
        })
        .on("bye", |event: Event| async move {
            // What was sent before the close must still arrive.
            match EventData::from_arguments("last", event.arguments()) {
                Ok(last) => log(event.socket().emit_data(&last)),
                Err(e) => log(Err(e.into())),
            }
            event.socket().close();
        })
}

async fn answer_back(socket: &Socket, question: &EventData) {
    let asking = socket.timeout(Duration::from_secs(1));
    match asking.emit_data_with_ack(question).await {
        Ok(answer) => match EventData::from_arguments("answer", &answer) {
            Ok(event) => log(socket.emit_data(&event)),
            Err(e) => log(Err(e.into())),
        },
        Err(e) => log(socket.emit("answer", &format!("error: {e}"))),
    }
}

fn custom_namespace() -> Namespace {
    Namespace::new("/custom").on_connect(greet)
}

fn log(result: Result<(), slimy_rt::events::EmitError>) {
    if let Err(e) = result {
        tracing::debug!(error = %e, "not sent");
    }
}
