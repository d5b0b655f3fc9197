//! Reading a request's JSON body within bounds.

use std::{error::Error as StdError, time::Duration};

use axum::extract::{FromRequest, Request};
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ApiError, ErrorCode};

/// The largest body that a route reads; a larger one is answered by 413.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The time in which a body must be complete.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body of at most [`MAX_BODY_BYTES`], complete within [`BODY_TIMEOUT`]. What is no JSON is a `BAD_REQUEST`, JSON of another shape a
/// `VALIDATION_ERROR`.
#[derive(Clone, Copy, Debug)]
pub struct ApiJson<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        // A page of another site can send text and forms without asking first, but no JSON.
        if !is_json(request.headers()) {
            return Err(bad("The request body must be JSON."));
        }
        let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if is_too_large(&*error) => return Err(ApiError::too_large()),
            Ok(Err(_)) => return Err(bad("The request body ended early.")),
            Err(_) => return Err(bad("The request body took too long.")),
        };
        // In two steps, since a value of another type counts as bad syntax to some readers.
        let value: Value =
            serde_json::from_slice(&body).map_err(|_| bad("The request body is no JSON."))?;
        T::deserialize(value).map(Self).map_err(|error| {
            ApiError::new(
                ErrorCode::ValidationError,
                "The request body has another shape.",
            )
            .details(serde_json::json!({ "reason": error.to_string() }))
        })
    }
}

fn bad(message: &str) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, message)
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn is_too_large(error: &(dyn StdError + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&e| e.source());
    causes.any(|e| e.is::<LengthLimitError>())
}
