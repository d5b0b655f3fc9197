//! What one packet costs: decoding it, and framing it once for all recipients.

use std::hint::black_box;

use bytes::Bytes;
use bytestring::ByteString;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use slimy_rt::protocol::{
    EventData, Frame, Placeholder, engine,
    packet::{Decoder, Packet, PacketLimits},
};

const CHAT: &str = r#"42["chat:message",{"messageId":"1f6a0c1e-7a0d-4f4e-9d0b-2d1f7f3b9a11","guildId":"1176605506912141444","adminOnly":false,"text":"hello there, this is an ordinary line of chat"}]"#;
const BINARY: &str =
    r#"452-["upload",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
const ATTACHMENT: usize = 4096;

/// One text message, from the WebSocket's text to a packet.
fn decode_text(decoder: &mut Decoder, text: &ByteString) -> Packet {
    match engine::decode_text(text.clone()) {
        Ok(engine::Packet::Message(text)) => match decoder.text(text) {
            Ok(Some(packet)) => packet,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let mut decoder = Decoder::new(PacketLimits::default());

    let chat = ByteString::from(CHAT);
    group.throughput(Throughput::Bytes(CHAT.len() as u64));
    group.bench_function("text", |b| {
        b.iter(|| decode_text(&mut decoder, black_box(&chat)))
    });
    group.bench_function("text and parse", |b| {
        b.iter(|| match decode_text(&mut decoder, black_box(&chat)) {
            Packet::Event { event, .. } => event.arguments().parse::<serde_json::Value>(0),
            other => panic!("{other:?}"),
        });
    });

    let binary = ByteString::from(&BINARY[1..]);
    let attachment = Bytes::from(vec![7; ATTACHMENT]);
    group.throughput(Throughput::Bytes((BINARY.len() + 2 * ATTACHMENT) as u64));
    group.bench_function("binary", |b| {
        b.iter(|| {
            let awaited = decoder.text(black_box(&binary).clone());
            let first = decoder.binary(attachment.clone());
            (awaited, first, decoder.binary(attachment.clone()))
        });
    });

    let payload = ByteString::from([CHAT; 16].join("\x1e"));
    group.throughput(Throughput::Bytes(payload.len() as u64));
    group.bench_function("payload of 16", |b| {
        b.iter(|| engine::decode_payload(black_box(&payload).clone(), 16).count());
    });
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let message = json!({
        "messageId": "1f6a0c1e-7a0d-4f4e-9d0b-2d1f7f3b9a11", "guildId": "1176605506912141444", "adminOnly": false,
        "text": "hello there, this is an ordinary line of chat", "ts": "2026-11-22T18:00:00.000Z",
        "from": {"id": "u1", "name": "Alice", "role": "member", "color": "#3b82f6"},
    });
    let text = EventData::new("chat:message", &message).expect("it serialises");
    group.bench_function("text: serialise", |b| {
        b.iter(|| EventData::new("chat:message", black_box(&message)))
    });
    group.bench_function("text: frame", |b| {
        b.iter(|| Frame::event("/", None, black_box(&text)))
    });

    let attachments = vec![Bytes::from(vec![7; ATTACHMENT]); 2];
    let binary = EventData::new("upload", &[Placeholder::new(0), Placeholder::new(1)])
        .and_then(|event| event.with_attachments(attachments))
        .expect("it serialises");
    group.throughput(Throughput::Bytes(2 * ATTACHMENT as u64));
    group.bench_function("binary: frame", |b| {
        b.iter(|| Frame::event("/", None, black_box(&binary)))
    });
    group.bench_function("binary: polling form", |b| {
        b.iter_batched(
            || Frame::event("/", None, &binary),
            |frame| frame.polling(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
