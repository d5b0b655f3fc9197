//! What clients receive: the payload of `chat:message`.

use serde::Serialize;

use crate::{
    GuildId,
    auth::{Role, User},
};

/// The payload of `chat:message`, its keys in the order of the wire.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outgoing<'a> {
    pub(super) message_id: &'a str,
    pub(super) guild_id: &'a GuildId,
    /// Left out of the notice that the bot is unavailable: that has no audience.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) admin_only: Option<bool>,
    pub(super) text: &'a str,
    pub(super) ts: &'a str,
    pub(super) from: Author<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<&'static str>,
}

/// Who a message is from.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Author<'a> {
    id: &'a str,
    name: &'a str,
    role: &'static str,
    color: &'static str,
}

/// The colour of everything the server itself says.
const BOT_COLOR: &str = "#22c55e";

impl<'a> Author<'a> {
    /// The bot, when it answers.
    pub(super) const BOT: Author<'static> = Author {
        id: "bot",
        name: "slimy.ai",
        role: "bot",
        color: BOT_COLOR,
    };

    /// The server, when the bot does not answer.
    pub(super) const SYSTEM: Author<'static> = Author {
        id: "system",
        name: "Slime Chat",
        role: "bot",
        color: BOT_COLOR,
    };

    /// A user in the role that counts now, which need not be the credential's.
    pub(super) fn user(user: &'a User, role: Role) -> Self {
        Self {
            id: user.id.as_str(),
            name: user.display_name(),
            role: role.as_str(),
            color: match role {
                Role::Member => "#3b82f6",
                Role::Club => "#f59e0b",
                Role::Admin => "#ef4444",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserId;

    #[test]
    fn the_payload_is_exact() {
        let user =
            User::new(UserId::parse("u1").unwrap(), Role::Member).global_name("Zoë \"1\"\u{1}");
        let guild = GuildId::parse("1176605506912141444").unwrap();
        let mut message = Outgoing {
            message_id: "m",
            guild_id: &guild,
            admin_only: Some(false),
            text: "a/\u{2028}\\\n",
            ts: "2026-11-22T18:00:00.000Z",
            from: Author::user(&user, Role::Club),
            error: None,
        };
        assert_eq!(
            serde_json::to_string(&message).unwrap(),
            "{\"messageId\":\"m\",\"guildId\":\"1176605506912141444\",\"adminOnly\":false,\"text\":\"a/\u{2028}\\\\\\n\",\
             \"ts\":\"2026-11-22T18:00:00.000Z\",\
             \"from\":{\"id\":\"u1\",\"name\":\"Zoë \\\"1\\\"\\u0001\",\"role\":\"club\",\"color\":\"#f59e0b\"}}"
        );
        message.from = Author::SYSTEM;
        message.error = Some("bot_unavailable");
        assert!(serde_json::to_string(&message).unwrap().ends_with(
            r##""from":{"id":"system","name":"Slime Chat","role":"bot","color":"#22c55e"},"error":"bot_unavailable"}"##
        ));
    }

    #[test]
    fn each_role_has_its_colour() {
        let user = User::new(UserId::parse("u1").unwrap(), Role::Member);
        for (role, name, color) in [
            (Role::Member, "member", "#3b82f6"),
            (Role::Club, "club", "#f59e0b"),
            (Role::Admin, "admin", "#ef4444"),
        ] {
            let from = Author::user(&user, role);
            assert_eq!((from.name, from.role, from.color), ("u1", name, color));
        }
        assert_eq!((Author::BOT.id, Author::BOT.name), ("bot", "slimy.ai"));
    }
}
