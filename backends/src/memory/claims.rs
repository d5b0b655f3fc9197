//! Which message ids have been used, and by whom.

use std::collections::{BTreeMap, HashMap};

use slimy_rt::{
    GuildId, UserId,
    session::{Claim, Claimed},
};
use tokio::time::Instant;

use super::expiring::{Expiring, FARTHEST};

/// The most message ids that are remembered of one user; the oldest go first.
pub const MAX_CLAIMS_PER_USER: usize = 1_000;
/// The most message ids that are remembered of all users; those that would end first go first.
pub const MAX_CLAIMS: usize = 200_000;

type Id = (GuildId, Box<str>);

/// The claims of all users.
#[derive(Debug, Default)]
pub(super) struct Claims {
    ids: Expiring<Id, Holder, Instant>,
    by_user: HashMap<UserId, BTreeMap<u64, Id>>,
    made: u64,
}

#[derive(Debug)]
struct Holder {
    user: UserId,
    at: u64,
    number: u64,
}

impl Claims {
    pub(super) fn claim(&mut self, claim: &Claim<'_>, now: Instant) -> Claimed {
        while let Some((_, ended)) = self.ids.pop_expired(now) {
            self.forget(&ended);
        }
        let id: Id = (claim.guild.clone(), claim.message.into());
        if let Some(holder) = self.ids.get(&id) {
            return Claimed::Before {
                user: holder.user.clone(),
                at: holder.at,
            };
        }
        self.make_room(claim.user);
        self.made += 1;
        let of_user = self.by_user.entry(claim.user.clone()).or_default();
        of_user.insert(self.made, id.clone());
        let holder = Holder {
            user: claim.user.clone(),
            at: claim.at,
            number: self.made,
        };
        // Everything ends, or `make_room` would not find it.
        let until = now + claim.ttl.min(FARTHEST);
        self.ids.insert(id, holder, Some(until));
        Claimed::New
    }

    fn make_room(&mut self, user: &UserId) {
        let full = |ids: &BTreeMap<u64, Id>| ids.len() >= MAX_CLAIMS_PER_USER;
        if let Some((_, oldest)) = self
            .by_user
            .get_mut(user)
            .filter(|ids| full(ids))
            .and_then(BTreeMap::pop_first)
        {
            self.ids.remove(&oldest);
        }
        if self.ids.len() >= MAX_CLAIMS
            && let Some((_, first)) = self.ids.pop_first_to_end()
        {
            self.forget(&first);
        }
    }

    fn forget(&mut self, holder: &Holder) {
        if let Some(ids) = self.by_user.get_mut(&holder.user) {
            ids.remove(&holder.number);
            if ids.is_empty() {
                self.by_user.remove(&holder.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TTL: Duration = Duration::from_secs(120);

    fn guild(id: &str) -> GuildId {
        GuildId::parse(id).unwrap()
    }

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    fn before(id: &str, at: u64) -> Claimed {
        Claimed::Before { user: user(id), at }
    }

    #[test]
    fn the_first_claim_wins_until_it_ends() {
        let mut claims = Claims::default();
        let (now, g, a, b) = (Instant::now(), guild("g"), user("a"), user("b"));
        assert_eq!(
            claims.claim(&Claim::new(&g, "m", &a, 1, TTL), now),
            Claimed::New
        );
        let second = Claim::new(&g, "m", &b, 2, TTL);
        assert_eq!(claims.claim(&second, now), before("a", 1));
        assert_eq!(
            claims.claim(&Claim::new(&g, "m", &a, 3, TTL), now),
            before("a", 1)
        );
        assert_eq!(
            claims.claim(&Claim::new(&guild("h"), "m", &b, 4, TTL), now),
            Claimed::New
        );
        let almost = now + TTL - Duration::from_millis(1);
        assert_eq!(claims.claim(&second, almost), before("a", 1));
        assert_eq!(claims.claim(&second, now + TTL), Claimed::New);
        assert!(
            !claims.by_user.contains_key(&a),
            "nothing is kept of who has no claims"
        );
    }

    #[test]
    fn a_users_oldest_claim_makes_room_for_the_newest() {
        let mut claims = Claims::default();
        let (now, g, a, b) = (Instant::now(), guild("g"), user("a"), user("b"));
        claims.claim(&Claim::new(&g, "of b", &b, 0, TTL), now);
        for i in 0..=MAX_CLAIMS_PER_USER {
            let id = i.to_string();
            assert_eq!(
                claims.claim(&Claim::new(&g, &id, &a, 0, TTL), now),
                Claimed::New
            );
        }
        assert_eq!(claims.ids.len(), MAX_CLAIMS_PER_USER + 1);
        assert_eq!(
            claims.claim(&Claim::new(&g, "1", &b, 9, TTL), now),
            before("a", 0)
        );
        assert_eq!(
            claims.claim(&Claim::new(&g, "0", &b, 9, TTL), now),
            Claimed::New
        );
        assert_eq!(
            claims.claim(&Claim::new(&g, "of b", &a, 9, TTL), now),
            before("b", 0)
        );
    }

    #[test]
    fn all_users_together_are_bounded() {
        let mut claims = Claims::default();
        let (now, g) = (Instant::now(), guild("g"));
        for i in 0..=MAX_CLAIMS {
            let (id, user) = (i.to_string(), user(&i.to_string()));
            claims.claim(&Claim::new(&g, &id, &user, 0, TTL), now);
        }
        assert_eq!(claims.ids.len(), MAX_CLAIMS);
        assert_eq!(claims.by_user.len(), MAX_CLAIMS);
    }

    #[test]
    fn an_endless_claim_does_not_overflow() {
        let mut claims = Claims::default();
        let (now, g, a) = (Instant::now(), guild("g"), user("a"));
        let endless = Claim::new(&g, "m", &a, 0, Duration::MAX);
        assert_eq!(claims.claim(&endless, now), Claimed::New);
        assert_eq!(claims.claim(&endless, now), before("a", 0));
    }
}
