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

use super::{Engine, EngineError, Options, Tokens, has_password, url::EngineUrl};
use crate::failure::chain;

/// With what the names of all keys begin.
const PREFIX: &str = "prefix";

#[derive(Debug)]
struct RedisEngine(Redis);

#[derive(Debug)]
struct OpaqueTokens(RedisTokens);

pub(super) fn open(url: &str, options: &Options) -> Result<Arc<dyn Engine>, String> {
    let known = EngineUrl::parse(url, &[PREFIX])?;
    let mut config = RedisConfig::new(known.as_str()).map_err(|error| chain(&error))?;
    if let Some(prefix) = known.option(PREFIX) {
        config = config.prefix(prefix);
    }
    if let Some(file) = &options.redis_password_file {
        if has_password(url) {
            return Err(
                "the URL has a password and so does --redis-password-file: leave one".to_owned(),
            );
        }
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
