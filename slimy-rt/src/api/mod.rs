//! The HTTP routes beside the socket, as an axum router: health and login. Feature `api`.
//!
//! [`router`] is the whole; a program with routes of its own puts [`routes`] and them under the same [`manners`].
//!
//! Errors are `{"ok":false,"error":{"code","message","requestId","details?"}}`. Every answer carries `X-Request-ID`, is not stored unless its
//! route says otherwise, and has the security headers. A request from a page that may not use the server is refused before
//! any route sees it.

mod auth;
mod body;
mod cookie;
mod error;
mod health;
mod manners;
mod requests;
mod status;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Instant};

use axum::{
    Router,
    routing::{get, post},
};

#[cfg(feature = "diagnostics")]
pub(crate) use self::status::Seen;
pub use self::{
    auth::Authenticated,
    body::{ApiJson, BODY_TIMEOUT, MAX_BODY_BYTES},
    cookie::{InvalidCookieDomain, LoginCookie, SameSite},
    error::{ApiError, ErrorCode},
    manners::{MAX_REQUEST_ID_BYTES, RequestId, manners},
    requests::RequestReport,
};
use self::{requests::Requests, status::Subsystems};
use crate::{metrics::MetricsSource, server::Server};

/// What the routes know. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    server: Server,
    cookie: LoginCookie,
    version: Box<str>,
    login_page: Box<str>,
    development: bool,
    started: Instant,
    subsystems: Arc<Subsystems>,
    requests: Arc<Requests>,
}

impl ApiState {
    /// Routes beside `server`, which is asked who a request comes from, and whose origins and trusted proxies count here too. `cookie` is
    /// the one that the server's authenticator reads.
    #[must_use]
    pub fn new(server: Server, cookie: LoginCookie) -> Self {
        Self {
            inner: Arc::new(Inner {
                server,
                cookie,
                version: env!("CARGO_PKG_VERSION").into(),
                login_page: "/login".into(),
                development: false,
                started: Instant::now(),
                subsystems: Arc::new(Subsystems::new(Vec::new())),
                requests: Arc::default(),
            }),
        }
    }

    /// Sets the version that `/api/health` tells; this crate's otherwise.
    #[must_use]
    pub fn version(self, version: impl Into<Box<str>>) -> Self {
        self.with(|inner| inner.version = version.into())
    }

    /// Sets the path of the page that logs in; `/login` otherwise.
    #[must_use]
    pub fn login_page(self, path: impl Into<Box<str>>) -> Self {
        self.with(|inner| inner.login_page = path.into())
    }

    /// Tells clients the causes of server errors. Never in production.
    #[must_use]
    pub fn development(self, on: bool) -> Self {
        self.with(|inner| inner.development = on)
    }

    /// Sets the sources that `/api/status` asks whether they answer; none otherwise.
    #[must_use]
    pub fn metrics(self, sources: impl IntoIterator<Item = Arc<dyn MetricsSource>>) -> Self {
        let sources = sources.into_iter().collect();
        self.with(|inner| inner.subsystems = Arc::new(Subsystems::new(sources)))
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.inner.server
    }

    /// The login's cookie.
    #[must_use]
    pub fn cookie(&self) -> &LoginCookie {
        &self.inner.cookie
    }

    /// What the routes have answered so far.
    #[must_use]
    pub fn requests(&self) -> RequestReport {
        self.inner.requests.read()
    }

    /// When this was made.
    #[cfg(feature = "diagnostics")]
    pub(crate) fn started(&self) -> Instant {
        self.inner.started
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.inner));
        self
    }
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState")
            .field("version", &self.inner.version)
            .field("login_page", &self.inner.login_page)
            .field("development", &self.inner.development)
            .finish_non_exhaustive()
    }
}

/// The routes under their manners: what most programs mount beside the socket.
pub fn router(state: &ApiState) -> Router {
    manners(routes(state), state)
}

/// The bare routes. Their errors have no body and no request is refused before [`manners`] is around them.
pub fn routes(state: &ApiState) -> Router {
    Router::new()
        .route("/api/health", get(health::health))
        .route("/api/live", get(health::live))
        .route("/api/ready", get(health::ready))
        .route("/api/status", get(status::status))
        .route("/api/auth/login", get(auth::login))
        .route("/api/auth/me", get(auth::me))
        .route("/api/auth/logout", post(auth::logout))
        .with_state(state.clone())
}
