//! Which message ids were used lately, and by whom.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{GuildId, MessageId, UserId};

/// How long a message id belongs to who used it.
pub(in crate::chat) const ID_LIFETIME: Duration = Duration::from_secs(120);
/// The most ids remembered per user; the oldest goes first.
pub(super) const MAX_IDS_PER_USER: usize = 1_000;
/// The most ids remembered on a node; the oldest goes first.
pub(super) const MAX_IDS: usize = 1 << 18;

/// A guild and a message id in it, as one text: neither contains a NUL.
pub(super) fn key(guild: &GuildId, id: &MessageId) -> Arc<str> {
    [guild.as_str(), "\0", id.as_str()].concat().into()
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// On its way: it may yet fail.
    Pending,
    /// It was broadcast.
    Accepted,
    /// It failed, after other nodes may have been told of it.
    Abandoned,
}

/// One use of an id.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) user: UserId,
    /// When the message was accepted: milliseconds of Unix time.
    pub(super) at: u64,
    pub(super) stage: Stage,
    /// Tells this use from an earlier one of the same id.
    serial: u64,
}

/// The ids in use.
///
/// `order` and `of_user` list the uses, oldest first. They may still name a use that is gone from `uses`; its serial
/// number tells.
#[derive(Debug, Default)]
pub(super) struct Ids {
    uses: HashMap<Arc<str>, Use>,
    order: VecDeque<(Instant, u64, Arc<str>, UserId)>,
    of_user: HashMap<UserId, VecDeque<(u64, Arc<str>)>>,
    next_serial: u64,
}

impl Ids {
    /// The use of an id in the last [`ID_LIFETIME`].
    pub(super) fn find(&mut self, key: &str, now: Instant) -> Option<&Use> {
        while let Some((since, ..)) = self.order.front()
            && now.saturating_duration_since(*since) >= ID_LIFETIME
        {
            self.forget_oldest();
        }
        self.uses.get(key)
    }

    /// Notes that an id is being used, in place of any earlier use, and returns the use's serial number.
    pub(super) fn begin(&mut self, key: &Arc<str>, user: &UserId, at: u64, now: Instant) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        let begun = Use {
            user: user.clone(),
            at,
            stage: Stage::Pending,
            serial,
        };
        self.uses.insert(Arc::clone(key), begun);

        let own = self.of_user.entry(user.clone()).or_default();
        own.push_back((serial, Arc::clone(key)));
        if own.len() > MAX_IDS_PER_USER
            && let Some((serial, key)) = own.pop_front()
        {
            self.remove(&key, serial);
        }
        let entry = (now, serial, Arc::clone(key), user.clone());
        self.order.push_back(entry);
        if self.order.len() > MAX_IDS {
            self.forget_oldest();
        }
        serial
    }

    /// The use with that serial number, if it is still remembered.
    pub(super) fn get_mut(&mut self, key: &str, serial: u64) -> Option<&mut Use> {
        self.uses.get_mut(key).filter(|u| u.serial == serial)
    }

    /// Frees an id, if that use still has it.
    pub(super) fn remove(&mut self, key: &str, serial: u64) {
        if self.uses.get(key).is_some_and(|u| u.serial == serial) {
            self.uses.remove(key);
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, serial, key, user)) = self.order.pop_front() else {
            return;
        };
        self.remove(&key, serial);
        if let Some(own) = self.of_user.get_mut(&user) {
            if own.front().is_some_and(|(first, _)| *first == serial) {
                own.pop_front();
            }
            if own.is_empty() {
                self.of_user.remove(&user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn numbered(n: usize) -> Arc<str> {
        n.to_string().into()
    }

    #[test]
    fn the_oldest_of_a_user_goes_first() {
        let (mut ids, now) = (Ids::default(), Instant::now());
        let (alice, bob) = (user("alice"), user("bob"));
        ids.begin(&"bobs".into(), &bob, 0, now);
        for n in 0..=MAX_IDS_PER_USER {
            ids.begin(&numbered(n), &alice, 0, now);
        }
        assert!(ids.find("0", now).is_none());
        assert!(ids.find("1", now).is_some() && ids.find("bobs", now).is_some());
        // A use that was evicted and then begun anew is not ended with the old one.
        ids.begin(&numbered(0), &bob, 0, now + ID_LIFETIME / 2);
        assert!(ids.find("0", now + ID_LIFETIME).is_some());
        assert!(ids.find("2", now + ID_LIFETIME).is_none());
        assert!(ids.find("0", now + ID_LIFETIME * 2).is_none());
        assert!(ids.uses.is_empty() && ids.order.is_empty() && ids.of_user.is_empty());
    }

    #[test]
    fn the_oldest_of_a_node_goes_first() {
        let (mut ids, now) = (Ids::default(), Instant::now());
        for n in 0..=MAX_IDS {
            ids.begin(&numbered(n), &user(&(n % 1000).to_string()), 0, now);
        }
        assert_eq!((ids.uses.len(), ids.order.len()), (MAX_IDS, MAX_IDS));
        assert!(ids.find("0", now).is_none() && ids.find("1", now).is_some());
    }

    #[test]
    fn a_later_use_is_untouched_by_an_earlier_ones_end() {
        let (mut ids, now) = (Ids::default(), Instant::now());
        let first = ids.begin(&"k".into(), &user("alice"), 1, now);
        let second = ids.begin(&"k".into(), &user("bob"), 2, now);
        ids.remove("k", first);
        assert_eq!(ids.find("k", now).unwrap().at, 2);
        assert!(ids.get_mut("k", first).is_none() && ids.get_mut("k", second).is_some());
    }
}
