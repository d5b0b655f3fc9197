//! Flags and variables, made sense of: typed, checked, and with errors that say what to change.

use std::{
    fmt, fs,
    io::Read,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use slimy_rt::{
    api::{LoginCookie, SameSite},
    auth::{JwtAuthenticator, JwtConfig},
    chat::{ChatConfig, OpenAi},
    server::{Config, forwarded::TrustedProxies, origin::Origins, tls::TlsConfig},
};

use crate::{
    backends::Backends,
    config::{DiagnosticsArgs, LoginArgs, SameSiteArg, ServeArgs},
    engines::Tokens,
    failure::{Failure, chain},
};

/// The largest file with secrets, in bytes.
const MAX_SECRET_FILE_BYTES: u64 = 64 * 1024;

/// How much longer the chat waits for the bot than the bot for its endpoint, so that the endpoint's own error is logged.
const BOT_GRACE: Duration = Duration::from_secs(5);

/// What the server is to be.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) login: Login,
    pub(crate) sessions_file: Option<PathBuf>,
    pub(crate) backends: Backends,
    pub(crate) cookie: LoginCookie,
    pub(crate) origins: Origins,
    pub(crate) proxies: TrustedProxies,
    pub(crate) server: Config,
    pub(crate) chat: ChatConfig,
    pub(crate) bot: Option<OpenAi>,
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) metrics_token: Option<Secret>,
    pub(crate) diagnostics_cache: Duration,
    pub(crate) worker_threads: Option<NonZeroUsize>,
    pub(crate) development: bool,
}

/// How users prove who they are.
#[derive(Debug)]
pub(crate) enum Login {
    /// By a click: three users of the server's own, on this machine only.
    Demo(JwtAuthenticator),
    /// By what somebody signed.
    Jwt(JwtAuthenticator),
    /// By tokens that an engine keeps.
    Tokens(Arc<dyn Tokens>),
}

impl Settings {
    pub(crate) fn new(login: LoginArgs, args: ServeArgs) -> Result<Self, Failure> {
        let backends = Backends::new(&args.backends)?;
        warn_of_lone_parts(&backends, &login);
        let listen = args.listen().map_err(Failure::config)?;
        let mut cookie = LoginCookie::new(&*login.cookie_name);
        cookie = cookie.same_site(match args.cookie_samesite {
            SameSiteArg::Strict => SameSite::Strict,
            SameSiteArg::Lax => SameSite::Lax,
            SameSiteArg::None => SameSite::None,
        });
        if let Some(domain) = args.cookie_domain.as_deref().filter(|d| !d.is_empty()) {
            cookie = cookie.domain(domain).map_err(wrong("--cookie-domain"))?;
        }
        let login = match &backends.tokens {
            Some(engine) => Login::Tokens(engine.tokens(&login.cookie_name)),
            None => match secrets(&login)? {
                Some(secrets) => Login::Jwt(jwt(secrets, &login.cookie_name)?),
                None => {
                    check_demo(listen, &args, &backends)?;
                    Login::Demo(jwt(vec![Secret::random()], &login.cookie_name)?)
                }
            },
        };
        let origins = [&args.cors_origin[..], &args.admin_allowed_origins].concat();
        Ok(Self {
            listen,
            login,
            sessions_file: args.backends.sessions_file.clone(),
            backends,
            cookie,
            origins: Origins::parse(&origins.join(",")).map_err(wrong("--cors-origin"))?,
            proxies: TrustedProxies::parse(&args.trusted_proxies)
                .map_err(wrong("--trusted-proxies"))?,
            server: server(&args),
            chat: chat(&args),
            bot: bot(&args)?,
            tls: tls(&args)?,
            metrics_token: metrics_token(&args.diagnostics)?,
            diagnostics_cache: args.diagnostics.diagnostics_cache,
            worker_threads: args.worker_threads,
            development: args.development,
        })
    }
}

/// A secret that does not show itself.
pub(crate) struct Secret(String);

impl Secret {
    fn random() -> Self {
        // Two of the framework's unguessable ids: 240 bits from the operating system.
        let half = || slimy_rt::NodeId::random();
        Self(format!("{}{}", half(), half()))
    }
}

impl Secret {
    /// For whoever compares it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// The configured JWT secrets; `None` when none is configured at all.
pub(crate) fn secrets(login: &LoginArgs) -> Result<Option<Vec<Secret>>, Failure> {
    let (text, from) = match (&login.jwt_secret, &login.jwt_secret_file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let text = "both JWT_SECRET and JWT_SECRET_FILE are set: leave one";
            return Err(Failure::config(text));
        }
        (Some(text), None) => (text.clone(), "JWT_SECRET".to_owned()),
        (None, Some(file)) => (read_secret(file)?, file.display().to_string()),
    };
    let secrets = text
        .split([',', '\n'])
        .map(str::trim)
        .filter(|s| !s.is_empty());
    let secrets: Vec<_> = secrets.map(|s| Secret(s.to_owned())).collect();
    if secrets.is_empty() {
        // An empty variable is a mistake more often than a wish for the demo.
        let text = format!(
            "{from} is empty: give a secret of at least 32 random bytes, or unset it for the demo"
        );
        return Err(Failure::config(text));
    }
    Ok(Some(secrets))
}

pub(crate) fn jwt(secrets: Vec<Secret>, cookie_name: &str) -> Result<JwtAuthenticator, Failure> {
    let jwt = JwtConfig::new(secrets).cookie_name(cookie_name).build();
    jwt.map_err(|error| Failure::config(error.to_string()))
}

/// The demo lets in whoever asks: only this machine may, and what is said in it stays here.
fn check_demo(listen: SocketAddr, args: &ServeArgs, backends: &Backends) -> Result<(), Failure> {
    if !listen.ip().to_canonical().is_loopback() {
        let text = format!(
            "without JWT_SECRET only a demo runs, and not on {listen}, which others can reach: set JWT_SECRET, or listen on 127.0.0.1"
        );
        return Err(Failure::config(text));
    }
    for (flag, is_used, why) in [
        (
            "--sessions-file",
            args.backends.sessions_file.is_some(),
            "has users of its own",
        ),
        (
            "--sessions",
            backends.shared_sessions.is_some(),
            "has users of its own",
        ),
        (
            "--broker",
            backends.broker.is_some(),
            "talks to no other server",
        ),
    ] {
        if is_used {
            let text = format!(
                "without JWT_SECRET only a demo runs, which {why}: set JWT_SECRET to use {flag}"
            );
            return Err(Failure::config(text));
        }
    }
    Ok(())
}

/// What only a server alone can do without.
fn warn_of_lone_parts(backends: &Backends, login: &LoginArgs) {
    let is_shared = backends.broker.is_some() || backends.tokens.is_some();
    if is_shared && backends.shared_sessions.is_none() {
        tracing::warn!(
            "--sessions is not shared, and --broker or --authenticator is: logouts, and changes of who may see what, are known to this node only, and forgotten when it ends"
        );
    }
    if backends.tokens.is_some() && (login.jwt_secret.is_some() || login.jwt_secret_file.is_some())
    {
        tracing::warn!("JWT_SECRET is not used: --authenticator names a store of tokens");
    }
}

fn server(args: &ServeArgs) -> Config {
    Config {
        ping_interval: args.ping_interval_ms,
        ping_timeout: args.ping_timeout_ms,
        connect_timeout: args.connect_timeout_ms,
        max_payload: args.max_payload,
        packet_rate: args.packet_rate.0,
        max_connections: args.max_connections,
        max_connections_per_ip: args.max_connections_per_ip,
        handshakes_per_second: args.handshakes_per_second,
        recovery: args.recovery.0,
        ..Config::default()
    }
}

fn chat(args: &ServeArgs) -> ChatConfig {
    ChatConfig {
        audience: args.chat_audience,
        rate: args.chat_rate,
        max_open_questions: args.bot_max_open,
        bot_timeout: args.openai_timeout_ms.saturating_add(BOT_GRACE),
        ..ChatConfig::default()
    }
}

fn metrics_token(args: &DiagnosticsArgs) -> Result<Option<Secret>, Failure> {
    let file = args.metrics_token_file.as_deref();
    let token = one_of("METRICS_TOKEN", args.metrics_token.as_deref(), file)?;
    Ok(token.map(Secret))
}

/// A secret from its variable, or from the file that the other variable names; none when it is empty.
fn one_of(
    variable: &str,
    text: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<String>, Failure> {
    let text = match (text, file) {
        (Some(_), Some(_)) => {
            let text = format!("both {variable} and {variable}_FILE are set: leave one");
            return Err(Failure::config(text));
        }
        (Some(text), None) => text.to_owned(),
        (None, Some(file)) => read_secret(file)?,
        (None, None) => return Ok(None),
    };
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn bot(args: &ServeArgs) -> Result<Option<OpenAi>, Failure> {
    let file = args.openai_api_key_file.as_deref();
    let Some(key) = one_of("OPENAI_API_KEY", args.openai_api_key.as_deref(), file)? else {
        return Ok(None);
    };
    let mut bot = OpenAi::builder(key).timeout(args.openai_timeout_ms);
    if let Some(url) = args.openai_base_url.as_deref().filter(|u| !u.is_empty()) {
        bot = bot.base_url(url);
    }
    if let Some(model) = args.openai_model.as_deref().filter(|m| !m.is_empty()) {
        bot = bot.model(model);
    }
    let bot = bot.build();
    bot.map(Some)
        .map_err(|error| Failure::config(chain(&error)))
}

fn tls(args: &ServeArgs) -> Result<Option<TlsConfig>, Failure> {
    match (&args.tls_cert, &args.tls_key) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(Failure::config(
            "--tls-cert needs --tls-key (TLS_KEY), the certificate's key",
        )),
        (None, Some(_)) => Err(Failure::config(
            "--tls-key needs --tls-cert (TLS_CERT), the key's certificate",
        )),
        (Some(cert), Some(key)) => {
            let tls = TlsConfig::from_pem_files(cert, key);
            tls.map(Some).map_err(|error| Failure::start(chain(&error)))
        }
    }
}

fn read_secret(path: &Path) -> Result<String, Failure> {
    let read = fs::File::open(path).and_then(|file| {
        let mut text = String::new();
        file.take(MAX_SECRET_FILE_BYTES).read_to_string(&mut text)?;
        Ok(text)
    });
    read.map_err(|error| Failure::start(format!("cannot read {}: {error}", path.display())))
}

fn wrong<E: std::error::Error>(flag: &'static str) -> impl Fn(E) -> Failure {
    move |error| Failure::config(format!("{flag}: {error}"))
}

#[cfg(test)]
mod tests;
