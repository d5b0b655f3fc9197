//! The Redis backends keep the traits' contracts, over real servers: bare, and behind `Arc<dyn …>` and `Box<dyn …>`.

#[path = "../both/broker.rs"]
mod broker;
mod errors;
mod log;
mod metrics;
mod outage;
mod own;
#[path = "../both/sessions.rs"]
mod sessions;
#[path = "../support/mod.rs"]
mod support;
#[path = "../both/tokens.rs"]
mod tokens;

use slimy_rt_backends::redis::{Redis, RedisBroker, RedisConfig};
use slimy_rt_test_engines::{Proxy, Redis as Server};

use self::support::{
    eventually, holds_but_for,
    node::{self, Node},
    scenes, traffic,
};

/// A server of one's own, and a link to it that can be cut.
#[derive(Debug)]
struct Engine {
    server: Server,
    proxy: Proxy,
}

impl Engine {
    async fn start() -> Self {
        let server = Server::start().await;
        let proxy = Proxy::start(server.addr()).await;
        Self { server, proxy }
    }

    /// Comes over the link.
    fn config(&self) -> RedisConfig {
        RedisConfig::new(&self.server.url_at(self.proxy.port())).unwrap()
    }

    fn client(&self) -> Redis {
        Redis::new(self.config())
    }

    /// A client that comes past the link.
    fn direct(&self) -> Redis {
        Redis::new(RedisConfig::new(&self.server.url()).unwrap())
    }

    /// A client with a prefix of its own.
    fn client_of(&self, prefix: &str) -> Redis {
        Redis::new(self.config().prefix(prefix).unwrap())
    }
}

/// A node with members in the room "room".
async fn start(redis: &Redis) -> Node {
    Node::of(RedisBroker::new(redis)).await
}
