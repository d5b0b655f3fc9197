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

impl From<redis::RedisError> for RedisError {
    fn from(error: redis::RedisError) -> Self {
        let what = match error.code() {
            Some("NOAUTH" | "WRONGPASS") => {
                "Redis refuses the user or password: check the URL's `user:password@`, or the password file"
            }
            Some("NOPERM") => {
                "Redis' ACL does not permit this user what is needed: grant it the keys of the prefix (`~{prefix}:*`) and the commands that the documentation lists"
            }
            Some("READONLY") => "Redis is a read-only replica: the URL must name the primary",
            Some("OOM") => {
                "Redis' memory is full: raise `maxmemory`, or keep less in the log (`max_entries`, `max_bytes`)"
            }
            Some("MISCONF") => {
                "Redis cannot save to disk and takes no writes: see its log, and `stop-writes-on-bgsave-error`"
            }
            Some("LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN") => {
                "Redis is not ready yet"
            }
            Some("WRONGTYPE") => {
                return refused(
                    "a key of the prefix holds something else: give the server a prefix of its own",
                );
            }
            _ if error.kind() == redis::ErrorKind::AuthenticationFailed => {
                "Redis refuses the user or password: check the URL's `user:password@`, or the password file"
            }
            _ if error.is_timeout() => "Redis does not answer in time",
            _ if error.is_io_error() || error.is_connection_dropped() => "Redis cannot be reached",
            _ => return Self::Backend(Source(Arc::new(error))),
        };
        Self::Unavailable {
            what: what.into(),
            source: Some(Source(Arc::new(error))),
        }
    }
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
