//! Who may be here, and that it stays true.
//!
//! A socket is let in when the authenticator knows the user and the session store allows it. From then on the store is watched: whatever
//! changes there moves the user's sockets to other rooms, or ends them.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use futures_util::StreamExt;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{cluster::chain, lock, sequencer::Sequencer};
use crate::{
    Room, TokenId, UserId,
    auth::{AuthError, Authenticator, Handshake, Identity, Role},
    events::Socket,
    session::{Guild, Session, SessionError, SessionEvent, SessionStore},
};

/// How long to wait before asking a store again that could not answer.
const RETRY: Duration = Duration::from_millis(250);
/// How long one look at a changed session may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// How many users are looked at at once.
const CONCURRENT_LOOKS: usize = 32;
/// How long to wait before watching again; it doubles up to the second while watches end at once.
const WATCH_RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// The reason in `session:ended` when access was taken away.
pub(crate) const REVOKED: &str = "revoked";
/// The reason in `session:ended` when the credential has run out.
pub(crate) const EXPIRED: &str = "expired";

/// What a user may see: the credential's role unless the session replaces it, and the session's guilds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Access {
    /// The role.
    pub role: Role,
    /// The guilds.
    pub guilds: Vec<Guild>,
}

impl Access {
    fn new(identity: &Identity, session: Option<Session>) -> Self {
        let session = session.unwrap_or_default();
        Self {
            role: session.role.unwrap_or(identity.user.role),
            guilds: session.guilds,
        }
    }

    /// Whether this is an administrator.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role.is_admin()
    }

    /// Whether the user belongs to that guild.
    #[must_use]
    pub fn has_guild(&self, guild: &str) -> bool {
        self.guilds.iter().any(|g| g.id.as_str() == guild)
    }

    /// Whether a user with that access may be in a room: not in one of somebody else's guild, nor among administrators unless it is one.
    pub(crate) fn allows(&self, room: &Room) -> bool {
        match room.as_guild() {
            Some(guild) => self.has_guild(guild),
            None => self.is_admin() || *room != Room::admins(),
        }
    }

    /// How many rooms go with it.
    pub(crate) fn room_count(&self) -> usize {
        self.guilds.len() + usize::from(self.is_admin())
    }

    /// The rooms that go with it: one for each guild, and `admins`.
    pub(crate) fn rooms(&self) -> Vec<Room> {
        let guilds = self.guilds.iter().map(|guild| Room::guild(&guild.id));
        guilds.chain(self.is_admin().then(Room::admins)).collect()
    }
}

/// A client that may be here.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Authorized {
    /// Who it is.
    pub identity: Identity,
    /// What it may see.
    pub access: Access,
}

/// Why a client may not be here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It has not proved who it is, or its credential was revoked.
    #[error("not authorized")]
    NotAuthorized(#[source] AuthError),
    /// The user is no administrator and belongs to no guild.
    #[error("the user belongs to no guild")]
    NoGuildContext,
    /// It cannot be found out now.
    #[error("cannot be found out now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Refusal {
    /// The word that clients are told.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAuthorized(_) => "not_authorized",
            Self::NoGuildContext => "no_guild_context",
            Self::Unavailable(_) => "server_error",
        }
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unavailable(source) => Self::Unavailable(source),
            error => Self::NotAuthorized(error),
        }
    }
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        Self::Unavailable(error.into())
    }
}

/// Decides, and remembers whom it let in.
#[derive(Debug)]
pub(crate) struct Authorization {
    authenticator: Arc<dyn Authenticator>,
    sessions: Option<Arc<dyn SessionStore>>,
    index: Mutex<Index>,
    /// Users whose access must be looked at again.
    unsettled: Mutex<HashSet<UserId>>,
    unsettled_added: Notify,
}

#[derive(Debug, Default)]
struct Index {
    users: HashMap<UserId, Vec<Socket>>,
    tokens: HashMap<TokenId, Vec<Socket>>,
}

impl Authorization {
    pub(crate) fn new(
        authenticator: Arc<dyn Authenticator>,
        sessions: Option<Arc<dyn SessionStore>>,
    ) -> Self {
        Self {
            authenticator,
            sessions,
            index: Mutex::default(),
            unsettled: Mutex::default(),
            unsettled_added: Notify::new(),
        }
    }

    pub(crate) fn sessions(&self) -> Option<&Arc<dyn SessionStore>> {
        self.sessions.as_ref()
    }

    /// Who a request comes from and what it may see; belonging to no guild is no refusal here.
    pub(crate) async fn authorize(&self, handshake: &Handshake) -> Result<Authorized, Refusal> {
        let identity = self.identify(handshake).await?;
        let access = self.access(&identity).await?;
        Ok(Authorized { identity, access })
    }

    pub(crate) async fn identify(&self, handshake: &Handshake) -> Result<Identity, Refusal> {
        let identity = self.authenticator.authenticate(handshake).await?;
        if identity
            .expires_at
            .is_some_and(|at| at <= SystemTime::now())
        {
            return Err(AuthError::Expired.into());
        }
        Ok(identity)
    }

    pub(crate) async fn access(&self, identity: &Identity) -> Result<Access, Refusal> {
        let Some(sessions) = &self.sessions else {
            return Ok(Access::new(identity, None));
        };
        if let Some(token) = &identity.token
            && sessions.is_denied(token).await?
        {
            return Err(AuthError::Revoked.into());
        }
        let session = sessions.load(&identity.user.id).await?;
        if is_revoked(identity, session.as_ref()) {
            return Err(AuthError::Revoked.into());
        }
        Ok(Access::new(identity, session))
    }

    /// What a socket of that identity may see.
    pub(crate) async fn admit(&self, identity: &Identity) -> Result<Access, Refusal> {
        let access = self.access(identity).await?;
        if self.is_shut_out(&access) {
            return Err(Refusal::NoGuildContext);
        }
        Ok(access)
    }

    /// Without a store there are no guilds to belong to.
    fn is_shut_out(&self, access: &Access) -> bool {
        self.sessions.is_some() && !access.is_admin() && access.guilds.is_empty()
    }

    /// Remembers a socket, before its access is looked up: a change after that look is then not missed.
    pub(crate) fn insert(&self, socket: &Socket) {
        let identity = socket.identity();
        let mut index = lock(&self.index);
        index
            .users
            .entry(identity.user.id.clone())
            .or_default()
            .push(socket.clone());
        if let Some(token) = &identity.token {
            index
                .tokens
                .entry(token.clone())
                .or_default()
                .push(socket.clone());
        }
    }

    pub(crate) fn remove(&self, socket: &Socket) {
        let identity = socket.identity();
        let mut index = lock(&self.index);
        take_out(&mut index.users, &identity.user.id, socket);
        if let Some(token) = &identity.token {
            take_out(&mut index.tokens, token, socket);
        }
    }

    /// Looks at a user's access again, soon.
    pub(crate) fn recheck(&self, user: &UserId) {
        lock(&self.unsettled).insert(user.clone());
        self.unsettled_added.notify_one();
    }

    /// Follows the store until `stop`.
    pub(crate) async fn follow(
        self: Arc<Self>,
        sequencer: Arc<Sequencer>,
        stop: CancellationToken,
    ) {
        let Some(sessions) = self.sessions.clone() else {
            return;
        };
        let watch = async {
            let mut pause = WATCH_RETRY.0;
            let mut is_told = false;
            loop {
                let began = Instant::now();
                match sessions.watch().await {
                    Ok(mut changes) => {
                        is_told = false;
                        // Whatever changed before this watch began is not reported by it.
                        self.recheck_all();
                        while let Some(change) = changes.next().await {
                            self.changed(change);
                        }
                        tracing::warn!("the session store's watch ended; watching again");
                    }
                    Err(e) if is_told => {
                        tracing::debug!(error = %chain(&e), "still cannot watch the session store");
                    }
                    Err(e) => {
                        is_told = true;
                        tracing::warn!(error = %chain(&e), "cannot watch the session store; trying again");
                    }
                }
                let lasted = began.elapsed() > WATCH_RETRY.1;
                pause = if lasted {
                    WATCH_RETRY.0
                } else {
                    (pause * 2).min(WATCH_RETRY.1)
                };
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = watch => {}
            () = self.settle(&sequencer) => {}
        }
    }

    fn changed(&self, change: SessionEvent) {
        match change {
            SessionEvent::Saved(user) => {
                // First the mark, then the look at who is connected: see `Socket::mark_changed`.
                self.of_user(&user).iter().for_each(Socket::mark_changed);
                self.recheck(&user);
            }
            SessionEvent::Deleted(user) => end_all(&self.of_user(&user)),
            SessionEvent::Denied(token) => {
                let sockets = lock(&self.index)
                    .tokens
                    .get(&token)
                    .cloned()
                    .unwrap_or_default();
                end_all(&sockets);
            }
            SessionEvent::Missed => self.recheck_all(),
        }
    }

    fn of_user(&self, user: &UserId) -> Vec<Socket> {
        lock(&self.index)
            .users
            .get(user)
            .cloned()
            .unwrap_or_default()
    }

    fn recheck_all(&self) {
        let users: Vec<_> = lock(&self.index).users.keys().cloned().collect();
        lock(&self.unsettled).extend(users);
        self.unsettled_added.notify_one();
    }

    /// Looks at the users that need it, for ever.
    async fn settle(&self, sequencer: &Sequencer) {
        // Of an outage the log tells once, and not for each user and attempt.
        let is_told = AtomicBool::new(false);
        loop {
            let added = self.unsettled_added.notified();
            let users = std::mem::take(&mut *lock(&self.unsettled));
            if users.is_empty() {
                added.await;
                continue;
            }
            let looks = futures_util::stream::iter(users);
            let failed = AtomicBool::new(false);
            let look = async |user: UserId| {
                let settled = self.settle_user(&user, sequencer);
                let error = match tokio::time::timeout(LOOK_TIMEOUT, settled).await {
                    Ok(Ok(())) => return,
                    Ok(Err(e)) => chain(&e),
                    Err(timeout) => timeout.to_string(),
                };
                if is_told.swap(true, Ordering::Relaxed) {
                    tracing::debug!(%user, error, "still cannot follow a session's change");
                } else {
                    tracing::warn!(%user, error, "cannot follow a session's change; trying again");
                }
                lock(&self.unsettled).insert(user);
                failed.store(true, Ordering::Relaxed);
            };
            looks.for_each_concurrent(CONCURRENT_LOOKS, look).await;
            if failed.load(Ordering::Relaxed) {
                tokio::time::sleep(RETRY).await;
            } else {
                is_told.store(false, Ordering::Relaxed);
            }
        }
    }

    async fn settle_user(&self, user: &UserId, sequencer: &Sequencer) -> Result<(), SessionError> {
        let sockets = self.of_user(user);
        let Some(sessions) = self.sessions.as_ref().filter(|_| !sockets.is_empty()) else {
            return Ok(());
        };
        let session = sessions.load(user).await?;
        for socket in &sockets {
            let token = socket.identity().token.as_ref();
            if is_revoked(socket.identity(), session.as_ref())
                || matches!(token, Some(token) if sessions.is_denied(token).await?)
            {
                socket.end(Some(REVOKED));
            } else if let Some(session) = &session {
                self.apply(socket, session, sequencer);
            }
            // Without a session that nobody deleted, it was lost. That ends nobody.
        }
        Ok(())
    }

    fn apply(&self, socket: &Socket, session: &Session, sequencer: &Sequencer) {
        let access = Access::new(socket.identity(), Some(session.clone()));
        if !socket.is_connected() {
            // It sees the mark when it is let in, and asks again; unless it was let in before the mark.
            socket.mark_changed();
            if !socket.is_connected() {
                return;
            }
        }
        if self.is_shut_out(&access) {
            return socket.end(Some(REVOKED));
        }
        let old = socket.access();
        if *old == access {
            return;
        }
        tracing::info!(socket = %socket.id(), user = %socket.identity().user.id, "access changed");
        let (before, after) = (old.rooms(), access.rooms());
        socket.set_access(access);
        before
            .iter()
            .filter(|room| !after.contains(room))
            .for_each(|room| sequencer.leave(socket, room));
        let new = after.iter().filter(|room| !before.contains(room));
        new.for_each(|room| sequencer.join_access(socket, room));
        socket.rooms_changed();
        socket.access_changed();
    }
}

/// Whether the session refuses credentials of that age. One that does not say its age cannot be told from a revoked one.
fn is_revoked(identity: &Identity, session: Option<&Session>) -> bool {
    let Some(seconds) = session.and_then(|session| session.not_before) else {
        return false;
    };
    let not_before = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    !matches!((identity.issued_at, not_before), (Some(at), Some(bound)) if at >= bound)
}

fn end_all(sockets: &[Socket]) {
    sockets.iter().for_each(|socket| socket.end(Some(REVOKED)));
}

fn take_out<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Vec<Socket>>, key: &K, socket: &Socket) {
    let Some(sockets) = map.get_mut(key) else {
        return;
    };
    sockets.retain(|s| s != socket);
    if sockets.is_empty() {
        map.remove(key);
    }
}
