//! Sessions, denied tokens and claims in Postgres.

mod watch;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use slimy_rt::{
    MAX_ID_BYTES, TokenId, UserId,
    session::{
        Claim, Claimed, Expiry, Session, SessionError, SessionPage, SessionStore, SessionWatch,
    },
};
use sqlx::{Row as _, postgres::PgRow};

use self::watch::Watch;
use super::{Postgres, PostgresError, micros};

/// The most bytes of a session, as JSON.
pub const MAX_SESSION_BYTES: usize = 2 * 1024 * 1024;
/// How many changes are kept for those who watch, and some more until the next sweep. Who is further behind is told
/// [`SessionEvent::Missed`](slimy_rt::session::SessionEvent::Missed).
pub const MAX_CHANGES: i64 = 10_000;

/// For how much longer than asked a token is denied: clocks differ.
pub(super) const DENIED_LONGER: Duration = Duration::from_secs(300);
/// How many sessions of a listing are read at once.
const PAGE: usize = 128;

/// A [`SessionStore`] over Postgres. Clones, and other values over the same database and schema, are the same store.
///
/// A session's expiry is measured by Postgres' clock. One that expires, or that was lost with the table, is gone, but no change: it ends no live socket. How many
/// sessions, denied tokens and claims there are is bounded by their expiry, and by the disk.
///
/// Each [`watch`](SessionStore::watch) has a connection of its own, reconnects by itself and never ends. What it missed meanwhile it still tells, or
/// [`Missed`](slimy_rt::session::SessionEvent::Missed) when that is no longer there.
#[derive(Clone, Debug)]
pub struct PostgresSessionStore(Postgres);

impl PostgresSessionStore {
    /// The store in that database and schema. Nothing connects yet.
    #[must_use]
    pub fn new(postgres: &Postgres) -> Self {
        Self(postgres.clone())
    }

    async fn page(&self, after: &str, most: usize) -> Result<Vec<(UserId, Session)>, SessionError> {
        let page = sqlx::query(
            "SELECT user_id, body::text FROM sessions WHERE user_id > $1 AND expires_at > now() ORDER BY user_id LIMIT $2",
        );
        let page = page
            .bind(after)
            .bind(i64::try_from(most).unwrap_or(i64::MAX));
        let rows = self.0.rows(page).await?;
        let read = |row: PgRow| {
            let user: String = row.try_get(0).map_err(PostgresError::from)?;
            let user = UserId::parse(&user).map_err(|error| SessionError::Backend(error.into()))?;
            let session = session(&user, &row, 1)?;
            Ok((user, session))
        };
        rows.into_iter().map(read).collect()
    }
}

#[async_trait]
impl SessionStore for PostgresSessionStore {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, SessionError> {
        let load = sqlx::query(
            "SELECT body::text FROM sessions WHERE user_id = $1 AND expires_at > now()",
        );
        let row = self.0.row(load.bind(user.as_str())).await?;
        row.map(|row| session(user, &row, 0)).transpose()
    }

    /// See the trait. More than [`MAX_SESSION_BYTES`] are [`SessionError::Invalid`].
    async fn save(
        &self,
        user: &UserId,
        session: &Session,
        expiry: Expiry,
    ) -> Result<(), SessionError> {
        let session = serde_json::to_string(session)
            .map_err(|error| SessionError::Invalid(error.to_string().into()))?;
        if session.len() > MAX_SESSION_BYTES {
            let text = format!(
                "a session has at most {MAX_SESSION_BYTES} bytes, not {}: keep fewer guilds and roles in it",
                session.len()
            );
            return Err(SessionError::Invalid(text.into()));
        }
        let life = match expiry {
            Expiry::Never => None,
            Expiry::In(time) => micros(time),
        };
        let save = sqlx::query("SELECT save_session($1, $2::text::json, $3)");
        let save = save.bind(user.as_str()).bind(session).bind(life);
        self.0.execute(save).await?;
        Ok(())
    }

    async fn delete(&self, user: &UserId) -> Result<bool, SessionError> {
        let delete = sqlx::query("SELECT delete_session($1)").bind(user.as_str());
        let row = self.0.row(delete).await?;
        let was = row.map_or(Ok(false), |row| row.try_get(0));
        Ok(was.map_err(PostgresError::from)?)
    }

    async fn list(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<SessionPage, SessionError> {
        let mut sessions = Vec::new();
        let mut behind = after.cloned();
        while sessions.len() < limit {
            let most = PAGE.min(limit - sessions.len());
            let page = self
                .page(behind.as_ref().map_or("", UserId::as_str), most)
                .await?;
            let is_last = page.len() < most;
            behind = page.last().map(|(user, _)| user.clone());
            sessions.extend(page);
            if is_last {
                break;
            }
        }
        Ok(SessionPage::new(sessions))
    }

    async fn deny(&self, token: &TokenId, until: SystemTime) -> Result<(), SessionError> {
        let until = until.duration_since(UNIX_EPOCH).unwrap_or_default();
        let until = micros(until.saturating_add(DENIED_LONGER));
        let deny = sqlx::query("SELECT deny($1, $2)");
        self.0
            .execute(deny.bind(token.as_str()).bind(until))
            .await?;
        Ok(())
    }

    async fn is_denied(&self, token: &TokenId) -> Result<bool, SessionError> {
        let find = sqlx::query("SELECT FROM denied WHERE token = $1 AND until > now()");
        let row = self.0.row(find.bind(token.as_str())).await?;
        Ok(row.is_some())
    }

    async fn watch(&self) -> Result<SessionWatch, SessionError> {
        Ok(Watch::begin(&self.0).await?.into_stream())
    }

    async fn claim(&self, claim: &Claim<'_>) -> Result<Claimed, SessionError> {
        if claim.message.len() > MAX_ID_BYTES {
            let text = format!("a message id has at most {MAX_ID_BYTES} bytes");
            return Err(SessionError::Invalid(text.into()));
        }
        // Also a claim that is lost writes its row, with what was there: only so does it wait for one that is just being made.
        let make = sqlx::query(
            "INSERT INTO claims AS c (guild, message, user_id, at, expires_at) VALUES ($1, $2, $3, $4, ending($5))
             ON CONFLICT (guild, message) DO UPDATE SET
               user_id = CASE WHEN c.expires_at > now() THEN c.user_id ELSE EXCLUDED.user_id END,
               at = CASE WHEN c.expires_at > now() THEN c.at ELSE EXCLUDED.at END,
               made_by = CASE WHEN c.expires_at > now() THEN c.made_by ELSE EXCLUDED.made_by END,
               expires_at = CASE WHEN c.expires_at > now() THEN c.expires_at ELSE EXCLUDED.expires_at END
             RETURNING user_id, at, made_by = pg_current_xact_id()",
        );
        let make = make
            .bind(claim.guild.as_str())
            .bind(claim.message.as_bytes())
            .bind(claim.user.as_str())
            .bind(claim.at.cast_signed())
            .bind(micros(claim.ttl));
        let row = self.0.row(make).await?;
        let row = row.ok_or_else(|| SessionError::Backend("a claim gave no row".into()))?;
        let parts = (row.try_get::<String, _>(0), row.try_get::<i64, _>(1));
        let (user, at) = (
            parts.0.map_err(PostgresError::from)?,
            parts.1.map_err(PostgresError::from)?,
        );
        if row.try_get(2).map_err(PostgresError::from)? {
            return Ok(Claimed::New);
        }
        let user = UserId::parse(&user).map_err(|error| SessionError::Backend(error.into()))?;
        Ok(Claimed::Before {
            user,
            at: at.cast_unsigned(),
        })
    }
}

fn session(user: &UserId, row: &PgRow, column: usize) -> Result<Session, SessionError> {
    let body: &str = row.try_get(column).map_err(PostgresError::from)?;
    serde_json::from_str(body).map_err(|error| {
        let text = format!("the session of {user} in Postgres cannot be read: {error}");
        SessionError::Backend(text.into())
    })
}
