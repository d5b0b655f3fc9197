//! cargo run --example rooms-and-acks
//!
//! Rooms that clients join by name, and a vote: the server asks everyone in a room, and counts who answered in time.
//! ```js
//! const socket = io("http://127.0.0.1:3080", { auth: { name: "ann" } });
//! await socket.emitWithAck("join", "kitchen"); // { members: ["ann"] }
//! socket.on("joined", ({ room, name }) => console.log(`${name} is in ${room} too`));
//! socket.on("vote?", (question, answer) => answer(confirm(question)));
//! await socket.emitWithAck("vote", "kitchen", "Tea?"); // { yes: 1, no: 0, silent: 0 }
//! ```

use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use slimy_rt::{
    Room, UserId, async_trait,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    events::{Answer, Args, Emitter, Namespace, Payload, Rejection, Socket},
    server::{Server, origin::Origins, serve::ServeConfig},
};
use tokio::net::TcpListener;

/// How long a vote takes at the most.
const VOTE: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Members {
    members: Vec<UserId>,
}

#[derive(Default, Serialize)]
struct Votes {
    yes: usize,
    no: usize,
    silent: usize,
}

async fn join(socket: Socket, Payload(room): Payload<Room>) -> Result<Answer<Members>, Rejection> {
    // Joining is at once: what is sent to the room from here on reaches this socket.
    socket.join(&room)?;
    let joined = json!({"room": room, "name": socket.identity().user.id});
    // `to` leaves the socket itself out; its emitter would not.
    socket.to(&room).emit("joined", &joined)?;
    let fetched = socket.emitter().to(&room).fetch_sockets().await?;
    let mut members: Vec<_> = fetched.sockets.into_iter().map(|s| s.user).collect();
    members.sort();
    Ok(Answer(Members { members }))
}

async fn leave(socket: Socket, Payload(room): Payload<Room>) {
    socket.leave(&room);
}

/// Asks a room a question. It is added by `on_concurrent`, so that the asker's other events do not wait until the vote is over.
async fn vote(
    everyone: Emitter,
    Args((room, question)): Args<(Room, String)>,
) -> Result<Answer<Votes>, Rejection> {
    let question = everyone
        .to(&room)
        .timeout(VOTE)
        .emit_with_ack("vote?", &question);
    let answers = question.await?;
    let mut votes = Votes {
        silent: answers.silent.len(),
        ..Votes::default()
    };
    for (_, answer) in &answers.answers {
        match answer.parse::<bool>(0) {
            Ok(true) => votes.yes += 1,
            Ok(false) => votes.no += 1,
            Err(_) => votes.silent += 1,
        }
    }
    Ok(Answer(votes))
}

/// Closes a room: its members leave it, on every node.
async fn close(everyone: Emitter, Payload(room): Payload<Room>) -> Result<(), Rejection> {
    everyone.to(&room).emit("closed", &room)?;
    everyone.to(&room).leave(&room).await?;
    Ok(())
}

/// Believes what clients say of themselves, which no real program does.
#[derive(Debug)]
struct Believer;

#[async_trait]
impl Authenticator for Believer {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let name = handshake.auth()["name"]
            .as_str()
            .ok_or(AuthError::Missing)?;
        let user = User::new(UserId::parse(name)?, Role::Member);
        Ok(Identity::new(user))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let namespace = Namespace::new("/")
        .on("join", join)
        .on("leave", leave)
        .on_concurrent("vote", vote)
        .on("close", close);
    let server = Server::builder(Believer)
        .origins(Origins::any())
        .namespace(namespace)
        .build()?;
    let address = std::env::var("ADDRESS").unwrap_or("127.0.0.1:3080".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let never = std::future::pending();
    server.run(listener, ServeConfig::default(), never).await;
    Ok(())
}
