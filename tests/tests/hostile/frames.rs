//! WebSocket frames that RFC 6455 forbids, and messages beyond a bound, against the program. What the RFC allows is in `autobahn`.

use std::sync::LazyLock;

use slimy_rt_tests::{
    arena::{Arena, SECRET, cookie, mallory},
    raw::{End, Raw, begin, close, frame, go_on, text},
    token::token,
};

static ARENA: LazyLock<Arena> = LazyLock::new(|| Arena::start(&[], &[]));

/// A client that has joined sends this, and is closed so.
fn closed(bytes: &[u8], end: End) {
    ARENA.attack(async |addr| {
        let mut raw = mallory(addr).await;
        raw.send(bytes).await;
        assert_eq!(raw.end().await, end);
        raw.shut_down().await;
        raw.rest().await;
    });
}

macro_rules! closed {
    ($($name:ident: $bytes:expr => $code:expr;)*) => {
        $(#[test] fn $name() { closed(&$bytes, End::Code($code)); })*
    };
}

closed! {
    an_unmasked_frame: frame(1, "42[\"x\"]").unmasked().bytes() => 1002;
    an_unmasked_ping: frame(9, "").unmasked().bytes() => 1002;
    an_unmasked_close: frame(8, "").unmasked().bytes() => 1002;
    reserved_bit_1: frame(1, "42[\"x\"]").rsv(4).bytes() => 1002;
    reserved_bit_2: frame(1, "42[\"x\"]").rsv(2).bytes() => 1002;
    reserved_bit_3: frame(1, "42[\"x\"]").rsv(1).bytes() => 1002;
    all_reserved_bits: frame(2, [0; 9]).rsv(7).bytes() => 1002;
    a_reserved_bit_on_a_ping: frame(9, "").rsv(4).bytes() => 1002;
    a_reserved_bit_on_a_close: frame(8, "").rsv(2).bytes() => 1002;
    a_reserved_bit_on_a_continuation: [begin("4"), frame(0, "2").rsv(1).bytes()].concat() => 1002;
    reserved_opcode_3: frame(3, "").bytes() => 1002;
    reserved_opcode_4: frame(4, "x").bytes() => 1002;
    reserved_opcode_5: frame(5, "x").bytes() => 1002;
    reserved_opcode_6: frame(6, "x").bytes() => 1002;
    reserved_opcode_7: frame(7, "x").bytes() => 1002;
    reserved_opcode_11: frame(11, "").bytes() => 1002;
    reserved_opcode_12: frame(12, "x").bytes() => 1002;
    reserved_opcode_13: frame(13, "x").bytes() => 1002;
    reserved_opcode_14: frame(14, "x").bytes() => 1002;
    reserved_opcode_15: frame(15, "x").bytes() => 1002;
    a_reserved_opcode_within_a_message: [begin("4"), frame(3, "").bytes()].concat() => 1002;
    a_claim_of_one_byte_too_much: frame(1, "").claim64(1_000_001).bytes() => 1009;
    a_claim_of_4_gib: frame(2, "").claim64(1 << 32).bytes() => 1009;
    a_claim_of_2_to_the_62: frame(2, "").claim64(1 << 62).bytes() => 1009;
    a_claim_of_2_to_the_63: frame(2, "").claim64(1 << 63).bytes() => 1002;
    a_claim_of_all_bits: frame(2, "").claim64(u64::MAX).bytes() => 1002;
    a_length_of_16_bits_that_needs_7: frame(1, "42[\"x\"]").claim16(7).bytes() => 1002;
    a_length_of_64_bits_that_needs_7: frame(1, "42[\"x\"]").claim64(7).bytes() => 1002;
    a_length_of_64_bits_that_needs_16: frame(1, [b'4'; 300]).claim64(300).bytes() => 1002;
    a_ping_with_a_length_of_16_bits: frame(9, "").claim16(2).bytes() => 1002;
    a_ping_that_claims_a_megabyte: frame(9, "").claim64(1_000_000).bytes() => 1002;
    a_close_that_claims_126_bytes: frame(8, "").claim16(126).bytes() => 1002;
    a_continuation_of_nothing: go_on("42[\"x\"]", true) => 1002;
    a_first_fragment_that_continues_nothing: go_on("42[\"x\"]", false) => 1002;
    a_continuation_after_a_whole_message: [text("42[\"x\"]"), go_on("x", true)].concat() => 1002;
    a_text_within_a_text: [begin("42["), text("42[\"x\"]")].concat() => 1002;
    a_binary_within_a_text: [begin("42["), frame(2, "x").bytes()].concat() => 1002;
    a_fragment_within_a_binary: [frame(2, "x").more().bytes(), begin("x")].concat() => 1002;
    a_fragmented_ping: frame(9, "x").more().bytes() => 1002;
    a_fragmented_pong: frame(10, "x").more().bytes() => 1002;
    a_fragmented_close: frame(8, [3, 232]).more().bytes() => 1002;
    a_ping_of_126_bytes: frame(9, [7; 126]).bytes() => 1002;
    a_pong_of_126_bytes: frame(10, [7; 126]).bytes() => 1002;
    a_close_of_126_bytes: close(1000, [b'x'; 124]) => 1002;
    a_close_of_one_byte: frame(8, [3]).bytes() => 1002;
    a_close_with_a_reason_that_is_no_text: close(1000, [0xc3, 0x28]) => 1007;
    an_overlong_slash: text(b"42\xc0\xaf") => 1007;
    an_overlong_nul: text(b"42\xe0\x80\x80") => 1007;
    a_surrogate_in_text: text(b"42\xed\xa0\x80") => 1007;
    beyond_the_last_character: text(b"42\xf4\x90\x80\x80") => 1007;
    a_character_that_stops: text(b"42\xe2\x82") => 1007;
    a_text_that_is_no_text_in_its_second_fragment: [begin("42[\""), go_on([0xff], true)].concat() => 1007;
    fragments_of_one_byte: [begin("4"), go_on("2", false).repeat(1_023), go_on("2", true)].concat() => 1008;
    fragments_of_no_byte: [begin(""), go_on("", false).repeat(1_024)].concat() => 1008;
    fragments_without_end: [begin([b'4'; 1_000]), go_on([b'4'; 1_000], false).repeat(1_000)].concat() => 1009;
    an_empty_message: text("") => 1000;
    an_empty_message_of_two_fragments: [begin(""), go_on("", true)].concat() => 1000;
    a_message_of_one_byte_too_much: text([b'4'; 1_000_001]) => 1009;
    pings_without_end: frame(9, "x").bytes().repeat(2_000) => 1000;
    pongs_without_end: frame(10, "x").bytes().repeat(2_000) => 1000;
    empty_messages_of_the_engine_without_end: text("6").repeat(2_000) => 1000;
}

/// Which codes a peer may close with (RFC 6455, section 7.4; the registry has 1012 and 1013 beside it).
#[test]
fn close_codes() {
    let good = (1000..=1003)
        .chain(1007..=1013)
        .chain([3000, 3999, 4000, 4999]);
    let bad = [
        0, 1, 999, 1004, 1005, 1006, 1014, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ];
    let codes = good
        .map(|code| (code, code))
        .chain(bad.map(|code| (code, 1002)));
    let codes: Vec<_> = codes.collect();
    ARENA.attack_times(1, async |addr| {
        for &(code, answer) in &codes {
            let mut raw = mallory(addr).await;
            raw.send(close(code, "bye")).await;
            assert_eq!(raw.end().await, End::Code(answer), "{code}");
        }
    });
}

#[test]
fn a_close_without_a_code() {
    closed(&frame(8, "").bytes(), End::Empty);
}

#[test]
fn what_follows_a_close_is_not_looked_at() {
    closed(
        &[
            close(1000, ""),
            text("42[\"chat:message\"]"),
            frame(3, "").bytes(),
        ]
        .concat(),
        End::Code(1000),
    );
}

#[test]
fn a_goodbye_of_the_engine() {
    closed(&text("1"), End::Code(1000));
}

/// The largest message that is allowed is read, and what follows it is answered.
#[test]
fn as_large_as_it_may_be() {
    ARENA.attack_times(3, async |addr| {
        let mut raw = mallory(addr).await;
        let filler = "x".repeat(1_000_000 - r#"42["x",""]"#.len());
        raw.send(text(format!(r#"42["x","{filler}"]"#))).await;
        raw.send(text(r#"420["chat:message",{}]"#)).await;
        let ack = async {
            loop {
                let packet = raw.text().await;
                if packet.starts_with("43") {
                    return packet;
                }
            }
        };
        assert!(
            ack.await
                .starts_with(r#"430[{"error":"Message cannot be empty.""#)
        );
    });
}

#[test]
fn as_large_as_it_may_be_before_connect() {
    for (length, is_allowed) in [(65_536, true), (65_537, false)] {
        ARENA.attack(async |addr| {
            let mut raw = Raw::websocket(addr, &cookie(&token("mallory", SECRET))).await;
            let filler = "x".repeat(length - r#"40{"x":""}"#.len());
            raw.send(text(format!(r#"40{{"x":"{filler}"}}"#))).await;
            if is_allowed {
                assert!(raw.text().await.starts_with("40{"));
            } else {
                assert_eq!(raw.end().await, End::Code(1009));
            }
        });
    }
}

/// Nobody waits for the payload of a frame that will be refused, nor keeps room for it.
#[test]
fn a_header_that_stops_is_only_an_open_connection() {
    for header in [
        &[0x81][..],
        &[0x81, 0xfe, 1],
        &[0x82, 0xff, 0, 0, 0, 0, 0, 15],
    ] {
        ARENA.attack(async |addr| {
            let mut raw = mallory(addr).await;
            raw.send(header).await;
            raw.shut_down().await;
            assert_eq!(raw.end().await, End::Gone);
        });
    }
}

#[test]
fn a_reset_in_the_middle_of_a_message() {
    ARENA.attack_times(50, async |addr| {
        let mut raw = mallory(addr).await;
        raw.send(begin([b'4'; 10_000])).await;
    });
}

/// What each connection costs is given back, however it ends.
#[test]
fn hundreds_come_and_go() {
    ARENA.attack_times(300, async |addr| {
        let mut raw = mallory(addr).await;
        raw.send(close(1000, "")).await;
        assert_eq!(raw.end().await, End::Code(1000));
    });
}
