//! The chat's event handler: from a received event to a broadcast, an acknowledgement and a question to the bot.

#[cfg(test)]
mod tests;

use std::{
    error::Error as StdError,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use tokio_util::sync::CancellationToken;

use super::{
    bot::{self, Bot, Desk, NotConfigured, Question},
    claims::{Claims, Owner},
    config::{Audience, ChatConfig},
    message::{self, Incoming},
    outgoing::{Author, Outgoing},
    policy::{self, Now, Policy, Verdict},
    refusal::{Accepted, Refusal},
};
use crate::{
    GuildId, MessageId, Room, UserId,
    auth::{Role, User},
    events::{Ack, Broadcast, Emitter, Namespace, Socket},
    protocol::Arguments,
    session::{Guild, SessionStore},
    time::{timestamp, unix_ms},
};

/// The event's name, in both directions.
const EVENT: &str = "chat:message";

/// The chat: handles `chat:message` in a namespace.
///
/// ```
/// use slimy_rt::{chat::{Chat, ChatConfig}, events::Namespace};
///
/// let namespace = Chat::new(ChatConfig::default()).install(Namespace::new("/"));
/// ```
#[derive(Debug)]
#[must_use]
pub struct Chat {
    config: ChatConfig,
    bot: Arc<dyn Bot>,
    sessions: Option<Arc<dyn SessionStore>>,
    stop: CancellationToken,
    count: MessageCount,
}

impl Chat {
    /// A chat whose bot says that it is not configured, and whose message ids are known to this node only.
    pub fn new(config: ChatConfig) -> Self {
        Self {
            config,
            bot: Arc::new(NotConfigured),
            sessions: None,
            stop: CancellationToken::new(),
            count: MessageCount::default(),
        }
    }

    /// Sets the bot.
    pub fn bot(mut self, bot: impl Bot) -> Self {
        self.bot = Arc::new(bot);
        self
    }

    /// Sets the store through which nodes agree on whose a message id is, as far as it [shares](SessionStore::claim) that.
    pub fn sessions(mut self, store: impl SessionStore) -> Self {
        self.sessions = Some(Arc::new(store));
        self
    }

    /// Drops the bot's open questions once `token` is cancelled. Otherwise they end with
    /// [`bot_timeout`](ChatConfig::bot_timeout) or the runtime.
    pub fn stop_on(mut self, token: CancellationToken) -> Self {
        self.stop = token;
        self
    }

    /// The number of messages that this chat accepts, to be read while it runs.
    #[must_use]
    pub fn message_count(&self) -> MessageCount {
        self.count.clone()
    }

    /// Handles `chat:message` in `namespace`.
    #[must_use]
    pub fn install(self, namespace: Namespace) -> Namespace {
        let service = Arc::new(Service::new(self));
        namespace.on(EVENT, move |socket, arguments, ack| {
            Arc::clone(&service).handle(socket, arguments, ack)
        })
    }
}

/// How many messages a [`Chat`] has accepted since it was made; the bot's do not count.
#[derive(Clone, Debug, Default)]
pub struct MessageCount(Arc<AtomicU64>);

impl MessageCount {
    /// The number now.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An installed chat.
#[derive(Debug)]
struct Service {
    config: ChatConfig,
    policy: Policy,
    claims: Option<Claims>,
    bot: Arc<dyn Bot>,
    desk: Arc<Desk>,
    stop: CancellationToken,
    count: MessageCount,
}

/// Who sends, and what it may see now.
#[derive(Clone, Copy, Debug)]
struct Sender<'a> {
    user: &'a User,
    role: Role,
    guilds: &'a [Guild],
}

/// What becomes of a message that is not refused.
#[derive(Debug)]
struct Received {
    accepted: Accepted,
    /// `None`: nobody asked the bot, or it was a retry.
    asked: Option<Asked>,
}

/// A question to the bot, and where its answer belongs.
#[derive(Debug)]
struct Asked {
    question: Question,
    user: UserId,
    id: MessageId,
    admin_only: bool,
}

impl Service {
    fn new(chat: Chat) -> Self {
        let timeout = chat.config.claim_timeout;
        Self {
            policy: Policy::new(chat.config.rate),
            claims: chat.sessions.map(|store| Claims::new(store, timeout)),
            bot: chat.bot,
            desk: Desk::new(chat.config.max_open_questions),
            stop: chat.stop,
            count: chat.count,
            config: chat.config,
        }
    }

    async fn handle(self: Arc<Self>, socket: Socket, arguments: Arguments, ack: Ack) {
        let access = socket.access();
        let sender = Sender {
            user: &socket.identity().user,
            role: access.role,
            guilds: &access.guilds,
        };
        let publish = |message: &Outgoing<'_>| {
            self.to_audience(
                &socket.emitter(),
                message.guild_id,
                message.admin_only == Some(true),
            )
            .emit(EVENT, message)
        };
        let received = self.receive(sender, arguments.arg(0), publish).await;

        // The broadcast is queued by now, so the acknowledgement comes behind it.
        let sent = match &received {
            Ok(received) => ack.send(&received.accepted),
            Err(refusal) => ack.send(refusal),
        };
        if let Err(error) = sent {
            tracing::debug!(
                error = &error as &dyn StdError,
                "a sender left before its acknowledgement"
            );
        }
        if let Ok(Received {
            asked: Some(asked), ..
        }) = received
        {
            self.ask(&socket, asked);
        }
    }

    /// Takes a message through every check, publishes it if it is new, and says what to acknowledge.
    async fn receive<E: StdError + 'static>(
        &self,
        sender: Sender<'_>,
        payload: Option<&str>,
        publish: impl FnOnce(&Outgoing<'_>) -> Result<(), E> + Send,
    ) -> Result<Received, Refusal> {
        let incoming = Incoming::parse(payload, self.config.max_chars)?;
        let guild = sender.guilds.iter().find(|g| g.id == incoming.guild);
        policy::authorize(sender.role.is_admin(), guild.is_some(), incoming.admin_only)?;

        let user = &sender.user.id;
        let id = incoming.id.unwrap_or_else(new_id);
        let before = |at| Received {
            accepted: Accepted {
                id: id.clone(),
                ts: timestamp(at),
            },
            asked: None,
        };
        let reservation = match self.policy.reserve(user, &incoming.guild, &id, now).await {
            Verdict::Send(reservation) => reservation,
            Verdict::Retry { at } => return Ok(before(at)),
            Verdict::Refuse(refusal) => return Err(refusal),
        };
        let reservation = match &self.claims {
            None => reservation,
            Some(claims) => match claims.claim(reservation, user, &incoming.guild, &id).await {
                Owner::Ours(reservation) => reservation,
                Owner::OursBefore(at) => return Ok(before(at)),
                Owner::Other => return Err(Refusal::DuplicateId),
            },
        };

        let ts = timestamp(reservation.at());
        let published = publish(&Outgoing {
            message_id: id.as_str(),
            guild_id: &incoming.guild,
            admin_only: Some(incoming.admin_only),
            text: &incoming.text,
            ts: &ts,
            from: Author::user(sender.user, sender.role),
            error: None,
        });
        if let Err(error) = published {
            tracing::error!(
                error = &error as &dyn StdError,
                user = %user,
                guild = %incoming.guild,
                message = %id,
                "a chat message was not sent"
            );
            return Err(Refusal::ServerError);
        }
        reservation.sent();
        self.count.0.fetch_add(1, Ordering::Relaxed);

        let asks = incoming.request_bot || bot::is_called(&incoming.text);
        let asked = asks.then(|| {
            let mut question =
                Question::new(incoming.guild, sender.user.display_name(), &*incoming.text);
            question.guild_name = guild.and_then(|g| g.name.clone());
            Asked {
                question,
                user: user.clone(),
                id: id.clone(),
                admin_only: incoming.admin_only,
            }
        });
        Ok(Received {
            accepted: Accepted { id, ts },
            asked,
        })
    }

    /// Has the bot answer in a task of its own.
    fn ask(self: &Arc<Self>, socket: &Socket, asked: Asked) {
        let Some(open) = self.desk.open(&asked.user) else {
            tracing::info!(user = %asked.user, "the bot has too many open questions");
            return say_unavailable(socket, &asked);
        };
        let (service, socket) = (Arc::clone(self), socket.clone());
        tokio::spawn(async move {
            let reply = bot::ask(&*service.bot, &asked.question, service.config.bot_timeout);
            let Some(reply) = service.stop.run_until_cancelled(reply).await else {
                return;
            };
            // Closed before it is answered: who sees the answer may ask the next question at once.
            drop(open);
            match reply {
                Ok(text) => service.say_reply(&socket.emitter(), &asked, &text),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn StdError,
                        user = %asked.user,
                        guild = %asked.question.guild,
                        "the bot did not answer"
                    );
                    say_unavailable(&socket, &asked);
                }
            }
        });
    }

    /// Sends the bot's answer to whoever saw the question.
    fn say_reply(&self, emitter: &Emitter, asked: &Asked, text: &str) {
        let (id, ts) = (format!("{}-bot", asked.id), timestamp(now().unix_ms));
        let message = asked.reply(&id, &ts, text);
        let audience = self.to_audience(emitter, &asked.question.guild, asked.admin_only);
        if let Err(error) = audience.emit(EVENT, &message) {
            tracing::error!(
                error = &error as &dyn StdError,
                message = id,
                "the bot's answer was not sent"
            );
        }
    }

    fn to_audience(&self, emitter: &Emitter, guild: &GuildId, admin_only: bool) -> Broadcast {
        match self.config.audience {
            _ if admin_only => emitter.to(Room::admins()),
            Audience::Guild => emitter.to(Room::guild(guild)).to(Room::admins()),
            Audience::Everyone => emitter.all(),
        }
    }
}

impl Asked {
    fn reply<'a>(&'a self, id: &'a str, ts: &'a str, text: &'a str) -> Outgoing<'a> {
        Outgoing {
            message_id: id,
            guild_id: &self.question.guild,
            admin_only: Some(self.admin_only),
            text,
            ts,
            from: Author::BOT,
            error: None,
        }
    }

    fn unavailable<'a>(&'a self, id: &'a str, ts: &'a str) -> Outgoing<'a> {
        Outgoing {
            admin_only: None,
            from: Author::SYSTEM,
            error: Some("bot_unavailable"),
            ..self.reply(
                id,
                ts,
                "We couldn't reach slimy.ai right now. Try again shortly.",
            )
        }
    }
}

/// Tells the asking socket, and nobody else, that the bot does not answer.
fn say_unavailable(socket: &Socket, asked: &Asked) {
    let (id, ts) = (format!("{}-bot-error", asked.id), timestamp(now().unix_ms));
    if let Err(error) = socket.emit(EVENT, &asked.unavailable(&id, &ts)) {
        tracing::debug!(
            error = &error as &dyn StdError,
            "an asker left before the bot's failure"
        );
    }
}

/// A message id that no client could have chosen for the bot.
fn new_id() -> MessageId {
    loop {
        let id = MessageId::random();
        if !message::is_reserved(id.as_str()) {
            return id;
        }
    }
}

fn now() -> Now {
    Now {
        instant: tokio::time::Instant::now().into_std(),
        unix_ms: unix_ms(SystemTime::now()),
    }
}
