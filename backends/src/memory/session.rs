//! Sessions, denied tokens and claims in memory, and who follows their changes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use slimy_rt::{
    MAX_ID_BYTES, TokenId, UserId,
    session::{
        Claim, Claimed, Expiry, Session, SessionChanges, SessionError, SessionEvent, SessionPage,
        SessionStore, SessionWatch,
    },
};
use tokio::time::Instant;

use super::{claims::Claims, expiring::Expiring, lock};

/// The most sessions that are kept.
pub const MAX_SESSIONS: usize = 1_000_000;
/// The most denied tokens that are kept. Past it [`deny`](SessionStore::deny) fails: forgetting a denial would let someone in.
pub const MAX_DENIED_TOKENS: usize = 200_000;

/// A [`SessionStore`] in memory. Clones share one store.
///
/// A session's expiry is measured by a clock that nobody sets (tokio's, so that tests can make it virtual), a denial's end by the system's, since
/// that is what it is given in. A session that expires is gone, but no change: like a lost one, it ends no live socket.
///
/// ```
/// use slimy_rt::{GuildId, UserId};
/// use slimy_rt::session::{Expiry, Guild, Session, SessionStore};
/// use slimy_rt_backends::memory::MemorySessionStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemorySessionStore::new();
/// let alice = UserId::parse("u1")?;
/// let session = Session::new(vec![Guild::new(GuildId::parse("g1")?)]);
/// store.save(&alice, &session, Expiry::Never).await?;
/// assert_eq!(store.clone().load(&alice).await?, Some(session));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemorySessionStore {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    // Sent to under the lock, so that events have the order of the changes.
    changes: SessionChanges,
}

#[derive(Debug, Default)]
struct State {
    sessions: Expiring<UserId, Session, Instant>,
    denied: Expiring<TokenId, (), SystemTime>,
    claims: Claims,
}

/// What [`MemorySessionStore::replace_all`] changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replaced {
    /// Sessions that are new or different.
    pub saved: usize,
    /// Sessions that are gone.
    pub deleted: usize,
}

impl State {
    /// Adds what `revoke` has done to sessions that are to take the place of these.
    fn keep_revocations(&self, sessions: &mut BTreeMap<UserId, Session>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        // It ends what is older than the next second; what lies later was written by somebody who may take it back.
        let next = now.unwrap_or_default().as_secs() + 1;
        for user in self.sessions.keys() {
            let old = self.sessions.get(user).and_then(|old| old.not_before);
            let Some(at) = old.filter(|at| *at <= next) else {
                continue;
            };
            if let Some(session) = sessions.get_mut(user) {
                session.not_before = session.not_before.max(Some(at));
            } else if sessions.len() < MAX_SESSIONS {
                sessions.insert(user.clone(), Session::default().not_before(at));
            }
        }
    }
}

impl MemorySessionStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changes: SessionChanges::default(),
            }),
        }
    }

    /// Makes these the only sessions, without expiry, in one step: other users' are deleted, and what stays the same is no change for those who watch.
    ///
    /// Whose logins were ended by then ([`revoke`](slimy_rt::session::revoke)) does not get them back: a `not_before` that is not in the future stays when it is later than the new
    /// one, and of a user who is not among these it is all that stays.
    ///
    /// # Errors
    /// [`SessionError::Invalid`] when there are more than [`MAX_SESSIONS`]; nothing is changed then.
    pub fn replace_all(
        &self,
        sessions: impl IntoIterator<Item = (UserId, Session)>,
    ) -> Result<Replaced, SessionError> {
        let mut sessions: BTreeMap<_, _> = sessions.into_iter().collect();
        if sessions.len() > MAX_SESSIONS {
            let text = format!(
                "at most {MAX_SESSIONS} sessions fit, not {}",
                sessions.len()
            );
            return Err(SessionError::Invalid(text.into()));
        }
        let mut state = lock(&self.shared.state);
        state.sessions.prune(Instant::now());
        state.keep_revocations(&mut sessions);
        let mut replaced = Replaced::default();
        let is_gone = |user: &&UserId| !sessions.contains_key(*user);
        let gone: Vec<UserId> = state.sessions.keys().filter(is_gone).cloned().collect();
        for user in gone {
            state.sessions.remove(&user);
            replaced.deleted += 1;
            self.shared.changes.tell(SessionEvent::Deleted(user));
        }
        for (user, session) in sessions {
            let old = state.sessions.insert(user.clone(), session.clone(), None);
            if old.as_ref() != Some(&session) {
                replaced.saved += 1;
                self.shared.changes.tell(SessionEvent::Saved(user));
            }
        }
        Ok(replaced)
    }

    fn deny_at(
        &self,
        token: &TokenId,
        until: SystemTime,
        now: SystemTime,
    ) -> Result<(), SessionError> {
        let mut state = lock(&self.shared.state);
        state.denied.prune(now);
        // Nobody shortens a denial.
        if until > now && state.denied.until(token).is_none_or(|old| old < until) {
            if state.denied.len() >= MAX_DENIED_TOKENS && state.denied.get(token).is_none() {
                return Err(full("denied tokens"));
            }
            state.denied.insert(token.clone(), (), Some(until));
        }
        self.shared
            .changes
            .tell(SessionEvent::Denied(token.clone()));
        Ok(())
    }

    fn is_denied_at(&self, token: &TokenId, now: SystemTime) -> bool {
        let mut state = lock(&self.shared.state);
        state.denied.prune(now);
        state.denied.get(token).is_some()
    }
}

impl Default for MemorySessionStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemorySessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.shared.state);
        f.debug_struct("MemorySessionStore")
            .field("sessions", &state.sessions.len())
            .field("denied", &state.denied.len())
            .field("watchers", &self.shared.changes.watchers())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for MemorySessionStore {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, SessionError> {
        let mut state = lock(&self.shared.state);
        state.sessions.prune(Instant::now());
        Ok(state.sessions.get(user).cloned())
    }

    /// See the trait. A new user past [`MAX_SESSIONS`] is [`SessionError::Unavailable`].
    async fn save(
        &self,
        user: &UserId,
        session: &Session,
        expiry: Expiry,
    ) -> Result<(), SessionError> {
        let now = Instant::now();
        let until = match expiry {
            Expiry::Never => None,
            // Beyond what the clock can hold is never.
            Expiry::In(time) => now.checked_add(time),
        };
        let mut state = lock(&self.shared.state);
        state.sessions.prune(now);
        if state.sessions.len() >= MAX_SESSIONS && state.sessions.get(user).is_none() {
            return Err(full("sessions"));
        }
        state.sessions.insert(user.clone(), session.clone(), until);
        self.shared.changes.tell(SessionEvent::Saved(user.clone()));
        Ok(())
    }

    async fn delete(&self, user: &UserId) -> Result<bool, SessionError> {
        let mut state = lock(&self.shared.state);
        state.sessions.prune(Instant::now());
        let there_was_one = state.sessions.remove(user).is_some();
        if there_was_one {
            self.shared
                .changes
                .tell(SessionEvent::Deleted(user.clone()));
        }
        Ok(there_was_one)
    }

    async fn list(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<SessionPage, SessionError> {
        let mut state = lock(&self.shared.state);
        state.sessions.prune(Instant::now());
        let sessions = state.sessions.behind(after).take(limit);
        let copy = |(user, session): (&UserId, &Session)| (user.clone(), session.clone());
        Ok(SessionPage::new(sessions.map(copy).collect()))
    }

    async fn deny(&self, token: &TokenId, until: SystemTime) -> Result<(), SessionError> {
        self.deny_at(token, until, SystemTime::now())
    }

    async fn is_denied(&self, token: &TokenId) -> Result<bool, SessionError> {
        Ok(self.is_denied_at(token, SystemTime::now()))
    }

    async fn watch(&self) -> Result<SessionWatch, SessionError> {
        Ok(self.shared.changes.watch())
    }

    async fn claim(&self, claim: &Claim<'_>) -> Result<Claimed, SessionError> {
        if claim.message.len() > MAX_ID_BYTES {
            let text = format!("a message id has at most {MAX_ID_BYTES} bytes");
            return Err(SessionError::Invalid(text.into()));
        }
        Ok(lock(&self.shared.state).claims.claim(claim, Instant::now()))
    }
}

fn full(what: &str) -> SessionError {
    SessionError::Unavailable(format!("there is no room for more {what}").into())
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
