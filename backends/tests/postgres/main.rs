//! The Postgres backends keep the traits' contracts, over a real server: bare, and behind `Arc<dyn …>` and `Box<dyn …>`.

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
mod tables;
#[path = "../both/tokens.rs"]
mod tokens;

use std::ops::Deref;

use slimy_rt_backends::postgres::{Postgres, PostgresBroker, PostgresConfig};
use slimy_rt_test_engines::{Postgres as Server, Proxy};

use self::support::{
    eventually, holds_but_for,
    node::{self, Node},
    scenes, traffic,
};

/// A database of one's own, and a link to its server that can be cut.
#[derive(Debug)]
struct Engine {
    server: Place,
    database: String,
    proxy: Proxy,
}

/// Where a database is: on the server that tests share, or on one that may be killed.
#[derive(Debug)]
enum Place {
    Shared(&'static Server),
    Own(Box<Server>),
}

impl Deref for Place {
    type Target = Server;

    fn deref(&self) -> &Server {
        match self {
            Self::Shared(server) => server,
            Self::Own(server) => server,
        }
    }
}

impl Engine {
    async fn start() -> Self {
        Self::at(Place::Shared(Server::shared().await)).await
    }

    /// On a server of its own.
    async fn alone() -> Self {
        Self::at(Place::Own(Box::new(Server::start().await))).await
    }

    async fn at(server: Place) -> Self {
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

    /// A client that comes past the link.
    fn direct(&self) -> Postgres {
        Postgres::new(PostgresConfig::new(&self.server.url(&self.database)).unwrap())
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

/// A node with members in the room "room".
async fn start(postgres: &Postgres) -> Node {
    Node::of(PostgresBroker::new(postgres)).await
}
