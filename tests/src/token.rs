//! Tokens, valid and forged, made here so that the server's own code does not judge itself.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Seconds of Unix time.
#[must_use]
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock after 1970").as_secs()
}

/// The claims of a user, valid for an hour.
#[must_use]
pub fn claims(user: &str) -> Value {
    json!({"user": {"id": user, "username": user, "role": "member"}, "iat": now(), "exp": now() + 3600})
}

/// A good token.
#[must_use]
pub fn token(user: &str, secret: &str) -> String {
    sign(
        &json!({"alg": "HS256", "typ": "JWT"}),
        &claims(user),
        secret,
    )
}

/// A token with any header and claims and a signature of HS256.
#[must_use]
pub fn sign(header: &Value, claims: &Value, secret: &str) -> String {
    sign_by(header, claims, |message| {
        hmac::<Sha256>(secret.as_bytes(), message, 64)
    })
}

/// The same with a signature of HS384.
#[must_use]
pub fn sign_384(header: &Value, claims: &Value, secret: &str) -> String {
    sign_by(header, claims, |message| {
        hmac::<Sha384>(secret.as_bytes(), message, 128)
    })
}

/// The same with a signature of HS512.
#[must_use]
pub fn sign_512(header: &Value, claims: &Value, secret: &str) -> String {
    sign_by(header, claims, |message| {
        hmac::<Sha512>(secret.as_bytes(), message, 128)
    })
}

/// A token whose signature is whatever `signature` makes of its message.
pub fn sign_by(header: &Value, claims: &Value, signature: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(signature(message.as_bytes()));
    format!("{message}.{signature}")
}

/// RFC 2104.
fn hmac<D: Digest>(key: &[u8], message: &[u8], block: usize) -> Vec<u8> {
    assert!(
        key.len() <= block,
        "longer keys are hashed first, which no test needs"
    );
    let pad = |with: u8| -> Vec<u8> {
        let key = key.iter().copied().chain(std::iter::repeat(0));
        key.take(block).map(|byte| byte ^ with).collect()
    };
    let hash = |pad: Vec<u8>, message: &[u8]| {
        D::new()
            .chain_update(pad)
            .chain_update(message)
            .finalize()
            .to_vec()
    };
    hash(pad(0x5c), &hash(pad(0x36), message))
}
