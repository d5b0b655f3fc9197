//! What every answer has in common: the request's id, the check of its origin, headers, the errors' shape, and the log.

use std::{
    any::Any,
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use super::{ApiError, ApiState, ErrorCode};
use crate::{
    UserId,
    server::{
        forwarded::Client,
        origin::{Decision, is_preflight},
    },
};

/// The longest request id that is taken from a request.
pub const MAX_REQUEST_ID_BYTES: usize = 128;

/// The most of a path or query that is logged, in bytes.
const MAX_LOGGED_BYTES: usize = 1024;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, as an extension of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The request's own id when it is 1 to [`MAX_REQUEST_ID_BYTES`] visible ASCII characters, else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let fits = |value: &&HeaderValue| {
            (1..=MAX_REQUEST_ID_BYTES).contains(&value.len())
                && value.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        let sent = headers.get(X_REQUEST_ID).filter(fits).cloned();
        // What is made here is base64url, which a header always takes.
        let made = || HeaderValue::from_str(&crate::random_text());
        Self(
            sent.or_else(|| made().ok())
                .unwrap_or(HeaderValue::from_static("none")),
        )
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("none")
    }
}

/// What the log wants to know of a request, filled in while it is answered.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) client: Client,
    pub(super) user: Arc<OnceLock<UserId>>,
}

/// Puts manners around routes: the check of `Origin` and its preflights, `X-Request-ID`, `Cache-Control`, security headers, the errors' shape,
/// and a log of what went wrong. A path or method that no route has is answered by `Route GET /x not found`.
pub fn manners(routes: Router, state: &ApiState) -> Router {
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(middleware::from_fn_with_state(state.clone(), answer))
}

async fn not_found(method: Method, uri: Uri) -> ApiError {
    ApiError::no_route(&method, &uri)
}

async fn answer(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let server = state.server();
    let client = server
        .proxies()
        .client(request.extensions(), request.headers());
    let decision = server.origins().decide(request.headers(), &client);
    let id = RequestId::of(request.headers());
    let asked = Asked {
        client,
        user: Arc::default(),
    };
    let logged = Logged::new(&request, client.addr);
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(asked.clone());

    let mut response = if !decision.is_allowed() {
        ApiError::new(ErrorCode::Forbidden, "This page may not use the server.").into_response()
    } else if let Some(preflight) = preflight(&decision, &request) {
        preflight
    } else {
        let routed = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        routed.unwrap_or_else(|panic| ApiError::server(said(panic.as_ref())).into_response())
    };

    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        if error.is_ours() {
            logged.failed(&error, &id, asked.user.get());
        }
        write(&mut response, &error, &id, state.inner.development);
    }
    decision.cors(response.headers_mut());
    finish(response.headers_mut(), id);
    let requests = &state.inner.requests;
    requests.record(response.status(), began.elapsed());
    response
}

impl ApiError {
    /// The complete answer to a request with these headers, for a layer that stands outside of [`manners`].
    #[must_use]
    pub fn answer(&self, headers: &HeaderMap) -> Response {
        let id = RequestId::of(headers);
        let mut response = Response::default();
        write(&mut response, self, &id, false);
        finish(response.headers_mut(), id);
        response
    }
}

fn write(response: &mut Response, error: &ApiError, id: &RequestId, with_causes: bool) {
    *response.status_mut() = error.status();
    *response.body_mut() = Body::from(error.body(id.as_str(), with_causes));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    // A failed route's length is not that of the text in its place.
    response.headers_mut().remove(header::CONTENT_LENGTH);
}

fn preflight(decision: &Decision, request: &Request) -> Option<Response> {
    let asks = is_preflight(request.method(), request.headers());
    asks.then(|| decision.preflight()).flatten()
}

/// Adds the headers that every answer has. A route's own word about caching and content is left as it is.
fn finish(headers: &mut HeaderMap, id: RequestId) {
    headers.insert(X_REQUEST_ID, id.0);
    let defaults = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in defaults {
        let value = HeaderValue::from_static(value);
        headers.entry(name).or_insert(value);
    }
}

/// A panic's message.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a handler panicked: {}", text.unwrap_or("no message"))
}

/// A request as the log shows it: no cookie, no token.
struct Logged {
    method: Method,
    path: String,
    query: String,
    addr: IpAddr,
}

impl Logged {
    fn new(request: &Request, addr: IpAddr) -> Self {
        let uri = request.uri();
        Self {
            method: request.method().clone(),
            path: shortened(uri.path()).to_owned(),
            query: redacted(uri.query().unwrap_or_default()),
            addr,
        }
    }

    fn failed(&self, error: &ApiError, id: &RequestId, user: Option<&UserId>) {
        let (method, path, query, addr) = (&self.method, &self.path, &self.query, self.addr);
        let (request_id, user) = (id.as_str(), user.map(UserId::as_str));
        let causes = error.chain().join(": ");
        tracing::error!(
            request_id,
            %method,
            path,
            query,
            user,
            %addr,
            error = causes,
            "{}",
            error.message()
        );
    }
}

/// A query whose values are left out where the name looks like that of a secret.
fn redacted(query: &str) -> String {
    const SECRETS: [&str; 11] = [
        "token", "secret", "pass", "auth", "session", "sid", "code", "key", "jwt", "cookie",
        "state",
    ];
    let pair = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        let lower = name.to_ascii_lowercase();
        // A name that hides behind percent signs may be any.
        let secret = lower.contains('%') || SECRETS.iter().any(|word| lower.contains(word));
        match secret && pair.contains('=') {
            true => format!("{name}=redacted"),
            false => pair.to_owned(),
        }
    };
    let pairs: Vec<_> = shortened(query).split('&').map(pair).collect();
    pairs.join("&")
}

/// URIs are ASCII, so that any place is a character's end; were it not, nothing is shown.
fn shortened(text: &str) -> &str {
    text.get(..text.len().min(MAX_LOGGED_BYTES))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_logged_without_secrets() {
        assert_eq!(
            redacted("a=1&access_token=x&SID=y&%74oken=z&flag&token"),
            "a=1&access_token=redacted&SID=redacted&%74oken=redacted&flag&token"
        );
        assert_eq!(redacted(""), "");
        assert_eq!(redacted(&"a".repeat(5000)).len(), MAX_LOGGED_BYTES);
    }

    #[test]
    fn request_ids_are_taken_when_they_are_short_and_visible() {
        let id = |text: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(text).unwrap());
            RequestId::of(&headers).as_str().to_owned()
        };
        assert_eq!(id(b"abc-1~"), "abc-1~");
        assert_eq!(
            id(&[b'x'; MAX_REQUEST_ID_BYTES]).len(),
            MAX_REQUEST_ID_BYTES
        );
        for bad in [
            &b""[..],
            b"a b",
            b"\xc3\xa4",
            &[b'x'; MAX_REQUEST_ID_BYTES + 1],
        ] {
            assert_eq!(id(bad).len(), 20);
        }
    }
}
