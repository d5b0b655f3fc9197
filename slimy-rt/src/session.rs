//! What a user may see: the [`SessionStore`] trait, the sessions in it, and the changes that live sockets follow.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_core::Stream;
use serde::{Deserialize, Serialize};

mod changes;

pub use self::changes::{MAX_WAITING_CHANGES, SessionChanges};
use crate::{GuildId, TokenId, UserId, auth::Role, time::unix_ms};

/// Keeps each user's session: the guilds it belongs to, and what has been revoked.
///
/// # Contract
/// * `load` after a completed `save` gives what was saved, from every handle on the same store; a session past its expiry is
///   as good as deleted: not loaded, not listed, nothing to delete.
/// * **An outage is an error.** `Ok(None)` says that the store looked and found nothing. Answering it because the store could not look would
///   throw out every user at the first outage.
/// * Values come back as they went in, whatever they contain: ids are opaque text, and no two are taken for one. What is too large is
///   [`SessionError::Invalid`], and changes nothing.
/// * A denied token stays denied until the latest `until` that it was denied with, on every node that shares the store: nobody shortens a
///   denial. It may be denied longer, since the token has expired then.
///
/// # Ordering
/// Two `save`s of one user that do not overlap take effect in their order. [`watch`](Self::watch) reports a change after it can be loaded.
/// Changes of one user are reported in order; several may be reported as one. A watcher that lags holds up nobody: it is told
/// [`SessionEvent::Missed`], or its stream ends.
///
/// # Cancellation
/// A dropped `save`, `delete`, `deny` or `claim` has happened or has not; never half. Later calls are not hindered by it.
///
/// # Errors
/// [`SessionError`] by meaning. `is_retryable` tells an outage from a mistake.
///
/// The feature `conformance` checks an implementation against this contract, clause by clause.
///
/// # Example
/// A complete store that knows a fixed set of users:
/// ```
/// use std::{collections::BTreeMap, time::{Duration, SystemTime}};
/// use async_trait::async_trait;
/// use slimy_rt::{TokenId, UserId};
/// use slimy_rt::session::{
///     Expiry, Session, SessionError, SessionPage, SessionStore, SessionWatch,
/// };
///
/// #[derive(Debug)]
/// struct Fixed(BTreeMap<UserId, Session>);
///
/// #[async_trait]
/// impl SessionStore for Fixed {
///     async fn load(&self, user: &UserId) -> Result<Option<Session>, SessionError> {
///         Ok(self.0.get(user).cloned())
///     }
///     async fn save(&self, _: &UserId, _: &Session, _: Expiry) -> Result<(), SessionError> {
///         Err(SessionError::Invalid("this store is read-only".into()))
///     }
///     async fn delete(&self, _: &UserId) -> Result<bool, SessionError> {
///         Err(SessionError::Invalid("this store is read-only".into()))
///     }
///     async fn list(&self, after: Option<&UserId>, limit: usize) -> Result<SessionPage, SessionError> {
///         let later = self.0.iter().filter(|(user, _)| after.is_none_or(|a| *user > a));
///         Ok(SessionPage::new(later.take(limit).map(|(u, s)| (u.clone(), s.clone())).collect()))
///     }
///     async fn deny(&self, _: &TokenId, _: SystemTime) -> Result<(), SessionError> {
///         Err(SessionError::Invalid("this store is read-only".into()))
///     }
///     async fn is_denied(&self, _: &TokenId) -> Result<bool, SessionError> {
///         Ok(false)
///     }
///     async fn watch(&self) -> Result<SessionWatch, SessionError> {
///         Ok(Box::pin(futures_util::stream::pending()))
///     }
/// }
/// ```
#[async_trait]
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// The user's session, or `None` when there is none or it has expired.
    ///
    /// # Errors
    /// When the store cannot tell.
    async fn load(&self, user: &UserId) -> Result<Option<Session>, SessionError>;

    /// Stores the user's session, in place of any other.
    ///
    /// # Errors
    /// When it is not stored, or cannot be told.
    async fn save(
        &self,
        user: &UserId,
        session: &Session,
        expiry: Expiry,
    ) -> Result<(), SessionError>;

    /// Removes the user's session and says whether there was one. The user's sockets are ended.
    ///
    /// # Errors
    /// When it is not removed, or cannot be told.
    async fn delete(&self, user: &UserId) -> Result<bool, SessionError>;

    /// At most `limit` sessions in the order of their user ids' bytes, beginning behind `after`, which need not be there. Fewer than
    /// `limit` say that there are no more.
    ///
    /// Sessions that are there during the whole listing appear exactly once.
    ///
    /// # Errors
    /// When the store cannot tell.
    async fn list(&self, after: Option<&UserId>, limit: usize)
    -> Result<SessionPage, SessionError>;

    /// Denies one token until `until`, when it would have expired by itself. A time that is over is no error.
    ///
    /// # Errors
    /// When it is not denied, or cannot be told.
    async fn deny(&self, token: &TokenId, until: SystemTime) -> Result<(), SessionError>;

    /// Whether the token has been denied.
    ///
    /// # Errors
    /// When the store cannot tell.
    async fn is_denied(&self, token: &TokenId) -> Result<bool, SessionError>;

    /// The changes from now on, whoever makes them, on whichever node. The stream ends when the store can no longer follow; the caller
    /// then watches again and reloads what it holds.
    ///
    /// # Errors
    /// When the store cannot follow now.
    async fn watch(&self) -> Result<SessionWatch, SessionError>;

    /// Claims a message id for its author, for `claim.ttl`. The first claim of a guild and id wins; later ones, the same author's too,
    /// are told who won and when.
    ///
    /// The default shares nothing: the node's own memory then decides.
    ///
    /// # Errors
    /// When the store cannot tell; the node's own memory then decides.
    async fn claim(&self, claim: &Claim<'_>) -> Result<Claimed, SessionError> {
        let _ = claim;
        Ok(Claimed::NotShared)
    }
}

/// A stream of [`SessionEvent`]s.
pub type SessionWatch = Pin<Box<dyn Stream<Item = SessionEvent> + Send>>;

/// A user's session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Session {
    /// The guilds that the user belongs to.
    #[serde(default)]
    pub guilds: Vec<Guild>,
    /// Replaces the credential's role.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "role_by_name"
    )]
    pub role: Option<Role>,
    /// A Unix time in seconds: credentials issued earlier are not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
}

impl Session {
    /// A session with these guilds.
    #[must_use]
    pub fn new(guilds: Vec<Guild>) -> Self {
        Self {
            guilds,
            role: None,
            not_before: None,
        }
    }

    /// Sets the role that replaces the credential's.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// Refuses credentials issued before `unix_seconds`.
    #[must_use]
    pub fn not_before(mut self, unix_seconds: u64) -> Self {
        self.not_before = Some(unix_seconds);
        self
    }

    /// Whether the user belongs to `guild`.
    #[must_use]
    pub fn has_guild(&self, guild: &str) -> bool {
        self.guilds.iter().any(|g| g.id.as_str() == guild)
    }
}

/// Ends all logins of a user, as far as they are older than the next second, and says what is stored now. Whoever has no session gets one that refuses.
///
/// # Errors
/// When the store cannot tell, or does not store it.
pub async fn revoke(store: &dyn SessionStore, user: &UserId) -> Result<Session, SessionError> {
    let mut session = store.load(user).await?.unwrap_or_default();
    let next_second = unix_ms(SystemTime::now()) / 1000 + 1;
    session.not_before = session.not_before.max(Some(next_second));
    store.save(user, &session, Expiry::Never).await?;
    Ok(session)
}

/// One guild of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Guild {
    /// The guild.
    pub id: GuildId,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// The user's roles in it, as the guild's platform names them.
    #[serde(default)]
    pub roles: Vec<Box<str>>,
}

impl Guild {
    /// A guild without a name.
    #[must_use]
    pub fn new(id: GuildId) -> Self {
        Self {
            id,
            name: None,
            roles: Vec::new(),
        }
    }

    /// Sets the guild's name.
    #[must_use]
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = Some(name.into());
        self
    }
}

fn role_by_name<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Role>, D::Error> {
    let name = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    Ok(name.map(|name| Role::from_name(&name)))
}

/// How long a session is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Until it is deleted.
    Never,
    /// For this long from now. Every duration is legal: what a store cannot count is never.
    In(Duration),
}

impl Expiry {
    /// When a session that is saved now expires; `None` is never. Times beyond what the clock can hold are never too.
    #[must_use]
    pub fn at(self) -> Option<SystemTime> {
        match self {
            Self::Never => None,
            Self::In(time) => SystemTime::now().checked_add(time),
        }
    }
}

/// Some sessions of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionPage {
    /// The sessions, in the order of their user ids. Fewer than asked for: there are no more.
    pub sessions: Vec<(UserId, Session)>,
}

impl SessionPage {
    /// A page of these sessions.
    #[must_use]
    pub fn new(sessions: Vec<(UserId, Session)>) -> Self {
        Self { sessions }
    }
}

/// A change in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The session was saved; load it to see it.
    Saved(UserId),
    /// The session was deleted on purpose: the user's sockets end. A store that *lost* a session says nothing.
    Deleted(UserId),
    /// The token was denied: its sockets end.
    Denied(TokenId),
    /// Changes were missed: whoever follows reloads what it holds.
    Missed,
}

/// Someone's claim of a message id.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Claim<'a> {
    /// The guild in which the id is unique.
    pub guild: &'a GuildId,
    /// The message id.
    pub message: &'a str,
    /// Who claims it.
    pub user: &'a UserId,
    /// When the message was accepted: milliseconds of Unix time.
    pub at: u64,
    /// How long the claim holds.
    pub ttl: Duration,
}

impl<'a> Claim<'a> {
    /// A claim by `user`, at `at` milliseconds of Unix time.
    #[must_use]
    pub fn new(
        guild: &'a GuildId,
        message: &'a str,
        user: &'a UserId,
        at: u64,
        ttl: Duration,
    ) -> Self {
        Self {
            guild,
            message,
            user,
            at,
            ttl,
        }
    }
}

/// The answer to a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claimed {
    /// It is the first: the message is new.
    New,
    /// It was claimed before, by this user at this time.
    Before {
        /// Whose it is.
        user: UserId,
        /// When that message was accepted: milliseconds of Unix time.
        at: u64,
    },
    /// This store shares no claims.
    NotShared,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The store cannot be reached, or did not answer in time.
    #[error("the session store cannot be reached")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// What was asked can never be done; the text says what to change.
    #[error("the session store refused: {0}")]
    Invalid(Box<str>),
    /// The store answered with an error.
    #[error("the session store failed")]
    Backend(#[source] Box<dyn StdError + Send + Sync>),
}

impl SessionError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        impl<T: SessionStore + ?Sized> SessionStore for $pointer<T> {
            async fn load(&self, user: &UserId) -> Result<Option<Session>, SessionError> {
                (**self).load(user).await
            }
            async fn save(
                &self,
                user: &UserId,
                session: &Session,
                expiry: Expiry,
            ) -> Result<(), SessionError> {
                (**self).save(user, session, expiry).await
            }
            async fn delete(&self, user: &UserId) -> Result<bool, SessionError> {
                (**self).delete(user).await
            }
            async fn list(
                &self,
                after: Option<&UserId>,
                limit: usize,
            ) -> Result<SessionPage, SessionError> {
                (**self).list(after, limit).await
            }
            async fn deny(&self, token: &TokenId, until: SystemTime) -> Result<(), SessionError> {
                (**self).deny(token, until).await
            }
            async fn is_denied(&self, token: &TokenId) -> Result<bool, SessionError> {
                (**self).is_denied(token).await
            }
            async fn watch(&self) -> Result<SessionWatch, SessionError> {
                (**self).watch().await
            }
            async fn claim(&self, claim: &Claim<'_>) -> Result<Claimed, SessionError> {
                (**self).claim(claim).await
            }
        }
    };
}

forward!(Arc);
forward!(Box);
