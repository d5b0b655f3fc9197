//! The page: its files, as the build script has made them, and how they are served.

use axum::{
    Router,
    body::Bytes,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, header};

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
    let page = get(move || async move {
        let mut response = typed("text/html; charset=utf-8", html);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
        response
    });
    let pages = PAGES.into_iter();
    let router = pages.fold(Router::new(), |router, path| {
        router.route(path, page.clone())
    });
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

fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight.trim(), "q=0" | "q=0.0")
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
        assert!(!takes("") && !takes("br") && !takes("gzip;q=0") && !takes("x-gzip"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
