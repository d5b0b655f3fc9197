//! The limit: what a broadcast costs when a server does nothing but write.
//!
//! One thread on epoll, a frame that was made before anybody connected, one write per client. There is no JSON, no room and no
//! authentication: what a real server costs above this is what it adds to the kernel's part.
//!
//! Clients speak just enough Engine.IO and Socket.IO for a load generator that speaks to all contenders alike: upgrade, `40`, `42…`
//! with an ack id, `41`. Environment: `ADMIN_LISTEN` (host:port) and `FRAME_BYTES` (size of the broadcast frame, header included).

mod client;
mod clients;
mod frames;
mod handshake;
mod room;
mod round;
mod server;

use std::{env, error::Error, net::ToSocketAddrs};

use crate::{frames::Broadcast, server::Server};

const DEFAULT_FRAME_BYTES: usize = 300;

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::var("ADMIN_LISTEN").unwrap_or("127.0.0.1:3080".into());
    let frame_bytes = match env::var("FRAME_BYTES") {
        Ok(bytes) => bytes.parse()?,
        Err(_) => DEFAULT_FRAME_BYTES,
    };
    let broadcast = Broadcast::of_size(frame_bytes)?;
    let address = address
        .to_socket_addrs()?
        .next()
        .ok_or("ADMIN_LISTEN has no address")?;
    let mut server = Server::bind(address, broadcast)?;
    println!("listening on http://{}", server.local_addr()?);
    server.run()?;
    Ok(())
}
