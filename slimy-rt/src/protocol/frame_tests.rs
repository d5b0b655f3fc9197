//! Frames, byte for byte.

use std::time::Duration;

use serde_json::json;

use super::{
    super::{EncodeError, Placeholder},
    *,
};

fn event(json: &str) -> EventData {
    EventData::from_parts(json.into(), Vec::new()).unwrap()
}

/// The polling form as text, after checking that the WebSocket form is one text frame of the same.
fn text(frame: &Frame) -> String {
    let polling = frame.polling();
    assert_eq!(
        split_frame(frame.websocket()),
        Some((TEXT, &polling[..], &[][..]))
    );
    assert_eq!(frame.len(), frame.websocket().len());
    String::from_utf8(polling.to_vec()).unwrap()
}

#[test]
fn packets_are_written_as_the_protocol_has_them() {
    let hello = event(r#"["hello",1]"#);
    let ack = AckData::new(&1).unwrap().arg("2").unwrap();
    for (frame, expected) in [
        (Frame::event("/", None, &hello), r#"42["hello",1]"#),
        (Frame::event("/", Some(0), &hello), r#"420["hello",1]"#),
        (
            Frame::event("/admin", Some(456), &hello),
            r#"42/admin,456["hello",1]"#,
        ),
        (
            Frame::event_with_offset("/", &hello, "o\"1"),
            r#"42["hello",1,"o\"1"]"#,
        ),
        (Frame::ack("/", 456, &ack), r#"43456[1,"2"]"#),
        (
            Frame::ack("/ns", u64::MAX, &AckData::empty()),
            "43/ns,18446744073709551615[]",
        ),
        (Frame::connect("/", "abc", None), r#"40{"sid":"abc"}"#),
        (
            Frame::connect("/admin", "abc", Some("p")),
            r#"40/admin,{"sid":"abc","pid":"p"}"#,
        ),
        (
            Frame::connect_error("/random", "Invalid namespace", None),
            r#"44/random,{"message":"Invalid namespace"}"#,
        ),
        (
            Frame::connect_error(
                "/",
                "not_authorized",
                Some(&json!({"code": "not_authorized"})),
            ),
            r#"44{"message":"not_authorized","data":{"code":"not_authorized"}}"#,
        ),
        (Frame::disconnect("/"), "41"),
        (Frame::disconnect("/admin"), "41/admin,"),
        (Frame::message("hello"), "4hello"),
        (Frame::close(), "1"),
        (Frame::ping(), "2"),
        (Frame::pong_probe(), "3probe"),
        (Frame::noop(), "6"),
    ] {
        assert_eq!(text(&frame), expected);
    }
    let data = HandshakeData {
        sid: "s",
        upgrade: false,
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        max_payload: 5,
    };
    assert_eq!(text(&Frame::open(&data)), data.encode());
}

#[test]
fn attachments_follow_their_packet() {
    let json = r#"["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let attachments = vec![Bytes::from_static(&[1, 2, 3, 4]), Bytes::new()];
    let event = EventData::from_parts(json.into(), attachments.clone()).unwrap();
    let frame = Frame::event("/", None, &event);
    let text = format!("452-{json}");
    let mut expected = vec![0x81, u8::try_from(text.len()).unwrap()];
    expected.extend_from_slice(text.as_bytes());
    expected.extend_from_slice(&[0x82, 4, 1, 2, 3, 4, 0x82, 0]);
    assert_eq!(frame.websocket()[..], expected);
    assert_eq!(
        frame.polling()[..],
        *format!("{text}\x1ebAQIDBA==\x1eb").as_bytes()
    );
    assert_eq!(frame.polling().as_ptr(), frame.clone().polling().as_ptr());

    let ack = AckData::empty()
        .arg(&Placeholder::new(0))
        .unwrap()
        .with_attachments(attachments)
        .unwrap();
    let polling = Frame::ack("/a", 7, &ack).polling();
    assert!(polling.starts_with(b"462-/a,7[{\"_placeholder\":true,\"num\":0}]\x1eb"));

    let offset = Frame::event_with_offset("/", &event, "o").polling();
    assert!(offset.starts_with(
        br#"452-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},"o"]"#
    ));
}

#[test]
fn raw_binary_is_one_frame() {
    let frame = Frame::binary(&[1, 2, 3, 4]);
    assert_eq!(frame.websocket()[..], [0x82, 4, 1, 2, 3, 4]);
    assert_eq!(frame.polling()[..], *b"bAQIDBA==");
}

#[test]
fn lengths_have_three_forms() {
    for (len, header) in [
        (125, &[0x82, 125][..]),
        (126, &[0x82, 126, 0, 126]),
        (65_535, &[0x82, 126, 0xff, 0xff]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let frame = Frame::binary(&vec![7; len]);
        assert!(frame.websocket().starts_with(header), "{len}");
        assert_eq!(frame.len(), header.len() + len);
    }
}

#[test]
fn close_frames_have_a_code_and_a_short_reason() {
    assert_eq!(close_frame(1001, "")[..], [0x88, 2, 0x03, 0xe9]);
    assert_eq!(close_frame(1000, "bye")[..], *b"\x88\x05\x03\xe8bye");
    let cut = close_frame(1000, &format!("x{}", "é".repeat(100)));
    assert_eq!(cut.len(), 2 + 2 + 123);
    assert_eq!(close_frame(1000, &"é".repeat(100)).len(), 2 + 2 + 122);
}

#[test]
fn events_are_built_from_arguments() {
    assert_eq!(
        *EventData::new("a\"b", &json!({"k": [1]})).unwrap().json(),
        r#"["a\"b",{"k":[1]}]"#
    );
    let event = EventData::empty("e")
        .unwrap()
        .arg(&1)
        .unwrap()
        .arg("]")
        .unwrap();
    assert_eq!(*event.json(), r#"["e",1,"]"]"#);
    assert_eq!(event.name(), "e");
    assert_eq!(
        *EventData::raw("e", &["1", " [2] "]).unwrap().json(),
        r#"["e",1, [2] ]"#
    );
    assert_eq!(*EventData::raw("e", &[]).unwrap().json(), r#"["e"]"#);
    assert_eq!(*event_text(" [\"e\" ] ").unwrap().json(), "[\"e\" ]");
}

fn event_text(json: &str) -> Result<EventData, EncodeError> {
    EventData::from_parts(json.into(), Vec::new())
}

#[test]
fn what_clients_would_refuse_is_an_error() {
    use EncodeError::*;
    for name in crate::protocol::packet::RESERVED_EVENTS {
        assert!(matches!(EventData::new(name, &1), Err(ReservedEventName(n)) if n == name));
        assert!(matches!(EventData::empty(name), Err(ReservedEventName(_))));
        assert!(matches!(
            EventData::raw(name, &[]),
            Err(ReservedEventName(_))
        ));
        assert!(matches!(
            event_text(&format!("[\"{name}\"]")),
            Err(ReservedEventName(_))
        ));
    }
    assert!(matches!(EventData::raw("e", &["1,2"]), Err(IllegalJson)));
    assert!(matches!(EventData::raw("e", &[""]), Err(IllegalJson)));
    assert!(matches!(event_text("[\"e\"]]"), Err(IllegalJson)));
    for bad in ["{}", "[]", "[null]", "\"e\""] {
        assert!(matches!(event_text(bad), Err(NotAnEvent)), "{bad}");
    }
    let unserialisable = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(matches!(
        EventData::new("e", &unserialisable),
        Err(Serialize(_))
    ));
    let event = EventData::new("e", &Placeholder::new(1)).unwrap();
    let attachment = Bytes::from_static(b"x");
    assert!(matches!(
        event.clone().with_attachments(vec![attachment.clone()]),
        Err(IllegalPlaceholder)
    ));
    assert!(
        event
            .clone()
            .with_attachments(vec![attachment.clone(); 10])
            .is_ok()
    );
    assert!(matches!(
        event.with_attachments(vec![attachment; 11]),
        Err(TooManyAttachments)
    ));
}

#[test]
fn debug_shows_no_contents() {
    let event = EventData::new("e", "secret").unwrap();
    let shown = format!("{:?} {event:?}", Frame::event("/", None, &event));
    assert!(!shown.contains("secret"), "{shown}");
}
