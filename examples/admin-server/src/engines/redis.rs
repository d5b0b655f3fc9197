//! Redis, by its URL.

use std::{sync::Arc, time::Duration};

use slimy_rt::{
    NodeId, async_trait,
    auth::{AuthError, Authenticator, Handshake, Identity, User},
    broker::RoomBroker,
    metrics::MetricsSource,
    session::SessionStore,
};
use slimy_rt_backends::redis::{
    Redis, RedisBroker, RedisConfig, RedisMetrics, RedisSessionStore, RedisTokens,
};

use super::{Engine, EngineError, Options, Tokens, url::EngineUrl};
use crate::failure::chain;

/// With what the names of all keys begin.
const PREFIX: &str = "prefix";

#[derive(Debug)]
struct RedisEngine(Redis);

#[derive(Debug)]
struct OpaqueTokens(RedisTokens);

pub(super) fn open(url: &str, options: &Options) -> Result<Arc<dyn Engine>, String> {
    let url = EngineUrl::parse(url, &[PREFIX])?;
    let mut config = RedisConfig::new(url.as_str()).map_err(|error| chain(&error))?;
    if let Some(prefix) = url.option(PREFIX) {
        config = config.prefix(prefix).map_err(|error| chain(&error))?;
    }
    if let Some(file) = &options.redis_password_file {
        config = config.password_file(file).map_err(|error| chain(&error))?;
    }
    Ok(Arc::new(RedisEngine(Redis::new(config))))
}

#[async_trait]
impl Engine for RedisEngine {
    async fn check(&self) -> Result<(), EngineError> {
        Ok(self.0.ping().await?)
    }

    fn sessions(&self) -> Arc<dyn SessionStore> {
        Arc::new(RedisSessionStore::new(&self.0))
    }

    fn broker(&self) -> Arc<dyn RoomBroker> {
        Arc::new(RedisBroker::new(&self.0))
    }

    fn tokens(&self, cookie_name: &str) -> Arc<dyn Tokens> {
        let tokens = RedisTokens::new(&self.0).cookie_name(cookie_name);
        Arc::new(OpaqueTokens(tokens))
    }

    fn metrics(&self, node: &NodeId) -> Arc<dyn MetricsSource> {
        Arc::new(RedisMetrics::new(&self.0, node.clone()))
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
    use crate::engines::{
        Engines, Named, NamedEngine, Options,
        tests::{error, find},
    };

    use super::*;

    #[test]
    fn one_url_is_one_engine() {
        let mut engines = Engines::default();
        let mut open = |flag, url| match engines.find(flag, url, &["memory"]) {
            Ok(Named::Engine(engine)) => engine,
            _ => panic!("{url} is an engine's"),
        };
        let first = open("--sessions", "redis://:hunter2@h/1");
        let same = open("--broker", "redis://:hunter2@h/1");
        open("--broker", "redis://:hunter2@h/1");
        let other = open("--metrics", "redis://:hunter2@h/2");
        assert!(Arc::ptr_eq(&first, &same) && !Arc::ptr_eq(&first, &other));
        let named = engines.into_named();
        let flags: Vec<_> = named.iter().map(NamedEngine::flags).collect();
        assert_eq!(flags, ["--sessions, --broker", "--metrics"]);
        let shown = format!("{named:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn redis_urls_and_their_options() {
        for good in [
            "redis://h",
            "redis://u:hunter2@h:1/3?prefix=slimy",
            "rediss://:hunter2@h",
        ] {
            assert!(find("--broker", good).is_ok(), "{good}");
        }
        for bad in [
            "redis:",
            "redis://u:hunter2@h:port",
            "redis://u:hunter2@h/db",
            "redis://u:hunter2@h?prefix=a&prefix=b",
            "redis://u:hunter2@h?prefix=",
        ] {
            let text = error(bad);
            assert!(
                text.starts_with("--broker: ") && !text.contains("hunter2"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_redis_password_comes_from_one_place() {
        let path = std::env::temp_dir().join(format!("admin-server-redis-{}", NodeId::random()));
        std::fs::write(&path, "hunter2\n").unwrap();
        let open = |url: &str| {
            let options = Options {
                redis_password_file: Some(path.clone()),
            };
            Engines::new(options)
                .find("--sessions", url, &["memory"])
                .map(|_| ())
        };
        assert_eq!(open("redis://h"), Ok(()));
        let text = open("redis://:hunter3@h").unwrap_err().to_string();
        assert!(
            text.contains("--redis-password-file") && !text.contains("hunter"),
            "{text}"
        );
        std::fs::remove_file(&path).unwrap();
        let text = open("redis://h").unwrap_err().to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
}
