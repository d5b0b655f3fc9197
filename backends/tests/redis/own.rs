//! What Redis has for the tests of either engine, and what it alone promises of tokens.

use slimy_rt::{
    auth::{AuthError, Authenticator},
    conformance::authenticator::Refusal,
};
pub(crate) use slimy_rt_backends::redis::{
    MAX_TOKEN_LIFE, MAX_TOKENS_PER_USER, MAX_USER_BYTES, RedisBroker as EngineBroker,
    RedisSessionStore as Store, RedisTokens as OpaqueTokens,
};

use super::{
    Engine,
    tokens::{HOUR, bearer, user},
};

/// Has the log gone.
pub(crate) async fn lose_log(engine: &Engine) {
    engine.server.restart_empty().await;
}

/// What a revoked token is refused as: it is not there any more.
pub(crate) const REVOKED: Refusal = Refusal::Invalid;

pub(crate) fn is_revoked(error: &AuthError) -> bool {
    matches!(error, AuthError::Invalid(_))
}

#[tokio::test]
async fn redis_has_no_token_and_forgets_those_that_ended() {
    let engine = Engine::start().await;
    let tokens = OpaqueTokens::new(&engine.client());
    let token = tokens.issue(&user("u"), HOUR).await.unwrap();
    let identity = tokens.authenticate(&bearer(&token)).await.unwrap();
    let key = format!("{{slimy-rt}}:token:{}", identity.token.unwrap());
    let (mut shown, mut found) = (String::new(), false);
    let keys = engine.server.cli(&["KEYS", "*"]).await;
    for name in keys.array() {
        found |= name.text() == key;
        let kept = engine.server.cli(&["DUMP", name.text()]).await;
        shown += &format!("{} {kept:?}", name.text());
    }
    assert!(found && !shown.contains(&token));
    let hours = async |key: &str| engine.server.cli(&["TTL", key]).await.integer() as f64 / 3600.0;
    for key in [&key, "{slimy-rt}:tokens:u"] {
        let hours = hours(key).await;
        assert!((1.9..=2.0).contains(&hours), "{key}: {hours} h");
    }
}
