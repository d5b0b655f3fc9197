//! Whether what the server needs can be reached.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use futures_util::future::join_all;
use http::StatusCode;
use serde::Serialize;
use tokio::time::timeout;

use super::{ApiState, health::Health};
use crate::{TokenId, cached::Cached, metrics::MetricsSource, server::Server};

/// How long a look at one subsystem may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the last look is told again, so that whoever asks often does not burden the engines.
const MAX_AGE: Duration = Duration::from_secs(1);

/// What is asked of the session store: no authenticator names a token so.
const NO_TOKEN: &str = "status";

/// Looks at the subsystems, once for all who ask at a time.
pub(super) struct Subsystems {
    metrics: Arc<[Arc<dyn MetricsSource>]>,
    last: Cached<Seen>,
}

#[derive(Serialize)]
pub(super) struct Status {
    #[serde(flatten)]
    health: Health,
    subsystems: Seen,
}

/// What the server does without is up.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Seen {
    sessions: Subsystem,
    broker: Subsystem,
    metrics: Subsystem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Subsystem {
    Ok,
    Down,
}

/// Whether the server and all that it needs are there: 503 when something is not. Unlike `ready`, which it does not change.
pub(super) async fn status(State(state): State<ApiState>) -> (StatusCode, Json<Status>) {
    let subsystems = state.inner.subsystems.look(state.server()).await;
    let (code, word) = match subsystems.all_ok() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
    };
    let health = Health::now(&state, word);
    (code, Json(Status { health, subsystems }))
}

impl Subsystems {
    pub(super) fn new(metrics: Vec<Arc<dyn MetricsSource>>) -> Self {
        Self {
            metrics: metrics.into(),
            last: Cached::default(),
        }
    }

    async fn look(&self, server: &Server) -> Seen {
        let look = || {
            let (server, sources) = (server.clone(), Arc::clone(&self.metrics));
            async move {
                let looks = sources.iter().map(|source| answers(source.sample()));
                let metrics = async { join_all(looks).await.into_iter().all(|ok| ok) };
                let (sessions, metrics) = tokio::join!(sessions(&server), metrics);
                (Seen::new(&server, sessions, metrics), MAX_AGE)
            }
        };
        *self.last.get(look).await
    }
}

impl Seen {
    fn new(server: &Server, sessions: Subsystem, metrics: bool) -> Self {
        Self {
            sessions,
            broker: (server.is_broker_up() != Some(false)).into(),
            metrics: metrics.into(),
        }
    }

    /// For whoever knows already how the sources of figures are doing.
    #[cfg(feature = "diagnostics")]
    pub(crate) async fn beside(server: &Server, metrics: bool) -> Self {
        Self::new(server, sessions(server).await, metrics)
    }
}

async fn sessions(server: &Server) -> Subsystem {
    let (Some(sessions), Ok(token)) = (server.sessions(), TokenId::parse(NO_TOKEN)) else {
        return Subsystem::Ok;
    };
    answers(sessions.is_denied(&token)).await.into()
}

async fn answers<T, E>(look: impl Future<Output = Result<T, E>>) -> bool {
    let looked = timeout(LOOK_TIMEOUT, look).await;
    looked.is_ok_and(|answer| answer.is_ok())
}

impl Seen {
    fn all_ok(self) -> bool {
        [self.sessions, self.broker, self.metrics] == [Subsystem::Ok; 3]
    }
}

impl From<bool> for Subsystem {
    fn from(ok: bool) -> Self {
        match ok {
            true => Self::Ok,
            false => Self::Down,
        }
    }
}

impl fmt::Debug for Subsystems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subsystems")
            .field("metrics", &self.metrics)
            .finish_non_exhaustive()
    }
}
