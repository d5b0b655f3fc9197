//! Reading the claims of a token whose signature is good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::invalid;
use crate::{
    UserId,
    auth::{AuthError, Identity, Role, User},
};

/// The longest user name and global name that are accepted, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The longest picture that is accepted, an URL or a hash, in bytes.
pub const MAX_AVATAR_BYTES: usize = 2 * 1024;

/// The end of the year 9999: later times count as this one, so that nobody's arithmetic overflows.
pub(super) const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// Whom the claims describe, if their time is `now`.
///
/// The time is looked at first: who comes back with last week's token is told that it has expired, whatever else changed since.
pub(super) fn read(
    payload: &[u8],
    leeway: Duration,
    now: SystemTime,
) -> Result<Identity, AuthError> {
    // Not the parser's own words: they quote what they found.
    let claims: Map<String, Value> =
        serde_json::from_slice(payload).map_err(|_| invalid("the claims are not a JSON object"))?;
    let expires_at = time(&claims, "exp", "exp is not a number")?
        .ok_or_else(|| invalid("there is no exp"))?
        + leeway;
    if expires_at <= now {
        return Err(AuthError::Expired);
    }
    if time(&claims, "nbf", "nbf is not a number")?.is_some_and(|from| from > now + leeway) {
        return Err(invalid("the token is not valid yet"));
    }
    let issued_at = time(&claims, "iat", "iat is not a number")?;
    let mut identity = Identity::new(user(&claims)?).expires_at(expires_at);
    identity.issued_at = issued_at;
    Ok(identity)
}

/// Which of the user's texts no token may hold.
pub(super) fn check_lengths(user: &User) -> Result<(), &'static str> {
    for (field, text, longest) in [
        ("user name", &user.username, MAX_NAME_BYTES),
        ("global name", &user.global_name, MAX_NAME_BYTES),
        ("avatar", &user.avatar, MAX_AVATAR_BYTES),
    ] {
        if text.as_ref().is_some_and(|text| text.len() > longest) {
            return Err(field);
        }
    }
    Ok(())
}

/// A NumericDate (RFC 7519, section 2): seconds of Unix time, fractions allowed. Times before 1970 count as its beginning.
fn time(
    claims: &Map<String, Value>,
    name: &str,
    problem: &'static str,
) -> Result<Option<SystemTime>, AuthError> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let since = match (value.as_u64(), value.as_f64()) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, Some(seconds)) => {
            Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
        }
        (None, None) => return Err(invalid(problem)),
    };
    Ok(Some(UNIX_EPOCH + since.min(LATEST)))
}

fn user(claims: &Map<String, Value>) -> Result<User, AuthError> {
    let fields = match claims.get("user") {
        Some(Value::Object(user)) => user,
        _ => claims,
    };
    let role = text(fields, "role")?.map_or(Role::Member, |name| Role::from_name(&name));
    let mut user = User::new(id(fields)?, role);
    user.username = text(fields, "username")?;
    user.global_name = text(fields, "globalName")?;
    user.avatar = text(fields, "avatar")?;
    check_lengths(&user).map_err(|_| invalid("a name of the user is too long"))?;
    Ok(user)
}

fn id(fields: &Map<String, Value>) -> Result<UserId, AuthError> {
    let id = ["id", "sub", "discordId"]
        .into_iter()
        .find_map(|name| fields.get(name).filter(|id| !id.is_null()))
        .ok_or_else(|| invalid("there is no user in the claims"))?;
    let parsed = match id {
        Value::String(text) => UserId::parse(text),
        // A fraction has no spelling that everyone agrees on.
        Value::Number(number) if number.is_u64() || number.is_i64() => {
            UserId::parse(&number.to_string())
        }
        _ => return Err(invalid("the user id is neither text nor an integer")),
    };
    parsed.map_err(|error| AuthError::Invalid(error.to_string().into()))
}

/// A text that may be missing or null.
fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<Box<str>>, AuthError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str().into())),
        Some(_) => Err(invalid("a name or the role is not text")),
    }
}
