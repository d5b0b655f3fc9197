//! cargo run --example custom-session-store
//!
//! A session store of one's own: everything in one JSON file, written anew at each change. The program proves it by the conformance kit and
//! prints the report.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize};
use slimy_rt::{
    TokenId, UserId, async_trait,
    conformance::{self, Failures},
    session::{
        Expiry, Session, SessionChanges, SessionError, SessionEvent, SessionPage, SessionStore,
        SessionWatch,
    },
};
use tokio::{fs, sync::Mutex};

/// What the file holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Contents {
    sessions: BTreeMap<UserId, (Session, Option<SystemTime>)>,
    denied: BTreeMap<TokenId, SystemTime>,
}

/// A cheap clone. One process has the file to itself.
#[derive(Clone, Debug)]
struct FileSessions {
    path: PathBuf,
    contents: Arc<Mutex<Contents>>,
    changes: SessionChanges,
}

impl FileSessions {
    async fn open(path: PathBuf) -> io::Result<Self> {
        let contents = match fs::read(&path).await {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Contents::default(),
            Err(e) => return Err(e),
        };
        Ok(Self {
            path,
            contents: Arc::new(Mutex::new(contents)),
            changes: SessionChanges::default(),
        })
    }

    /// Writes what `edit` makes of the contents, then tells the watchers. It is a task of its own: a caller that gives up leaves no half
    /// a change.
    async fn change<T: Send + 'static>(
        &self,
        event: SessionEvent,
        edit: impl FnOnce(&mut Contents) -> T + Send + 'static,
    ) -> Result<T, SessionError> {
        let store = self.clone();
        let change = async move {
            let mut contents = store.contents.lock().await;
            let mut edited = contents.clone();
            let result = edit(&mut edited);
            // A crash leaves the old file or the new one.
            let temporary = store.path.with_extension("tmp");
            fs::write(&temporary, serde_json::to_vec(&edited)?).await?;
            fs::rename(&temporary, &store.path).await?;
            *contents = edited;
            store.changes.tell(event);
            Ok::<T, io::Error>(result)
        };
        let written = tokio::spawn(change).await;
        let written = written.map_err(|e| SessionError::Backend(e.into()))?;
        written.map_err(|e| SessionError::Unavailable(e.into()))
    }
}

/// Whether a time has not come yet; without one it never comes.
fn is_ahead(time: Option<SystemTime>) -> bool {
    time.is_none_or(|time| time > SystemTime::now())
}

#[async_trait]
impl SessionStore for FileSessions {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, SessionError> {
        let contents = self.contents.lock().await;
        let found = contents.sessions.get(user);
        let alive = found.filter(|(_, until)| is_ahead(*until));
        Ok(alive.map(|(session, _)| session.clone()))
    }

    async fn save(&self, user: &UserId, session: &Session, e: Expiry) -> Result<(), SessionError> {
        let (key, value) = (user.clone(), (session.clone(), e.at()));
        let insert = |contents: &mut Contents| drop(contents.sessions.insert(key, value));
        self.change(SessionEvent::Saved(user.clone()), insert).await
    }

    async fn delete(&self, user: &UserId) -> Result<bool, SessionError> {
        let key = user.clone();
        let remove = move |contents: &mut Contents| contents.sessions.remove(&key);
        let event = SessionEvent::Deleted(user.clone());
        let removed = self.change(event, remove).await?;
        Ok(removed.is_some_and(|(_, until)| is_ahead(until)))
    }

    async fn list(&self, after: Option<&UserId>, max: usize) -> Result<SessionPage, SessionError> {
        let contents = self.contents.lock().await;
        let page = contents.sessions.iter().filter(|(user, (_, until))| {
            after.is_none_or(|after| *user > after) && is_ahead(*until)
        });
        let page = page.map(|(user, (session, _))| (user.clone(), session.clone()));
        Ok(SessionPage::new(page.take(max).collect()))
    }

    async fn deny(&self, token: &TokenId, until: SystemTime) -> Result<(), SessionError> {
        let key = token.clone();
        let deny = move |contents: &mut Contents| {
            contents.denied.retain(|_, until| is_ahead(Some(*until)));
            let denied = contents.denied.entry(key).or_insert(until);
            *denied = until.max(*denied);
        };
        self.change(SessionEvent::Denied(token.clone()), deny).await
    }

    async fn is_denied(&self, token: &TokenId) -> Result<bool, SessionError> {
        let contents = self.contents.lock().await;
        Ok(contents
            .denied
            .get(token)
            .is_some_and(|until| is_ahead(Some(*until))))
    }

    async fn watch(&self) -> Result<SessionWatch, SessionError> {
        Ok(self.changes.watch())
    }
}

#[tokio::main]
async fn main() -> Result<(), Failures> {
    // Each store of the kit gets a file of its own.
    let create = async || {
        let name = format!("sessions-{}.json", slimy_rt::NodeId::random());
        let path = std::env::temp_dir().join(name);
        FileSessions::open(path).await.expect("a temporary file")
    };
    println!("{}", conformance::session_store::check(create).await?);
    Ok(())
}
