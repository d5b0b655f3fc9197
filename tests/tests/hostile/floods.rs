//! Too much of what is allowed one by one, against a program with small limits.

use std::{
    net::SocketAddr,
    sync::LazyLock,
    time::{Duration, Instant},
};

use slimy_rt_tests::{
    arena::{Arena, GUILD, SECRET, cookie, mallory},
    client::DEADLINE,
    raw::{Answer, End, Raw, frame, text},
    token::token,
};
use tokio::time::sleep;

/// Connections of one address in this module's servers. The healthy client comes from another.
const PER_IP: usize = 40;
/// Where the attackers come from: the loopback network has many addresses.
const ATTACKER: [u8; 4] = [127, 0, 0, 2];

static ARENA: LazyLock<Arena> = LazyLock::new(|| {
    let per_ip = PER_IP.to_string();
    let flags = [
        "--max-connections-per-ip",
        &per_ip,
        "--connect-timeout-ms",
        "300",
        "--max-payload",
        "100000",
    ];
    Arena::start(&flags, &[])
});

fn login() -> String {
    cookie(&token("mallory", SECRET))
}

async fn get(raw: &mut Raw, target: &str) -> Option<Answer> {
    raw.send(format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\n{}\r\n",
        login()
    ))
    .await;
    raw.answer().await
}

async fn post(raw: &mut Raw, target: &str, body: &str) -> Option<Answer> {
    let length = body.len();
    raw.send(format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
    .await;
    raw.answer().await
}

/// A polling session: the connection that opened it, and its target.
async fn polling(addr: SocketAddr) -> (Raw, String) {
    let mut raw = Raw::connect_from(ATTACKER, addr).await;
    let open = get(&mut raw, "/socket.io/?EIO=4&transport=polling")
        .await
        .expect("an answer");
    let sid = open.body.split("\"sid\":\"").nth(1).expect("an id")[..20].to_owned();
    (
        raw,
        format!("/socket.io/?EIO=4&transport=polling&sid={sid}"),
    )
}

/// A polling session that has joined `/`.
async fn polling_joined(addr: SocketAddr) -> (Raw, String) {
    let (mut raw, target) = polling(addr).await;
    assert_eq!(
        post(&mut raw, &target, "40").await.expect("an answer").body,
        "ok"
    );
    assert!(
        get(&mut raw, &target)
            .await
            .expect("an answer")
            .body
            .starts_with("40{")
    );
    (raw, target)
}

/// Reads until the session is over: within a deadline, whatever is sent meanwhile.
async fn ends(raw: &mut Raw, target: &str) {
    let start = Instant::now();
    while get(raw, target)
        .await
        .is_some_and(|answer| answer.status == 200)
    {
        assert!(start.elapsed() < DEADLINE, "the session goes on");
    }
}

#[test]
fn connections_of_one_address() {
    ARENA.attack_times(0, async |addr| {
        let mut open = Vec::new();
        for _ in 0..PER_IP {
            let mut raw = Raw::connect_from(ATTACKER, addr).await;
            raw.upgrade("/socket.io/?EIO=4&transport=websocket", &login())
                .await;
            raw.send(text("40")).await;
            open.push(raw);
        }
        for _ in 0..50 {
            let mut raw = Raw::connect_from(ATTACKER, addr).await;
            let request = raw.upgrade_request("/socket.io/?EIO=4&transport=websocket", &login());
            raw.send(request).await;
            assert_eq!(raw.answer().await.expect("an answer").status, 503);
        }
        drop(open.pop());
        let start = Instant::now();
        loop {
            let mut raw = Raw::connect_from(ATTACKER, addr).await;
            let request = raw.upgrade_request("/socket.io/?EIO=4&transport=websocket", &login());
            raw.send(request).await;
            if raw.answer().await.expect("an answer").status == 101 {
                break;
            }
            assert!(start.elapsed() < DEADLINE, "the place is not given back");
            sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn handshakes_that_join_nothing() {
    ARENA.attack_times(2, async |addr| {
        let mut open = Vec::new();
        for _ in 0..PER_IP / 2 {
            let mut raw = Raw::connect_from(ATTACKER, addr).await;
            raw.upgrade("/socket.io/?EIO=4&transport=websocket", "")
                .await;
            open.push(raw);
        }
        for mut raw in open {
            assert_eq!(
                raw.end().await,
                End::Code(1000),
                "after the connect timeout"
            );
        }
    });
}

#[test]
fn polling_handshakes_that_are_never_used() {
    ARENA.attack_times(1, async |addr| {
        for _ in 0..3 {
            let mut refused = 0;
            for _ in 0..2 * PER_IP {
                let mut raw = Raw::connect_from(ATTACKER, addr).await;
                let answer = get(&mut raw, "/socket.io/?EIO=4&transport=polling").await;
                refused += usize::from(answer.expect("an answer").status == 503);
            }
            assert!(refused > 0, "sessions are bounded, not only connections");
        }
        // All of them end by themselves.
        let start = Instant::now();
        loop {
            let mut raw = Raw::connect_from(ATTACKER, addr).await;
            if get(&mut raw, "/socket.io/?EIO=4&transport=polling")
                .await
                .expect("an answer")
                .status
                == 200
            {
                break;
            }
            assert!(start.elapsed() < DEADLINE, "the places are not given back");
            sleep(Duration::from_millis(20)).await;
        }
    });
}

macro_rules! floods {
    ($($name:ident: $bytes:expr;)*) => {
        $(#[test] fn $name() {
            ARENA.attack(async |addr| {
                let mut raw = mallory(addr).await;
                raw.send($bytes).await;
                assert_eq!(raw.end().await, End::Code(1000), "beyond the packet rate");
            });
        })*
    };
}

floods! {
    events_that_nobody_handles: text(r#"42["x"]"#).repeat(3_000);
    events_that_are_refused: text(r#"420["chat:message",{}]"#).repeat(3_000);
    events_that_are_broadcast: text(format!(r#"42["chat:message",{{"text":"flood","guildId":"{GUILD}"}}]"#)).repeat(3_000);
    acks_that_nobody_asked_for: text("4312345[]").repeat(3_000);
    pongs_of_the_engine: text("3").repeat(3_000);
    pings_of_125_bytes: frame(9, [7; 125]).bytes().repeat(3_000);
    namespaces_that_nobody_has: text("40/nobody,").repeat(3_000);
    leaving_and_coming_back: [text("41"), text("40")].concat().repeat(1_500);
    binary_announcements: [text(r#"451-["x",{"_placeholder":true,"num":0}]"#), frame(2, [7; 100]).bytes()].concat().repeat(1_500);
}

#[test]
fn two_gets_at_once() {
    ARENA.attack(async |addr| {
        let (mut raw, target) = polling(addr).await;
        raw.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let mut other = Raw::connect_from(ATTACKER, addr).await;
        let second = get(&mut other, &target).await.expect("an answer");
        let first = raw.answer().await.expect("an answer");
        let mut both = [(first.status, &*first.body), (second.status, &*second.body)];
        both.sort_unstable();
        assert_eq!(
            both,
            [(200, "1"), (400, r#"{"code":3,"message":"Bad request"}"#)]
        );
        ends(&mut other, &target).await;
    });
}

#[test]
fn two_posts_at_once() {
    ARENA.attack(async |addr| {
        let (mut raw, target) = polling(addr).await;
        raw.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n4"
        ))
        .await;
        let mut other = Raw::connect_from(ATTACKER, addr).await;
        let start = Instant::now();
        // The first has to be on its way already.
        while post(&mut other, &target, "3")
            .await
            .expect("an answer")
            .status
            == 200
        {
            assert!(start.elapsed() < DEADLINE, "the second is allowed");
        }
        ends(&mut other, &target).await;
    });
}

#[test]
fn posts_without_end() {
    ARENA.attack_times(2, async |addr| {
        let (mut raw, target) = polling_joined(addr).await;
        let body = ["3"; 90].join("\x1e");
        let start = Instant::now();
        while post(&mut raw, &target, &body)
            .await
            .is_some_and(|answer| answer.status == 200)
        {
            assert!(start.elapsed() < DEADLINE, "there is no packet rate");
        }
        ends(&mut raw, &target).await;
    });
}

/// One who joins by polling and never fetches, or by WebSocket and never reads, while others chat: it is closed when too much waits.
#[test]
fn who_never_takes_what_is_for_him() {
    const NEVER: [&str; 2] = ["--packet-rate", "off"];
    let arena = Arena::start(&[&NEVER[..], &["--max-payload", "20000"]].concat(), &[]);
    arena.attack_times(0, async |addr| {
        let (_idle, target) = polling_joined(addr).await;
        let mut stuck = mallory(addr).await;
        let mut writer = mallory(addr).await;
        let (long, start) = ("\u{20ac}".repeat(4_000), Instant::now());
        let message = text(format!(
            r#"420["chat:message",{{"text":"{long}","guildId":"{GUILD}"}}]"#
        ));
        let mut posts = Raw::connect(addr).await;
        let (mut fetched, mut read) = (false, false);
        while !(fetched && read) {
            assert!(
                start.elapsed() < DEADLINE,
                "polling closed: {fetched}, WebSocket closed: {read}"
            );
            for _ in 0..50 {
                writer.send(&message).await;
                while !writer.text().await.starts_with("430[") {}
            }
            fetched = fetched
                || post(&mut posts, &target, "3")
                    .await
                    .expect("an answer")
                    .status
                    == 400;
            read = read || !stuck.send(text("6")).await;
        }
    });
    assert!(arena.program.output().contains("reads too slowly"));
}

#[test]
fn handshakes_per_second() {
    let arena = Arena::start(&["--handshakes-per-second", "30"], &[]);
    arena.attack_times(0, async |addr| {
        let mut answers = [0, 0];
        for _ in 0..300 {
            let mut raw = Raw::connect(addr).await;
            let request = raw.upgrade_request("/socket.io/?EIO=4&transport=websocket", &login());
            raw.send(request).await;
            answers[usize::from(raw.answer().await.expect("an answer").status == 503)] += 1;
        }
        assert!(answers[0] >= 30 && answers[1] >= 30, "{answers:?}");
    });
}

#[test]
fn connections_all_together() {
    let arena = Arena::start(&["--max-connections", "20"], &[]);
    arena.attack_times(0, async |addr| {
        let mut open = Vec::new();
        for _ in 0..19 {
            open.push(mallory(addr).await);
        }
        for _ in 0..50 {
            let mut raw = Raw::connect(addr).await;
            let request = raw.upgrade_request("/socket.io/?EIO=4&transport=websocket", &login());
            raw.send(request).await;
            assert_eq!(raw.answer().await.expect("an answer").status, 503);
        }
    });
}
