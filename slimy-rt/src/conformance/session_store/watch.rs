//! Following changes.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;

use super::{
    super::run::{Verdict, call, clauses, ensure, failed, in_time, same},
    Harness, load, save, session, token, user,
};
use crate::{
    UserId,
    session::{SessionEvent, SessionStore, SessionWatch},
};

const HOUR: Duration = Duration::from_secs(3_600);
/// How often a change and its report are compared.
const ROUNDS: usize = 20;
/// How many changes wait for a watcher that does not look.
const UNREAD: usize = 1_500;

clauses! { Harness;
    "watch-reports": "Every watcher is told of every user that is saved or deleted, and of every token that is denied." => watch_reports,
    "watch-loadable": "A change is reported after it can be loaded." => watch_loadable,
    "watch-order": "Changes of one user are reported in their order; several may be reported as one." => watch_order,
    "watch-from-now": "A watcher is told of changes from `watch` on, and of none before." => watch_from_now,
    "watch-from-now-reopened": "A watcher is told of no change that another handle had completed before `watch`." => watch_from_now_reopened,
    "watch-dropped": "A watcher that goes away harms neither the store nor other watchers." => watch_dropped,
    "watch-lagging": "A watcher that does not look holds up nobody, and what it missed is `Missed`, or the end of its stream." => watch_lagging,
    "watch-reopened": "Changes are reported to the watchers of every handle." => watch_reopened,
}

pub(super) async fn watch(store: &dyn SessionStore) -> Verdict<SessionWatch> {
    call("watch", store.watch()).await
}

/// Waits for an event, and gives what came before it.
async fn wait_for(watch: &mut SessionWatch, wanted: &SessionEvent) -> Verdict<Vec<SessionEvent>> {
    let mut earlier = Vec::new();
    let wait = async {
        while let Some(event) = watch.next().await {
            if event == *wanted {
                return true;
            }
            earlier.push(event);
        }
        false
    };
    match in_time(&format!("waiting for {wanted:?}"), wait).await? {
        true => Ok(earlier),
        false => failed(format!("the stream of changes ended before {wanted:?}")),
    }
}

fn saved(id: &str) -> SessionEvent {
    SessionEvent::Saved(user(id))
}

fn deleted(id: &str) -> SessionEvent {
    SessionEvent::Deleted(user(id))
}

async fn delete(store: &dyn SessionStore, id: &str) -> Verdict<bool> {
    call("delete", store.delete(&user(id))).await
}

async fn deny(store: &dyn SessionStore, id: &str) -> Verdict {
    let until = SystemTime::now() + HOUR;
    call("deny", store.deny(&token(id), until)).await
}

async fn watch_reports(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let mut watchers = [watch(&*store).await?, watch(&*store).await?];
    save(&*store, "u", &session("g")).await?;
    for watcher in &mut watchers {
        wait_for(watcher, &saved("u")).await?;
    }
    delete(&*store, "u").await?;
    for watcher in &mut watchers {
        wait_for(watcher, &deleted("u")).await?;
    }
    deny(&*store, "t").await?;
    for watcher in &mut watchers {
        wait_for(watcher, &SessionEvent::Denied(token("t"))).await?;
    }
    Ok(())
}

async fn watch_loadable(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let mut watcher = watch(&*store).await?;
    for round in 0..ROUNDS {
        let (id, mark) = (format!("user {round}"), format!("guild {round}"));
        let look = async {
            wait_for(&mut watcher, &saved(&id)).await?;
            let what = "what can be loaded when the `save` is reported";
            same(what, &load(&*store, &id).await?, &Some(session(&mark)))
        };
        let marked = session(&mark);
        let (looked, saved) = tokio::join!(look, save(&*store, &id, &marked));
        saved.and(looked)?;
        let look = async {
            wait_for(&mut watcher, &deleted(&id)).await?;
            let what = "what can be loaded when the `delete` is reported";
            same(what, &load(&*store, &id).await?, &None)
        };
        let (looked, deleted) = tokio::join!(look, delete(&*store, &id));
        deleted.and(looked)?;
    }
    Ok(())
}

async fn watch_order(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let mut watcher = watch(&*store).await?;
    for _ in 0..ROUNDS {
        for mark in ["one", "two", "three"] {
            save(&*store, "u", &session(mark)).await?;
        }
        delete(&*store, "u").await?;
        wait_for(&mut watcher, &deleted("u")).await?;
        save(&*store, "other", &session("g")).await?;
        let late = wait_for(&mut watcher, &saved("other")).await?;
        ensure!(
            !late.contains(&saved("u")),
            "a `save` was reported behind the `delete` that came after it"
        );
    }
    Ok(())
}

async fn watch_from_now(harness: Harness) -> Verdict {
    let store = harness.store().await;
    save(&*store, "early", &session("g")).await?;
    delete(&*store, "early").await?;
    deny(&*store, "early").await?;
    let mut watcher = watch(&*store).await?;
    save(&*store, "late", &session("g")).await?;
    let earlier = wait_for(&mut watcher, &saved("late")).await?;
    none_is_early(&earlier)
}

async fn watch_from_now_reopened(harness: Harness) -> Verdict {
    let first = harness.create().await;
    let second = first.again().await?;
    for (watching, changing) in [(&first.store, &second), (&second, &first.store)] {
        save(&**changing, "early", &session("g")).await?;
        delete(&**changing, "early").await?;
        save(&**changing, "early", &session("h")).await?;
        deny(&**changing, "early").await?;
        let mut watcher = watch(&**watching).await?;
        // The other handle's too: they come the way on which the early ones would. Two, since what is found at once is told in any order.
        for late in ["late", "later"] {
            save(&**changing, late, &session("g")).await?;
            none_is_early(&wait_for(&mut watcher, &saved(late)).await?)?;
        }
    }
    Ok(())
}

/// Nothing of what was done to "early" before `watch` was reported.
fn none_is_early(events: &[SessionEvent]) -> Verdict {
    let before = [
        saved("early"),
        deleted("early"),
        SessionEvent::Denied(token("early")),
    ];
    let old = events.iter().find(|event| before.contains(event));
    ensure!(
        old.is_none(),
        "{old:?} was reported, although it was before `watch`"
    );
    Ok(())
}

async fn watch_dropped(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let (first, mut second) = (watch(&*store).await?, watch(&*store).await?);
    drop(first);
    save(&*store, "u", &session("g")).await?;
    wait_for(&mut second, &saved("u")).await?;
    drop(second);
    save(&*store, "v", &session("g")).await?;
    same(
        "load after save",
        &load(&*store, "v").await?,
        &Some(session("g")),
    )?;
    let mut third = watch(&*store).await?;
    save(&*store, "w", &session("g")).await?;
    wait_for(&mut third, &saved("w")).await.map(|_| ())
}

async fn watch_lagging(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let (mut lagging, mut looking) = (watch(&*store).await?, watch(&*store).await?);
    let mut missing: BTreeSet<UserId> = BTreeSet::new();
    for i in 0..UNREAD {
        let id = format!("user {i}");
        save(&*store, &id, &session("g")).await?;
        wait_for(&mut looking, &saved(&id)).await?;
        missing.insert(user(&id));
    }
    while !missing.is_empty() {
        match in_time(
            "waiting for a change that a watcher did not look at",
            lagging.next(),
        )
        .await
        {
            Ok(Some(SessionEvent::Saved(user))) => missing.remove(&user),
            Ok(Some(SessionEvent::Missed) | None) => return Ok(()),
            Ok(Some(other)) => return failed(format!("{other:?} was reported, but never made")),
            Err(_) => {
                let count = missing.len();
                return failed(format!(
                    "of {UNREAD} changes a watcher that lagged was told nothing of {count}, and not that it missed any"
                ));
            }
        };
    }
    Ok(())
}

async fn watch_reopened(harness: Harness) -> Verdict {
    let first = harness.create().await;
    let second = first.again().await?;
    let mut watcher = watch(&*second).await?;
    save(&*first.store, "u", &session("g")).await?;
    wait_for(&mut watcher, &saved("u")).await?;
    same(
        "load through the other handle",
        &load(&*second, "u").await?,
        &Some(session("g")),
    )?;
    delete(&*first.store, "u").await?;
    wait_for(&mut watcher, &deleted("u")).await?;
    deny(&*first.store, "t").await?;
    wait_for(&mut watcher, &SessionEvent::Denied(token("t"))).await?;
    let mut here = watch(&*first.store).await?;
    save(&*second, "v", &session("g")).await?;
    wait_for(&mut here, &saved("v")).await.map(|_| ())
}
