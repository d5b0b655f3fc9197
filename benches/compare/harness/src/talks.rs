//! Messages from one node to the other: each is looked for by its number, in its sender's order, exactly once.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{Failure, histogram::Histogram, swarm::Watch};

/// What comes before a message's text.
const BEFORE_TEXT: &[u8] = br#""text":""#;

/// What one sender says to one receiver.
#[derive(Clone, Debug, Default)]
struct Talk {
    sent: u64,
    /// How many of them the sender has got back from its own node.
    returned: u64,
    /// When those were sent, or were due, that have not come to the other node.
    under_way: VecDeque<Instant>,
    /// How many have come since this was last looked at.
    fresh: usize,
}

/// The account of all talks. The client of that number on the one node speaks, and that on the other listens.
pub(crate) struct Talks {
    talks: Vec<Talk>,
    /// Talks with fresh messages.
    fresh: Vec<usize>,
    /// Where the text of the last payload was: mostly it is where that of the next one is.
    text_at: usize,
    /// Messages that have come to the other node.
    pub(crate) received: u64,
    pub(crate) latencies: Histogram,
}

impl Talks {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            talks: vec![Talk::default(); count],
            fresh: Vec::new(),
            text_at: 0,
            received: 0,
            latencies: Histogram::new(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.talks.len()
    }

    /// Notes that a message was sent, or was due, at `at`, and says how its text has to begin.
    pub(crate) fn sent(&mut self, talk: usize, at: Instant) -> [u8; MARK_LEN] {
        let open = &mut self.talks[talk];
        open.sent += 1;
        open.under_way.push_back(at);
        mark(talk, open.sent)
    }

    /// How many messages have not come to where they belong, the sender included.
    pub(crate) fn missing(&self) -> u64 {
        let missing = |talk: &Talk| talk.under_way.len() as u64 + (talk.sent - talk.returned);
        self.talks.iter().map(missing).sum()
    }

    /// A talk of which messages have come since it was last given out, and how many.
    pub(crate) fn take_fresh(&mut self) -> Option<(usize, usize)> {
        let talk = self.fresh.pop()?;
        Some((talk, std::mem::take(&mut self.talks[talk].fresh)))
    }

    /// Begins the figures anew; what is under way stays.
    pub(crate) fn reset(&mut self) {
        self.received = 0;
        self.latencies = Histogram::new();
    }

    /// What the first node's clients get: what they have said themselves.
    pub(crate) fn returning(&mut self) -> Returning<'_> {
        Returning(self)
    }

    /// What the second node's clients get.
    pub(crate) fn arriving(&mut self) -> Arriving<'_> {
        Arriving(self)
    }

    fn check(&mut self, talk: usize, number: u64, payload: &[u8]) -> Result<(), Failure> {
        let begins = |at: usize| {
            payload
                .get(at..)
                .is_some_and(|rest| rest.starts_with(BEFORE_TEXT))
        };
        if !begins(self.text_at) {
            let found = (0..payload.len()).find(|at| begins(*at));
            self.text_at = found.ok_or("a message without a text")?;
        }
        let text = &payload[self.text_at + BEFORE_TEXT.len()..];
        if text.starts_with(&mark(talk, number)) {
            return Ok(());
        }
        let text = text.get(..MARK_LEN).unwrap_or(text);
        Err(format!(
            "number {number} of sender {talk} was to come, and {} came: one is lost, out of order, or there twice",
            String::from_utf8_lossy(text)
        ))
    }
}

/// See [`Talks::returning`].
pub(crate) struct Returning<'a>(&'a mut Talks);

impl Watch for Returning<'_> {
    fn event(&mut self, client: usize, payload: &[u8], _: Instant) -> Result<(), Failure> {
        let number = self.0.talks[client].returned + 1;
        self.0.check(client, number, payload)?;
        self.0.talks[client].returned = number;
        Ok(())
    }
}

/// See [`Talks::arriving`].
pub(crate) struct Arriving<'a>(&'a mut Talks);

impl Watch for Arriving<'_> {
    fn event(&mut self, client: usize, payload: &[u8], now: Instant) -> Result<(), Failure> {
        let talk = &self.0.talks[client];
        let number = talk.sent + 1 - talk.under_way.len() as u64;
        self.0.check(client, number, payload)?;
        let talk = &mut self.0.talks[client];
        let Some(sent) = talk.under_way.pop_front() else {
            return Err(format!("client {client} got a message that nobody sent"));
        };
        talk.fresh += 1;
        if talk.fresh == 1 {
            self.0.fresh.push(client);
        }
        self.0.received += 1;
        let took: Duration = now.saturating_duration_since(sent);
        self.0.latencies.record(took);
        Ok(())
    }
}

/// How many bytes of a message's text say which it is.
pub(crate) const MARK_LEN: usize = 16;

/// Sender and number, so that they are as long for all.
fn mark(talk: usize, number: u64) -> [u8; MARK_LEN] {
    let mut mark = *b"0000-00000000000";
    let mut write = |mut value: u64, from: usize, to: usize| {
        for digit in mark[from..to].iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    write(talk as u64, 0, 4);
    write(number, 5, MARK_LEN);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(mark: &[u8]) -> Vec<u8> {
        [br#"42["chat:message",{"text":""#, mark, br#"xxx"}]"#].concat()
    }

    #[test]
    fn a_message_counts_when_it_comes_once_and_in_its_order() {
        let (mut talks, now) = (Talks::new(2), Instant::now());
        let first = payload(&talks.sent(1, now));
        let second = payload(&talks.sent(1, now));
        assert_eq!(talks.missing(), 4);
        assert!(
            talks.arriving().event(1, &second, now).is_err(),
            "too early"
        );
        assert!(talks.arriving().event(0, &first, now).is_err(), "another's");
        assert!(talks.arriving().event(1, b"42[]", now).is_err(), "no text");
        assert!(talks.arriving().event(1, &first, now).is_ok());
        assert!(talks.arriving().event(1, &first, now).is_err(), "twice");
        assert!(talks.arriving().event(1, &second, now).is_ok());
        assert_eq!(
            (talks.take_fresh(), talks.take_fresh()),
            (Some((1, 2)), None)
        );
        assert!(talks.returning().event(1, &first, now).is_ok());
        assert!(talks.returning().event(1, &second, now).is_ok());
        assert_eq!((talks.missing(), talks.received), (0, 2));
        let unsent = payload(&mark(1, 3));
        assert!(talks.arriving().event(1, &unsent, now).is_err());
    }

    #[test]
    fn marks_are_sender_and_number() {
        assert_eq!(&mark(63, 1_234_567), b"0063-00001234567");
    }
}
