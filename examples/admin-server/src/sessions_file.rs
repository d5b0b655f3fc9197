//! The sessions file: users' guilds as JSON, for a store in memory.

use std::{collections::HashMap, fs, path::Path};

use slimy_rt::{UserId, session::Session};
use slimy_rt_backends::memory::MemorySessionStore;

/// Makes the file's sessions those of the store: users that are gone from it are deleted. On an error the store is as it was.
pub(crate) fn load(path: &Path, store: &MemorySessionStore) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot load {}: {error}", path.display());
    let text = fs::read(path).map_err(|error| failed(&error))?;
    let sessions: HashMap<UserId, Session> =
        serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    let users = sessions.len();
    let changed = store
        .replace_all(sessions)
        .map_err(|error| failed(&error))?;
    let (saved, deleted) = (changed.saved, changed.deleted);
    tracing::info!(
        users,
        saved,
        deleted,
        "sessions loaded from {}",
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use slimy_rt::session::SessionStore;

    use super::*;

    #[tokio::test]
    async fn replaces_what_was_there_or_changes_nothing() {
        let path =
            std::env::temp_dir().join(format!("admin-server-sessions-{}.json", std::process::id()));
        let store = MemorySessionStore::new();
        let (alice, bob) = (UserId::parse("alice").unwrap(), UserId::parse("7").unwrap());

        fs::write(
            &path,
            r#"{"alice":{"guilds":[{"id":1176605506912141444}]},"7":{"guilds":[],"role":"admin"}}"#,
        )
        .unwrap();
        load(&path, &store).unwrap();
        let session = store.load(&alice).await.unwrap().unwrap();
        assert!(session.has_guild("1176605506912141444"));
        assert!(store.load(&bob).await.unwrap().is_some());

        fs::write(&path, r#"{"alice":{"guilds":["#).unwrap();
        let error = load(&path, &store).unwrap_err();
        assert!(error.contains("admin-server-sessions-"), "{error}");
        assert!(store.load(&bob).await.unwrap().is_some());

        fs::write(&path, r#"{"alice":{"guilds":[]}}"#).unwrap();
        load(&path, &store).unwrap();
        assert!(store.load(&bob).await.unwrap().is_none());
        fs::remove_file(&path).unwrap();
        assert!(load(&path, &store).is_err());
    }
}
