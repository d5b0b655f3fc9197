//! How the system is doing, for administrators: figures over HTTP and live, the program's log as it happens, and who is connected. Feature `diagnostics`.
//!
//! A [`Diagnostics`] is built from sources of figures, [installed](Diagnostics::install) into a namespace, [mounted](Diagnostics::routes) beside the API's
//! routes, and [run](Diagnostics::run) with the server:
//! ```no_run
//! use slimy_rt::{
//!     api::{self, ApiState, LoginCookie},
//!     auth::Authenticator,
//!     diagnostics::{Diagnostics, Logs},
//!     events::Namespace,
//!     metrics::ProcessMetrics,
//!     server::Server,
//! };
//! use std::sync::Arc;
//! use tokio_util::sync::CancellationToken;
//!
//! # fn example(authenticator: Arc<dyn Authenticator>, stop: CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
//! // Its layer belongs into the program's `tracing` subscriber.
//! let logs = Logs::new();
//! let diagnostics = Diagnostics::builder()
//!     .source(ProcessMetrics::new())
//!     .logs(logs)
//!     .build();
//! let namespace = diagnostics.install(Namespace::new("/"));
//! let server = Server::builder(authenticator).namespace(namespace).build()?;
//! let state = ApiState::new(server, LoginCookie::new("token"));
//! tokio::spawn(diagnostics.clone().run(state.clone(), stop));
//! let router = api::manners(api::routes(&state).merge(diagnostics.routes(&state)), &state);
//! # Ok(())
//! # }
//! ```
//!
//! Routes: `/api/diag`, `/api/diagnostics`, `/metrics`. Events, for administrators only: `diag:subscribe`, `diag:unsubscribe`, `logs:subscribe`, `logs:unsubscribe`,
//! `connections:list`, `connections:disconnect`, `sessions:revoke`; the server sends `diag:snapshot` and `log:entries`.

mod admin;
mod collector;
mod figures;
mod live;
mod logs;
mod process;
mod prometheus;
mod request;
mod routes;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, SystemTime},
};

use axum::{Router, body::Bytes};
use tokio_util::sync::CancellationToken;

pub use self::{
    admin::{MAX_LISTED_BYTES, MAX_LISTED_CONNECTIONS, MAX_LISTED_ROOMS},
    collector::SOURCE_TIMEOUT,
    live::{HISTORY, SNAPSHOT_INTERVAL},
    logs::{
        BATCH_INTERVAL, Logs, MAX_BACKLOG, MAX_BATCH, MAX_BATCH_BYTES, MAX_ENTRIES, MAX_FIELDS,
        MAX_FILTER_CHARS, MAX_LOG_SUBSCRIBERS, MAX_RING_BYTES, MAX_TEXT_BYTES,
    },
};
use self::{
    collector::{Collected, Collector, Failure},
    figures::{ChatFigures, Figures, human},
    live::{Followers, History, not_running},
};
use crate::{
    NodeId,
    api::ApiState,
    cached::Cached,
    chat::MessageCount,
    events::{Emitter, Namespace, Rejection},
    metrics::{MetricsSource, Sample},
    server::lock,
    session::SessionStore,
    time::{timestamp, unix_ms},
};

/// For how long figures are told again by default.
const MAX_AGE: Duration = Duration::from_secs(30);

/// The diagnostics of a server. A cheap clone.
#[derive(Clone)]
pub struct Diagnostics(Arc<Inner>);

struct Inner {
    collector: Collector,
    messages: Option<MessageCount>,
    logs: Option<Logs>,
    sessions: Option<Arc<dyn SessionStore>>,
    metrics_token: Option<Box<str>>,
    node: NodeId,
    runtime: Arc<str>,
    host: Arc<str>,
    /// What `/api/diagnostics` answers.
    answer: Cached<Result<Bytes, Failure>>,
    history: Mutex<History>,
    followers: Mutex<Followers>,
    namespace: OnceLock<Arc<str>>,
    /// What it belongs to, while it runs: that knows this.
    running: Mutex<Option<Running>>,
}

/// A running server with its diagnostics.
#[derive(Clone)]
struct Running {
    api: ApiState,
    /// Of the namespace that it is installed in.
    emitter: Option<Emitter>,
}

/// Puts [`Diagnostics`] together.
#[must_use]
pub struct DiagnosticsBuilder {
    sources: Vec<Arc<dyn MetricsSource>>,
    max_age: Duration,
    messages: Option<MessageCount>,
    logs: Option<Logs>,
    sessions: Option<Arc<dyn SessionStore>>,
    metrics_token: Option<Box<str>>,
    node: NodeId,
    runtime: Arc<str>,
}

impl DiagnosticsBuilder {
    /// Adds a source of figures. Uploads of several are added; of all else the first that knows it is believed.
    pub fn source(mut self, source: impl MetricsSource) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// Sets for how long figures of the sources are told again: 30 s by default.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Tells how many messages a chat has accepted, unless a source knows it.
    pub fn messages(mut self, count: MessageCount) -> Self {
        self.messages = Some(count);
        self
    }

    /// Lets administrators follow the log. Without it, `logs:subscribe` is refused.
    pub fn logs(mut self, logs: Logs) -> Self {
        self.logs = Some(logs);
        self
    }

    /// Lets administrators end a user's logins, in the store that the server follows. Without it, `sessions:revoke` is refused.
    pub fn sessions(mut self, store: impl SessionStore) -> Self {
        self.sessions = Some(Arc::new(store));
        self
    }

    /// Wants a bearer token of whoever reads `/metrics`. Without one it answers on this machine only.
    pub fn metrics_token(mut self, token: impl Into<Box<str>>) -> Self {
        self.metrics_token = Some(token.into());
        self
    }

    /// Sets this node's name among the others, the one that the server has.
    pub fn node(mut self, node: NodeId) -> Self {
        self.node = node;
        self
    }

    /// Sets what the figures call the program: `slimy-rt` and its version by default.
    pub fn runtime(mut self, name: &str) -> Self {
        self.runtime = name.into();
        self
    }

    /// The diagnostics.
    #[must_use]
    pub fn build(self) -> Diagnostics {
        Diagnostics(Arc::new(Inner {
            collector: Collector::new(self.sources, self.max_age),
            messages: self.messages,
            logs: self.logs,
            sessions: self.sessions,
            metrics_token: self.metrics_token,
            node: self.node,
            runtime: self.runtime,
            host: process::host(),
            answer: Cached::default(),
            history: Mutex::default(),
            followers: Mutex::default(),
            namespace: OnceLock::new(),
            running: Mutex::new(None),
        }))
    }
}

impl Diagnostics {
    /// Begins with no sources.
    pub fn builder() -> DiagnosticsBuilder {
        DiagnosticsBuilder {
            sources: Vec::new(),
            max_age: MAX_AGE,
            messages: None,
            logs: None,
            sessions: None,
            metrics_token: None,
            node: NodeId::random(),
            runtime: concat!("slimy-rt ", env!("CARGO_PKG_VERSION")).into(),
        }
    }

    /// Handles the events for administrators in `namespace`, and those by which nodes ask each other. [`run`](Self::run) has to run beside it.
    #[must_use]
    pub fn install(&self, namespace: Namespace) -> Namespace {
        // Whoever installs it twice is told by the server's `build`.
        let _ = self.0.namespace.set(namespace.to_string().into());
        let namespace = live::install(self, namespace);
        admin::install(self, namespace)
    }

    /// The routes, to be merged with those of the API under its manners.
    pub fn routes(&self, state: &ApiState) -> Router {
        routes::routes(self, state)
    }

    /// Takes figures and sends them and the log to those who follow them, until `stop`. Before, and afterwards, the events are refused.
    pub async fn run(self, state: ApiState, stop: CancellationToken) {
        *lock(&self.0.running) = Some(Running {
            emitter: self
                .0
                .namespace
                .get()
                .and_then(|name| state.server().emitter(name)),
            api: state,
        });
        let _ends = Ends(&self.0);
        let logs = self.0.logs.clone();
        let follow_log = async {
            match logs {
                Some(logs) => logs.run(stop.clone()).await,
                None => stop.cancelled().await,
            }
        };
        tokio::join!(live::run(&self, &stop), follow_log);
    }

    fn running(&self) -> Result<Running, Rejection> {
        lock(&self.0.running).clone().ok_or_else(not_running)
    }
}

/// Lets go of the server, which holds this, however `run` ends.
struct Ends<'a>(&'a Inner);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        *lock(&self.0.running) = None;
        *lock(&self.0.followers) = Followers::default();
        if let Some(logs) = &self.0.logs {
            logs.forget_subscribers();
        }
    }
}

impl Inner {
    /// How many chat messages there were: a source knows it for all nodes.
    fn messages(&self, sample: &Sample) -> Option<u64> {
        let here = || self.messages.as_ref().map(MessageCount::current);
        sample.chat_messages.or_else(here)
    }

    /// The figures of this node, without those of the others.
    fn figures(&self, api: &ApiState, collected: &Collected) -> Figures {
        let server = api.server();
        let uptime = api.started().elapsed().as_secs();
        let sample = &collected.sample;
        let messages = self.messages(sample);
        Figures {
            ok: true,
            pid: std::process::id(),
            runtime: Arc::clone(&self.runtime),
            host: Arc::clone(&self.host),
            uptime_sec: uptime,
            uptime_human: human(uptime),
            memory: sample.memory.map(Into::into),
            uploads: sample.uploads.as_ref().map(Into::into),
            connections: (&server.report()).into(),
            chat: messages.map(|messages| ChatFigures { messages }),
            requests: api.requests().into(),
            nodes: Vec::new(),
            live: None,
            degraded: collected.degraded.clone(),
            generated_at: timestamp(unix_ms(SystemTime::now())),
        }
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diagnostics")
            .field("node", &self.0.node)
            .field("logs", &self.0.logs)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DiagnosticsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiagnosticsBuilder")
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}
