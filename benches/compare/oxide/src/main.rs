//! The chat of admin-server on socketioxide, as its documentation advises to write it. Environment: `ADMIN_LISTEN`,
//! `JWT_SECRET`, `SESSIONS_FILE`.
//!
//! What is tuned, and why:
//! * TCP_NODELAY, which axum leaves off.
//! * `max_buffer_size` 1,024 instead of 128 packets: a full buffer loses the message for that socket. Buffers grow as they are
//!   used, so this costs an idle client nothing.
//! * `ws_read_buffer_size` 1 KiB instead of 4: chat messages are small, and each connection has its own.
//! * Only the features that are used; no `tracing`.
//! * The runtime of one thread, as the comparison gives every contender one core: measured, it takes a little less than the other with
//!   one worker, and it keeps the order of one client's messages, each of which is a task.
//! * No other allocator: the documentation names none.

mod auth;
mod chat;

use std::{env, error::Error, sync::Arc};

use axum::{Router, serve::ListenerExt};
use socketioxide::{SocketIo, handler::ConnectHandler};
use tokio::net::TcpListener;

use crate::auth::Auth;

const MAX_BUFFERED_PACKETS: usize = 1024;
const READ_BUFFER_BYTES: usize = 1024;
const MAX_PAYLOAD_BYTES: u64 = 1_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = env::var("JWT_SECRET").map_err(|_| "JWT_SECRET is not set")?;
    let sessions = env::var("SESSIONS_FILE").map_err(|_| "SESSIONS_FILE is not set")?;
    let auth = Auth::new(&secret, serde_json::from_slice(&std::fs::read(sessions)?)?);

    let (layer, io) = SocketIo::builder()
        .max_buffer_size(MAX_BUFFERED_PACKETS)
        .ws_read_buffer_size(READ_BUFFER_BYTES)
        .max_payload(MAX_PAYLOAD_BYTES)
        .with_state(Arc::new(auth))
        .build_layer();
    io.ns("/", chat::connected.with(auth::authenticate));

    let address = env::var("ADMIN_LISTEN").unwrap_or("127.0.0.1:3080".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    axum::serve(listener, Router::new().layer(layer)).await?;
    Ok(())
}
