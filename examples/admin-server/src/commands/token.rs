//! `admin-server token`: a login by hand, and the end of one.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue, header};
use slimy_rt::{
    UserId,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
};

use super::{answer, argument_or_stdin, block_on, print};
use crate::{
    backends,
    config::{BackendArgs, LoginArgs, TokenArgs},
    engines::{EngineError, Tokens},
    failure::{Failure, chain},
    settings::{jwt, secrets},
};

const AUTHENTICATOR: &str = "--authenticator";

/// How long a token that does not expire by itself is denied.
const DENIED_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Prints a cookie that logs a user in, or revokes one.
pub(crate) fn token(
    args: TokenArgs,
    login: &LoginArgs,
    backends: &BackendArgs,
) -> Result<(), Failure> {
    let engine = backends::tokens(backends)?;
    let tokens = engine.map(|engine| engine.tokens(&login.cookie_name));
    match args.revoke {
        Some(token) => {
            let text = argument_or_stdin(Some(token))?;
            let token = bare(&text, &login.cookie_name);
            revoke(token, tokens, login, backends)
        }
        None => issue(args, tokens, login),
    }
}

fn issue(
    args: TokenArgs,
    tokens: Option<Arc<dyn Tokens>>,
    login: &LoginArgs,
) -> Result<(), Failure> {
    let id = UserId::parse(args.user.as_deref().unwrap_or_default());
    let id = id.map_err(|error| Failure::config(format!("--user: {error}")))?;
    let mut user = User::new(id, Role::from(args.role));
    if let Some(name) = args.name {
        user = user.global_name(name);
    }
    match tokens {
        Some(tokens) => block_on(async {
            let issued = tokens.issue(&user, args.ttl);
            let token = answer(AUTHENTICATOR, issued, engine_failed).await?;
            print(&format!("{}={token}\n", login.cookie_name))
        }),
        None => {
            let token = jwt_of(login)?.issue(&user, args.ttl);
            let token = token.map_err(|error| Failure::config(chain(&error)))?;
            print(&format!("{}={token}\n", login.cookie_name))
        }
    }
}

fn revoke(
    token: &str,
    tokens: Option<Arc<dyn Tokens>>,
    login: &LoginArgs,
    backends: &BackendArgs,
) -> Result<(), Failure> {
    let sessions = backends::sessions(backends)?;
    if sessions.is_none() && tokens.is_none() {
        return Err(Failure::config(
            "a signed token is denied in a store that servers share, and `memory:` is each server's own: name one with --sessions (SESSIONS_URL), or give the user a `notBefore` in the file of --sessions-file (SESSIONS_FILE) and send the server SIGHUP",
        ));
    }
    let authenticator: Arc<dyn Authenticator> = match &tokens {
        Some(tokens) => Arc::clone(tokens) as _,
        None => Arc::new(jwt_of(login)?),
    };
    let handshake = handshake(token, &login.cookie_name)?;
    block_on(async {
        let asked = authenticator.authenticate(&handshake);
        let identity = answer(AUTHENTICATOR, asked, not_valid).await?;
        // First the denial, which ends its sockets: after the other half nobody knows which they are.
        match sessions {
            Some(engine) => deny(&identity, &*engine.sessions()).await?,
            None => tracing::warn!(
                "sockets that are connected with it end only where servers keep sessions beside the tokens: --sessions names no store to deny it in"
            ),
        }
        if let Some(tokens) = tokens {
            answer(AUTHENTICATOR, tokens.revoke(token), engine_failed).await?;
        }
        print(&format!(
            "revoked a token of {:?}\n",
            identity.user.id.as_str()
        ))
    })
}

async fn deny(
    identity: &Identity,
    sessions: &dyn slimy_rt::session::SessionStore,
) -> Result<(), Failure> {
    let Some(token) = &identity.token else {
        return Err(Failure::start("this token has no name to deny it by"));
    };
    let until = identity.expires_at;
    let until = until.unwrap_or_else(|| SystemTime::now() + DENIED_FOR);
    let failed = |error| Failure::start(format!("--sessions: {}", chain(&error)));
    answer("--sessions", sessions.deny(token, until), failed).await
}

fn jwt_of(login: &LoginArgs) -> Result<slimy_rt::auth::JwtAuthenticator, Failure> {
    let Some(secrets) = secrets(login)? else {
        return Err(Failure::config(
            "a token is signed with JWT_SECRET: set it as for the server, or name a store of tokens with --authenticator",
        ));
    };
    jwt(secrets, &login.cookie_name)
}

/// The token alone, of one as `token` printed it.
fn bare<'a>(text: &'a str, cookie_name: &str) -> &'a str {
    let text = text.trim();
    let cookie = text.strip_prefix(cookie_name);
    cookie
        .and_then(|rest| rest.strip_prefix('='))
        .unwrap_or(text)
}

/// As if somebody came with that token.
fn handshake(token: &str, cookie_name: &str) -> Result<Handshake, Failure> {
    let cookie = HeaderValue::from_str(&format!("{cookie_name}={token}"));
    let cookie = cookie.map_err(|_| Failure::config("--revoke: this is no token"))?;
    let headers = HeaderMap::from_iter([(header::COOKIE, cookie)]);
    Ok(Handshake::builder(&headers, [127, 0, 0, 1].into()).build())
}

fn not_valid(error: AuthError) -> Failure {
    match error {
        AuthError::Unavailable(_) => Failure::start(format!("{AUTHENTICATOR}: {}", chain(&error))),
        error => Failure::absent(format!("there is nothing to revoke: {error}")),
    }
}

fn engine_failed(error: EngineError) -> Failure {
    Failure::start(format!("{AUTHENTICATOR}: {}", chain(&*error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_they_are_printed() {
        for text in ["abc=", "  abc=\n", "slimy_admin_token=abc=\n"] {
            assert_eq!(bare(text, "slimy_admin_token"), "abc=");
        }
        assert!(handshake("a\nb", "c").is_err());
    }
}
