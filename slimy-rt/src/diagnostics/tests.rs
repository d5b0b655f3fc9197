//! The routes and what they know, with sources that fail and are slow.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::{body::Body, extract::Request};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower_service::Service;

use super::*;
use crate::{
    GuildId, TokenId, UserId,
    api::{self, LoginCookie},
    async_trait,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    metrics::{Memory, MetricsError, Sample, Uploads},
    server::{Server, forwarded::Peer},
    session::{Expiry, Guild, Session, SessionError, SessionPage, SessionStore, SessionWatch},
};

/// Knows whoever says a role in `x-role`.
#[derive(Debug)]
struct ByRole;

#[async_trait]
impl Authenticator for ByRole {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let role = match handshake.header("x-role").ok_or(AuthError::Missing)? {
            "admin" => Role::Admin,
            _ => Role::Member,
        };
        let id = UserId::parse("u1").map_err(|e| AuthError::Invalid(e.to_string().into()))?;
        Ok(Identity::new(User::new(id, role)))
    }
}

/// A source that counts how often it is asked.
#[derive(Debug, Default)]
struct Source {
    asked: AtomicUsize,
    fails: AtomicBool,
    hangs: AtomicBool,
    panics: AtomicBool,
}

#[async_trait]
impl MetricsSource for Source {
    fn name(&self) -> &str {
        "fickle"
    }
    async fn sample(&self) -> Result<Sample, MetricsError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        assert!(!self.panics.load(Ordering::Relaxed), "its own mistake");
        if self.fails.load(Ordering::Relaxed) {
            return Err(MetricsError::Unavailable("away".into()));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let guild = |id| GuildId::parse(id).unwrap();
        Ok(Sample {
            uploads: Some(Uploads {
                total: 3,
                today: 1,
                by_guild: [(guild("1"), 2), (guild("2"), 1)].into(),
            }),
            ..Sample::default()
        })
    }
}

/// A source that always knows.
#[derive(Debug)]
struct Steady;

#[async_trait]
impl MetricsSource for Steady {
    fn name(&self) -> &str {
        "steady"
    }
    async fn sample(&self) -> Result<Sample, MetricsError> {
        Ok(Sample {
            memory: Some(Memory {
                resident: 10 << 20,
                heap_used: 1 << 20,
                heap_total: 2 << 20,
            }),
            ..Sample::default()
        })
    }
}

/// Routes with those sources.
fn router(builder: DiagnosticsBuilder) -> Router {
    let diagnostics = builder.build();
    let guilds = Session::new(vec![Guild::new(GuildId::parse("1").unwrap())]);
    let server = Server::builder(ByRole)
        .sessions(OneSession(guilds))
        .namespace(diagnostics.install(Namespace::new("/")))
        .build()
        .unwrap();
    let state = ApiState::new(server, LoginCookie::new("t"));
    api::manners(
        api::routes(&state).merge(diagnostics.routes(&state)),
        &state,
    )
}

async fn get(router: &Router, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer {
        addr: ([127, 0, 0, 1], 9).into(),
        secure: false,
    });
    router.clone().call(request).await.unwrap()
}

async fn json(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

const ADMIN: &[(&str, &str)] = &[("x-role", "admin")];
const MEMBER: &[(&str, &str)] = &[("x-role", "member")];

#[tokio::test]
async fn one_computation_for_all_who_ask() {
    let source = Arc::new(Source::default());
    let router = router(Diagnostics::builder().source(Arc::clone(&source)));
    let asked = (0..50).map(|_| get(&router, "/api/diagnostics", MEMBER));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|a| a.status() == StatusCode::OK));
    assert_eq!(source.asked.load(Ordering::Relaxed), 1);
    let (_, diag) = json(get(&router, "/api/diag", ADMIN).await).await;
    assert_eq!(diag["uploads"]["total"], 3);
    assert_eq!(source.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn guilds_are_those_that_one_may_see() {
    let router = router(Diagnostics::builder().source(Source::default()));
    let by_guild = async |headers| {
        let (_, diag) = json(get(&router, "/api/diag", headers).await).await;
        diag["uploads"]["byGuild"].clone()
    };
    assert_eq!(by_guild(ADMIN).await, serde_json::json!({"1": 2, "2": 1}));
    assert_eq!(by_guild(MEMBER).await, serde_json::json!({"1": 2}));
    let (status, diag) = json(get(&router, "/api/diag", &[]).await).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        diag,
        serde_json::json!({"ok": true, "authenticated": false})
    );
    let (status, _) = json(get(&router, "/api/diagnostics", &[]).await).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_hangs_or_panics_is_named() {
    let source = Arc::new(Source::default());
    source.fails.store(true, Ordering::Relaxed);
    let builder = Diagnostics::builder().source(Arc::clone(&source));
    let router = router(builder.source(Steady));
    let degraded = serde_json::json!(["fickle"]);
    let (status, figures) = json(get(&router, "/api/diagnostics", MEMBER).await).await;
    assert_eq!((status, &figures["degraded"]), (StatusCode::OK, &degraded));
    assert_eq!(figures["memory"]["rssMB"], 10.0);
    assert_eq!(figures.get("uploads"), None);

    source.fails.store(false, Ordering::Relaxed);
    source.hangs.store(true, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(3)).await;
    let (status, figures) = json(get(&router, "/api/diagnostics", MEMBER).await).await;
    assert_eq!((status, &figures["degraded"]), (StatusCode::OK, &degraded));

    source.hangs.store(false, Ordering::Relaxed);
    source.panics.store(true, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(3)).await;
    let (status, figures) = json(get(&router, "/api/diagnostics", MEMBER).await).await;
    assert_eq!((status, &figures["degraded"]), (StatusCode::OK, &degraded));

    source.panics.store(false, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(3)).await;
    let (_, figures) = json(get(&router, "/api/diagnostics", MEMBER).await).await;
    assert_eq!(figures.get("degraded"), None);
    assert_eq!(
        figures["uploads"],
        serde_json::json!({"total": 3, "today": 1})
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_known_when_no_source_answers() {
    let source = Arc::new(Source::default());
    source.fails.store(true, Ordering::Relaxed);
    let router = router(Diagnostics::builder().source(Arc::clone(&source)));
    let (status, answer) = json(get(&router, "/api/diagnostics", MEMBER).await).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer["error"], "diagnostics_failed");
    assert!(answer["message"].as_str().unwrap().contains("fickle"));
    // It is not kept for as long as what is good.
    source.fails.store(false, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(3)).await;
    let (status, _) = json(get(&router, "/api/diagnostics", MEMBER).await).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn metrics_are_for_this_machine_or_for_who_has_the_token() {
    let open = router(Diagnostics::builder());
    let status = async |router: &Router, headers| get(router, "/metrics", headers).await.status();
    assert_eq!(status(&open, &[]).await, StatusCode::OK);
    let forwarded = [("x-forwarded-for", "1.2.3.4")];
    assert_eq!(status(&open, &forwarded).await, StatusCode::FORBIDDEN);

    let guarded = router(Diagnostics::builder().metrics_token("s3cret"));
    let bearer = [
        ("authorization", "Bearer s3cret"),
        ("x-forwarded-for", "1.2.3.4"),
    ];
    assert_eq!(status(&guarded, &bearer).await, StatusCode::OK);
    assert_eq!(status(&guarded, &[]).await, StatusCode::UNAUTHORIZED);
    let wrong = [("authorization", "Bearer s3creT")];
    assert_eq!(status(&guarded, &wrong).await, StatusCode::UNAUTHORIZED);
}

/// Gives every user the same session.
#[derive(Debug)]
struct OneSession(Session);

#[async_trait]
impl SessionStore for OneSession {
    async fn load(&self, _: &UserId) -> Result<Option<Session>, SessionError> {
        Ok(Some(self.0.clone()))
    }
    async fn save(&self, _: &UserId, _: &Session, _: Expiry) -> Result<(), SessionError> {
        Ok(())
    }
    async fn delete(&self, _: &UserId) -> Result<bool, SessionError> {
        Ok(false)
    }
    async fn list(&self, _: Option<&UserId>, _: usize) -> Result<SessionPage, SessionError> {
        Ok(SessionPage::new(Vec::new()))
    }
    async fn deny(&self, _: &TokenId, _: SystemTime) -> Result<(), SessionError> {
        Ok(())
    }
    async fn is_denied(&self, _: &TokenId) -> Result<bool, SessionError> {
        Ok(false)
    }
    async fn watch(&self) -> Result<SessionWatch, SessionError> {
        Ok(Box::pin(futures_util::stream::pending()))
    }
}
