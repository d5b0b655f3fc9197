//! What one packet costs: decoding it, and making it once for all recipients.
//!
//! `decode` begins with the text that tungstenite hands out and ends with a checked packet; `and parse` goes on to the handler's value. `encode` is
//! serialising a payload, and the bytes of its frame for WebSockets. Both for lines of chat of 100 B, 1 KiB and 64 KiB, and for binary events of
//! two attachments of 4 KiB each. Throughput is in bytes of the packet; attachments are referred to and not copied, but for the polling form. How a
//! WebSocket's own frames are read is tungstenite's, and not here.

use std::hint::black_box;

use bytes::Bytes;
use bytestring::ByteString;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use slimy_rt::protocol::{
    AckData, EventData, Frame, Placeholder, engine,
    packet::{Decoder, Packet, PacketLimits},
};
use slimy_rt_benches::{chat, criterion, event};

/// Lengths of a line of chat.
const SIZES: [usize; 3] = [100, 1024, 64 * 1024];
const BINARY: &str = r#"52-["upload",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
const ATTACHMENT: usize = 4096;
const ACK: &str = r#"4317[{"ok":true,"ts":"2026-11-22T18:00:00.000Z"}]"#;

/// What a client sends for an event that it wants an answer to.
fn packet(event: &EventData) -> ByteString {
    format!("4217{}", event.json()).into()
}

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

    for size in SIZES {
        let text = packet(&event(size));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("text", size), |b| {
            b.iter(|| decode_text(&mut decoder, black_box(&text)))
        });
        group.bench_function(BenchmarkId::new("text and parse", size), |b| {
            b.iter(|| match decode_text(&mut decoder, black_box(&text)) {
                Packet::Event { event, .. } => event.arguments().parse::<serde_json::Value>(0),
                other => panic!("{other:?}"),
            });
        });
    }

    let ack = ByteString::from(ACK);
    group.throughput(Throughput::Bytes(ACK.len() as u64));
    group.bench_function("ack", |b| {
        b.iter(|| decode_text(&mut decoder, black_box(&ack)))
    });

    let binary = ByteString::from(BINARY);
    let attachment = Bytes::from(vec![7; ATTACHMENT]);
    group.throughput(Throughput::Bytes((BINARY.len() + 2 * ATTACHMENT) as u64));
    group.bench_function("binary", |b| {
        b.iter(|| {
            let awaited = decoder.text(black_box(&binary).clone());
            let first = decoder.binary(attachment.clone());
            let second = decoder.binary(attachment.clone());
            assert!(matches!(second, Ok(Some(_))));
            (awaited, first, second)
        });
    });

    let payload = vec![packet(&event(SIZES[0])).to_string(); 16].join("\x1e");
    let payload = ByteString::from(payload);
    group.throughput(Throughput::Bytes(payload.len() as u64));
    group.bench_function("polling payload of 16", |b| {
        b.iter(|| engine::decode_payload(black_box(&payload).clone(), 16).count());
    });
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for size in SIZES {
        let (message, text) = (chat(size), event(size));
        group.throughput(Throughput::Bytes(text.json().len() as u64));
        group.bench_function(BenchmarkId::new("serialise", size), |b| {
            b.iter(|| EventData::new("chat:message", black_box(&message)))
        });
        group.bench_function(BenchmarkId::new("frame", size), |b| {
            b.iter(|| Frame::event("/", None, black_box(&text)))
        });
    }

    let ack = AckData::new(&chat(0)).expect("it serialises");
    group.throughput(Throughput::Bytes(ack.json().len() as u64));
    group.bench_function("ack frame", |b| {
        b.iter(|| Frame::ack("/", 17, black_box(&ack)))
    });

    let attachments = vec![Bytes::from(vec![7; ATTACHMENT]); 2];
    let binary = EventData::new("upload", &[Placeholder::new(0), Placeholder::new(1)])
        .and_then(|event| event.with_attachments(attachments))
        .expect("it serialises");
    group.throughput(Throughput::Bytes(
        (binary.json().len() + 2 * ATTACHMENT) as u64,
    ));
    group.bench_function("binary frame", |b| {
        b.iter(|| Frame::event("/", None, black_box(&binary)))
    });
    group.bench_function("binary frame, polling form", |b| {
        b.iter_batched(
            || Frame::event("/", None, &binary),
            |frame| frame.polling(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = decode, encode
}
criterion_main!(benches);
