//! What a client sends: the payload of `chat:message`, checked.
//!
//! The payload stays raw JSON until its fields are known. Only then is each looked at, so that of a duplicated key only
//! the last counts, as in JavaScript, and fields that nobody knows may hold anything.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer as _,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{js, refusal::Refusal};
use crate::{GuildId, MessageId};

/// A message that is well formed; whether its sender may send it is the policy's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incoming<'a> {
    /// Trimmed, not empty, and within the limit.
    pub(super) text: Cow<'a, str>,
    pub(super) guild: GuildId,
    pub(super) admin_only: bool,
    /// `None`: the server is to make one.
    pub(super) id: Option<MessageId>,
    pub(super) request_bot: bool,
}

impl<'a> Incoming<'a> {
    /// Reads the event's first argument, if it has one. `max_chars` bounds the trimmed text, in Unicode scalar values.
    pub(super) fn parse(payload: Option<&'a str>, max_chars: usize) -> Result<Self, Refusal> {
        let invalid = Refusal::InvalidMessage;
        let fields = Fields::parse(payload.ok_or(invalid)?).ok_or(invalid)?;

        // Every field's type comes before any field's value.
        let text = match fields.text {
            None | Some("null") => Cow::Borrowed(""),
            Some(raw) => string(raw).ok_or(invalid)?,
        };
        let guild = fields.guild.map_or(Some(None), guild).ok_or(invalid)?;
        let id = fields.id.map_or(Some(None), id).ok_or(invalid)?;
        let admin_only = fields.admin_only.map_or(Some(false), flag).ok_or(invalid)?;
        let request_bot = fields.request_bot.map_or(Some(false), flag);
        let request_bot = request_bot.ok_or(invalid)?;

        let text = trimmed(text);
        if text.is_empty() {
            return Err(Refusal::EmptyMessage);
        }
        // No text has more characters than bytes, and most have few of either.
        if text.len() > max_chars && text.chars().nth(max_chars).is_some() {
            return Err(Refusal::MessageTooLong);
        }
        Ok(Self {
            text,
            // What is too long to be an id names no guild that anyone is in.
            guild: GuildId::parse(&guild.ok_or(Refusal::MissingGuild)?)
                .map_err(|_| Refusal::GuildForbidden)?,
            admin_only,
            id,
            request_bot,
        })
    }
}

/// Whether only the server makes such message ids: the bot's answer to `x` is `x-bot`.
pub(super) fn is_reserved(id: &str) -> bool {
    id.ends_with("-bot") || id.ends_with("-bot-error")
}

/// The known fields, as raw JSON.
#[derive(Default)]
struct Fields<'a> {
    text: Option<&'a str>,
    guild: Option<&'a str>,
    id: Option<&'a str>,
    admin_only: Option<&'a str>,
    request_bot: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// The fields of a JSON object; `None` for any other text.
    fn parse(payload: &'a str) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_str(payload);
        let fields = json.deserialize_map(FieldsVisitor).ok()?;
        json.end().ok()?;
        Some(fields)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key()? {
            let field = match name {
                Name::Text => &mut fields.text,
                Name::Guild => &mut fields.guild,
                Name::Id => &mut fields.id,
                Name::AdminOnly => &mut fields.admin_only,
                Name::RequestBot => &mut fields.request_bot,
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = Some(map.next_value::<&RawValue>()?.get());
        }
        Ok(fields)
    }
}

/// A field's name. Read as bytes, since a name that is not Unicode (a lone surrogate) is merely unknown.
enum Name {
    Text,
    Guild,
    Id,
    AdminOnly,
    RequestBot,
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<Name, E> {
                Ok(match name {
                    b"text" => Name::Text,
                    b"guildId" => Name::Guild,
                    b"messageId" => Name::Id,
                    b"adminOnly" => Name::AdminOnly,
                    b"requestBot" => Name::RequestBot,
                    _ => Name::Other,
                })
            }
        }

        deserializer.deserialize_bytes(NameVisitor)
    }
}

/// A JSON string that is Unicode (no lone surrogate) and has no NUL. Without escapes it is borrowed.
fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        // JSON has no NUL but by escape.
        return Some(Cow::Borrowed(inner));
    }
    let text: String = serde_json::from_str(raw).ok()?;
    (!text.contains('\0')).then_some(Cow::Owned(text))
}

/// A guild's name, or `Some(None)` where JavaScript sees a falsy value.
fn guild(raw: &str) -> Option<Option<Cow<'_, str>>> {
    let text = match raw.as_bytes().first()? {
        b'"' => string(raw)?,
        b'-' | b'0'..=b'9' => match js::number_text(raw) {
            Some(text) => Cow::Owned(text),
            None => return Some(None),
        },
        _ if raw == "null" => return Some(None),
        _ => return None,
    };
    Some(Some(text).filter(|text| !text.is_empty()))
}

/// A message id, or `Some(None)` for one that the server replaces.
fn id(raw: &str) -> Option<Option<MessageId>> {
    let text = string(raw)?;
    if is_reserved(&text) {
        return None;
    }
    Some(MessageId::parse(&text).ok())
}

fn flag(raw: &str) -> Option<bool> {
    match raw {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(js::trim(text)),
        Cow::Owned(text) => {
            let trimmed = js::trim(&text);
            if trimmed.len() == text.len() {
                return Cow::Owned(text);
            }
            Cow::Owned(trimmed.to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
