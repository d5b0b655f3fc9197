//! The tables: made and changed by numbered steps, each once, whoever starts first.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::PostgresError;

/// The steps, in their order. A step that was released never changes.
const STEPS: &[&str] = &[include_str!("migrations/1_first.sql")];

/// Makes what is missing in a schema, or only checks that nothing is.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    schema: &str,
    make: bool,
) -> Result<(), PostgresError> {
    let mut transaction = connection.begin().await?;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('migrate:' || $1, 0))";
    if make {
        // One node at a time, and the others find it done.
        sqlx::query(lock)
            .bind(schema)
            .execute(&mut *transaction)
            .await?;
    }
    let there: (bool, bool) = sqlx::query_as("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1), EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'migrations')")
        .bind(schema)
        .fetch_one(&mut *transaction)
        .await?;
    let done = match there.1 {
        true => sqlx::query("SELECT coalesce(max(version), 0) FROM migrations")
            .fetch_one(&mut *transaction)
            .await?
            .get::<i32, _>(0),
        false => 0,
    };
    let known = STEPS.len() as i32;
    if done > known {
        return Err(super::error::unavailable(format!(
            "the schema {schema} has tables of version {done}, and this server knows {known}: update the server, or give it a schema of its own"
        )));
    }
    if !make && done < known {
        return Err(super::error::unavailable(format!(
            "the schema {schema} has tables of version {done}, and this server needs {known}: let it make them (`migrate`), or run the migrations"
        )));
    }
    if done == known {
        return Ok(());
    }
    if !there.0 {
        // The name has been checked: letters, digits and `_`.
        transaction
            .execute(AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\"")))
            .await?;
    }
    if !there.1 {
        let table = "CREATE TABLE migrations (version int PRIMARY KEY, made timestamptz NOT NULL DEFAULT now())";
        transaction.execute(table).await?;
    }
    for (step, version) in STEPS.iter().zip(1..).skip(done as usize) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO migrations (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}
