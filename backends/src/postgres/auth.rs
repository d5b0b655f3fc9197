//! Opaque tokens in Postgres.

use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use slimy_rt::{
    TokenId, UserId,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
};
use sqlx::{Row as _, postgres::PgRow};

use super::{
    Postgres, PostgresError,
    error::{refused, unavailable},
    micros,
    session::DENIED_LONGER,
};
use crate::credential;

/// The most tokens that a user has. One more takes the place of the one that would end first.
pub const MAX_TOKENS_PER_USER: usize = 1_000;
/// The longest that a token lives: ten years. A longer time counts as this one.
pub const MAX_TOKEN_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The most bytes of what is kept of a user with each token, as JSON: the names, the picture, the role.
pub const MAX_USER_BYTES: usize = 8 * 1024;

/// The cookie that holds the token unless another is named.
const DEFAULT_COOKIE_NAME: &str = "slimy_admin_token";

/// Lets in whoever sends a token that was [issued](Self::issue): in a cookie, as `Authorization: Bearer <token>`, or as `token` in the CONNECT packet's
/// payload. Two that differ are refused.
///
/// A token is 43 random characters. Postgres has its SHA-256 only, and it is looked up for each connection: what is [revoked](Self::revoke) is refused at once. That
/// hash is the identity's [`TokenId`], so that a [`SessionStore`](slimy_rt::session::SessionStore) can deny it too. A token's times are measured by Postgres' clock.
///
/// ```no_run
/// # async fn login() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use slimy_rt::UserId;
/// use slimy_rt::auth::{Role, User};
/// use slimy_rt_backends::postgres::{Postgres, PostgresConfig, PostgresTokens};
///
/// let postgres = Postgres::new(PostgresConfig::new("postgres://localhost/chat")?);
/// let tokens = PostgresTokens::new(&postgres);
/// let alice = User::new(UserId::parse("u1")?, Role::Member);
/// let token = tokens.issue(&alice, Duration::from_secs(12 * 3600)).await?;
/// assert!(tokens.revoke(&token).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresTokens {
    postgres: Postgres,
    cookie_name: Box<str>,
}

impl PostgresTokens {
    /// The tokens in that database and schema. Nothing connects yet.
    #[must_use]
    pub fn new(postgres: &Postgres) -> Self {
        Self {
            postgres: postgres.clone(),
            cookie_name: DEFAULT_COOKIE_NAME.into(),
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
    /// [`PostgresError::Invalid`] when the user's names and picture have more than [`MAX_USER_BYTES`] as JSON; else when it is not kept, or cannot be told.
    pub async fn issue(&self, user: &User, life: Duration) -> Result<String, PostgresError> {
        let profile = json!({
            "username": user.username,
            "globalName": user.global_name,
            "avatar": user.avatar,
            "role": user.role,
        });
        let profile = profile.to_string();
        if profile.len() > MAX_USER_BYTES {
            return Err(refused(format!(
                "a user has at most {MAX_USER_BYTES} bytes, not {}: shorten the names or the avatar",
                profile.len()
            )));
        }
        let token = credential::random()
            .map_err(|error| unavailable(format!("no randomness for a token: {error}")))?;
        let name = credential::name(&token).ok_or_else(|| refused("a token has no name"))?;
        let issue = sqlx::query("SELECT issue_token($1, $2, $3::text::json, $4, $5)");
        let issue = issue.bind(name.as_str()).bind(user.id.as_str());
        let issue = issue.bind(profile).bind(micros(life.min(MAX_TOKEN_LIFE)));
        self.postgres
            .execute(issue.bind(MAX_TOKENS_PER_USER as i32))
            .await?;
        Ok(token)
    }

    /// Takes a token away and says whether there was one. It is denied too: its sockets end, on every server whose sessions are in the same schema.
    ///
    /// # Errors
    /// When it is not taken away, or cannot be told.
    pub async fn revoke(&self, token: &str) -> Result<bool, PostgresError> {
        match credential::name(token) {
            Some(name) => Ok(self.revoked(Some(&name), None).await? > 0),
            None => Ok(false),
        }
    }

    /// Takes all of a user's tokens away, as [`revoke`](Self::revoke) does, and says how many there were.
    ///
    /// # Errors
    /// When they are not taken away, or cannot be told.
    pub async fn revoke_user(&self, user: &UserId) -> Result<usize, PostgresError> {
        self.revoked(None, Some(user)).await
    }

    async fn revoked(
        &self,
        one: Option<&TokenId>,
        all_of: Option<&UserId>,
    ) -> Result<usize, PostgresError> {
        let revoke = sqlx::query("SELECT revoke_tokens($1, $2, make_interval(secs => $3))");
        let revoke = revoke.bind(one.map(TokenId::as_str));
        let revoke = revoke.bind(all_of.map(UserId::as_str));
        let row = self
            .postgres
            .row(revoke.bind(DENIED_LONGER.as_secs_f64()))
            .await?;
        let revoked: i64 = row.map_or(Ok(0), |row| row.try_get(0))?;
        Ok(usize::try_from(revoked).unwrap_or(usize::MAX))
    }
}

#[async_trait]
impl Authenticator for PostgresTokens {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let unknown = || AuthError::Invalid("no such token".into());
        let token = credential::anywhere(handshake, &self.cookie_name)?;
        let name = credential::name(&token).ok_or_else(unknown)?;
        let find = sqlx::query(
            "SELECT user_id, profile::text, (extract(epoch FROM issued_at) * 1000000)::bigint, (extract(epoch FROM expires_at) * 1000000)::bigint,
               expires_at <= now(), revoked
             FROM tokens WHERE token = $1",
        );
        let row = self.postgres.row(find.bind(name.as_str())).await?;
        let row = row.ok_or_else(unknown)?;
        let is = |column| row.try_get::<bool, _>(column).map_err(PostgresError::from);
        if is(5)? {
            return Err(AuthError::Revoked);
        }
        if is(4)? {
            return Err(AuthError::Expired);
        }
        let identity = identity(&row).map_err(PostgresError::from)?;
        let identity = identity
            .ok_or_else(|| AuthError::Unavailable("a token in Postgres cannot be read".into()))?;
        Ok(identity.token(name))
    }
}

impl fmt::Debug for PostgresTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTokens")
            .field("postgres", &self.postgres)
            .field("cookie_name", &self.cookie_name)
            .finish()
    }
}

fn identity(row: &PgRow) -> sqlx::Result<Option<Identity>> {
    let (id, profile): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
    let times: [i64; 2] = [row.try_get(2)?, row.try_get(3)?];
    let [issued, ends] = times.map(|at| UNIX_EPOCH + Duration::from_micros(at.unsigned_abs()));
    let Ok(profile) = serde_json::from_str::<Value>(profile) else {
        return Ok(None);
    };
    let text = |field: &str| profile[field].as_str().map(Box::from);
    let (Ok(id), Some(role)) = (UserId::parse(id), profile["role"].as_str()) else {
        return Ok(None);
    };
    let mut user = User::new(id, Role::from_name(role));
    user.username = text("username");
    user.global_name = text("globalName");
    user.avatar = text("avatar");
    Ok(Some(Identity::new(user).issued_at(issued).expires_at(ends)))
}
