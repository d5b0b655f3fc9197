//! Flags and variables, made sense of: typed, checked, and with errors that say what to change.

use std::{
    fmt, fs,
    io::Read,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use slimy_rt::{
    api::{LoginCookie, SameSite},
    auth::{JwtAuthenticator, JwtConfig},
    chat::{ChatConfig, OpenAi},
    server::{Config, forwarded::TrustedProxies, origin::Origins, tls::TlsConfig},
};

use crate::{
    config::{LoginArgs, SameSiteArg, ServeArgs},
    failure::{Failure, chain},
    values::Recovery,
};

/// The largest file with secrets, in bytes.
const MAX_SECRET_FILE_BYTES: u64 = 64 * 1024;

/// How much longer the chat waits for the bot than the bot for its endpoint, so that the endpoint's own error is logged.
const BOT_GRACE: Duration = Duration::from_secs(5);

/// What the server is to be.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) users: Users,
    pub(crate) jwt: JwtAuthenticator,
    pub(crate) cookie: LoginCookie,
    pub(crate) origins: Origins,
    pub(crate) proxies: TrustedProxies,
    pub(crate) server: Config,
    pub(crate) chat: ChatConfig,
    pub(crate) bot: Option<OpenAi>,
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) worker_threads: Option<NonZeroUsize>,
    pub(crate) development: bool,
}

/// Where users come from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Users {
    /// Three of the server's own, on this machine only.
    Demo,
    /// From whoever signs tokens; their guilds from this file.
    Known(Option<PathBuf>),
}

impl Settings {
    pub(crate) fn new(login: LoginArgs, args: ServeArgs) -> Result<Self, Failure> {
        check_urls(&args)?;
        if let Recovery(Some(wanted)) = args.recovery {
            tracing::debug!(?wanted, "lost connections are not resumed by this version");
        }
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
        let secrets = secrets(&login)?;
        let users = match &secrets {
            Some(_) => Users::Known(args.sessions_file.clone()),
            None => {
                check_demo(listen, &args)?;
                Users::Demo
            }
        };
        let secrets = secrets.unwrap_or_else(|| vec![Secret::random()]);
        let origins = [&args.cors_origin[..], &args.admin_allowed_origins].concat();
        Ok(Self {
            listen,
            users,
            jwt: jwt(secrets, &login.cookie_name)?,
            cookie,
            origins: Origins::parse(&origins.join(",")).map_err(wrong("--cors-origin"))?,
            proxies: TrustedProxies::parse(&args.trusted_proxies)
                .map_err(wrong("--trusted-proxies"))?,
            server: server(&args),
            chat: chat(&args),
            bot: bot(&args)?,
            tls: tls(&args)?,
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

/// Refuses an URL whose backend is not there. URLs have passwords, so that only their scheme is repeated.
pub(crate) fn check_url(flag: &str, url: &str, known: &[&str]) -> Result<(), Failure> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(Failure::config(format!(
            "{flag}: an URL begins with its scheme, such as {}",
            known[0]
        )));
    };
    if known.contains(&format!("{scheme}:").as_str()) {
        return match rest {
            "" => Ok(()),
            _ => Err(Failure::config(format!(
                "{flag}: nothing follows `{scheme}:`"
            ))),
        };
    }
    let text = match scheme {
        "postgres" | "postgresql" | "redis" | "rediss" => {
            let feature = if scheme.starts_with("redis") {
                "redis"
            } else {
                "postgres"
            };
            format!(
                "{flag}: `{scheme}:` needs the Cargo feature `{feature}` of slimy-rt-backends, which this build does not have"
            )
        }
        "uploads" if flag == "--metrics" => {
            format!("{flag}: `uploads:DIR` is not part of this version yet")
        }
        _ => format!(
            "{flag}: no Cargo feature of slimy-rt-backends is for `{scheme}:`; this build has {}",
            known.join(", ")
        ),
    };
    Err(Failure::config(text))
}

fn check_urls(args: &ServeArgs) -> Result<(), Failure> {
    check_url("--sessions", &args.sessions, &["memory:"])?;
    check_url("--broker", &args.broker, &["memory:"])?;
    check_url("--authenticator", &args.authenticator, &["jwt:"])?;
    let mut metrics = args.metrics.iter();
    metrics.try_for_each(|url| check_url("--metrics", url, &["process:"]))
}

/// The demo lets in whoever asks: only this machine may.
fn check_demo(listen: SocketAddr, args: &ServeArgs) -> Result<(), Failure> {
    if !listen.ip().to_canonical().is_loopback() {
        let text = format!(
            "without JWT_SECRET only a demo runs, and not on {listen}, which others can reach: set JWT_SECRET, or listen on 127.0.0.1"
        );
        return Err(Failure::config(text));
    }
    if args.sessions_file.is_some() {
        let text = "the demo has users of its own: set JWT_SECRET to use --sessions-file";
        return Err(Failure::config(text));
    }
    Ok(())
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

fn bot(args: &ServeArgs) -> Result<Option<OpenAi>, Failure> {
    let key = match (&args.openai_api_key, &args.openai_api_key_file) {
        (Some(_), Some(_)) => {
            let text = "both OPENAI_API_KEY and OPENAI_API_KEY_FILE are set: leave one";
            return Err(Failure::config(text));
        }
        (Some(key), None) => key.clone(),
        (None, Some(file)) => read_secret(file)?,
        (None, None) => return Ok(None),
    };
    if key.trim().is_empty() {
        return Ok(None);
    }
    let mut bot = OpenAi::builder(key.trim()).timeout(args.openai_timeout_ms);
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
