//! A node of the framework on a free port.

use std::net::SocketAddr;

use async_trait::async_trait;
use slimy_rt::{
    UserId,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    server::{
        Server, ServerBuilder,
        serve::{ServeConfig, serve},
    },
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Believes the header `x-user`; users whose name begins with `admin` are administrators.
#[derive(Debug)]
pub struct ByHeader;

#[async_trait]
impl Authenticator for ByHeader {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let name = handshake.header("x-user").ok_or(AuthError::Missing)?;
        let id = UserId::parse(name)?;
        let role = if name.starts_with("admin") {
            Role::Admin
        } else {
            Role::Member
        };
        Ok(Identity::new(User::new(id, role)))
    }
}

/// A served server; dropping it stops serving.
#[derive(Debug)]
pub struct Node {
    /// The server.
    pub server: Server,
    /// Where it listens.
    pub addr: SocketAddr,
    stop: CancellationToken,
}

impl Node {
    /// Builds and serves.
    pub async fn start(builder: ServerBuilder) -> Self {
        Self::start_with(builder, ServeConfig::default()).await
    }

    /// The same with other bounds of the HTTP side.
    pub async fn start_with(builder: ServerBuilder, config: ServeConfig) -> Self {
        let server = builder.build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, server.service(), config, stop.clone()));
        Self { server, addr, stop }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
