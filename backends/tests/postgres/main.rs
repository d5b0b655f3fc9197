//! The Postgres backends keep the traits' contracts, over a real server: bare, and behind `Arc<dyn …>` and `Box<dyn …>`.

mod broker;
mod metrics;
mod sessions;
mod tokens;

use std::time::Duration;

use slimy_rt::conformance::{Failures, Report};
use slimy_rt_backends::postgres::{Postgres, PostgresConfig};
use slimy_rt_test_engines::{Postgres as Server, Proxy};
use tokio::time::{Instant, sleep};

/// How long anything is waited for.
const DEADLINE: Duration = Duration::from_secs(30);

/// A database of one's own, and a link to its server that can be cut.
#[derive(Debug)]
struct Engine {
    server: &'static Server,
    database: String,
    proxy: Proxy,
}

impl Engine {
    async fn start() -> Self {
        let server = Server::shared().await;
        let url = server.create_database().await;
        let database = url.rsplit('/').next().unwrap().to_owned();
        let proxy = Proxy::start(server.addr()).await;
        Self {
            server,
            database,
            proxy,
        }
    }

    /// Comes over the link.
    fn config(&self) -> PostgresConfig {
        let url = self.server.url_at(self.proxy.port(), &self.database);
        PostgresConfig::new(&url).unwrap()
    }

    fn client(&self) -> Postgres {
        Postgres::new(self.config())
    }

    /// A client with a schema of its own.
    fn client_of(&self, schema: &str) -> Postgres {
        Postgres::new(self.config().schema(schema).unwrap())
    }

    /// What an operator does there.
    async fn sql(&self, sql: &str) -> String {
        self.server.psql_in(&self.database, sql).await
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
