//! Broken authenticators.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use http::header::{AUTHORIZATION, COOKIE};
use serde_json::json;
use slimy_rt::{
    TokenId, UserId,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    conformance::authenticator::{
        AuthenticatorFactory, Candidate, Refusal, check, check_clause, clauses,
    },
};
use slimy_rt_backends::memory::StaticTokens;
use tokio::task::yield_now;

use super::{AtLeast, Breaks, Only, all_hold, each_is_caught};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    LetsInAsAnother,
    ExpiredIsInvalid,
    NothingIsInvalid,
    AnswersDiffer,
    IdentityIsOver,
    SharesTheAnswer,
    LeavesCallPending,
    OutageIsInvalid,
    PanicsOnSize,
    LetsInPrefixes,
    PanicsOnCookies,
    DebugShows,
    TokenIdShows,
    ErrorShows,
}
use Flaw as F;

const FLAWS: &[(Flaw, Breaks)] = &[
    (F::LetsInAsAnother, AtLeast("good-accepted")),
    (F::ExpiredIsInvalid, AtLeast("bad-refused")),
    (F::NothingIsInvalid, Only("none-missing")),
    (F::AnswersDiffer, Only("answers-repeat")),
    (F::IdentityIsOver, Only("identity-not-over")),
    (F::SharesTheAnswer, Only("concurrent-calls")),
    (F::LeavesCallPending, AtLeast("cancelled-call")),
    (F::OutageIsInvalid, Only("outage-is-unavailable")),
    (F::PanicsOnSize, AtLeast("garbage-refused")),
    (F::LetsInPrefixes, Only("altered-refused")),
    (F::PanicsOnCookies, Only("surplus-harmless")),
    (F::DebugShows, Only("debug-hides")),
    (F::TokenIdShows, AtLeast("token-id-apart")),
    (F::ErrorShows, Only("errors-hide")),
];

const TOKENS: [&str; 3] = [
    "alice's long and random text",
    "bob's long and random text",
    "eve's text, which is over",
];
const NOBODYS: &str = "nobody's long and random text";

/// Static tokens with one flaw.
struct Flawed {
    inner: StaticTokens,
    flaw: Flaw,
    away: AtomicBool,
    calls: AtomicU64,
    answer: Mutex<Option<Identity>>,
    pending: Mutex<HashSet<String>>,
}

impl fmt::Debug for Flawed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flaw {
            F::DebugShows => write!(f, "Flawed({TOKENS:?})"),
            _ => f.debug_struct("Flawed").finish_non_exhaustive(),
        }
    }
}

impl Flawed {
    fn sent(handshake: &Handshake) -> Option<&str> {
        handshake.auth()["token"].as_str()
    }
}

#[async_trait]
impl Authenticator for Flawed {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        if self.away.load(SeqCst) {
            return Err(match self.flaw {
                F::OutageIsInvalid => AuthError::Invalid("away".into()),
                _ => AuthError::Unavailable("away".into()),
            });
        }
        let mut asked = handshake.clone();
        match self.flaw {
            F::LeavesCallPending => {
                let key = Self::sent(handshake).unwrap_or_default().to_owned();
                if !self.pending.lock().unwrap().insert(key.clone()) {
                    return Err(AuthError::Invalid("asked already".into()));
                }
                yield_now().await;
                self.pending.lock().unwrap().remove(&key);
            }
            F::PanicsOnSize => {
                let size = handshake
                    .header_bytes(&AUTHORIZATION)
                    .map(<[u8]>::len)
                    .max();
                assert!(size < Some(10_000), "a large header");
            }
            F::PanicsOnCookies => {
                assert!(
                    Self::sent(handshake).is_none() || handshake.header(&COOKIE).is_none(),
                    "a cookie too"
                );
            }
            F::LetsInPrefixes => {
                let sent = Self::sent(handshake).unwrap_or_default();
                if let Some(token) = TOKENS.iter().find(|token| sent.starts_with(**token)) {
                    asked = handshake.with_auth(json!({"token": token}));
                }
            }
            _ => {}
        }
        let mut result = self.inner.authenticate(&asked).await;
        if let Ok(identity) = &mut result {
            match self.flaw {
                F::LetsInAsAnother => identity.user.id = UserId::parse("mallory").unwrap(),
                F::AnswersDiffer => {
                    let calls = self.calls.fetch_add(1, SeqCst);
                    identity.issued_at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(calls));
                }
                F::IdentityIsOver => identity.expires_at = Some(SystemTime::UNIX_EPOCH),
                F::TokenIdShows => {
                    identity.token =
                        Self::sent(handshake).and_then(|sent| TokenId::parse(sent).ok());
                }
                F::SharesTheAnswer => {
                    *self.answer.lock().unwrap() = Some(identity.clone());
                    yield_now().await;
                    *identity = self.answer.lock().unwrap().clone().unwrap();
                }
                _ => {}
            }
        }
        match (self.flaw, &result) {
            (F::ExpiredIsInvalid, Err(AuthError::Expired)) => {
                Err(AuthError::Invalid("over".into()))
            }
            (F::NothingIsInvalid, Err(AuthError::Missing)) => {
                Err(AuthError::Invalid("nothing".into()))
            }
            (F::ErrorShows, Err(AuthError::Invalid(_))) => Err(AuthError::Invalid(
                Self::sent(handshake).unwrap_or_default().into(),
            )),
            _ => result,
        }
    }
}

struct Candidates(Flaw);

impl AuthenticatorFactory for Candidates {
    type Authenticator = Arc<Flawed>;

    async fn create(&self) -> Candidate<Arc<Flawed>> {
        let user = |id: &str| UserId::parse(id).unwrap();
        let identity = |id: &str| Identity::new(User::new(user(id), Role::Member));
        let later = SystemTime::now() + Duration::from_secs(3_600);
        let tokens = StaticTokens::new()
            .with(TOKENS[0], identity("alice"))
            .and_then(|tokens| tokens.with(TOKENS[1], identity("bob").expires_at(later)))
            .and_then(|tokens| {
                tokens.with(
                    TOKENS[2],
                    identity("eve").expires_at(SystemTime::UNIX_EPOCH),
                )
            })
            .unwrap();
        let flawed = Flawed {
            inner: tokens,
            flaw: self.0,
            away: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            answer: Mutex::default(),
            pending: Mutex::default(),
        };
        let sends = |token: &str| Handshake::default().with_auth(json!({"token": token}));
        Candidate::new(Arc::new(flawed))
            .accepts(sends(TOKENS[0]), user("alice"), TOKENS[0])
            .accepts(sends(TOKENS[1]), user("bob"), TOKENS[1])
            .refuses(sends(TOKENS[2]), Refusal::Expired, TOKENS[2])
            .refuses(sends(NOBODYS), Refusal::Invalid, NOBODYS)
    }

    async fn cut_off(&self, authenticator: &Arc<Flawed>) -> bool {
        authenticator.away.store(true, SeqCst);
        true
    }
}

#[tokio::test(start_paused = true)]
async fn each_broken_authenticator_is_caught() {
    each_is_caught(&clauses(), FLAWS, async |flaw, breaks| match breaks {
        Only(_) => check(Candidates(flaw)).await,
        AtLeast(clause) => check_clause(Candidates(flaw), clause).await,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_without_a_flaw_keeps_every_clause() {
    all_hold(check(Candidates(F::None)).await, &clauses());
}

#[tokio::test(start_paused = true)]
async fn without_credentials_clauses_do_not_apply_and_say_so() {
    let report = check(|| async { Candidate::new(StaticTokens::new()) })
        .await
        .unwrap();
    let reason = |name: &str| {
        let mut others = report.not_applicable.iter();
        others
            .find(|other| other.clause.name == name)
            .map(|other| other.reason.clone())
    };
    assert!(
        reason("good-accepted").is_some_and(|reason| reason.contains("`accepts`")),
        "{report}"
    );
    assert!(
        reason("bad-refused").is_some_and(|reason| reason.contains("`refuses`")),
        "{report}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_failure_shows_a_credential() {
    for (flaw, _) in FLAWS {
        let text = check(Candidates(*flaw)).await.unwrap_err().to_string();
        let shown = TOKENS
            .iter()
            .chain([&NOBODYS])
            .find(|token| text.contains(**token));
        assert_eq!(shown, None, "{flaw:?}");
    }
}
