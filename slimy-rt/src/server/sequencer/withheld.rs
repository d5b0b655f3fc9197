//! What a client that came back has received at another node, and this node has not heard of yet.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    NodeId,
    broker::Position,
    server::{link::Key, shard::Target},
};

/// What must not be delivered to a client again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Received {
    /// Everything up to here in the log.
    pub(crate) position: Position,
    /// Publications of these nodes up to their numbers, wherever the log has them.
    pub(crate) nodes: Vec<(NodeId, u64)>,
}

impl Received {
    /// Whether it covers a publication with that place and number.
    pub(crate) fn covers(&self, position: Option<&Position>, id: Option<&(NodeId, u64)>) -> bool {
        position.is_some_and(|at| *at <= self.position)
            || id.is_some_and(|(node, number)| {
                let up_to = |(n, up_to): &(NodeId, u64)| n == node && number <= up_to;
                self.nodes.iter().any(up_to)
            })
    }
}

/// Who must not be delivered what. Nearly always empty.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    /// Until this node has heard the log so far.
    positions: Vec<(Position, Key)>,
    /// Until that node's publications have come so far, which may be never: then for as long as clients can come back.
    nodes: HashMap<NodeId, Vec<(u64, Key, Instant)>>,
}

impl Withheld {
    /// Withholds from a connection what it has received; `heard` is how far this node has heard the log.
    pub(super) fn add(
        &mut self,
        key: Key,
        received: &Received,
        heard: Option<&Position>,
        within: Duration,
    ) {
        let now = Instant::now();
        self.nodes.retain(|_, waiting| {
            waiting.retain(|(_, _, until)| now < *until);
            !waiting.is_empty()
        });
        if heard.is_none_or(|heard| *heard < received.position) {
            self.positions.push((received.position.clone(), key));
        }
        for (node, number) in &received.nodes {
            let waiting = self.nodes.entry(node.clone()).or_default();
            waiting.push((*number, key, now + within));
        }
    }

    /// The log was heard up to there.
    pub(super) fn heard(&mut self, position: &Position) {
        if !self.positions.is_empty() {
            self.positions.retain(|(up_to, _)| position < up_to);
        }
    }

    /// Whom a publication must not be delivered to. Forgets what cannot matter any more.
    pub(super) fn from(
        &mut self,
        position: Option<&Position>,
        id: Option<&(NodeId, u64)>,
        except: &mut impl Extend<Target>,
    ) {
        if let Some(position) = position.filter(|_| !self.positions.is_empty()) {
            self.positions.retain(|(up_to, _)| position <= up_to);
            except.extend(self.positions.iter().map(|(_, key)| Target::One(*key)));
        }
        let Some((node, number)) = id.filter(|_| !self.nodes.is_empty()) else {
            return;
        };
        if let Some(waiting) = self.nodes.get_mut(node) {
            waiting.retain(|(up_to, _, _)| number <= up_to);
            except.extend(waiting.iter().map(|(_, key, _)| Target::One(*key)));
            if waiting.is_empty() {
                self.nodes.remove(node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(slot: u32) -> Key {
        Key {
            shard: 0,
            slot,
            generation: 0,
        }
    }

    #[test]
    fn it_is_withheld_until_it_has_come() {
        let (n, m) = (NodeId::parse("n").unwrap(), NodeId::parse("m").unwrap());
        let mut withheld = Withheld::default();
        let received = Received {
            position: Position::at("e", 5),
            nodes: vec![(n.clone(), 7)],
        };
        let minute = Duration::from_secs(60);
        withheld.add(key(1), &received, Some(&Position::at("e", 3)), minute);
        withheld.add(
            key(2),
            &received,
            Some(&Position::at("e", 5)),
            Duration::ZERO,
        );
        withheld.add(key(3), &received, Some(&Position::at("e", 5)), minute);
        let mut from = |position, node: &NodeId, number| {
            let mut except = Vec::new();
            let id = (node.clone(), number);
            withheld.from(Some(&Position::at("e", position)), Some(&id), &mut except);
            let keys = except.iter().map(|target| match target {
                Target::One(key) => key.slot,
                Target::Room(_) => 0,
            });
            keys.collect::<Vec<_>>()
        };
        assert_eq!(from(4, &m, 99), [1]);
        assert_eq!(from(5, &n, 6), [1, 1, 3], "the second's time is over");
        assert!(from(6, &m, 100).is_empty());
        assert_eq!(from(7, &n, 7), [1, 3]);
        assert!(from(8, &n, 8).is_empty());
        withheld.add(key(4), &received, None, Duration::ZERO);
        withheld.heard(&Position::at("e", 4));
        assert_eq!(withheld.positions.len(), 1);
        withheld.heard(&Position::at("e", 5));
        withheld.nodes.clear();
        assert!(withheld.positions.is_empty() && withheld.nodes.is_empty());
    }

    #[test]
    fn what_was_received_covers() {
        let (n, m) = (NodeId::parse("n").unwrap(), NodeId::parse("m").unwrap());
        let received = Received {
            position: Position::at("e", 5),
            nodes: vec![(n.clone(), 7)],
        };
        let covers =
            |at, node: &NodeId, number| received.covers(Some(&at), Some(&(node.clone(), number)));
        assert!(covers(Position::at("e", 5), &m, 9) && covers(Position::at("e", 6), &n, 7));
        assert!(!covers(Position::at("e", 6), &n, 8) && !covers(Position::at("e", 6), &m, 1));
        assert!(!covers(Position::at("f", 1), &m, 1) && !received.covers(None, None));
    }
}
