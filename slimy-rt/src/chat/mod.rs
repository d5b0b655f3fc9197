//! The chat: `chat:message` from its payload's bytes to its audience, and the bot that answers.

mod js;
mod message;
mod outgoing;
mod policy;
mod refusal;

pub use self::policy::{ChatRate, InvalidChatRate};
#[cfg(feature = "api")]
pub(crate) use self::outgoing::timestamp;
