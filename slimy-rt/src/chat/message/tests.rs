//! Every rule of the payload, and a simple model of them all.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::MAX_ID_BYTES;

const MAX: usize = 4_000;

fn parse(payload: &str) -> Result<Incoming<'_>, Refusal> {
    Incoming::parse(Some(payload), MAX)
}

#[test]
fn refusals_in_their_order() {
    use Refusal::*;
    let long = format!(r#"{{"text":"{}"}}"#, "a".repeat(MAX + 1));
    let long_guild = format!(
        r#"{{"text":"x","guildId":"{}"}}"#,
        "1".repeat(MAX_ID_BYTES + 1)
    );
    let long_number = format!(
        r#"{{"text":"x","guildId":{}}}"#,
        "1".repeat(MAX_ID_BYTES + 1)
    );
    let table: &[(&str, Refusal)] = &[
        ("", InvalidMessage),
        ("null", InvalidMessage),
        ("7", InvalidMessage),
        (r#""hello""#, InvalidMessage),
        (r#"[{"text":"x","guildId":"1"}]"#, InvalidMessage),
        (r#"{"text":"x","guildId":"1"} x"#, InvalidMessage),
        (r#"{"text":"x","guildId":"1""#, InvalidMessage),
        (r#"{"text":1}"#, InvalidMessage),
        (r#"{"text":false}"#, InvalidMessage),
        (r#"{"text":{}}"#, InvalidMessage),
        (r#"{"text":["x"]}"#, InvalidMessage),
        (r#"{"text":"","guildId":[1]}"#, InvalidMessage),
        (r#"{"text":"","guildId":{}}"#, InvalidMessage),
        (r#"{"text":"","guildId":true}"#, InvalidMessage),
        (r#"{"text":"","guildId":false}"#, InvalidMessage),
        (r#"{"text":"","messageId":null}"#, InvalidMessage),
        (r#"{"text":"","messageId":1}"#, InvalidMessage),
        (r#"{"text":"","messageId":{}}"#, InvalidMessage),
        (r#"{"text":"","messageId":"m-bot"}"#, InvalidMessage),
        (r#"{"text":"","messageId":"-bot"}"#, InvalidMessage),
        (r#"{"text":"","messageId":"m-bot-error"}"#, InvalidMessage),
        (r#"{"text":"","messageId":"ü \u002dbot"}"#, InvalidMessage),
        (r#"{"text":"","adminOnly":null}"#, InvalidMessage),
        (r#"{"text":"","adminOnly":"true"}"#, InvalidMessage),
        (r#"{"text":"","adminOnly":0}"#, InvalidMessage),
        (r#"{"text":"","requestBot":null}"#, InvalidMessage),
        (r#"{"text":"","requestBot":[]}"#, InvalidMessage),
        (r#"{"text":"a\u0000b"}"#, InvalidMessage),
        (r#"{"text":"","guildId":"1\u0000"}"#, InvalidMessage),
        (r#"{"text":"","messageId":"m\u0000"}"#, InvalidMessage),
        (r#"{"text":"a\ud83d"}"#, InvalidMessage),
        (r#"{"text":"\ude00a"}"#, InvalidMessage),
        (r#"{"text":"\ude00\ud83d"}"#, InvalidMessage),
        (r#"{"text":"","guildId":"\ud800"}"#, InvalidMessage),
        (r#"{"text":"","messageId":"\udfff"}"#, InvalidMessage),
        (&long_guild, GuildForbidden),
        (&long_number, GuildForbidden),
        // Of a key that is there twice, the last counts.
        (r#"{"text":"x","guildId":"1","text":1}"#, InvalidMessage),
        (
            r#"{"text":"x","guildId":"1","te\u0078t":1}"#,
            InvalidMessage,
        ),
        ("{}", EmptyMessage),
        (r#"{"text":null}"#, EmptyMessage),
        (r#"{"text":"","adminOnly":true}"#, EmptyMessage),
        (r#"{"text":" \t\r\n\u00a0\ufeff  "}"#, EmptyMessage),
        (&long, MessageTooLong),
        (r#"{"text":"x"}"#, MissingGuild),
        (r#"{"text":"x","guildId":null}"#, MissingGuild),
        (r#"{"text":"x","guildId":""}"#, MissingGuild),
        (r#"{"text":"x","guildId":0}"#, MissingGuild),
        (r#"{"text":"x","guildId":-0}"#, MissingGuild),
        (r#"{"text":"x","guildId":0.0}"#, MissingGuild),
        (r#"{"text":"x","guildId":0e9}"#, MissingGuild),
    ];
    for (payload, refusal) in table {
        assert_eq!(parse(payload), Err(*refusal), "{payload:.80}");
    }
    assert_eq!(Incoming::parse(None, MAX), Err(InvalidMessage));
}

#[test]
fn guilds_are_text_or_numbers() {
    let table = [
        (r#""1176605506912141444""#, "1176605506912141444"),
        ("1176605506912141444", "1176605506912141444"),
        ("99999999999999999999", "99999999999999999999"),
        ("-7", "-7"),
        ("1.50", "1.5"),
        ("1e3", "1000"),
        (r#""0""#, "0"),
        (r#"" 1 ""#, " 1 "),
        (r#""\ud83d\ude00""#, "😀"),
    ];
    for (raw, guild) in table {
        let payload = format!(r#"{{"guildId": {raw} ,"text":"x"}}"#);
        assert_eq!(parse(&payload).unwrap().guild.as_str(), guild);
    }
}

#[test]
fn texts_are_trimmed_and_their_characters_counted() {
    let table = [
        (
            " \\n hello  world \\t".to_owned(),
            "hello  world".to_owned(),
        ),
        ("\u{feff}\u{85}a\u{2028}".to_owned(), "\u{85}a".to_owned()),
        ("\\ud83d\\ude00".to_owned(), "😀".to_owned()),
        ("😀".repeat(MAX), "😀".repeat(MAX)),
        (format!("\\u0020{}\\n", "é".repeat(MAX)), "é".repeat(MAX)),
    ];
    for (sent, text) in table {
        let payload = format!(r#"{{"text":"{sent}","guildId":1}}"#);
        assert_eq!(parse(&payload).unwrap().text, text);
    }
    let payload = format!(r#"{{"text":"{}","guildId":1}}"#, "é".repeat(MAX + 1));
    assert_eq!(parse(&payload), Err(Refusal::MessageTooLong));
    // Nothing is copied that needs no change.
    let plain = parse(r#"{"text":" hello ","guildId":"1"}"#).unwrap();
    assert!(matches!(plain.text, Cow::Borrowed("hello")));
}

#[test]
fn message_ids_are_kept_or_replaced() {
    let longest = "x".repeat(64);
    for kept in [
        "m",
        "A-z_0.9:",
        "bot",
        "m-bot2",
        "m-bot-errors",
        "-bot-x",
        &longest,
    ] {
        let payload = json!({"text": "x", "guildId": 1, "messageId": kept}).to_string();
        assert_eq!(parse(&payload).unwrap().id.unwrap().as_str(), kept);
    }
    let too_long = "x".repeat(65);
    for replaced in ["", "a b", "a/b", "ü", "a\nb", "<i>", "😀", &too_long] {
        let payload = json!({"text": "x", "guildId": 1, "messageId": replaced}).to_string();
        assert_eq!(parse(&payload).unwrap().id, None, "{replaced:?}");
    }
    assert_eq!(parse(r#"{"text":"x","guildId":1}"#).unwrap().id, None);
}

#[test]
fn unknown_fields_may_hold_anything_and_the_last_of_a_name_counts() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let payload = format!(
        r#"{{"text":1,"guildId":[],"adminOnly":null,"x":{deep},"\ud800":"\udfff","n":1e999,"from":{{"text":2}},
            "text":"x","guildId":5,"adminOnly":true,"requestBot":true,"messageId":"\u006d"}}"#
    );
    let incoming = parse(&payload).unwrap();
    assert_eq!((&*incoming.text, incoming.guild.as_str()), ("x", "5"));
    assert!(incoming.admin_only && incoming.request_bot);
    assert_eq!(incoming.id.unwrap().as_str(), "m");
}

/// The rules once more, over a parsed tree.
fn model(
    payload: &Value,
    max: usize,
) -> Result<(String, String, bool, Option<String>, bool), Refusal> {
    let invalid = Refusal::InvalidMessage;
    let Value::Object(fields) = payload else {
        return Err(invalid);
    };
    let clean = |text: &str| {
        (!text.contains('\0'))
            .then(|| text.to_owned())
            .ok_or(invalid)
    };
    let text = match fields.get("text") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => clean(text)?,
        Some(_) => return Err(invalid),
    };
    let guild = match fields.get("guildId") {
        None | Some(Value::Null) => String::new(),
        Some(Value::Number(number)) if number.as_f64() == Some(0.0) => String::new(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(guild)) if guild.len() <= MAX_ID_BYTES => clean(guild)?,
        Some(_) => return Err(invalid),
    };
    let id = match fields.get("messageId") {
        None => None,
        Some(Value::String(id)) => Some(clean(id)?),
        Some(_) => return Err(invalid),
    };
    if id
        .as_deref()
        .is_some_and(|id| id.ends_with("-bot") || id.ends_with("-bot-error"))
    {
        return Err(invalid);
    }
    let flag = |name| match fields.get(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(invalid),
    };
    let (admin_only, request_bot) = (flag("adminOnly")?, flag("requestBot")?);
    let text = js::trim(&text).to_owned();
    if text.is_empty() {
        return Err(Refusal::EmptyMessage);
    }
    if text.chars().count() > max {
        return Err(Refusal::MessageTooLong);
    }
    if guild.is_empty() {
        return Err(Refusal::MissingGuild);
    }
    let id = id.filter(|id| MessageId::parse(id).is_ok());
    Ok((text, guild, admin_only, id, request_bot))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \\ta-z\"\\\\é😀\u{feff}\u{85}]{0,12}",
        "[a-z]{1,4}(-bot|-bot-error)?",
        Just("a\0b".to_owned()),
        Just(String::new()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => text().prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        2 => any::<u64>().prop_map(Value::from),
        1 => Just(Value::from(0)),
        2 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => prop::collection::vec(any::<bool>(), 0..3).prop_map(Value::from),
        1 => text().prop_map(|text| json!({"text": text})),
    ]
}

fn field() -> impl Strategy<Value = (String, Value)> {
    let flag = any::<bool>().prop_map(Value::from);
    let string = || text().prop_map(Value::from);
    prop_oneof![
        4 => (Just("text".to_owned()), string()),
        4 => (Just("guildId".to_owned()), string()),
        2 => (Just("messageId".to_owned()), string()),
        2 => (prop::sample::select(vec!["adminOnly".to_owned(), "requestBot".to_owned()]), flag),
        1 => (prop::sample::select(vec!["text", "guildId", "messageId", "adminOnly", "x"]), value())
            .prop_map(|(name, value)| (name.to_owned(), value)),
    ]
}

proptest! {
    #[test]
    fn agrees_with_the_model(fields in prop::collection::vec(field(), 0..8)) {
        // Written by hand, so that names can come twice.
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{:?}:{value}", name)).collect();
        let payload = format!("{{{}}}", fields.join(","));
        let parsed = Incoming::parse(Some(&payload), 8).map(|m| {
            let id = m.id.map(|id| id.as_str().to_owned());
            (m.text.into_owned(), m.guild.as_str().to_owned(), m.admin_only, id, m.request_bot)
        });
        prop_assert_eq!(parsed, model(&serde_json::from_str(&payload).unwrap(), 8), "{}", payload);
    }

    #[test]
    fn never_panics(payload in any::<String>(), max in 0..10_usize) {
        let _ = Incoming::parse(Some(&payload), max);
    }

    #[test]
    fn never_panics_on_what_is_nearly_json(payload in r#"[{}\[\]",:\\0-9eE+\-.ud8a-ftrn ]{0,40}"#) {
        let _ = Incoming::parse(Some(&payload), 8);
        let _ = Incoming::parse(Some(&format!(r#"{{"text":{payload},"guildId":{payload}}}"#)), 8);
    }
}
