//! Logging in, out, and who one is.

use std::time::{Duration, SystemTime};

use axum::{
    Json,
    extract::{FromRequestParts, Query, Request, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize};

use super::{ApiError, ApiState, manners::Asked};
use crate::{
    GuildId, UserId,
    auth::{Handshake, Role},
    server::{Access, Authorized, Refusal, forwarded::Client},
};

/// The longest `returnTo` that is kept, in bytes.
const MAX_RETURN_TO_BYTES: usize = 2048;

/// How long a token that does not expire by itself stays denied after its logout.
const DENIED_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Whoever sends a valid login: an extractor that refuses everyone else. The same is asked as of a socket, but that belonging to no
/// guild is no obstacle.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Authorized);

impl FromRequestParts<ApiState> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let asked = parts.extensions.get::<Asked>().cloned();
        let client = asked.as_ref().map_or_else(
            || {
                state
                    .server()
                    .proxies()
                    .client(&parts.extensions, &parts.headers)
            },
            |asked| asked.client,
        );
        let server = state.server();
        let identity = server.identify(&handshake(parts, &client)).await?;
        if let Some(asked) = asked {
            // Told before anything else can fail. The first to authenticate a request has told the log who it is.
            asked.user.get_or_init(|| identity.user.id.clone());
        }
        let access = server.access(&identity).await?;
        Ok(Self(Authorized { identity, access }))
    }
}

fn handshake(parts: &Parts, client: &Client) -> Handshake {
    Handshake::builder(&parts.headers, client.addr)
        .query(parts.uri.query().unwrap_or_default())
        .secure(client.secure)
        .build()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Login {
    return_to: Option<String>,
}

/// Sends a browser to the page that logs in.
pub(super) async fn login(
    State(state): State<ApiState>,
    query: Result<Query<Login>, QueryRejection>,
) -> Result<Response, ApiError> {
    let page = &state.inner.login_page;
    // A query that cannot be read has no path to return to.
    let return_to = query.ok().and_then(|Query(query)| query.return_to);
    let location = match return_to.filter(|path| is_own_path(path)) {
        Some(path) => format!("{page}?returnTo={}", percent_encoded(&path)),
        None => page.to_string(),
    };
    let location = HeaderValue::from_str(&location).map_err(ApiError::server)?;
    Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}

/// Whether a browser that is sent there stays on this server. `//` and `/\` begin another host's address; control characters are dropped by
/// browsers, so that they can hide these (URL standard, "basic URL parser").
fn is_own_path(path: &str) -> bool {
    path.len() <= MAX_RETURN_TO_BYTES
        && path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains(|c: char| c == '\\' || c.is_control())
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Me {
    id: UserId,
    username: Option<Box<str>>,
    global_name: Option<Box<str>>,
    avatar: Option<Box<str>>,
    role: Role,
    guilds: Vec<GuildOfMe>,
}

/// Unlike in a session, a name that is not known is there, as null.
#[derive(Serialize)]
struct GuildOfMe {
    id: GuildId,
    name: Option<Box<str>>,
    roles: Vec<Box<str>>,
}

pub(super) async fn me(Authenticated(authorized): Authenticated) -> Json<Me> {
    let Authorized {
        identity, access, ..
    } = authorized;
    let Access { role, guilds, .. } = access;
    let user = identity.user;
    let guilds = guilds.into_iter().map(|guild| GuildOfMe {
        id: guild.id,
        name: guild.name,
        roles: guild.roles,
    });
    Json(Me {
        id: user.id,
        username: user.username,
        global_name: user.global_name,
        avatar: user.avatar,
        role,
        guilds: guilds.collect(),
    })
}

/// Clears the cookie and denies its token; whoever follows the store then ends the token's sockets. When the store cannot deny it, the cookie
/// stays, so that the user can try again: a login that looks over and is not would be worse.
pub(super) async fn logout(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let server = state.server();
    let client = server.proxies().client(&parts.extensions, &parts.headers);
    match server.authorize(&handshake(&parts, &client)).await {
        Ok(authorized) => {
            if let Some(asked) = parts.extensions.get_mut::<Asked>() {
                asked
                    .user
                    .get_or_init(|| authorized.identity.user.id.clone());
            }
            deny(&state, &authorized).await?;
        }
        // There is no login that could go on.
        Err(Refusal::NotAuthorized(_) | Refusal::NoGuildContext) => {}
        Err(unavailable) => return Err(unavailable.into()),
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cleared) = state.cookie().clear(client.secure) {
        response.headers_mut().append(header::SET_COOKIE, cleared);
    }
    Ok(response)
}

async fn deny(state: &ApiState, authorized: &Authorized) -> Result<(), ApiError> {
    let identity = &authorized.identity;
    let (Some(sessions), Some(token)) = (state.server().sessions(), &identity.token) else {
        return Ok(());
    };
    let until = identity
        .expires_at
        .unwrap_or_else(|| SystemTime::now() + DENIED_FOR);
    let denied = sessions.deny(token, until).await;
    denied.map_err(ApiError::unavailable)?;
    tracing::info!(user = %identity.user.id, "logged out");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_server_are_returned_to() {
        for own in ["/", "/chat", "/chat?guild=1#top", "/a//b", "/ä"] {
            assert!(is_own_path(own), "{own}");
        }
        let long = format!("/{}", "x".repeat(MAX_RETURN_TO_BYTES));
        for foreign in [
            "",
            "chat",
            "//x",
            "/\\x",
            "/\t/x",
            "/\n",
            "\\\\x",
            " /x",
            "https://x",
            &long,
        ] {
            assert!(!is_own_path(foreign), "{foreign:?}");
        }
        assert_eq!(percent_encoded("/a?b=1&c#ä"), "/a%3Fb%3D1%26c%23%C3%A4");
    }
}
