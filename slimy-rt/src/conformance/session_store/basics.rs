//! Saving, loading, deleting.

use std::time::Duration;

use super::{
    super::{
        run::{Verdict, call, clauses, ensure, same},
        support::until,
    },
    Harness, load, save, session, user,
};
use crate::session::Expiry;

const HOUR: Duration = Duration::from_secs(3_600);
/// Soon enough to be waited for.
const SHORT: Duration = Duration::from_millis(1_200);

clauses! { Harness;
    "load-nothing": "`load` of a user without a session is `None`." => load_nothing,
    "load-after-save": "`load` after a completed `save` gives what was saved." => load_after_save,
    "save-replaces": "`save` stores a session in place of any other; the later of two wins." => save_replaces,
    "users-apart": "A user's session is that user's only." => users_apart,
    "delete-removes": "After a completed `delete` there is no session, until it is saved again." => delete_removes,
    "delete-tells": "`delete` says whether there was a session." => delete_tells,
    "reopened-loads": "What was saved or deleted through one handle is so through every other." => reopened_loads,
    "restarted-loads": "What was saved or deleted is so after a restart, and a session ends then when it would have ended." => restarted_loads,
}

async fn load_nothing(harness: Harness) -> Verdict {
    let store = harness.store().await;
    same("load of nothing", &load(&*store, "u").await?, &None)
}

async fn load_after_save(harness: Harness) -> Verdict {
    let store = harness.store().await;
    save(&*store, "u", &session("g")).await?;
    for _ in 0..2 {
        same(
            "load after save",
            &load(&*store, "u").await?,
            &Some(session("g")),
        )?;
    }
    Ok(())
}

async fn save_replaces(harness: Harness) -> Verdict {
    let store = harness.store().await;
    for mark in ["one", "two", "three", "one"] {
        save(&*store, "u", &session(mark)).await?;
        same(
            "load after save",
            &load(&*store, "u").await?,
            &Some(session(mark)),
        )?;
    }
    Ok(())
}

async fn users_apart(harness: Harness) -> Verdict {
    let store = harness.store().await;
    save(&*store, "u", &session("g")).await?;
    save(&*store, "v", &session("h")).await?;
    same(
        "the first user's session",
        &load(&*store, "u").await?,
        &Some(session("g")),
    )?;
    call("delete", store.delete(&user("v"))).await?;
    same(
        "the first user's session",
        &load(&*store, "u").await?,
        &Some(session("g")),
    )
}

async fn delete_removes(harness: Harness) -> Verdict {
    let store = harness.store().await;
    save(&*store, "u", &session("g")).await?;
    call("delete", store.delete(&user("u"))).await?;
    same("load after delete", &load(&*store, "u").await?, &None)?;
    save(&*store, "u", &session("h")).await?;
    same(
        "load after the next save",
        &load(&*store, "u").await?,
        &Some(session("h")),
    )
}

async fn delete_tells(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let id = user("u");
    let delete = || call("delete", store.delete(&id));
    ensure!(
        !delete().await?,
        "`delete` of nothing said that there was a session"
    );
    save(&*store, "u", &session("g")).await?;
    ensure!(
        delete().await?,
        "`delete` of a session said that there was none"
    );
    ensure!(
        !delete().await?,
        "the second `delete` said that there was a session"
    );
    Ok(())
}

async fn reopened_loads(harness: Harness) -> Verdict {
    let first = harness.create().await;
    save(&*first.store, "before", &session("g")).await?;
    let second = first.again().await?;
    same(
        "a session from before",
        &load(&*second, "before").await?,
        &Some(session("g")),
    )?;
    save(&*second, "after", &session("h")).await?;
    same(
        "the other handle's",
        &load(&*first.store, "after").await?,
        &Some(session("h")),
    )?;
    call("delete", second.delete(&user("before"))).await?;
    same(
        "what the other handle deleted",
        &load(&*first.store, "before").await?,
        &None,
    )
}

async fn restarted_loads(harness: Harness) -> Verdict {
    let opened = harness.create().await;
    let store = &opened.store;
    for id in ["deleted", "kept", "replaced"] {
        save(&**store, id, &session("g")).await?;
    }
    save(&**store, "replaced", &session("h")).await?;
    call("delete", store.delete(&user("deleted"))).await?;
    for (id, time) in [("long", HOUR), ("short", SHORT)] {
        let (id, saved) = (user(id), session("g"));
        call("save", store.save(&id, &saved, Expiry::In(time))).await?;
    }
    let opened = opened.restarted().await?;
    let store = &opened.store;
    for (id, expected) in [
        ("deleted", None),
        ("kept", Some(session("g"))),
        ("long", Some(session("g"))),
        ("replaced", Some(session("h"))),
    ] {
        let what = format!("the session of {id:?} after a restart");
        same(&what, &load(&**store, id).await?, &expected)?;
    }
    until("a session ends after a restart", || async {
        Ok(load(&**store, "short").await?.is_none())
    })
    .await?;
    let listed = call("list", store.list(None, 9)).await?.sessions;
    let expected = [("kept", "g"), ("long", "g"), ("replaced", "h")];
    let expected = expected.map(|(id, mark)| (user(id), session(mark)));
    same("list after a restart", &listed, &expected.to_vec())?;
    save(&**store, "kept", &session("after")).await?;
    same(
        "load of what was saved after a restart",
        &load(&**store, "kept").await?,
        &Some(session("after")),
    )
}
