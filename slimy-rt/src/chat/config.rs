//! The chat's settings.

use std::{fmt, str::FromStr, time::Duration};

use super::policy::ChatRate;

/// The chat's settings and bounds.
#[derive(Clone, Debug)]
pub struct ChatConfig {
    /// Who receives a message that is not admin-only. [`Audience::Guild`] by default.
    pub audience: Audience,
    /// The most characters of a message: Unicode scalar values of the trimmed text. 4,000 by default.
    pub max_chars: usize,
    /// How many messages a user may send, over all of that user's sockets on this node. `20/10s` by default.
    pub rate: ChatRate,
    /// How long the session store may take to say whether a message id is free; then this node decides. 1 s by default.
    pub claim_timeout: Duration,
    /// The most questions to the bot that are open at a time; 8 by default. A user has one at most.
    pub max_open_questions: usize,
    /// How long the bot may take, whatever its own limits are. 60 s by default.
    pub bot_timeout: Duration,
}

impl Default for ChatConfig {
    fn default() -> Self {
        Self {
            audience: Audience::Guild,
            max_chars: 4_000,
            rate: ChatRate::default(),
            claim_timeout: Duration::from_secs(1),
            max_open_questions: 8,
            bot_timeout: Duration::from_secs(60),
        }
    }
}

/// Who receives a message that is not admin-only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// The guild's members and all admins, each socket once.
    #[default]
    Guild,
    /// Every connected socket: members of other guilds, too.
    Everyone,
}

impl Audience {
    /// Reads `guild` or `everyone`.
    ///
    /// # Errors
    /// For any other text.
    pub fn parse(text: &str) -> Result<Self, InvalidAudience> {
        match text {
            "guild" => Ok(Self::Guild),
            "everyone" => Ok(Self::Everyone),
            _ => Err(InvalidAudience(())),
        }
    }

    /// `guild` or `everyone`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guild => "guild",
            Self::Everyone => "everyone",
        }
    }
}

impl FromStr for Audience {
    type Err = InvalidAudience;

    fn from_str(text: &str) -> Result<Self, InvalidAudience> {
        Self::parse(text)
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no audience.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid chat audience: write guild or everyone")]
pub struct InvalidAudience(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audiences_are_parsed() {
        assert_eq!("guild".parse(), Ok(Audience::Guild));
        assert_eq!("everyone".parse(), Ok(Audience::Everyone));
        for bad in ["", "all", "Guild"] {
            assert!(Audience::parse(bad).is_err());
        }
        assert_eq!(Audience::default().to_string(), "guild");
    }
}
