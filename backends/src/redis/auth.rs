//! Opaque tokens in Redis.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use redis::Script;
use serde_json::{Value, json};
use slimy_rt::{
    TokenId, UserId,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
};

use super::{
    Redis, RedisError,
    error::{refused, unavailable},
    session::{MAX_CHANGES, MAX_DENIED_TOKENS, changes_key, denied_key, forgotten_before, millis},
};
use crate::credential;

/// The most tokens that a user has. One more takes the place of the one that would end first.
pub const MAX_TOKENS_PER_USER: usize = 1_000;
/// The longest that a token lives: ten years. A longer time counts as this one.
pub const MAX_TOKEN_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The most bytes of what is kept of a user with each token, as JSON: the id, the names, the picture, the role.
pub const MAX_USER_BYTES: usize = 8 * 1024;

/// The cookie that holds the token unless another is named.
const DEFAULT_COOKIE_NAME: &str = "slimy_admin_token";
/// For how long a token that has expired is known as such.
const EXPIRED_KEPT: Duration = Duration::from_secs(3600);

/// Lets in whoever sends a token that was [issued](Self::issue): in a cookie, as `Authorization: Bearer <token>`, or as `token` in the CONNECT packet's
/// payload. Two that differ are refused.
///
/// A token is 43 random characters. Redis has its SHA-256 only, and it is looked up for each connection: what is [revoked](Self::revoke) is refused at once. That
/// hash is the identity's [`TokenId`], so that a [`SessionStore`](slimy_rt::session::SessionStore) can deny it too.
///
/// ```no_run
/// # async fn login() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use slimy_rt::UserId;
/// use slimy_rt::auth::{Role, User};
/// use slimy_rt_backends::redis::{Redis, RedisConfig, RedisTokens};
///
/// let redis = Redis::new(RedisConfig::new("redis://127.0.0.1")?);
/// let tokens = RedisTokens::new(&redis);
/// let alice = User::new(UserId::parse("u1")?, Role::Member);
/// let token = tokens.issue(&alice, Duration::from_secs(12 * 3600)).await?;
/// assert!(tokens.revoke(&token).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisTokens {
    redis: Redis,
    cookie_name: Box<str>,
    issue: Script,
    revoke: Script,
}

impl RedisTokens {
    /// The tokens of that server and prefix. Nothing connects yet.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            cookie_name: DEFAULT_COOKIE_NAME.into(),
            issue: Script::new(include_str!("scripts/issue.lua")),
            revoke: super::telling!("scripts/revoke.lua"),
        }
    }

    /// Sets the cookie that holds the token, `slimy_admin_token` otherwise. A name that no cookie can have is never found.
    #[must_use]
    pub fn cookie_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.cookie_name = name.into();
        self
    }

    /// A token for `user`, valid from now on for `life`. Nobody can be told it a second time.
    ///
    /// # Errors
    /// [`RedisError::Invalid`] when the user's names and picture have more than [`MAX_USER_BYTES`] as JSON; else when it is not kept, or cannot be told.
    pub async fn issue(&self, user: &User, life: Duration) -> Result<String, RedisError> {
        let life = life.min(MAX_TOKEN_LIFE);
        let now = SystemTime::now();
        // Rounded down: a token is good for no longer than was asked.
        let (issued, ends) = (millis_before(now), millis_before(now + life));
        let record = json!({"user": user, "issued": issued, "ends": ends}).to_string();
        if record.len() > MAX_USER_BYTES {
            return Err(refused(format!(
                "a user has at most {MAX_USER_BYTES} bytes, not {}: shorten the names or the avatar",
                record.len()
            )));
        }
        let token = credential::random()
            .map_err(|error| unavailable(format!("no randomness for a token: {error}")))?;
        let name = credential::name(&token).ok_or_else(|| refused("a token has no name"))?;
        let id = &user.id;
        self.redis
            .script::<()>(&self.issue, |call, _| {
                call.key(self.key(&name))
                    .key(self.redis.key(&format!("tokens:{id}")));
                call.arg(id.as_str()).arg(record).arg(name.as_str());
                call.arg(issued).arg(ends);
                call.arg(millis(life + EXPIRED_KEPT));
                call.arg(MAX_TOKENS_PER_USER).arg(self.redis.key("token:"));
            })
            .await?;
        Ok(token)
    }

    /// Takes a token away and says whether there was one. It is denied too: its sockets end, on every server whose sessions are in the same place of Redis.
    ///
    /// # Errors
    /// When it is not taken away, or cannot be told.
    pub async fn revoke(&self, token: &str) -> Result<bool, RedisError> {
        match credential::name(token) {
            Some(name) => Ok(self.revoked(None, Some(&name)).await? > 0),
            None => Ok(false),
        }
    }

    /// Takes all of a user's tokens away, as [`revoke`](Self::revoke) does, and says how many there were.
    ///
    /// # Errors
    /// When they are not taken away, or cannot be told.
    pub async fn revoke_user(&self, user: &UserId) -> Result<usize, RedisError> {
        self.revoked(Some(user), None).await
    }

    async fn revoked(
        &self,
        all_of: Option<&UserId>,
        one: Option<&TokenId>,
    ) -> Result<usize, RedisError> {
        let redis = &self.redis;
        redis
            .script(&self.revoke, |call, _| {
                call.key(denied_key(redis)).key(changes_key(redis));
                if let Some(user) = all_of {
                    call.key(redis.key(&format!("tokens:{user}")));
                }
                call.arg(redis.key("token:")).arg(redis.key("tokens:"));
                call.arg(forgotten_before());
                call.arg(MAX_DENIED_TOKENS).arg(MAX_CHANGES);
                if let Some(name) = one {
                    call.arg(name.as_str());
                }
            })
            .await
    }

    fn key(&self, name: &TokenId) -> String {
        self.redis.key(&format!("token:{name}"))
    }
}

#[async_trait]
impl Authenticator for RedisTokens {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let unknown = || AuthError::Invalid("no such token".into());
        let token = credential::anywhere(handshake, &self.cookie_name)?;
        let name = credential::name(&token).ok_or_else(unknown)?;
        let mut get = redis::cmd("HGET");
        get.arg(self.key(&name)).arg("record");
        let record: Option<Vec<u8>> = self.redis.query(&get).await?;
        let identity = identity(&record.ok_or_else(unknown)?)
            .ok_or_else(|| AuthError::Unavailable("a token in Redis cannot be read".into()))?;
        match identity.expires_at {
            Some(end) if end <= SystemTime::now() => Err(AuthError::Expired),
            _ => Ok(identity.token(name)),
        }
    }
}

impl fmt::Debug for RedisTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTokens")
            .field("redis", &self.redis)
            .field("cookie_name", &self.cookie_name)
            .finish_non_exhaustive()
    }
}

fn identity(record: &[u8]) -> Option<Identity> {
    let record: Value = serde_json::from_slice(record).ok()?;
    let text = |field: &str| record["user"][field].as_str().map(Box::from);
    let time = |field: &str| UNIX_EPOCH.checked_add(Duration::from_millis(record[field].as_u64()?));
    let id = UserId::parse(&text("id")?).ok()?;
    let mut user = User::new(id, Role::from_name(&text("role")?));
    user.username = text("username");
    user.global_name = text("globalName");
    user.avatar = text("avatar");
    Some(
        Identity::new(user)
            .issued_at(time("issued")?)
            .expires_at(time("ends")?),
    )
}

/// Whole milliseconds of Unix time, without what is over them.
fn millis_before(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
