//! What a client sent when it connected, as much as an authenticator may want, copied into one small block.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use http::{HeaderMap, HeaderName, header};
use serde_json::Value;

use super::{AuthError, cookie};

/// What a client sent to connect: the HTTP request's headers and query, where it came from, and the payload of its
/// CONNECT packet.
///
/// Cheap to clone. `Debug` shows no header's value, no query and no payload, since they carry credentials.
#[derive(Clone)]
pub struct Handshake {
    request: Arc<Request>,
    auth: Arc<Value>,
}

/// The request's part: shared by every namespace of a connection.
struct Request {
    // Copied into one block each: a retained `HeaderValue` would pin the HTTP parser's buffer.
    headers: Box<[(HeaderName, Box<[u8]>)]>,
    query: Box<str>,
    remote_addr: IpAddr,
    secure: bool,
}

/// Headers that describe one hop or the body; no authenticator needs them, and a connection keeps them for its life.
const NOT_KEPT: [HeaderName; 14] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::PRAGMA,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

impl Handshake {
    /// Starts a handshake that came from `remote_addr`, for tests and for callers other than the server.
    #[must_use]
    pub fn builder(headers: &HeaderMap, remote_addr: IpAddr) -> HandshakeBuilder {
        let headers = headers
            .iter()
            .filter(|(name, _)| !NOT_KEPT.contains(name))
            .map(|(name, value)| (name.clone(), value.as_bytes().into()))
            .collect();
        HandshakeBuilder {
            request: Request {
                headers,
                query: "".into(),
                remote_addr,
                secure: false,
            },
            auth: Value::Null,
        }
    }

    /// The first header of that name (in either case), when it is visible ASCII or UTF-8.
    #[must_use]
    pub fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        self.headers(name).next()
    }

    /// Every header of that name whose value is UTF-8, in the order of the request.
    pub fn headers<N: AsRef<str>>(&self, name: N) -> impl Iterator<Item = &str> + use<'_, N> {
        self.header_bytes(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// Every header of that name, whatever its bytes, in the order of the request.
    pub fn header_bytes<N: AsRef<str>>(&self, name: N) -> impl Iterator<Item = &[u8]> + use<'_, N> {
        let is_it = move |n: &HeaderName| n.as_str().eq_ignore_ascii_case(name.as_ref());
        let headers = self.request.headers.iter();
        headers.filter_map(move |(n, value)| is_it(n).then_some(&**value))
    }

    /// The value of the only cookie of that name, URL-decoded: a token, for instance.
    ///
    /// Tolerates what browsers send besides: several `Cookie` headers, spaces, empty pairs, values with `=` or in quotes, and other cookies of any
    /// bytes.
    ///
    /// # Errors
    /// [`AuthError::Missing`] when there is none or it is empty, [`AuthError::Invalid`] when there are two or it is not UTF-8. The texts hold nothing of it.
    pub fn cookie(&self, name: &str) -> Result<Cow<'_, str>, AuthError> {
        cookie::find(self, name)
    }

    /// The query string, without the question mark, as it was sent.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.request.query
    }

    /// The client's address; a trusted proxy's `X-Forwarded-For` has been believed.
    #[must_use]
    pub fn remote_addr(&self) -> IpAddr {
        self.request.remote_addr
    }

    /// Whether the request came over TLS; a trusted proxy's `X-Forwarded-Proto` has been believed.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.request.secure
    }

    /// The CONNECT packet's payload: an object, or null when there was none.
    #[must_use]
    pub fn auth(&self) -> &Value {
        &self.auth
    }

    /// The same request with another CONNECT payload.
    #[must_use]
    pub fn with_auth(&self, auth: Value) -> Self {
        Self {
            request: Arc::clone(&self.request),
            auth: Arc::new(auth),
        }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("remote_addr", &self.request.remote_addr)
            .field("secure", &self.request.secure)
            .finish_non_exhaustive()
    }
}

impl Default for Handshake {
    fn default() -> Self {
        Self::builder(&HeaderMap::new(), IpAddr::V4(Ipv4Addr::LOCALHOST)).build()
    }
}

/// Builds a [`Handshake`].
pub struct HandshakeBuilder {
    request: Request,
    auth: Value,
}

impl HandshakeBuilder {
    /// Sets the query string, without the question mark.
    #[must_use]
    pub fn query(mut self, query: &str) -> Self {
        self.request.query = query.into();
        self
    }

    /// Says whether the request came over TLS.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.request.secure = secure;
        self
    }

    /// Sets the CONNECT packet's payload.
    #[must_use]
    pub fn auth(mut self, auth: Value) -> Self {
        self.auth = auth;
        self
    }

    /// The handshake.
    #[must_use]
    pub fn build(self) -> Handshake {
        Handshake {
            request: Arc::new(self.request),
            auth: Arc::new(self.auth),
        }
    }
}

impl fmt::Debug for HandshakeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeBuilder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_credential() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "slimy_admin_token=secret".parse().unwrap());
        let handshake = Handshake::builder(&headers, IpAddr::V4(Ipv4Addr::LOCALHOST))
            .query("token=secret")
            .auth(serde_json::json!({"token": "secret"}))
            .build();
        assert_eq!(
            handshake.header(&header::COOKIE),
            Some("slimy_admin_token=secret")
        );
        assert!(!format!("{handshake:?}").contains("secret"));
    }
}
