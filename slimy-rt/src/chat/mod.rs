//! The chat: `chat:message` from its payload's bytes to its audience, and the bot that answers.
//!
//! A message's way through the files:
//!
//! 1. `message` reads the payload and refuses what is malformed;
//! 2. `policy` decides whether its author may send it, now and under that id; `claims` asks the other nodes;
//! 3. `service` broadcasts it (`outgoing` is its shape), then acknowledges it (`refusal`);
//! 4. `bot` answers it, when it is called, in a task of its own.
//!
//! Programs make a [`Chat`] and [install](Chat::install) it in a namespace. It uses nothing of the server that other
//! programs could not use.

mod bot;
mod claims;
mod config;
mod js;
mod message;
mod outgoing;
mod policy;
mod refusal;
mod service;

#[cfg(feature = "openai")]
pub use self::bot::{OpenAi, OpenAiBuilder, OpenAiConfigError};
pub use self::{
    bot::{Bot, BotError, MAX_REPLY_CHARS, NotConfigured, Question},
    config::{Audience, ChatConfig, InvalidAudience},
    policy::{ChatRate, InvalidChatRate},
    service::{Chat, MessageCount},
};

/// What [`Chat`] makes of a payload: text, guild, whether admins only, id, whether the bot is asked; or the refusal's code.
#[cfg(fuzzing)]
pub fn parse_message(
    payload: &str,
    max_chars: usize,
) -> Result<(String, String, bool, Option<String>, bool), String> {
    let message = message::Incoming::parse(Some(payload), max_chars)
        .map_err(|refusal| format!("{refusal:?}"))?;
    Ok((
        message.text.into_owned(),
        message.guild.as_str().to_owned(),
        message.admin_only,
        message.id.map(|id| id.as_str().to_owned()),
        message.request_bot,
    ))
}
