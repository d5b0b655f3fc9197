//! What was delivered while clients come back: they are let in behind the history that was read for them, and this is what came meanwhile.
//!
//! Nothing is kept while nobody comes back.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use super::Sequencer;
use crate::{
    NodeId,
    broker::{Audience, Position},
    protocol::Frame,
    server::lock,
};

/// The most deliveries that are kept.
const MAX_RECENT: usize = 8_192;
/// The most bytes of frames that are kept.
const MAX_RECENT_BYTES: usize = 16 * 1024 * 1024;

/// A delivery that whoever comes back must not miss.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) namespace: Arc<str>,
    pub(crate) audience: Audience,
    pub(crate) frame: Arc<Frame>,
    /// Where it came from: a place in the log, and another node's number.
    pub(crate) position: Option<Position>,
    pub(crate) id: Option<(NodeId, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct Recent {
    deliveries: VecDeque<Delivered>,
    /// The number of the first one that is here.
    first: u64,
    bytes: usize,
    readers: usize,
}

impl Recent {
    pub(super) fn is_read(&self) -> bool {
        self.readers > 0
    }

    pub(super) fn push(&mut self, delivered: Delivered) {
        self.bytes += delivered.frame.len();
        self.deliveries.push_back(delivered);
        while self.deliveries.len() > MAX_RECENT || self.bytes > MAX_RECENT_BYTES {
            let Some(oldest) = self.deliveries.pop_front() else {
                break;
            };
            self.bytes -= oldest.frame.len();
            self.first += 1;
        }
    }

    fn next(&self) -> u64 {
        self.first + self.deliveries.len() as u64
    }

    /// What was delivered from that number on; `None` when some of it is no longer here.
    pub(super) fn since(&self, number: u64) -> Option<impl Iterator<Item = &Delivered>> {
        let skipped = usize::try_from(number.checked_sub(self.first)?).ok()?;
        Some(self.deliveries.range(skipped.min(self.deliveries.len())..))
    }

    fn leave(&mut self) {
        self.readers -= 1;
        if self.readers == 0 {
            self.first = self.next();
            self.deliveries = VecDeque::new();
            self.bytes = 0;
        }
    }
}

/// A moment in the order of deliveries: what was before is in the log, or on its way there; what comes after for rooms that are heard is kept here until this is dropped.
#[derive(Debug)]
pub(crate) struct Cut {
    sequencer: Weak<Sequencer>,
    /// The number of the next delivery.
    pub(super) number: u64,
    /// How far the log had been applied.
    pub(crate) position: Position,
    /// The last own publication.
    pub(crate) sequence: u64,
    /// How often the log had been lost, or had had a gap.
    pub(super) restarts: u64,
}

impl Sequencer {
    /// Notes this moment; `None` when the node is not in a cluster yet.
    pub(crate) fn cut(self: &Arc<Self>) -> Option<Cut> {
        let mut directory = lock(&self.directory);
        let place = directory.place.as_ref()?;
        let (position, sequence) = (place.position()?.clone(), place.sequence());
        directory.recent.readers += 1;
        Some(Cut {
            sequencer: Arc::downgrade(self),
            number: directory.recent.next(),
            position,
            sequence,
            restarts: directory.restarts,
        })
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some(sequencer) = self.sequencer.upgrade() {
            lock(&sequencer.directory).recent.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::EventData;

    fn delivered(text: &str) -> Delivered {
        let event = EventData::new("e", text).unwrap();
        Delivered {
            namespace: "/".into(),
            audience: Audience::default(),
            frame: Arc::new(Frame::event("/", None, &event)),
            position: None,
            id: None,
        }
    }

    fn count(recent: &Recent, number: u64) -> Option<usize> {
        recent.since(number).map(Iterator::count)
    }

    #[test]
    fn what_came_since_is_there_or_known_to_be_gone() {
        let mut recent = Recent {
            readers: 1,
            ..Recent::default()
        };
        assert_eq!(count(&recent, 0), Some(0));
        for _ in 0..MAX_RECENT {
            recent.push(delivered(""));
        }
        assert_eq!(
            (count(&recent, 0), count(&recent, 9)),
            (Some(MAX_RECENT), Some(MAX_RECENT - 9))
        );
        recent.push(delivered(""));
        assert_eq!(
            (count(&recent, 0), count(&recent, 1)),
            (None, Some(MAX_RECENT))
        );
        let next = recent.next();
        recent.leave();
        assert_eq!((recent.next(), count(&recent, next)), (next, Some(0)));
        assert_eq!((recent.bytes, count(&recent, next - 1)), (0, None));
    }

    #[test]
    fn bytes_are_bounded() {
        let mut recent = Recent::default();
        let third = "x".repeat(MAX_RECENT_BYTES / 3);
        (0..3).for_each(|_| recent.push(delivered(&third)));
        assert_eq!((recent.deliveries.len(), recent.first), (2, 1));
    }
}
