//! What holds for all packets: nothing panics, nothing grows, and encoding and decoding are each other's inverse.

use std::io::{self, Cursor, Read, Write};

use bytes::Bytes;
use bytestring::ByteString;
use proptest::{collection::vec, prelude::*};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Message, WebSocket, protocol::Role};

use super::{
    AckData, EventData, Frame, Placeholder,
    engine::{self, decode_payload, decode_text},
    packet::{Decoder, Packet, PacketLimits, RESERVED_EVENTS},
};

/// What a client reads, and a place for what it answers.
struct Wire(Cursor<Bytes>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The packets that a WebSocket client finds in `frame`.
fn over_websocket(frame: &Frame) -> Vec<engine::Packet> {
    let wire = Wire(Cursor::new(frame.websocket().clone()));
    let mut socket = WebSocket::from_raw_socket(wire, Role::Client, None);
    let mut packets = Vec::new();
    // Reading fails at the end, without a closing handshake.
    while let Ok(message) = socket.read() {
        packets.push(match message {
            Message::Text(text) => decode_text(text.as_str().into()).unwrap(),
            Message::Binary(bytes) => engine::Packet::Binary(bytes),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(socket.get_ref().0.position(), frame.len() as u64);
    packets
}

/// The packets that a polling client finds in `frame`.
fn over_polling(frame: &Frame) -> Vec<engine::Packet> {
    let body = ByteString::try_from(frame.polling()).unwrap();
    decode_payload(body, 64).map(Result::unwrap).collect()
}

/// The Socket.IO packet in `frame`, which has to be the same over both transports.
fn decode(frame: &Frame) -> Packet {
    let packets = over_websocket(frame);
    assert_eq!(packets, over_polling(frame));
    let mut decoder = Decoder::new(PacketLimits::default());
    let mut decoded = None;
    for packet in packets {
        assert!(decoded.is_none());
        decoded = match packet {
            engine::Packet::Message(text) => decoder.text(text).unwrap(),
            engine::Packet::Binary(bytes) => decoder.binary(bytes).unwrap(),
            other => panic!("{other:?}"),
        };
    }
    decoded.unwrap()
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-z]{0,4}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("reserved", |name| !RESERVED_EVENTS.contains(&name.as_str()))
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[a-zé/_-]{0,20}"]
}

fn attachments() -> impl Strategy<Value = Vec<Bytes>> {
    vec(vec(any::<u8>(), 0..300).prop_map(Bytes::from), 0..4)
}

/// Text that is close to being a packet or payload.
fn nearly_packet() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[0-6]",
        Just("4".to_owned()),
        Just("2".to_owned()),
        Just("52-".to_owned()),
        Just("61-".to_owned()),
        Just("/ns,".to_owned()),
        Just("/".to_owned()),
        Just(",".to_owned()),
        Just("?".to_owned()),
        Just("12".to_owned()),
        Just("[\"e\"".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("{}".to_owned()),
        Just(",{\"_placeholder\":true,\"num\":0}".to_owned()),
        Just("\x1e".to_owned()),
        Just("b".to_owned()),
        Just("AQID".to_owned()),
        Just("\"connect\"".to_owned()),
        Just("é".to_owned()),
        any::<String>(),
    ];
    vec(part, 0..10).prop_map(|parts| parts.concat())
}

/// A valid packet with one character replaced.
fn mutated_packet() -> impl Strategy<Value = String> {
    let valid = prop_oneof![
        Just(r#"42["message",1,"2",{"3":[true]}]"#),
        Just(r#"452-/ns,789["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#),
        Just(r#"461-1[{"_placeholder":true,"num":0}]"#),
        Just(r#"40/custom,{"token":"abc"}"#),
    ];
    (valid, any::<prop::sample::Index>(), any::<char>()).prop_map(|(valid, at, with)| {
        let mut chars: Vec<_> = valid.chars().collect();
        let at = at.index(chars.len());
        chars[at] = with;
        chars.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn decoders_never_panic_and_nothing_grows(
        texts in vec(prop_oneof![nearly_packet(), mutated_packet(), any::<String>()], 1..4),
        attachment in vec(any::<u8>(), 0..20),
    ) {
        let mut decoder = Decoder::new(PacketLimits::default());
        for text in texts {
            let held: usize = decode_payload(text.as_str().into(), 8).map(|packet| match packet {
                Ok(engine::Packet::Message(data) | engine::Packet::Open(data)) => data.len(),
                Ok(engine::Packet::Binary(data)) => data.len(),
                _ => 0,
            }).sum();
            prop_assert!(held <= text.len());
            prop_assert!(decode_payload(text.as_str().into(), 8).count() <= 9);

            let packet = text.strip_prefix('4').unwrap_or(&text);
            for decoded in [decoder.text(packet.into()), decoder.binary(attachment.clone().into())] {
                if let Ok(Some(Packet::Event { event, .. })) = decoded {
                    let arguments = event.arguments();
                    prop_assert!(arguments.args_json().len() <= text.len());
                    prop_assert!(event.name().len() <= text.len());
                    prop_assert!(arguments.iter().map(str::len).sum::<usize>() <= arguments.elements_json().len());
                    let sent_on = EventData::from_parts(
                        arguments.args_json().clone(),
                        arguments.attachments().to_vec(),
                    );
                    prop_assert!(sent_on.is_ok());
                }
            }
        }
    }

    #[test]
    fn bodies_of_any_bytes_are_text_or_refused(bytes in vec(any::<u8>(), 0..64)) {
        if let Ok(body) = ByteString::try_from(bytes) {
            decode_payload(body, 8).for_each(drop);
        }
    }

    #[test]
    fn events_come_back_as_they_were(
        name in name(),
        namespace in namespace(),
        id in proptest::option::of(0..1_u64 << 53),
        values in vec(value(), 0..4),
        attachments in attachments(),
    ) {
        let mut sent = EventData::empty(&name).unwrap();
        for value in &values {
            sent = sent.arg(value).unwrap();
        }
        for index in 0..attachments.len() {
            sent = sent.arg(&Placeholder::new(index)).unwrap();
        }
        let sent = sent.with_attachments(attachments.clone()).unwrap();
        let decoded = decode(&Frame::event(&namespace, id, &sent));
        let Packet::Event { namespace: at, id: asked, event } = decoded else {
            panic!("{decoded:?}");
        };
        prop_assert_eq!((&*at, asked, event.name()), (&*namespace, id, &*name));
        let arguments = event.arguments();
        for (index, value) in values.iter().enumerate() {
            prop_assert_eq!(&arguments.parse::<Value>(index).unwrap(), value);
        }
        for (index, attachment) in attachments.iter().enumerate() {
            prop_assert_eq!(arguments.binary(values.len() + index), Some(attachment));
        }
        prop_assert_eq!(arguments.iter().count(), values.len() + attachments.len());

        // Sent on, under its own name and another.
        let echo = EventData::from_arguments("echo", arguments).unwrap();
        prop_assert_eq!(echo.name(), "echo");
        let Packet::Event { event: echoed, .. } = decode(&Frame::event("/", None, &echo)) else {
            panic!("no event");
        };
        prop_assert_eq!(echoed.arguments().elements_json(), arguments.elements_json());
        prop_assert_eq!(echoed.arguments().attachments(), arguments.attachments());
        prop_assert_eq!(EventData::from(event), sent);
    }

    #[test]
    fn acks_come_back_as_they_were(
        namespace in namespace(),
        id in 0..1_u64 << 53,
        values in vec(value(), 0..4),
        attachments in attachments(),
    ) {
        let mut sent = AckData::empty();
        for value in &values {
            sent = sent.arg(value).unwrap();
        }
        let sent = sent.with_attachments(attachments.clone()).unwrap();
        let decoded = decode(&Frame::ack(&namespace, id, &sent));
        let Packet::Ack { namespace: at, id: answered, arguments } = decoded else {
            panic!("{decoded:?}");
        };
        prop_assert_eq!((&*at, answered), (&*namespace, id));
        for (index, value) in values.iter().enumerate() {
            prop_assert_eq!(&arguments.parse::<Value>(index).unwrap(), value);
        }
        prop_assert_eq!(arguments.attachments(), &attachments[..]);
        prop_assert_eq!(AckData::from_arguments(&arguments), sent);
    }

    #[test]
    fn an_offset_is_the_last_argument(name in name(), values in vec(value(), 0..3), offset in any::<String>()) {
        let mut sent = EventData::empty(&name).unwrap();
        for value in &values {
            sent = sent.arg(value).unwrap();
        }
        let Packet::Event { event, .. } = decode(&Frame::event_with_offset("/", &sent, &offset)) else {
            panic!("no event");
        };
        prop_assert_eq!(event.arguments().parse::<String>(values.len()).unwrap(), offset);
    }

    #[test]
    fn raw_messages_come_back_as_they_were(text in "[^\x1e]*", bytes in vec(any::<u8>(), 0..70_000)) {
        for (frame, packet) in [
            (Frame::message(&text), engine::Packet::Message(text.as_str().into())),
            (Frame::binary(&bytes), engine::Packet::Binary(bytes.clone().into())),
        ] {
            prop_assert_eq!(over_websocket(&frame), [packet.clone()]);
            prop_assert_eq!(over_polling(&frame), [packet]);
        }
    }
}
