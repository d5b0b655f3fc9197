//! Every packet type, and every rule that closes a connection.

use super::*;

fn decode(text: &str) -> Result<Option<Packet>, PacketError> {
    Decoder::new(PacketLimits::default()).text(text.into())
}

fn packet(text: &str) -> Packet {
    decode(text).unwrap().unwrap()
}

fn error(text: &str) -> PacketError {
    decode(text).expect_err(text)
}

fn event_of(packet: Packet) -> (String, Option<u64>, Event) {
    match packet {
        Packet::Event {
            namespace,
            id,
            event,
        } => (namespace.into(), id, event),
        other => panic!("{other:?}"),
    }
}

fn connect(namespace: &str, auth: Option<&str>) -> Packet {
    Packet::Connect {
        namespace: namespace.into(),
        auth: auth.map(Into::into),
    }
}

#[test]
fn connects() {
    assert_eq!(packet("0"), connect("/", None));
    assert_eq!(
        packet(r#"0{"token":"123"}"#),
        connect("/", Some(r#"{"token":"123"}"#))
    );
    assert_eq!(packet("0/custom"), connect("/custom", None));
    assert_eq!(packet("0/custom,"), connect("/custom", None));
    assert_eq!(packet("0/custom, {} "), connect("/custom", Some("{}")));
    assert_eq!(packet("0/admin?token=1,{}"), connect("/admin", Some("{}")));
    assert_eq!(packet("0/admin?a=/b?"), connect("/admin", None));
}

#[test]
fn disconnects() {
    for (text, namespace) in [
        ("1", "/"),
        ("1/custom", "/custom"),
        ("1/custom,", "/custom"),
    ] {
        let namespace = namespace.into();
        assert_eq!(packet(text), Packet::Disconnect { namespace });
    }
}

#[test]
fn events_are_split_when_asked() {
    let (namespace, id, event) = event_of(packet(r#"2["message",1,"2",{"3":[true]}]"#));
    assert_eq!(
        (namespace.as_str(), id, event.name()),
        ("/", None, "message")
    );
    let arguments = event.arguments();
    assert_eq!(
        arguments.iter().collect::<Vec<_>>(),
        ["1", "\"2\"", r#"{"3":[true]}"#]
    );
    assert_eq!(arguments.arg(2), Some(r#"{"3":[true]}"#));
    assert_eq!(arguments.arg(3), None);
    assert_eq!(arguments.elements_json(), r#"1,"2",{"3":[true]}"#);
    assert_eq!(*arguments.args_json(), r#"["message",1,"2",{"3":[true]}]"#);
    assert_eq!(arguments.parse::<u8>(0).unwrap(), 1);
    assert!(matches!(
        arguments.parse::<u8>(1),
        Err(ArgumentError::Invalid { index: 1, .. })
    ));
    assert!(matches!(
        arguments.parse::<u8>(3),
        Err(ArgumentError::Missing { index: 3 })
    ));
}

#[test]
fn whitespace_is_where_json_allows_it() {
    let (_, id, event) = event_of(packet("2/a,7 [ \"x\" , [ 1 , 2 ] ,\t3 ]\n"));
    assert_eq!((id, event.name()), (Some(7), "x"));
    assert_eq!(
        event.arguments().iter().collect::<Vec<_>>(),
        ["[ 1 , 2 ]", "3"]
    );
    assert_eq!(event.arguments().elements_json(), "[ 1 , 2 ] ,\t3");
    let (_, _, event) = event_of(packet("2[ \"x\" ]"));
    assert_eq!(
        (event.arguments().arg(0), event.arguments().elements_json()),
        (None, "")
    );
}

#[test]
fn acks_have_an_id() {
    let Packet::Ack {
        namespace,
        id,
        arguments,
    } = packet(r#"3/ns,456[1,"2"]"#)
    else {
        panic!("no ack");
    };
    assert_eq!((&*namespace, id), ("/ns", 456));
    assert_eq!(arguments.iter().collect::<Vec<_>>(), ["1", "\"2\""]);
    let Packet::Ack { arguments, .. } = packet("30[ ]") else {
        panic!("no ack");
    };
    assert_eq!(arguments.iter().count(), 0);
    assert_eq!(arguments.elements_json(), "");
}

#[test]
fn names_are_what_javascript_makes_of_them() {
    let name = |text| event_of(packet(text)).2.name().to_owned();
    assert_eq!(name(r#"2["a\u0062c"]"#), "abc");
    assert_eq!(name(r#"2["\ud800"]"#), "\u{fffd}");
    assert_eq!(name("2[12.5]"), "12.5");
    assert_eq!(name("2[-1,2]"), "-1");
    assert_eq!(name(r#"2[""]"#), "");
    assert_eq!(name(r#"2["Connect"]"#), "Connect");
}

#[test]
fn lone_surrogates_pass_but_are_no_text() {
    let (_, _, event) = event_of(packet(r#"2["e",{"text":"\ud800"}]"#));
    assert!(event.arguments().parse::<serde_json::Value>(0).is_err());
    assert_eq!(event.arguments().arg(0), Some(r#"{"text":"\ud800"}"#));
}

#[test]
fn attachments_complete_a_packet() {
    let mut decoder = Decoder::new(PacketLimits::default());
    let text = r#"52-789["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    assert_eq!(decoder.text(text.into()), Ok(None));
    assert!(decoder.awaits_binary());
    assert_eq!(decoder.binary(Bytes::from_static(&[1, 2, 3])), Ok(None));
    let packet = decoder
        .binary(Bytes::from_static(&[4, 5, 6]))
        .unwrap()
        .unwrap();
    assert!(!decoder.awaits_binary());
    let (_, id, event) = event_of(packet);
    assert_eq!((id, event.name()), (Some(789), "message"));
    assert_eq!(
        event.arguments().attachments(),
        [&[1, 2, 3][..], &[4, 5, 6]]
    );
    assert_eq!(event.arguments().binary(1).unwrap()[..], [4, 5, 6]);
    assert_eq!(event.arguments().binary(2), None);

    assert_eq!(decoder.text("61-/ns,7[]".into()), Ok(None));
    let packet = decoder.binary(Bytes::from_static(&[9])).unwrap().unwrap();
    let Packet::Ack {
        id: 7, arguments, ..
    } = packet
    else {
        panic!("{packet:?}");
    };
    // The stock parser does not mind an attachment that no placeholder names.
    assert_eq!(arguments.attachments(), [&[9][..]]);
}

#[test]
fn placeholders_are_plain_data_without_attachments() {
    let (_, _, event) = event_of(packet(r#"2["e",{"_placeholder":true,"num":99}]"#));
    assert_eq!(event.arguments().binary(0), None);
}

#[test]
fn illegal_types_and_counts() {
    use PacketError::*;
    for text in ["", "abc", "7", "9", "é", "-1", " 2[\"a\"]"] {
        assert_eq!(error(text), UnknownType, "{text}");
    }
    assert_eq!(error(r#"4{"message":"x"}"#), ConnectErrorFromClient);
    for text in [
        r#"5["a"]"#,
        r#"5-["a"]"#,
        r#"50-["a"]"#,
        r#"51.5-["a"]"#,
        r#"5-1-["a"]"#,
        r#"5x-["a"]"#,
        "51",
        "60-1[]",
    ] {
        assert_eq!(error(text), IllegalAttachments, "{text}");
    }
    assert_eq!(error(r#"511-["a"]"#), TooManyAttachments);
    assert_eq!(
        error(r#"599999999999999999999999-["a"]"#),
        TooManyAttachments
    );
    assert_eq!(decode(r#"510-["a"]"#), Ok(None));
}

#[test]
fn binary_and_text_come_when_they_are_due() {
    let mut decoder = Decoder::new(PacketLimits {
        max_attachment_bytes: 4,
        ..PacketLimits::default()
    });
    assert_eq!(
        decoder.binary(Bytes::new()),
        Err(PacketError::UnexpectedBinary)
    );
    assert_eq!(decoder.text(r#"52-["a"]"#.into()), Ok(None));
    assert_eq!(
        decoder.text(r#"2["a"]"#.into()),
        Err(PacketError::UnexpectedText)
    );
    assert_eq!(decoder.text(r#"52-["a"]"#.into()), Ok(None));
    assert_eq!(decoder.binary(Bytes::from_static(&[0; 3])), Ok(None));
    assert_eq!(
        decoder.binary(Bytes::from_static(&[0; 2])),
        Err(PacketError::AttachmentsTooLarge)
    );
    assert!(!decoder.awaits_binary());
}

#[test]
fn illegal_placeholders() {
    for num in ["1", "-1", "0.5", "\"0\"", "null", "true", "1e99"] {
        let text = format!(r#"51-["a",{{"_placeholder":true,"num":{num}}}]"#);
        assert_eq!(error(&text), PacketError::IllegalPlaceholder, "{text}");
    }
    assert_eq!(
        error(r#"51-["a",[{"b":{"_placeholder":true}}]]"#),
        PacketError::IllegalPlaceholder
    );
    assert_eq!(
        error(r#"61-1[{"_placeholder":true,"num":1}]"#),
        PacketError::IllegalPlaceholder
    );
}

#[test]
fn illegal_payloads() {
    use PacketError::*;
    for (text, expected) in [
        ("0[]", ConnectPayload),
        ("0null", ConnectPayload),
        ("0\"a\"", ConnectPayload),
        ("012", ConnectPayload),
        ("0{", IllegalJson),
        ("0{}x", IllegalJson),
        ("0abc", IllegalJson),
        ("1{}", DisconnectPayload),
        ("1/ns,[]", DisconnectPayload),
        ("1 ", DisconnectPayload),
        ("2", NotAnArray),
        ("2{}", NotAnArray),
        ("2\"a\"", NotAnArray),
        ("2/ns", NotAnArray),
        ("2/ns[\"a\"]", NotAnArray),
        ("212", NotAnArray),
        ("2null", NotAnArray),
        ("3", NotAnArray),
        ("31{}", NotAnArray),
        ("2[]", IllegalEventName),
        ("2[null]", IllegalEventName),
        ("2[{}]", IllegalEventName),
        ("2[[\"a\"]]", IllegalEventName),
        ("2[true,\"a\"]", IllegalEventName),
        ("51-[ ]", IllegalEventName),
        ("2[\"a\"", IllegalJson),
        ("2[\"a\"]x", IllegalJson),
        ("2[\"a\"][\"b\"]", IllegalJson),
        ("2[\"a\",]", IllegalJson),
        ("2[\"a\u{0}\"]", IllegalJson),
        ("2{]", IllegalJson),
        ("3[]", MissingAckId),
        ("61-[]", MissingAckId),
        ("2abc[\"a\"]", IllegalAckId),
        ("2-1[\"a\"]", IllegalAckId),
        ("21.5[\"a\"]", IllegalAckId),
        ("3x[]", IllegalAckId),
        ("29007199254740992[\"a\"]", IllegalAckId),
        ("299999999999999999999999[\"a\"]", IllegalAckId),
        ("0/\u{1e}", IllegalNamespace),
        ("0/\u{9b}", IllegalNamespace),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
    let (_, id, _) = event_of(packet("29007199254740991[\"a\"]"));
    assert_eq!(id, Some(MAX_ACK_ID));
    for name in RESERVED_EVENTS {
        assert_eq!(error(&format!("2[\"{name}\"]")), ReservedEventName);
        assert_eq!(error(&format!("51-[\"{name}\"]")), ReservedEventName);
    }
    assert_eq!(error(r#"2["\u0063onnect"]"#), ReservedEventName);
}

#[test]
fn sizes_are_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(decode(&format!("2[\"a\",{}]", nested(127))).is_ok());
    assert_eq!(
        error(&format!("2[\"a\",{}]", nested(128))),
        PacketError::TooDeep
    );
    assert_eq!(error(&format!("30{}", nested(129))), PacketError::TooDeep);
    let deep = format!("0{{\"a\":{}}}", nested(128));
    assert_eq!(error(&deep), PacketError::TooDeep);
    assert_eq!(
        error(&format!("2[\"a\",{}", "[".repeat(900_000))),
        PacketError::TooDeep
    );

    let name = |len: usize| format!("0/{}?{},", "n".repeat(len), "q".repeat(500));
    assert!(decode(&name(255)).is_ok());
    assert_eq!(error(&name(256)), PacketError::NamespaceTooLong);
}

#[test]
fn the_deepest_arguments_can_be_parsed() {
    let text = format!("2[\"a\",{}{}]", "[".repeat(127), "]".repeat(127));
    let (_, _, event) = event_of(packet(&text));
    assert!(event.arguments().parse::<serde_json::Value>(0).is_ok());
}

#[test]
fn debug_shows_no_contents() {
    let shown = format!(
        "{:?} {:?}",
        packet(r#"0{"token":"secret"}"#),
        packet(r#"2["e","secret"]"#)
    );
    assert!(
        !shown.contains("secret") && shown.contains("\"e\""),
        "{shown}"
    );
}
