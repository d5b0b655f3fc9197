//! Where Redis is and how it is used.

use std::{fmt, path::Path, time::Duration};

use redis::{ConnectionInfo, IntoConnectionInfo};

use super::{
    error::{RedisError, refused},
    stream::Tls,
};

/// The longest prefix, in bytes.
const MAX_PREFIX_LEN: usize = 64;

/// Where Redis is and how it is used. Nothing connects yet.
///
/// ```
/// use slimy_rt_backends::redis::{Redis, RedisConfig};
///
/// # fn main() -> Result<(), slimy_rt_backends::redis::RedisError> {
/// let config = RedisConfig::new("redis://user:password@127.0.0.1:6379/2")?.prefix("chat")?;
/// let redis = Redis::new(config); // connects when it is first needed
/// # let _ = redis;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    pub(super) info: ConnectionInfo,
    pub(super) tls: Option<Tls>,
    pub(super) prefix: Box<str>,
    pub(super) connect_timeout: Duration,
    pub(super) command_timeout: Duration,
}

impl RedisConfig {
    /// Reads an URL: `redis://[user[:password]@]host[:port][/database]`, or `rediss://…` for TLS. The server's certificate must be for the URL's host, and
    /// signed by an authority that the platform trusts or that [`authority_file`](Self::authority_file) names.
    ///
    /// # Errors
    /// [`RedisError`] when it is none. The text says what is wrong, never the password.
    pub fn new(url: &str) -> Result<Self, RedisError> {
        let (rest, tls) = match (url.strip_prefix("redis://"), url.strip_prefix("rediss://")) {
            (Some(rest), _) => (rest, None),
            (None, Some(rest)) => (rest, Some(Tls::default())),
            (None, None) => {
                return Err(refused("the URL must begin with `redis://` or `rediss://`"));
            }
        };
        if rest.contains(['?', '#']) {
            return Err(refused(
                "a `redis://` URL ends with the database's number: it has no options behind `?` or `#` (in a password these are `%3F` and `%23`)",
            ));
        }
        // Its own error may repeat what it could not read.
        let info = format!("redis://{rest}")
            .into_connection_info()
            .map_err(|_| {
                refused("the URL is malformed: `redis://[user[:password]@]host[:port][/database]`")
            })?;
        if info.redis_settings().db() < 0 {
            return Err(refused("the URL's end is a database's number, from 0 on"));
        }
        // Not every server permits a client to say which library it uses.
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        Ok(Self {
            info: info.set_redis_settings(settings),
            tls,
            prefix: "slimy-rt".into(),
            connect_timeout: Duration::from_secs(2),
            command_timeout: Duration::from_secs(2),
        })
    }

    /// Trusts, over TLS, the authorities whose certificates are in this PEM file, and no others.
    ///
    /// # Errors
    /// [`RedisError`] when the file has none that can be used, or the URL is not `rediss://`.
    pub fn authority_file(mut self, path: impl AsRef<Path>) -> Result<Self, RedisError> {
        if self.tls.is_none() {
            return Err(refused(
                "an authority is for TLS: the URL must begin with `rediss://`",
            ));
        }
        self.tls = Some(Tls::only(path.as_ref())?);
        Ok(self)
    }

    /// Begins all keys with `{prefix}:`, braces included, so that they have one slot. Default `slimy-rt`. Servers with different prefixes share
    /// nothing.
    ///
    /// # Errors
    /// [`RedisError`] when it is empty, longer than 64 bytes, or has other characters than letters, digits, `-`, `_`, `.` and `:`.
    pub fn prefix(mut self, prefix: &str) -> Result<Self, RedisError> {
        let is_legal = |c: u8| c.is_ascii_alphanumeric() || b"-_.:".contains(&c);
        if prefix.is_empty() || prefix.len() > MAX_PREFIX_LEN || !prefix.bytes().all(is_legal) {
            return Err(refused(
                "the prefix must be 1 to 64 letters, digits, `-`, `_`, `.` or `:`",
            ));
        }
        self.prefix = prefix.into();
        Ok(self)
    }

    /// Takes the password from a file, whose end of line does not belong to it.
    ///
    /// # Errors
    /// [`RedisError`] when the file cannot be read or is empty.
    pub fn password_file(mut self, path: impl AsRef<Path>) -> Result<Self, RedisError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| {
            refused(format!(
                "cannot read the password file {}: {e}",
                path.display()
            ))
        })?;
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(refused(format!(
                "the password file {} is empty",
                path.display()
            )));
        }
        let settings = self.info.redis_settings().clone().set_password(password);
        self.info = self.info.set_redis_settings(settings);
        Ok(self)
    }

    /// How long connecting may take: 2 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// How long a command may take: 2 s by default.
    #[must_use]
    pub fn command_timeout(mut self, time: Duration) -> Self {
        self.command_timeout = time;
        self
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("address", &self.info.addr().to_string())
            .field("tls", &self.tls.is_some())
            .field("database", &self.info.redis_settings().db())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused_without_their_passwords() {
        let config = RedisConfig::new("redis://u:secret@h:1/2").unwrap();
        assert!(!format!("{config:?}").contains("secret"));
        for url in [
            "",
            "h:1",
            "http://u:secret@h",
            "redis://u:secret@",
            "redis://u:secret@h:x",
            "redis://u:secret@h/db",
            "redis://u:secret@h/-1",
            "rediss://u:secret@h#insecure",
            "redis://u:secret@h?protocol=resp3",
        ] {
            let error = RedisConfig::new(url).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(
                (text.contains("redis://") || text.contains("from 0 on"))
                    && !text.contains("secret"),
                "{url}: {text}"
            );
        }
    }

    #[test]
    fn prefixes_are_checked() {
        let config = RedisConfig::new("redis://h").unwrap();
        for prefix in ["", "a b", "{a}", "ü", &"x".repeat(65)] {
            assert!(config.clone().prefix(prefix).is_err(), "{prefix}");
        }
        assert!(config.prefix("chat.eu:1_a-b").is_ok());
    }
}
