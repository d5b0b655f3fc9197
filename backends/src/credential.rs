//! Where a client's token can be, and opaque tokens: random, and known to the server by their hash only.

#[cfg(any(feature = "postgres", feature = "redis"))]
use std::borrow::Cow;

#[cfg(any(feature = "postgres", feature = "redis"))]
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
#[cfg(any(feature = "postgres", feature = "redis"))]
use slimy_rt::TokenId;
use slimy_rt::auth::{AuthError, Handshake};

/// How many random bytes an opaque token has, and how long it is in base64url.
#[cfg(any(feature = "postgres", feature = "redis"))]
const TOKEN_BYTES: (usize, usize) = (32, 43);

/// The token in the `Authorization` header or in the CONNECT packet's payload. The scheme's name is case-insensitive (RFC 9110, section 11.1); another
/// scheme is no token.
pub(crate) fn bearer(handshake: &Handshake) -> Result<&str, AuthError> {
    let mut bearers = handshake
        .headers(&http::header::AUTHORIZATION)
        .filter_map(|header| {
            let (scheme, token) = header.trim().split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
    let header = bearers.next();
    let payload = handshake.auth()["token"].as_str();
    match (header, payload) {
        _ if bearers.next().is_some() => Err(AuthError::Invalid("two bearer headers".into())),
        (Some(header), Some(payload)) if header != payload => Err(AuthError::Invalid(
            "the header and the payload hold different tokens".into(),
        )),
        (Some(token), _) | (None, Some(token)) => Ok(token),
        (None, None) => Err(AuthError::Missing),
    }
}

/// The token in the cookie of that name, in the header or in the payload. Two that differ are refused: nobody knows which was meant.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) fn anywhere<'a>(
    handshake: &'a Handshake,
    cookie: &str,
) -> Result<Cow<'a, str>, AuthError> {
    match (bearer(handshake), handshake.cookie(cookie)) {
        (Ok(bearer), Ok(cookie)) if bearer != cookie => Err(AuthError::Invalid(
            "the cookie holds another token than the header or the payload".into(),
        )),
        (Ok(token), Ok(_) | Err(AuthError::Missing)) => Ok(token.into()),
        (Err(AuthError::Missing), cookie) => cookie,
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// A new opaque token.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; TOKEN_BYTES.0];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The name of an opaque token, under which it is kept and can be denied: its hash. `None`: no token looks like that.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) fn name(token: &str) -> Option<TokenId> {
    let is_legal = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    let is_token = token.len() == TOKEN_BYTES.1 && token.bytes().all(is_legal);
    TokenId::parse(&hex(&hash(token))).ok().filter(|_| is_token)
}

pub(crate) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(all(test, any(feature = "postgres", feature = "redis")))]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn sent(
        cookies: &[&str],
        bearer: Option<&str>,
        payload: Option<&str>,
    ) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append("cookie", format!("t={cookie}").parse().unwrap());
        }
        if let Some(token) = bearer {
            headers.append("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let handshake = Handshake::builder(&headers, [127, 0, 0, 1].into())
            .auth(json!({"token": payload}))
            .build();
        let token = anywhere(&handshake, "t").map(Cow::into_owned);
        token.map_err(|error| error.to_string())
    }

    #[test]
    fn the_token_is_found_wherever_it_is() {
        for (cookies, bearer, payload) in [
            (&["a"][..], None, None),
            (&[], Some("a"), None),
            (&[], None, Some("a")),
            (&["a"], Some("a"), None),
            (&["a"], Some("a"), Some("a")),
        ] {
            assert_eq!(sent(cookies, bearer, payload).as_deref(), Ok("a"));
        }
        let missing = sent(&[], None, None).unwrap_err();
        assert_eq!(missing, AuthError::Missing.to_string());
    }

    #[test]
    fn two_tokens_are_refused_without_showing_either() {
        for (cookies, bearer, payload) in [
            (&["alpha"][..], Some("beta"), None),
            (&["alpha"], None, Some("beta")),
            (&["alpha", "beta"], None, None),
            (&["alpha", "alpha"], Some("alpha"), None),
            (&["alpha"], Some("alpha"), Some("beta")),
        ] {
            let error = sent(cookies, bearer, payload).unwrap_err();
            let is_told = error.starts_with("the credential is not valid");
            assert!(
                is_told && !error.contains("alpha") && !error.contains("beta"),
                "{error}"
            );
        }
    }

    #[test]
    fn opaque_tokens_are_random_and_named_by_their_hash() {
        let (one, two) = (random().unwrap(), random().unwrap());
        assert_ne!(one, two);
        assert_eq!(name(&one).unwrap().as_str(), hex(&hash(&one)));
        let changed = [
            String::new(),
            one[1..].to_owned(),
            format!("{one}A"),
            format!("{}=", &one[1..]),
            format!("{}é", &one[2..]),
        ];
        assert!(changed.iter().all(|token| name(token).is_none()));
    }
}
