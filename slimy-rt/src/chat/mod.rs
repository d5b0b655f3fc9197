//! The chat: `chat:message` from its payload's bytes to its audience, and the bot that answers.

mod bot;
mod js;
mod message;
mod outgoing;
mod policy;
mod refusal;

#[cfg(feature = "openai")]
pub use self::bot::{OpenAi, OpenAiBuilder, OpenAiConfigError};
pub use self::{
    bot::{Bot, BotError, MAX_REPLY_CHARS, NotConfigured, Question},
    policy::{ChatRate, InvalidChatRate},
};
