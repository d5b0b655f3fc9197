//! Sessions that end by themselves.

use std::time::Duration;

use super::{
    super::{
        run::{Verdict, call, clauses, ensure, same},
        support::until,
    },
    Harness, load, save, session, user,
};
use crate::session::{Expiry, SessionStore};

/// Soon enough to be waited for, late enough to be seen before.
const SOON: Duration = Duration::from_millis(1_200);
const LATE: Duration = Duration::from_secs(3_600);

clauses! { Harness;
    "expiry-ends": "A session past its expiry is as good as deleted: not loaded, not listed, nothing to delete." => expiry_ends,
    "expiry-waits": "A session is there until its expiry." => expiry_waits,
    "expiry-replaced": "Each `save` sets the expiry anew, also to never." => expiry_replaced,
    "expiry-any": "Every duration is legal: the longest is never, and none at all is over at once." => expiry_any,
}

async fn save_for(store: &dyn SessionStore, id: &str, time: Duration) -> Verdict {
    let (user, session) = (user(id), session("g"));
    call("save", store.save(&user, &session, Expiry::In(time))).await
}

async fn is_gone(store: &dyn SessionStore, id: &str) -> Verdict<bool> {
    Ok(load(store, id).await?.is_none())
}

async fn expiry_ends(harness: Harness) -> Verdict {
    let store = harness.store().await;
    for id in ["loaded", "listed", "deleted"] {
        save_for(&*store, id, SOON).await?;
    }
    save(&*store, "stays", &session("g")).await?;
    until("an expired session is no longer loaded", || {
        is_gone(&*store, "loaded")
    })
    .await?;
    // One second more than the first: engines that count in whole ones may end each at another tick.
    until("expired sessions are no longer listed", || async {
        let page = call("list", store.list(None, 9)).await?;
        Ok(page.sessions == [(user("stays"), session("g"))])
    })
    .await?;
    let was = call("delete", store.delete(&user("deleted"))).await?;
    ensure!(
        !was,
        "`delete` of an expired session said that there was one"
    );
    Ok(())
}

async fn expiry_waits(harness: Harness) -> Verdict {
    let store = harness.store().await;
    save_for(&*store, "u", LATE).await?;
    save_for(&*store, "clock", SOON).await?;
    ensure!(
        !is_gone(&*store, "u").await?,
        "it was gone at once, an hour early"
    );
    until("an expired session is no longer loaded", || {
        is_gone(&*store, "clock")
    })
    .await?;
    same(
        "an hour before its expiry",
        &load(&*store, "u").await?,
        &Some(session("g")),
    )
}

async fn expiry_replaced(harness: Harness) -> Verdict {
    let store = harness.store().await;
    save_for(&*store, "never", SOON).await?;
    save(&*store, "never", &session("h")).await?;
    save_for(&*store, "later", SOON).await?;
    save_for(&*store, "later", LATE).await?;
    save(&*store, "sooner", &session("g")).await?;
    save_for(&*store, "sooner", SOON).await?;
    until("a session that got an expiry ends", || {
        is_gone(&*store, "sooner")
    })
    .await?;
    let never = load(&*store, "never").await?;
    same(
        "a session that lost its expiry",
        &never,
        &Some(session("h")),
    )?;
    let later = load(&*store, "later").await?;
    same(
        "a session that got a later expiry",
        &later,
        &Some(session("g")),
    )
}

async fn expiry_any(harness: Harness) -> Verdict {
    let store = harness.store().await;
    save_for(&*store, "longest", Duration::MAX).await?;
    same(
        "the longest expiry",
        &load(&*store, "longest").await?,
        &Some(session("g")),
    )?;
    for (id, time) in [("none", Duration::ZERO), ("short", Duration::from_nanos(1))] {
        save_for(&*store, id, time).await?;
        until(&format!("an expiry of {time:?} ends"), || {
            is_gone(&*store, id)
        })
        .await?;
    }
    Ok(())
}
