//! The Redis backends keep the traits' contracts, over real servers: bare, and behind `Arc<dyn …>` and `Box<dyn …>`.

mod broker;
mod sessions;

use slimy_rt::conformance::{Failures, Report};
use slimy_rt_backends::redis::{Redis, RedisConfig};
use slimy_rt_test_engines::{Proxy, Redis as Server};

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

    /// A client with a prefix of its own.
    fn client_of(&self, prefix: &str) -> Redis {
        Redis::new(self.config().prefix(prefix).unwrap())
    }
}

/// Fails unless exactly these clauses do not apply.
fn holds_but_for(result: Result<Report, Failures>, expected: &[&str]) {
    let report = result.unwrap_or_else(|failures| panic!("{failures}"));
    let others = report.not_applicable.iter();
    let names: Vec<&str> = others.map(|other| other.clause.name).collect();
    assert_eq!(names, expected, "{report}");
}
