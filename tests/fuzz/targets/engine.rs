//! Engine.IO packets and polling payloads: what decodes is bounded, and encodes to what decodes the same.
#![no_main]

use bytestring::ByteString;
use libfuzzer_sys::fuzz_target;
use slimy_rt::protocol::{
    Frame,
    engine::{DecodeError, Packet, SEPARATOR, decode_payload, decode_text},
};

const MAX_PACKETS: usize = 8;

fuzz_target!(|body: &str| {
    let body = ByteString::from(body);
    let packets: Vec<_> = decode_payload(body.clone(), MAX_PACKETS).collect();
    assert!(!packets.is_empty() && packets.len() <= MAX_PACKETS + 1);
    let parts: Vec<&str> = body.split(char::from(SEPARATOR)).collect();

    for (index, packet) in packets.iter().enumerate() {
        match packet {
            Ok(packet) => {
                assert_eq!(Ok(packet), decode_text(parts[index].into()).as_ref());
                encoded_again(packet);
            }
            Err(error) => {
                assert_eq!(index + 1, packets.len(), "something follows an error");
                if *error == DecodeError::TooManyPackets {
                    assert_eq!(index, MAX_PACKETS);
                } else {
                    assert_eq!(Err(*error), decode_text(parts[index].into()));
                }
            }
        }
    }
    if packets.iter().all(Result::is_ok) {
        assert_eq!(packets.len(), parts.len());
        let held: usize = packets.iter().flatten().map(held).sum();
        assert!(held <= body.len());
    }
});

fn held(packet: &Packet) -> usize {
    match packet {
        Packet::Open(text) | Packet::Message(text) => text.len(),
        Packet::Binary(bytes) => bytes.len(),
        _ => 0,
    }
}

fn encoded_again(packet: &Packet) {
    let frame = match packet {
        Packet::Message(text) => Frame::message(text),
        Packet::Binary(bytes) => Frame::binary(bytes),
        Packet::Close => Frame::close(),
        Packet::Ping => Frame::ping(),
        Packet::PongProbe => Frame::pong_probe(),
        Packet::Noop => Frame::noop(),
        // Only clients send these, and the handshake is made of its parts.
        Packet::Open(_) | Packet::PingProbe | Packet::Pong | Packet::Upgrade => return,
    };
    let polling = ByteString::try_from(frame.polling()).expect("a polling payload is text");
    assert_eq!(Ok(packet), decode_text(polling).as_ref());
}
