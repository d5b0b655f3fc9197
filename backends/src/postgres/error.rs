//! What Postgres says, by meaning.

use std::{error::Error as StdError, fmt, sync::Arc};

use slimy_rt::{
    auth::AuthError, broker::BrokerError, metrics::MetricsError, session::SessionError,
};

/// Why something could not be done with Postgres. It never shows a password or a token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// Postgres cannot be reached, or cannot do it now: the same may succeed later.
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
    /// Postgres answered with an error.
    #[error("Postgres answered unexpectedly")]
    Backend(#[source] Source),
}

/// A shared cause.
#[derive(Clone, Debug)]
pub struct Source(Arc<sqlx::Error>);

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Source {}

impl PostgresError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

pub(super) fn refused(text: impl Into<Box<str>>) -> PostgresError {
    PostgresError::Invalid(text.into())
}

pub(super) fn unavailable(text: impl Into<Box<str>>) -> PostgresError {
    PostgresError::Unavailable {
        what: text.into(),
        source: None,
    }
}

impl From<sqlx::Error> for PostgresError {
    fn from(error: sqlx::Error) -> Self {
        let what = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => "Postgres cannot be reached",
            sqlx::Error::PoolTimedOut => {
                "no connection to Postgres became free in time: it does not answer, or `max_connections` is too small"
            }
            sqlx::Error::Tls(_) => {
                "Postgres' certificate or its TLS is not accepted: see `sslmode` and `sslrootcert` in the URL"
            }
            sqlx::Error::Database(database) => match database.code().as_deref() {
                Some(code) => match by_code(code) {
                    Some(what) => what,
                    None => return Self::Backend(Source(Arc::new(error))),
                },
                None => return Self::Backend(Source(Arc::new(error))),
            },
            _ => return Self::Backend(Source(Arc::new(error))),
        };
        Self::Unavailable {
            what: what.into(),
            source: Some(Source(Arc::new(error))),
        }
    }
}

/// What an error code (PostgreSQL's appendix A) means here, if it may pass or an operator can do something about it.
fn by_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "28P01" | "28000" => {
            "Postgres refuses the user or password: check the URL, `PGPASSWORD` and the file that `PGPASSFILE` names"
        }
        "3D000" => "there is no such database: create it, or name another in the URL",
        "3F000" | "42P01" | "42883" => {
            "the tables are not there: let the server make them (`migrate`), or check the schema's name"
        }
        "42501" => {
            "the user lacks a privilege: it must own the schema or be granted its tables, functions and sequences"
        }
        "25006" => {
            "the database is read-only: the URL must name the primary, and `default_transaction_read_only` be off"
        }
        "53300" => {
            "Postgres has no connection left: raise its `max_connections`, or lower the server's"
        }
        "53100" => "Postgres' disk is full",
        "57014" => "a statement took longer than `statement_timeout`",
        "55P03" => "a lock was not to be had in time",
        "40001" | "40P01" => "a transaction has to be tried again",
        code if ["08", "53", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            "Postgres cannot be reached"
        }
        _ => return None,
    })
}

macro_rules! by_meaning {
    ($($error:ty),*) => {
        $(
            impl From<PostgresError> for $error {
                fn from(error: PostgresError) -> Self {
                    match error {
                        PostgresError::Unavailable { .. } => Self::Unavailable(error.into()),
                        PostgresError::Invalid(text) => Self::Invalid(text),
                        PostgresError::Backend(_) => Self::Backend(error.into()),
                    }
                }
            }
        )*
    };
}

by_meaning!(BrokerError, SessionError);

impl From<PostgresError> for AuthError {
    fn from(error: PostgresError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<PostgresError> for MetricsError {
    fn from(error: PostgresError) -> Self {
        Self::Unavailable(error.into())
    }
}
