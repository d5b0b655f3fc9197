//! The Postgres backends keep the traits' contracts, over real servers: bare, and behind `Arc<dyn …>` and `Box<dyn …>`.

mod broker;

use slimy_rt::conformance::{Failures, Report};
use slimy_rt_backends::postgres::{Postgres, PostgresConfig};
use slimy_rt_test_engines::{Postgres as Server, Proxy};

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

    /// A client that comes over the link.
    fn client(&self) -> Postgres {
        let url = self.server.url_at(self.proxy.port(), &self.database);
        Postgres::new(PostgresConfig::new(&url).unwrap())
    }
}

/// Fails unless exactly these clauses do not apply.
fn holds_but_for(result: Result<Report, Failures>, expected: &[&str]) {
    let report = result.unwrap_or_else(|failures| panic!("{failures}"));
    let others = report.not_applicable.iter();
    let names: Vec<&str> = others.map(|other| other.clause.name).collect();
    assert_eq!(names, expected, "{report}");
}
