//! The validator of JSON accepts what serde_json accepts, up to its depth, and slices it at the same places.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use slimy_rt::protocol::{
    EventData, Frame,
    packet::{Decoder, Packet, PacketLimits},
};

const MAX_DEPTH: usize = 128;

fuzz_target!(|text: &str| {
    // Neither checks what escapes mean, and numbers may be of any size.
    let theirs = serde_json::from_str::<IgnoredAny>(text);
    let ours = EventData::raw("e", &[text]);
    match (&ours, &theirs) {
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => panic!("accepted, but serde_json says: {error}"),
        (Err(error), Ok(_)) => assert!(depth(text) > MAX_DEPTH, "refused: {error}"),
    }
    let Ok(event) = ours else { return };
    assert!(depth(text) <= MAX_DEPTH);

    // An argument between two others, read back.
    let sent = EventData::raw("e", &["1", text, "{\"a\":[]}"]).expect("its parts are valid");
    let frame = Frame::event("/", None, &sent);
    let packet = String::from_utf8(frame.polling()[1..].to_vec()).expect("text");
    let mut decoder = Decoder::new(PacketLimits::default());
    match decoder.text(packet.into()) {
        Ok(Some(Packet::Event { event, .. })) => {
            let arguments: Vec<_> = event.arguments().iter().collect();
            let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
            assert_eq!(arguments, ["1", trimmed, "{\"a\":[]}"]);
        }
        Ok(other) => panic!("{other:?}"),
        // The array around it is one level more.
        Err(error) => assert_eq!(depth(text), MAX_DEPTH, "{error}"),
    }

    // Parsing an argument agrees too, where serde_json can hold the value.
    if depth(text) < 100
        && let Ok(value) = serde_json::from_str::<serde_json::Value>(text)
    {
        let raw: Vec<&RawValue> = serde_json::from_str(event.json()).expect("an array");
        let again: serde_json::Value = serde_json::from_str(raw[1].get()).expect("a value");
        assert_eq!(value, again);
    }
});

/// How deeply brackets nest outside of strings.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            b'[' | b'{' if !string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
