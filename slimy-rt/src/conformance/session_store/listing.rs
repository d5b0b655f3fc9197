//! Listing sessions.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    super::{
        run::{Verdict, call, clauses, ensure, in_time, same},
        support::HOSTILE,
    },
    Harness, save, session, user,
};
use crate::{
    UserId,
    session::{Expiry, SessionStore},
};

/// How many sessions are listed.
const MANY: usize = 120;

clauses! { Harness;
    "list-order": "`list` gives sessions in the order of their user ids' bytes." => list_order,
    "list-sessions": "`list` gives each user's session as `load` does, and not those that were deleted." => list_sessions,
    "list-limit": "`list` gives at most `limit` sessions; fewer only when there are no more." => list_limit,
    "list-pages": "Pages that each begin behind the last user of the one before hold every session exactly once." => list_pages,
    "list-after-missing": "`after` need not be there: the listing begins behind where it would be." => list_after_missing,
    "list-during-change": "Sessions that are there during a whole listing appear exactly once, whatever else is saved or deleted." => list_during_change,
}

async fn list(
    store: &dyn SessionStore,
    after: Option<&UserId>,
    limit: usize,
) -> Verdict<Vec<UserId>> {
    let page = call("list", store.list(after, limit)).await?;
    Ok(page.sessions.into_iter().map(|(user, _)| user).collect())
}

/// Every page, one after the other.
async fn pages(store: &dyn SessionStore, limit: usize, most: usize) -> Verdict<Vec<UserId>> {
    let mut all: Vec<UserId> = Vec::new();
    loop {
        let page = list(store, all.last(), limit).await?;
        let last = page.len() < limit;
        all.extend(page);
        ensure!(
            all.len() <= most,
            "the pages hold {} sessions; there were never more than {most}",
            all.len()
        );
        if last {
            return Ok(all);
        }
    }
}

fn numbered(i: usize) -> String {
    format!("user {i:04}")
}

async fn list_order(harness: Harness) -> Verdict {
    let store = harness.store().await;
    // Bytes: Z before a, and one behind U+FFFF after what UTF-16 would put behind it.
    let mut ids: Vec<&str> = HOSTILE.to_vec();
    ids.extend(["Z", "z", "aa", "ab", "\u{ff5e}", "\u{1f600}"]);
    for id in &ids {
        save(&*store, id, &session("g")).await?;
    }
    ids.sort_unstable();
    let expected: Vec<UserId> = ids.iter().map(|id| user(id)).collect();
    same("list", &list(&*store, None, MANY).await?, &expected)
}

async fn list_sessions(harness: Harness) -> Verdict {
    let store = harness.store().await;
    same(
        "the list of an empty store",
        &list(&*store, None, 9).await?,
        &Vec::new(),
    )?;
    for id in ["a", "b", "c"] {
        save(&*store, id, &session(id)).await?;
    }
    call("delete", store.delete(&user("b"))).await?;
    save(&*store, "c", &session("changed")).await?;
    let page = call("list", store.list(None, 9)).await?;
    let expected = vec![(user("a"), session("a")), (user("c"), session("changed"))];
    same("list", &page.sessions, &expected)
}

async fn list_limit(harness: Harness) -> Verdict {
    let store = harness.store().await;
    for id in ["a", "b", "c"] {
        save(&*store, id, &session("g")).await?;
    }
    for (limit, expected) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (usize::MAX, 3)] {
        let got = list(&*store, None, limit).await?.len();
        ensure!(
            got == expected,
            "of 3 sessions `list` gave {got} with the limit {limit}"
        );
    }
    same(
        "list behind the last",
        &list(&*store, Some(&user("c")), 9).await?,
        &Vec::new(),
    )
}

async fn list_pages(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let mut expected = Vec::new();
    for i in 0..MANY {
        save(&*store, &numbered(i), &session("g")).await?;
        expected.push(user(&numbered(i)));
    }
    for limit in [1, 7, MANY - 1, MANY, MANY + 1] {
        let what = format!("pages of {limit}");
        same(&what, &pages(&*store, limit, MANY).await?, &expected)?;
    }
    Ok(())
}

async fn list_after_missing(harness: Harness) -> Verdict {
    let store = harness.store().await;
    for id in ["b", "d", "f"] {
        save(&*store, id, &session("g")).await?;
    }
    for (after, expected) in [("a", "b"), ("b\u{1}", "d"), ("c", "d"), ("e", "f")] {
        let got = list(&*store, Some(&user(after)), 1).await?;
        same(
            &format!("list behind {after:?}"),
            &got,
            &vec![user(expected)],
        )?;
    }
    same(
        "list behind \"g\"",
        &list(&*store, Some(&user("g")), 9).await?,
        &Vec::new(),
    )
}

/// Every other user stays; the others come and go meanwhile.
async fn list_during_change(harness: Harness) -> Verdict {
    let store = harness.store().await;
    for i in 0..MANY {
        save(&*store, &numbered(i), &session("g")).await?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let change = tokio::spawn(change_odd_ones(Arc::clone(&store), Arc::clone(&stop)));
    let listed = list_all_twice(&*store).await;
    stop.store(true, Ordering::Relaxed);
    match in_time("a change meanwhile", change).await? {
        Ok(changes) => changes?,
        Err(error) => ensure!(false, "a change meanwhile panicked: {error}"),
    }
    let staying = |user: &UserId| user.as_str().ends_with(['0', '2', '4', '6', '8']);
    let expected: Vec<UserId> = (0..MANY).step_by(2).map(|i| user(&numbered(i))).collect();
    for listed in listed? {
        let staying: Vec<UserId> = listed.into_iter().filter(staying).collect();
        same(
            "the sessions that were there all the time",
            &staying,
            &expected,
        )?;
    }
    Ok(())
}

async fn list_all_twice(store: &dyn SessionStore) -> Verdict<[Vec<UserId>; 2]> {
    // The changes get their turn between two pages also on a runtime with one thread.
    let listing = async |limit| {
        let mut all: Vec<UserId> = Vec::new();
        loop {
            let page = list(store, all.last(), limit).await?;
            let last = page.len() < limit;
            all.extend(page);
            ensure!(
                all.len() <= MANY,
                "the pages hold more than the {MANY} sessions that ever were"
            );
            if last {
                return Ok(all);
            }
            tokio::task::yield_now().await;
        }
    };
    Ok([listing(5).await?, listing(16).await?])
}

async fn change_odd_ones(store: Arc<dyn SessionStore>, stop: Arc<AtomicBool>) -> Verdict {
    for i in (1..MANY).step_by(2).cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = user(&numbered(i));
        if !call("delete", store.delete(&id)).await? {
            call("save", store.save(&id, &session("h"), Expiry::Never)).await?;
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}
