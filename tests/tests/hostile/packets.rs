//! Engine.IO and Socket.IO packets that the protocol forbids, and payloads that a careless reader would trip over, against the program.

use std::sync::LazyLock;

use slimy_rt_tests::{
    arena::{Arena, GUILD, SECRET, cookie, mallory},
    raw::{End, Raw, frame, text},
    token::token,
};

static ARENA: LazyLock<Arena> = LazyLock::new(|| Arena::start(&[], &[]));

const HOLDER: &str = r#"{"_placeholder":true,"num":0}"#;

/// A client that has joined sends these packets, an empty one standing for a binary message, and is closed with 1000: a parse error.
fn closed(packets: &[&str]) {
    ARENA.attack(async |addr| {
        let mut raw = mallory(addr).await;
        for packet in packets {
            raw.send(wire(packet)).await;
        }
        assert_eq!(raw.end().await, End::Code(1000));
    });
}

fn wire(packet: &str) -> Vec<u8> {
    if packet.is_empty() {
        frame(2, [1, 2, 3]).bytes()
    } else {
        text(packet)
    }
}

/// A client that has joined sends these packets; nobody answers, and it is served as before.
fn ignored(packets: &[&str]) {
    ARENA.attack(async |addr| {
        let mut raw = mallory(addr).await;
        for packet in packets {
            raw.send(wire(packet)).await;
        }
        raw.send(text(r#"4299["chat:message",{}]"#)).await;
        let ack = reply(&mut raw).await;
        assert_eq!(
            ack,
            r#"4399[{"error":"Message cannot be empty.","code":"empty_message"}]"#
        );
    });
}

/// The next packet that is no broadcast.
async fn reply(raw: &mut Raw) -> String {
    loop {
        let packet = raw.text().await;
        if !packet.starts_with("42[") {
            return packet;
        }
    }
}

macro_rules! packets {
    ($expect:ident: $($name:ident: [$($packet:expr),*];)*) => {
        $(#[test] fn $name() { $expect(&[$(&*$packet),*]); })*
    };
}

packets! { closed:
    engine_type_7: ["7"];
    engine_type_of_another_alphabet: ["\u{664}2[\"x\"]"];
    engine_ping_of_a_client: ["2"];
    engine_ping_with_data: ["2x"];
    engine_pong_with_data: ["3x"];
    engine_close_with_data: ["1x"];
    engine_base64_that_is_none: ["b!"];
    no_type: ["4"];
    type_7: ["47"];
    type_of_a_letter: ["4x"];
    type_of_a_nul: ["4\u{0}"];
    connect_error_of_a_client: [r#"44{"message":"x"}"#];
    connect_twice: ["40"];
    connect_twice_with_a_query: ["40/?x=1,"];
    connect_with_a_list: ["40/x,[]"];
    connect_with_a_string: [r#"40/x,"a""#];
    connect_with_a_number: ["40/x,1"];
    connect_with_null: ["40/x,null"];
    connect_with_half_an_object: ["40/x,{"];
    connect_with_two_objects: ["40/x,{}{}"];
    connect_129_deep: [format!("40/x,{}1{}", r#"{"a":"#.repeat(129), "}".repeat(129))];
    namespace_of_300_bytes: [format!("40/{},", "n".repeat(300))];
    namespace_with_a_nul: ["40/\u{0},"];
    namespace_with_a_separator: ["40/\u{1e}41,"];
    event_of_a_namespace_not_joined: [r#"42/x,["a"]"#];
    event_of_the_namespace_proto: [r#"42/__proto__,["a"]"#];
    ack_of_a_namespace_not_joined: ["43/x,1[]"];
    disconnect_of_a_namespace_not_joined: ["41/x,"];
    disconnect_with_a_payload: ["41{}"];
    event_after_disconnect: ["41", r#"42["x"]"#];
    event_without_payload: ["42"];
    event_that_is_empty: ["42[]"];
    event_that_is_an_object: ["42{}"];
    event_that_is_a_string: [r#"42"x""#];
    event_named_null: ["42[null]"];
    event_named_true: ["42[true]"];
    event_named_by_a_list: [r#"42[["x"]]"#];
    event_named_connect: [r#"42["connect"]"#];
    event_named_connect_by_escapes: [r#"42["\u0063onnect"]"#];
    event_named_connect_error: [r#"42["connect_error"]"#];
    event_named_disconnect: [r#"42["disconnect"]"#];
    event_named_disconnecting: [r#"42["disconnecting"]"#];
    event_named_new_listener: [r#"42["newListener"]"#];
    event_named_remove_listener: [r#"42["removeListener"]"#];
    ack_id_of_2_to_the_53: [r#"429007199254740992["x"]"#];
    ack_id_of_2_to_the_64: [r#"4218446744073709551616["x"]"#];
    ack_id_of_a_thousand_digits: [format!(r#"42{}["x"]"#, "9".repeat(1_000))];
    ack_id_below_zero: [r#"42-1["x"]"#];
    ack_id_with_a_plus: [r#"42+1["x"]"#];
    ack_id_with_a_fraction: [r#"421.5["x"]"#];
    ack_id_of_another_alphabet: ["42\u{661}[\"x\"]"];
    ack_without_id: ["43[]"];
    ack_without_payload: ["431"];
    ack_that_is_an_object: ["431{}"];
    attachments_without_number: [format!(r#"45-["x",{HOLDER}]"#)];
    attachments_without_dash: [format!(r#"451["x",{HOLDER}]"#)];
    attachments_zero: [r#"450-["x"]"#];
    attachments_below_zero: [format!(r#"45-1-["x",{HOLDER}]"#)];
    attachments_eleven: [format!(r#"4511-["x",{HOLDER}]"#)];
    attachments_2_to_the_32: [format!(r#"454294967296-["x",{HOLDER}]"#)];
    attachments_2_to_the_64: [format!(r#"4518446744073709551616-["x",{HOLDER}]"#)];
    attachments_of_a_thousand_digits: [format!(r#"45{}-["x",{HOLDER}]"#, "9".repeat(1_000))];
    binary_that_nobody_announced: [""];
    binary_beyond_the_last: [format!(r#"451-["x",{HOLDER}]"#), "", ""];
    text_while_binary_is_awaited: [format!(r#"452-["x",{HOLDER}]"#), "", r#"42["x"]"#];
    connect_while_binary_is_awaited: [format!(r#"451-["x",{HOLDER}]"#), "40/x,"];
    placeholder_beyond_the_last: [r#"451-["x",{"_placeholder":true,"num":1}]"#, ""];
    placeholder_below_zero: [r#"451-["x",{"_placeholder":true,"num":-1}]"#, ""];
    placeholder_of_a_fraction: [r#"451-["x",{"_placeholder":true,"num":0.5}]"#, ""];
    placeholder_of_a_string: [r#"451-["x",{"_placeholder":true,"num":"0"}]"#, ""];
    placeholder_without_number: [r#"451-["x",{"_placeholder":true}]"#, ""];
    placeholder_1e999: [r#"451-["x",{"_placeholder":true,"num":1e999}]"#, ""];
    json_that_stops: [r#"42["x""#];
    json_with_something_behind: [r#"42["x"]]"#];
    json_with_a_comma_too_many: [r#"42["x",]"#];
    json_with_a_comment: [r#"42["x"/**/]"#];
    json_with_single_quotes: ["42['x']"];
    json_nan: [r#"42["x",NaN]"#];
    json_infinity: [r#"42["x",-Infinity]"#];
    json_with_leading_zeros: [r#"42["x",007]"#];
    json_hexadecimal: [r#"42["x",0x10]"#];
    json_with_a_raw_nul: ["42[\"x\",\"\u{0}\"]"];
    json_with_a_raw_line_end: ["42[\"x\",\"\n\"]"];
    json_with_half_an_escape: [r#"42["x","\u12"]"#];
    json_with_a_mark_of_byte_order: ["42\u{feff}[\"x\"]"];
    json_129_deep: [format!(r#"42["x",{}{}]"#, "[".repeat(128), "]".repeat(128))];
    json_100_000_deep: [format!(r#"42["x",{}"#, "[".repeat(100_000))];
    json_objects_100_000_deep: [format!(r#"42["x",{}"#, r#"{"a":"#.repeat(100_000))];
}

packets! { ignored:
    engine_open_of_a_client: ["0{}"];
    engine_noop: ["6"];
    engine_upgrade_without_probe: ["5"];
    engine_pong_that_nobody_asked_for: ["3"];
    ack_of_what_was_never_asked: ["4312345[1,2]", "430[]", "439007199254740991[]"];
    binary_ack_of_what_was_never_asked: [format!("461-7[{HOLDER}]"), ""];
    event_that_nobody_handles: [r#"42["nobody",1]"#];
    event_named_proto: [r#"42["__proto__",{"polluted":true}]"#];
    event_named_constructor: [r#"42["constructor"]"#, r#"42["toString"]"#, r#"42["hasOwnProperty"]"#];
    event_named_by_a_number: ["42[1]", "42[-0]", "42[1e999]"];
    event_named_by_a_lone_surrogate: [r#"42["\ud800"]"#];
    event_named_by_nothing: [r#"42[""]"#];
    numbers_at_the_edge: [r#"42["x",1e999,-1e999,1e-999,-0,123456789012345678901234567890]"#];
    number_of_a_hundred_thousand_digits: [format!(r#"42["x",{}]"#, "9".repeat(100_000))];
    duplicate_keys: [r#"42["x",{"a":1,"a":2,"__proto__":{"a":3},"__proto__":null}]"#];
    json_128_deep: [format!(r#"42["x",{}{}]"#, "[".repeat(127), "]".repeat(127))];
    binary_with_a_placeholder_twice: [format!(r#"451-["x",{HOLDER},{HOLDER}]"#), ""];
    binary_with_no_placeholder: [r#"451-["x"]"#, ""];
    binary_for_a_handler_that_wants_none: [format!(r#"451-["chat:message",{HOLDER}]"#), ""];
    binary_of_ten_parts: [format!(r#"4510-["x",{HOLDER}]"#), "", "", "", "", "", "", "", "", "", ""];
}

/// What a message's fields may be is the contract's; the ack says which rule is broken, and no one else sees anything.
#[test]
fn payloads_of_the_chat() {
    const INVALID: &str = "invalid_message";
    let table = [
        ("null", INVALID),
        ("[]", INVALID),
        (r#""text""#, INVALID),
        ("1e999", INVALID),
        (r#"{"text":1,"guildId":"1"}"#, INVALID),
        (r#"{"text":["x"],"guildId":"1"}"#, INVALID),
        (r#"{"text":{"toString":"x"},"guildId":"1"}"#, INVALID),
        (r#"{"text":"\ud800","guildId":"1"}"#, INVALID),
        (r#"{"text":"\udc00\ud800","guildId":"1"}"#, INVALID),
        (r#"{"text":"a\u0000b","guildId":"1"}"#, INVALID),
        (r#"{"text":"x","guildId":true}"#, INVALID),
        (r#"{"text":"x","guildId":{}}"#, INVALID),
        (r#"{"text":"x","guildId":"1","adminOnly":1}"#, INVALID),
        (r#"{"text":"x","guildId":"1","adminOnly":"true"}"#, INVALID),
        (r#"{"text":"x","guildId":"1","requestBot":[]}"#, INVALID),
        (r#"{"text":"x","guildId":"1","messageId":7}"#, INVALID),
        (r#"{"text":"x","guildId":"1","messageId":"a-bot"}"#, INVALID),
        (
            r#"{"__proto__":{"text":"x","guildId":"1"}}"#,
            "empty_message",
        ),
        (
            r#"{"constructor":{"prototype":{"text":"x"}}}"#,
            "empty_message",
        ),
        (r#"{"text":"\u2003\ufeff\n"}"#, "empty_message"),
        (r#"{"text":"x","text":""}"#, "empty_message"),
        (r#"{"text":"x"}"#, "missing_guild"),
        (r#"{"text":"x","guildId":0}"#, "missing_guild"),
        (r#"{"text":"x","guildId":-0}"#, "missing_guild"),
        (r#"{"text":"x","guildId":"1"}"#, "guild_forbidden"),
        (r#"{"text":"x","guildId":"__proto__"}"#, "guild_forbidden"),
        (r#"{"text":"x","guildId":1e999}"#, "guild_forbidden"),
        (
            r#"{"text":"x","guildId":1176605506912141445}"#,
            "guild_forbidden",
        ),
    ];
    ARENA.attack(async |addr| {
        let mut raw = mallory(addr).await;
        for (id, (payload, code)) in table.iter().enumerate() {
            raw.send(text(format!(r#"42{id}["chat:message",{payload}]"#)))
                .await;
            let ack = reply(&mut raw).await;
            assert!(
                ack.starts_with(&format!("43{id}[{{\"error\":")),
                "{payload}: {ack}"
            );
            assert!(
                ack.ends_with(&format!("\"code\":\"{code}\"}}]")),
                "{payload}: {ack}"
            );
        }
        let admin =
            format!(r#"42900["chat:message",{{"text":"x","guildId":"{GUILD}","adminOnly":true}}]"#);
        raw.send(text(admin)).await;
        assert!(reply(&mut raw).await.contains("admin_only"));
    });
}

/// An id is a number: zeros before it are none of it.
#[test]
fn ack_ids_with_zeros_before() {
    ARENA.attack(async |addr| {
        let mut raw = mallory(addr).await;
        raw.send(text(r#"42007["chat:message",{}]"#)).await;
        assert!(reply(&mut raw).await.starts_with("437["));
        raw.send(text(r#"429007199254740991["chat:message",{}]"#))
            .await;
        assert!(reply(&mut raw).await.starts_with("439007199254740991["));
    });
}

#[test]
fn before_connect() {
    for packet in [
        r#"42["chat:message",{}]"#,
        "430[]",
        "41",
        r#"42/x,["a"]"#,
        "45",
        "44",
        "",
    ] {
        ARENA.attack(async |addr| {
            let mut raw = Raw::websocket(addr, &cookie(&token("mallory", SECRET))).await;
            raw.send(wire(packet)).await;
            assert_eq!(raw.end().await, End::Code(1000), "{packet}");
        });
    }
}

#[test]
fn between_connect_and_its_answer() {
    ARENA.attack(async |addr| {
        let mut raw = Raw::websocket(addr, &cookie(&token("mallory", SECRET))).await;
        raw.send([text("40"), text("40")].concat()).await;
        assert_eq!(raw.end().await, End::Code(1000));
    });
}

#[test]
fn namespaces_that_nobody_has() {
    ARENA.attack(async |addr| {
        let mut raw = mallory(addr).await;
        for name in [
            "/x",
            "/__proto__",
            "/constructor",
            "//",
            "/%00",
            "/..",
            "/\u{1f600}",
        ] {
            raw.send(text(format!("40{name},"))).await;
            assert_eq!(
                reply(&mut raw).await,
                format!(r#"44{name},{{"message":"Invalid namespace"}}"#)
            );
        }
    });
}
