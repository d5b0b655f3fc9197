//! The bot: what answers when a message asks for it, and how many questions may be open.

#[cfg(feature = "openai")]
mod openai;

use std::{
    collections::HashSet,
    error::Error as StdError,
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::FutureExt as _;

#[cfg(feature = "openai")]
pub use self::openai::{OpenAi, OpenAiBuilder, OpenAiConfigError};
use super::js;
use crate::{GuildId, UserId};

/// Answers questions that are asked in the chat.
///
/// # Contract
/// * The answer is plain text. The chat trims it, cuts it at [`MAX_REPLY_CHARS`], and replaces an empty one.
/// * An error's text is for the log and must not contain a credential. The asker is only told that the bot cannot be reached.
/// * A panic counts as an error.
///
/// # Ordering
/// Calls run concurrently, at most one for each user.
///
/// # Cancellation
/// The future is dropped when it takes longer than
/// [`ChatConfig::bot_timeout`](super::ChatConfig::bot_timeout) and when the chat stops.
///
/// # Errors
/// See [`BotError`].
///
/// # Example
/// ```
/// use async_trait::async_trait;
/// use slimy_rt::chat::{Bot, BotError, Question};
///
/// #[derive(Debug)]
/// struct Echo;
///
/// #[async_trait]
/// impl Bot for Echo {
///     async fn reply(&self, question: &Question) -> Result<String, BotError> {
///         Ok(format!("{} said: {}", question.asker, question.text))
///     }
/// }
/// ```
#[async_trait]
pub trait Bot: fmt::Debug + Send + Sync + 'static {
    /// The answer to `question`.
    ///
    /// # Errors
    /// When there is none.
    async fn reply(&self, question: &Question) -> Result<String, BotError>;
}

#[async_trait]
impl<T: Bot + ?Sized> Bot for Arc<T> {
    async fn reply(&self, question: &Question) -> Result<String, BotError> {
        (**self).reply(question).await
    }
}

#[async_trait]
impl<T: Bot + ?Sized> Bot for Box<T> {
    async fn reply(&self, question: &Question) -> Result<String, BotError> {
        (**self).reply(question).await
    }
}

/// A message that asks the bot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// The guild in which it is asked.
    pub guild: GuildId,
    /// The guild's name, when the asker's session has it.
    pub guild_name: Option<Box<str>>,
    /// The asker's name, as others see it.
    pub asker: Box<str>,
    /// The message: trimmed, not empty, and within the chat's limit.
    pub text: Box<str>,
}

impl Question {
    /// A question in a guild whose name is not known.
    #[must_use]
    pub fn new(guild: GuildId, asker: impl Into<Box<str>>, text: impl Into<Box<str>>) -> Self {
        Self {
            guild,
            guild_name: None,
            asker: asker.into(),
            text: text.into(),
        }
    }

    /// Sets the guild's name.
    #[must_use]
    pub fn guild_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.guild_name = Some(name.into());
        self
    }
}

/// Why a bot does not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BotError {
    /// It took too long.
    #[error("the bot took too long")]
    Timeout,
    /// It could not be reached, or broke off.
    #[error("the bot cannot be reached")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// It refused: wrong credentials, too many requests, an error of its own. The text says which.
    #[error("the bot refused: {0}")]
    Refused(Box<str>),
    /// What it said makes no sense. The text says why.
    #[error("the bot's answer makes no sense: {0}")]
    Invalid(Box<str>),
    /// It panicked.
    #[error("the bot panicked")]
    Panicked,
}

impl BotError {
    /// Whether asking again later may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Timeout | Self::Unavailable(_))
    }
}

/// The bot of a server that has none: it says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotConfigured;

#[async_trait]
impl Bot for NotConfigured {
    async fn reply(&self, _: &Question) -> Result<String, BotError> {
        Ok("OpenAI integration is not configured yet, but your message was received.".to_owned())
    }
}

/// The most characters (Unicode scalar values) of a bot's answer; the rest is cut off.
pub const MAX_REPLY_CHARS: usize = 4_000;

/// What is said when the bot's answer is empty.
const EMPTY_REPLY: &str = "I'm not sure how to reply just yet, but I'm listening.";

/// Asks `bot`, for at most `timeout`: its answer is ready to be sent.
pub(super) async fn ask(
    bot: &dyn Bot,
    question: &Question,
    timeout: Duration,
) -> Result<String, BotError> {
    // The call itself may panic, not only its future. A bot that panicked halfway is the bot's own to recover.
    let reply = AssertUnwindSafe(async { bot.reply(question).await }).catch_unwind();
    let reply = match tokio::time::timeout(timeout, reply).await {
        Ok(Ok(reply)) => reply?,
        Ok(Err(_panic)) => return Err(BotError::Panicked),
        Err(_elapsed) => return Err(BotError::Timeout),
    };
    Ok(match js::trim(&reply) {
        "" => EMPTY_REPLY.to_owned(),
        text => match text.char_indices().nth(MAX_REPLY_CHARS) {
            Some((end, _)) => text[..end].to_owned(),
            None => text.to_owned(),
        },
    })
}

/// Whether a text calls the bot: `@slimy` or `@slimy.ai` in any case, wherever it stands, unless the name goes on with a
/// letter, a digit or an underscore (`@slimyfan` is someone else).
pub(super) fn is_called(text: &str) -> bool {
    const NAME: &str = "slimy";
    text.split('@').skip(1).any(|after| {
        let called = after.get(..NAME.len());
        called.is_some_and(|name| name.eq_ignore_ascii_case(NAME))
            && !after[NAME.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

/// The questions that are open on a node: at most one for each user, and a bounded number together.
#[derive(Debug)]
pub(super) struct Desk {
    askers: Mutex<HashSet<UserId>>,
    max_open: usize,
}

impl Desk {
    pub(super) fn new(max_open: usize) -> Arc<Self> {
        Arc::new(Self {
            askers: Mutex::new(HashSet::new()),
            max_open,
        })
    }

    /// Opens a question of `user`, until what is returned is dropped. `None`: there are too many.
    pub(super) fn open(self: &Arc<Self>, user: &UserId) -> Option<OpenQuestion> {
        let mut askers = self.askers();
        if askers.len() >= self.max_open || !askers.insert(user.clone()) {
            return None;
        }
        drop(askers);
        Some(OpenQuestion {
            desk: Arc::clone(self),
            user: user.clone(),
        })
    }

    fn askers(&self) -> MutexGuard<'_, HashSet<UserId>> {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open question; dropped, it is closed.
#[derive(Debug)]
#[must_use]
pub(super) struct OpenQuestion {
    desk: Arc<Desk>,
    user: UserId,
}

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        self.desk.askers().remove(&self.user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_calls_the_bot() {
        for text in [
            "@slimy",
            "@slimy.ai",
            "hey @SLIMY, how are you?",
            "hey @Slimy.AI!",
            "@@slimy",
            "@slimyfan and @slimy",
            "@slimy.aid",
            "@slimy-bot",
            "@slimy😀",
            "a@slimy.ai",
            "@é @slimy",
        ] {
            assert!(is_called(text), "{text}");
        }
        for text in [
            "",
            "@",
            "slimy",
            "@slim",
            "@ slimy",
            "@slimyfan",
            "@slimy_fan",
            "@slimy2",
            "@slimyé",
            "@ſlimy",
            "@slimé",
        ] {
            assert!(!is_called(text), "{text}");
        }
    }

    #[test]
    fn open_questions_are_bounded() {
        let user = |name| UserId::parse(name).unwrap();
        let desk = Desk::new(2);
        let alice = desk.open(&user("alice")).unwrap();
        assert!(desk.open(&user("alice")).is_none());
        let bob = desk.open(&user("bob")).unwrap();
        assert!(desk.open(&user("carol")).is_none());
        drop(alice);
        let carol = desk.open(&user("carol"));
        assert!(carol.is_some() && desk.open(&user("alice")).is_none());
        drop((bob, carol));
        assert!(desk.open(&user("alice")).is_some());
        assert!(Desk::new(0).open(&user("alice")).is_none());
    }

    /// Does what the question says.
    #[derive(Debug)]
    struct Told;

    #[async_trait]
    impl Bot for Told {
        async fn reply(&self, question: &Question) -> Result<String, BotError> {
            match &*question.text {
                "fail" => Err(BotError::Refused("no".into())),
                "panic" => panic!("the test asked for it"),
                "hang" => std::future::pending().await,
                text => Ok(text.to_owned()),
            }
        }
    }

    async fn told(text: &str) -> Result<String, BotError> {
        let question = Question::new(GuildId::parse("g").unwrap(), "Alice", text);
        ask(&Told, &question, Duration::from_secs(30)).await
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_trimmed_bounded_and_never_empty() {
        assert_eq!(told(" hi \u{feff}\n").await.unwrap(), "hi");
        for empty in ["", " \n\u{a0}"] {
            assert_eq!(told(empty).await.unwrap(), EMPTY_REPLY);
        }
        let full = "é".repeat(MAX_REPLY_CHARS);
        assert_eq!(told(&full).await.unwrap(), full);
        assert_eq!(told(&format!("{full}x")).await.unwrap(), full);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_told_apart() {
        assert!(matches!(told("fail").await, Err(BotError::Refused(_))));
        assert!(matches!(told("panic").await, Err(BotError::Panicked)));
        let start = tokio::time::Instant::now();
        assert!(matches!(told("hang").await, Err(BotError::Timeout)));
        assert_eq!(start.elapsed(), Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_server_without_a_bot_says_so() {
        let question = Question::new(GuildId::parse("g").unwrap(), "Alice", "@slimy");
        assert_eq!(
            NotConfigured.reply(&question).await.unwrap(),
            "OpenAI integration is not configured yet, but your message was received."
        );
    }
}
