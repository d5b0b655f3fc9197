//! What the program writes and answers, at every level: no token, no cookie, no session id, no secret; and what people say
//! to each other is nowhere at the usual level.

use slimy_rt_tests::{
    arena::{Arena, GUILD, SECRET, cookie},
    raw::{Raw, text},
    token::{sign, token},
};

const SAID: &str = "what-nobody-else-should-read";

/// Everything that can go wrong with a secret in it, and what goes right.
fn chat_and_err(arena: &Arena) {
    let good = token("mallory", SECRET);
    let forged = token("mallory", "another-secret-of-at-least-32-bytes-99");
    let header = serde_json::json!({"alg": "none"});
    let unsigned = sign(&header, &slimy_rt_tests::token::claims("mallory"), SECRET);
    for token in [&good, &forged, &unsigned] {
        arena.keep_secret(token.as_str());
        arena.keep_secret(token.rsplit('.').next().expect("a signature"));
        arena.keep_secret(token.split('.').nth(1).expect("claims"));
    }
    arena.keep_secret("other-cookie-value-1b7");
    arena.keep_secret("bearer-value-88c");
    arena.keep_secret("auth-payload-value-3d2");
    arena.attack_times(2, async |addr| {
        for token in [&good, &forged, &unsigned] {
            let lines = cookie(&format!("{token}; other=other-cookie-value-1b7"))
                + "Authorization: Bearer bearer-value-88c\r\n";
            let mut raw = Raw::connect(addr).await;
            raw.upgrade("/socket.io/?EIO=4&transport=websocket", &lines)
                .await;
            let open = raw.text().await;
            // The session's id is a credential.
            arena.keep_secret(&open.split("\"sid\":\"").nth(1).expect("an id")[..20]);
            raw.send(text(r#"40{"token":"auth-payload-value-3d2"}"#))
                .await;
            let answer = raw.text().await;
            assert!(!answer.contains("auth-payload-value-3d2"));
            if answer.starts_with("40{") {
                for payload in [
                    format!(r#"{{"text":"{SAID}","guildId":"{GUILD}"}}"#),
                    format!(r#"{{"text":"{SAID}"}}"#),
                    format!("[\"{SAID}\"]"),
                ] {
                    raw.send(text(format!(r#"421["chat:message",{payload}]"#)))
                        .await;
                }
                raw.send(text(format!("42[\"{SAID}\",\"{SAID}"))).await;
                raw.rest().await;
            }
            for request in [
                "GET /api/auth/me HTTP/1.1",
                "POST /api/nothing?token=query-value HTTP/1.1",
                "GET /socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA HTTP/1.1",
                "BAD REQUEST LINE",
            ] {
                let mut raw = Raw::connect(addr).await;
                raw.send(format!("{request}\r\nHost: a\r\n{lines}\r\n"))
                    .await;
                let answer = raw.answer().await.expect("an answer");
                for secret in [
                    token.as_str(),
                    "other-cookie-value-1b7",
                    "bearer-value-88c",
                    SECRET,
                ] {
                    assert!(
                        !answer.head.contains(secret) && !answer.body.contains(secret),
                        "{answer:?}"
                    );
                }
            }
        }
    });
}

#[test]
fn at_the_usual_level() {
    let arena = Arena::start(&[], &[]);
    arena.keep_secret(SAID);
    chat_and_err(&arena);
}

#[test]
fn at_debug_level() {
    let arena = Arena::start(&[], &[("RUST_LOG", "debug")]);
    arena.keep_secret(SAID);
    chat_and_err(&arena);
}

#[test]
fn at_trace_level() {
    let arena = Arena::start(&[], &[("RUST_LOG", "trace")]);
    chat_and_err(&arena);
}

#[test]
fn with_causes_for_developers() {
    let arena = Arena::start(&["--development"], &[]);
    chat_and_err(&arena);
}

/// The check itself: what is written is found.
#[test]
#[should_panic(expected = "a secret was logged: listening on")]
fn what_is_logged_is_found() {
    let arena = Arena::start(&[], &[]);
    arena.keep_secret("listening on");
    arena.assert_silent();
}
