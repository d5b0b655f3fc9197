//! What Redis says, by meaning.

use std::{error::Error as StdError, fmt, sync::Arc};

use slimy_rt::{
    auth::AuthError, broker::BrokerError, metrics::MetricsError, session::SessionError,
};

/// Why something could not be done with Redis. It never shows a password or a token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// Redis cannot be reached, or cannot do it now: the same may succeed later.
    #[error("{what}")]
    Unavailable {
        /// What is the matter, and what to change.
        what: Box<str>,
        /// The client's own error.
        #[source]
        source: Option<Source>,
    },
    /// It can never be done; the text says what to change.
    #[error("{0}")]
    Invalid(Box<str>),
    /// Redis answered with an error, or with something else than expected.
    #[error("Redis answered unexpectedly")]
    Backend(#[source] Source),
}

/// A shared cause.
#[derive(Clone, Debug)]
pub struct Source(Arc<redis::RedisError>);

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Source {}

impl RedisError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

pub(super) fn refused(text: impl Into<Box<str>>) -> RedisError {
    RedisError::Invalid(text.into())
}

pub(super) fn unavailable(text: impl Into<Box<str>>) -> RedisError {
    RedisError::Unavailable {
        what: text.into(),
        source: None,
    }
}

/// The server's certificate is not to be trusted.
pub(super) fn unverified(error: redis::RedisError) -> RedisError {
    because(
        "Redis' certificate is not trusted: it must be for the URL's host, in its time, and signed by an authority of this machine or of `authority_file`",
        error,
    )
}

/// The server ended the connection before it answered.
pub(super) fn closed(error: redis::RedisError) -> RedisError {
    because(
        "Redis closes new connections at once: see whether `maxclients` is reached, whether `protected-mode` keeps this host out, and whether the URL has to begin with `rediss://`, or not",
        error,
    )
}

fn because(what: &str, error: redis::RedisError) -> RedisError {
    RedisError::Unavailable {
        what: what.into(),
        source: Some(Source(Arc::new(error))),
    }
}

const LOGIN: &str =
    "Redis refuses the user or password: check the URL's `user:password@`, or the password file";

pub(super) const REPLICA: &str = "Redis is a read-only replica: the URL must name the primary";

const PERMISSIONS: &str = "Redis' ACL does not permit this user what is needed: grant it the keys of the prefix (`~{prefix}:*`) and the commands that the documentation lists";

impl From<redis::RedisError> for RedisError {
    fn from(error: redis::RedisError) -> Self {
        let what = match code(&error) {
            Some("NOAUTH" | "WRONGPASS") => LOGIN,
            Some("NOPERM") => PERMISSIONS,
            // So it is said of a command in a script.
            _ if says(&error, "user executing the script can't") => PERMISSIONS,
            Some("READONLY") => REPLICA,
            Some("OOM") => {
                "Redis' memory is full: raise `maxmemory`, or keep less in the log (`max_entries`, `max_bytes`)"
            }
            Some("MISCONF") => {
                "Redis cannot save to disk and takes no writes: see its log, and `stop-writes-on-bgsave-error`"
            }
            Some("LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "NOREPLICAS") => {
                "Redis is not ready yet"
            }
            Some("WRONGTYPE") => {
                return refused(
                    "a key of the prefix holds something else: give the server a prefix of its own",
                );
            }
            _ if says(&error, "DB index") || says(&error, "SELECT is not allowed") => {
                return refused(
                    "Redis has no database of that number: change the URL's end, or raise `databases`",
                );
            }
            _ if says(&error, "unknown command") || says(&error, "Unknown Redis command") => {
                return refused(
                    "Redis lacks a command that is needed: it must be version 6.2 or later, with no command renamed",
                );
            }
            _ if says(&error, "max number of clients") => {
                "Redis takes no further connection: raise `maxclients`"
            }
            _ if error.kind() == redis::ErrorKind::AuthenticationFailed => LOGIN,
            _ if error.is_timeout() => "Redis does not answer in time",
            _ if error.is_io_error() || error.is_connection_dropped() => "Redis cannot be reached",
            _ => return Self::Backend(Source(Arc::new(error))),
        };
        because(what, error)
    }
}

/// The word that says what is the matter. Before version 7 that of a command in a script is not the first.
pub(super) fn code(error: &redis::RedisError) -> Option<&str> {
    let detail = error.detail().unwrap_or_default();
    let of_script = detail.split(": -").nth(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_uppercase());
        &rest[..end.unwrap_or(rest.len())]
    });
    of_script.filter(|code| !code.is_empty()).or(error.code())
}

fn says(error: &redis::RedisError, text: &str) -> bool {
    error.detail().is_some_and(|detail| detail.contains(text))
}

macro_rules! by_meaning {
    ($($error:ty),*) => {
        $(
            impl From<RedisError> for $error {
                fn from(error: RedisError) -> Self {
                    match error {
                        RedisError::Unavailable { .. } => Self::Unavailable(error.into()),
                        RedisError::Invalid(text) => Self::Invalid(text),
                        RedisError::Backend(_) => Self::Backend(error.into()),
                    }
                }
            }
        )*
    };
}

by_meaning!(BrokerError, SessionError);

impl From<RedisError> for AuthError {
    fn from(error: RedisError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<RedisError> for MetricsError {
    fn from(error: RedisError) -> Self {
        Self::Unavailable(error.into())
    }
}

#[cfg(test)]
mod tests {
    use redis::ErrorKind;

    use super::*;

    #[test]
    fn an_error_in_a_script_is_known_in_every_version() {
        for detail in [
            "OOM command not allowed when used memory > 'maxmemory'. script: 9a7b, on @user_script:30.",
            "Error running script (call to f_9a7b): @user_script:30: @user_script: 30: -OOM command not allowed when used memory > 'maxmemory'.",
        ] {
            let code = if detail.starts_with("OOM") {
                "OOM"
            } else {
                "ERR"
            };
            let error = redis::make_extension_error(code.into(), Some(detail.into()));
            let error = RedisError::from(error);
            assert!(
                error.is_retryable() && error.to_string().contains("maxmemory"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_nobody_expected_is_the_backends() {
        let error = redis::RedisError::from((ErrorKind::UnexpectedReturnType, "not an array"));
        let error = RedisError::from(error);
        assert!(matches!(error, RedisError::Backend(_)) && !error.is_retryable());
    }
}
