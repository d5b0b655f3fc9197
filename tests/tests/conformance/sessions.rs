//! Broken session stores.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_util::{Stream, StreamExt, stream};
use slimy_rt::{
    GuildId, TokenId, UserId,
    conformance::session_store::{SessionStoreFactory, check, check_clause, clauses},
    session::{
        Claim, Claimed, Expiry, Guild, Session, SessionError, SessionEvent, SessionPage,
        SessionStore, SessionWatch,
    },
};
use slimy_rt_backends::memory::MemorySessionStore;
use tokio::{sync::broadcast, task::yield_now, time::Instant};

use super::{
    AtLeast, Only, all_hold, each_is_caught,
    session_flaws::{FLAWS, Flaw, Flaw as F},
};

/// A memory store with one flaw.
#[derive(Clone, Debug)]
struct Flawed {
    inner: MemorySessionStore,
    flaw: Flaw,
    second: bool,
    more: Arc<More>,
}

/// What the flaws need.
#[derive(Debug)]
struct More {
    away: AtomicBool,
    was_away: AtomicBool,
    loaded: Mutex<HashSet<UserId>>,
    saved: Mutex<HashSet<UserId>>,
    expiries: Mutex<HashMap<UserId, Instant>>,
    offsets: Mutex<HashMap<UserId, usize>>,
    denials: Mutex<HashMap<TokenId, SystemTime>>,
    told: Mutex<Vec<SessionEvent>>,
    told_by_second: Mutex<Vec<SessionEvent>>,
    restarted: AtomicBool,
    saves_since_denial: AtomicUsize,
    beforehand: broadcast::Sender<SessionEvent>,
    dropped: AtomicUsize,
    claims: Mutex<HashMap<(GuildId, String), (UserId, u64)>>,
    alone: MemorySessionStore,
    current: Mutex<Option<UserId>>,
    pending: Mutex<HashSet<String>>,
}

impl Flawed {
    fn new(flaw: Flaw) -> Self {
        let more = More {
            away: AtomicBool::new(false),
            was_away: AtomicBool::new(false),
            loaded: Mutex::default(),
            saved: Mutex::default(),
            expiries: Mutex::default(),
            offsets: Mutex::default(),
            denials: Mutex::default(),
            told: Mutex::default(),
            told_by_second: Mutex::default(),
            restarted: AtomicBool::new(false),
            saves_since_denial: AtomicUsize::new(0),
            beforehand: broadcast::Sender::new(4_096),
            dropped: AtomicUsize::new(0),
            claims: Mutex::default(),
            alone: MemorySessionStore::new(),
            current: Mutex::default(),
            pending: Mutex::default(),
        };
        Self {
            inner: MemorySessionStore::new(),
            flaw,
            second: false,
            more: Arc::new(more),
        }
    }

    fn reach(&self) -> Result<(), SessionError> {
        assert!(self.flaw != F::Panics, "the store panics");
        if self.more.away.load(SeqCst) {
            return Err(SessionError::Unavailable("cut off".into()));
        }
        Ok(())
    }

    /// The user under whose name the session is kept.
    fn key(&self, user: &UserId) -> UserId {
        let text = user.as_str();
        let text = match self.flaw {
            F::FoldsCase => text.to_lowercase(),
            F::CutsIds => text.chars().take(250).collect(),
            _ => return user.clone(),
        };
        UserId::parse(&text).unwrap()
    }

    fn value(&self, session: &Session) -> Session {
        let mut session = session.clone();
        match self.flaw {
            F::RoundsNumbers => {
                session.not_before = session.not_before.map(|time| time as f64 as u64)
            }
            F::CutsNames => {
                let cut = |guild: &mut Guild| {
                    guild.name = guild
                        .name
                        .take()
                        .map(|name| name.chars().take(65_535).collect::<String>().into())
                };
                session.guilds.iter_mut().for_each(cut);
            }
            _ => {}
        }
        session
    }

    async fn all(&self) -> Vec<(UserId, Session)> {
        self.inner.list(None, usize::MAX).await.unwrap().sessions
    }
}

#[async_trait]
impl SessionStore for Flawed {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, SessionError> {
        if self.flaw == F::OutageIsNone && self.more.away.load(SeqCst) {
            return Ok(None);
        }
        self.reach()?;
        let loaded = self.inner.load(&self.key(user)).await?;
        Ok(match self.flaw {
            F::InventsSessions if !self.more.saved.lock().unwrap().contains(user) => {
                Some(Session::default())
            }
            F::LoadsOnce if !self.more.loaded.lock().unwrap().insert(user.clone()) => None,
            F::SecondHandleIsBlind if self.second => None,
            _ => loaded,
        })
    }

    async fn save(
        &self,
        user: &UserId,
        session: &Session,
        expiry: Expiry,
    ) -> Result<(), SessionError> {
        self.reach()?;
        let (mut user, session, mut expiry) = (self.key(user), self.value(session), expiry);
        self.more.saved.lock().unwrap().insert(user.clone());
        match self.flaw {
            F::FirstSaveStays if self.inner.load(&user).await?.is_some() => return Ok(()),
            F::NeverExpires => expiry = Expiry::Never,
            F::ExpiresSoon => expiry = Expiry::In(Duration::from_millis(500)),
            F::AddsDurations => {
                if let Expiry::In(time) = expiry {
                    let _ = Instant::now() + time;
                }
            }
            F::KeepsExpiry => match expiry {
                Expiry::In(time) => {
                    let end = Instant::now().checked_add(time);
                    end.map(|end| self.more.expiries.lock().unwrap().insert(user.clone(), end));
                }
                Expiry::Never => {
                    if let Some(end) = self.more.expiries.lock().unwrap().get(&user) {
                        expiry = Expiry::In(end.duration_since(Instant::now()));
                    }
                }
            },
            F::Hangs
                if session
                    .guilds
                    .iter()
                    .any(|guild| guild.name.as_ref().is_some_and(|name| name.len() > 100_000)) =>
            {
                std::future::pending().await
            }
            F::TellsBeforehand => {
                let _ = self.more.beforehand.send(SessionEvent::Saved(user.clone()));
                for _ in 0..9 {
                    yield_now().await;
                }
            }
            F::SharesCurrentUser => {
                *self.more.current.lock().unwrap() = Some(user.clone());
                yield_now().await;
                user = self.more.current.lock().unwrap().clone().unwrap();
            }
            F::HandlesOverwrite if self.second => {
                // One handle begins while another has not ended: one of both changes is lost.
                if !self.more.pending.lock().unwrap().insert("file".into()) {
                    return Ok(());
                }
                yield_now().await;
                self.more.pending.lock().unwrap().remove("file");
            }
            F::SavesInTwoSteps => {
                self.inner.delete(&user).await?;
                yield_now().await;
            }
            _ => {}
        }
        let event = SessionEvent::Saved(user.clone());
        if self.second {
            self.more.told_by_second.lock().unwrap().push(event.clone());
        }
        self.more.told.lock().unwrap().push(event);
        self.more.saves_since_denial.fetch_add(1, SeqCst);
        self.inner.save(&user, &session, expiry).await
    }

    async fn delete(&self, user: &UserId) -> Result<bool, SessionError> {
        self.reach()?;
        let user = self.key(user);
        match self.flaw {
            F::DeletesEveryone => {
                for (other, _) in self.all().await {
                    self.inner.delete(&other).await?;
                }
            }
            F::DeletesNothing => return Ok(self.inner.load(&user).await?.is_some()),
            F::HidesWhileDeleting => {
                self.more.pending.lock().unwrap().insert(user.to_string());
                yield_now().await;
                self.more.pending.lock().unwrap().remove(user.as_str());
            }
            _ => {}
        }
        let was = self.inner.delete(&user).await?;
        Ok(was || self.flaw == F::AlwaysWasThere)
    }

    async fn list(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<SessionPage, SessionError> {
        self.reach()?;
        let all = self.all().await;
        let page: Vec<_> = match self.flaw {
            F::ListsWithoutCase => {
                let fold = |user: &UserId| user.as_str().to_lowercase();
                let mut all = all;
                all.sort_by_key(|(user, _)| fold(user));
                let behind = |(user, _): &(UserId, Session)| {
                    after.is_none_or(|after| fold(user) > fold(after))
                };
                all.into_iter().filter(behind).take(limit).collect()
            }
            F::NoLimitIsAll if limit == 0 => all,
            F::AfterIsInclusive => {
                let behind =
                    |(user, _): &(UserId, Session)| after.is_none_or(|after| user >= after);
                all.into_iter().filter(behind).take(limit).collect()
            }
            F::MissingAfterIsStart => {
                let there = after.filter(|after| all.iter().any(|(user, _)| user == *after));
                self.inner.list(there, limit).await?.sessions
            }
            F::PagesByOffset => {
                let offset =
                    after.map(|after| self.more.offsets.lock().unwrap().get(after).copied());
                if offset == Some(None) {
                    return self.inner.list(after, limit).await;
                }
                let from = offset.flatten().map_or(0, |offset| offset + 1);
                let page: Vec<_> = all.into_iter().enumerate().skip(from).take(limit).collect();
                let offsets = page
                    .iter()
                    .map(|(offset, (user, _))| (user.clone(), *offset));
                self.more.offsets.lock().unwrap().extend(offsets);
                page.into_iter().map(|(_, session)| session).collect()
            }
            F::HidesWhileDeleting => {
                let pending = self.more.pending.lock().unwrap().clone();
                let shown = |(user, _): &(UserId, Session)| {
                    after.is_none_or(|after| user > after) && !pending.contains(user.as_str())
                };
                all.into_iter().filter(shown).take(limit).collect()
            }
            _ => self.inner.list(after, limit).await?.sessions,
        };
        let without = |(user, _): (UserId, Session)| (user, Session::default());
        Ok(SessionPage::new(match self.flaw {
            F::ListsWithoutGuilds => page.into_iter().map(without).collect(),
            _ => page,
        }))
    }

    async fn deny(&self, token: &TokenId, until: SystemTime) -> Result<(), SessionError> {
        self.reach()?;
        let far = Duration::from_secs(100 * 365 * 24 * 3_600);
        let mut denied = token.clone();
        match self.flaw {
            F::DeniesNothing => return Ok(()),
            F::FoldsTokens => denied = TokenId::parse(&token.as_str().to_lowercase()).unwrap(),
            F::RefusesPast if until < SystemTime::now() => {
                return Err(SessionError::Invalid("over".into()));
            }
            F::ForgetsFarDenials if until > SystemTime::now() + far => return Ok(()),
            F::LeavesDenialPending => {
                if !self.more.pending.lock().unwrap().insert(token.to_string()) {
                    return Ok(());
                }
                yield_now().await;
                self.more.pending.lock().unwrap().remove(token.as_str());
            }
            _ => {}
        }
        {
            let mut denials = self.more.denials.lock().unwrap();
            self.more.saves_since_denial.store(0, SeqCst);
            if self.flaw == F::LastDenialCounts {
                denials.insert(token.clone(), until);
            } else {
                denials.entry(token.clone()).or_insert(until);
            }
        }
        self.more
            .told
            .lock()
            .unwrap()
            .push(SessionEvent::Denied(token.clone()));
        self.inner.deny(&denied, until).await
    }

    async fn is_denied(&self, token: &TokenId) -> Result<bool, SessionError> {
        self.reach()?;
        let own = || {
            let denials = self.more.denials.lock().unwrap();
            denials
                .get(token)
                .is_some_and(|until| *until > SystemTime::now())
        };
        match self.flaw {
            F::LastDenialCounts | F::FirstDenialCounts => Ok(own()),
            F::FoldsTokens => {
                let token = TokenId::parse(&token.as_str().to_lowercase()).unwrap();
                self.inner.is_denied(&token).await
            }
            F::SecondHandleDeniesNothing if self.second => Ok(false),
            F::RestartForgetsDenials if self.more.restarted.load(SeqCst) => Ok(false),
            F::SavesForgetDenials if self.more.saves_since_denial.load(SeqCst) > 150 => Ok(false),
            F::OutageForgetsDenials if self.more.was_away.load(SeqCst) => Ok(false),
            _ => self.inner.is_denied(token).await,
        }
    }

    async fn watch(&self) -> Result<SessionWatch, SessionError> {
        self.reach()?;
        let (inner, more) = (self.inner.watch().await?, Arc::clone(&self.more));
        Ok(match self.flaw {
            F::TellsNoDenial => Box::pin(without(inner, |event| {
                matches!(event, SessionEvent::Denied(_))
            })),
            F::HidesMissed => Box::pin(without(inner, |event| *event == SessionEvent::Missed)),
            F::SecondHandleHearsNothing if self.second => Box::pin(stream::pending()),
            F::TellsBeforehand => {
                let early = stream::unfold(more.beforehand.subscribe(), |mut events| async {
                    let event = events.recv().await.ok()?;
                    Some((event, events))
                });
                Box::pin(stream::select(Box::pin(early), inner))
            }
            F::TellsSavesLate => Box::pin(inner.flat_map(|event| {
                let again = match &event {
                    SessionEvent::Deleted(user) => Some(SessionEvent::Saved(user.clone())),
                    _ => None,
                };
                stream::iter([Some(event), again].into_iter().flatten())
            })),
            F::TellsThePast => {
                let past = more.told.lock().unwrap().clone();
                Box::pin(stream::iter(past).chain(inner))
            }
            F::TellsTheOthersPast if !self.second => {
                let past = more.told_by_second.lock().unwrap().clone();
                Box::pin(stream::iter(past).chain(inner))
            }
            F::EndsAllWatches => {
                let guard = CountDrop(Arc::clone(&more));
                Box::pin(inner.take_while(move |_| {
                    let goes_on = guard.0.dropped.load(SeqCst) == 0;
                    async move { goes_on }
                }))
            }
            F::OutageSilences => Box::pin(inner.filter(move |_| {
                let shown = !more.was_away.load(SeqCst);
                async move { shown }
            })),
            _ => inner,
        })
    }

    async fn claim(&self, claim: &Claim<'_>) -> Result<Claimed, SessionError> {
        self.reach()?;
        let key = format!("{}:{}", claim.guild, claim.message);
        let before = |(user, at): &(UserId, u64)| Claimed::Before {
            user: user.clone(),
            at: *at,
        };
        match self.flaw {
            F::AlwaysNew => return Ok(Claimed::New),
            F::JoinsClaimKeys => {
                let guild = GuildId::parse("all").unwrap();
                return self
                    .inner
                    .claim(&Claim::new(&guild, &key, claim.user, claim.at, claim.ttl))
                    .await;
            }
            F::ClaimsForLong => {
                let ttl = Duration::from_secs(999);
                return self
                    .inner
                    .claim(&Claim::new(
                        claim.guild,
                        claim.message,
                        claim.user,
                        claim.at,
                        ttl,
                    ))
                    .await;
            }
            F::ClaimsInTwoSteps if claim.ttl > Duration::from_secs(60) && claim.message == "m" => {
                let key = (claim.guild.clone(), claim.message.to_owned());
                if let Some(holder) = self.more.claims.lock().unwrap().get(&key) {
                    return Ok(before(holder));
                }
                yield_now().await;
                let holder = (claim.user.clone(), claim.at);
                self.more.claims.lock().unwrap().insert(key, holder);
                return Ok(Claimed::New);
            }
            F::SecondHandleClaimsAlone if self.second => return self.more.alone.claim(claim).await,
            F::LeavesClaimPending => {
                if !self.more.pending.lock().unwrap().insert(key.clone()) {
                    return Ok(Claimed::New);
                }
                yield_now().await;
                self.more.pending.lock().unwrap().remove(&key);
            }
            _ => {}
        }
        self.inner.claim(claim).await
    }
}

fn without(
    watch: SessionWatch,
    hidden: fn(&SessionEvent) -> bool,
) -> Pin<Box<dyn Stream<Item = SessionEvent> + Send>> {
    Box::pin(watch.filter(move |event| {
        let shown = !hidden(event);
        async move { shown }
    }))
}

struct CountDrop(Arc<More>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

struct Stores(Flaw);

impl SessionStoreFactory for Stores {
    type Store = Flawed;

    async fn create(&self) -> Flawed {
        Flawed::new(self.0)
    }

    async fn reopen(&self, store: &Flawed) -> Option<Flawed> {
        Some(Flawed {
            second: true,
            ..store.clone()
        })
    }

    async fn restart(&self, store: Flawed) -> Option<Flawed> {
        store.more.restarted.store(true, SeqCst);
        if self.0 == F::RestartForgetsSessions {
            for (user, _) in store.all().await {
                store.inner.delete(&user).await.unwrap();
            }
        }
        Some(store)
    }

    async fn cut_off(&self, store: &Flawed) -> bool {
        store.more.away.store(true, SeqCst);
        true
    }

    async fn reconnect(&self, store: &Flawed) {
        store.more.away.store(false, SeqCst);
        store.more.was_away.store(true, SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn each_broken_store_is_caught() {
    each_is_caught(&clauses(), FLAWS, |flaw, breaks| match breaks {
        Only(_) => Box::pin(check(Stores(flaw))),
        AtLeast(clause) => Box::pin(check_clause(Stores(flaw), clause)),
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_store_without_a_flaw_keeps_every_clause() {
    all_hold(check(Stores(F::None)).await, &clauses());
}

#[tokio::test]
async fn what_was_seen_is_said() {
    let failed = |flaw, clause| async move {
        check_clause(Stores(flaw), clause)
            .await
            .unwrap_err()
            .to_string()
    };
    let panicked = failed(F::Panics, "load-nothing").await;
    assert!(
        panicked.contains("clause \"load-nothing\": panicked: the store panics"),
        "{panicked}"
    );
    let unknown = failed(F::None, "no-such-clause").await;
    assert!(
        unknown.contains("there is no clause \"no-such-clause\""),
        "{unknown}"
    );
    let wrong = failed(F::FirstSaveStays, "save-replaces").await;
    assert!(
        wrong.contains("expected") && wrong.contains("\"two\"") && wrong.contains("\"one\""),
        "{wrong}"
    );
}
