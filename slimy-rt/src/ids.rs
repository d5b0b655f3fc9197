//! Identifiers: newtypes that parse, never alias.
//!
//! Every identifier is cheap to clone and bounded in length, so that a hostile peer cannot make the server keep
//! long strings by naming things.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    sync::{Arc, LazyLock},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest identifier that is accepted, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// A string that is no identifier of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind}: {reason}")]
pub struct InvalidId {
    kind: &'static str,
    reason: &'static str,
}

/// What every identifier has to be: not empty, bounded, and free of NUL.
fn check(kind: &'static str, text: &str) -> Result<(), InvalidId> {
    let reason = if text.is_empty() {
        "it is empty"
    } else if text.len() > MAX_ID_BYTES {
        "it is longer than 256 bytes"
    } else if text.contains('\0') {
        "it contains a NUL"
    } else {
        return Ok(());
    };
    Err(InvalidId { kind, reason })
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses an identifier: not empty, at most [`MAX_ID_BYTES`] long, without NUL.
            ///
            /// # Errors
            /// [`InvalidId`] says which of these does not hold.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                check($kind, text)?;
                Ok(Self(text.into()))
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A user, as the authenticator names it.
    UserId,
    "user id"
);
text_id!(
    /// A guild: one community of users. Discord's snowflakes exceed 2^53, so it is always text on output.
    GuildId,
    "guild id"
);
text_id!(
    /// A room: the name of a set of sockets in one namespace.
    Room,
    "room"
);
text_id!(
    /// A node: one running server among those that share a broker. A restarted program is a new node.
    NodeId,
    "node id"
);
text_id!(
    /// One Socket.IO connection to one namespace, as the client knows it.
    SocketId,
    "socket id"
);
text_id!(
    /// Names one token, so that it can be denied before it expires. It is never the token itself.
    TokenId,
    "token id"
);

impl Room {
    /// The room of everyone in `guild`: `guild:<id>`.
    #[must_use]
    pub fn guild(guild: &GuildId) -> Self {
        Self(["guild:", guild.as_str()].concat().into())
    }

    /// The guild that it is the room of.
    pub(crate) fn as_guild(&self) -> Option<&str> {
        self.0.strip_prefix("guild:")
    }

    /// The room of every administrator.
    #[must_use]
    pub fn admins() -> Self {
        static ADMINS: LazyLock<Arc<str>> = LazyLock::new(|| "admins".into());
        Self(Arc::clone(&ADMINS))
    }

    /// The room that only this socket is in.
    #[must_use]
    pub fn of_socket(socket: &SocketId) -> Self {
        Self(Arc::clone(&socket.0))
    }
}

impl SocketId {
    /// How long each one of this node's is, in bytes.
    pub(crate) const LEN: usize = 20;

    /// A new identifier: 20 unguessable characters.
    #[must_use]
    pub fn random() -> Self {
        Self(random_text().into())
    }
}

impl NodeId {
    /// A new identifier: 20 unguessable characters.
    #[must_use]
    pub fn random() -> Self {
        Self(random_text().into())
    }
}

macro_rules! from_text {
    ($($name:ident)*) => {
        $(
            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = Cow::<'de, str>::deserialize(deserializer)?;
                    Self::parse(&text).map_err(serde::de::Error::custom)
                }
            }
        )*
    };
}

from_text!(Room NodeId SocketId TokenId);

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text_or_integer(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for GuildId {
    /// Accepts text or a JSON integer, since some producers write snowflakes as numbers.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text_or_integer(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Reads text, or an integer as its digits.
fn text_or_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Visitor;

    impl serde::de::Visitor<'_> for Visitor {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or an integer")
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_u64<E>(self, number: u64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_i64<E>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }

    deserializer.deserialize_any(Visitor)
}

/// The identifier of one Engine.IO session.
///
/// Whoever knows it can send and receive in that session, so it is a credential: it never appears in `Debug`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EngineId(Arc<str>);

impl EngineId {
    /// A new identifier: 20 unguessable characters.
    #[must_use]
    pub fn random() -> Self {
        Self(random_text().into())
    }

    /// The identifier as text, for the handshake only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for EngineId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EngineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineId(redacted)")
    }
}

/// The private id of a recoverable session: whoever knows it, and is the same user, can go on in its place, so it never appears in `Debug`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pid(Arc<str>);

impl Pid {
    pub(crate) fn random() -> Self {
        Self(random_text().into())
    }

    /// Reads what a client sends: 20 characters of those that ids are made of.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_legal = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        (text.len() == SocketId::LEN && text.bytes().all(is_legal)).then(|| Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pid(redacted)")
    }
}

/// A message's identifier within a guild: 1 to 64 characters from `A–Z a–z 0–9 _ - . :`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(Box<str>);

impl MessageId {
    /// The longest message id, in characters.
    pub const MAX_LEN: usize = 64;

    /// Parses an identifier that a client chose.
    ///
    /// # Errors
    /// [`InvalidId`] says whether the length or a character is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let reason = if text.is_empty() || text.len() > Self::MAX_LEN {
            "it must have 1 to 64 characters"
        } else if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b))
        {
            "it may only contain A-Z a-z 0-9 _ - . :"
        } else {
            return Ok(Self(text.into()));
        };
        Err(InvalidId {
            kind: "message id",
            reason,
        })
    }

    /// A new identifier: 20 unguessable characters.
    #[must_use]
    pub fn random() -> Self {
        Self(random_text().into())
    }

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Twenty base64url characters: 120 bits from the operating system.
pub(crate) fn random_text() -> String {
    let mut bytes = [0; 15];
    // Without randomness there are no unguessable ids, and so nothing that may go on.
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_have_twenty_base64url_characters_and_differ() {
        let (a, b) = (EngineId::random(), EngineId::random());
        assert_eq!(a.as_str().len(), 20);
        assert!(
            a.as_str()
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        );
        assert_ne!(a, b);
        assert_eq!(format!("{a:?}"), "EngineId(redacted)");
    }

    #[test]
    fn text_ids_are_bounded() {
        assert!(UserId::parse("").is_err());
        assert!(UserId::parse("a\0b").is_err());
        assert!(UserId::parse(&"a".repeat(MAX_ID_BYTES)).is_ok());
        assert!(UserId::parse(&"a".repeat(MAX_ID_BYTES + 1)).is_err());
    }

    #[test]
    fn guild_ids_are_text_or_integers_and_leave_as_text() {
        let guild: GuildId = serde_json::from_str("1176605506912141444").unwrap();
        assert_eq!(
            serde_json::to_string(&guild).unwrap(),
            "\"1176605506912141444\""
        );
        assert_eq!(
            serde_json::from_str::<GuildId>("\"7\"").unwrap().as_str(),
            "7"
        );
        assert!(serde_json::from_str::<GuildId>("1.5").is_err());
        assert!(serde_json::from_str::<GuildId>("true").is_err());
    }

    #[test]
    fn message_ids_have_a_closed_alphabet() {
        assert!(MessageId::parse("a-Z_0.9:").is_ok());
        for bad in ["", "a b", "ä", &"x".repeat(65)] {
            assert!(MessageId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
