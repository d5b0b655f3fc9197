//! Many at once, calls that are dropped, and an engine that is away.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use tokio::task::JoinSet;

use super::{
    super::{
        run::{Verdict, call, clauses, ensure, failed, in_time, not_applicable, same, short},
        support::{drop_after, poll_counts, until},
    },
    Harness, Opened, guild, load, save, session, token, user,
    watch::watch,
};
use crate::session::{
    Claim, Claimed, Expiry, Guild, Session, SessionError, SessionEvent, SessionStore,
};

const HOUR: Duration = Duration::from_secs(3_600);
/// How many use the store at once.
const TASKS: usize = 16;
/// How many handles there are of one store.
const HANDLES: usize = 4;
/// How often each of them does.
const ROUNDS: usize = 8;

clauses! { Harness;
    "concurrent-use": "Calls of many tasks at once each do what they would do alone." => concurrent_use,
    "concurrent-reopened": "What several handles save at once is all there, for each of them." => concurrent_reopened,
    "cancelled-save": "A `save` that is dropped has happened or has not, never half, and the store works on." => cancelled_save,
    "cancelled-delete": "A `delete` that is dropped has happened or has not, and the store works on." => cancelled_delete,
    "cancelled-deny": "A `deny` that is dropped has happened or has not, and the store works on." => cancelled_deny,
    "cancelled-claim": "A `claim` that is dropped has happened or has not, and the store works on." => cancelled_claim,
    "outage-is-error": "While the engine is away every call is an error that `is_retryable`: never `None`, an empty page, or `false`." => outage_is_error,
    "outage-ends": "When the engine is back, the same handle works on, and what was saved is there." => outage_ends,
    "outage-watch": "A watcher over an outage goes on, is told `Missed`, or its stream ends; it is never left without a word." => outage_watch,
}

async fn concurrent_use(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(use_alone(Arc::clone(&store), task));
    }
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(verdict) => verdict?,
            Err(error) => return failed(format!("one of many calls at once panicked: {error}")),
        }
    }
    Ok(())
}

/// What one task does to what is only its own.
async fn use_alone(store: Arc<dyn SessionStore>, task: usize) -> Verdict {
    for round in 0..ROUNDS {
        let (id, mark) = (format!("user {task}"), format!("guild {task} {round}"));
        save(&*store, &id, &session(&mark)).await?;
        same(
            "load among other tasks",
            &load(&*store, &id).await?,
            &Some(session(&mark)),
        )?;
        let denied = token(&format!("token {task} {round}"));
        call("deny", store.deny(&denied, SystemTime::now() + HOUR)).await?;
        let is_denied = call("is_denied", store.is_denied(&denied)).await?;
        ensure!(is_denied, "a token denied among other tasks was not denied");
        let page = call("list", store.list(None, TASKS)).await?;
        let own = page
            .sessions
            .into_iter()
            .find(|(user, _)| user.as_str() == id);
        same(
            "list among other tasks",
            &own.map(|(_, session)| session),
            &Some(session(&mark)),
        )?;
        let was = call("delete", store.delete(&user(&id))).await?;
        ensure!(was, "`delete` among other tasks found no session");
        same(
            "load after delete among other tasks",
            &load(&*store, &id).await?,
            &None,
        )?;
    }
    Ok(())
}

async fn concurrent_reopened(harness: Harness) -> Verdict {
    let first = harness.create().await;
    let mut handles = vec![Arc::clone(&first.store)];
    while handles.len() < HANDLES {
        handles.push(first.again().await?);
    }
    let mut tasks = JoinSet::new();
    for (number, store) in handles.iter().cloned().enumerate() {
        tasks.spawn(async move {
            for round in 0..ROUNDS {
                let id = format!("user {number} {round}");
                save(&*store, &id, &session(&id)).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(verdict) => verdict?,
            Err(error) => return failed(format!("one of many saves at once panicked: {error}")),
        }
    }
    // In the order of their bytes: both numbers have one digit.
    let ids = (0..HANDLES).flat_map(|n| (0..ROUNDS).map(move |r| format!("user {n} {r}")));
    let expected: Vec<_> = ids.map(|id| (user(&id), session(&id))).collect();
    for store in &handles {
        let page = call("list", store.list(None, usize::MAX)).await?;
        same(
            "the list of what several handles saved at once",
            &page.sessions,
            &expected,
        )?;
    }
    Ok(())
}

async fn cancelled_save(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let new = Session::new(vec![
        Guild::new(guild("g")).name("new"),
        Guild::new(guild("h")),
    ])
    .not_before(7);
    for polls in poll_counts() {
        save(&*store, "u", &session("old")).await?;
        let id = user("u");
        let ended = in_time(
            "a `save` that is dropped",
            drop_after(polls, store.save(&id, &new, Expiry::Never)),
        )
        .await?;
        let seen = load(&*store, "u").await?;
        let whole = seen == Some(session("old")) || seen.as_ref() == Some(&new);
        ensure!(
            whole,
            "after a `save` dropped at its poll {polls} there is half of it: {}",
            short(&seen)
        );
        let listed = call("list", store.list(None, 9)).await?.sessions;
        ensure!(
            listed.len() == 1,
            "after a dropped `save` of one user, {} are listed",
            listed.len()
        );
        if ended.is_some() {
            break;
        }
    }
    save(&*store, "u", &session("after")).await?;
    same(
        "load after dropped calls",
        &load(&*store, "u").await?,
        &Some(session("after")),
    )
}

async fn cancelled_delete(harness: Harness) -> Verdict {
    let store = harness.store().await;
    for polls in poll_counts() {
        save(&*store, "u", &session("g")).await?;
        let id = user("u");
        let ended = in_time(
            "a `delete` that is dropped",
            drop_after(polls, store.delete(&id)),
        )
        .await?;
        let loaded = load(&*store, "u").await?;
        let listed = call("list", store.list(None, 9)).await?.sessions.len();
        match &loaded {
            Some(seen) => same("load after a dropped `delete`", seen, &session("g"))?,
            None => ensure!(
                listed == 0,
                "after a dropped `delete` there is nothing to load, but it is listed"
            ),
        }
        ensure!(
            loaded.is_none() || listed == 1,
            "after a dropped `delete` the session is there, but not listed"
        );
        if ended.is_some() {
            break;
        }
    }
    save(&*store, "u", &session("after")).await?;
    same(
        "load after dropped calls",
        &load(&*store, "u").await?,
        &Some(session("after")),
    )
}

async fn cancelled_deny(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let until = SystemTime::now() + HOUR;
    for polls in poll_counts() {
        let id = token(&format!("t{polls}"));
        let ended = in_time(
            "a `deny` that is dropped",
            drop_after(polls, store.deny(&id, until)),
        )
        .await?;
        call("is_denied", store.is_denied(&id)).await?;
        call("deny", store.deny(&id, until)).await?;
        let denied = call("is_denied", store.is_denied(&id)).await?;
        ensure!(denied, "a `deny` after one that was dropped did not deny");
        if ended.is_some() {
            break;
        }
    }
    Ok(())
}

async fn cancelled_claim(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let (g, first, second) = (guild("g"), user("first"), user("second"));
    for polls in poll_counts() {
        let id = format!("m{polls}");
        let claim = Claim::new(&g, &id, &first, 1, HOUR);
        let ended = in_time(
            "a `claim` that is dropped",
            drop_after(polls, store.claim(&claim)),
        )
        .await?;
        let next = Claim::new(&g, &id, &second, 2, HOUR);
        let claimed = call("claim", store.claim(&next)).await?;
        let before = Claimed::Before {
            user: first.clone(),
            at: 1,
        };
        let holder = match claimed {
            Claimed::NotShared => {
                return not_applicable("the store shares no claims (`NotShared`)");
            }
            Claimed::New => Claimed::Before {
                user: second.clone(),
                at: 2,
            },
            claimed => {
                same("a claim after one that was dropped", &claimed, &before)?;
                before
            }
        };
        let third = Claim::new(&g, &id, &second, 3, HOUR);
        let claimed = call("claim", store.claim(&third)).await?;
        same(
            "a claim after one that was dropped and one that was not",
            &claimed,
            &holder,
        )?;
        if ended.is_some() {
            break;
        }
    }
    Ok(())
}

/// Fails unless it is an error that says to come back.
fn retryable<T: std::fmt::Debug>(what: &str, result: Result<T, SessionError>) -> Verdict {
    match result {
        Err(error) if error.is_retryable() => Ok(()),
        Err(error) => failed(format!(
            "{what} of an engine that is away: {error:?} is not retryable"
        )),
        Ok(answer) => failed(format!(
            "{what} of an engine that is away answered {answer:?}"
        )),
    }
}

async fn filled_and_cut_off(harness: &Harness) -> Verdict<Opened> {
    let opened = harness.create().await;
    save(&*opened.store, "u", &session("g")).await?;
    let until = SystemTime::now() + HOUR;
    call("deny", opened.store.deny(&token("t"), until)).await?;
    opened.cut_off().await?;
    Ok(opened)
}

async fn outage_is_error(harness: Harness) -> Verdict {
    let opened = filled_and_cut_off(&harness).await?;
    let (store, u, t) = (&opened.store, user("u"), token("t"));
    retryable("`load`", in_time("load", store.load(&u)).await?)?;
    retryable("`list`", in_time("list", store.list(None, 9)).await?)?;
    retryable(
        "`is_denied`",
        in_time("is_denied", store.is_denied(&t)).await?,
    )?;
    let until = SystemTime::now() + HOUR;
    retryable("`deny`", in_time("deny", store.deny(&t, until)).await?)?;
    retryable("`delete`", in_time("delete", store.delete(&u)).await?)?;
    let h = session("h");
    let saving = store.save(&u, &h, Expiry::Never);
    retryable("`save`", in_time("save", saving).await?)?;
    let g = guild("g");
    match in_time("claim", store.claim(&Claim::new(&g, "m", &u, 1, HOUR))).await? {
        Ok(Claimed::NotShared) => Ok(()),
        claimed => retryable("`claim`", claimed),
    }
}

async fn outage_ends(harness: Harness) -> Verdict {
    let opened = filled_and_cut_off(&harness).await?;
    opened.controls.reconnect().await;
    let (store, u) = (&opened.store, user("u"));
    until("the store answers again", || async {
        Ok(in_time("load", store.load(&u)).await?.is_ok())
    })
    .await?;
    same(
        "what was saved before",
        &load(&**store, "u").await?,
        &Some(session("g")),
    )?;
    let denied = call("is_denied", store.is_denied(&token("t"))).await?;
    ensure!(
        denied,
        "a token that was denied before the outage no longer is"
    );
    save(&**store, "u", &session("h")).await?;
    same(
        "load after save",
        &load(&**store, "u").await?,
        &Some(session("h")),
    )
}

async fn outage_watch(harness: Harness) -> Verdict {
    let opened = harness.create().await;
    let store = &opened.store;
    let mut watcher = watch(&**store).await?;
    opened.cut_off().await?;
    opened.controls.reconnect().await;
    let (u, saved) = (user("u"), session("g"));
    until("the store saves again", || async {
        let saving = store.save(&u, &saved, Expiry::Never);
        Ok(in_time("save", saving).await?.is_ok())
    })
    .await?;
    let wait = async {
        while let Some(event) = watcher.next().await {
            if matches!(event, SessionEvent::Missed | SessionEvent::Saved(_)) {
                return;
            }
        }
    };
    in_time(
        "waiting for a change, `Missed`, or the end of the stream",
        wait,
    )
    .await
}
