//! The chat of admin-server on socketioxide, as its documentation advises to write it. Environment: `ADMIN_LISTEN`,
//! `JWT_SECRET`, `SESSIONS_FILE`, and for one node of several `REDIS_URL`.
//!
//! What is tuned, and why:
//! * TCP_NODELAY, which axum leaves off.
//! * `max_buffer_size` 1,024 instead of 128 packets: a full buffer loses the message for that socket. Buffers grow as they are
//!   used, so this costs an idle client nothing.
//! * `ws_read_buffer_size` 1 KiB instead of 4: chat messages are small, and each connection has its own.
//! * Only the features that are used; no `tracing`.
//! * The runtime of one thread, as the comparison gives every contender one core: measured, it takes a little less than the other with
//!   one worker, and it keeps the order of one client's messages, each of which is a task.
//! * With `REDIS_URL`, the Redis adapter with the `redis` driver and, as it wants, RESP3. `stream_buffer` 8,192 instead of 1,024 messages
//!   from Redis: a full one loses messages.
//! * No other allocator: the documentation names none.

mod auth;
mod chat;

use std::{env, error::Error, sync::Arc};

use axum::{Router, serve::ListenerExt};
use socketioxide::{
    SocketIo, SocketIoBuilder,
    adapter::{Adapter, LocalAdapter},
    handler::ConnectHandler,
};
use socketioxide_redis::{
    RedisAdapter, RedisAdapterConfig, RedisAdapterCtr, drivers::redis::redis_client::Client,
};
use tokio::net::TcpListener;

use crate::auth::Auth;

const MAX_BUFFERED_PACKETS: usize = 1024;
const READ_BUFFER_BYTES: usize = 1024;
const MAX_PAYLOAD_BYTES: u64 = 1_000_000;
const STREAM_BUFFER: usize = 8192;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = env::var("JWT_SECRET").map_err(|_| "JWT_SECRET is not set")?;
    let sessions = env::var("SESSIONS_FILE").map_err(|_| "SESSIONS_FILE is not set")?;
    let auth = Auth::new(&secret, serde_json::from_slice(&std::fs::read(sessions)?)?);
    let router = match env::var("REDIS_URL") {
        Ok(url) => node_of_several(auth, &url).await?,
        Err(_) => only_node(auth),
    };

    let address = env::var("ADMIN_LISTEN").unwrap_or("127.0.0.1:3080".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    axum::serve(listener, router).await?;
    Ok(())
}

fn only_node(auth: Auth) -> Router {
    let (layer, io) = tuned(SocketIo::<LocalAdapter>::builder(), auth).build_layer();
    io.ns("/", chat::connected.with(auth::authenticate));
    Router::new().layer(layer)
}

async fn node_of_several(auth: Auth, url: &str) -> Result<Router, Box<dyn Error>> {
    let client = Client::open(format!("{url}?protocol=resp3"))?;
    let config = RedisAdapterConfig::new().with_stream_buffer(STREAM_BUFFER);
    let adapter = RedisAdapterCtr::new_with_redis_config(&client, config).await?;
    let builder = SocketIo::builder().with_adapter::<RedisAdapter<_>>(adapter);
    let (layer, io) = tuned(builder, auth).build_layer();
    io.ns("/", chat::connected.with(auth::authenticate)).await?;
    Ok(Router::new().layer(layer))
}

fn tuned<A: Adapter>(builder: SocketIoBuilder<A>, auth: Auth) -> SocketIoBuilder<A> {
    builder
        .max_buffer_size(MAX_BUFFERED_PACKETS)
        .ws_read_buffer_size(READ_BUFFER_BYTES)
        .max_payload(MAX_PAYLOAD_BYTES)
        .with_state(Arc::new(auth))
}
