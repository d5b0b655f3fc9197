//! Message ids across nodes: the session store is asked who used an id first, as far as it shares that.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::policy::{ID_LIFETIME, Reservation};
use crate::{
    GuildId, MessageId, UserId,
    session::{Claim, Claimed, SessionError, SessionStore},
};

/// How long a store that failed is left alone. Then one message asks again, and the others do not wait for it: an outage must not delay them.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// Asks a session store. While it cannot tell, the node's own memory decides.
#[derive(Debug)]
pub(super) struct Claims {
    store: Arc<dyn SessionStore>,
    timeout: Duration,
    /// Set while the store fails.
    paused_until: Mutex<Option<Instant>>,
}

/// Whose an id is.
#[derive(Debug)]
pub(super) enum Owner<'a> {
    /// This message's: it is to be sent.
    Ours(Reservation<'a>),
    /// The same user's message, accepted before at this time in milliseconds of Unix time.
    OursBefore(u64),
    /// Another user's.
    Other,
}

impl Claims {
    pub(super) fn new(store: Arc<dyn SessionStore>, timeout: Duration) -> Self {
        Self {
            store,
            timeout,
            paused_until: Mutex::new(None),
        }
    }

    /// Claims the id of a message that this node would send.
    pub(super) async fn claim<'a>(
        &self,
        mut reservation: Reservation<'a>,
        user: &UserId,
        guild: &GuildId,
        id: &MessageId,
    ) -> Owner<'a> {
        if !self.may_ask() {
            return Owner::Ours(reservation);
        }
        let at = reservation.at();
        reservation.claiming();
        let claim = Claim::new(guild, id.as_str(), user, at, ID_LIFETIME);
        let claimed = tokio::time::timeout(self.timeout, self.store.claim(&claim)).await;
        match self.noted(claimed) {
            // An earlier attempt of this node, which failed after its claim; and not the same message on another node in the same millisecond.
            Some(Claimed::Before { user: by, at: then })
                if by == *user && then == at && reservation.is_again() =>
            {
                Owner::Ours(reservation)
            }
            Some(Claimed::Before { user: by, at: then }) if by == *user => {
                reservation.sent_before(then);
                Owner::OursBefore(then)
            }
            Some(Claimed::Before { .. }) => {
                reservation.taken();
                Owner::Other
            }
            Some(Claimed::New | Claimed::NotShared) | None => Owner::Ours(reservation),
        }
    }

    /// Whether the store is to be asked. While it fails, who may ask is the only one until there is an answer.
    fn may_ask(&self) -> bool {
        let paused_until = self.paused_until.lock();
        let mut paused_until = paused_until.unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &mut *paused_until {
            None => true,
            Some(until) if now < *until => false,
            Some(until) => {
                *until = now + self.timeout + PAUSE;
                true
            }
        }
    }

    /// The answer, if there is one. The log is told when answers cease and when they are back.
    fn noted(
        &self,
        claimed: Result<Result<Claimed, SessionError>, tokio::time::error::Elapsed>,
    ) -> Option<Claimed> {
        let paused_until = self.paused_until.lock();
        let mut paused_until = paused_until.unwrap_or_else(PoisonError::into_inner);
        let was_down = paused_until.is_some();
        let error: Box<dyn std::error::Error> = match claimed {
            Ok(Ok(claimed)) => {
                *paused_until = None;
                if was_down {
                    tracing::info!("message ids are shared with other nodes again");
                }
                return Some(claimed);
            }
            Ok(Err(error)) => error.into(),
            Err(elapsed) => elapsed.into(),
        };
        *paused_until = Some(Instant::now() + PAUSE);
        if !was_down {
            tracing::warn!(
                error = &*error,
                "message ids are not shared with other nodes: the session store does not answer"
            );
        }
        None
    }
}
