//! Sessions are one for all nodes: what changes at one moves or ends the user's sockets at the others, and a store that is away or lost ends nobody.

use std::time::Duration;

use serde_json::json;
use slimy_rt_tests::{
    chatter::{Chatter, Entry},
    fleet::SECRET,
    raw::Raw,
    token::token,
};
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, GUILD, Kind, user};

/// How soon sockets follow.
const FOLLOWED: Duration = Duration::from_secs(2);
/// A guild that nobody is in at first.
const OTHER: &str = "99";
const PACE: Duration = Duration::from_millis(50);
/// For how long a store that is away must not end anybody.
const AWAY: Duration = Duration::from_secs(3);

/// A user's guilds change: the user's sockets at both nodes are moved, nobody is disconnected.
pub(crate) async fn a_change_moves_sockets(kind: Kind) {
    let cluster = Cluster::start(kind, 2).await;
    let (moved, speaker) = (user(1, 'a'), user(0, 'a'));
    let both = json!({"guilds": [{"id": GUILD}, {"id": OTHER}]});
    cluster.sessions(&["put", &speaker, &both.to_string()]);
    let mut speaker = cluster.fleet.enter(&speaker, 0).await;
    let listeners = [
        cluster.fleet.enter(&moved, 0).await,
        cluster.fleet.enter(&moved, 1).await,
    ];
    speaker.say_and_wait(GUILD, "first-0").await;
    for listener in &listeners {
        listener.wait_for_message("first-0").await;
    }

    cluster.sessions(&[
        "put",
        &moved,
        &json!({"guilds": [{"id": OTHER}]}).to_string(),
    ]);
    let changed = Instant::now();
    for number in 0.. {
        speaker
            .say_and_wait(OTHER, &format!("other-{number}"))
            .await;
        sleep(PACE).await;
        let has_moved = |listener: &Chatter| listener.heard().iter().any(|h| h.guild == OTHER);
        if listeners.iter().all(has_moved) {
            break;
        }
        assert!(changed.elapsed() < FOLLOWED, "not moved in time");
    }
    speaker.say_and_wait(GUILD, "no-longer-0").await;
    speaker.say_and_wait(OTHER, "last-0").await;
    for listener in &listeners {
        listener.wait_for_message("last-0").await;
        let heard = listener.heard();
        assert!(heard.iter().all(|heard| heard.id != "no-longer-0"));
        assert_eq!(listener.ended(), None);
    }
    cluster.assert_clean();
}

/// A user is revoked: the user's sockets at both nodes end and are told why, the token is of no use any more, and others notice nothing.
pub(crate) async fn a_revocation_ends_sockets(kind: Kind) {
    let cluster = Cluster::start(kind, 2).await;
    let revoked = user(1, 'a');
    let mut sockets = [
        cluster.fleet.enter(&revoked, 0).await,
        cluster.fleet.enter(&revoked, 1).await,
    ];
    let mut away = cluster.fleet.enter(&revoked, 1).await;
    let bystander = cluster.fleet.enter(&user(1, 'b'), 1).await;
    away.cut();
    // A token of the same second would count as issued after.
    sleep(Duration::from_millis(1_100)).await;

    cluster.sessions(&["revoke", &revoked]);
    let changed = Instant::now();
    for socket in &sockets {
        socket.wait_for_end().await;
        assert!(
            changed.elapsed() < FOLLOWED,
            "after {:?}",
            changed.elapsed()
        );
        assert_ended(socket, "revoked");
    }
    for (number, socket) in sockets.iter_mut().chain([&mut away]).enumerate() {
        let refusal = socket.connect(cluster.fleet.addr(number % 2)).await;
        let refusal = refusal.expect_err("is not let in");
        assert_eq!(refusal["message"], "not_authorized", "{refusal}");
    }
    assert_eq!(bystander.ended(), None);
    cluster.assert_clean();
}

/// A session is deleted: the user's sockets end.
pub(crate) async fn a_deletion_ends_sockets(kind: Kind) {
    let cluster = Cluster::start(kind, 2).await;
    let deleted = user(1, 'a');
    let socket = cluster.fleet.enter(&deleted, 1).await;
    let bystander = cluster.fleet.enter(&user(1, 'b'), 1).await;
    cluster.sessions(&["delete", &deleted]);
    let changed = Instant::now();
    socket.wait_for_end().await;
    assert!(
        changed.elapsed() < FOLLOWED,
        "after {:?}",
        changed.elapsed()
    );
    assert_eq!(bystander.ended(), None);
}

/// Logging out at one node ends the token's sockets at the other one, and no other sockets of the user.
pub(crate) async fn a_logout_ends_sockets(kind: Kind) {
    let cluster = Cluster::start(kind, 2).await;
    let user = user(1, 'a');
    let token = token(&user, SECRET);
    let mut socket = Chatter::new(&token);
    socket.enter(cluster.fleet.addr(1)).await;

    let addr = cluster.fleet.addr(0);
    let mut raw = Raw::connect(addr).await;
    raw.send(format!(
        "POST /api/auth/logout HTTP/1.1\r\nHost: {addr}\r\nCookie: slimy_admin_token={token}\r\nContent-Length: 0\r\n\r\n"
    ))
    .await;
    assert_eq!(raw.answer().await.expect("an answer").status, 204);
    let changed = Instant::now();
    socket.wait_for_end().await;
    assert!(
        changed.elapsed() < FOLLOWED,
        "after {:?}",
        changed.elapsed()
    );
    for node in 0..2 {
        let refusal = socket.connect(cluster.fleet.addr(node)).await;
        let refusal = refusal.expect_err("is not let in");
        assert_eq!(refusal["message"], "not_authorized", "{refusal}");
    }
}

/// While the store is away nobody is ended and nobody is let in; one that comes back without its data ends nobody either.
pub(crate) async fn an_outage_ends_nobody(kind: Kind) {
    let cluster = Cluster::start(kind, 2).await;
    let mut sockets = [
        cluster.fleet.enter(&user(0, 'a'), 0).await,
        cluster.fleet.enter(&user(1, 'a'), 1).await,
    ];
    cluster.engine.stop_hard().await;
    for node in 0..2 {
        let mut late = cluster.fleet.chatter(&user(node, 'b'));
        let refusal = late.connect(cluster.fleet.addr(node)).await;
        let refusal = refusal.expect_err("is not let in");
        assert_eq!(refusal["message"], "server_error", "{refusal}");
    }
    sleep(AWAY).await;
    cluster.engine.start_again().await;
    for node in 0..2 {
        cluster.wait_for_all(node).await;
    }
    sleep(AWAY).await;
    let [one, other] = &mut sockets;
    one.say_and_wait(GUILD, "there-0").await;
    other.wait_for_message("there-0").await;
    other.say_and_wait(GUILD, "back-0").await;
    one.wait_for_message("back-0").await;
    assert_eq!((one.ended(), other.ended()), (None, None));

    // The store is followed again: what changes now is heard of.
    let guilds = json!({"guilds": [{"id": OTHER}]});
    cluster.sessions(&["put", &user(1, 'a'), &guilds.to_string()]);
    let changed = Instant::now();
    while other.say(OTHER, "moved-0").await.await.expect("an answer")["ok"] != true {
        assert!(changed.elapsed() < FOLLOWED, "not moved in time");
        sleep(PACE).await;
    }
    cluster.assert_clean();
}

/// Whoever comes back is looked at again: a revoked user is not let in, and of a guild that was lost meanwhile nothing is heard.
pub(crate) async fn who_comes_back_is_looked_at_again(kind: Kind) {
    let cluster = Cluster::start(kind, 2).await;
    let (revoked, moved, both) = (user(1, 'a'), user(1, 'b'), user(0, 'a'));
    let guilds = json!({"guilds": [{"id": GUILD}, {"id": OTHER}]}).to_string();
    for user in [&moved, &both] {
        cluster.sessions(&["put", user, &guilds]);
    }
    let mut speaker = cluster.fleet.enter(&both, 0).await;
    let mut first = cluster.fleet.enter(&revoked, 1).await;
    let mut second = cluster.fleet.enter(&moved, 1).await;
    speaker.say_and_wait(GUILD, "before-0").await;
    for client in [&mut first, &mut second] {
        client.wait_for_message("before-0").await;
        client.cut();
    }
    sleep(Duration::from_millis(1_100)).await;
    cluster.sessions(&["revoke", &revoked]);
    let other = json!({"guilds": [{"id": OTHER}]});
    cluster.sessions(&["put", &moved, &other.to_string()]);
    speaker.say_and_wait(GUILD, "lost-0").await;
    speaker.say_and_wait(OTHER, "kept-0").await;

    let refusal = first.connect(cluster.fleet.addr(0)).await;
    let refusal = refusal.expect_err("is not let in");
    assert_eq!(refusal["message"], "not_authorized", "{refusal}");
    assert_eq!(second.enter(cluster.fleet.addr(0)).await, Entry::Recovered);
    speaker.say_and_wait(GUILD, "lost-1").await;
    speaker.say_and_wait(OTHER, "kept-1").await;
    second.wait_for_message("kept-1").await;
    let heard: Vec<_> = second.heard().into_iter().map(|heard| heard.id).collect();
    assert_eq!(heard, ["before-0", "kept-0", "kept-1"]);
}

fn assert_ended(socket: &Chatter, reason: &str) {
    let events = socket.events();
    let ended = events.iter().find(|(name, _)| name == "session:ended");
    let (_, payload) = ended.expect("it is told why");
    assert_eq!(payload["reason"], reason);
}
