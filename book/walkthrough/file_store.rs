use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    ops::Bound,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use slimy_rt::{
    TokenId, UserId, async_trait,
    session::{
        Expiry, Session, SessionChanges, SessionError, SessionEvent, SessionPage, SessionStore,
        SessionWatch,
    },
};

/// Sessions in one JSON file, for one node. Clones share it.
#[derive(Clone, Debug)]
pub struct FileStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    state: Mutex<State>,
    /// Held while the file is written, so that changes happen one after another.
    writing: Mutex<()>,
    changes: SessionChanges,
}

/// What is in the file. Moments are of the system's clock, since the file outlives the process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    sessions: BTreeMap<UserId, (Session, Option<SystemTime>)>,
    denied: BTreeMap<TokenId, SystemTime>,
}

impl FileStore {
    /// Opens the file. One that does not exist is an empty store; one that cannot be read is an error.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let state = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(error),
        };
        Ok(Self(Arc::new(Inner {
            path,
            state: Mutex::new(state),
            writing: Mutex::default(),
            changes: SessionChanges::default(),
        })))
    }

    /// Where it is: to open it again.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Changes a copy, writes it, and only then lets others see it.
    ///
    /// It runs on a thread for work that blocks. A caller that is dropped meanwhile does not interrupt it: the change happens as a whole.
    async fn change<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut State) -> (R, Option<SessionEvent>) + Send + 'static,
    ) -> Result<R, SessionError> {
        let inner = Arc::clone(&self.0);
        let changing = tokio::task::spawn_blocking(move || {
            let _one_at_a_time = lock(&inner.writing);
            let mut next = lock(&inner.state).clone();
            next.prune();
            let (result, event) = change(&mut next);
            if let Some(event) = event {
                write(&inner.path, &next)?;
                *lock(&inner.state) = next;
                // Told last: whoever hears of it can load it.
                inner.changes.tell(event);
            }
            Ok::<R, io::Error>(result)
        });
        match changing.await {
            Ok(result) => result.map_err(|e| SessionError::Unavailable(e.into())),
            Err(panic) => Err(SessionError::Backend(panic.into())),
        }
    }

    /// What is there now.
    fn now<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        let mut state = lock(&self.0.state);
        state.prune();
        look(&state)
    }
}

impl State {
    fn prune(&mut self) {
        let now = SystemTime::now();
        let lives = |end: &Option<SystemTime>| end.is_none_or(|end| end > now);
        self.sessions.retain(|_, (_, end)| lives(end));
        self.denied.retain(|_, until| *until > now);
    }
}

/// Writes beside the file and renames: a crash leaves the old file or the new one, never half of one.
fn write(path: &Path, state: &State) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_directory(path)
}

/// Names are in the directory: before that is on the disk, a crash brings the old file back. Only Unix can wait for it.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|path| !path.as_os_str().is_empty());
    if cfg!(unix) {
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl SessionStore for FileStore {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, SessionError> {
        Ok(self.now(|state| state.sessions.get(user).map(|(session, _)| session.clone())))
    }

    async fn save(
        &self,
        user: &UserId,
        session: &Session,
        expiry: Expiry,
    ) -> Result<(), SessionError> {
        let (user, session) = (user.clone(), session.clone());
        let end = expiry.at();
        self.change(move |state| {
            state.sessions.insert(user.clone(), (session, end));
            ((), Some(SessionEvent::Saved(user)))
        })
        .await
    }

    async fn delete(&self, user: &UserId) -> Result<bool, SessionError> {
        let user = user.clone();
        self.change(move |state| match state.sessions.remove(&user) {
            Some(_) => (true, Some(SessionEvent::Deleted(user))),
            None => (false, None),
        })
        .await
    }

    async fn list(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<SessionPage, SessionError> {
        let behind = (
            after.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        );
        Ok(self.now(|state| {
            let sessions = state.sessions.range::<UserId, _>(behind).take(limit);
            let copied = sessions.map(|(user, (session, _))| (user.clone(), session.clone()));
            SessionPage::new(copied.collect())
        }))
    }

    async fn deny(&self, token: &TokenId, until: SystemTime) -> Result<(), SessionError> {
        let token = token.clone();
        self.change(move |state| {
            let end = state.denied.entry(token.clone()).or_insert(until);
            *end = until.max(*end);
            ((), Some(SessionEvent::Denied(token)))
        })
        .await
    }

    async fn is_denied(&self, token: &TokenId) -> Result<bool, SessionError> {
        Ok(self.now(|state| state.denied.contains_key(token)))
    }

    async fn watch(&self) -> Result<SessionWatch, SessionError> {
        Ok(self.0.changes.watch())
    }
}
