//! Why a message is not accepted, and the acknowledgements' shapes.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::MessageId;

/// Why a message is not accepted, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    InvalidMessage,
    EmptyMessage,
    MessageTooLong,
    MissingGuild,
    GuildForbidden,
    AdminOnly,
    DuplicateId,
    RateLimited { retry_after: Duration },
    ServerError,
}

impl Refusal {
    /// The text for people.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::InvalidMessage => "Invalid message.",
            Self::EmptyMessage => "Message cannot be empty.",
            Self::MessageTooLong => "Message is too long.",
            Self::MissingGuild => "Missing guild.",
            Self::GuildForbidden => "You do not have access to this guild.",
            Self::AdminOnly => "Only admins can send admin-only messages.",
            Self::DuplicateId => "That message id is taken.",
            Self::RateLimited { .. } => "You are sending messages too quickly.",
            Self::ServerError => "server_error",
        }
    }

    /// The word for programs.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::InvalidMessage => "invalid_message",
            Self::EmptyMessage => "empty_message",
            Self::MessageTooLong => "message_too_long",
            Self::MissingGuild => "missing_guild",
            Self::GuildForbidden => "guild_forbidden",
            Self::AdminOnly => "admin_only",
            Self::DuplicateId => "duplicate_id",
            Self::RateLimited { .. } => "rate_limited",
            Self::ServerError => "server_error",
        }
    }
}

/// The acknowledgement: `{"error","code"}`, and `retryAfterMs` when waiting helps.
impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut ack = serializer.serialize_struct("Refusal", 3)?;
        ack.serialize_field("error", self.text())?;
        ack.serialize_field("code", self.code())?;
        if let Self::RateLimited { retry_after } = self {
            // Rounded up: whoever waits that long is not refused again for a fraction.
            let millis = retry_after.as_nanos().div_ceil(1_000_000);
            ack.serialize_field("retryAfterMs", &u64::try_from(millis).unwrap_or(u64::MAX))?;
        }
        ack.end()
    }
}

/// A message was accepted, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) id: MessageId,
    pub(super) ts: String,
}

/// The acknowledgement: `{"ok":true,"messageId","ts"}`.
impl Serialize for Accepted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut ack = serializer.serialize_struct("Accepted", 3)?;
        ack.serialize_field("ok", &true)?;
        ack.serialize_field("messageId", self.id.as_str())?;
        ack.serialize_field("ts", &self.ts)?;
        ack.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn acknowledgements_are_exact() {
        let table = [
            (
                Refusal::InvalidMessage,
                r#"{"error":"Invalid message.","code":"invalid_message"}"#,
            ),
            (
                Refusal::EmptyMessage,
                r#"{"error":"Message cannot be empty.","code":"empty_message"}"#,
            ),
            (
                Refusal::MessageTooLong,
                r#"{"error":"Message is too long.","code":"message_too_long"}"#,
            ),
            (
                Refusal::MissingGuild,
                r#"{"error":"Missing guild.","code":"missing_guild"}"#,
            ),
            (
                Refusal::GuildForbidden,
                r#"{"error":"You do not have access to this guild.","code":"guild_forbidden"}"#,
            ),
            (
                Refusal::AdminOnly,
                r#"{"error":"Only admins can send admin-only messages.","code":"admin_only"}"#,
            ),
            (
                Refusal::DuplicateId,
                r#"{"error":"That message id is taken.","code":"duplicate_id"}"#,
            ),
            (
                Refusal::RateLimited {
                    retry_after: Duration::from_micros(1_500_001),
                },
                r#"{"error":"You are sending messages too quickly.","code":"rate_limited","retryAfterMs":1501}"#,
            ),
            (
                Refusal::ServerError,
                r#"{"error":"server_error","code":"server_error"}"#,
            ),
        ];
        for (refusal, expected) in table {
            assert_eq!(json(&refusal), expected);
        }
        let accepted = Accepted {
            id: MessageId::parse("m:1").unwrap(),
            ts: "2026-11-22T18:00:00.000Z".to_owned(),
        };
        assert_eq!(
            json(&accepted),
            r#"{"ok":true,"messageId":"m:1","ts":"2026-11-22T18:00:00.000Z"}"#
        );
    }
}
