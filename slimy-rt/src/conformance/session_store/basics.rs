//! Saving, loading, deleting.

use super::{
    super::run::{Verdict, call, clauses, ensure, same},
    Harness, load, save, session, user,
};

clauses! { Harness;
    "load-nothing": "`load` of a user without a session is `None`." => load_nothing,
    "load-after-save": "`load` after a completed `save` gives what was saved." => load_after_save,
    "save-replaces": "`save` stores a session in place of any other; the later of two wins." => save_replaces,
    "users-apart": "A user's session is that user's only." => users_apart,
    "delete-removes": "After a completed `delete` there is no session, until it is saved again." => delete_removes,
    "delete-tells": "`delete` says whether there was a session." => delete_tells,
    "reopened-loads": "What was saved or deleted through one handle is so through every other." => reopened_loads,
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
