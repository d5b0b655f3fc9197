//! Socket.IO packets of one client: never more than its limits, and what is read can be sent on and reads the same.
//!
//! The input is a polling payload, so that text and base64 attachments come in any order.
#![no_main]

use std::time::{Duration, Instant};

use bytes::Bytes;
use bytestring::ByteString;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use slimy_rt::protocol::{
    AckData, EventData, Frame,
    client::{Client, ClientLimits, Input},
    engine::{self, decode_payload},
    packet::{Arguments, Decoder, MAX_ACK_ID, Packet, PacketLimits, RESERVED_EVENTS},
};

const SMALL: PacketLimits = PacketLimits {
    max_attachments: 3,
    max_attachment_bytes: 64,
    max_depth: 5,
    max_namespace_len: 12,
};
const MAX_NAMESPACES: usize = 3;

fuzz_target!(|payload: &str| {
    for limits in [SMALL, PacketLimits::default()] {
        converse(payload, limits);
    }
});

fn converse(payload: &str, limits: PacketLimits) {
    let limits = ClientLimits {
        packet: limits,
        max_namespaces: MAX_NAMESPACES,
        packet_rate: None,
        connect_timeout: Duration::from_secs(45),
    };
    let mut client = Client::new(limits, Instant::now());
    let mut joined: Vec<ByteString> = Vec::new();
    for message in decode_payload(payload.into(), 64) {
        let input = match message {
            Ok(engine::Packet::Message(text)) => client.text(text),
            Ok(engine::Packet::Binary(bytes)) => client.binary(bytes),
            Ok(_) => continue,
            Err(_) => break,
        };
        let Ok(input) = input else { break };
        match input {
            None => {}
            Some(Input::Connect { namespace, auth }) => {
                check_namespace(&namespace, &limits.packet);
                assert!(!joined.contains(&namespace));
                if let Some(auth) = auth {
                    assert!(auth.starts_with('{'));
                    parse(&auth);
                }
                client.joined(&namespace);
                assert!(client.has_connected());
                joined.push(namespace);
                assert!(joined.len() <= MAX_NAMESPACES);
            }
            Some(Input::Packet(packet)) => {
                assert!(joined.contains(packet.namespace()));
                check(&packet, &limits.packet);
                if let Packet::Disconnect { namespace } = &packet {
                    client.left(namespace);
                    joined.retain(|name| name != namespace);
                }
            }
        }
    }
}

fn check_namespace(namespace: &str, limits: &PacketLimits) {
    assert!(namespace.starts_with('/'));
    assert!(namespace.len() <= limits.max_namespace_len);
    assert!(!namespace.contains(|c: char| c.is_control() || c == ','));
}

fn check(packet: &Packet, limits: &PacketLimits) {
    check_namespace(packet.namespace(), limits);
    match packet {
        Packet::Connect { .. } => panic!("a client's CONNECT is an input of its own"),
        Packet::Disconnect { namespace } => {
            assert_eq!(read_again(&Frame::disconnect(namespace)), *packet);
        }
        Packet::Event {
            namespace,
            id,
            event,
        } => {
            assert!(id.is_none_or(|id| id <= MAX_ACK_ID));
            assert!(!RESERVED_EVENTS.contains(&event.name()));
            check_arguments(event.arguments(), 1, limits);
            let data = EventData::from(event.clone());
            assert_eq!(read_again(&Frame::event(namespace, *id, &data)), *packet);
            let renamed =
                EventData::from_arguments("other", event.arguments()).expect("a free name");
            let Packet::Event { event: other, .. } =
                read_again(&Frame::event(namespace, *id, &renamed))
            else {
                panic!("an event became something else");
            };
            assert_eq!(other.name(), "other");
            assert!(other.arguments().iter().eq(event.arguments().iter()));
            assert_eq!(
                other.arguments().attachments(),
                event.arguments().attachments()
            );
        }
        Packet::Ack {
            namespace,
            id,
            arguments,
        } => {
            assert!(*id <= MAX_ACK_ID);
            check_arguments(arguments, 0, limits);
            let ack = AckData::from_arguments(arguments);
            let Packet::Ack {
                id: other_id,
                arguments: other,
                ..
            } = read_again(&Frame::ack(namespace, *id, &ack))
            else {
                panic!("an ack became something else");
            };
            assert_eq!(other_id, *id);
            assert!(other.iter().eq(arguments.iter()));
            assert_eq!(other.attachments(), arguments.attachments());
        }
    }
}

/// The arguments are those that serde_json finds behind the first `skipped` elements.
fn check_arguments(arguments: &Arguments, skipped: usize, limits: &PacketLimits) {
    let attachments = arguments.attachments();
    assert!(attachments.len() <= limits.max_attachments);
    assert!(attachments.iter().map(Bytes::len).sum::<usize>() <= limits.max_attachment_bytes);
    let elements: Vec<&RawValue> = serde_json::from_str(arguments.args_json()).expect("an array");
    let expected = elements.iter().skip(skipped).map(|raw| raw.get());
    assert!(arguments.iter().eq(expected));
    for index in 0..=elements.len() {
        if let Some(attachment) = arguments.binary(index) {
            assert!(attachments.contains(attachment));
        }
    }
}

fn parse(text: &str) {
    serde_json::from_str::<serde::de::IgnoredAny>(text).expect("what was accepted is JSON");
}

/// What a peer reads of a frame, over polling.
fn read_again(frame: &Frame) -> Packet {
    let payload = ByteString::try_from(frame.polling()).expect("a polling payload is text");
    let mut decoder = Decoder::new(PacketLimits::default());
    for message in decode_payload(payload, 64) {
        let packet = match message.expect("the server's own payload") {
            engine::Packet::Message(text) => decoder.text(text),
            engine::Packet::Binary(bytes) => decoder.binary(bytes),
            other => panic!("{other:?} from the server"),
        };
        if let Some(packet) = packet.expect("the server's own packet") {
            return packet;
        }
    }
    panic!("an incomplete packet from the server");
}
