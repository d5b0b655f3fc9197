//! A table of static tokens.

use std::{collections::HashMap, fmt, time::SystemTime};

use async_trait::async_trait;
use slimy_rt::{
    TokenId,
    auth::{AuthError, Authenticator, Handshake, Identity},
};

use crate::credential::{bearer, hash, hex};

/// The shortest token that is accepted, in bytes: shorter ones can be guessed.
pub const MIN_TOKEN_BYTES: usize = 16;

/// Lets in whoever sends one of a fixed set of tokens, as `Authorization: Bearer <token>` or as `token` in the CONNECT packet's payload.
///
/// For service accounts and tests. Only the tokens' SHA-256 is kept, and looked up: how long that takes says nothing about a token. An identity
/// without a [`TokenId`] gets that hash as one, so that its token can be denied.
///
/// ```
/// use slimy_rt::UserId;
/// use slimy_rt::auth::{Authenticator, Handshake, Identity, Role, User};
/// use slimy_rt_backends::memory::StaticTokens;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let monitor = User::new(UserId::parse("monitor")?, Role::Admin);
/// let tokens = StaticTokens::new().with("a long and random text", Identity::new(monitor.clone()))?;
///
/// let handshake = Handshake::default().with_auth(serde_json::json!({"token": "a long and random text"}));
/// assert_eq!(tokens.authenticate(&handshake).await?.user, monitor);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct StaticTokens {
    identities: HashMap<[u8; 32], Identity>,
}

/// A token that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StaticTokenError {
    /// It could be guessed.
    #[error("a static token has {0} bytes: use at least {MIN_TOKEN_BYTES} random ones")]
    Short(usize),
    /// It could not be sent.
    #[error(
        "a static token has a space at an end, or other characters than ASCII's: use letters and digits"
    )]
    Unsendable,
    /// It would be two identities.
    #[error("a static token is given twice: give each identity its own")]
    Twice,
}

impl StaticTokens {
    /// An empty table, which lets nobody in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a token and who sends it.
    ///
    /// # Errors
    /// [`StaticTokenError`] says what to change.
    pub fn with(mut self, token: &str, mut identity: Identity) -> Result<Self, StaticTokenError> {
        if token.len() < MIN_TOKEN_BYTES {
            return Err(StaticTokenError::Short(token.len()));
        }
        // Spaces inside are harmless in both places; at the ends a header loses them.
        if token.trim() != token || token.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
            return Err(StaticTokenError::Unsendable);
        }
        let hash = hash(token);
        if identity.token.is_none() {
            identity.token = TokenId::parse(&hex(&hash)).ok();
        }
        match self.identities.insert(hash, identity) {
            None => Ok(self),
            Some(_) => Err(StaticTokenError::Twice),
        }
    }
}

#[async_trait]
impl Authenticator for StaticTokens {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let identity = self
            .identities
            .get(&hash(bearer(handshake)?))
            .ok_or_else(|| AuthError::Invalid("no such token".into()))?;
        match identity.expires_at {
            Some(end) if end <= SystemTime::now() => Err(AuthError::Expired),
            _ => Ok(identity.clone()),
        }
    }
}

impl fmt::Debug for StaticTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticTokens")
            .field("tokens", &self.identities.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, header::AUTHORIZATION};
    use serde_json::{Value, json};
    use slimy_rt::{
        UserId,
        auth::{Role, User},
    };

    use super::*;

    const TOKEN: &str = "a token of some length";

    fn identity() -> Identity {
        Identity::new(User::new(UserId::parse("u1").unwrap(), Role::Club))
    }

    fn tokens() -> StaticTokens {
        StaticTokens::new().with(TOKEN, identity()).unwrap()
    }

    async fn ask(headers: &[&str], auth: Value) -> Result<Identity, AuthError> {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(AUTHORIZATION, header.parse().unwrap());
        }
        let handshake = Handshake::builder(&map, [127, 0, 0, 1].into()).auth(auth);
        tokens().authenticate(&handshake.build()).await
    }

    #[tokio::test]
    async fn the_token_comes_from_the_header_or_the_payload() {
        let bearer = format!("Bearer {TOKEN}");
        let odd = format!("  bEARER   {TOKEN} ");
        for (headers, auth) in [
            (&[bearer.as_str()][..], Value::Null),
            (&[odd.as_str()], json!({})),
            (&["Basic dTpw", bearer.as_str()], Value::Null),
            (&[], json!({"token": TOKEN})),
            (&["Basic dTpw"], json!({"token": TOKEN})),
            (&[bearer.as_str()], json!({"token": TOKEN})),
        ] {
            let got = ask(headers, auth).await.unwrap();
            assert_eq!(got.user, identity().user);
            assert_eq!(got.token.unwrap().as_str(), hex(&hash(TOKEN)));
        }
    }

    #[tokio::test]
    async fn nothing_and_the_wrong_thing_are_told_apart() {
        for (headers, auth) in [
            (&[][..], Value::Null),
            (&["Basic dTpw"], json!({"password": TOKEN})),
            (&[], json!({"token": 5})),
            (&[TOKEN], json!({"token": null})),
        ] {
            let result = ask(headers, auth).await;
            assert!(matches!(result, Err(AuthError::Missing)), "{result:?}");
        }
        let bearer = format!("Bearer {TOKEN}");
        for (headers, auth) in [
            (&["Bearer another token"][..], Value::Null),
            (&[], json!({"token": ""})),
            (&[], json!({"token": format!("{TOKEN} ")})),
            (&[bearer.as_str(), bearer.as_str()], Value::Null),
            (&[bearer.as_str()], json!({"token": "another token"})),
        ] {
            let result = ask(headers, auth).await;
            assert!(matches!(result, Err(AuthError::Invalid(_))), "{result:?}");
        }
    }

    #[tokio::test]
    async fn an_identity_can_end_and_keep_its_own_token_id() {
        let handshake = Handshake::default().with_auth(json!({"token": TOKEN}));
        let with = |identity| StaticTokens::new().with(TOKEN, identity).unwrap();
        let now = SystemTime::now();
        let ended = with(identity().expires_at(now - Duration::from_secs(1)));
        let result = ended.authenticate(&handshake).await;
        assert!(matches!(result, Err(AuthError::Expired)));
        let id = TokenId::parse("mine").unwrap();
        let alive = identity()
            .expires_at(now + Duration::from_secs(60))
            .token(id.clone());
        let got = with(alive).authenticate(&handshake).await.unwrap();
        assert_eq!(got.token, Some(id));
    }

    #[test]
    fn bad_tokens_are_refused() {
        let error = |token: &str| tokens().with(token, identity()).unwrap_err();
        assert_eq!(error("fifteen bytes.."), StaticTokenError::Short(15));
        assert_eq!(error("sixteen or more\n"), StaticTokenError::Unsendable);
        assert_eq!(error(" seventeen or more"), StaticTokenError::Unsendable);
        assert_eq!(error("sechzehn, für uns"), StaticTokenError::Unsendable);
        assert_eq!(error(TOKEN), StaticTokenError::Twice);
    }

    #[test]
    fn debug_shows_no_token() {
        assert_eq!(format!("{:?}", tokens()), "StaticTokens { tokens: 1 }");
    }
}
