//! What the program does beside serving.

use clap::ValueEnum;
use slimy_rt::{
    UserId,
    auth::{Role, User},
};

use crate::{
    config::{LoginArgs, SessionsArgs, TokenArgs},
    failure::{Failure, chain},
    settings::{check_url, jwt, secrets},
};

/// Prints a cookie that logs a user in.
pub(crate) fn token(args: TokenArgs, login: &LoginArgs) -> Result<(), Failure> {
    let Some(secrets) = secrets(login)? else {
        return Err(Failure::config(
            "a token is signed with JWT_SECRET: set it as for the server",
        ));
    };
    let id = UserId::parse(&args.user);
    let id = id.map_err(|error| Failure::config(format!("--user: {error}")))?;
    let mut user = User::new(id, Role::from(args.role));
    if let Some(name) = args.name {
        user = user.global_name(name);
    }
    let token = jwt(secrets, &login.cookie_name)?.issue(&user, args.ttl);
    let token = token.map_err(|error| Failure::config(chain(&error)))?;
    println!("{}={token}", login.cookie_name);
    Ok(())
}

/// Edits the sessions of a shared store; this build has none.
pub(crate) fn sessions(args: &SessionsArgs, url: &str) -> Result<(), Failure> {
    check_url("--sessions", url, &["memory:"])?;
    let action = args.action.to_possible_value();
    let action = action.as_ref().map_or("", |action| action.get_name());
    let users = args.arguments.join(" ");
    let command = format!("sessions {action} {users}");
    Err(Failure::config(format!(
        "`{}` edits a store that servers share, and `memory:` is each server's own: change the file of --sessions-file (SESSIONS_FILE) and send the server SIGHUP",
        command.trim_end()
    )))
}
