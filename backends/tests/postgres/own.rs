//! What Postgres has for the tests of either engine, and what it alone promises of tokens.

use slimy_rt::{
    auth::{AuthError, Authenticator},
    conformance::authenticator::Refusal,
};
pub(crate) use slimy_rt_backends::postgres::{
    MAX_TOKEN_LIFE, MAX_TOKENS_PER_USER, MAX_USER_BYTES, PostgresBroker as EngineBroker,
    PostgresSessionStore as Store, PostgresTokens as OpaqueTokens,
};

use super::{
    Engine,
    tokens::{HOUR, bearer, user},
};

/// Has the log gone.
pub(crate) async fn lose_log(engine: &Engine) {
    engine.sql("TRUNCATE slimy_rt.log").await;
}

/// What a revoked token is refused as.
pub(crate) const REVOKED: Refusal = Refusal::Revoked;

pub(crate) fn is_revoked(error: &AuthError) -> bool {
    matches!(error, AuthError::Revoked)
}

#[tokio::test]
async fn postgres_has_no_token() {
    let engine = Engine::start().await;
    let tokens = OpaqueTokens::new(&engine.client());
    let token = tokens.issue(&user("u"), HOUR).await.unwrap();
    let identity = tokens.authenticate(&bearer(&token)).await.unwrap();
    let kept = engine.sql("SELECT * FROM slimy_rt.tokens").await;
    assert!(kept.contains(identity.token.unwrap().as_str()));
    assert!(!kept.contains(&token));
}
