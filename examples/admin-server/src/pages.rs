//! The page: logs in to the demo and chats. Everything it needs comes from here.

use axum::{Router, response::IntoResponse, routing::get};
use http::{HeaderName, header};

const HTML: &str = include_str!("../ui/index.html");
const SCRIPT: &str = include_str!("../ui/app.js");
const STYLE: &str = include_str!("../ui/app.css");

/// Only what this server serves runs, is shown, or is asked; nobody frames the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page at `/` and `/login`, and its files. `demo`: whether it offers the demo's users.
pub(crate) fn routes(demo: bool) -> Router {
    let html = HTML.replace("{demo}", if demo { "true" } else { "false" });
    let page = get(move || async move { file("text/html; charset=utf-8", html) });
    Router::new()
        .route("/", page.clone())
        .route("/login", page)
        .route(
            "/app.js",
            get(|| async { file("text/javascript; charset=utf-8", SCRIPT) }),
        )
        .route(
            "/app.css",
            get(|| async { file("text/css; charset=utf-8", STYLE) }),
        )
}

fn file(kind: &'static str, text: impl IntoResponse) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 2] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    ];
    (headers, text)
}
