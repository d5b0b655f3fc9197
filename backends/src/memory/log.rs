//! The publications of all nodes in one order, bounded.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use slimy_rt::{
    NodeId, Room,
    broker::{Audience, Delivered, HistoryError, Page, Position, Publication},
};

/// The most publications that the log holds; the oldest go first.
pub const MAX_LOG_ENTRIES: usize = 10_000;
/// The most bytes of publications that the log holds; the oldest go first, and one that is larger is refused.
pub const MAX_LOG_BYTES: usize = 16 * 1024 * 1024;

/// What a publication costs beside its texts and attachments.
const ENTRY_OVERHEAD: usize = 256;

/// The log. Publications are numbered from 1; a position is `<epoch>:<number>`.
#[derive(Debug)]
pub(super) struct Log {
    epoch: NodeId,
    entries: VecDeque<Entry>,
    /// The number of the last publication.
    end: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    publication: Arc<Publication>,
    bytes: usize,
}

/// What lies behind a place in the log.
pub(super) enum Behind {
    /// Nothing yet.
    Nothing,
    /// The log no longer holds what comes next; it goes on behind this number.
    Lost(u64),
    /// The next publications.
    Some(Vec<Delivered>),
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            // Unguessable is more than is needed; that no two logs share it is what counts.
            epoch: NodeId::random(),
            entries: VecDeque::new(),
            end: 0,
            bytes: 0,
        }
    }

    /// The number of the last publication; 0 before the first.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn position(&self, number: u64) -> Position {
        Position::at(&self.epoch, number)
    }

    /// Whether the log could hold this publication if it held nothing else.
    pub(super) fn fits(publication: &Publication) -> bool {
        size(publication) <= MAX_LOG_BYTES
    }

    pub(super) fn append(&mut self, publication: Arc<Publication>) {
        let bytes = size(&publication);
        self.bytes += bytes;
        self.end += 1;
        self.entries.push_back(Entry { publication, bytes });
        while self.entries.len() > MAX_LOG_ENTRIES || self.bytes > MAX_LOG_BYTES {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes;
        }
    }

    /// At most `max` publications behind that number.
    pub(super) fn behind(&self, number: u64, max: usize) -> Behind {
        if number < self.dropped() {
            return Behind::Lost(self.dropped());
        }
        let next: Vec<Delivered> = self
            .after(number)
            .take(max)
            .map(|(number, publication)| (Some(self.position(number)), Arc::clone(publication)))
            .collect();
        if next.is_empty() {
            Behind::Nothing
        } else {
            Behind::Some(next)
        }
    }

    /// See [`RoomBroker::history`](slimy_rt::broker::RoomBroker::history).
    pub(super) fn history(
        &self,
        after: &Position,
        to: &Position,
        audience: &Audience,
        max: usize,
    ) -> Result<Page, HistoryError> {
        let (after, to) = (self.number(after)?, self.number(to)?);
        if after < self.dropped() {
            return Err(HistoryError::Gone);
        }
        let rooms: HashSet<&Room> = audience.rooms.iter().collect();
        let concerns = |publication: &Publication| {
            let to = &publication.audience.rooms;
            rooms.is_empty() || to.is_empty() || to.iter().any(|room| rooms.contains(room))
        };
        let mut wanted = self
            .after(after)
            .take_while(|(number, _)| *number <= to)
            .filter(|(_, publication)| concerns(publication));
        let publications = wanted
            .by_ref()
            .take(max)
            .map(|(number, publication)| (self.position(number), Arc::clone(publication)))
            .collect();
        Ok(Page {
            publications,
            complete: wanted.next().is_none(),
        })
    }

    /// The number of the last publication that is no longer here.
    fn dropped(&self) -> u64 {
        self.end - self.entries.len() as u64
    }

    /// What is here behind that number, which is no less than [`dropped`](Self::dropped).
    fn after(&self, number: u64) -> impl Iterator<Item = (u64, &Arc<Publication>)> {
        let known = usize::try_from(number - self.dropped()).unwrap_or(usize::MAX);
        let entries = self.entries.range(known.min(self.entries.len())..);
        entries
            .zip(number + 1..)
            .map(|(entry, number)| (number, &entry.publication))
    }

    /// The number in a position that this log gave out.
    fn number(&self, position: &Position) -> Result<u64, HistoryError> {
        let of_this =
            |(epoch, number): &(&str, u64)| *epoch == self.epoch.as_str() && *number <= self.end;
        let parts = position.parts().filter(of_this);
        parts.map(|(_, number)| number).ok_or(HistoryError::Gone)
    }
}

/// About how many bytes a publication keeps alive.
fn size(publication: &Publication) -> usize {
    let audience = &publication.audience;
    let rooms = audience.rooms.iter().chain(&audience.except);
    let attachments = publication.event.attachments().iter();
    ENTRY_OVERHEAD
        + publication.namespace.len()
        + publication.event.json().len()
        + rooms.map(|room| room.as_str().len()).sum::<usize>()
        + attachments.map(|bytes| bytes.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use slimy_rt::protocol::EventData;

    use super::*;

    fn publication(rooms: &[&str], text: &str) -> Arc<Publication> {
        let audience = Audience {
            rooms: rooms
                .iter()
                .map(|room| Room::parse(room).unwrap())
                .collect(),
            except: Vec::new(),
        };
        let event = EventData::new("e", text).unwrap();
        Arc::new(Publication::new(None, "/".into(), audience, event))
    }

    fn audience(rooms: &[&str]) -> Audience {
        publication(rooms, "").audience.clone()
    }

    /// The numbers of a page's publications, and whether it is complete.
    fn numbers(page: Result<Page, HistoryError>) -> (Vec<String>, bool) {
        let page = page.unwrap();
        let number = |position: &Position| position.as_str().split(':').nth(1).unwrap().into();
        let numbers = page
            .publications
            .iter()
            .map(|(position, _)| number(position));
        (numbers.collect(), page.complete)
    }

    #[test]
    fn history_is_what_lies_between_for_these_rooms() {
        let mut log = Log::new();
        for rooms in [&["a"][..], &["b"], &["b", "a"], &[], &["a"]] {
            log.append(publication(rooms, ""));
        }
        let between = |after, to, rooms: &[&str], max| {
            let (after, to) = (log.position(after), log.position(to));
            numbers(log.history(&after, &to, &audience(rooms), max))
        };
        let page = |numbers: &[&str], complete| {
            (
                numbers.iter().map(|&n| n.to_owned()).collect::<Vec<_>>(),
                complete,
            )
        };
        assert_eq!(between(0, 5, &["a"], 9), page(&["1", "3", "4", "5"], true));
        assert_eq!(between(0, 5, &["c"], 9), page(&["4"], true));
        assert_eq!(between(1, 4, &["a", "c"], 9), page(&["3", "4"], true));
        assert_eq!(
            between(0, 5, &[], 9),
            page(&["1", "2", "3", "4", "5"], true)
        );
        assert_eq!(between(0, 5, &["a"], 2), page(&["1", "3"], false));
        assert_eq!(between(3, 5, &["a"], 2), page(&["4", "5"], true));
        assert_eq!(between(0, 2, &["b"], 1), page(&["2"], true));
        assert_eq!(between(0, 5, &["a"], 0), page(&[], false));
        assert_eq!(between(5, 5, &["a"], 0), page(&[], true));
        assert_eq!(between(4, 2, &["a"], 9), page(&[], true));
    }

    #[test]
    fn what_is_not_in_the_log_is_gone() {
        let mut log = Log::new();
        log.append(publication(&[], ""));
        let (all, end) = (Audience::default(), log.position(1));
        let gone = |after: Position, to: &Position| {
            matches!(log.history(&after, to, &all, 9), Err(HistoryError::Gone))
        };
        assert!(!gone(log.position(0), &end));
        assert!(gone(log.position(2), &end), "after the end");
        assert!(gone(log.position(0), &log.position(2)), "to after the end");
        assert!(gone(Log::new().position(0), &end), "another epoch");
        for nonsense in [
            "",
            ":",
            "0",
            "x:y:z",
            &format!("{}:-1", log.epoch),
            &format!("{}:", log.epoch),
        ] {
            assert!(gone(Position::new(nonsense), &end), "{nonsense:?}");
        }
    }

    #[test]
    fn entries_are_bounded_and_the_oldest_go_first() {
        let mut log = Log::new();
        for _ in 0..MAX_LOG_ENTRIES + 5 {
            log.append(publication(&[], ""));
        }
        assert_eq!((log.entries.len(), log.dropped()), (MAX_LOG_ENTRIES, 5));
        let (all, end) = (Audience::default(), log.position(log.end()));
        let from = |number| log.history(&log.position(number), &end, &all, 1);
        assert!(matches!(from(4), Err(HistoryError::Gone)));
        assert_eq!(numbers(from(5)), (vec!["6".to_owned()], false));
        assert!(matches!(log.behind(4, 9), Behind::Lost(5)));
        assert!(matches!(log.behind(5, 9), Behind::Some(next) if next.len() == 9));
        assert!(matches!(log.behind(log.end(), 9), Behind::Nothing));
    }

    #[test]
    fn bytes_are_bounded() {
        let mut log = Log::new();
        let third = "x".repeat(MAX_LOG_BYTES / 3);
        for _ in 0..3 {
            log.append(publication(&[], &third));
        }
        assert_eq!(log.entries.len(), 2);
        assert!(log.bytes <= MAX_LOG_BYTES);
        assert!(Log::fits(&publication(&[], &third)));
        assert!(!Log::fits(&publication(&[], &third.repeat(3))));
    }
}
