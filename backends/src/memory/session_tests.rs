//! The memory session store, on a virtual clock.

use std::time::{Duration, UNIX_EPOCH};

use futures_util::{FutureExt as _, StreamExt as _};
use slimy_rt::{
    GuildId,
    session::{Guild, MAX_WAITING_CHANGES, revoke},
};

use super::*;

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

fn token(id: &str) -> TokenId {
    TokenId::parse(id).unwrap()
}

fn session(guild: &str) -> Session {
    Session::new(vec![Guild::new(GuildId::parse(guild).unwrap())])
}

/// What a watcher can have without waiting.
fn ready(watch: &mut SessionWatch) -> Vec<SessionEvent> {
    // Tokio would otherwise make a task wait that has read much at once.
    let mut next = || tokio::task::unconstrained(watch.next()).now_or_never();
    std::iter::from_fn(|| next().flatten()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_expiry() {
    let store = MemorySessionStore::new();
    let (a, b) = (user("a"), user("b"));
    let expiry = Expiry::In(Duration::from_secs(10));
    store.save(&a, &session("g"), expiry).await.unwrap();
    store
        .save(&b, &session("g"), Expiry::In(Duration::MAX))
        .await
        .unwrap();
    let mut watch = store.watch().await.unwrap();
    tokio::time::advance(Duration::from_millis(9_999)).await;
    assert!(store.load(&a).await.unwrap().is_some());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(store.load(&a).await.unwrap(), None);
    assert_eq!(store.list(None, 9).await.unwrap().sessions.len(), 1);
    assert!(!store.delete(&a).await.unwrap());
    assert!(ready(&mut watch).is_empty(), "an expiry is no deletion");
    assert!(store.load(&b).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn saving_again_replaces_session_and_expiry() {
    let store = MemorySessionStore::new();
    let a = user("a");
    store
        .save(&a, &session("g"), Expiry::In(Duration::from_secs(1)))
        .await
        .unwrap();
    store.save(&a, &session("h"), Expiry::Never).await.unwrap();
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(store.load(&a).await.unwrap(), Some(session("h")));
    store
        .save(&a, &session("h"), Expiry::In(Duration::ZERO))
        .await
        .unwrap();
    assert_eq!(store.load(&a).await.unwrap(), None);
}

#[tokio::test]
async fn pages_are_in_the_order_of_bytes_and_survive_deletions() {
    let store = MemorySessionStore::new();
    for id in ["b", "ä", "B", "a", "10", "9"] {
        store
            .save(&user(id), &session(id), Expiry::Never)
            .await
            .unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(after.as_ref(), 2).await.unwrap().sessions;
        seen.extend(page.iter().map(|(user, _)| user.to_string()));
        after = page.last().map(|(user, _)| user.clone());
        if page.len() < 2 {
            break;
        }
        store.delete(after.as_ref().unwrap()).await.unwrap();
    }
    assert_eq!(seen, ["10", "9", "B", "a", "b", "ä"]);
    assert!(store.list(None, 0).await.unwrap().sessions.is_empty());
}

#[tokio::test]
async fn watchers_see_changes_in_order_from_when_they_began() {
    let store = MemorySessionStore::new();
    let a = user("a");
    store.save(&a, &session("g"), Expiry::Never).await.unwrap();
    let mut watch = store.watch().await.unwrap();
    let other = store.clone();
    other.save(&a, &session("h"), Expiry::Never).await.unwrap();
    assert!(other.delete(&a).await.unwrap());
    assert!(!other.delete(&a).await.unwrap());
    other
        .deny(&token("t"), SystemTime::now() + Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(
        ready(&mut watch),
        [
            SessionEvent::Saved(a.clone()),
            SessionEvent::Deleted(a),
            SessionEvent::Denied(token("t")),
        ]
    );
}

#[tokio::test]
async fn a_watcher_that_lags_is_told_so_and_goes_on() {
    let store = MemorySessionStore::new();
    let mut watch = store.watch().await.unwrap();
    for _ in 0..=MAX_WAITING_CHANGES {
        store
            .save(&user("a"), &session("g"), Expiry::Never)
            .await
            .unwrap();
    }
    let events = ready(&mut watch);
    assert_eq!(events[0], SessionEvent::Missed);
    assert_eq!(events.len(), 1 + MAX_WAITING_CHANGES);
    store
        .save(&user("b"), &session("g"), Expiry::Never)
        .await
        .unwrap();
    assert_eq!(ready(&mut watch), [SessionEvent::Saved(user("b"))]);
}

#[tokio::test]
async fn a_watch_waits_and_ends_with_the_store() {
    let store = MemorySessionStore::new();
    let mut watch = store.watch().await.unwrap();
    let waiting = tokio::spawn(async move { (watch.next().await, watch.next().await) });
    tokio::task::yield_now().await;
    store
        .save(&user("a"), &session("g"), Expiry::Never)
        .await
        .unwrap();
    drop(store);
    assert_eq!(
        waiting.await.unwrap(),
        (Some(SessionEvent::Saved(user("a"))), None)
    );
}

#[test]
fn a_denial_lasts_until_its_end_and_is_never_shortened() {
    let store = MemorySessionStore::new();
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    store.deny_at(&token("t"), at(100), at(0)).unwrap();
    store.deny_at(&token("t"), at(50), at(1)).unwrap();
    assert!(store.is_denied_at(&token("t"), at(99)));
    assert!(!store.is_denied_at(&token("u"), at(99)));
    store.deny_at(&token("t"), at(200), at(99)).unwrap();
    assert!(store.is_denied_at(&token("t"), at(199)));
    assert!(!store.is_denied_at(&token("t"), at(200)));
    store.deny_at(&token("t"), at(200), at(201)).unwrap();
    assert_eq!(
        lock(&store.shared.state).denied.len(),
        0,
        "what has ended is not kept"
    );
}

#[test]
fn a_full_memory_of_denials_refuses_instead_of_forgetting() {
    let store = MemorySessionStore::new();
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    for i in 0..MAX_DENIED_TOKENS {
        store
            .deny_at(&token(&i.to_string()), at(10), at(0))
            .unwrap();
    }
    let error = store.deny_at(&token("new"), at(20), at(9)).unwrap_err();
    assert!(error.is_retryable());
    store.deny_at(&token("0"), at(20), at(9)).unwrap();
    store.deny_at(&token("new"), at(20), at(10)).unwrap();
    assert!(store.is_denied_at(&token("0"), at(19)));
}

#[tokio::test(start_paused = true)]
async fn replacing_all_changes_only_what_differs() {
    let store = MemorySessionStore::new();
    let soon = Expiry::In(Duration::from_secs(10));
    for id in ["gone", "changed", "same"] {
        store.save(&user(id), &session(id), soon).await.unwrap();
    }
    let mut watch = store.watch().await.unwrap();
    let replaced = store
        .replace_all([
            (user("same"), session("same")),
            (user("new"), session("new")),
            (user("changed"), session("other")),
        ])
        .unwrap();
    assert_eq!(
        replaced,
        Replaced {
            saved: 2,
            deleted: 1
        }
    );
    let events = ready(&mut watch);
    let expected = [
        SessionEvent::Deleted(user("gone")),
        SessionEvent::Saved(user("changed")),
        SessionEvent::Saved(user("new")),
    ];
    assert_eq!(events, expected);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(
        store.load(&user("same")).await.unwrap(),
        Some(session("same"))
    );
    assert_eq!(store.load(&user("gone")).await.unwrap(), None);
    assert_eq!(
        store.replace_all([]).unwrap(),
        Replaced {
            saved: 0,
            deleted: 3
        }
    );
}

#[tokio::test]
async fn replacing_all_gives_nobody_back_who_was_revoked() {
    let store = MemorySessionStore::new();
    let sessions = || [(user("alice"), session("g"))];
    store.replace_all(sessions()).unwrap();
    let at = revoke(&store, &user("alice")).await.unwrap().not_before;
    revoke(&store, &user("stranger")).await.unwrap();
    store.replace_all(sessions()).unwrap();
    let alice = store.load(&user("alice")).await.unwrap().unwrap();
    assert_eq!((alice.not_before, alice.guilds), (at, session("g").guilds));
    let stranger = store.load(&user("stranger")).await.unwrap().unwrap();
    assert!(stranger.not_before >= at && stranger.guilds.is_empty());

    // What the file itself said it may take back.
    let far = session("g").not_before(u64::MAX);
    store.replace_all([(user("bob"), far)]).unwrap();
    store.replace_all([(user("bob"), session("g"))]).unwrap();
    assert_eq!(store.load(&user("bob")).await.unwrap(), Some(session("g")));
}

#[tokio::test]
async fn claims_are_shared_by_clones() {
    let store = MemorySessionStore::new();
    let guild = GuildId::parse("g").unwrap();
    let (a, b) = (user("a"), user("b"));
    let ttl = Duration::from_secs(120);
    let claim = |user, at| Claim::new(&guild, "m", user, at, ttl);
    assert_eq!(store.claim(&claim(&a, 1)).await.unwrap(), Claimed::New);
    let before = Claimed::Before {
        user: a.clone(),
        at: 1,
    };
    assert_eq!(store.clone().claim(&claim(&b, 2)).await.unwrap(), before);
    let long = "x".repeat(MAX_ID_BYTES + 1);
    let long = Claim::new(&guild, &long, &a, 1, ttl);
    assert!(matches!(
        store.claim(&long).await,
        Err(SessionError::Invalid(_))
    ));
}

#[test]
fn debug_counts_and_names_nobody() {
    let store = MemorySessionStore::new();
    store.replace_all([(user("alice"), session("g"))]).unwrap();
    let debug = format!("{store:?}");
    assert!(
        debug.contains("sessions: 1") && !debug.contains("alice"),
        "{debug}"
    );
}
