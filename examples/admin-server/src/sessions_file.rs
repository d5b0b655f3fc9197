//! The sessions file: users' guilds as JSON, for either kind of store.

use std::{collections::HashMap, fs, path::Path, sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use slimy_rt::{
    UserId,
    session::{Expiry, Session, SessionError, SessionStore},
};
use slimy_rt_backends::memory::MemorySessionStore;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::failure::chain;

/// How many users are added to a shared store at once.
const CONCURRENT_ADDS: usize = 16;
/// How long to wait before asking a store again that could not answer.
const RETRY: Duration = Duration::from_secs(1);

/// What is in a sessions file.
pub(crate) type Sessions = HashMap<UserId, Session>;

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<Sessions, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot load {}: {error}", path.display());
    let text = fs::read(path).map_err(|error| failed(&error))?;
    serde_json::from_slice(&text).map_err(|error| failed(&error))
}

/// Makes the sessions those of the store: users that are gone from it are deleted. On an error the store is as it was.
pub(crate) fn replace(store: &MemorySessionStore, sessions: Sessions) -> Result<(), SessionError> {
    let users = sessions.len();
    let changed = store.replace_all(sessions)?;
    let (saved, deleted) = (changed.saved, changed.deleted);
    tracing::info!(users, saved, deleted, "sessions loaded from their file");
    Ok(())
}

/// Adds the newest sessions to a shared store, whenever there are new ones, however long the store is away. Other users' stay as they are.
/// Says when it has tried for the first time.
pub(crate) async fn add_forever(
    store: Arc<dyn SessionStore>,
    mut newest: watch::Receiver<Arc<Sessions>>,
    tried: oneshot::Sender<()>,
) {
    let mut tried = Some(tried);
    let mut is_told = false;
    loop {
        let sessions = Arc::clone(&newest.borrow_and_update());
        let added = add(&store, &sessions).await;
        if let Some(tried) = tried.take() {
            // Nobody waits for it any more when the start is over.
            let _ = tried.send(());
        }
        match added {
            Ok(saved) => {
                let users = sessions.len();
                tracing::info!(users, saved, "sessions added from their file");
            }
            Err(error) if error.is_retryable() => {
                if !is_told {
                    let error = chain(&error);
                    tracing::warn!(error, "cannot add the sessions file yet; trying again");
                }
                is_told = true;
                // A newer file counts at once, and the end of the program is no reason to go on.
                match timeout(RETRY, newest.changed()).await {
                    Ok(Err(_)) => return,
                    Ok(Ok(())) | Err(_) => continue,
                }
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "cannot add the sessions file");
            }
        }
        is_told = false;
        if newest.changed().await.is_err() {
            return;
        }
    }
}

/// Saves what is not there already, and says how many that were.
async fn add(store: &Arc<dyn SessionStore>, sessions: &Sessions) -> Result<usize, SessionError> {
    let adds = sessions.clone().into_iter();
    let adds = adds.map(|(user, session)| add_one(Arc::clone(store), user, session));
    let added = stream::iter(adds).buffer_unordered(CONCURRENT_ADDS);
    let count = async |sum, saved| Ok(sum + usize::from(saved));
    added.try_fold(0, count).await
}

async fn add_one(
    store: Arc<dyn SessionStore>,
    user: UserId,
    mut session: Session,
) -> Result<bool, SessionError> {
    let old = store.load(&user).await?;
    // A file that knows nothing of a revocation must not undo it.
    let revoked = old.as_ref().and_then(|old| old.not_before);
    session.not_before = session.not_before.max(revoked);
    if old.as_ref() == Some(&session) {
        return Ok(false);
    }
    let saved = store.save(&user, &session, Expiry::Never);
    saved.await.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    fn sessions(text: &str) -> Sessions {
        serde_json::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn replaces_what_was_there_or_changes_nothing() {
        let path =
            std::env::temp_dir().join(format!("admin-server-sessions-{}.json", std::process::id()));
        let store = MemorySessionStore::new();
        let load = || replace(&store, read(&path)?).map_err(|error| chain(&error));

        fs::write(
            &path,
            r#"{"alice":{"guilds":[{"id":1176605506912141444}]},"7":{"guilds":[],"role":"admin"}}"#,
        )
        .unwrap();
        load().unwrap();
        let session = store.load(&user("alice")).await.unwrap().unwrap();
        assert!(session.has_guild("1176605506912141444"));
        assert!(store.load(&user("7")).await.unwrap().is_some());

        fs::write(&path, r#"{"alice":{"guilds":["#).unwrap();
        let error = load().unwrap_err();
        assert!(error.contains("admin-server-sessions-"), "{error}");
        assert!(store.load(&user("7")).await.unwrap().is_some());

        fs::write(&path, r#"{"alice":{"guilds":[]}}"#).unwrap();
        load().unwrap();
        assert!(store.load(&user("7")).await.unwrap().is_none());
        fs::remove_file(&path).unwrap();
        assert!(load().is_err());
    }

    #[tokio::test]
    async fn a_shared_store_is_only_added_to() {
        let store = MemorySessionStore::new();
        let there = sessions(r#"{"bob":{"role":"club"},"eve":{"notBefore":50}}"#);
        replace(&store, there).unwrap();
        let file =
            sessions(r#"{"alice":{"role":"admin"},"eve":{"guilds":[{"id":"1"}],"notBefore":40}}"#);
        let shared = Arc::new(store.clone()) as Arc<dyn SessionStore>;
        assert_eq!(add(&shared, &file).await.unwrap(), 2);
        assert_eq!(
            add(&shared, &file).await.unwrap(),
            0,
            "the same again is no change"
        );
        assert!(store.load(&user("bob")).await.unwrap().is_some());
        let eve = store.load(&user("eve")).await.unwrap().unwrap();
        assert!(eve.has_guild("1"));
        assert_eq!(eve.not_before, Some(50), "a revocation stays");
    }
}
