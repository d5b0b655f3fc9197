//! Whether the server is there: for people, balancers and orchestrators.

use std::time::SystemTime;

use axum::{Json, extract::State};
use http::StatusCode;
use serde::Serialize;

use super::{ApiError, ApiState, ErrorCode};
use crate::time::{timestamp, unix_ms};

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    /// Whole seconds.
    uptime: u64,
    timestamp: String,
    version: Box<str>,
}

impl Health {
    pub(super) fn now(state: &ApiState, status: &'static str) -> Self {
        Self {
            status,
            uptime: state.inner.started.elapsed().as_secs(),
            timestamp: timestamp(unix_ms(SystemTime::now())),
            version: state.inner.version.clone(),
        }
    }
}

pub(super) async fn health(State(state): State<ApiState>) -> Json<Health> {
    Json(Health::now(&state, "ok"))
}

pub(super) async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Says no while the server starts or stops, and never because of a broker: its clients go on without it.
pub(super) async fn ready(State(state): State<ApiState>) -> Result<StatusCode, ApiError> {
    if state.server().is_ready() {
        Ok(StatusCode::NO_CONTENT)
    } else {
        let message = "The server is starting or shutting down.";
        Err(ApiError::new(ErrorCode::Unavailable, message))
    }
}
