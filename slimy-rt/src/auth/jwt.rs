//! The JWT-cookie authenticator: a signed token in a cookie, no store.

mod claims;
#[cfg(test)]
mod tests;

use std::{
    error::Error as StdError,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto::aws_lc::DEFAULT_PROVIDER};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

pub use self::claims::{MAX_AVATAR_BYTES, MAX_NAME_BYTES};
use super::{AuthError, Authenticator, Handshake, Identity, User, cookie};
use crate::TokenId;

/// The shortest secret that is accepted, in bytes: HS256 is as strong as its key (RFC 7518, section 3.2).
pub const MIN_SECRET_BYTES: usize = 32;
/// The most secrets that can be active at once.
pub const MAX_SECRETS: usize = 8;
/// The longest token that is looked at or made, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// The most that clocks may differ.
pub const MAX_LEEWAY: Duration = Duration::from_secs(30);
/// The cookie that holds the token unless the configuration names another.
pub const DEFAULT_COOKIE_NAME: &str = "slimy_admin_token";

/// What the tokens made here say of themselves.
const HEADER: &[u8] = br#"{"alg":"HS256","typ":"JWT"}"#;

/// Configures a [`JwtAuthenticator`].
#[derive(Clone)]
pub struct JwtConfig {
    secrets: Vec<Box<[u8]>>,
    cookie_name: Box<str>,
    leeway: Duration,
}

impl JwtConfig {
    /// Tokens are signed with the first of these secrets; all of them verify, so that secrets can be changed without logging
    /// anyone out.
    #[must_use]
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let secrets = secrets.into_iter().map(|secret| secret.as_ref().into());
        Self {
            secrets: secrets.collect(),
            cookie_name: DEFAULT_COOKIE_NAME.into(),
            leeway: Duration::ZERO,
        }
    }

    /// Sets the cookie that holds the token; [`DEFAULT_COOKIE_NAME`] otherwise.
    #[must_use]
    pub fn cookie_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.cookie_name = name.into();
        self
    }

    /// Sets by how much the issuer's clock may differ from this one, at most [`MAX_LEEWAY`]; zero otherwise.
    ///
    /// A token is valid for this long past its `exp`, and so is the [`Identity`].
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The authenticator.
    ///
    /// # Errors
    /// [`JwtConfigError`] says what to change.
    pub fn build(self) -> Result<JwtAuthenticator, JwtConfigError> {
        let first = self.secrets.first().ok_or(JwtConfigError::NoSecret)?;
        if self.secrets.len() > MAX_SECRETS {
            return Err(JwtConfigError::TooManySecrets(self.secrets.len()));
        }
        for (index, secret) in self.secrets.iter().enumerate() {
            if secret.len() < MIN_SECRET_BYTES {
                return Err(JwtConfigError::ShortSecret {
                    number: index + 1,
                    bytes: secret.len(),
                });
            }
        }
        if self.leeway > MAX_LEEWAY {
            return Err(JwtConfigError::LongLeeway(self.leeway));
        }
        if !cookie::is_name(&self.cookie_name) {
            return Err(JwtConfigError::CookieName(self.cookie_name));
        }
        Ok(JwtAuthenticator {
            signing: EncodingKey::from_secret(first),
            verifying: self
                .secrets
                .iter()
                .map(|secret| DecodingKey::from_secret(secret))
                .collect(),
            cookie_name: self.cookie_name,
            leeway: self.leeway,
        })
    }
}

impl fmt::Debug for JwtConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtConfig")
            .field("secrets", &self.secrets.len())
            .field("cookie_name", &self.cookie_name)
            .field("leeway", &self.leeway)
            .finish()
    }
}

/// A [`JwtConfig`] that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwtConfigError {
    /// Nothing could be verified.
    #[error("there is no JWT secret: give one of at least {MIN_SECRET_BYTES} random bytes")]
    NoSecret,
    /// Every secret costs a try for each forged token.
    #[error(
        "there are {0} JWT secrets: drop those that no valid token was signed with, {MAX_SECRETS} may remain"
    )]
    TooManySecrets(usize),
    /// It could be guessed.
    #[error(
        "JWT secret number {number} has {bytes} bytes: use at least {MIN_SECRET_BYTES} random ones"
    )]
    ShortSecret {
        /// Which of the secrets, from 1.
        number: usize,
        /// How long it is.
        bytes: usize,
    },
    /// Expired tokens would live on.
    #[error("a leeway of {0:?} is too long: use at most {MAX_LEEWAY:?} and set the clocks")]
    LongLeeway(Duration),
    /// No cookie can have it (RFC 6265, section 4.1.1).
    #[error("{0:?} cannot be a cookie's name: use letters, digits, `_` and `-`")]
    CookieName(Box<str>),
}

/// A token that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwtSignError {
    /// They do not serialise.
    #[error("the claims cannot be written as JSON")]
    Claims(#[source] serde_json::Error),
    /// The token would be refused; the text says what to shorten.
    #[error("the {0} is too long for a token")]
    TooLong(&'static str),
    /// The operating system gave no randomness, or the cryptography failed.
    #[error("the token cannot be signed")]
    Crypto(#[source] Box<dyn StdError + Send + Sync>),
}

/// Lets in whoever has a valid JSON Web Token (RFC 7519) in a cookie.
///
/// The algorithm is HS256, whatever the token says; `exp` is required, `nbf` is enforced when present, and extensions that the token calls
/// critical are refused, since none is known here (RFC 7515, section 4.1.11). Two shapes of claims are read:
/// `{"user":{"id","username","globalName","avatar","role"},"iat","exp"}` and the same fields at the top level; the id is the first
/// present of `id`, `sub` and `discordId`.
///
/// A token's [`TokenId`] is the SHA-256 of what is signed: it needs no `jti`, and no other spelling of the signature escapes a denial.
///
/// ```
/// use std::time::Duration;
/// use slimy_rt::UserId;
/// use slimy_rt::auth::{Authenticator, Handshake, JwtConfig, Role, User};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jwt = JwtConfig::new(["correct horse battery staple, twice"]).build()?;
/// let alice = User::new(UserId::parse("u1")?, Role::Club).global_name("Alice");
/// let token = jwt.issue(&alice, Duration::from_secs(12 * 60 * 60))?;
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("cookie", format!("{}={token}", jwt.cookie_name()).parse()?);
/// let handshake = Handshake::builder(&headers, [127, 0, 0, 1].into()).build();
/// assert_eq!(jwt.authenticate(&handshake).await?.user, alice);
/// # Ok(())
/// # }
/// ```
pub struct JwtAuthenticator {
    signing: EncodingKey,
    verifying: Box<[DecodingKey]>,
    cookie_name: Box<str>,
    leeway: Duration,
}

impl JwtAuthenticator {
    /// The cookie that holds the token.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        &self.cookie_name
    }

    /// Whose token this is, at the time `now`.
    ///
    /// # Errors
    /// [`AuthError::Expired`] when only its time is over, [`AuthError::Invalid`] for whatever else is wrong. The texts hold nothing of the
    /// token.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Identity, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(invalid("the token is too long"));
        }
        let (message, signature) = split_last(token)?;
        let (header, payload) = split_last(message)?;
        check_header(&decode(header, "the header is not base64url")?)?;
        let signature = decode(signature, "the signature is not base64url")?;
        if !self.is_signed(message, &signature) {
            return Err(invalid("no secret verifies the signature"));
        }
        let payload = decode(payload, "the claims are not base64url")?;
        let identity = claims::read(&payload, self.leeway, now)?;
        Ok(identity.token(token_id(message)?))
    }

    /// A token for `user`, valid from now on for `ttl`, in whole seconds. No two tokens are the same.
    ///
    /// # Errors
    /// When a name of the user is longer than this authenticator accepts, or see [`sign`](Self::sign).
    pub fn issue(&self, user: &User, ttl: Duration) -> Result<String, JwtSignError> {
        self.issue_at(user, ttl, SystemTime::now())
    }

    /// Like [`issue`](Self::issue), but valid from `now` on.
    ///
    /// # Errors
    /// As there.
    pub fn issue_at(
        &self,
        user: &User,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<String, JwtSignError> {
        #[derive(Serialize)]
        struct Claims<'a> {
            user: &'a User,
            iat: u64,
            exp: u64,
            // Two tokens of one second would otherwise be one, and a logout would deny both.
            jti: String,
        }

        claims::check_lengths(user).map_err(JwtSignError::TooLong)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut jti = [0; 12];
        getrandom::fill(&mut jti).map_err(|error| JwtSignError::Crypto(error.into()))?;
        self.sign(&Claims {
            user,
            iat: now.as_secs(),
            exp: now.saturating_add(ttl).min(claims::LATEST).as_secs(),
            jti: URL_SAFE_NO_PAD.encode(jti),
        })
    }

    /// Signs these claims with the first secret, whatever they say.
    ///
    /// # Errors
    /// When they do not serialise, or the token would be longer than [`MAX_TOKEN_BYTES`].
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, JwtSignError> {
        let claims = serde_json::to_vec(claims).map_err(JwtSignError::Claims)?;
        let mut token = URL_SAFE_NO_PAD.encode(HEADER);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = sign_hs256(&self.signing, token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JwtSignError::TooLong("whole of the claims"));
        }
        Ok(token)
    }

    /// Whether one of the secrets made this signature. The comparison takes the same time wherever they differ.
    fn is_signed(&self, message: &str, signature: &Vec<u8>) -> bool {
        // The provider is named, and not the process's default: that one panics when a host's features leave it ambiguous.
        self.verifying.iter().any(|key| {
            (DEFAULT_PROVIDER.verifier_factory)(&Algorithm::HS256, key)
                .is_ok_and(|verifier| verifier.verify(message.as_bytes(), signature).is_ok())
        })
    }
}

#[async_trait]
impl Authenticator for JwtAuthenticator {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let token = handshake.cookie(&self.cookie_name)?;
        self.verify(&token, SystemTime::now())
    }
}

impl fmt::Debug for JwtAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuthenticator")
            .field("secrets", &self.verifying.len())
            .field("cookie_name", &self.cookie_name)
            .field("leeway", &self.leeway)
            .finish_non_exhaustive()
    }
}

/// Refuses a header that asks for anything else than plain HS256.
fn check_header(json: &[u8]) -> Result<(), AuthError> {
    let header: Map<String, Value> =
        serde_json::from_slice(json).map_err(|_| invalid("the header is not a JSON object"))?;
    if header.get("alg").and_then(Value::as_str) != Some("HS256") {
        return Err(invalid("the algorithm is not HS256"));
    }
    if header.contains_key("crit") {
        return Err(invalid("the header has critical extensions"));
    }
    Ok(())
}

fn sign_hs256(key: &EncodingKey, message: &[u8]) -> Result<Vec<u8>, JwtSignError> {
    let signer = (DEFAULT_PROVIDER.signer_factory)(&Algorithm::HS256, key)
        .map_err(|error| JwtSignError::Crypto(error.into()))?;
    signer
        .try_sign(message)
        .map_err(|error| JwtSignError::Crypto(error.into()))
}

/// Names a token by what is signed in it.
fn token_id(message: &str) -> Result<TokenId, AuthError> {
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(message) {
        hash += &format!("{byte:02x}");
    }
    TokenId::parse(&hash).map_err(|error| AuthError::Invalid(error.to_string().into()))
}

fn split_last(text: &str) -> Result<(&str, &str), AuthError> {
    text.rsplit_once('.')
        .ok_or_else(|| invalid("the token has not three parts"))
}

fn decode(part: &str, problem: &'static str) -> Result<Vec<u8>, AuthError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| invalid(problem))
}

/// An error whose text is fixed, so that nothing of a token gets into it.
fn invalid(problem: &'static str) -> AuthError {
    AuthError::Invalid(problem.into())
}
