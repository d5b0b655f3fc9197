//! The order of the checks, retries, and what happens to messages that fail halfway.

use std::time::Duration;

use super::*;

struct Fixture {
    policy: Policy,
    start: Instant,
}

/// What [`Fixture::send`] is told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Sent(u64),
    Retry(u64),
    Refused(Refusal),
}

impl Fixture {
    fn new(rate: &str) -> Self {
        Self {
            policy: Policy::new(ChatRate::parse(rate).unwrap()),
            start: Instant::now(),
        }
    }

    fn now(&self, ms: u64) -> Now {
        Now {
            instant: self.start + Duration::from_millis(ms),
            unix_ms: 1_000_000 + ms,
        }
    }

    /// `None`: it has to wait.
    fn reserve(&self, who: &str, id: &str, ms: u64) -> Option<Verdict<'_>> {
        let (guild, id) = (GuildId::parse("g").unwrap(), MessageId::parse(id).unwrap());
        let user = UserId::parse(who).unwrap();
        self.policy
            .try_reserve(&user, &ids::key(&guild, &id), self.now(ms))
    }

    fn reserved(&self, who: &str, id: &str, ms: u64) -> Reservation<'_> {
        match self.reserve(who, id, ms) {
            Some(Verdict::Send(reservation)) => reservation,
            other => panic!("{other:?}"),
        }
    }

    fn send(&self, who: &str, id: &str, ms: u64) -> Told {
        match self.reserve(who, id, ms).expect("nothing is pending") {
            Verdict::Send(reservation) => {
                let at = reservation.at() - 1_000_000;
                reservation.sent();
                Told::Sent(at)
            }
            Verdict::Retry { at } => Told::Retry(at - 1_000_000),
            Verdict::Refuse(refusal) => Told::Refused(refusal),
        }
    }
}

fn limited(ms: u64) -> Told {
    Told::Refused(Refusal::RateLimited {
        retry_after: Duration::from_millis(ms),
    })
}

const TAKEN: Told = Told::Refused(Refusal::DuplicateId);

#[test]
fn who_may_send_where() {
    let (forbidden, admin_only) = (Err(Refusal::GuildForbidden), Err(Refusal::AdminOnly));
    let table = [
        // admin, member, adminOnly
        ((false, false, false), forbidden),
        ((false, false, true), forbidden),
        ((false, true, false), Ok(())),
        ((false, true, true), admin_only),
        ((true, false, false), Ok(())),
        ((true, false, true), Ok(())),
        ((true, true, true), Ok(())),
    ];
    for ((admin, member, admins_only), expected) in table {
        assert_eq!(authorize(admin, member, admins_only), expected);
    }
}

#[test]
fn a_retry_is_the_same_users_within_two_minutes() {
    let chat = Fixture::new("off");
    assert_eq!(chat.send("alice", "m", 0), Told::Sent(0));
    assert_eq!(chat.send("alice", "m", 5), Told::Retry(0));
    assert_eq!(chat.send("bob", "m", 119_999), TAKEN);
    assert_eq!(chat.send("alice", "m", 119_999), Told::Retry(0));
    // A retry does not prolong it.
    assert_eq!(chat.send("bob", "m", 120_000), Told::Sent(120_000));
    assert_eq!(chat.send("alice", "m", 120_001), TAKEN);
}

#[test]
fn an_id_belongs_to_one_guild() {
    let chat = Fixture::new("off");
    let id = MessageId::parse("m").unwrap();
    let guilds = ["g", "g2"].map(|g| ids::key(&GuildId::parse(g).unwrap(), &id));
    assert_ne!(guilds[0], guilds[1]);
    for (user, key) in ["alice", "bob"].iter().zip(&guilds) {
        let user = UserId::parse(user).unwrap();
        let Some(Verdict::Send(sent)) = chat.policy.try_reserve(&user, key, chat.now(0)) else {
            panic!("refused");
        };
        sent.sent();
    }
}

#[test]
fn retries_and_taken_ids_come_before_the_rate() {
    let chat = Fixture::new("2/10s");
    assert_eq!(chat.send("bob", "b", 0), Told::Sent(0));
    assert_eq!(chat.send("alice", "1", 0), Told::Sent(0));
    for ms in 1..10 {
        assert_eq!(chat.send("alice", "1", ms), Told::Retry(0));
        assert_eq!(chat.send("alice", "b", ms), TAKEN);
    }
    assert_eq!(chat.send("alice", "2", 500), Told::Sent(500));
    assert_eq!(chat.send("alice", "3", 600), limited(9_400));
    assert_eq!(chat.send("alice", "1", 600), Told::Retry(0));
    assert_eq!(chat.send("alice", "b", 600), TAKEN);
    // The refused one left its id free, to its author and to others.
    assert_eq!(chat.send("bob", "3", 700), Told::Sent(700));
    assert_eq!(chat.send("alice", "4", 9_999), limited(1));
    assert_eq!(chat.send("alice", "4", 10_000), Told::Sent(10_000));
}

#[test]
fn what_is_not_sent_leaves_nothing() {
    let chat = Fixture::new("1/10s");
    drop(chat.reserved("alice", "m", 0));
    assert_eq!(chat.send("bob", "m", 1), Told::Sent(1));
    chat.reserved("alice", "n", 1).taken();
    assert_eq!(chat.send("alice", "o", 2), Told::Sent(2));
}

#[test]
fn what_failed_after_its_claim_keeps_its_time_for_its_author() {
    let chat = Fixture::new("1/10s");
    let mut reservation = chat.reserved("alice", "m", 0);
    reservation.claiming();
    drop(reservation);
    assert_eq!(chat.send("alice", "m", 50), Told::Sent(0));
    assert_eq!(chat.send("alice", "m", 60), Told::Retry(0));

    let mut reservation = chat.reserved("bob", "n", 0);
    reservation.claiming();
    drop(reservation);
    assert_eq!(chat.send("carol", "n", 70), Told::Sent(70));
}

#[test]
fn what_another_node_accepted_is_a_retry_and_not_counted() {
    let chat = Fixture::new("1/10s");
    let mut reservation = chat.reserved("alice", "m", 100);
    reservation.claiming();
    reservation.sent_before(1_000_007);
    assert_eq!(chat.send("alice", "m", 101), Told::Retry(7));
    assert_eq!(chat.send("bob", "m", 101), TAKEN);
    assert_eq!(chat.send("alice", "n", 102), Told::Sent(102));
}

#[test]
fn a_full_memory_forgets_the_oldest_of_that_user() {
    let chat = Fixture::new("off");
    assert_eq!(chat.send("bob", "b", 0), Told::Sent(0));
    for n in 0..=ids::MAX_IDS_PER_USER {
        assert_eq!(chat.send("alice", &n.to_string(), 0), Told::Sent(0));
    }
    assert_eq!(chat.send("alice", "1", 1), Told::Retry(0));
    assert_eq!(chat.send("bob", "b", 1), Told::Retry(0));
    assert_eq!(chat.send("alice", "0", 1), Told::Sent(1));
}

#[tokio::test]
async fn of_two_at_once_one_is_sent_and_the_other_told_of_it() {
    let (guild, id) = (GuildId::parse("g").unwrap(), MessageId::parse("m").unwrap());
    for (who, first_is_sent) in [
        ("alice", true),
        ("bob", true),
        ("alice", false),
        ("bob", false),
    ] {
        let chat = Fixture::new("off");
        let user = UserId::parse(who).unwrap();
        let first = chat.reserved("alice", "m", 0);
        assert!(chat.reserve(who, "m", 1).is_none());
        let second = chat.policy.reserve(&user, &guild, &id, || chat.now(1));
        let settle = async {
            tokio::task::yield_now().await;
            if first_is_sent {
                first.sent();
            } else {
                drop(first);
            }
        };
        let (second, ()) = tokio::join!(second, settle);
        match (who, first_is_sent, second) {
            (_, false, Verdict::Send(second)) => second.sent(),
            ("alice", true, Verdict::Retry { at: 1_000_000 })
            | ("bob", true, Verdict::Refuse(Refusal::DuplicateId)) => {}
            other => panic!("{other:?}"),
        }
    }
}
