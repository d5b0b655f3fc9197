//! The engines that servers share: one client for each URL, whichever flags name it.

mod password;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod url;

use std::{error::Error, fmt, path::PathBuf, sync::Arc, time::Duration};

use slimy_rt::{
    NodeId, async_trait,
    auth::{Authenticator, User},
    broker::RoomBroker,
    metrics::MetricsSource,
    session::SessionStore,
};

pub(crate) use self::password::has_password;
use crate::failure::Failure;

/// Why an engine did not do something.
pub(crate) type EngineError = Box<dyn Error + Send + Sync>;

/// An engine that servers share. It connects when it is first used.
#[async_trait]
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    /// Connects, makes ready what the server keeps there, and says whether the engine answers now.
    async fn check(&self) -> Result<(), EngineError>;
    fn sessions(&self) -> Arc<dyn SessionStore>;
    fn broker(&self) -> Arc<dyn RoomBroker>;
    /// Tokens, read from the cookie of that name.
    fn tokens(&self, cookie_name: &str) -> Arc<dyn Tokens>;
    fn metrics(&self, node: &NodeId) -> Arc<dyn MetricsSource>;
}

/// Tokens that say nothing by themselves: an engine knows whose they are.
#[async_trait]
pub(crate) trait Tokens: Authenticator {
    async fn issue(&self, user: &User, ttl: Duration) -> Result<String, EngineError>;
    /// Makes it nobody's, and says whether it was somebody's.
    async fn revoke(&self, token: &str) -> Result<bool, EngineError>;
}

/// Opens an engine; the text says what is wrong with the URL, and nothing of the URL itself.
type Open = fn(&str, &Options) -> Result<Arc<dyn Engine>, String>;

/// What is said beside the URLs.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) redis_password_file: Option<PathBuf>,
}

#[cfg(feature = "postgres")]
const POSTGRES: Option<Open> = Some(postgres::open);
#[cfg(not(feature = "postgres"))]
const POSTGRES: Option<Open> = None;
#[cfg(feature = "redis")]
const REDIS: Option<Open> = Some(redis::open);
#[cfg(not(feature = "redis"))]
const REDIS: Option<Open> = None;

/// Schemes, the Cargo features that they need, and what opens their URLs when this build has those.
const SCHEMES: [(&str, &str, Option<Open>); 4] = [
    ("postgres", "postgres", POSTGRES),
    ("postgresql", "postgres", POSTGRES),
    ("redis", "redis", REDIS),
    ("rediss", "redis", REDIS),
];

/// The engines that flags named so far.
#[derive(Default)]
pub(crate) struct Engines {
    options: Options,
    opened: Vec<(String, NamedEngine)>,
}

/// An engine and the flags that name it.
#[derive(Clone, Debug)]
pub(crate) struct NamedEngine {
    pub(crate) engine: Arc<dyn Engine>,
    flags: Vec<&'static str>,
}

/// What an URL names.
pub(crate) enum Named {
    /// One of the program's own: the scheme, and what follows it.
    Own(&'static str, String),
    Engine(Arc<dyn Engine>),
}

impl Engines {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            opened: Vec::new(),
        }
    }

    /// What `flag`'s URL names: one of the `own` schemes, or an engine. URLs have passwords, so that errors repeat only their scheme.
    pub(crate) fn find(
        &mut self,
        flag: &'static str,
        url: &str,
        own: &[&'static str],
    ) -> Result<Named, Failure> {
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(Failure::config(format!(
                "{flag}: an URL begins with its scheme, such as {}:",
                own[0]
            )));
        };
        if let Some(own) = own.iter().find(|own| **own == scheme) {
            return Ok(Named::Own(own, rest.to_owned()));
        }
        let Some((_, feature, open)) = SCHEMES.iter().find(|(known, ..)| *known == scheme) else {
            return Err(unknown(flag, scheme, own));
        };
        let Some(open) = open else {
            return Err(Failure::config(format!(
                "{flag}: `{scheme}:` needs the Cargo feature `{feature}` of admin-server, which this build does not have"
            )));
        };
        if *feature == "redis" && self.options.redis_password_file.is_some() && has_password(url) {
            return Err(Failure::config(format!(
                "{flag}: the URL has a password, and so does --redis-password-file (REDIS_PASSWORD_FILE): leave one"
            )));
        }
        self.open(flag, url, *open).map(Named::Engine)
    }

    fn open(
        &mut self,
        flag: &'static str,
        url: &str,
        open: Open,
    ) -> Result<Arc<dyn Engine>, Failure> {
        if let Some((_, named)) = self.opened.iter_mut().find(|(opened, _)| opened == url) {
            if !named.flags.contains(&flag) {
                named.flags.push(flag);
            }
            return Ok(Arc::clone(&named.engine));
        }
        let engine = open(url, &self.options);
        let engine = engine.map_err(|text| Failure::config(format!("{flag}: {text}")))?;
        let named = NamedEngine {
            engine: Arc::clone(&engine),
            flags: vec![flag],
        };
        self.opened.push((url.to_owned(), named));
        Ok(engine)
    }

    /// All of them.
    pub(crate) fn into_named(self) -> Vec<NamedEngine> {
        self.opened.into_iter().map(|(_, named)| named).collect()
    }
}

impl NamedEngine {
    /// The flags, for people.
    pub(crate) fn flags(&self) -> String {
        self.flags.join(", ")
    }
}

fn unknown(flag: &str, scheme: &str, own: &[&str]) -> Failure {
    let engines = SCHEMES.iter().filter(|(.., open)| open.is_some());
    let known = own.iter().chain(engines.map(|(scheme, ..)| scheme));
    let known: Vec<_> = known.map(|scheme| format!("{scheme}:")).collect();
    Failure::config(format!(
        "{flag}: no Cargo feature of admin-server is for `{scheme}:`; this build has {}",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests;
