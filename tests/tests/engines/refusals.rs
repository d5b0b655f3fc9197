//! What an operator is told when the engine says no: the cause and the setting, and never a secret.

use slimy_rt_test_engines::{Postgres, Redis};
use slimy_rt_tests::{fleet::SECRET, program::Program};

use crate::cluster::{Engine, Kind, PASSWORD};

const WRONG: &str = "a-wrong-password-3b8e";

/// Starts the program so that an engine that says no is fatal, with each of these flags, and gives what it said.
fn refused(url: &str) -> Vec<String> {
    let said = ["--broker", "--sessions"].map(|flag| {
        let ended = Program::run(
            &["--listen", "127.0.0.1:0", "--require-backends", flag, url],
            &[("JWT_SECRET", SECRET)],
        );
        let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{errors}");
        assert!(errors.contains(flag), "the flag is not named: {errors}");
        for secret in [WRONG, PASSWORD, SECRET] {
            assert!(!errors.contains(secret), "{errors}");
        }
        errors
    });
    said.into()
}

fn assert_says(said: &[String], words: &[&str]) {
    for text in said {
        let lower = text.to_lowercase();
        let says = words.iter().any(|word| lower.contains(word));
        assert!(says, "none of {words:?} in: {text}");
    }
}

pub(crate) async fn a_wrong_password(kind: Kind) {
    let engine = Engine::start(kind).await;
    let url = engine.url_at(engine.port()).replace(PASSWORD, WRONG);
    assert_says(&refused(&url), &["password"]);
}

pub(crate) async fn nobody_there(kind: Kind) {
    let engine = Engine::start(kind).await;
    engine.stop_hard().await;
    let url = engine.url_at(engine.port());
    assert_says(&refused(&url), &["refused", "connect", "reach"]);
}

pub(crate) async fn a_database_that_is_not_there() {
    let postgres = Postgres::builder().password(PASSWORD).start().await;
    assert_says(&refused(&postgres.url("nowhere")), &["nowhere"]);
}

pub(crate) async fn a_database_that_is_read_only() {
    let postgres = Postgres::builder().password(PASSWORD).start().await;
    postgres
        .psql("ALTER DATABASE postgres SET default_transaction_read_only = on")
        .await;
    assert_says(&refused(&postgres.url("postgres")), &["read-only"]);
}

pub(crate) async fn a_user_who_may_nothing() {
    let redis = Redis::builder()
        .password(PASSWORD)
        .acl(format!("user stranger on >{PASSWORD} -@all +ping"))
        .start()
        .await;
    let url = format!("redis://stranger:{PASSWORD}@127.0.0.1:{}", redis.port());
    assert_says(&refused(&url), &["permission", "acl"]);
}
