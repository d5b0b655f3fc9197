//! What a route answers when it fails.

use std::{error::Error as StdError, fmt, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use serde::Serialize;
use serde_json::Value;

use crate::{auth::AuthError, server::Refusal};

/// The word that tells a client what kind of failure it met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum ErrorCode {
    /// 401: there is no valid login.
    AuthRequired,
    /// 401: the login was valid and is over.
    TokenExpired,
    /// 403: the user, or the page, may not.
    Forbidden,
    /// 400: the request was understood and says something that is not allowed.
    ValidationError,
    /// 400, or 413 for a body that is too large: the request cannot be understood.
    BadRequest,
    /// 404: there is nothing under that path and method.
    NotFound,
    /// 429: too many requests.
    RateLimited,
    /// 500: the server's own mistake.
    ServerError,
    /// 503: it cannot be done now.
    Unavailable,
}

impl ErrorCode {
    fn status(self) -> StatusCode {
        match self {
            Self::AuthRequired | Self::TokenExpired => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::ValidationError | Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A failure. [`manners`](super::manners) writes it, with the request's id, and logs those that are the server's.
#[derive(Clone)]
pub struct ApiError {
    code: ErrorCode,
    status: StatusCode,
    message: Box<str>,
    details: Option<Value>,
    /// What the client gets in place of the usual body.
    body: Option<Value>,
    // Shared, since a response's extensions are cloned.
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl ApiError {
    /// A failure with a text for the client.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Box<str>>) -> Self {
        Self {
            code,
            status: code.status(),
            message: message.into(),
            details: None,
            body: None,
            source: None,
        }
    }

    /// No route has this path and method: `Route GET /x not found`.
    #[must_use]
    pub fn no_route(method: &Method, uri: &Uri) -> Self {
        let message = format!("Route {method} {} not found", uri.path());
        Self::new(ErrorCode::NotFound, message)
    }

    /// The server's own mistake: the client learns nothing of it, the log everything.
    #[must_use]
    pub fn server(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorCode::ServerError, "Something went wrong.").caused_by(source)
    }

    /// Something that the server needs cannot answer.
    #[must_use]
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let message = "The service cannot answer right now. Try again shortly.";
        Self::new(ErrorCode::Unavailable, message).caused_by(source)
    }

    /// Adds what else the client may know.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Answers with another body than the usual one, for a route whose clients are older than that.
    #[cfg(feature = "diagnostics")]
    pub(crate) fn answered_by(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// The kind of failure.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The text for the client.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn too_large() -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Self::new(ErrorCode::BadRequest, "The request body is too large.")
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn is_ours(&self) -> bool {
        self.status.is_server_error()
    }

    /// The error and everything that caused it, outermost first.
    pub(super) fn chain(&self) -> Vec<String> {
        let first = self
            .source
            .as_deref()
            .map(|s| s as &(dyn StdError + 'static));
        std::iter::successors(first, |&error| error.source())
            .map(ToString::to_string)
            .collect()
    }

    /// The answer's body. The causes are part of it only when `with_causes`.
    pub(super) fn body(&self, request_id: &str, with_causes: bool) -> Vec<u8> {
        if let Some(body) = &self.body {
            return body.to_string().into_bytes();
        }
        #[derive(Serialize)]
        struct Body<'a> {
            ok: bool,
            error: Inner<'a>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Inner<'a> {
            code: ErrorCode,
            message: &'a str,
            request_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            details: Option<Value>,
        }
        let causes = || Some(serde_json::json!({ "causes": self.chain() }));
        let details = match (&self.details, with_causes && self.source.is_some()) {
            (Some(details), _) => Some(details.clone()),
            (None, true) => causes(),
            (None, false) => None,
        };
        let error = Inner {
            code: self.code,
            message: &self.message,
            request_id,
            details,
        };
        // Text and JSON values always serialise; were it otherwise, the status still tells.
        serde_json::to_vec(&Body { ok: false, error }).unwrap_or_default()
    }

    fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into().into());
        self
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("code", &self.code)
            .field("message", &self.message)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotAuthorized(AuthError::Expired) => {
                Self::new(ErrorCode::TokenExpired, "Your login has expired.")
            }
            Refusal::NotAuthorized(_) => {
                Self::new(ErrorCode::AuthRequired, "You are not logged in.")
            }
            Refusal::NoGuildContext => Self::new(ErrorCode::Forbidden, "You belong to no guild."),
            unavailable @ Refusal::Unavailable(_) => Self::unavailable(unavailable),
        }
    }
}

impl IntoResponse for ApiError {
    /// An answer without a body: [`manners`](super::manners) writes it, since it knows the request.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
