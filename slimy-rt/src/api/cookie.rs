//! The login's cookie, as the server sets and clears it (RFC 6265).

use std::{fmt, time::Duration};

use http::HeaderValue;

/// The name, place and life of the cookie that holds a login.
///
/// It is `HttpOnly` and `Path=/`; `Secure` whenever the request that it answers came over https.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginCookie {
    name: Box<str>,
    domain: Option<Box<str>>,
    same_site: SameSite,
    max_age: Duration,
}

/// With which requests of other sites a browser sends the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// With none.
    Strict,
    /// With links that are followed.
    #[default]
    Lax,
    /// With all; browsers demand https for it.
    None,
}

/// A domain that no cookie can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be a cookie's domain: write a host name such as admin.example")]
pub struct InvalidCookieDomain(Box<str>);

impl LoginCookie {
    /// A cookie that ends after 12 h, is sent to this host only, and is `SameSite=Lax`. `name` is the one that the authenticator reads.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self {
            name: name.into(),
            domain: None,
            same_site: SameSite::default(),
            max_age: Duration::from_secs(12 * 60 * 60),
        }
    }

    /// Sends it to this domain and those below it.
    ///
    /// # Errors
    /// When it is no host name.
    pub fn domain(mut self, domain: &str) -> Result<Self, InvalidCookieDomain> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
        if domain.is_empty() || domain.len() > 253 || !domain.bytes().all(plain) {
            return Err(InvalidCookieDomain(domain.into()));
        }
        self.domain = Some(domain.into());
        Ok(self)
    }

    /// Sets with which requests of other sites it is sent.
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Sets how long it lives, in whole seconds.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// How long it lives.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.max_age
    }

    /// The `Set-Cookie` header that logs in, or `None` for a token with characters that no cookie can hold. `secure`: whether the request came over https.
    #[must_use]
    pub fn set(&self, token: &str, secure: bool) -> Option<HeaderValue> {
        // RFC 6265, section 4.1.1, "cookie-octet".
        let octet = |b: u8| b.is_ascii_graphic() && !b"\",;\\".contains(&b);
        if !token.bytes().all(octet) {
            return None;
        }
        let mut value = HeaderValue::from_str(&self.header(token, self.max_age, secure)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The `Set-Cookie` header that logs out.
    #[must_use]
    pub fn clear(&self, secure: bool) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.header("", Duration::ZERO, secure)).ok()
    }

    fn header(&self, value: &str, max_age: Duration, secure: bool) -> String {
        let Self {
            name, same_site, ..
        } = self;
        let mut header = format!(
            "{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite={same_site}",
            max_age.as_secs()
        );
        if let Some(domain) = &self.domain {
            header.push_str("; Domain=");
            header.push_str(domain);
        }
        if secure {
            header.push_str("; Secure");
        }
        header
    }
}

impl fmt::Display for SameSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_every_attribute() {
        let cookie = LoginCookie::new("t");
        assert_eq!(
            cookie.set("a.b-c_d", false).unwrap(),
            "t=a.b-c_d; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax"
        );
        let cookie = cookie
            .domain("admin.example")
            .unwrap()
            .same_site(SameSite::Strict);
        assert_eq!(
            cookie.clear(true).unwrap(),
            "t=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Domain=admin.example; Secure"
        );
    }

    #[test]
    fn takes_no_foreign_attributes() {
        assert_eq!(LoginCookie::new("t").set("a; Domain=x", false), None);
        assert_eq!(LoginCookie::new("t").set("a\r\nx: y", false), None);
        assert!(LoginCookie::new("t").domain("x; Secure").is_err());
    }
}
