//! Where Postgres is and how it is used.

use std::{fmt, str::FromStr as _, time::Duration};

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};

use super::error::{PostgresError, refused};

/// The longest name of a schema, in bytes: Postgres cuts names at 63, and the names of channels begin with this one.
const MAX_SCHEMA_LEN: usize = 40;
/// The parameters that an URL may have; `options[…]` too.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Where Postgres is and how it is used. Nothing connects yet.
///
/// ```
/// use slimy_rt_backends::postgres::{Postgres, PostgresConfig};
///
/// # fn main() -> Result<(), slimy_rt_backends::postgres::PostgresError> {
/// let config = PostgresConfig::new("postgres://chat@db.internal/chat?sslmode=verify-full")?;
/// let postgres = Postgres::new(config.schema("slimy_rt")?); // connects when it is first needed
/// # let _ = postgres;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresConfig {
    pub(super) options: PgConnectOptions,
    pub(super) schema: Box<str>,
    pub(super) max_connections: usize,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) migrate: bool,
}

impl PostgresConfig {
    /// Reads an URL: `postgres://[user[:password]@]host[:port][/database][?sslmode=…&sslrootcert=…]`, with the parameters of libpq that make a connection. What it leaves out
    /// comes from libpq's variables: `PGPASSWORD`, the file of `PGPASSFILE` (or `~/.pgpass`), and the like.
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
        // The driver would log those that it does not know, with their values.
        let query = url.split_once('?').map_or("", |(_, query)| query);
        for parameter in query.split('&').filter(|part| !part.is_empty()) {
            let name = parameter
                .split_once('=')
                .map_or(parameter, |(name, _)| name);
            if !PARAMETERS.contains(&name) && !name.starts_with("options[") {
                return Err(refused(
                    "the URL has a parameter that is not known: those of libpq such as `sslmode`, `sslrootcert`, `application_name` are",
                ));
            }
        }
        // Its own error may repeat what it could not read.
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            refused(
                "the URL is malformed: `postgres://[user[:password]@]host[:port][/database][?sslmode=…]`",
            )
        })?;
        Ok(Self {
            options: options.disable_statement_logging(),
            schema: "slimy_rt".into(),
            max_connections: 8,
            connect_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(3),
            migrate: true,
        })
    }

    /// Keeps everything in this schema of the database, `slimy_rt` otherwise. Servers with different schemas share nothing.
    ///
    /// # Errors
    /// [`PostgresError`] when it is empty, longer than 40 bytes, has other characters than ASCII letters, digits and `_`, or begins with a digit or with
    /// `pg_`.
    pub fn schema(mut self, schema: &str) -> Result<Self, PostgresError> {
        let is_legal = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        let begins_well = |c: u8| !c.is_ascii_digit();
        let is_name = schema.len() <= MAX_SCHEMA_LEN
            && schema.bytes().all(is_legal)
            && schema.bytes().next().is_some_and(begins_well)
            && !schema.starts_with("pg_");
        if !is_name {
            return Err(refused(
                "the schema must be 1 to 40 letters, digits or `_`, and begin neither with a digit nor with `pg_`",
            ));
        }
        self.schema = schema.into();
        Ok(self)
    }

    /// How many connections may be open for statements: 8 by default, at least 1. A broker and each watcher of sessions have one more.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long it may take to get a connection, be it by waiting for one or by making one: 2 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// How long a statement may take: 3 s by default, at least 1 ms. Postgres is told of it, and has a second more to say that it gave up.
    #[must_use]
    pub fn statement_timeout(mut self, time: Duration) -> Self {
        self.statement_timeout = time.max(Duration::from_millis(1));
        self
    }

    /// Whether the schema and its tables are made, and changed to this version's, at the first use: so by default. Otherwise somebody else does, and they are
    /// only looked at.
    #[must_use]
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// The schema, as SQL writes it.
    pub(super) fn quoted_schema(&self) -> String {
        format!("\"{}\"", self.schema)
    }

    /// How long an answer to a statement is waited for.
    pub(super) fn patience(&self) -> Duration {
        self.statement_timeout
            .saturating_add(Duration::from_secs(1))
    }

    /// What each connection begins with.
    pub(super) fn settings(&self) -> String {
        let millis = self.statement_timeout.as_millis().min(2_147_483_647);
        // Everything here is found by an index. Without this a table that was not analyzed yet would now and then be read as a whole. Where there is none (a
        // table of one row), it makes costs look huge, for which Postgres would compile the statement anew each time.
        format!(
            "SET search_path TO {}, pg_temp; SET statement_timeout TO {millis}; SET default_transaction_isolation TO 'read committed'; \
             SET enable_seqscan TO off; SET enable_bitmapscan TO off; SET jit TO off",
            self.quoted_schema()
        )
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("host", &self.options.get_host())
            .field("port", &self.options.get_port())
            .field("user", &self.options.get_username())
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
        for url in [
            "postgres://u:hunter2@h:1/db?sslmode=disable",
            "postgresql://h/db?user=u&password=hunter2&options[work_mem]=1MB",
        ] {
            let config = PostgresConfig::new(url).unwrap();
            assert!(!format!("{config:?}").contains("hunter2"));
        }
        for url in [
            "",
            "h:1",
            "http://u:hunter2@h",
            "postgres://u:hunter2@h:x",
            "postgres://u:hunter2@h:1/db?sslmode=hunter2",
            "postgres://u:hunter2@h/db?passwd=hunter2",
            "postgres://h/db?hunter2",
        ] {
            let error = PostgresConfig::new(url).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(
                text.contains("URL") && !text.contains("hunter2"),
                "{url}: {text}"
            );
        }
    }

    #[test]
    fn schemas_are_checked() {
        let config = PostgresConfig::new("postgres://h/db").unwrap();
        for schema in [
            "",
            "1a",
            "a b",
            "a\"b",
            "a;b",
            "ü",
            "pg_own",
            &"x".repeat(41),
        ] {
            assert!(config.clone().schema(schema).is_err(), "{schema}");
        }
        for schema in ["chat", "Chat_2", "_", &"x".repeat(40)] {
            assert!(config.clone().schema(schema).is_ok(), "{schema}");
        }
    }
}
