//! Who may send what, how often, and under which id. Pure but for a short lock; time is an argument.

mod ids;
mod rate;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;

pub(super) use self::ids::ID_LIFETIME;
pub use self::rate::{ChatRate, InvalidChatRate};
use self::{
    ids::{Ids, Stage},
    rate::Windows,
};
use super::refusal::Refusal;
use crate::{GuildId, MessageId, UserId};

/// The checks of who may send where. `is_member`: the sender belongs to the guild.
pub(super) fn authorize(is_admin: bool, is_member: bool, admin_only: bool) -> Result<(), Refusal> {
    if !is_admin && !is_member {
        return Err(Refusal::GuildForbidden);
    }
    if !is_admin && admin_only {
        return Err(Refusal::AdminOnly);
    }
    Ok(())
}

/// A moment, on the clock that only goes forward and on the calendar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) unix_ms: u64,
}

/// What a node remembers of its users' messages: the ids in use, and how many each user sent.
#[derive(Debug)]
pub(super) struct Policy {
    state: Mutex<State>,
    /// Tells those who wait for a pending message that some message was settled.
    settled: Notify,
}

#[derive(Debug)]
struct State {
    ids: Ids,
    windows: Windows,
}

/// What is to become of a message.
#[derive(Debug)]
pub(super) enum Verdict<'a> {
    /// It may be sent.
    Send(Reservation<'a>),
    /// It was accepted before, at this time in milliseconds of Unix time.
    Retry { at: u64 },
    /// It is refused.
    Refuse(Refusal),
}

impl Policy {
    pub(super) fn new(rate: ChatRate) -> Self {
        Self {
            state: Mutex::new(State {
                ids: Ids::default(),
                windows: Windows::new(rate),
            }),
            settled: Notify::new(),
        }
    }

    /// Reserves an id and a place in the rate for a message of `user`.
    ///
    /// While another message of that id is on its way, this waits for what becomes of it: only then is it known whether
    /// this one is a retry, or the first.
    pub(super) async fn reserve(
        &self,
        user: &UserId,
        guild: &GuildId,
        id: &MessageId,
        clock: impl Fn() -> Now,
    ) -> Verdict<'_> {
        let key = ids::key(guild, id);
        loop {
            if let Some(verdict) = self.try_reserve(user, &key, clock()) {
                return verdict;
            }
            let settled = self.settled.notified();
            // The other may have been settled before this began to listen.
            if let Some(verdict) = self.try_reserve(user, &key, clock()) {
                return verdict;
            }
            settled.await;
        }
    }

    /// `None`: a message of that id is on its way.
    fn try_reserve(&self, user: &UserId, key: &Arc<str>, now: Now) -> Option<Verdict<'_>> {
        let mut state = self.state();
        let State { ids, windows } = &mut *state;
        let (mut at, mut is_again) = (now.unix_ms, false);
        if let Some(known) = ids.find(key, now.instant) {
            match known.stage {
                Stage::Pending => return None,
                Stage::Accepted if known.user == *user => {
                    return Some(Verdict::Retry { at: known.at });
                }
                Stage::Accepted => return Some(Verdict::Refuse(Refusal::DuplicateId)),
                // The same time again lets the claim of the first attempt be known as one's own.
                Stage::Abandoned if known.user == *user => (at, is_again) = (known.at, true),
                Stage::Abandoned => {}
            }
        }
        // Only now, so that a retry needs no place and a message without one leaves its id free.
        if let Err(retry_after) = windows.take(user, now.instant) {
            return Some(Verdict::Refuse(Refusal::RateLimited { retry_after }));
        }
        let serial = ids.begin(key, user, at, now.instant);
        Some(Verdict::Send(Reservation {
            policy: self,
            user: user.clone(),
            key: Arc::clone(key),
            serial,
            at,
            is_again,
            counted_at: now.instant,
            outcome: Outcome::Released,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing here panics halfway through a change, and a chat that still answers is worth more than a poisoned one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id and a place in the rate, for a message that is about to be sent. Dropped unsent, both are free again.
#[derive(Debug)]
#[must_use]
pub(super) struct Reservation<'a> {
    policy: &'a Policy,
    user: UserId,
    key: Arc<str>,
    serial: u64,
    at: u64,
    is_again: bool,
    counted_at: Instant,
    outcome: Outcome,
}

/// What dropping a reservation does.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// Nobody knows of the message.
    Released,
    /// Other nodes may know of it.
    Claiming,
    /// It was broadcast.
    Sent,
    /// Another node accepted it before, at this time.
    SentBefore(u64),
}

impl Reservation<'_> {
    /// When the message counts as accepted: milliseconds of Unix time.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Whether an earlier attempt of this node may have told other nodes of the message, with that time.
    pub(super) fn is_again(&self) -> bool {
        self.is_again
    }

    /// Says that other nodes are about to be told of the message. Should it fail from here on, its author can send it
    /// again, and the earlier claim will be known as this one's.
    pub(super) fn claiming(&mut self) {
        self.outcome = Outcome::Claiming;
    }

    /// The message was broadcast.
    pub(super) fn sent(mut self) {
        self.outcome = Outcome::Sent;
    }

    /// Another node had accepted the message at `at`: this was a retry.
    pub(super) fn sent_before(mut self, at: u64) {
        self.outcome = Outcome::SentBefore(at);
    }

    /// Another user has the id.
    pub(super) fn taken(mut self) {
        self.outcome = Outcome::Released;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.policy.state();
        let State { ids, windows } = &mut *state;
        if !matches!(self.outcome, Outcome::Sent) {
            windows.give_back(&self.user, self.counted_at);
        }
        let settle = |ids: &mut Ids, stage, at| {
            if let Some(used) = ids.get_mut(&self.key, self.serial) {
                (used.stage, used.at) = (stage, at);
            }
        };
        match self.outcome {
            Outcome::Released => ids.remove(&self.key, self.serial),
            Outcome::Claiming => settle(ids, Stage::Abandoned, self.at),
            Outcome::Sent => settle(ids, Stage::Accepted, self.at),
            Outcome::SentBefore(at) => settle(ids, Stage::Accepted, at),
        }
        drop(state);
        self.policy.settled.notify_waiters();
    }
}
