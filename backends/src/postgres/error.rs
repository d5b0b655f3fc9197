//! What Postgres says, by meaning.

use std::{error::Error as StdError, fmt, sync::Arc};

use slimy_rt::{
    auth::AuthError, broker::BrokerError, metrics::MetricsError, session::SessionError,
};

/// Why something could not be done with Postgres. It never shows a password or a token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// Postgres cannot be reached, or cannot do it now: the same may succeed later, once what the text names has been changed.
    #[error("{what}")]
    Unavailable {
        /// What is the matter, and what to change.
        what: Box<str>,
        /// The driver's own error.
        #[source]
        source: Option<Source>,
    },
    /// It can never be done; the text says what to change.
    #[error("{0}")]
    Invalid(Box<str>),
    /// Postgres answered with an error, or with something else than expected.
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

const NO_TLS: &str =
    "TLS with Postgres fails: check the URL's `sslmode` and `sslrootcert`, and the certificate";

pub(super) fn refused(text: impl Into<Box<str>>) -> PostgresError {
    PostgresError::Invalid(text.into())
}

pub(super) fn unavailable(text: impl Into<Box<str>>) -> PostgresError {
    PostgresError::Unavailable {
        what: text.into(),
        source: None,
    }
}

/// An error with another explanation than the usual one.
pub(super) fn explained(text: impl Into<Box<str>>, error: sqlx::Error) -> PostgresError {
    PostgresError::Unavailable {
        what: text.into(),
        source: Some(Source(Arc::new(error))),
    }
}

/// The error's SQLSTATE, when it is Postgres' own.
pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?;
    error.code().map(std::borrow::Cow::into_owned)
}

/// Whether the schema is not what it was found to be before.
pub(super) fn is_schema_lost(error: &sqlx::Error) -> bool {
    matches!(
        code(error).as_deref(),
        Some("3F000" | "42P01" | "42703" | "42883")
    )
}

impl From<sqlx::Error> for PostgresError {
    fn from(error: sqlx::Error) -> Self {
        let what = match code(&error).as_deref() {
            Some(code) => match by_code(code, &error) {
                Some(what) => what,
                // What is too large for Postgres, and text that its encoding does not have.
                None if code.starts_with("54") || code.starts_with("22") => {
                    return refused(format!("Postgres cannot hold this: {error}"));
                }
                None => return Self::Backend(Source(Arc::new(error))),
            },
            None => match &error {
                sqlx::Error::Configuration(_) => {
                    "the connection's settings cannot be used: see the URL's parameters and libpq's variables"
                }
                sqlx::Error::Tls(_) => NO_TLS,
                // What rustls makes of a certificate that it does not trust.
                sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => NO_TLS,
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::Protocol(_) => "Postgres cannot be reached",
                _ => return Self::Backend(Source(Arc::new(error))),
            },
        };
        explained(what, error)
    }
}

/// What is the matter, and what to change, for the errors that may be over later.
fn by_code(code: &str, error: &sqlx::Error) -> Option<&'static str> {
    Some(match code {
        "28P01" | "28000" => {
            "Postgres refuses the user or password: check the URL's `user:password@`, `PGPASSWORD` or `PGPASSFILE`, and the server's pg_hba.conf"
        }
        "3D000" => "there is no such database: create it, or change the URL's `/database`",
        "3F000" | "42P01" | "42703" | "42883" => {
            "the schema's tables are missing or incomplete: let the server make them (`migrate`), or check the name (`schema`)"
        }
        "42501" => {
            "the database user lacks a privilege on the schema or its tables: let it own them, or grant what the documentation lists"
        }
        "25006" => {
            "the database is read-only: the URL must name the primary, and `default_transaction_read_only` must be off"
        }
        "57014" | "55P03" => {
            "the statement took longer than `statement_timeout`: somebody holds a lock, or Postgres is overloaded"
        }
        "53300" => {
            "Postgres has no connection left: raise its `max_connections`, or lower this server's"
        }
        "53100" => "Postgres' disk is full",
        "57P01" => "Postgres is shutting down, or somebody ended the connection",
        "57P02" | "57P03" | "57P05" => "Postgres is starting or shutting down",
        "57P04" => "the database was dropped",
        "40001" | "40P01" => "somebody else's transaction was in the way",
        // Another server has changed the tables meanwhile: the statement has to be prepared anew.
        "0A000" if error.to_string().contains("cached plan") => "a table was changed meanwhile",
        _ if ["08", "53", "58"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            "Postgres cannot do it now"
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
