//! `admin-server sessions`: a shared store, edited while servers follow it.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use slimy_rt::{
    UserId,
    session::{self, Expiry, Session, SessionError, SessionStore},
};

use super::{answer, argument_or_stdin, block_on, print};
use crate::{
    backends,
    config::{BackendArgs, SessionsCommand},
    failure::{Failure, chain},
};

/// How many sessions are asked for at once.
const PAGE: usize = 500;

/// What a session can have. A slip of the pen would throw a user out of all guilds.
const FIELDS: [&str; 3] = ["guilds", "role", "notBefore"];

/// Edits or shows the shared store's sessions.
pub(crate) fn sessions(command: SessionsCommand, args: &BackendArgs) -> Result<(), Failure> {
    let Some(engine) = backends::sessions(args)? else {
        return Err(Failure::config(
            "`admin-server sessions` edits a store that servers share, and `memory:` is each server's own: name one with --sessions (SESSIONS_URL), or change the file of --sessions-file (SESSIONS_FILE) and send the server SIGHUP",
        ));
    };
    block_on(async {
        let store = Store(engine.sessions());
        match command {
            SessionsCommand::Put { user, session, ttl } => {
                let user = parse_user(&user)?;
                store.put(&user, &argument_or_stdin(session)?, ttl).await
            }
            SessionsCommand::Get { user } => store.get(&parse_user(&user)?).await,
            SessionsCommand::Delete { user } => store.delete(&parse_user(&user)?).await,
            SessionsCommand::List => store.list().await,
            SessionsCommand::Revoke { user } => store.revoke(&parse_user(&user)?).await,
        }
    })
}

struct Store(Arc<dyn SessionStore>);

impl Store {
    async fn put(&self, user: &UserId, text: &str, ttl: Option<Duration>) -> Result<(), Failure> {
        let (mut session, names_revocation) = parse_session(text)?;
        if !names_revocation {
            // Whoever only changes guilds must not make old tokens valid again.
            session.not_before = self.load(user).await?.and_then(|old| old.not_before);
        }
        let expiry = ttl.map_or(Expiry::Never, Expiry::In);
        self.save(user, &session, expiry).await
    }

    async fn get(&self, user: &UserId) -> Result<(), Failure> {
        match self.load(user).await? {
            Some(session) => print(&line(&session)?),
            None => Err(none_of(user)),
        }
    }

    async fn delete(&self, user: &UserId) -> Result<(), Failure> {
        match ask(self.0.delete(user)).await? {
            true => Ok(()),
            false => Err(none_of(user)),
        }
    }

    /// One JSON object, with a line for each user.
    async fn list(&self) -> Result<(), Failure> {
        let (mut after, mut is_empty) = (None, true);
        loop {
            let page = ask(self.0.list(after.as_ref(), PAGE)).await?;
            let is_last = page.sessions.len() < PAGE;
            for (user, session) in &page.sessions {
                let before = if is_empty { "{" } else { "," };
                print(&format!("{before}\n{}:{}", json(user)?, json(session)?))?;
                is_empty = false;
            }
            match page.sessions.into_iter().next_back() {
                Some((user, _)) if !is_last => after = Some(user),
                _ if is_empty => return print("{}\n"),
                _ => return print("\n}\n"),
            }
        }
    }

    async fn revoke(&self, user: &UserId) -> Result<(), Failure> {
        let session = ask(session::revoke(&*self.0, user)).await?;
        print(&line(&session)?)
    }

    async fn load(&self, user: &UserId) -> Result<Option<Session>, Failure> {
        ask(self.0.load(user)).await
    }

    async fn save(&self, user: &UserId, session: &Session, expiry: Expiry) -> Result<(), Failure> {
        ask(self.0.save(user, session, expiry)).await?;
        print(&line(session)?)
    }
}

async fn ask<T>(question: impl Future<Output = Result<T, SessionError>>) -> Result<T, Failure> {
    let failed = |error: SessionError| {
        let text = format!("--sessions: {}", chain(&error));
        match error {
            SessionError::Invalid(_) => Failure::config(text),
            _ => Failure::start(text),
        }
    };
    answer("--sessions", question, failed).await
}

fn parse_user(text: &str) -> Result<UserId, Failure> {
    UserId::parse(text).map_err(|error| Failure::config(format!("the user's id: {error}")))
}

/// The session, and whether it says anything of a revocation.
fn parse_session(text: &str) -> Result<(Session, bool), Failure> {
    let wrong = |why: String| {
        Failure::config(format!(
            "the session: {why}; write it as {{\"guilds\":[{{\"id\":\"…\"}}],\"role\":\"admin\"}}"
        ))
    };
    let value: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let Some(fields) = value.as_object() else {
        return Err(wrong("it is no JSON object".to_owned()));
    };
    if let Some(unknown) = fields
        .keys()
        .find(|field| !FIELDS.contains(&field.as_str()))
    {
        return Err(wrong(format!("it has an unknown field {unknown:?}")));
    }
    let names_revocation = fields.contains_key("notBefore");
    let session = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
    Ok((session, names_revocation))
}

fn none_of(user: &UserId) -> Failure {
    Failure::absent(format!("the user {:?} has no session", user.as_str()))
}

fn line(session: &Session) -> Result<String, Failure> {
    json(session).map(|text| text + "\n")
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value);
    text.map_err(|error| Failure::start(format!("cannot write JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_objects_of_known_fields() {
        let (session, names_revocation) = parse_session(r#"{"guilds":[{"id":7}]}"#).unwrap();
        assert!(session.has_guild("7") && !names_revocation);
        let (session, names_revocation) = parse_session(r#"{"notBefore":null}"#).unwrap();
        assert!(session.not_before.is_none() && names_revocation);
        for (bad, said) in [
            ("", "EOF"),
            ("[]", "no JSON object"),
            (r#"{"guild":[]}"#, "\"guild\""),
            (r#"{"guilds":{}}"#, "guilds"),
            (r#"{"guilds":[{"name":"x"}]}"#, "id"),
        ] {
            let error = parse_session(bad).unwrap_err().to_string();
            assert!(
                error.contains(said) || error.contains("sequence"),
                "{bad}: {error}"
            );
        }
    }
}
