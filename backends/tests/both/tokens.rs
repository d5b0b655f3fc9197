//! Opaque tokens, of either engine.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use http::HeaderMap;
use slimy_rt::{
    UserId,
    auth::{AuthError, Authenticator, Handshake, Role, User},
    conformance::authenticator::{self, AuthenticatorFactory, Candidate, Refusal},
    session::{SessionEvent, SessionStore},
};

use super::{
    Engine, eventually, holds_but_for,
    own::{
        MAX_TOKEN_LIFE, MAX_TOKENS_PER_USER, MAX_USER_BYTES, OpaqueTokens, REVOKED, Store,
        is_revoked,
    },
};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

struct Tokens<A> {
    engine: Engine,
    wrap: fn(OpaqueTokens) -> A,
}

impl<A> Tokens<A> {
    async fn new(wrap: fn(OpaqueTokens) -> A) -> Self {
        let engine = Engine::start().await;
        Self { engine, wrap }
    }
}

impl<A: Authenticator> AuthenticatorFactory for Tokens<A> {
    type Authenticator = A;

    async fn create(&self) -> Candidate<A> {
        self.engine.proxy.heal().await;
        let tokens = OpaqueTokens::new(&self.engine.client());
        let (alice, bob) = (user("alice"), user("bob"));
        let of_alice = tokens.issue(&alice, HOUR).await.unwrap();
        let of_bob = tokens.issue(&bob, HOUR).await.unwrap();
        let over = tokens.issue(&bob, Duration::ZERO).await.unwrap();
        let revoked = tokens.issue(&bob, HOUR).await.unwrap();
        assert!(tokens.revoke(&revoked).await.unwrap());
        let unknown = "A".repeat(43);
        Candidate::new(tokens)
            .accepts(bearer(&of_alice), alice.id.clone(), &of_alice)
            .accepts(cookie(&of_alice), alice.id, &of_alice)
            .accepts(payload(&of_bob), bob.id, &of_bob)
            .refuses(cookie(&over), Refusal::Expired, &over)
            .refuses(bearer(&revoked), REVOKED, &revoked)
            .refuses(payload(&unknown), Refusal::Invalid, &unknown)
            .refuses(cookie(""), Refusal::Missing, "")
            .map(self.wrap)
    }

    async fn cut_off(&self, _: &A) -> bool {
        self.engine.proxy.cut().await;
        true
    }
}

pub(crate) fn user(id: &str) -> User {
    User::new(UserId::parse(id).unwrap(), Role::Club)
}

fn with(header: &'static str, value: String) -> Handshake {
    let mut headers = HeaderMap::new();
    headers.insert(header, value.parse().unwrap());
    Handshake::builder(&headers, [127, 0, 0, 1].into()).build()
}

pub(crate) fn bearer(token: &str) -> Handshake {
    with("authorization", format!("Bearer {token}"))
}

fn cookie(token: &str) -> Handshake {
    with("cookie", format!("theme=dark; slimy_admin_token={token}"))
}

fn payload(token: &str) -> Handshake {
    Handshake::default().with_auth(serde_json::json!({"token": token}))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens() {
    let tokens = Tokens::new(|tokens| tokens).await;
    holds_but_for(authenticator::check(tokens).await, &[]);
}

#[tokio::test]
async fn tokens_behind_a_pointer() {
    let arc = Tokens::new(|tokens| Arc::new(tokens) as Arc<dyn Authenticator>).await;
    holds_but_for(authenticator::check(arc).await, &[]);
    let boxed = Tokens::new(|tokens| Box::new(tokens) as Box<dyn Authenticator>).await;
    holds_but_for(authenticator::check(boxed).await, &[]);
}

#[tokio::test]
async fn an_identity_is_what_was_issued() {
    let engine = Engine::start().await;
    let tokens = OpaqueTokens::new(&engine.client()).cookie_name("t");
    let mut alice = user("ali:ce").username("").global_name("Grüße \"🦀\"\n");
    alice.avatar = Some("https://example/a.png".into());
    let before = SystemTime::now() - Duration::from_millis(1);
    let token = tokens.issue(&alice, HOUR).await.unwrap();
    let handshake = with("cookie", format!("t={token}"));
    let identity = tokens.authenticate(&handshake).await.unwrap();
    assert_eq!(identity.user, alice);
    let issued = identity.issued_at.unwrap();
    assert!(before <= issued && issued <= SystemTime::now());
    assert_eq!(identity.expires_at, Some(issued + HOUR));

    let longest = tokens.issue(&alice, Duration::MAX).await.unwrap();
    let identity = tokens.authenticate(&bearer(&longest)).await.unwrap();
    let issued = identity.issued_at.unwrap();
    assert_eq!(identity.expires_at, Some(issued + MAX_TOKEN_LIFE));

    alice.avatar = Some("x".repeat(MAX_USER_BYTES).into());
    let error = tokens.issue(&alice, HOUR).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("avatar") && !error.is_retryable(), "{text}");
}

#[tokio::test]
async fn revoked_tokens_are_denied_to_whoever_watches() {
    let engine = Engine::start().await;
    let (here, there) = (engine.client(), engine.client());
    let (tokens, sessions) = (OpaqueTokens::new(&here), Store::new(&there));
    let mut changes = sessions.watch().await.unwrap();
    let mut issued = Vec::new();
    for id in ["u", "u", "u", "v"] {
        let token = tokens.issue(&user(id), HOUR).await.unwrap();
        let identity = tokens.authenticate(&bearer(&token)).await.unwrap();
        issued.push((token, identity.token.unwrap()));
    }
    let refused = async |token: &str| {
        let result = tokens.authenticate(&bearer(token)).await;
        result.is_err_and(|error| is_revoked(&error))
    };
    assert!(tokens.revoke(&issued[0].0).await.unwrap());
    assert!(!tokens.revoke(&issued[0].0).await.unwrap());
    assert!(!tokens.revoke("no token at all").await.unwrap());
    assert_eq!(
        changes.next().await,
        Some(SessionEvent::Denied(issued[0].1.clone()))
    );
    let u = UserId::parse("u").unwrap();
    assert_eq!(tokens.revoke_user(&u).await.unwrap(), 2);
    assert_eq!(tokens.revoke_user(&u).await.unwrap(), 0);
    for (token, name) in &issued[..3] {
        assert!(refused(token).await && sessions.is_denied(name).await.unwrap());
    }
    let (token, name) = &issued[3];
    assert!(!refused(token).await && !sessions.is_denied(name).await.unwrap());
}

#[tokio::test]
async fn a_users_tokens_are_bounded() {
    let engine = Engine::start().await;
    let tokens = OpaqueTokens::new(&engine.client());
    let first = tokens.issue(&user("u"), HOUR).await.unwrap();
    let other = tokens.issue(&user("v"), HOUR).await.unwrap();
    let mut later = String::new();
    for _ in 0..MAX_TOKENS_PER_USER {
        later = tokens.issue(&user("u"), 2 * HOUR).await.unwrap();
    }
    let is_good = async |token: &str| tokens.authenticate(&bearer(token)).await.is_ok();
    assert!(!is_good(&first).await && is_good(&other).await && is_good(&later).await);
    let u = UserId::parse("u").unwrap();
    assert_eq!(tokens.revoke_user(&u).await.unwrap(), MAX_TOKENS_PER_USER);
}

#[tokio::test]
async fn a_token_ends_while_it_is_known() {
    let engine = Engine::start().await;
    let tokens = OpaqueTokens::new(&engine.client());
    let token = tokens
        .issue(&user("u"), Duration::from_millis(300))
        .await
        .unwrap();
    assert!(tokens.authenticate(&bearer(&token)).await.is_ok());
    eventually("the token ends", async || {
        let result = tokens.authenticate(&bearer(&token)).await;
        matches!(result, Err(AuthError::Expired))
    })
    .await;
}
