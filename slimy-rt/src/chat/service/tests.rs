//! From payload to acknowledgement, without a socket: what is published is recorded.

use std::{collections::HashMap, convert::Infallible, sync::Mutex, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::*;
use crate::{
    TokenId,
    chat::{ChatRate, claims::PAUSE},
    session::{Claim, Claimed, Expiry, Session, SessionError, SessionPage, SessionWatch},
};

fn guild_id(id: &str) -> GuildId {
    GuildId::parse(id).unwrap()
}

/// A user in guild `1`, which is named, and in guild `2`, which is not.
struct Person {
    user: User,
    role: Role,
    guilds: Vec<Guild>,
}

fn person(id: &str, role: Role) -> Person {
    Person {
        user: User::new(UserId::parse(id).unwrap(), Role::Member).global_name(format!("The {id}")),
        role,
        guilds: vec![
            Guild::new(guild_id("1")).name("Slime HQ"),
            Guild::new(guild_id("2")),
        ],
    }
}

/// A chat, and the JSON of what it published.
struct Fixture {
    service: Service,
    published: Mutex<Vec<String>>,
}

impl Fixture {
    fn new(chat: Chat) -> Self {
        Self {
            service: Service::new(chat),
            published: Mutex::default(),
        }
    }

    async fn send(&self, who: &Person, payload: &Value) -> Result<Received, Refusal> {
        let sender = Sender {
            user: &who.user,
            role: who.role,
            guilds: &who.guilds,
        };
        let publish = |message: &Outgoing<'_>| {
            let message = serde_json::to_string(message).unwrap();
            self.published.lock().unwrap().push(message);
            Ok::<(), Infallible>(())
        };
        self.service
            .receive(sender, Some(&payload.to_string()), publish)
            .await
    }

    async fn fail(&self, who: &Person, payload: &Value) -> Result<Received, Refusal> {
        let sender = Sender {
            user: &who.user,
            role: who.role,
            guilds: &who.guilds,
        };
        let publish = |_: &Outgoing<'_>| Err(std::fmt::Error);
        self.service
            .receive(sender, Some(&payload.to_string()), publish)
            .await
    }

    fn published(&self) -> Vec<String> {
        std::mem::take(&mut *self.published.lock().unwrap())
    }
}

fn chat() -> Chat {
    Chat::new(ChatConfig::default())
}

#[tokio::test]
async fn a_message_is_published_then_acknowledged() {
    let chat = chat();
    let count = chat.message_count();
    let chat = Fixture::new(chat);
    let received = chat
        .send(
            &person("alice", Role::Club),
            &json!({"text": " hi ", "guildId": "1", "messageId": "m"}),
        )
        .await
        .unwrap();
    let ts = &received.accepted.ts;
    assert_eq!(received.accepted.id.as_str(), "m");
    assert!(received.asked.is_none());
    assert_eq!(
        chat.published(),
        [format!(
            r##"{{"messageId":"m","guildId":"1","adminOnly":false,"text":"hi","ts":"{ts}","from":{{"id":"alice","name":"The alice","role":"club","color":"#f59e0b"}}}}"##
        )]
    );
    assert_eq!(count.current(), 1);
}

#[tokio::test]
async fn refusals_come_in_their_order_and_publish_nothing() {
    let chat = Fixture::new(chat());
    let (member, admin) = (person("alice", Role::Member), person("root", Role::Admin));
    let table = [
        (
            &member,
            json!({"text": "", "guildId": "9"}),
            Refusal::EmptyMessage,
        ),
        (
            &member,
            json!({"text": "x", "adminOnly": true}),
            Refusal::MissingGuild,
        ),
        (
            &member,
            json!({"text": "x", "guildId": "9", "adminOnly": true}),
            Refusal::GuildForbidden,
        ),
        (
            &member,
            json!({"text": "x", "guildId": "1", "adminOnly": true}),
            Refusal::AdminOnly,
        ),
        (
            &admin,
            json!({"text": "x", "guildId": 0}),
            Refusal::MissingGuild,
        ),
    ];
    for (who, payload, refusal) in table {
        assert_eq!(
            chat.send(who, &payload).await.unwrap_err(),
            refusal,
            "{payload}"
        );
    }
    assert!(chat.published().is_empty());
    // An admin is everywhere.
    let sent = chat
        .send(
            &admin,
            &json!({"text": "x", "guildId": "9", "adminOnly": true}),
        )
        .await;
    assert!(sent.is_ok() && chat.published()[0].contains(r#""adminOnly":true"#));
}

#[tokio::test]
async fn a_retry_gets_the_first_acknowledgement_and_asks_no_bot() {
    let chat = Fixture::new(chat());
    let alice = person("alice", Role::Member);
    let payload = json!({"text": "x", "guildId": "1", "messageId": "m", "requestBot": true});
    let first = chat.send(&alice, &payload).await.unwrap();
    let again = chat.send(&alice, &payload).await.unwrap();
    assert_eq!(first.accepted, again.accepted);
    assert!(first.asked.is_some() && again.asked.is_none());
    assert_eq!(chat.published().len(), 1);
    let bob = chat.send(&person("bob", Role::Member), &payload).await;
    assert_eq!(bob.unwrap_err(), Refusal::DuplicateId);
}

#[tokio::test]
async fn what_cannot_be_published_is_a_server_error_and_can_be_sent_again() {
    let config = ChatConfig {
        rate: ChatRate::parse("1/1h").unwrap(),
        ..ChatConfig::default()
    };
    let chat = Fixture::new(Chat::new(config));
    let alice = person("alice", Role::Member);
    let payload = json!({"text": "x", "guildId": "1", "messageId": "m"});
    assert_eq!(
        chat.fail(&alice, &payload).await.unwrap_err(),
        Refusal::ServerError
    );
    assert!(chat.send(&alice, &payload).await.is_ok());
    let more = chat
        .send(&alice, &json!({"text": "x", "guildId": "1"}))
        .await;
    assert!(matches!(more.unwrap_err(), Refusal::RateLimited { .. }));
}

#[tokio::test]
async fn the_bot_is_asked_when_called() {
    let chat = Fixture::new(chat());
    let root = person("root", Role::Admin);
    let table = [
        (json!({"text": "x", "guildId": "1"}), None),
        (
            json!({"text": "hi @Slimy.ai", "guildId": "1"}),
            Some(Some("Slime HQ")),
        ),
        (
            json!({"text": "x", "guildId": "1", "requestBot": true}),
            Some(Some("Slime HQ")),
        ),
        (
            json!({"text": "@slimy", "guildId": "2", "requestBot": false}),
            Some(None),
        ),
        (json!({"text": "@slimy", "guildId": "9"}), Some(None)),
    ];
    for (payload, guild_name) in table {
        let asked = chat.send(&root, &payload).await.unwrap().asked;
        let name = asked.as_ref().map(|a| a.question.guild_name.as_deref());
        assert_eq!(name, guild_name, "{payload}");
        if let Some(asked) = asked {
            assert_eq!(*asked.question.text, *payload["text"].as_str().unwrap());
            assert_eq!(&*asked.question.asker, "The root");
        }
    }
}

#[test]
fn what_the_bot_says_is_exact() {
    let asked = Asked {
        question: Question::new(guild_id("1"), "A", "@slimy"),
        user: UserId::parse("alice").unwrap(),
        id: MessageId::parse("m").unwrap(),
        admin_only: true,
    };
    let reply = serde_json::to_string(&asked.reply("m-bot", "T", "hello")).unwrap();
    assert_eq!(
        reply,
        r##"{"messageId":"m-bot","guildId":"1","adminOnly":true,"text":"hello","ts":"T","from":{"id":"bot","name":"slimy.ai","role":"bot","color":"#22c55e"}}"##
    );
    let failure = serde_json::to_string(&asked.unavailable("m-bot-error", "T")).unwrap();
    assert_eq!(
        failure,
        r##"{"messageId":"m-bot-error","guildId":"1","text":"We couldn't reach slimy.ai right now. Try again shortly.","ts":"T","from":{"id":"system","name":"Slime Chat","role":"bot","color":"#22c55e"},"error":"bot_unavailable"}"##
    );
}

/// What claims are shared, and how the store fares.
#[derive(Clone, Debug, Default)]
struct Store(Arc<Mutex<StoreState>>);

#[derive(Debug, Default)]
struct StoreState {
    claims: HashMap<String, (UserId, u64)>,
    health: Health,
    asked: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum Health {
    #[default]
    Up,
    Fails,
    Hangs,
    /// Notes the claim, and never says so.
    HangsAfterwards,
    SharesNothing,
}

impl Store {
    fn set(&self, health: Health) {
        self.0.lock().unwrap().health = health;
    }

    fn times_asked(&self) -> usize {
        self.0.lock().unwrap().asked
    }

    fn answer(&self, claim: &Claim<'_>) -> Result<Option<Claimed>, SessionError> {
        let mut state = self.0.lock().unwrap();
        state.asked += 1;
        let health = state.health;
        match health {
            Health::Fails => return Err(SessionError::Invalid("down".into())),
            Health::Hangs => return Ok(None),
            Health::SharesNothing => return Ok(Some(Claimed::NotShared)),
            Health::Up | Health::HangsAfterwards => {}
        }
        let key = format!("{}/{}", claim.guild, claim.message);
        if let Some((user, at)) = state.claims.get(&key) {
            return Ok(Some(Claimed::Before {
                user: user.clone(),
                at: *at,
            }));
        }
        state.claims.insert(key, (claim.user.clone(), claim.at));
        Ok(matches!(health, Health::Up).then_some(Claimed::New))
    }
}

#[async_trait]
impl SessionStore for Store {
    async fn load(&self, _: &UserId) -> Result<Option<Session>, SessionError> {
        unreachable!("the chat only claims")
    }
    async fn save(&self, _: &UserId, _: &Session, _: Expiry) -> Result<(), SessionError> {
        unreachable!("the chat only claims")
    }
    async fn delete(&self, _: &UserId) -> Result<bool, SessionError> {
        unreachable!("the chat only claims")
    }
    async fn list(&self, _: Option<&UserId>, _: usize) -> Result<SessionPage, SessionError> {
        unreachable!("the chat only claims")
    }
    async fn deny(&self, _: &TokenId, _: SystemTime) -> Result<(), SessionError> {
        unreachable!("the chat only claims")
    }
    async fn is_denied(&self, _: &TokenId) -> Result<bool, SessionError> {
        unreachable!("the chat only claims")
    }
    async fn watch(&self) -> Result<SessionWatch, SessionError> {
        unreachable!("the chat only claims")
    }
    async fn claim(&self, claim: &Claim<'_>) -> Result<Claimed, SessionError> {
        match self.answer(claim)? {
            Some(claimed) => Ok(claimed),
            None => std::future::pending().await,
        }
    }
}

/// Two nodes that share `store`.
fn nodes(store: &Store) -> [Fixture; 2] {
    let config = ChatConfig {
        rate: ChatRate::parse("1/1h").unwrap(),
        ..ChatConfig::default()
    };
    [(); 2].map(|()| Fixture::new(Chat::new(config.clone()).sessions(store.clone())))
}

fn message(id: &str) -> Value {
    json!({"text": "x", "guildId": "1", "messageId": id, "requestBot": true})
}

#[tokio::test(start_paused = true)]
async fn a_retry_on_another_node_is_one() {
    let [one, two] = nodes(&Store::default());
    let (alice, bob) = (person("alice", Role::Member), person("bob", Role::Member));
    let first = one.send(&alice, &message("m")).await.unwrap();
    std::thread::sleep(Duration::from_millis(2)); // so that another ts would be another text
    let again = two.send(&alice, &message("m")).await.unwrap();
    assert_eq!(first.accepted, again.accepted);
    assert!(again.asked.is_none() && two.published().is_empty());
    assert_eq!(
        two.send(&bob, &message("m")).await.unwrap_err(),
        Refusal::DuplicateId
    );
    // Neither counted there.
    assert!(two.send(&alice, &message("n")).await.is_ok());
    assert!(two.send(&bob, &message("o")).await.is_ok());
    assert_eq!((one.published().len(), two.published().len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limited_message_claims_nothing() {
    let [one, two] = nodes(&Store::default());
    let (alice, bob) = (person("alice", Role::Member), person("bob", Role::Member));
    one.send(&alice, &message("m")).await.unwrap();
    assert!(matches!(
        one.send(&alice, &message("n")).await,
        Err(Refusal::RateLimited { .. })
    ));
    assert!(two.send(&bob, &message("n")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_the_node_decides() {
    for health in [Health::Fails, Health::Hangs, Health::SharesNothing] {
        let store = Store::default();
        store.set(health);
        let [one, _] = nodes(&store);
        let start = tokio::time::Instant::now();
        let (alice, bob) = (person("alice", Role::Member), person("bob", Role::Member));
        let first = one.send(&alice, &message("m")).await.unwrap();
        assert_eq!(
            one.send(&alice, &message("m")).await.unwrap().accepted,
            first.accepted
        );
        assert_eq!(
            one.send(&bob, &message("m")).await.unwrap_err(),
            Refusal::DuplicateId
        );
        assert!(start.elapsed() <= Duration::from_secs(2), "{health:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_left_alone_for_a_while() {
    let store = Store::default();
    store.set(Health::Hangs);
    let [one, two] = nodes(&store);
    one.send(&person("alice", Role::Member), &message("m"))
        .await
        .unwrap();
    one.send(&person("bob", Role::Member), &message("n"))
        .await
        .unwrap();
    assert_eq!(store.times_asked(), 1);
    store.set(Health::Up);
    tokio::time::advance(Duration::from_secs(1)).await;
    one.send(&person("carol", Role::Member), &message("o"))
        .await
        .unwrap();
    assert_eq!(store.times_asked(), 2);
    let taken = two.send(&person("dave", Role::Member), &message("o")).await;
    assert_eq!(taken.unwrap_err(), Refusal::DuplicateId);
}

#[tokio::test(start_paused = true)]
async fn one_message_at_a_time_waits_for_a_store_that_hangs() {
    let store = Store::default();
    store.set(Health::Hangs);
    let [one, _] = nodes(&store);
    let timed = async |user: &str| {
        let start = tokio::time::Instant::now();
        let sent = one.send(&person(user, Role::Member), &message(user)).await;
        sent.unwrap();
        start.elapsed()
    };
    let timeout = ChatConfig::default().claim_timeout;
    assert_eq!(timed("a").await, timeout);
    tokio::time::advance(PAUSE).await;
    let (b, c, d) = tokio::join!(timed("b"), timed("c"), timed("d"));
    assert_eq!((b, c, d), (timeout, Duration::ZERO, Duration::ZERO));
    assert_eq!(store.times_asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_same_message_on_two_nodes_within_a_millisecond_is_one() {
    let [one, two] = nodes(&Store::default());
    for n in 0..50 {
        let user = person(&n.to_string(), Role::Member);
        let message = message(&n.to_string());
        let (first, second) = tokio::join!(one.send(&user, &message), two.send(&user, &message));
        assert_eq!(first.unwrap().accepted, second.unwrap().accepted);
    }
    assert_eq!(one.published().len() + two.published().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_failed_after_its_claim_can_be_sent_again() {
    let store = Store::default();
    let [one, two] = nodes(&store);
    let alice = person("alice", Role::Member);
    assert_eq!(
        one.fail(&alice, &message("m")).await.unwrap_err(),
        Refusal::ServerError
    );
    let sent = one.send(&alice, &message("m")).await.unwrap();
    assert_eq!(one.published().len(), 1);
    assert_eq!(
        two.send(&alice, &message("m")).await.unwrap().accepted,
        sent.accepted
    );

    // The same when the handler was dropped while the store kept it waiting.
    let bob = person("bob", Role::Member);
    store.set(Health::HangsAfterwards);
    let dropped =
        tokio::time::timeout(Duration::from_millis(10), one.send(&bob, &message("n"))).await;
    assert!(dropped.is_err());
    store.set(Health::Up);
    assert!(one.send(&bob, &message("n")).await.is_ok());
    assert_eq!(one.published().len(), 1);
}
