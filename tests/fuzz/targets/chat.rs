//! The payload of `chat:message`: what is accepted keeps every promise of its fields.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use slimy_rt::{GuildId, MessageId, fuzzing::parse_message};

const MAX_CHARS: usize = 40;

fuzz_target!(|payload: &str| {
    let read = parse_message(payload, MAX_CHARS);
    let value = serde_json::from_str::<Value>(payload);
    let Ok((text, guild, admin_only, id, bot)) = read else {
        return;
    };
    assert!(!text.is_empty() && text.chars().count() <= MAX_CHARS);
    assert!(!text.contains('\0'));
    assert!(!text.starts_with([' ', '\n', '\u{feff}']) && !text.ends_with([' ', '\n', '\u{feff}']));
    assert_eq!(GuildId::parse(&guild).expect("an id").as_str(), guild);
    if let Some(id) = &id {
        assert_eq!(MessageId::parse(id).expect("an id").as_str(), id);
        assert!(!id.ends_with("-bot") && !id.ends_with("-bot-error"));
    }
    // Where serde_json can hold the payload, it sees the same; like JavaScript it keeps the last of two keys.
    let Ok(Value::Object(fields)) = value else {
        return;
    };
    assert!(fields["text"].as_str().expect("text").contains(&text));
    assert_eq!(
        admin_only,
        fields.get("adminOnly").is_some_and(|flag| *flag == true)
    );
    assert_eq!(
        bot,
        fields.get("requestBot").is_some_and(|flag| *flag == true)
    );
    if let Some(name) = fields["guildId"].as_str() {
        assert_eq!(guild, name);
    }
    if let Some(id) = id {
        assert_eq!(fields["messageId"], id.as_str());
    }
});
