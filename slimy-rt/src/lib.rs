//! A framework for real-time admin back-ends: a Socket.IO v5 server with rooms, sessions that are followed while clients are connected, and
//! a chat.
//!
//! ```text
//!        clients ── WebSocket, HTTP long-polling ──┐
//!                                                  ▼
//!   api      HTTP routes beside the socket     server::serve, or axum
//!   chat     chat:message, policy, bot             │
//!   events   namespaces, handlers, emitters ◄── server ──► shards: output, rooms, order
//!   protocol Engine.IO, Socket.IO: pure  ◄─────────┤
//!                                                  ▼
//!              Authenticator · SessionStore · RoomBroker · MetricsSource
//! ```
//!
//! * [`server`] has the connections: a [`Server`](server::Server) is built, mounted as a tower service, and shut down.
//! * [`events`] is what programs write against: namespaces with handlers, sockets, acknowledgements, emitters.
//! * [`auth`], [`session`], [`broker`] and [`metrics`] each have one object-safe trait, its contract, and a small complete implementation. The crate
//!   `slimy-rt-backends` implements them.
//! * [`chat`] is the chat, made from the above as any program could make it.
//! * [`protocol`] decides what bytes mean and what is allowed when. It has no socket, no task and no clock.
//! * `api` is HTTP routes for health and login, as an axum router.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `jwt` | the JWT-cookie authenticator |
//! | `openai` | the bot that asks an OpenAI-compatible endpoint |
//! | `api` | the HTTP routes |
//! | `diagnostics` | figures, live logs and connections for administrators: routes, events, Prometheus |
//! | `uploads` | the metrics source that counts a directory of uploads |
//! | `conformance` | the traits' contracts as functions, to check implementations with |
//! | `tls` | TLS for [`server::serve`], with aws-lc-rs |
//!
//! None is on by default, and none changes what another does.
//!
//! # Example
//!
//! A server that lets in whoever knows a password, and sends what one says to all:
//! ```no_run
//! use async_trait::async_trait;
//! use slimy_rt::{
//!     UserId,
//!     auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
//!     events::{Event, Namespace},
//!     server::{Server, serve::{ServeConfig, serve}},
//! };
//! use tokio_util::sync::CancellationToken;
//!
//! #[derive(Debug)]
//! struct Password(String);
//!
//! #[async_trait]
//! impl Authenticator for Password {
//!     async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
//!         let sent = handshake.auth()["password"].as_str().ok_or(AuthError::Missing)?;
//!         if sent != self.0 {
//!             return Err(AuthError::Invalid("wrong password".into()));
//!         }
//!         let id = UserId::parse("guest")?;
//!         Ok(Identity::new(User::new(id, Role::Member)))
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let namespace = Namespace::new("/").on("say", |event: Event| async move {
//!         let Ok(text) = event.arguments().parse::<String>(0) else { return };
//!         if let Err(error) = event.socket().emitter().all().emit("said", &text) {
//!             tracing::error!(%error, "not sent");
//!         }
//!     });
//!     let server = Server::builder(Password("open sesame".into())).namespace(namespace).build()?;
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3080").await?;
//!     serve(listener, server.service(), ServeConfig::default(), CancellationToken::new()).await;
//!     Ok(())
//! }
//! ```
//!
//! # What the library leaves to the program
//!
//! It installs no tracing subscriber, no crypto provider and no signal handler. It logs with `tracing`, never what a client uses to prove who it is.

mod ids;
/// What implementations of the traits are marked with.
pub use async_trait::async_trait;
pub use ids::*;
#[cfg(feature = "api")]
pub mod api;
pub mod auth;
pub mod broker;
#[cfg(feature = "api")]
mod cached;
pub mod chat;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "diagnostics")]
pub mod diagnostics;
pub mod events;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod histogram;
pub use histogram::Latencies;
pub mod metrics;
pub mod protocol;
pub mod server;
pub mod session;
mod time;
