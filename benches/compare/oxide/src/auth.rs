//! Who connects: the cookie's token, and the guilds of that user's session.

use std::{collections::HashMap, fmt, sync::Arc};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use socketioxide::{
    adapter::Adapter,
    extract::{SocketRef, State},
};

const COOKIE: &str = "slimy_admin_token";

pub(crate) struct Auth {
    key: DecodingKey,
    validation: Validation,
    sessions: HashMap<String, Session>,
}

#[derive(Default, Deserialize)]
pub(crate) struct Session {
    guilds: Vec<Guild>,
}

#[derive(Deserialize)]
struct Guild {
    id: Arc<str>,
}

#[derive(Deserialize)]
struct Claims {
    sub: Arc<str>,
    role: Option<String>,
    username: Option<Arc<str>>,
    #[serde(rename = "globalName")]
    global_name: Option<Arc<str>>,
}

/// What the handlers know of a connected user.
pub(crate) struct User {
    pub(crate) id: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) is_admin: bool,
    pub(crate) guilds: Vec<Arc<str>>,
}

/// The reason why a socket is refused, as the client gets it.
pub(crate) struct NotAuthorized;

impl fmt::Display for NotAuthorized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not_authorized")
    }
}

/// Middleware of the namespace: leaves the user with the socket, for its handlers.
pub(crate) async fn authenticate<A: Adapter>(
    socket: SocketRef<A>,
    State(auth): State<Arc<Auth>>,
) -> Result<(), NotAuthorized> {
    let cookies = socket.req_parts().headers.get("cookie");
    let user = cookies
        .and_then(|cookies| auth.user(cookies.to_str().ok()?))
        .ok_or(NotAuthorized)?;
    socket.extensions.insert(Arc::new(user));
    Ok(())
}

impl Auth {
    pub(crate) fn new(secret: &str, sessions: HashMap<String, Session>) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        Self {
            key: DecodingKey::from_secret(secret.as_bytes()),
            validation,
            sessions,
        }
    }

    fn user(&self, cookies: &str) -> Option<User> {
        let token = cookies
            .split(';')
            .filter_map(|cookie| cookie.trim().split_once('='))
            .find_map(|(name, value)| (name == COOKIE).then_some(value))?;
        let claims = decode::<Claims>(token, &self.key, &self.validation)
            .ok()?
            .claims;
        let guilds = match self.sessions.get(&*claims.sub) {
            Some(session) => session
                .guilds
                .iter()
                .map(|guild| guild.id.clone())
                .collect(),
            None => Vec::new(),
        };
        Some(User {
            name: claims
                .global_name
                .or(claims.username)
                .unwrap_or_else(|| claims.sub.clone()),
            id: claims.sub,
            is_admin: claims.role.as_deref() == Some("admin"),
            guilds,
        })
    }
}
