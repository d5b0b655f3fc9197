//! Where this node stands: how far it has heard the log, and how far it has published itself. What an event's offset says.

use std::fmt::Write;

use super::Received;
use crate::{NodeId, broker::Position, server::recovery::offset::tail};

/// This node's place, changed under the sequencer's lock only.
#[derive(Debug)]
pub(super) struct Place {
    node: NodeId,
    /// The last place in the log that was applied here; `None` before the node has joined the cluster.
    position: Option<Position>,
    /// The number of its last own publication.
    sequence: u64,
    tail: String,
    offset: String,
}

impl Place {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            position: None,
            sequence: 0,
            tail: String::new(),
            offset: String::new(),
        }
    }

    pub(super) fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// All that was said here up to now.
    pub(super) fn moment(&self) -> Option<Received> {
        Some(Received {
            position: self.position.clone()?,
            nodes: vec![(self.node.clone(), self.sequence)],
        })
    }

    pub(super) fn published(&mut self, sequence: u64) {
        self.sequence = sequence;
    }

    /// The log was applied up to there. An older place, heard late, changes nothing.
    pub(super) fn advance(&mut self, to: &Position) {
        if self.position.as_ref().is_none_or(|at| at < to) {
            self.restart_at(to);
        }
    }

    /// The log goes on from there, whatever was before.
    pub(super) fn restart_at(&mut self, position: &Position) {
        self.tail = tail(position, &self.node);
        self.position = Some(position.clone());
    }

    /// The offset of an event that is delivered now; `None` as long as there is no place in a log.
    pub(super) fn offset(&mut self) -> Option<&str> {
        self.position.as_ref()?;
        self.offset.clear();
        // Writing to a string does not fail.
        let _ = write!(self.offset, "{}.{}", self.sequence, self.tail);
        Some(&self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::recovery::offset::Offset;

    #[test]
    fn an_offset_is_the_place_of_its_moment() {
        let node = NodeId::parse("n").unwrap();
        let mut place = Place::new(node.clone());
        place.published(3);
        assert_eq!(place.offset(), None);
        for (to, expected) in [("e", 7, 7), ("e", 6, 7), ("e", 8, 8), ("f", 1, 8)]
            .map(|(e, n, x)| (Position::at(e, n), x))
        {
            place.advance(&to);
            let offset = Offset::parse(place.offset().unwrap()).unwrap();
            assert_eq!(
                (offset.position, offset.sequence),
                (Position::at("e", expected), 3)
            );
            assert_eq!(offset.node, node);
        }
        place.restart_at(&Position::at("f", 1));
        place.published(4);
        let offset = Offset::parse(place.offset().unwrap()).unwrap();
        assert_eq!(
            (offset.position, offset.sequence),
            (Position::at("f", 1), 4)
        );
    }
}
