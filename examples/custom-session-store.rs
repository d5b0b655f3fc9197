//! cargo run --example custom-session-store
//!
//! A session store of one's own: one JSON file, written anew at each change. The program proves it by the contract kit and prints the report.

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
use tokio::{fs, io::AsyncWriteExt, sync::Mutex};

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

    /// Writes what `edit` makes of the contents and tells the watchers, unless it says `false`. A task: a caller that gives up leaves no half.
    async fn change(
        &self,
        event: SessionEvent,
        edit: impl FnOnce(&mut Contents) -> bool + Send + 'static,
    ) -> Result<bool, SessionError> {
        let store = self.clone();
        let change = async move {
            let mut contents = store.contents.lock().await;
            let mut edited = contents.clone();
            if !edit(&mut edited) {
                return Ok(false);
            }
            // A crash leaves the old file or the new one: it is on the disk before it has the name.
            let temporary = store.path.with_extension("tmp");
            let mut file = fs::File::create(&temporary).await?;
            file.write_all(&serde_json::to_vec(&edited)?).await?;
            file.flush().await?;
            file.sync_all().await?;
            fs::rename(&temporary, &store.path).await?;
            *contents = edited;
            store.changes.tell(event);
            Ok::<bool, io::Error>(true)
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
        let found = self.contents.lock().await.sessions.get(user).cloned();
        Ok(found.filter(|(_, until)| is_ahead(*until)).map(|(s, _)| s))
    }

    async fn save(&self, user: &UserId, session: &Session, e: Expiry) -> Result<(), SessionError> {
        let (key, value) = (user.clone(), (session.clone(), e.at()));
        let insert = |contents: &mut Contents| {
            contents.sessions.insert(key, value);
            true
        };
        let event = SessionEvent::Saved(user.clone());
        self.change(event, insert).await.map(drop)
    }

    async fn delete(&self, user: &UserId) -> Result<bool, SessionError> {
        let key = user.clone();
        self.change(SessionEvent::Deleted(user.clone()), move |contents| {
            let removed = contents.sessions.remove(&key);
            removed.is_some_and(|(_, until)| is_ahead(until))
        })
        .await
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
            true
        };
        let event = SessionEvent::Denied(token.clone());
        self.change(event, deny).await.map(drop)
    }

    async fn is_denied(&self, token: &TokenId) -> Result<bool, SessionError> {
        let until = self.contents.lock().await.denied.get(token).copied();
        Ok(until.is_some_and(|until| is_ahead(Some(until))))
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
