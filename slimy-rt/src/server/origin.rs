//! Which web pages may speak to the server: the check of `Origin`, and the CORS headers of those that may.

use std::{collections::HashSet, net::Ipv6Addr};

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use super::forwarded::{Client, X_FORWARDED_HOST, said_by_first_proxy};

/// The most origins in a list.
pub const MAX_ORIGINS: usize = 1024;

/// How long a browser may remember the answer to its preflight, in seconds.
pub const PREFLIGHT_MAX_AGE_SECONDS: u32 = 600;

/// The origins that may use the server from a browser, beside the server's own: an exact-match list of scheme, host and port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    listed: HashSet<Origin>,
    any: bool,
}

/// What the check of a request's `Origin` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There is no `Origin`: no browser's cross-origin request.
    Absent,
    /// A page that this server itself served.
    Own(HeaderValue),
    /// A page on the list.
    Listed(HeaderValue),
    /// Every page may: [`Origins::any`].
    Any,
    /// A page that may not: answered by 403 without CORS headers.
    Foreign,
    /// Several `Origin` headers, or one with characters that none has.
    Malformed,
}

/// An origin that cannot be on a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOrigin {
    /// The entry is `*`.
    #[error("`*` would let every page use a visitor's login: list the origins one by one")]
    Wildcard,
    /// The entry is `null`.
    #[error(
        "`null` stands for any sandboxed page or local file: serve the page from an origin of its own"
    )]
    Null,
    /// The entry has no scheme.
    #[error("`{0}` has no scheme: write https://{0}")]
    Scheme(Box<str>),
    /// The entry has a path, a query or a user.
    #[error(
        "`{0}` is more than an origin: write only scheme, host and port, without a final slash"
    )]
    NotBare(Box<str>),
    /// The entry's host or port is malformed.
    #[error(
        "`{0}` has no valid host and port: write it as in https://admin.example:8443 (other alphabets as xn--…)"
    )]
    Host(Box<str>),
    /// There are more than [`MAX_ORIGINS`].
    #[error("more than {MAX_ORIGINS} origins")]
    TooMany,
}

impl Origins {
    /// Allows the server's own origin only.
    #[must_use]
    pub fn own() -> Self {
        Self::default()
    }

    /// Allows every origin, without credentials: for tests and public suites, never beside a login cookie.
    #[must_use]
    pub fn any() -> Self {
        Self {
            listed: HashSet::new(),
            any: true,
        }
    }

    /// Reads origins that are separated by commas, as in `https://admin.example, http://localhost:5173`. A scheme's default port may be
    /// written or left out. Empty entries are left out.
    ///
    /// # Errors
    /// [`InvalidOrigin`] says which entry to change, and how.
    pub fn parse(list: &str) -> Result<Self, InvalidOrigin> {
        let entries = list.split(',').map(str::trim).filter(|e| !e.is_empty());
        let listed = entries
            .map(parse_entry)
            .collect::<Result<HashSet<_>, _>>()?;
        if listed.len() > MAX_ORIGINS {
            return Err(InvalidOrigin::TooMany);
        }
        Ok(Self { listed, any: false })
    }

    /// Whether the page that sent a request with these headers may use the server.
    ///
    /// The server's own origin is made of the scheme that `client` used and the `Host` under which the request came; `X-Forwarded-Host`
    /// counts only when the request came through a trusted proxy.
    #[must_use]
    pub fn decide(&self, headers: &HeaderMap, client: &Client) -> Decision {
        let mut values = headers.get_all(header::ORIGIN).iter();
        let Some(value) = values.next() else {
            return if self.any {
                Decision::Any
            } else {
                Decision::Absent
            };
        };
        let (Ok(text), None) = (value.to_str(), values.next()) else {
            return Decision::Malformed;
        };
        if self.any {
            return Decision::Any;
        }
        let Some(origin) = Origin::parse(text) else {
            return Decision::Foreign;
        };
        if self.listed.contains(&origin) {
            Decision::Listed(value.clone())
        } else if Origin::of_server(headers, client).is_some_and(|own| own == origin) {
            Decision::Own(value.clone())
        } else {
            Decision::Foreign
        }
    }
}

impl Decision {
    /// Whether the request goes on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        !matches!(self, Self::Foreign | Self::Malformed)
    }

    /// Adds what a browser wants to see on the answer: nothing for a refused origin, `Vary: Origin` alone where the page needs no
    /// permission.
    pub fn cors(&self, headers: &mut HeaderMap) {
        match self {
            Self::Foreign | Self::Malformed => return,
            Self::Absent | Self::Own(_) => {}
            Self::Any => {
                let any = HeaderValue::from_static("*");
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
                return;
            }
            Self::Listed(origin) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                let yes = HeaderValue::from_static("true");
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
        let origin = HeaderValue::from_static("Origin");
        if !headers.get_all(header::VARY).iter().any(|v| v == origin) {
            headers.append(header::VARY, origin);
        }
    }

    /// The answer to a preflight: 204 with what is allowed, or `None` for an origin that is refused.
    #[must_use]
    pub fn preflight<B: Default>(&self) -> Option<Response<B>> {
        if !self.is_allowed() {
            return None;
        }
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        self.cors(headers);
        if matches!(self, Self::Listed(_) | Self::Any) {
            let methods = HeaderValue::from_static("GET, POST");
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            let allowed = HeaderValue::from_static("content-type, x-csrf-token, x-request-id");
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
            let max_age = HeaderValue::from(PREFLIGHT_MAX_AGE_SECONDS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, max_age);
        }
        Some(response)
    }
}

/// Whether a request asks what another request would be allowed to do (Fetch standard, "CORS-preflight request").
#[must_use]
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Scheme, host and port, in one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Origin {
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
}

impl Origin {
    /// Reads `scheme://host[:port]`, and nothing more.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(plain) {
            return None;
        }
        Self::at(scheme.into(), authority)
    }

    /// The origin of the page that this server would serve to the sender of `headers`.
    fn of_server(headers: &HeaderMap, client: &Client) -> Option<Self> {
        let forwarded = match client.proxies {
            0 => None,
            proxies => said_by_first_proxy(headers, &X_FORWARDED_HOST, proxies),
        };
        let host = match forwarded {
            Some(host) => host,
            None => {
                let mut hosts = headers.get_all(header::HOST).iter();
                let host = hosts.next()?.to_str().ok()?;
                // Two hosts are none: proxies disagree about which one counts.
                hosts.next().is_none().then_some(host)?
            }
        };
        let scheme = if client.secure { "https" } else { "http" };
        Self::at(scheme.into(), host)
    }

    fn at(scheme: Box<str>, authority: &str) -> Option<Self> {
        let (host, port) = match authority.rsplit_once(':') {
            // A colon within brackets belongs to an IPv6 address.
            Some((_, behind)) if behind.ends_with(']') => (authority, None),
            Some((host, port)) => (host, Some(parse_port(port)?)),
            None => (authority, None),
        };
        let default = match &*scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Some(Self {
            host: parse_host(host)?,
            port: port.or(default),
            scheme,
        })
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

fn parse_host(text: &str) -> Option<Box<str>> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let addr: Ipv6Addr = bracketed.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{addr}]").into());
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let valid = !text.is_empty() && text.len() <= 253 && text.bytes().all(plain);
    valid.then(|| text.to_ascii_lowercase().into())
}

fn parse_entry(entry: &str) -> Result<Origin, InvalidOrigin> {
    match entry {
        "*" => return Err(InvalidOrigin::Wildcard),
        "null" => return Err(InvalidOrigin::Null),
        _ => {}
    }
    let Some((_, authority)) = entry.split_once("://") else {
        return Err(InvalidOrigin::Scheme(entry.into()));
    };
    if authority.contains(['/', '?', '#', '@']) {
        return Err(InvalidOrigin::NotBare(entry.into()));
    }
    Origin::parse(entry).ok_or_else(|| InvalidOrigin::Host(entry.into()))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use http::Extensions;

    use super::{
        super::forwarded::{Peer, TrustedProxies},
        *,
    };

    fn decide(list: &str, secure: bool, headers: &[(&'static str, &str)]) -> Decision {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut extensions = Extensions::new();
        let addr = SocketAddr::from((IpAddr::V4(Ipv4Addr::LOCALHOST), 1));
        extensions.insert(Peer { addr, secure });
        let proxies = TrustedProxies::parse("127.0.0.1").unwrap();
        let client = proxies.client(&extensions, &map);
        Origins::parse(list).unwrap().decide(&map, &client)
    }

    #[test]
    fn listed_origins_match_exactly() {
        let list = "https://a.example, http://b.example:8080";
        let listed = |origin| {
            matches!(
                decide(list, false, &[("origin", origin)]),
                Decision::Listed(_)
            )
        };
        for origin in [
            "https://a.example",
            "https://a.example:443",
            "http://b.example:8080",
        ] {
            assert!(listed(origin), "{origin}");
        }
        for origin in [
            "http://a.example",
            "https://a.example:444",
            "https://a.example.evil.example",
            "https://evil.example/https://a.example",
            "https://x@a.example",
            "https://a.example/",
            "http://b.example",
            "null",
            "",
            "https://",
            "https://a.example:",
            "https://a.example:+443",
        ] {
            assert_eq!(
                decide(list, false, &[("origin", origin)]),
                Decision::Foreign,
                "{origin}"
            );
        }
    }

    #[test]
    fn own_origin_is_the_one_the_request_came_under() {
        let own = |secure, headers: &[_]| matches!(decide("", secure, headers), Decision::Own(_));
        let host = ("host", "Admin.example:3080");
        assert!(own(false, &[host, ("origin", "http://admin.example:3080")]));
        assert!(!own(true, &[host, ("origin", "http://admin.example:3080")]));
        assert!(own(
            true,
            &[("host", "a.example"), ("origin", "https://a.example")]
        ));
        assert!(own(
            false,
            &[("host", "[::1]:80"), ("origin", "http://[::1]")]
        ));
        assert!(!own(
            false,
            &[host, ("host", "x"), ("origin", "http://admin.example:3080")]
        ));
        assert!(!own(false, &[("origin", "http://a.example")]));
        let proxied = [
            ("host", "inner:3080"),
            ("x-forwarded-host", "a.example"),
            ("x-forwarded-proto", "https"),
            ("origin", "https://a.example"),
        ];
        assert!(own(false, &proxied));
    }

    #[test]
    fn forwarded_hosts_of_strangers_are_ignored() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("a.example"));
        headers.insert(
            header::ORIGIN,
            HeaderValue::from_static("http://evil.example"),
        );
        headers.insert(X_FORWARDED_HOST, HeaderValue::from_static("evil.example"));
        let client = TrustedProxies::none().client(&Extensions::new(), &headers);
        assert_eq!(Origins::own().decide(&headers, &client), Decision::Foreign);
    }

    #[test]
    fn odd_origin_headers_are_malformed() {
        let two = [
            ("origin", "https://a.example"),
            ("origin", "https://a.example"),
        ];
        assert_eq!(
            decide("https://a.example", false, &two),
            Decision::Malformed
        );
        assert_eq!(
            decide("", false, &[("origin", "http://ä")]),
            Decision::Malformed
        );
        assert_eq!(decide("", false, &[]), Decision::Absent);
    }

    #[test]
    fn only_allowed_origins_get_cors_headers() {
        let headers = |decision: &Decision| {
            let mut headers = HeaderMap::new();
            decision.cors(&mut headers);
            headers
        };
        let listed = Decision::Listed(HeaderValue::from_static("https://a.example"));
        let cors = headers(&listed);
        assert_eq!(
            cors[header::ACCESS_CONTROL_ALLOW_ORIGIN],
            "https://a.example"
        );
        assert_eq!(cors[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(cors[header::VARY], "Origin");
        assert_eq!(
            headers(&Decision::Any)[header::ACCESS_CONTROL_ALLOW_ORIGIN],
            "*"
        );
        assert!(headers(&Decision::Foreign).is_empty());

        let preflight = listed.preflight::<String>().unwrap();
        assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
        assert_eq!(
            preflight.headers()[header::ACCESS_CONTROL_ALLOW_METHODS],
            "GET, POST"
        );
        assert!(Decision::Foreign.preflight::<String>().is_none());
    }

    #[test]
    fn lists_say_what_to_change() {
        let error = |list| Origins::parse(list).unwrap_err();
        assert_eq!(error("*"), InvalidOrigin::Wildcard);
        assert_eq!(error("https://a.example,null"), InvalidOrigin::Null);
        assert_eq!(
            error("a.example").to_string(),
            "`a.example` has no scheme: write https://a.example"
        );
        assert!(matches!(
            error("https://a.example/"),
            InvalidOrigin::NotBare(_)
        ));
        assert!(matches!(error("https://*.example"), InvalidOrigin::Host(_)));
        assert!(matches!(
            error("https://a.example:0"),
            InvalidOrigin::Host(_)
        ));
        assert!(matches!(error("https://ä.example"), InvalidOrigin::Host(_)));
        assert_eq!(Origins::parse(" ,").unwrap(), Origins::own());
        assert!(Origins::parse("tauri://localhost").is_ok());
    }
}
