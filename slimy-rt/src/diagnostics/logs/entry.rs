//! One event of the log, as clients get it.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use tracing::Level;

use crate::time::timestamp;

/// The most fields that an entry keeps; further ones are left out.
pub const MAX_FIELDS: usize = 32;
/// The most bytes that a message, or one field, keeps; the rest is cut off.
pub const MAX_TEXT_BYTES: usize = 4096;

/// What an entry takes beside its texts, roughly.
const OVERHEAD: usize = 160;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

/// An event.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(serialize_with = "as_timestamp")]
    pub(super) ts: u64,
    #[serde(serialize_with = "as_word")]
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) message: Box<str>,
    pub(super) fields: Fields,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<Box<str>>,
}

impl Entry {
    /// How many bytes it keeps, roughly.
    pub(super) fn bytes(&self) -> usize {
        let fields = self.fields.0.iter();
        let fields: usize = fields.map(|(name, value)| name.len() + size(value)).sum();
        let ids = [&self.request_id, &self.user_id];
        let ids: usize = ids.into_iter().flatten().map(|id| id.len()).sum();
        OVERHEAD + self.message.len() + fields + ids
    }
}

impl Fields {
    /// Adds a field unless there are too many. A name that is there already keeps the value of the innermost.
    pub(super) fn insert(&mut self, name: &'static str, value: Value) {
        if self.0.len() < MAX_FIELDS && self.0.iter().all(|(known, _)| *known != name) {
            self.0.push((name, value));
        }
    }

    pub(super) fn extend(&mut self, others: &Self) {
        for (name, value) in &others.0 {
            self.insert(name, value.clone());
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<Box<str>> {
        let (_, value) = self.0.iter().find(|(known, _)| *known == name)?;
        Some(match value {
            Value::String(text) => text.as_str().into(),
            other => other.to_string().into(),
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(&'static str, Value)> {
        self.0.iter()
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// At most so many bytes of a text, with a sign where it was cut.
pub(super) fn shortened(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        let end = text.floor_char_boundary(MAX_TEXT_BYTES - '…'.len_utf8());
        text.truncate(end);
        text.push('…');
    }
    text
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        _ => 8,
    }
}

fn as_timestamp<S: Serializer>(unix_ms: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp(*unix_ms))
}

fn as_word<S: Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word(*level))
}

pub(super) fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}
