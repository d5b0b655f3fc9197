//! Where Postgres is and how it is used.

use std::{fmt, time::Duration};

use sqlx::postgres::PgConnectOptions;

use super::error::{PostgresError, refused};

/// The longest name of a schema, in bytes: what Postgres takes for a name.
const MAX_SCHEMA_LEN: usize = 63;

/// Where Postgres is and how it is used. Nothing connects yet.
///
/// ```
/// use slimy_rt_backends::postgres::{Postgres, PostgresConfig};
///
/// # fn main() -> Result<(), slimy_rt_backends::postgres::PostgresError> {
/// let config = PostgresConfig::new("postgres://chat@127.0.0.1/chat")?.schema("chat_rt")?;
/// let postgres = Postgres::new(config); // connects when it is first needed
/// # let _ = postgres;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresConfig {
    pub(super) options: PgConnectOptions,
    pub(super) schema: Box<str>,
    pub(super) max_connections: u32,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) migrate: bool,
}

impl PostgresConfig {
    /// Reads an URL: `postgres://[user[:password]@]host[:port][/database][?sslmode=…]`. A password that is not in it comes from `PGPASSWORD`, or from the
    /// file that `PGPASSFILE` names.
    ///
    /// # Errors
    /// [`PostgresError`] when it is none. The text says what is wrong, never the password.
    pub fn new(url: &str) -> Result<Self, PostgresError> {
        let is_known = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        if !is_known {
            return Err(refused(
                "the URL must begin with `postgres://` or `postgresql://`",
            ));
        }
        // Its own error may repeat what it could not read.
        let options: PgConnectOptions = url.parse().map_err(|_| {
            refused("the URL is malformed: `postgres://[user[:password]@]host[:port][/database]`")
        })?;
        Ok(Self {
            options: options.application_name("slimy-rt"),
            schema: "slimy_rt".into(),
            max_connections: 8,
            connect_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(2),
            migrate: true,
        })
    }

    /// The schema that has the tables: `slimy_rt` by default. Servers with different schemas share nothing.
    ///
    /// # Errors
    /// [`PostgresError`] when it is empty, longer than 63 bytes, begins with `pg_`, or has other characters than letters, digits and `_`.
    pub fn schema(mut self, schema: &str) -> Result<Self, PostgresError> {
        let is_legal = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        if schema.is_empty()
            || schema.len() > MAX_SCHEMA_LEN
            || schema.starts_with("pg_")
            || !schema.bytes().all(is_legal)
        {
            return Err(refused(
                "the schema must be 1 to 63 letters, digits or `_`, and not begin with `pg_`",
            ));
        }
        self.schema = schema.into();
        Ok(self)
    }

    /// How many connections all backends together may have, beside two of each broker and one of each watch: 8 by default.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long connecting may take, and waiting for a free connection: 2 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// How long a statement may take: 2 s by default.
    #[must_use]
    pub fn statement_timeout(mut self, time: Duration) -> Self {
        self.statement_timeout = time;
        self
    }

    /// Whether missing tables are made: they are by default. Otherwise it is only checked that they are there and known.
    #[must_use]
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("host", &self.options.get_host())
            .field("port", &self.options.get_port())
            .field("database", &self.options.get_database())
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused_without_their_passwords() {
        let config = PostgresConfig::new("postgres://u:secret@h:1/d").unwrap();
        assert!(!format!("{config:?}").contains("secret"));
        for url in [
            "",
            "h:1",
            "http://u:secret@h",
            "postgres://u:secret@h:x/d",
            "postgres://u:secret@h/d?sslmode=secret",
        ] {
            let error = PostgresConfig::new(url).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(
                text.contains("postgres://") && !text.contains("secret"),
                "{url}: {text}"
            );
        }
    }

    #[test]
    fn schemas_are_checked() {
        let config = PostgresConfig::new("postgres://h").unwrap();
        for schema in ["", "a b", "a\"b", "ü", "pg_a", &"x".repeat(64)] {
            assert!(config.clone().schema(schema).is_err(), "{schema}");
        }
        assert!(config.schema("Chat_1").is_ok());
    }
}
