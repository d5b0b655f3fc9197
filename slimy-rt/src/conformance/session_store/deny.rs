//! Denied tokens.

use std::time::{Duration, SystemTime};

use super::{
    super::{
        run::{Verdict, call, clauses, ensure},
        support::{HOSTILE, system_clock_passes},
    },
    Harness, save, session, token,
};
use crate::{MAX_ID_BYTES, session::SessionStore};

const HOUR: Duration = Duration::from_secs(3_600);
/// Soon enough to be waited for, and more than the second that some engines count in.
const SOON: Duration = Duration::from_millis(1_100);
/// How many saves a denial survives: enough for a log to be rewritten.
const SAVES: usize = 200;
/// Of how many users.
const SAVED_USERS: usize = 10;

clauses! { Harness;
    "deny-denies": "After a completed `deny` the token is denied, and no other is." => deny_denies,
    "deny-ids-opaque": "Token ids are opaque text: each is denied alone, whatever it contains." => deny_ids_opaque,
    "deny-past": "A token can be denied until a time that is over; that is no error." => deny_past,
    "deny-never-shortened": "A second `deny` that ends earlier does not shorten the first." => deny_never_shortened,
    "deny-extended": "A second `deny` that ends later extends the first." => deny_extended,
    "deny-any-time": "Every time is legal: one in a thousand years denies as well." => deny_any_time,
    "reopened-denies": "A token that was denied through one handle is denied through every other." => reopened_denies,
    "restarted-denies": "A token that was denied is denied after a restart." => restarted_denies,
    "deny-kept": "A denial survives whatever is saved after it." => deny_kept,
}

async fn deny(store: &dyn SessionStore, id: &str, until: SystemTime) -> Verdict {
    call("deny", store.deny(&token(id), until)).await
}

async fn is_denied(store: &dyn SessionStore, id: &str) -> Verdict<bool> {
    call("is_denied", store.is_denied(&token(id))).await
}

async fn deny_denies(harness: Harness) -> Verdict {
    let store = harness.store().await;
    ensure!(
        !is_denied(&*store, "t").await?,
        "a token was denied before anyone denied it"
    );
    deny(&*store, "t", SystemTime::now() + HOUR).await?;
    for _ in 0..2 {
        ensure!(
            is_denied(&*store, "t").await?,
            "the token was not denied after `deny`"
        );
    }
    ensure!(
        !is_denied(&*store, "other").await?,
        "another token was denied too"
    );
    Ok(())
}

async fn deny_ids_opaque(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let long = "x".repeat(MAX_ID_BYTES);
    let ids = || HOSTILE.iter().copied().chain([long.as_str()]);
    for id in ids() {
        ensure!(
            !is_denied(&*store, id).await?,
            "{id:?} was denied before its turn"
        );
        deny(&*store, id, SystemTime::now() + HOUR).await?;
        ensure!(is_denied(&*store, id).await?, "{id:?} was not denied");
    }
    Ok(())
}

async fn deny_past(harness: Harness) -> Verdict {
    let store = harness.store().await;
    for until in [SystemTime::now() - HOUR, SystemTime::UNIX_EPOCH] {
        deny(&*store, "t", until).await?;
        is_denied(&*store, "t").await?;
    }
    Ok(())
}

async fn deny_never_shortened(harness: Harness) -> Verdict {
    let store = harness.store().await;
    deny(&*store, "t", SystemTime::now() + HOUR).await?;
    deny(&*store, "t", SystemTime::now() - HOUR).await?;
    ensure!(
        is_denied(&*store, "t").await?,
        "a `deny` that was over lifted the denial"
    );
    let soon = SystemTime::now() + SOON;
    deny(&*store, "t", soon).await?;
    system_clock_passes(soon).await?;
    ensure!(
        is_denied(&*store, "t").await?,
        "a shorter `deny` shortened the denial"
    );
    Ok(())
}

async fn deny_extended(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let soon = SystemTime::now() + SOON;
    deny(&*store, "t", soon).await?;
    deny(&*store, "t", soon + HOUR).await?;
    system_clock_passes(soon).await?;
    ensure!(
        is_denied(&*store, "t").await?,
        "a longer `deny` did not extend the denial"
    );
    Ok(())
}

async fn deny_any_time(harness: Harness) -> Verdict {
    let store = harness.store().await;
    deny(&*store, "t", SystemTime::now() + HOUR * 24 * 365_250).await?;
    ensure!(
        is_denied(&*store, "t").await?,
        "a token denied for a thousand years was not denied"
    );
    Ok(())
}

async fn reopened_denies(harness: Harness) -> Verdict {
    let first = harness.create().await;
    deny(&*first.store, "before", SystemTime::now() + HOUR).await?;
    let second = first.again().await?;
    ensure!(
        is_denied(&*second, "before").await?,
        "the other handle did not know of the denial"
    );
    deny(&*second, "after", SystemTime::now() + HOUR).await?;
    ensure!(
        is_denied(&*first.store, "after").await?,
        "the first handle did not know of the other's denial"
    );
    Ok(())
}

async fn restarted_denies(harness: Harness) -> Verdict {
    let opened = harness.create().await;
    deny(&*opened.store, "t", SystemTime::now() + HOUR).await?;
    let opened = opened.restarted().await?;
    ensure!(
        is_denied(&*opened.store, "t").await?,
        "a denied token was not denied after a restart"
    );
    ensure!(
        !is_denied(&*opened.store, "other").await?,
        "another token was denied after a restart"
    );
    Ok(())
}

async fn deny_kept(harness: Harness) -> Verdict {
    let store = harness.store().await;
    deny(&*store, "t", SystemTime::now() + HOUR).await?;
    for i in 0..SAVES {
        let id = format!("user {}", i % SAVED_USERS);
        save(&*store, &id, &session(&format!("guild {i}"))).await?;
    }
    ensure!(
        is_denied(&*store, "t").await?,
        "a denied token was not denied any more after {SAVES} saves"
    );
    Ok(())
}
