//! Pages that may not use the server, under names that look as if they might: on the handshake, polls, upgrades and the API alike.

use std::sync::LazyLock;

use slimy_rt_tests::{
    arena::{Arena, SECRET, cookie},
    raw::{KEY, Raw},
    token::token,
};

const LISTED: &str = "https://admin.example:8443";

static ARENA: LazyLock<Arena> = LazyLock::new(|| Arena::start(&["--cors-origin", LISTED], &[]));

/// Every way in, by its request's line and further lines.
fn requests() -> Vec<(String, String)> {
    let upgrade = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    );
    let plain = |line: &str| (line.to_owned(), String::new());
    vec![
        plain("GET /socket.io/?EIO=4&transport=polling"),
        plain("GET /socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA"),
        plain("POST /socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA"),
        (
            "GET /socket.io/?EIO=4&transport=websocket".into(),
            upgrade.clone(),
        ),
        (
            "GET /socket.io/?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAAAAAA".into(),
            upgrade,
        ),
        plain("GET /api/health"),
        plain("GET /api/auth/me"),
        plain("POST /api/auth/logout"),
        (
            "OPTIONS /socket.io/?EIO=4&transport=polling".into(),
            "Access-Control-Request-Method: POST\r\n".into(),
        ),
        (
            "OPTIONS /api/auth/logout".into(),
            "Access-Control-Request-Method: POST\r\n".into(),
        ),
    ]
}

/// These `Origin` lines are refused by this status everywhere, and nothing tells the page more.
fn refused(origins: &str, status: u16) {
    let login = cookie(&token("mallory", SECRET));
    ARENA.attack_times(2, async |addr| {
        for (line, lines) in requests() {
            let mut raw = Raw::connect(addr).await;
            raw.send(format!(
                "{line} HTTP/1.1\r\nHost: {addr}\r\n{origins}{login}{lines}\r\n"
            ))
            .await;
            let answer = raw.answer().await.expect("an answer");
            assert_eq!(answer.status, status, "{line}, {origins}");
            assert!(
                !answer.head.to_ascii_lowercase().contains("access-control"),
                "{answer:?}"
            );
            assert!(
                !answer.head.to_ascii_lowercase().contains("set-cookie"),
                "{answer:?}"
            );
        }
    });
}

macro_rules! refused {
    ($($name:ident: $origin:expr;)*) => {
        $(#[test] fn $name() { refused(&format!("Origin: {}\r\n", $origin), 403); })*
    };
}

refused! {
    null: "null";
    nothing: "";
    a_star: "*";
    another_site: "https://evil.example";
    the_listed_as_a_prefix: "https://admin.example:8443.evil.example";
    the_listed_host_as_a_prefix: "https://admin.example.evil.example:8443";
    the_listed_as_a_suffix: "https://evil-admin.example:8443";
    a_host_below_the_listed: "https://x.admin.example:8443";
    the_host_above_the_listed: "https://example:8443";
    the_listed_as_a_user: "https://admin.example:8443@evil.example";
    a_user_of_the_listed: "https://user@admin.example:8443";
    another_port: "https://admin.example:8444";
    no_port: "https://admin.example";
    a_longer_port: "https://admin.example:84430";
    a_port_beyond_16_bits: "https://admin.example:73979";
    a_port_with_zeros_missing: "https://admin.example:8443:8443";
    another_scheme: "http://admin.example:8443";
    a_scheme_of_sockets: "wss://admin.example:8443";
    no_scheme: "admin.example:8443";
    a_path: "https://admin.example:8443/";
    a_query: "https://admin.example:8443?x";
    a_fragment: "https://admin.example:8443#x";
    a_dot_at_the_end: "https://admin.example.:8443";
    a_letter_of_another_alphabet_by_its_name: "https://xn--dmin-6cd.example:8443";
    two_origins_in_one: "https://admin.example:8443 https://evil.example";
    two_origins_with_a_comma: "https://admin.example:8443, https://evil.example";
    a_backslash: "https://admin.example:8443\\@evil.example";
    percents: "https://admin%2eexample:8443";
    the_own_port_elsewhere: "http://localhost:3080";
    a_file: "file://";
    an_extension: "chrome-extension://abcdefghijklmnop";
}

/// Bytes that no origin has, and two origins: the transport is looked at before that is said.
#[test]
fn malformed() {
    for origins in [
        format!("Origin: {LISTED}\r\nOrigin: {LISTED}\r\n"),
        format!("Origin: {LISTED}\r\nOrigin: https://evil.example\r\n"),
        "Origin: https://\u{430}dmin.example:8443\r\n".to_owned(),
    ] {
        let login = cookie(&token("mallory", SECRET));
        ARENA.attack_times(2, async |addr| {
            for (line, lines) in requests() {
                let mut raw = Raw::connect(addr).await;
                raw.send(format!(
                    "{line} HTTP/1.1\r\nHost: {addr}\r\n{origins}{login}{lines}\r\n"
                ))
                .await;
                let answer = raw.answer().await.expect("an answer");
                assert!(
                    [400, 403].contains(&answer.status),
                    "{line}, {origins}: {answer:?}"
                );
                assert!(
                    !answer.head.to_ascii_lowercase().contains("access-control"),
                    "{answer:?}"
                );
            }
        });
    }
}

/// The listed one, its other spellings, the server's own, and none: they may.
#[test]
fn allowed() {
    ARENA.attack(async |addr| {
        let own = format!("http://{addr}");
        for origin in [LISTED, "HTTPS://ADMIN.EXAMPLE:8443", &own] {
            let mut raw = Raw::connect(addr).await;
            raw.send(format!(
                "GET /api/health HTTP/1.1\r\nHost: {addr}\r\nOrigin: {origin}\r\n\r\n"
            ))
            .await;
            let answer = raw.answer().await.expect("an answer");
            assert_eq!(answer.status, 200, "{origin}");
            let told = answer.header("access-control-allow-origin");
            assert_eq!(told, (origin != own).then_some(origin));
        }
        let mut raw = Raw::connect(addr).await;
        raw.send(format!("GET /api/health HTTP/1.1\r\nHost: {addr}\r\n\r\n"))
            .await;
        assert_eq!(raw.answer().await.expect("an answer").status, 200);
    });
}

/// Who claims a host of his own choice owns no more than that: the own origin is the one that was asked for.
#[test]
fn a_host_twice_is_no_own_origin() {
    ARENA.attack(async |addr| {
        let mut raw = Raw::connect(addr).await;
        let hosts = "Host: evil.example\r\nHost: admin.example\r\n";
        raw.send(format!(
            "GET /api/health HTTP/1.1\r\n{hosts}Origin: http://evil.example\r\n\r\n"
        ))
        .await;
        let status = raw.answer().await.expect("an answer").status;
        assert!([400, 403].contains(&status), "{status}");
    });
}
