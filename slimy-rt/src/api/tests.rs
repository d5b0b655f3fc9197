//! The routes and their manners, over a real server whose store can be made to fail.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use axum::{body::Body, extract::Request, response::Response};
use http::{StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower_service::Service;

use super::*;
use crate::{
    TokenId, UserId,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    broker::{BrokerError, BrokerEvents, NodeInfo, Position, Publication, RoomBroker},
    events::Namespace,
    metrics::{MetricsError, Sample},
    server::{lock, origin::Origins},
    session::{Expiry, Session, SessionError, SessionPage, SessionStore, SessionWatch},
};

/// Knows whoever says a name in `x-user`; `late` comes too late.
#[derive(Debug)]
struct ByHeader;

#[async_trait]
impl Authenticator for ByHeader {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let name = handshake.header("x-user").ok_or(AuthError::Missing)?;
        if name == "late" {
            return Err(AuthError::Expired);
        }
        let invalid = |error: crate::InvalidId| AuthError::Invalid(error.to_string().into());
        let user = User::new(UserId::parse(name).map_err(invalid)?, Role::Member);
        Ok(Identity::new(user).token(TokenId::parse(name).map_err(invalid)?))
    }
}

/// Knows only who is denied.
#[derive(Debug, Default)]
struct Denials {
    is_down: AtomicBool,
    looks: AtomicUsize,
    no_figures: AtomicBool,
    slow_figures: AtomicBool,
    denied: Mutex<HashSet<TokenId>>,
}

impl Denials {
    fn look(&self) -> Result<(), SessionError> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        match self.is_down.load(Ordering::Relaxed) {
            true => Err(SessionError::Unavailable(
                "the disk of secrets is full".into(),
            )),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl SessionStore for Denials {
    async fn load(&self, _: &UserId) -> Result<Option<Session>, SessionError> {
        self.look().map(|()| None)
    }
    async fn save(&self, _: &UserId, _: &Session, _: Expiry) -> Result<(), SessionError> {
        self.look()
    }
    async fn delete(&self, _: &UserId) -> Result<bool, SessionError> {
        self.look().map(|()| false)
    }
    async fn list(&self, _: Option<&UserId>, _: usize) -> Result<SessionPage, SessionError> {
        self.look().map(|()| SessionPage::default())
    }
    async fn deny(&self, token: &TokenId, _: SystemTime) -> Result<(), SessionError> {
        self.look()?;
        lock(&self.denied).insert(token.clone());
        Ok(())
    }
    async fn is_denied(&self, token: &TokenId) -> Result<bool, SessionError> {
        self.look()?;
        Ok(lock(&self.denied).contains(token))
    }
    async fn watch(&self) -> Result<SessionWatch, SessionError> {
        Ok(Box::pin(futures_util::stream::pending()))
    }
}

/// Figures that are down when the store's `no_figures` says so, and never come while it says `slow_figures`.
#[derive(Debug)]
struct Figures(Arc<Denials>);

#[async_trait]
impl MetricsSource for Figures {
    fn name(&self) -> &str {
        "figures"
    }
    async fn sample(&self) -> Result<Sample, MetricsError> {
        if self.0.slow_figures.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        match self.0.no_figures.load(Ordering::Relaxed) {
            true => Err(MetricsError::Unavailable("the figures of secrets".into())),
            false => Ok(Sample::default()),
        }
    }
}

struct Fixture {
    router: Router,
    store: Arc<Denials>,
}

fn fixture(development: bool) -> Fixture {
    let store = Arc::new(Denials::default());
    let server = Server::builder(ByHeader)
        .sessions(Arc::clone(&store))
        .origins(Origins::parse("https://a.example").unwrap())
        .namespace(Namespace::new("/"))
        .build()
        .unwrap();
    let state = ApiState::new(server, LoginCookie::new("t"))
        .version("1.2.3")
        .metrics([Arc::new(Figures(Arc::clone(&store))) as _])
        .development(development);
    let odd = Router::new()
        .route(
            "/panic",
            get(async || -> &'static str { panic!("at the disco") }),
        )
        .route("/echo", post(async |ApiJson(n): ApiJson<u8>| n.to_string()));
    let router = manners(routes(&state).merge(odd), &state);
    Fixture { router, store }
}

impl Fixture {
    async fn ask(
        &self,
        request: http::request::Builder,
        body: impl Into<Body>,
    ) -> (StatusCode, http::HeaderMap, String) {
        let request: Request = request.body(body.into()).unwrap();
        let answer: Result<Response, Infallible> = self.router.clone().call(request).await;
        let (parts, body) = answer.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (
            parts.status,
            parts.headers,
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    async fn get(&self, path: &str, user: &str) -> (StatusCode, Value) {
        let request = Request::get(path)
            .header("x-user", user)
            .header("x-request-id", "r1");
        let (status, _, body) = self.ask(request, "").await;
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }
}

fn error(code: &str, message: &str) -> Value {
    json!({"ok": false, "error": {"code": code, "message": message, "requestId": "r1"}})
}

#[tokio::test]
async fn every_answer_has_manners() {
    let fixture = fixture(false);
    for path in ["/api/health", "/api/live", "/nope", "/panic"] {
        let (_, headers, _) = fixture.ask(Request::get(path), "").await;
        assert_eq!(headers["x-request-id"].len(), 20, "{path}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(headers[header::VARY], "Origin");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'"));
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let fixture = fixture(false);
    let (status, body) = fixture.get("/x?token=y", "u").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(body, error("NOT_FOUND", "Route GET /x not found"));
    let request = Request::delete("/api/health").header("x-request-id", "r1");
    let (status, _, body) = fixture.ask(request, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body,
        error("NOT_FOUND", "Route DELETE /api/health not found")
    );
}

#[tokio::test]
async fn a_panic_is_a_server_error_and_tells_nothing() {
    let told = error("SERVER_ERROR", "Something went wrong.");
    let (status, body) = fixture(false).get("/panic", "u").await;
    assert_eq!((status, body), (StatusCode::INTERNAL_SERVER_ERROR, told));
    let (_, body) = fixture(true).get("/panic", "u").await;
    let causes = &body["error"]["details"]["causes"];
    assert_eq!(*causes, json!(["a handler panicked: at the disco"]));
}

#[tokio::test]
async fn foreign_pages_are_refused_and_listed_ones_answered() {
    let fixture = fixture(false);
    let foreign = Request::post("/api/auth/logout").header("origin", "https://evil.example");
    let (status, headers, body) = fixture.ask(foreign, "").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("\"FORBIDDEN\"") && !headers.contains_key(header::SET_COOKIE));
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));

    let asks = Request::options("/api/auth/logout")
        .header("origin", "https://a.example")
        .header("access-control-request-method", "POST");
    let (status, headers, _) = fixture.ask(asks, "").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(
        headers[header::ACCESS_CONTROL_ALLOW_ORIGIN],
        "https://a.example"
    );
    let vary: Vec<_> = headers.get_all(header::VARY).iter().collect();
    assert_eq!(vary, ["Origin"]);
}

#[tokio::test]
async fn refusals_by_their_reason() {
    let fixture = fixture(false);
    let code = async |user: &str| {
        let (status, body) = fixture.get("/api/auth/me", user).await;
        (
            status.as_u16(),
            body["error"]["code"].as_str().unwrap_or("none").to_owned(),
        )
    };
    assert_eq!(code("alice").await, (200, "none".into()));
    assert_eq!(code("late").await, (401, "TOKEN_EXPIRED".into()));
    assert_eq!(code("").await, (401, "AUTH_REQUIRED".into()));
    fixture.store.is_down.store(true, Ordering::Relaxed);
    assert_eq!(code("alice").await, (503, "UNAVAILABLE".into()));
    let (_, body) = fixture.get("/api/auth/me", "alice").await;
    assert!(!body.to_string().contains("disk"), "{body}");
}

#[tokio::test]
async fn a_logout_denies_the_token_or_changes_nothing() {
    let fixture = fixture(false);
    let logout = async || {
        let request = Request::post("/api/auth/logout").header("x-user", "alice");
        let (status, headers, _) = fixture.ask(request, "").await;
        (status.as_u16(), headers.contains_key(header::SET_COOKIE))
    };
    fixture.store.is_down.store(true, Ordering::Relaxed);
    assert_eq!(logout().await, (503, false));
    fixture.store.is_down.store(false, Ordering::Relaxed);
    assert_eq!(logout().await, (204, true));
    assert_eq!(
        fixture.get("/api/auth/me", "alice").await.0,
        StatusCode::UNAUTHORIZED
    );
    // Whoever is logged out already has the cookie cleared.
    assert_eq!(logout().await, (204, true));
}

#[tokio::test]
async fn bodies_are_bounded_json() {
    let fixture = fixture(false);
    let echo = async |kind: &'static str, body: String| {
        let request = Request::post("/echo").header(header::CONTENT_TYPE, kind);
        let (status, _, body) = fixture.ask(request, body).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        (
            status.as_u16(),
            body["error"]["code"].as_str().unwrap_or("none").to_owned(),
        )
    };
    let json = "application/json; charset=utf-8";
    assert_eq!(echo(json, "7".into()).await, (200, "none".into()));
    assert_eq!(
        echo(json, "777".into()).await,
        (400, "VALIDATION_ERROR".into())
    );
    assert_eq!(echo(json, "{".into()).await, (400, "BAD_REQUEST".into()));
    assert_eq!(
        echo("text/plain", "7".into()).await,
        (400, "BAD_REQUEST".into())
    );
    let large = " ".repeat(MAX_BODY_BYTES + 1);
    assert_eq!(echo(json, large).await, (413, "BAD_REQUEST".into()));
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_what_is_down() {
    let fixture = fixture(false);
    let status = async || {
        // What was seen is told again for a second.
        tokio::time::advance(Duration::from_secs(1)).await;
        fixture.get("/api/status", "").await
    };
    let (code, body) = status().await;
    let all = json!({"sessions": "ok", "broker": "ok", "metrics": "ok"});
    assert_eq!((code, &body["subsystems"]), (StatusCode::OK, &all));
    assert_eq!(
        (&body["status"], &body["version"]),
        (&json!("ok"), &json!("1.2.3"))
    );
    assert!(
        body["uptime"].is_u64() && body["timestamp"].is_string(),
        "{body}"
    );

    fixture.store.is_down.store(true, Ordering::Relaxed);
    let (code, body) = status().await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body["subsystems"],
        json!({"sessions": "down", "broker": "ok", "metrics": "ok"})
    );
    assert!(!body.to_string().contains("secret"), "{body}");
    assert_eq!(
        fixture.get("/api/ready", "").await.0,
        StatusCode::NO_CONTENT
    );

    fixture.store.is_down.store(false, Ordering::Relaxed);
    for flag in [&fixture.store.no_figures, &fixture.store.slow_figures] {
        flag.store(true, Ordering::Relaxed);
        let (code, body) = status().await;
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            body["subsystems"],
            json!({"sessions": "ok", "broker": "ok", "metrics": "down"})
        );
        flag.store(false, Ordering::Relaxed);
    }
    assert_eq!(status().await.0, StatusCode::OK);
}

#[derive(Debug)]
struct Away;

#[async_trait]
impl RoomBroker for Away {
    async fn start(&self, _: &NodeInfo, _: Arc<dyn BrokerEvents>) -> Result<Position, BrokerError> {
        Err(BrokerError::Unavailable("the wire of secrets".into()))
    }
    async fn publish(&self, _: &[Arc<Publication>]) -> Result<(), BrokerError> {
        Err(BrokerError::Stopped)
    }
    async fn stop(&self) {}
}

#[tokio::test]
async fn a_broker_that_is_away_is_no_reason_to_be_unready() {
    let server = Server::builder(ByHeader)
        .broker(Away)
        .namespace(Namespace::new("/"))
        .build()
        .unwrap();
    let state = ApiState::new(server, LoginCookie::new("t"));
    let (router, store) = (router(&state), Arc::default());
    let fixture = Fixture { router, store };
    let (code, body) = fixture.get("/api/status", "").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["status"], "degraded");
    assert_eq!(
        body["subsystems"],
        json!({"sessions": "ok", "broker": "down", "metrics": "ok"})
    );
    assert_eq!(
        fixture.get("/api/ready", "").await.0,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn many_who_ask_for_the_status_are_one_look() {
    let fixture = fixture(false);
    let asked = (0..50).map(|_| fixture.get("/api/status", ""));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|(code, _)| *code == StatusCode::OK));
    assert_eq!(fixture.store.looks.load(Ordering::Relaxed), 1);
}
