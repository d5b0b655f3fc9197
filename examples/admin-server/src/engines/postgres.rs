//! Postgres, by its URL.

use std::{sync::Arc, time::Duration};

use slimy_rt::{
    NodeId, async_trait,
    auth::{AuthError, Authenticator, Handshake, Identity, User},
    broker::RoomBroker,
    metrics::MetricsSource,
    session::SessionStore,
};
use slimy_rt_backends::postgres::{
    Postgres, PostgresBroker, PostgresConfig, PostgresMetrics, PostgresSessionStore, PostgresTokens,
};

use super::{Engine, EngineError, Options, Tokens, url::EngineUrl};
use crate::failure::chain;

/// In which schema the tables are.
const SCHEMA: &str = "schema";
/// How many connections the server may have open.
const MAX_CONNECTIONS: &str = "max_connections";
/// Whether the server makes its tables: on, or off where somebody else does.
const MIGRATE: &str = "migrate";

#[derive(Debug)]
struct PostgresEngine(Postgres);

#[derive(Debug)]
struct OpaqueTokens(PostgresTokens);

pub(super) fn open(url: &str, _: &Options) -> Result<Arc<dyn Engine>, String> {
    let url = EngineUrl::parse(url, &[SCHEMA, MAX_CONNECTIONS, MIGRATE])?;
    let mut config = PostgresConfig::new(url.as_str()).map_err(|error| chain(&error))?;
    if let Some(schema) = url.option(SCHEMA) {
        config = config.schema(schema).map_err(|error| chain(&error))?;
    }
    if let Some(most) = url.option(MAX_CONNECTIONS) {
        let most = most.parse().ok().filter(|most| *most > 0);
        let text = || "the URL's `max_connections` must be a number, at least 1".to_owned();
        config = config.max_connections(most.ok_or_else(text)?);
    }
    config = match url.option(MIGRATE) {
        None | Some("on") => config,
        Some("off") => config.migrate(false),
        Some(_) => return Err("the URL's `migrate` must be on or off".to_owned()),
    };
    Ok(Arc::new(PostgresEngine(Postgres::new(config))))
}

#[async_trait]
impl Engine for PostgresEngine {
    async fn check(&self) -> Result<(), EngineError> {
        Ok(self.0.ping().await?)
    }

    fn sessions(&self) -> Arc<dyn SessionStore> {
        Arc::new(PostgresSessionStore::new(&self.0))
    }

    fn broker(&self) -> Arc<dyn RoomBroker> {
        Arc::new(PostgresBroker::new(&self.0))
    }

    fn tokens(&self, cookie_name: &str) -> Arc<dyn Tokens> {
        let tokens = PostgresTokens::new(&self.0).cookie_name(cookie_name);
        Arc::new(OpaqueTokens(tokens))
    }

    fn metrics(&self, _: &NodeId) -> Arc<dyn MetricsSource> {
        Arc::new(PostgresMetrics::new(&self.0))
    }
}

#[async_trait]
impl Authenticator for OpaqueTokens {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        self.0.authenticate(handshake).await
    }
}

#[async_trait]
impl Tokens for OpaqueTokens {
    async fn issue(&self, user: &User, ttl: Duration) -> Result<String, EngineError> {
        Ok(self.0.issue(user, ttl).await?)
    }

    async fn revoke(&self, token: &str) -> Result<bool, EngineError> {
        Ok(self.0.revoke(token).await?)
    }
}

#[cfg(test)]
mod tests {
    use crate::engines::tests::{error, find};

    #[test]
    fn postgres_urls_and_their_options() {
        for good in [
            "postgres://h/db",
            "postgresql://u:hunter2@h:1/db?schema=chat&sslmode=disable&max_connections=4&migrate=off",
        ] {
            assert!(find("--broker", good).is_ok(), "{good}");
        }
        for bad in [
            "postgres://u:hunter2@h:port/db",
            "postgres://u:hunter2@h/db?max_connections=0",
            "postgres://u:hunter2@h/db?max_connections=many",
            "postgres://u:hunter2@h/db?migrate=maybe",
            "postgres://u:hunter2@h/db?schema=",
            "postgres://u:hunter2@h/db?schema=a&schema=b",
        ] {
            let text = error(bad);
            assert!(
                text.starts_with("--broker: ") && !text.contains("hunter2"),
                "{text}"
            );
        }
    }
}
