//! The demo: three users, two guilds, one click to log in, and nobody from elsewhere.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, StatusCode, header, uri::Authority};
use serde::Deserialize;
use slimy_rt::{
    GuildId, InvalidId, UserId,
    api::{ApiError, ApiJson, ApiState, ErrorCode},
    auth::{JwtAuthenticator, Role, User},
    server::forwarded::{Peer, TrustedProxies},
    session::{Guild, Session},
};

/// The guilds: Discord's ids are as long.
const GUILDS: [(&str, &str); 2] = [
    ("1176605506912141444", "Slime HQ"),
    ("1176605506912141445", "Slime Lab"),
];

/// Which of the three to be.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Who {
    Admin,
    Club,
    Member,
}

#[derive(Debug, Deserialize)]
struct Login {
    user: Who,
}

impl Who {
    const ALL: [Self; 3] = [Self::Admin, Self::Club, Self::Member];

    fn user(self) -> Result<User, InvalidId> {
        let (id, name, role) = match self {
            Self::Admin => ("demo-admin", "Admin", Role::Admin),
            Self::Club => ("demo-club", "Club member", Role::Club),
            Self::Member => ("demo-member", "Member", Role::Member),
        };
        Ok(User::new(UserId::parse(id)?, role)
            .username(id)
            .global_name(name))
    }

    fn guilds(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Admin | Self::Club => &GUILDS,
            Self::Member => &GUILDS[..1],
        }
    }
}

/// The three users' sessions.
pub(crate) fn sessions() -> Result<Vec<(UserId, Session)>, InvalidId> {
    let session = |who: Who| {
        let guild = |(id, name): &(&str, &str)| Ok(Guild::new(GuildId::parse(id)?).name(*name));
        let guilds = who
            .guilds()
            .iter()
            .map(guild)
            .collect::<Result<_, InvalidId>>()?;
        Ok((who.user()?.id, Session::new(guilds)))
    };
    Who::ALL.into_iter().map(session).collect()
}

#[derive(Clone)]
struct Demo {
    api: ApiState,
    jwt: Arc<JwtAuthenticator>,
}

/// `POST /api/auth/demo` `{"user":"admin"|"club"|"member"}`: sets the cookie.
pub(crate) fn routes(api: ApiState, jwt: Arc<JwtAuthenticator>) -> Router {
    Router::new()
        .route("/api/auth/demo", post(login))
        .with_state(Demo { api, jwt })
}

async fn login(
    State(demo): State<Demo>,
    peer: Option<Extension<Peer>>,
    ApiJson(Login { user }): ApiJson<Login>,
) -> Result<Response, ApiError> {
    let cookie = demo.api.cookie();
    let user = user.user().map_err(ApiError::server)?;
    let token = demo
        .jwt
        .issue(&user, cookie.lifetime())
        .map_err(ApiError::server)?;
    // Nothing that was forwarded gets past the guard: the peer is the client.
    let secure = peer.is_some_and(|Extension(peer)| peer.secure);
    let set = cookie.set(&token, secure);
    let set = set.ok_or_else(|| ApiError::server("the token does not fit into a cookie"))?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().append(header::SET_COOKIE, set);
    Ok(response)
}

/// Refuses whatever may come from another machine: through a proxy, or from a page whose host name was made to point here.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let client = TrustedProxies::none().client(request.extensions(), request.headers());
    // A request in absolute form names its host twice.
    let target = request.uri().authority().is_none_or(is_loopback_host);
    let host = has_loopback_host(request.headers());
    if client.addr.is_loopback() && !client.forwarded && host && target {
        return next.run(request).await;
    }
    let text = "The demo answers only on its own machine: set JWT_SECRET to serve others.";
    ApiError::new(ErrorCode::Forbidden, text).answer(request.headers())
}

fn has_loopback_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    host.as_bytes()
        .try_into()
        .is_ok_and(|authority| is_loopback_host(&authority))
}

fn is_loopback_host(authority: &Authority) -> bool {
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let is_loopback = |ip: std::net::IpAddr| ip.to_canonical().is_loopback();
    !authority.as_str().contains('@')
        && (host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn hosts_of_this_machine_are_answered() {
        let answered = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            has_loopback_host(&headers)
        };
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:3080",
            "[::1]:3080",
            "[::1]",
            "127.9.9.9",
        ] {
            assert!(answered(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "0.0.0.0",
            "localhost@evil.example",
            "x@localhost",
            "a b",
        ] {
            assert!(!answered(host), "{host}");
        }
    }

    #[test]
    fn three_users_live_in_two_guilds() {
        let sessions = sessions().unwrap();
        let guilds: Vec<_> = sessions
            .iter()
            .map(|(_, session)| session.guilds.len())
            .collect();
        assert_eq!(guilds, [2, 2, 1]);
    }
}
