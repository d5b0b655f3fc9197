//! A map whose entries can end by themselves.

use std::{borrow::Borrow, collections::BTreeMap, ops::Bound, time::Duration};

/// A year: the longest that something is kept which has to end. It is safe to add to any clock.
pub(super) const FARTHEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// An ordered map with a deadline for each entry that has one. Time is an argument: nothing ends before
/// [`pop_expired`](Self::pop_expired) is asked.
#[derive(Debug)]
pub(super) struct Expiring<K, V, T> {
    entries: BTreeMap<K, (V, Option<(T, u64)>)>,
    // The number keeps apart what ends at the same time, in the order of insertion.
    deadlines: BTreeMap<(T, u64), K>,
    inserted: u64,
}

impl<K: Ord + Clone, V, T: Ord + Copy> Expiring<K, V, T> {
    /// Inserts, in place of what was there, which is returned.
    pub(super) fn insert(&mut self, key: K, value: V, until: Option<T>) -> Option<V> {
        let old = self.remove(&key);
        self.inserted += 1;
        let deadline = until.map(|until| (until, self.inserted));
        if let Some(deadline) = deadline {
            self.deadlines.insert(deadline, key.clone());
        }
        self.entries.insert(key, (value, deadline));
        old
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (value, deadline) = self.entries.remove(key)?;
        if let Some(deadline) = deadline {
            self.deadlines.remove(&deadline);
        }
        Some(value)
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|(value, _)| value)
    }

    /// When the entry ends, if it is there and ends.
    pub(super) fn until(&self, key: &K) -> Option<T> {
        let (_, deadline) = self.entries.get(key)?;
        deadline.map(|(until, _)| until)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.keys()
    }

    /// The entries behind `after`, in the keys' order.
    pub(super) fn behind(&self, after: Option<&K>) -> impl Iterator<Item = (&K, &V)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.entries.range((from, Bound::Unbounded));
        entries.map(|(key, (value, _))| (key, value))
    }

    /// Takes out one entry whose time is over.
    pub(super) fn pop_expired(&mut self, now: T) -> Option<(K, V)> {
        let ((until, _), _) = self.deadlines.first_key_value()?;
        if *until > now {
            return None;
        }
        self.pop_first_to_end()
    }

    /// Takes out the entry that would end first.
    pub(super) fn pop_first_to_end(&mut self) -> Option<(K, V)> {
        let (_, key) = self.deadlines.pop_first()?;
        let (value, _) = self.entries.remove(&key)?;
        Some((key, value))
    }

    /// Drops every entry whose time is over.
    pub(super) fn prune(&mut self, now: T) {
        while self.pop_expired(now).is_some() {}
    }
}

impl<K, V, T> Default for Expiring<K, V, T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            inserted: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_in_the_order_of_their_deadlines() {
        let mut map = Expiring::<&str, u8, u32>::default();
        map.insert("never", 0, None);
        map.insert("late", 1, Some(20));
        map.insert("soon", 2, Some(10));
        map.insert("soon too", 3, Some(10));
        assert_eq!(map.pop_expired(9), None);
        assert_eq!(map.pop_expired(10), Some(("soon", 2)));
        assert_eq!(map.pop_expired(10), Some(("soon too", 3)));
        assert_eq!(map.pop_expired(10), None);
        map.prune(u32::MAX);
        assert_eq!(map.keys().collect::<Vec<_>>(), [&"never"]);
        assert_eq!(map.pop_first_to_end(), None);
    }

    #[test]
    fn replacing_and_removing_forget_the_deadline() {
        let mut map = Expiring::<&str, u8, u32>::default();
        map.insert("a", 1, Some(1));
        assert_eq!(map.insert("a", 2, Some(5)), Some(1));
        assert_eq!((map.pop_expired(1), map.until(&"a")), (None, Some(5)));
        map.insert("a", 3, None);
        assert_eq!((map.pop_expired(9), map.get("a")), (None, Some(&3)));
        map.insert("a", 4, Some(1));
        assert_eq!(map.remove("a"), Some(4));
        assert_eq!((map.pop_expired(9), map.len()), (None, 0));
    }

    #[test]
    fn listing_begins_behind_a_key_that_need_not_be_there() {
        let mut map = Expiring::<u8, (), u32>::default();
        for key in [1, 3, 5] {
            map.insert(key, (), None);
        }
        let behind = |after| map.behind(after).map(|(key, ())| *key).collect::<Vec<_>>();
        assert_eq!(behind(None), [1, 3, 5]);
        assert_eq!(behind(Some(&3)), [5]);
        assert_eq!(behind(Some(&2)), [3, 5]);
        assert!(behind(Some(&5)).is_empty());
    }
}
