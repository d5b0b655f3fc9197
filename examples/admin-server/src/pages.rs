//! The page: its files, as the build script has made them, and how they are served.

use axum::{
    Router,
    body::Bytes,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use slimy_rt::api::ApiError;

// FILES, and MISSING: why there are none.
include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The paths at which the page is; which of its screens it shows, it sees itself.
const PAGES: [&str; 6] = [
    "/",
    "/login",
    "/chat",
    "/diagnostics",
    "/logs",
    "/connections",
];

/// Where the files are whose names change with what is in them.
const HASHED: &str = "assets/";
const INDEX: &str = "index.html";
/// How a file's compressed form is called.
const GZIP: &str = ".gz";

/// What stands in the page's place when it was not built.
const NO_PAGE: &str = include_str!("pages/missing.html");

/// Only what this server serves runs, is shown, or is asked; nobody frames the page.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// Its name is another when it is another.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// A file of the page.
#[derive(Clone, Copy)]
struct File {
    path: &'static str,
    bytes: &'static [u8],
}

/// The page and its files. `demo`: whether it offers the demo's users.
pub(crate) fn routes(demo: bool) -> Router {
    let html = index(FILES, MISSING, demo);
    let page = move || {
        let mut response = typed("text/html; charset=utf-8", html.clone());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
        response
    };
    let strange = page.clone();
    let nothing = move |method: Method, uri: Uri, headers: HeaderMap| async move {
        // Whoever follows a wrong link wants to read that it is one, and find the way back.
        match is_for_people(&uri, &headers) {
            true => (StatusCode::NOT_FOUND, strange()).into_response(),
            false => ApiError::no_route(&method, &uri).into_response(),
        }
    };
    let pages = PAGES.into_iter();
    let router = pages.fold(Router::new(), |router, path| {
        let page = page.clone();
        router.route(path, get(|| async move { page() }))
    });
    let router = router.route("/{*path}", get(nothing));
    let files = FILES
        .iter()
        .filter(|file| file.path != INDEX && !file.path.ends_with(GZIP));
    files.fold(router, |router, file| {
        let path = format!("/{}", file.path);
        router.route(
            &path,
            get(move |headers: HeaderMap| async move { serve(file, &headers) }),
        )
    })
}

fn index(files: &[File], missing: Option<&str>, demo: bool) -> Bytes {
    let index = files.iter().find(|file| file.path == INDEX);
    let html = match index.map(|file| String::from_utf8_lossy(file.bytes)) {
        Some(html) => html.replace("{demo}", if demo { "true" } else { "false" }),
        None => NO_PAGE.replace("{missing}", missing.unwrap_or("it was not built")),
    };
    html.into()
}

fn serve(file: &File, asked: &HeaderMap) -> Response {
    let gzip = FILES
        .iter()
        .find(|other| other.path.strip_suffix(GZIP) == Some(file.path));
    let gzip = gzip.filter(|_| takes_gzip(asked));
    let bytes = Bytes::from_static(gzip.unwrap_or(file).bytes);
    let mut response = typed(content_type(file.path), bytes);
    let headers = response.headers_mut();
    if gzip.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if file.path.starts_with(HASHED) {
        headers.insert(header::CACHE_CONTROL, FOR_EVER);
    }
    response
}

/// Whether a browser goes to that address, and no program asks.
fn is_for_people(uri: &Uri, headers: &HeaderMap) -> bool {
    let is_for_programs = ["/api/", "/socket.io/"]
        .into_iter()
        .any(|prefix| uri.path().starts_with(prefix));
    !is_for_programs && names(headers, header::ACCEPT, "text/html")
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    names(headers, header::ACCEPT_ENCODING, "gzip")
}

/// Whether a header such as `Accept` has that very value, with a weight above zero.
fn names(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut values = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    values.any(|value| {
        let mut parts = value.split(';').map(str::trim);
        let is_it = parts
            .next()
            .is_some_and(|value| value.eq_ignore_ascii_case(wanted));
        let mut weights = parts.filter_map(|part| part.strip_prefix("q="));
        is_it && weights.all(|weight| weight.parse().is_ok_and(|weight: f32| weight > 0.0))
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "json" | "map" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn typed(kind: &'static str, bytes: Bytes) -> Response {
    (
        [(header::CONTENT_TYPE, HeaderValue::from_static(kind))],
        bytes,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_knows_whether_it_is_a_demo() {
        let files = [File {
            path: INDEX,
            bytes: b"<body data-demo=\"{demo}\">",
        }];
        assert_eq!(index(&files, None, true), "<body data-demo=\"true\">");
        assert_eq!(index(&files, None, false), "<body data-demo=\"false\">");
    }

    #[test]
    fn without_a_page_it_is_said_what_is_missing() {
        let html = index(&[], Some("building it needs npm"), true);
        let html = String::from_utf8(html.to_vec()).unwrap();
        assert!(html.contains("building it needs npm"), "{html}");
    }

    #[test]
    fn compressed_files_are_for_those_who_take_them() {
        let takes = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
            takes_gzip(&headers)
        };
        assert!(takes("gzip") && takes("br, GZIP;q=0.5") && takes("deflate,gzip, br"));
        assert!(!takes("") && !takes("br") && !takes("x-gzip"));
        assert!(!takes("gzip;q=0") && !takes("gzip; q=0.000") && !takes("gzip;q=none"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn people_who_are_lost_get_a_page_and_programs_an_error() {
        let is_for_people = |path: &'static str, accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            is_for_people(&Uri::from_static(path), &headers)
        };
        assert!(is_for_people(
            "/nosuch",
            "text/html,application/xml;q=0.9,*/*;q=0.8"
        ));
        assert!(!is_for_people("/nosuch", "*/*") && !is_for_people("/nosuch", "application/json"));
        assert!(!is_for_people("/api/nosuch", "text/html"));
    }
}
