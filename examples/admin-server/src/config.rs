//! The flags and environment variables, as they are written. What they mean together is for `settings`.

mod backends;
mod commands;
mod diagnostics;

use std::{
    ffi::OsStr,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use clap::{
    ArgMatches, Args, CommandFactory, Parser, ValueEnum, builder::BoolishValueParser,
    parser::ValueSource,
};
use slimy_rt::{
    auth::DEFAULT_COOKIE_NAME,
    chat::{Audience, ChatRate},
};

pub(crate) use self::{
    backends::BackendArgs,
    commands::{Command, SessionsCommand, TokenArgs},
    diagnostics::DiagnosticsArgs,
};
use crate::{
    engines::has_password,
    values::{PacketLimit, Recovery, listen_address},
};

/// The admin chat server. Without a JWT secret it runs as a demo, on this machine only.
#[derive(Debug, Parser)]
#[command(name = "admin-server", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) login: LoginArgs,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What logging in depends on: also needed to make a token.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Secrets of at least 32 bytes, separated by commas: the first signs, all verify. Better in the variable or a file
    #[arg(
        long,
        env = "JWT_SECRET",
        hide_env_values = true,
        value_name = "SECRETS",
        global = true
    )]
    pub(crate) jwt_secret: Option<String>,
    /// A file with the secrets, one on each line
    #[arg(long, env = "JWT_SECRET_FILE", value_name = "FILE", global = true)]
    pub(crate) jwt_secret_file: Option<PathBuf>,
    /// The cookie that holds the token
    #[arg(long, env = "ADMIN_TOKEN_COOKIE", default_value = DEFAULT_COOKIE_NAME, value_name = "NAME", global = true)]
    pub(crate) cookie_name: String,
}

/// The server's flags.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 picks one [default: 127.0.0.1:3080]
    #[arg(long, env = "ADMIN_LISTEN", value_parser = listen_address, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    // The Node service's names, in their order.
    #[arg(long, env = "HOST", hide = true)]
    pub(crate) host: Option<String>,
    #[arg(long, env = "PORT", hide = true)]
    pub(crate) port: Option<String>,
    #[arg(long, env = "ADMIN_API_HOST", hide = true)]
    pub(crate) admin_api_host: Option<String>,
    #[arg(long, env = "ADMIN_API_PORT", hide = true)]
    pub(crate) admin_api_port: Option<String>,

    /// Send the cookie to this domain and those below it
    #[arg(long, env = "COOKIE_DOMAIN", value_name = "DOMAIN")]
    pub(crate) cookie_domain: Option<String>,
    /// With which requests of other sites the cookie is sent
    #[arg(
        long,
        env = "COOKIE_SAMESITE",
        default_value = "lax",
        ignore_case = true
    )]
    pub(crate) cookie_samesite: SameSiteArg,
    /// Origins of the pages that may use the server, separated by commas; its own always may
    #[arg(
        long,
        env = "CORS_ORIGIN",
        value_delimiter = ',',
        value_name = "ORIGINS"
    )]
    pub(crate) cors_origin: Vec<String>,
    #[arg(
        long,
        env = "ADMIN_ALLOWED_ORIGINS",
        value_delimiter = ',',
        hide = true
    )]
    pub(crate) admin_allowed_origins: Vec<String>,
    /// Proxies whose X-Forwarded-For, -Proto and -Host are believed: networks, separated by commas
    #[arg(
        long,
        env = "TRUSTED_PROXIES",
        default_value = "",
        value_name = "CIDRS"
    )]
    pub(crate) trusted_proxies: String,
    /// A PEM file with the certificate and its chain; read again on SIGHUP
    #[arg(long, env = "TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// A PEM file with the certificate's key; read again on SIGHUP
    #[arg(long, env = "TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) backends: BackendArgs,
    #[command(flatten)]
    pub(crate) diagnostics: DiagnosticsArgs,

    /// Who receives a message: the guild's members, or everyone
    #[arg(
        long,
        env = "CHAT_AUDIENCE",
        default_value = "guild",
        value_name = "guild|everyone"
    )]
    pub(crate) chat_audience: Audience,
    /// How many messages a user may send; off is no limit
    #[arg(
        long,
        env = "CHAT_RATE",
        default_value = "20/10s",
        value_name = "N/TIME"
    )]
    pub(crate) chat_rate: ChatRate,
    /// How many packets a connection may send, with bursts of twice that; 0 is no limit
    #[arg(
        long,
        env = "PACKET_RATE",
        default_value = "200/1s",
        value_name = "N/TIME"
    )]
    pub(crate) packet_rate: PacketLimit,
    /// The API key of the bot's OpenAI-compatible endpoint. Better in the variable or a file
    #[arg(
        long,
        env = "OPENAI_API_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub(crate) openai_api_key: Option<String>,
    /// A file with the API key
    #[arg(long, env = "OPENAI_API_KEY_FILE", value_name = "FILE")]
    pub(crate) openai_api_key_file: Option<PathBuf>,
    /// The endpoint's URL, up to and without /chat/completions
    #[arg(long, env = "OPENAI_BASE_URL", value_name = "URL")]
    pub(crate) openai_base_url: Option<String>,
    /// The model to ask
    #[arg(long, env = "OPENAI_MODEL", value_name = "NAME")]
    pub(crate) openai_model: Option<String>,
    /// How long the bot's answer may take
    #[arg(long, env = "OPENAI_TIMEOUT_MS", default_value = "20000", value_parser = millis, value_name = "MS")]
    pub(crate) openai_timeout_ms: Duration,
    /// How many questions to the bot may be open at a time
    #[arg(long, env = "BOT_MAX_OPEN", default_value_t = 8, value_name = "N")]
    pub(crate) bot_max_open: usize,

    /// From one heartbeat to the next
    #[arg(long, env = "PING_INTERVAL_MS", default_value = "25000", value_parser = millis, value_name = "MS")]
    pub(crate) ping_interval_ms: Duration,
    /// How long a heartbeat's answer may take
    #[arg(long, env = "PING_TIMEOUT_MS", default_value = "20000", value_parser = millis, value_name = "MS")]
    pub(crate) ping_timeout_ms: Duration,
    /// How long a client may stay without joining a namespace
    #[arg(long, env = "CONNECT_TIMEOUT_MS", default_value = "45000", value_parser = millis, value_name = "MS")]
    pub(crate) connect_timeout_ms: Duration,
    /// The largest message, in bytes
    #[arg(
        long,
        env = "MAX_PAYLOAD",
        default_value_t = 1_000_000,
        value_name = "BYTES"
    )]
    pub(crate) max_payload: usize,
    /// Connections to the socket; 0 is no limit
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 0, value_name = "N")]
    pub(crate) max_connections: usize,
    /// Connections of one address; 0 is no limit
    #[arg(
        long,
        env = "MAX_CONNECTIONS_PER_IP",
        default_value_t = 0,
        value_name = "N"
    )]
    pub(crate) max_connections_per_ip: usize,
    /// New connections per second; 0 is no limit
    #[arg(
        long,
        env = "HANDSHAKES_PER_SECOND",
        default_value_t = 0,
        value_name = "N"
    )]
    pub(crate) handshakes_per_second: u32,
    /// How long a client that lost its connection may stay away and still come back as the same socket, with all that it missed; or off
    #[arg(long, env = "RECOVERY", default_value = "2m", value_name = "TIME")]
    pub(crate) recovery: Recovery,
    /// Threads that work [default: one for each core]
    #[arg(long, env = "WORKER_THREADS", value_name = "N")]
    pub(crate) worker_threads: Option<NonZeroUsize>,
    /// Tell clients the causes of server errors. Never in production
    #[arg(long, env = "ADMIN_DEVELOPMENT", value_parser = BoolishValueParser::new())]
    pub(crate) development: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SameSiteArg {
    Strict,
    Lax,
    None,
}

impl ServeArgs {
    /// Where to listen: `ADMIN_LISTEN`, else the Node service's variables, else the default.
    pub(crate) fn listen(&self) -> Result<SocketAddr, String> {
        if let Some(listen) = self.listen {
            return Ok(listen);
        }
        let host = self.host.as_deref().or(self.admin_api_host.as_deref());
        let ip: IpAddr = match host {
            None | Some("localhost") => [127, 0, 0, 1].into(),
            Some(host) => host.parse().map_err(|_| {
                format!("HOST `{host}` is no address: set ADMIN_LISTEN, such as 127.0.0.1:3080")
            })?,
        };
        let port = self.port.as_deref().or(self.admin_api_port.as_deref());
        let port = match port {
            None => 3080,
            Some(port) => port.parse().map_err(|_| {
                format!("PORT `{port}` is no port: set ADMIN_LISTEN, such as 127.0.0.1:3080")
            })?,
        };
        Ok((ip, port).into())
    }
}

/// The program's flags, without the variables that are empty: those count as unset, but for a secret, whose absence means the demo.
pub(crate) fn command() -> clap::Command {
    let is_empty = |variable: &OsStr| std::env::var_os(variable).is_some_and(|v| v.is_empty());
    Cli::command().mut_args(|arg| match arg.get_env() {
        Some(variable) if variable != "JWT_SECRET" && is_empty(variable) => arg.env(None::<&str>),
        _ => arg,
    })
}

/// Whoever lists the machine's processes reads their command lines.
pub(crate) fn warn_of_visible_secrets(matches: &ArgMatches) {
    for (id, flag, variable) in [
        ("jwt_secret", "--jwt-secret", "JWT_SECRET"),
        ("openai_api_key", "--openai-api-key", "OPENAI_API_KEY"),
        ("metrics_token", "--metrics-token", "METRICS_TOKEN"),
    ] {
        if is_visible(matches, id) {
            tracing::warn!(
                "other users of this machine can read {flag}: use {variable} or {flag}-file"
            );
        }
    }
    for (id, flag, variable) in [
        ("sessions", "--sessions", "SESSIONS_URL"),
        ("broker", "--broker", "BROKER_URL"),
        ("authenticator", "--authenticator", "AUTHENTICATOR_URL"),
        ("metrics", "--metrics", "METRICS_URL"),
    ] {
        let mut urls = matches.get_many::<String>(id).into_iter().flatten();
        if is_visible(matches, id) && urls.any(|url| has_password(url)) {
            tracing::warn!(
                "other users of this machine can read the password in {flag}: use {variable}, PGPASSFILE or --redis-password-file"
            );
        }
    }
}

fn is_visible(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
}

fn millis(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}
