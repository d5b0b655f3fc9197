//! The Redis backends keep the traits' contracts, over real servers: bare, and behind `Arc<dyn …>` and `Box<dyn …>`.

mod broker;
mod errors;
mod log;
mod metrics;
mod node;
mod outage;
mod sessions;
mod tokens;

use std::time::Duration;

use slimy_rt::conformance::{Failures, Report};
use slimy_rt_backends::redis::{Redis, RedisConfig};
use slimy_rt_test_engines::{Proxy, Redis as Server};
use tokio::time::{Instant, sleep};

/// How long anything is waited for.
const DEADLINE: Duration = Duration::from_secs(30);

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

/// Fails unless exactly these clauses do not apply.
fn holds_but_for(result: Result<Report, Failures>, expected: &[&str]) {
    let report = result.unwrap_or_else(|failures| panic!("{failures}"));
    let others = report.not_applicable.iter();
    let names: Vec<&str> = others.map(|other| other.clause.name).collect();
    assert_eq!(names, expected, "{report}");
}

/// Looks again and again until it is so.
async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !look().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
