//! cargo run --example axum-mount
//!
//! Socket.IO beside the routes of an axum program, which tell connected clients what happens:
//! ```text
//! curl -X POST http://127.0.0.1:3080/orders -H 'content-type: application/json' -d '{"item": "tea"}'
//! ```
//! and everyone who is connected gets an event `order`.

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde::{Deserialize, Serialize};
use slimy_rt::{
    UserId, async_trait,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    events::{Emitter, Namespace},
    server::{Server, origin::Origins},
};
use tokio::net::TcpListener;

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    item: String,
}

/// An emitter is a cheap clone and works in any task: here it is the routes' state.
async fn place(State(shop): State<Emitter>, Json(order): Json<Order>) -> StatusCode {
    match shop.all().emit("order", &order) {
        Ok(()) => StatusCode::CREATED,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Anyone may look.
#[derive(Debug)]
struct Guests;

#[async_trait]
impl Authenticator for Guests {
    async fn authenticate(&self, _: &Handshake) -> Result<Identity, AuthError> {
        let id = UserId::parse("guest")?;
        Ok(Identity::new(User::new(id, Role::Member)))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder(Guests)
        .origins(Origins::any())
        .namespace(Namespace::new("/"))
        .build()?;
    let shop = server.emitter("/").ok_or("there is no such namespace")?;
    let router = Router::new()
        .route("/orders", post(place))
        .with_state(shop)
        .route_service("/socket.io/", server.service());

    let address = std::env::var("ADDRESS").unwrap_or("127.0.0.1:3080".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // axum waits for requests only: the server's own shutdown ends the sockets.
    let closing = server.clone();
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                closing.shutdown(std::time::Duration::from_secs(5)).await;
            }
        })
        .await?;
    Ok(())
}
