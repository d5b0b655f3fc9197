//! The subcommands, as they are written.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use slimy_rt::auth::Role;

use crate::values::lifetime;

/// What else the program does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a cookie that logs a user in, or revoke one
    Token(TokenArgs),
    /// Edit the sessions in the shared store that --sessions names; running servers follow
    #[command(subcommand)]
    Sessions(SessionsCommand),
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The user's id
    #[arg(long, value_name = "ID", required_unless_present = "revoke")]
    pub(crate) user: Option<String>,
    /// The name to show
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What the user may do
    #[arg(long, default_value = "member")]
    pub(crate) role: RoleArg,
    /// How long the token is valid
    #[arg(long, default_value = "12h", value_parser = lifetime, value_name = "TIME")]
    pub(crate) ttl: Duration,
    /// Revoke this token, bare or as `token` printed it, and end its sockets; without a value, or with -, the one on stdin
    #[arg(
        long,
        value_name = "TOKEN",
        num_args = 0..=1,
        default_missing_value = "-",
        conflicts_with_all = ["user", "name", "role", "ttl"]
    )]
    pub(crate) revoke: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// Store a user's session in place of any other, and print it
    Put {
        /// The user's id
        user: String,
        /// {"guilds":[{"id":"…","name":"…"}],"role":"admin"}; without it, or with -, it is read from stdin. A notBefore that is there stays unless it is named
        session: Option<String>,
        /// How long the session is kept [default: until it is deleted]
        #[arg(long, value_parser = lifetime, value_name = "TIME")]
        ttl: Option<Duration>,
    },
    /// Print a user's session
    Get {
        /// The user's id
        user: String,
    },
    /// Delete a user's session and end its sockets
    Delete {
        /// The user's id
        user: String,
    },
    /// Print all sessions, in the form of a sessions file
    List,
    /// Refuse all tokens that a user has so far, end its sockets, and print its session
    Revoke {
        /// The user's id
        user: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleArg {
    Member,
    Club,
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Member => Self::Member,
            RoleArg::Club => Self::Club,
            RoleArg::Admin => Self::Admin,
        }
    }
}
