//! Sessions, denied tokens and claims in Redis.

mod watch;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use redis::Script;
use slimy_rt::{
    MAX_ID_BYTES, TokenId, UserId,
    session::{
        Claim, Claimed, Expiry, Session, SessionError, SessionPage, SessionStore, SessionWatch,
    },
};

use self::watch::Watch;
use super::{Redis, RedisError, error::unavailable};

/// The most sessions that are kept, with those that expired a short while ago. Past it a new user's [`save`](SessionStore::save) is
/// [`SessionError::Unavailable`].
pub const MAX_SESSIONS: usize = 1_000_000;
/// The most bytes of a session, as JSON.
pub const MAX_SESSION_BYTES: usize = 2 * 1024 * 1024;
/// The most denied tokens that are kept. Past it [`deny`](SessionStore::deny) is [`SessionError::Unavailable`]: forgetting a denial would let someone in.
pub const MAX_DENIED_TOKENS: usize = 1_000_000;
/// How many changes are kept for those who watch, and up to a hundred more. Who is further behind is told
/// [`SessionEvent::Missed`](slimy_rt::session::SessionEvent::Missed).
pub const MAX_CHANGES: usize = 10_000;

/// The longest time that a claim holds.
const MAX_CLAIM_TIME: Duration = Duration::from_secs(24 * 3600);
/// For how much longer than asked a token is denied: clocks differ.
const DENIED_LONGER: Duration = Duration::from_secs(300);
/// What is later is never: a hundred thousand years. Redis and its scripts count milliseconds exactly up to more than twice that.
const LATEST_MILLIS: u64 = 3_155_760_000_000_000;
/// How many users of a listing are looked at in one step.
const USERS_AT_ONCE: usize = 256;
/// After how many bytes a step of a listing ends.
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;

/// A [`SessionStore`] over Redis 6.2 or later. Clones, and other values over the same server and prefix, are the same store.
///
/// A session's expiry is measured by Redis' clock. One that expires, or that Redis loses, is gone, but no change: it ends no live socket. Redis must not
/// be one that evicts keys to make room (`maxmemory-policy noeviction`).
///
/// Each [`watch`](SessionStore::watch) has a connection of its own, reconnects by itself and never ends. What it missed meanwhile it still tells, or
/// [`Missed`](slimy_rt::session::SessionEvent::Missed) when that is no longer there.
#[derive(Clone)]
pub struct RedisSessionStore(Arc<Inner>);

struct Inner {
    redis: Redis,
    /// The users in the order of their bytes, and by when their sessions end.
    users: [String; 2],
    denied: String,
    changes: String,
    scripts: Scripts,
}

struct Scripts {
    save: Script,
    delete: Script,
    list: Script,
    deny: Script,
    claim: Script,
    watch: Script,
}

impl RedisSessionStore {
    /// The store of that server and prefix. Nothing connects yet.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        Self(Arc::new(Inner {
            users: [redis.key("users"), redis.key("users:ends")],
            denied: denied_key(redis),
            changes: changes_key(redis),
            scripts: Scripts {
                save: super::telling!("scripts/save.lua"),
                delete: super::telling!("scripts/delete.lua"),
                list: Script::new(include_str!("scripts/list.lua")),
                deny: super::telling!("scripts/deny.lua"),
                claim: Script::new(include_str!("scripts/claim.lua")),
                watch: super::telling!("scripts/watch.lua"),
            },
            redis: redis.clone(),
        }))
    }

    fn session_key(&self, user: &UserId) -> String {
        self.0.redis.key(&format!("session:{user}"))
    }

    async fn page(&self, after: &str, most: usize) -> Result<Vec<String>, RedisError> {
        let Inner {
            redis,
            users: [users, _],
            scripts,
            ..
        } = &*self.0;
        redis
            .script(&scripts.list, |call, _| {
                call.key(users)
                    .arg(redis.key("session:"))
                    .arg(after)
                    .arg(most)
                    .arg(BYTES_AT_ONCE);
            })
            .await
    }
}

#[async_trait]
impl SessionStore for RedisSessionStore {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, SessionError> {
        let mut get = redis::cmd("GET");
        get.arg(self.session_key(user));
        let session: Option<Vec<u8>> = self.0.redis.query(&get).await?;
        session.map(|session| read(user, &session)).transpose()
    }

    /// See the trait. More than [`MAX_SESSION_BYTES`] are [`SessionError::Invalid`]; a new user past [`MAX_SESSIONS`] is
    /// [`SessionError::Unavailable`].
    async fn save(
        &self,
        user: &UserId,
        session: &Session,
        expiry: Expiry,
    ) -> Result<(), SessionError> {
        let session = serde_json::to_vec(session)
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
            Expiry::In(time) => Some(millis(time)).filter(|life| *life < LATEST_MILLIS),
        };
        let Inner {
            redis,
            users: [users, ends],
            changes,
            scripts,
            ..
        } = &*self.0;
        let is_saved: bool = redis
            .script(&scripts.save, |call, _| {
                call.key(self.session_key(user)).key(users).key(ends);
                call.key(changes).arg(user.as_str()).arg(session);
                // Redis knows no life of nothing.
                call.arg(life.map_or_else(String::new, |life| life.max(1).to_string()));
                call.arg(MAX_SESSIONS).arg(MAX_CHANGES);
            })
            .await?;
        if is_saved {
            Ok(())
        } else {
            Err(full("sessions"))
        }
    }

    async fn delete(&self, user: &UserId) -> Result<bool, SessionError> {
        let Inner {
            redis,
            users: [users, ends],
            changes,
            scripts,
            ..
        } = &*self.0;
        let was: bool = redis
            .script(&scripts.delete, |call, _| {
                call.key(self.session_key(user)).key(users).key(ends);
                call.key(changes).arg(user.as_str()).arg(MAX_CHANGES);
            })
            .await?;
        Ok(was)
    }

    async fn list(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<SessionPage, SessionError> {
        let mut sessions = Vec::new();
        let mut from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        while sessions.len() < limit {
            let most = USERS_AT_ONCE.min(limit - sessions.len());
            let mut page = self.page(&from, most).await?.into_iter();
            let looked_at = page.next().unwrap_or_default();
            while let (Some(user), Some(session)) = (page.next(), page.next()) {
                let user =
                    UserId::parse(&user).map_err(|error| SessionError::Backend(error.into()))?;
                let session = read(&user, session.as_bytes())?;
                sessions.push((user, session));
            }
            if looked_at.is_empty() {
                break;
            }
            from = format!("({looked_at}");
        }
        Ok(SessionPage::new(sessions))
    }

    /// See the trait. Another token past [`MAX_DENIED_TOKENS`] is [`SessionError::Unavailable`].
    async fn deny(&self, token: &TokenId, until: SystemTime) -> Result<(), SessionError> {
        let Inner {
            redis,
            denied,
            changes,
            scripts,
            ..
        } = &*self.0;
        let is_denied: bool = redis
            .script(&scripts.deny, |call, _| {
                call.key(denied).key(changes).arg(token.as_str());
                call.arg(unix_millis(until)).arg(forgotten_before());
                call.arg(MAX_DENIED_TOKENS).arg(MAX_CHANGES);
            })
            .await?;
        if is_denied {
            Ok(())
        } else {
            Err(full("denied tokens"))
        }
    }

    async fn is_denied(&self, token: &TokenId) -> Result<bool, SessionError> {
        let mut score = redis::cmd("ZSCORE");
        score.arg(&self.0.denied).arg(token.as_str());
        let until: Option<f64> = self.0.redis.query(&score).await?;
        Ok(until.is_some())
    }

    async fn watch(&self) -> Result<SessionWatch, SessionError> {
        let Inner {
            redis,
            changes,
            scripts,
            ..
        } = &*self.0;
        let watch = Watch::begin(redis.clone(), changes.clone(), scripts.watch.clone());
        Ok(watch.await?.into_stream())
    }

    /// See the trait. A claim holds for a day at most.
    async fn claim(&self, claim: &Claim<'_>) -> Result<Claimed, SessionError> {
        if claim.message.len() > MAX_ID_BYTES {
            let text = format!("a message id has at most {MAX_ID_BYTES} bytes");
            return Err(SessionError::Invalid(text.into()));
        }
        let Inner { redis, scripts, .. } = &*self.0;
        // The length tells where the guild ends.
        let guild = claim.guild.as_str();
        let key = format!("claim:{}:{guild}:{}", guild.len(), claim.message);
        let holder: Option<String> = redis
            .script(&scripts.claim, |call, _| {
                call.key(redis.key(&key));
                call.arg(format!("{}:{}", claim.at, claim.user));
                call.arg(millis(claim.ttl.min(MAX_CLAIM_TIME)).max(1));
            })
            .await?;
        let Some(holder) = holder else {
            return Ok(Claimed::New);
        };
        let parsed = holder.split_once(':').and_then(|(at, user)| {
            Some(Claimed::Before {
                user: UserId::parse(user).ok()?,
                at: at.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| SessionError::Backend("a claim in Redis cannot be read".into()))
    }
}

impl fmt::Debug for RedisSessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisSessionStore")
            .field(&self.0.redis)
            .finish()
    }
}

/// Where the denied tokens are, by when they end.
pub(super) fn denied_key(redis: &Redis) -> String {
    redis.key("denied")
}

/// Where the changes are that are watched.
pub(super) fn changes_key(redis: &Redis) -> String {
    redis.key("changes")
}

/// What was denied until then, in milliseconds of Unix time, need not be known any more.
pub(super) fn forgotten_before() -> u64 {
    let now = SystemTime::now();
    now.checked_sub(DENIED_LONGER).map_or(0, unix_millis)
}

/// Milliseconds of Unix time, of which the last is the end of all times.
pub(super) fn unix_millis(time: SystemTime) -> u64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default()).min(LATEST_MILLIS)
}

/// Whole milliseconds, and one more for what is over them.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn read(user: &UserId, session: &[u8]) -> Result<Session, SessionError> {
    serde_json::from_slice(session).map_err(|error| {
        let text = format!("the session of {user} in Redis cannot be read: {error}");
        SessionError::Backend(text.into())
    })
}

fn full(what: &str) -> SessionError {
    unavailable(format!("there is no room for more {what}")).into()
}
