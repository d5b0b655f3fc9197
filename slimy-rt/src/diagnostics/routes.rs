//! The figures over HTTP.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use serde_json::json;

use super::{Diagnostics, Running, collector::Failure, figures::megabytes, prometheus};
use crate::{
    GuildId,
    api::{ApiError, ApiState, Authenticated, ErrorCode},
    metrics::Uploads,
    server::{Access, forwarded::TrustedProxies},
};

pub(super) fn routes(diagnostics: &Diagnostics, state: &ApiState) -> Router {
    let with = || diagnostics.clone();
    let (diag, diagnostics, metrics) = (with(), with(), with());
    Router::new()
        .route(
            "/api/diag",
            get(move |state, asked| diag.clone().diag(state, asked)),
        )
        .route(
            "/api/diagnostics",
            get(move |state, asked: Authenticated| diagnostics.clone().diagnostics(state, asked)),
        )
        .route(
            "/metrics",
            get(move |state, request| metrics.clone().metrics(state, request)),
        )
        .with_state(state.clone())
}

/// What `/api/diag` tells whoever is logged in.
#[derive(Serialize)]
struct Diag<'a> {
    ok: bool,
    authenticated: bool,
    admin: Admin<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uploads: Option<VisibleUploads>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    degraded: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Admin<'a> {
    uptime_sec: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<DiagMemory>,
    runtime: &'a str,
    pid: u32,
    hostname: &'a str,
}

/// In other words than [`MemoryFigures`](super::figures::MemoryFigures): each of the two clients has its own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiagMemory {
    rss_mb: f64,
    heap_used_mb: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VisibleUploads {
    total: u64,
    today: u64,
    by_guild: BTreeMap<GuildId, u64>,
}

impl VisibleUploads {
    /// Administrators see all guilds, others theirs.
    fn new(uploads: &Uploads, access: &Access) -> Self {
        let by_guild = uploads.by_guild.iter();
        let visible = by_guild.filter(|(id, _)| access.is_admin() || access.has_guild(id.as_str()));
        Self {
            total: uploads.total,
            today: uploads.today,
            by_guild: visible.map(|(id, count)| (id.clone(), *count)).collect(),
        }
    }
}

impl Diagnostics {
    /// The small figures. Whoever is not logged in is told so, and that is no error.
    async fn diag(
        self,
        State(state): State<ApiState>,
        asked: Result<Authenticated, ApiError>,
    ) -> Result<Response, ApiError> {
        let authorized = match asked {
            Ok(Authenticated(authorized)) => authorized,
            Err(error) if error.status() == StatusCode::UNAUTHORIZED => {
                return Ok(Json(json!({"ok": true, "authenticated": false})).into_response());
            }
            Err(error) => return Err(error),
        };
        let collected = self.0.collector.collect().await;
        let memory = collected.sample.memory.map(|memory| DiagMemory {
            rss_mb: megabytes(memory.resident),
            heap_used_mb: megabytes(memory.heap_used),
        });
        let uploads = collected.sample.uploads.as_ref();
        let diag = Diag {
            ok: true,
            authenticated: true,
            admin: Admin {
                uptime_sec: state.started().elapsed().as_secs(),
                memory,
                runtime: &self.0.runtime,
                pid: std::process::id(),
                hostname: &self.0.host,
            },
            uploads: uploads.map(|uploads| VisibleUploads::new(uploads, &authorized.access)),
            degraded: &collected.degraded,
        };
        Ok(Json(diag).into_response())
    }

    /// All figures, the same for all who ask for a time.
    async fn diagnostics(
        self,
        State(state): State<ApiState>,
        _: Authenticated,
    ) -> Result<Response, ApiError> {
        let make = || {
            let (diagnostics, state) = (self.clone(), state.clone());
            async move { diagnostics.compute(&state).await }
        };
        match &*self.0.answer.get(make).await {
            Ok(body) => {
                let kind = [(header::CONTENT_TYPE, "application/json")];
                Ok((kind, body.clone()).into_response())
            }
            Err(failure) => {
                let body =
                    json!({"ok": false, "error": "diagnostics_failed", "message": failure.message});
                Err(ApiError::server(failure.clone()).answered_by(body))
            }
        }
    }

    /// All figures, and for how long they are told.
    async fn compute(&self, state: &ApiState) -> (Result<Bytes, Failure>, Duration) {
        let collected = self.0.collector.collect().await;
        let max_age = self.0.collector.max_age_of(&collected);
        if let Some(failure) = &collected.failure {
            return (Err(failure.clone()), max_age);
        }
        let running = self.running().unwrap_or_else(|_| Running {
            api: state.clone(),
            emitter: None,
        });
        let mut figures = self.0.figures(state, &collected);
        figures.nodes = vec![self.node(&running)];
        figures.nodes.extend(self.other_nodes(&running).await);
        (Ok(text(&figures)), max_age)
    }

    /// The figures for Prometheus.
    async fn metrics(
        self,
        State(state): State<ApiState>,
        request: Request,
    ) -> Result<Response, ApiError> {
        self.may_read_metrics(&request)?;
        let collected = self.0.collector.collect().await;
        let sample = &collected.sample;
        let text = prometheus::text(&state, sample, self.0.messages(sample));
        let kind = [(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)];
        Ok((kind, text).into_response())
    }

    fn may_read_metrics(&self, request: &Request) -> Result<(), ApiError> {
        if let Some(token) = &self.0.metrics_token {
            return match bearer(request.headers()) {
                Some(sent) if is_same(sent.as_bytes(), token.as_bytes()) => Ok(()),
                _ => Err(ApiError::new(
                    ErrorCode::AuthRequired,
                    "The figures need their bearer token.",
                )),
            };
        }
        let client = TrustedProxies::none().client(request.extensions(), request.headers());
        if client.addr.is_loopback() && !client.forwarded {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::Forbidden,
            "Without a token for it, /metrics answers only on its own machine.",
        ))
    }
}

/// JSON in the order of the fields. Strings, numbers and maps with such keys can always be written.
fn text(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares in a time that does not tell where the two differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_tokens_are_read_and_compared() {
        let sent = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, text.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(sent("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(sent("bearer  abc").as_deref(), Some("abc"));
        assert_eq!(sent("Basic abc"), None);
        assert_eq!(sent("abc"), None);
        assert!(is_same(b"abc", b"abc"));
        assert!(!is_same(b"abc", b"abd") && !is_same(b"abc", b"ab") && !is_same(b"", b"a"));
    }
}
