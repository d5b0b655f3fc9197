//! HTTP that is malformed, ambiguous, slow, or abuses the upgrade, against the program. How long a slow client is waited for is `bounds`'.

use std::sync::LazyLock;

use slimy_rt_tests::{
    arena::{Arena, SECRET, cookie},
    raw::{KEY, Raw, text},
    token::token,
};

static ARENA: LazyLock<Arena> = LazyLock::new(|| Arena::start(&[], &[]));

/// What a request is answered: the status of every answer, and then the end of the connection, when the client has nothing more to say. A
/// client that stops in the middle gets no answer.
fn answered(request: impl AsRef<[u8]>, statuses: &[u16]) {
    let request = request.as_ref();
    ARENA.attack(async |addr| {
        let mut raw = Raw::connect(addr).await;
        raw.send(request).await;
        let mut found = Vec::new();
        for _ in statuses {
            found.extend(raw.answer().await.map(|answer| answer.status));
        }
        raw.shut_down().await;
        assert_eq!(found, statuses);
        assert_eq!(
            String::from_utf8_lossy(&raw.rest().await),
            "",
            "no further answer"
        );
    });
}

macro_rules! answered {
    ($($name:ident: $request:expr => $statuses:expr;)*) => {
        $(#[test] fn $name() { answered($request, &$statuses); })*
    };
}

const LIVE: &str = "GET /api/live HTTP/1.1\r\nHost: a\r\n";
const OPEN: &str = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n";
const POST: &str = "POST /api/auth/logout HTTP/1.1\r\nHost: a\r\n";

/// A request with this line, a host and these lines.
fn request(line: &str, lines: &str) -> String {
    format!("{line}\r\nHost: a\r\n{lines}\r\n")
}

/// A WebSocket handshake, with lines left out and put in.
fn upgrade(line: &str, without: &str, with: &str) -> String {
    let lines = [
        "Connection: Upgrade\r\n",
        "Upgrade: websocket\r\n",
        "Sec-WebSocket-Version: 13\r\n",
        &format!("Sec-WebSocket-Key: {KEY}\r\n"),
    ];
    let lines: String = lines
        .into_iter()
        .filter(|line| without.is_empty() || !line.starts_with(without))
        .collect();
    request(line, &(lines + with))
}

const WEBSOCKET: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1";

answered! {
    nothing_at_all: "" => [];
    half_a_request_line: "GET /api" => [];
    half_a_header: "GET /api/live HTTP/1.1\r\nHos" => [];
    no_end_of_headers: LIVE => [];
    one_header_of_70_kib: format!("{LIVE}X: {}\r\n\r\n", "x".repeat(70_000)) => [431];
    headers_of_70_kib: format!("{LIVE}{}\r\n", format!("X-Y: {}\r\n", "x".repeat(2_000)).repeat(35)) => [431];
    a_hundred_and_one_headers: format!("{LIVE}{}\r\n", "X: y\r\n".repeat(101)) => [431];
    headers_without_end: format!("{LIVE}{}", "X: y\r\n".repeat(100_000)) => [431];
    a_target_of_70_kib: format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000)) => [414];
    a_query_of_60_kib: format!("GET /socket.io/?x={} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(60_000)) => [400];
    a_query_of_ten_thousand_pairs: format!("GET /socket.io/?{} HTTP/1.1\r\nHost: a\r\n\r\n", "x=y&".repeat(10_000)) => [400];
    a_query_of_percent_signs: "GET /socket.io/?EIO=%&transport=%zz&sid=%00%ff HTTP/1.1\r\nHost: a\r\n\r\n" => [400];
    an_unknown_session: request("GET /socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA HTTP/1.1", "") => [400];
    a_session_of_another_path: request("GET /socket.io/?EIO=4&transport=polling&sid=../../x HTTP/1.1", "") => [400];

    length_and_chunks: format!("{POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{LIVE}\r\n") => [204];
    chunks_and_length: format!("{POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{LIVE}\r\n") => [204];
    two_lengths: format!("{POST}Content-Length: 0\r\nContent-Length: 44\r\n\r\n{LIVE}\r\n") => [400];
    two_lengths_in_one: format!("{POST}Content-Length: 0, 44\r\n\r\n{LIVE}\r\n") => [400];
    a_length_with_a_plus: format!("{POST}Content-Length: +0\r\n\r\n") => [400];
    a_length_below_zero: format!("{POST}Content-Length: -1\r\n\r\n") => [400];
    a_length_with_a_space: format!("{POST}Content-Length : 0\r\n\r\n") => [400];
    a_length_in_hexadecimal: format!("{POST}Content-Length: 0x0\r\n\r\n") => [400];
    a_length_of_2_to_the_64: format!("{POST}Content-Length: 18446744073709551616\r\n\r\n") => [400];
    a_length_of_nothing: format!("{POST}Content-Length: \r\n\r\n") => [400];
    chunks_of_another_name: format!("{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n") => [400];
    chunks_that_are_not_last: format!("{POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n") => [400];
    chunks_twice: format!("{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n") => [400];
    chunks_with_a_tab_before_the_colon: format!("{POST}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n") => [400];
    chunks_in_http_1_0: "POST /api/auth/logout HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" => [400];
    a_folded_header: "GET /api/live HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n" => [400];
    a_header_without_a_colon: format!("{LIVE}nothing\r\n\r\n") => [400];
    a_header_without_a_name: format!("{LIVE}: x\r\n\r\n") => [400];
    a_header_with_a_space_in_its_name: format!("{LIVE}X Y: z\r\n\r\n") => [400];
    a_nul_in_a_header: format!("{LIVE}X: a\0b\r\n\r\n") => [400];
    a_nul_in_a_name: format!("{LIVE}X\0: a\r\n\r\n") => [400];
    a_line_feed_in_a_name: format!("{LIVE}X\nY: a\r\n\r\n") => [400];
    a_nul_in_the_target: request("GET /api/\0live HTTP/1.1", "") => [400];
    a_space_in_the_target: request("GET /api/ live HTTP/1.1", "") => [400];
    bytes_of_no_alphabet: [0xff; 200] => [400];
    http_2: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" => [];
    http_0_9: "GET /api/live\r\n" => [400];
    http_3_0: request("GET /api/live HTTP/3.0", "") => [400];
    http_of_another_case: request("GET /api/live http/1.1", "") => [400];
    a_tls_client_hello: b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\0\0\0\0\0\0\0\0" => [400];

    http_1_0: "GET /api/live HTTP/1.0\r\n\r\n" => [204];
    two_requests_at_once: format!("{LIVE}\r\n{OPEN}\r\n") => [204, 200];
    ten_requests_at_once: format!("{LIVE}\r\n").repeat(10) => [204; 10];
    a_bad_one_behind_a_good_one: format!("{LIVE}\r\nGET / HTTP/9\r\n\r\n{LIVE}\r\n") => [204, 400];
    a_length_of_more_than_comes: format!("{POST}Content-Length: 10\r\n\r\nx") => [204];
    a_request_behind_a_short_body: format!("{POST}Content-Length: 1\r\n\r\nx{LIVE}\r\n") => [204, 204];
    trace: request("TRACE / HTTP/1.1", "") => [404];
    connect: "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n" => [404];
    put: request("PUT /api/live HTTP/1.1", "Content-Length: 0\r\n") => [404];
    delete_of_a_session: request("DELETE /socket.io/?EIO=4&transport=polling HTTP/1.1", "") => [400];
    put_of_a_session: request("PUT /socket.io/?EIO=4&transport=polling HTTP/1.1", "") => [400];
    an_invented_method: request("SLIME /api/live HTTP/1.1", "") => [404];
    options_of_everything: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" => [404];
    up_and_out: request("GET /../../../etc/passwd HTTP/1.1", "") => [404];
    up_and_out_by_percents: request("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", "") => [404];
    up_by_a_backslash: request("GET /..\\..\\etc\\passwd HTTP/1.1", "") => [404];
    two_slashes: request("GET //api/live HTTP/1.1", "") => [404];
    a_nul_by_percents: request("GET /api/live%00 HTTP/1.1", "") => [404];
    another_case: request("GET /API/LIVE HTTP/1.1", "") => [404];
    a_path_of_60_kib: request(&format!("GET /{} HTTP/1.1", "a/".repeat(30_000)), "") => [404];

    upgrade_without_a_version: upgrade(WEBSOCKET, "Sec-WebSocket-Version", "") => [400];
    upgrade_of_version_8: upgrade(WEBSOCKET, "Sec-WebSocket-Version", "Sec-WebSocket-Version: 8\r\n") => [400];
    upgrade_of_two_versions: upgrade(WEBSOCKET, "", "Sec-WebSocket-Version: 13\r\n") => [400];
    upgrade_without_a_key: upgrade(WEBSOCKET, "Sec-WebSocket-Key", "") => [400];
    upgrade_with_a_short_key: upgrade(WEBSOCKET, "Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ=\r\n") => [400];
    upgrade_with_a_key_that_is_none: upgrade(WEBSOCKET, "Sec-WebSocket-Key", "Sec-WebSocket-Key: !!!\r\n") => [400];
    upgrade_with_two_keys: upgrade(WEBSOCKET, "", &format!("Sec-WebSocket-Key: {KEY}\r\n")) => [400];
    upgrade_without_a_connection: upgrade(WEBSOCKET, "Connection", "") => [400];
    upgrade_by_another_connection: upgrade(WEBSOCKET, "Connection", "Connection: keep-alive\r\n") => [400];
    upgrade_to_h2c: upgrade(WEBSOCKET, "Upgrade", "Upgrade: h2c\r\n") => [400];
    upgrade_of_a_post: upgrade("POST /socket.io/?EIO=4&transport=websocket HTTP/1.1", "", "") => [400];
    upgrade_of_http_1_0: upgrade("GET /socket.io/?EIO=4&transport=websocket HTTP/1.0", "", "") => [400];
    upgrade_of_polling: upgrade("GET /socket.io/?EIO=4&transport=polling HTTP/1.1", "", "") => [400];
    upgrade_of_another_version: upgrade("GET /socket.io/?EIO=3&transport=websocket HTTP/1.1", "", "") => [400];
    upgrade_of_an_unknown_session: upgrade("GET /socket.io/?EIO=4&transport=websocket&sid=x HTTP/1.1", "", "") => [400];
    upgrade_of_another_route: upgrade("GET /api/live HTTP/1.1", "", "") => [204];
    upgrade_of_nothing: upgrade("GET /nothing HTTP/1.1", "", "") => [404];
    upgrade_with_a_body: upgrade(WEBSOCKET, "", "Content-Length: 5\r\n") + "hello" => [400];
    upgrade_with_chunks: upgrade(WEBSOCKET, "", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n" => [400];
}

/// Answers come in the order of the requests, also when the first takes longer.
#[test]
fn answers_in_order() {
    ARENA.attack(async |addr| {
        let mut raw = Raw::connect(addr).await;
        raw.send(format!("{OPEN}\r\n")).await;
        let open = raw.answer().await.expect("an answer");
        let sid = open.body.split("\"sid\":\"").nth(1).expect("an id")[..20].to_owned();
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        let get = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut other = Raw::connect(addr).await;
        // The GET hangs until the other connection's POST, and what was sent behind it waits.
        raw.send(format!("{get}{LIVE}\r\n")).await;
        let post = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n40");
        other.send(post).await;
        assert_eq!(other.answer().await.expect("an answer").body, "ok");
        let first = raw.answer().await.expect("an answer");
        assert!(
            first.body.starts_with("44{\"message\":\"not_authorized\""),
            "{first:?}"
        );
        assert_eq!(raw.answer().await.expect("an answer").status, 204);
        other
            .send(format!(
                "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
            ))
            .await;
        assert_eq!(other.answer().await.expect("an answer").status, 200);
    });
}

/// One WebSocket takes a session over; a second one is closed, and the session goes on.
#[test]
fn two_upgrades_at_once() {
    ARENA.attack(async |addr| {
        let line = cookie(&token("mallory", SECRET));
        let mut raw = Raw::connect(addr).await;
        raw.send(format!("{OPEN}{line}\r\n")).await;
        let open = raw.answer().await.expect("an answer");
        let sid = open.body.split("\"sid\":\"").nth(1).expect("an id")[..20].to_owned();
        let target = format!("/socket.io/?EIO=4&transport=websocket&sid={sid}");
        let (mut first, mut second) = (Raw::connect(addr).await, Raw::connect(addr).await);
        first.upgrade(&target, &line).await;
        first.send(text("2probe")).await;
        assert_eq!(first.text().await, "3probe");
        second.upgrade(&target, &line).await;
        second.send(text("2probe")).await;
        assert_eq!(second.rest().await, b"", "the second is closed");
        first.send(text("5")).await;
        first.join().await;
    });
}

/// Fragments of a handshake, and all of it byte by byte, are a handshake.
#[test]
fn byte_by_byte() {
    ARENA.attack(async |addr| {
        let mut raw = Raw::connect(addr).await;
        for byte in format!("{OPEN}\r\n").bytes() {
            raw.send([byte]).await;
        }
        assert_eq!(raw.answer().await.expect("an answer").status, 200);
        let mut raw = Raw::connect(addr).await;
        for byte in upgrade(WEBSOCKET, "", "").bytes().chain(text("2")) {
            raw.send([byte]).await;
        }
        assert_eq!(raw.answer().await.expect("an answer").status, 101);
    });
}

/// Hundreds of connections that say nothing, or not all, keep nobody else from being served.
#[test]
fn silence_of_many() {
    for said in [
        "",
        "GET /socket.io/?EIO=4",
        "POST /api/auth/logout HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n",
    ] {
        ARENA.attack_times(2, async |addr| {
            let mut many = Vec::new();
            for _ in 0..100 {
                let mut raw = Raw::connect(addr).await;
                raw.send(said).await;
                many.push(raw);
            }
        });
    }
}
