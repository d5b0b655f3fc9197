//! Where sessions, messages, tokens and figures are kept, as the flags say it.

use std::path::PathBuf;

use clap::{Args, builder::BoolishValueParser};

/// The URLs of the four backends, and what goes with them.
#[derive(Debug, Args)]
pub(crate) struct BackendArgs {
    /// Where users' guilds are kept: memory:, postgres://… or redis://…
    #[arg(
        long,
        env = "SESSIONS_URL",
        hide_env_values = true,
        default_value = "memory:",
        value_name = "URL",
        global = true
    )]
    pub(crate) sessions: String,
    /// A JSON file {"USER":{"guilds":[{"id":"…","name":"…"}],"role":"admin"}}, loaded at start and on SIGHUP
    #[arg(long, env = "SESSIONS_FILE", value_name = "FILE")]
    pub(crate) sessions_file: Option<PathBuf>,
    /// What carries messages between nodes: memory: (one node), postgres://… or redis://…
    #[arg(
        long,
        env = "BROKER_URL",
        hide_env_values = true,
        default_value = "memory:",
        value_name = "URL"
    )]
    pub(crate) broker: String,
    /// What knows users: jwt:, or postgres://… or redis://… for tokens that are kept there
    #[arg(
        long,
        env = "AUTHENTICATOR_URL",
        hide_env_values = true,
        default_value = "jwt:",
        value_name = "URL",
        global = true
    )]
    pub(crate) authenticator: String,
    /// What knows how the system is doing: process:, uploads:DIR, postgres://… or redis://…; may be repeated
    #[arg(
        long,
        env = "METRICS_URL",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "process:",
        value_name = "URL"
    )]
    pub(crate) metrics: Vec<String>,
    /// A file with the password of every redis: URL that has none
    #[arg(long, env = "REDIS_PASSWORD_FILE", value_name = "FILE", global = true)]
    pub(crate) redis_password_file: Option<PathBuf>,
    /// End at once, with exit code 1, when a backend cannot be reached at the start
    #[arg(long, env = "REQUIRE_BACKENDS", value_parser = BoolishValueParser::new())]
    pub(crate) require_backends: bool,
}
