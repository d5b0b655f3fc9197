//! Makes the schema's tables, and brings those of an earlier version to this one's.

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tokio::time::timeout;

use super::{
    PostgresConfig, PostgresError,
    error::{code, explained, refused, unavailable},
};

/// The steps from nothing to this version's tables. What was released is never changed: what is missing comes with a further step, which only adds.
const STEPS: [(&str, &str); 6] = [
    ("sessions", include_str!("migrations/0001_sessions.sql")),
    ("log", include_str!("migrations/0002_log.sql")),
    ("nodes", include_str!("migrations/0003_nodes.sql")),
    ("tokens", include_str!("migrations/0004_tokens.sql")),
    ("counts", include_str!("migrations/0005_counts.sql")),
    ("sweep", include_str!("migrations/0006_sweep.sql")),
];

/// Which steps a schema has behind it.
const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS migrations (
      version integer PRIMARY KEY,
      name text NOT NULL,
      -- The SHA-256 of the SQL, as hexadecimal digits.
      checksum text NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now()
    )";

/// How long a step may take, together with the waiting for another server that does the same.
const TIME: std::time::Duration = std::time::Duration::from_secs(60);
/// The first version of Postgres that has what is used.
const OLDEST: i32 = 130_000;

/// Makes sure that the schema is this version's.
pub(super) async fn ensure(
    connection: &mut PgConnection,
    config: &PostgresConfig,
) -> Result<(), PostgresError> {
    let looking = look(connection, config);
    let steps = timeout(config.patience(), looking).await;
    let steps = steps.map_err(|_| unavailable("Postgres does not answer in time"))??;
    if steps == STEPS.len() {
        return Ok(());
    }
    if !config.migrate {
        return Err(unavailable(format!(
            "the schema `{}` has {steps} of this version's {} migrations, and `migrate` is off: apply them, or switch it on",
            config.schema,
            STEPS.len()
        )));
    }
    for _ in steps..STEPS.len() {
        let stepping = timeout(TIME, step(connection, config)).await;
        stepping.map_err(|_| {
            unavailable("the tables could not be made in time: another server may be at it")
        })??;
    }
    Ok(())
}

/// How many steps the schema has behind it; an error when it is none that this version can use.
async fn look(
    connection: &mut PgConnection,
    config: &PostgresConfig,
) -> Result<usize, PostgresError> {
    // From the catalogue's tables, and not by `to_regclass`: that may remember from before this transaction waited for another server's that there is none.
    let about = sqlx::query(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
           EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relname = 'migrations')",
    );
    let about = about.bind(&*config.schema);
    let about = about.fetch_one(&mut *connection).await?;
    let (version, encoding): (i32, String) = (about.try_get(0)?, about.try_get(1)?);
    if version < OLDEST {
        return Err(refused("Postgres is too old: it must be 13 or later"));
    }
    if encoding != "UTF8" {
        return Err(refused(format!(
            "the database's encoding is {encoding}: create one with the encoding UTF8"
        )));
    }
    if !about.try_get(2)? {
        return Ok(0);
    }
    // By its full name: a schema that the user has no privilege on is left out of the search path without a word.
    let applied = sqlx::query(AssertSqlSafe(format!(
        "SELECT version, checksum FROM {}.migrations ORDER BY version",
        config.quoted_schema()
    )));
    let applied = applied.fetch_all(&mut *connection).await?;
    for (index, row) in applied.iter().enumerate() {
        let (version, sum): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
        let Some((name, sql)) = STEPS.get(index) else {
            return Err(unavailable(format!(
                "the schema `{}` is of a newer version: it has the migration {version}, and this version knows {}: use the newer version, or another `schema`",
                config.schema,
                STEPS.len()
            )));
        };
        if usize::try_from(version).ok() != Some(index + 1) || sum != checksum(sql) {
            return Err(unavailable(format!(
                "migration {version} of the schema `{}` is not this version's ({name}): it was changed, or is somebody else's; use another `schema`",
                config.schema
            )));
        }
    }
    Ok(applied.len())
}

/// Takes the next step, in a transaction of its own, unless another server has taken it meanwhile. After an error the connection is closed, and with it the
/// transaction.
async fn step(connection: &mut PgConnection, config: &PostgresConfig) -> Result<(), PostgresError> {
    run(connection, "BEGIN; SET LOCAL statement_timeout TO '60s'").await?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))");
    let lock = lock.bind(format!("{}:migrations", config.schema));
    lock.execute(&mut *connection).await?;
    let done = look(connection, config).await?;
    if let Some((name, sql)) = STEPS.get(done) {
        let taken = take(connection, config, (done, name, sql)).await;
        taken.map_err(|error| match code(&error).as_deref() {
            Some("42501") => explained(
                format!(
                    "the database user may not make the tables: let it create the schema `{0}` (GRANT CREATE ON DATABASE), make it the owner of the schema, or switch `migrate` off and apply the migrations yourself",
                    config.schema
                ),
                error,
            ),
            _ => error.into(),
        })?;
        tracing::info!(schema = %config.schema, migration = name, "the tables were migrated");
    }
    run(connection, "COMMIT").await?;
    Ok(())
}

async fn take(
    connection: &mut PgConnection,
    config: &PostgresConfig,
    (done, name, sql): (usize, &str, &'static str),
) -> sqlx::Result<()> {
    let is_there =
        sqlx::query("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)");
    let is_there = is_there.bind(&*config.schema);
    // Even `IF NOT EXISTS` needs the privilege to create one.
    if !is_there.fetch_one(&mut *connection).await?.try_get(0)? {
        let create = format!("CREATE SCHEMA {}", config.quoted_schema());
        let create = sqlx::raw_sql(AssertSqlSafe(create));
        create.execute(&mut *connection).await?;
    }
    if done == 0 {
        run(connection, TABLE).await?;
    }
    run(connection, sql).await?;
    let record =
        sqlx::query("INSERT INTO migrations (version, name, checksum) VALUES ($1, $2, $3)");
    let version = i32::try_from(done + 1).unwrap_or(i32::MAX);
    let record = record.bind(version).bind(name).bind(checksum(sql));
    record.execute(&mut *connection).await?;
    Ok(())
}

async fn run(connection: &mut PgConnection, sql: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}

fn checksum(sql: &str) -> String {
    let hash = Sha256::digest(sql);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
