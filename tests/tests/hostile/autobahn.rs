//! The cases of the Autobahn test suite that the RFC allows, against an echo over bare Engine.IO. Which case is tested where:
//!
//! | Autobahn | what | test |
//! |---|---|---|
//! | 1.1, 1.2 | text and binary of all sizes | `sizes` |
//! | 2.1–2.11 | pings and pongs | `pings`; 2.5 also `frames::a_ping_of_126_bytes` |
//! | 3.1–3.7 | reserved bits | `reserved_bits`, `frames::reserved_bit_*` |
//! | 4.1, 4.2 | reserved opcodes | `reserved_opcodes`, `frames::reserved_opcode_*` |
//! | 5.1–5.20 | fragments | `fragments`, `fragments_out_of_place` |
//! | 6.1–6.23 | UTF-8 | `good_text`, `bad_text` |
//! | 7.1–7.13 | the closing handshake | `after_a_close`, `frames::close_codes`, `frames::a_close_*` |
//! | 9.1–9.8 | large messages, many fragments, many small messages | `large_messages`, `many_messages` |
//! | 10.1 | a message in odd pieces | `large_messages` |
//! | 12, 13 | compression | not offered: `compression_is_not_agreed` |
//!
//! Texts begin with a `4`, since that is what makes them messages (Engine.IO v4).

use slimy_rt::{
    protocol::session::Message,
    server::{Config, EngineApp, EngineSocket, Server},
};
use slimy_rt_tests::{
    node::Node,
    raw::{End, Raw, begin, close, frame, go_on, text},
};

#[derive(Debug)]
struct Echo;

impl EngineApp for Echo {
    fn message(&self, socket: &EngineSocket, message: Message) {
        socket.send(&message);
    }
}

async fn echo() -> Node {
    let config = Config {
        max_payload: 5_000_000,
        max_fragments: 100_000,
        ..Config::default()
    };
    Node::start(Server::engine_builder(Echo).config(config)).await
}

/// Sends the bytes in chops of this size.
async fn send_chopped(raw: &mut Raw, bytes: &[u8], chop: usize) {
    for piece in bytes.chunks(chop) {
        assert!(raw.send(piece).await);
        tokio::task::yield_now().await;
    }
}

async fn expect(raw: &mut Raw, first: u8, payload: &[u8]) {
    let frame = raw.frame().await.expect("a frame");
    assert_eq!(
        (frame.first, frame.payload == payload),
        (first, true),
        "{} bytes",
        frame.payload.len()
    );
}

#[tokio::test]
async fn sizes() {
    let node = echo().await;
    let mut raw = Raw::websocket(node.addr, "").await;
    for size in [1, 2, 125, 126, 127, 128, 1_000, 65_535, 65_536, 65_537] {
        for chop in [usize::MAX, 997] {
            let letters = vec![b'4'; size];
            send_chopped(&mut raw, &text(&letters), chop).await;
            expect(&mut raw, 0x81, &letters).await;
            let bytes = vec![0xfe; size];
            send_chopped(&mut raw, &frame(2, &bytes).bytes(), chop).await;
            expect(&mut raw, 0x82, &bytes).await;
        }
    }
    raw.send(frame(2, "").bytes()).await;
    expect(&mut raw, 0x82, b"").await;
}

#[tokio::test]
async fn pings() {
    let node = echo().await;
    let mut raw = Raw::websocket(node.addr, "").await;
    let longest = [0xfe; 125];
    for payload in [&b""[..], b"Hello", &[0, 255, 254, 253], &longest] {
        for chop in [usize::MAX, 1] {
            send_chopped(&mut raw, &frame(9, payload).bytes(), chop).await;
            expect(&mut raw, 0x8a, payload).await;
        }
    }
    for payload in ["", "nobody asked"] {
        raw.send(frame(10, payload).bytes()).await;
    }
    let pings: Vec<u8> = (0..10).flat_map(|n| frame(9, [n]).bytes()).collect();
    for chop in [usize::MAX, 1] {
        send_chopped(&mut raw, &pings, chop).await;
        for n in 0..10 {
            expect(&mut raw, 0x8a, &[n]).await;
        }
    }
    raw.send(frame(9, [0xfe; 126]).bytes()).await;
    assert_eq!(raw.end().await, End::Code(1002));
}

/// What came before is answered, then the connection is closed.
async fn echoed_then_closed(node: &Node, bytes: &[u8], code: u16) {
    for chop in [usize::MAX, 1] {
        let mut raw = Raw::websocket(node.addr, "").await;
        send_chopped(&mut raw, &[text("4Hello"), bytes.to_vec()].concat(), chop).await;
        expect(&mut raw, 0x81, b"4Hello").await;
        assert_eq!(raw.end().await, End::Code(code), "chopped by {chop}");
    }
}

#[tokio::test]
async fn reserved_bits() {
    let node = echo().await;
    for bits in 1..=7 {
        for opcode in [1, 2, 8, 9, 10] {
            echoed_then_closed(&node, &frame(opcode, "").rsv(bits).bytes(), 1002).await;
        }
    }
}

#[tokio::test]
async fn reserved_opcodes() {
    let node = echo().await;
    for opcode in (3..=7).chain(11..=15) {
        for payload in ["", "4Hello"] {
            let bytes = [frame(opcode, payload).bytes(), frame(9, "").bytes()].concat();
            echoed_then_closed(&node, &bytes, 1002).await;
        }
    }
}

#[tokio::test]
async fn fragments() {
    let node = echo().await;
    let mut raw = Raw::websocket(node.addr, "").await;
    for chop in [usize::MAX, 1] {
        for ping in [false, true] {
            let mut bytes = begin("4frag");
            for part in ["ment1", "", "fragment2", "3"] {
                if ping {
                    bytes.extend(frame(9, part).bytes());
                }
                bytes.extend(go_on(part, part == "3"));
            }
            send_chopped(&mut raw, &bytes, chop).await;
            if ping {
                for part in ["ment1", "", "fragment2", "3"] {
                    expect(&mut raw, 0x8a, part.as_bytes()).await;
                }
            }
            expect(&mut raw, 0x81, b"4fragment1fragment23").await;
        }
    }
    // Empty first and last fragments.
    raw.send([begin(""), go_on("4middle", false), go_on("", true)].concat())
        .await;
    expect(&mut raw, 0x81, b"4middle").await;
}

#[tokio::test]
async fn fragments_out_of_place() {
    let node = echo().await;
    for bytes in [
        frame(9, "part").more().bytes(),
        frame(10, "part").more().bytes(),
        go_on("4x", true),
        go_on("4x", false),
        [go_on("4x", false), text("4y")].concat(),
        [begin("4x"), text("4y")].concat(),
        [begin("4x"), begin("4y"), go_on("z", true)].concat(),
    ] {
        echoed_then_closed(&node, &bytes, 1002).await;
    }
}

#[tokio::test]
async fn good_text() {
    let node = echo().await;
    let mut raw = Raw::websocket(node.addr, "").await;
    for good in [
        "4κόσμε",
        "4Hello-µ@ßöäüàá-UTF-8!!",
        "4\u{0}",
        "4\u{7f}",
        "4\u{80}",
        "4\u{7ff}",
        "4\u{800}",
        "4\u{fff}",
        "4\u{1000}",
        "4\u{d7ff}",
        "4\u{e000}",
        "4\u{fffd}",
        "4\u{fffe}",
        "4\u{ffff}",
        "4\u{fdd0}",
        "4\u{10000}",
        "4\u{1fffe}",
        "4\u{10ffff}",
    ] {
        raw.send(text(good)).await;
        expect(&mut raw, 0x81, good.as_bytes()).await;
        // A fragment ends within a character, wherever that is.
        for cut in 1..good.len() {
            let bytes = [
                begin(&good.as_bytes()[..cut]),
                go_on(&good.as_bytes()[cut..], true),
            ]
            .concat();
            send_chopped(&mut raw, &bytes, 1).await;
            expect(&mut raw, 0x81, good.as_bytes()).await;
        }
    }
}

#[tokio::test]
async fn bad_text() {
    let node = echo().await;
    for bad in [
        &b"\x80"[..],
        b"\xbf",
        b"\x80\xbf\x80",
        b"\xc0\x20",
        b"\xdf\x20",
        b"\xe0\x20",
        b"\xf0\x20",
        b"\xc3",
        b"\xce",
        b"\xe0\xa0",
        b"\xf0\x90\x80",
        b"\xf7\xbf\xbf",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xfe\xfe\xff\xff",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xe0\x9f\xbf",
        b"\xf0\x80\x80\xaf",
        b"\xf0\x8f\xbf\xbf",
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xed\xad\xbf",
        b"\xed\xae\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    ] {
        let whole = [b"4", bad].concat();
        let cut = 1 + bad.len() / 2;
        for bytes in [
            text(&whole),
            [begin(&whole[..cut]), go_on(&whole[cut..], true)].concat(),
        ] {
            let mut raw = Raw::websocket(node.addr, "").await;
            raw.send(bytes).await;
            assert_eq!(raw.end().await, End::Code(1007), "{bad:x?}");
        }
    }
}

#[tokio::test]
async fn after_a_close() {
    let node = echo().await;
    for (bytes, end) in [
        (
            [close(1000, "bye"), text("4late")].concat(),
            End::Code(1000),
        ),
        ([close(1000, ""), close(1000, "")].concat(), End::Code(1000)),
        (
            [close(1000, ""), frame(9, "late").bytes()].concat(),
            End::Code(1000),
        ),
        ([begin("4part"), close(1001, "")].concat(), End::Code(1001)),
        (close(1000, [b'x'; 123]), End::Code(1000)),
        (close(1000, "\u{2744}"), End::Code(1000)),
    ] {
        let mut raw = Raw::websocket(node.addr, "").await;
        raw.send(bytes).await;
        let first = raw.frame().await.expect("a close");
        assert_eq!(first.first, 0x88, "nothing is answered any more");
        let code = u16::from_be_bytes([first.payload[0], first.payload[1]]);
        assert_eq!(End::Code(code), end);
        raw.shut_down().await;
        assert_eq!(raw.rest().await, b"", "the last word");
    }
}

#[tokio::test]
async fn large_messages() {
    let node = echo().await;
    let mut raw = Raw::websocket(node.addr, "").await;
    let letters = vec![b'4'; 1 << 20];
    for piece in [usize::MAX, 1 << 16, 1_300, 257] {
        let pieces: Vec<_> = letters.chunks(piece.min(letters.len())).collect();
        let mut bytes = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let frame = frame(u8::from(index == 0), piece);
            let is_last = index + 1 == pieces.len();
            bytes.extend(if is_last { frame } else { frame.more() }.bytes());
        }
        raw.send(bytes).await;
        expect(&mut raw, 0x81, &letters).await;
    }
}

#[tokio::test]
async fn many_messages() {
    let node = echo().await;
    let mut raw = Raw::websocket(node.addr, "").await;
    for size in [1, 64, 1_024] {
        let letters = vec![b'4'; size];
        let bytes = text(&letters).repeat(100);
        for _ in 0..3 {
            raw.send(&bytes).await;
            for _ in 0..100 {
                expect(&mut raw, 0x81, &letters).await;
            }
        }
    }
}

#[tokio::test]
async fn compression_is_not_agreed() {
    let node = echo().await;
    let mut raw = Raw::connect(node.addr).await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let request = raw.upgrade_request("/?EIO=4&transport=websocket", offer);
    raw.send(request).await;
    let answer = raw.answer().await.expect("an answer");
    assert_eq!(
        (answer.status, answer.header("sec-websocket-extensions")),
        (101, None)
    );
}
