//! cargo run --example quickstart
//!
//! A server in which everyone who knows the password hears what the others say. In a page or in Node:
//! ```js
//! const socket = io("http://127.0.0.1:3080", { auth: { name: "ann", password: "open sesame" } });
//! socket.on("said", ({ from, text }) => console.log(from, text));
//! socket.emit("say", "hello", (answer) => console.log(answer)); // { heard: 1 }
//! ```

use serde::Serialize;
use slimy_rt::{
    UserId, async_trait,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    events::{Answer, Emitter, Namespace, Payload, Rejection},
    server::{Server, origin::Origins, serve::ServeConfig},
};
use tokio::net::TcpListener;

/// Who may connect, and as whom. Your own: an API key, a cookie, a row in a table.
#[derive(Debug)]
struct Password;

#[async_trait]
impl Authenticator for Password {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let auth = handshake.auth();
        let password = auth["password"].as_str().ok_or(AuthError::Missing)?;
        if password != "open sesame" {
            return Err(AuthError::Invalid("wrong password".into()));
        }
        let name = auth["name"].as_str().ok_or(AuthError::Missing)?;
        let id = UserId::parse(name)?;
        Ok(Identity::new(User::new(id, Role::Member)))
    }
}

#[derive(Serialize)]
struct Said<'a> {
    from: &'a UserId,
    text: &'a str,
}

#[derive(Serialize)]
struct Heard {
    heard: usize,
}

/// Handlers name what they want to have, and return what the client's callback gets.
async fn say(
    me: Identity,
    everyone: Emitter,
    Payload(text): Payload<String>,
) -> Result<Answer<Heard>, Rejection> {
    if text.is_empty() {
        return Err(Rejection::new("empty", "say something"));
    }
    let said = Said {
        from: &me.user.id,
        text: &text,
    };
    everyone.all().emit("said", &said)?;
    let audience = everyone.all().fetch_sockets().await?;
    let heard = audience.sockets.len();
    Ok(Answer(Heard { heard }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder(Password)
        .origins(Origins::any())
        .namespace(Namespace::new("/").on("say", say))
        .build()?;
    let address = std::env::var("ADDRESS").unwrap_or("127.0.0.1:3080".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let never = std::future::pending();
    server.run(listener, ServeConfig::default(), never).await;
    Ok(())
}
