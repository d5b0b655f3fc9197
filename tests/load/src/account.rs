//! Chat messages that can be told apart, and the account that each client keeps of those it receives.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use crate::Failure;

/// What all times in messages count from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A chat message: number `number` of `sender`, with an ack under that number, and as long as `padding` says.
pub(crate) fn chat_message(guild: &str, sender: usize, number: u32, padding: &str) -> String {
    let now = EPOCH.elapsed().as_micros();
    format!(
        r#"42{number}["chat:message",{{"text":"m:{sender}:{number}:{now}:{padding}","guildId":"{guild}"}}]"#
    )
}

/// What one client has received so far, and what is due to it next, of each sender.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    due: Vec<Due>,
    received: u64,
}

/// The number that must come next. Only before the first message it may be one of several.
#[derive(Clone, Copy, Debug)]
struct Due {
    earliest: u32,
    latest: u32,
}

/// What a packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A message, and how long it took.
    Message(Duration),
    /// The ack of the client's own message of that number.
    Ack(u32),
}

impl Account {
    /// Of a client that is there before anybody sends: each sender's first message is due.
    pub(crate) fn new(senders: usize) -> Self {
        Self::joined(&vec![0; senders], &vec![0; senders])
    }

    /// Of a client that joins while others send. Before it asked to be let in, the server had published `published` messages of each
    /// sender, none of which it may get. When it was in, each had begun to send `begun`, and it must get all that come after those.
    pub(crate) fn joined(published: &[u32], begun: &[u32]) -> Self {
        let due = published.iter().zip(begun);
        let due = due.map(|(&earliest, &latest)| Due { earliest, latest });
        Self {
            due: due.collect(),
            received: 0,
        }
    }

    /// Enters a packet. A message that is not its sender's next is a failure: lost, double, or out of order.
    pub(crate) fn enter(&mut self, packet: &[u8]) -> Result<Seen, Failure> {
        let strange = || {
            format!(
                "unexpected: {}",
                String::from_utf8_lossy(&packet[..packet.len().min(200)])
            )
        };
        if let Some(ack) = packet.strip_prefix(b"43") {
            let text = std::str::from_utf8(ack).map_err(|_| strange())?;
            let (number, answer) = text.split_once('[').ok_or_else(strange)?;
            if !answer.starts_with(r#"{"ok":true"#) {
                return Err(strange());
            }
            return number.parse().map(Seen::Ack).map_err(|_| strange());
        }
        let start = memchr::memmem::find(packet, br#""text":"m:"#).ok_or_else(strange)?;
        let text = std::str::from_utf8(&packet[start + 10..]).map_err(|_| strange())?;
        let mut fields = text.splitn(4, ':');
        let mut field = || fields.next()?.parse::<u64>().ok();
        let (sender, number, sent) =
            (|| Some((field()?, field()?, field()?)))().ok_or_else(strange)?;
        let due = self.due.get_mut(sender as usize).ok_or_else(strange)?;
        let number = u32::try_from(number).map_err(|_| strange())?;
        if number < due.earliest || number > due.latest {
            let Due { earliest, latest } = due;
            return Err(format!(
                "sender {sender}: message {number} came where {earliest} to {latest} was due"
            ));
        }
        (due.earliest, due.latest) = (number + 1, number + 1);
        self.received += 1;
        let taken = EPOCH.elapsed().saturating_sub(Duration::from_micros(sent));
        Ok(Seen::Message(taken))
    }

    /// Whether every sender's first `each` messages are there, and none beyond.
    pub(crate) fn is_complete(&self, each: u32) -> bool {
        let complete = |due: &Due| due.earliest == each && due.latest == each;
        self.due.iter().all(complete)
    }

    /// Whether nothing is missing of the first `published` messages of each sender.
    pub(crate) fn has(&self, published: &[u32]) -> bool {
        let mut due = self.due.iter().zip(published);
        due.all(|(due, &published)| due.latest >= published)
    }

    /// Messages so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sender: usize, number: u32) -> Vec<u8> {
        chat_message("guild", sender, number, "padding").into_bytes()
    }

    fn enter(account: &mut Account, sender: usize, numbers: &[u32]) -> Result<(), Failure> {
        for &number in numbers {
            account.enter(&message(sender, number))?;
        }
        Ok(())
    }

    #[test]
    fn an_account_notices_what_is_lost_double_or_out_of_order() {
        let mut account = Account::new(2);
        for sender in [1, 0] {
            let seen = account.enter(&message(sender, 0));
            assert!(matches!(seen, Ok(Seen::Message(_))), "{seen:?}");
        }
        assert_eq!(
            account.enter(br#"430[{"ok":true,"messageId":"a"}]"#),
            Ok(Seen::Ack(0))
        );
        assert!(account.is_complete(1) && account.received() == 2);
        for wrong in [message(1, 0), message(1, 2), message(2, 0)] {
            assert!(account.enter(&wrong).is_err());
        }
        for refusal in [&br#"431[{"error":"no"}]"#[..], b"42[]", b"41", b"43"] {
            assert!(account.enter(refusal).is_err());
        }
        assert!(!account.is_complete(2));
    }

    #[test]
    fn a_client_that_joins_later_gets_a_run_without_a_gap_a_double_or_a_swap() {
        let joined = || Account::joined(&[10, 0], &[13, 0]);
        for right in [&[10, 11, 12, 13, 14][..], &[12, 13], &[13, 14]] {
            assert_eq!(enter(&mut joined(), 0, right), Ok(()));
        }
        for (wrong, what) in [
            (&[11, 13][..], "a gap"),
            (&[11, 11], "a double"),
            (&[11, 12, 11], "a double that comes late"),
            (&[12, 11], "a swap"),
            (&[9], "one from before it asked to be let in"),
            (&[14], "the first after it was in is lost"),
        ] {
            assert!(enter(&mut joined(), 0, wrong).is_err(), "{what}");
        }
        assert!(enter(&mut joined(), 1, &[1]).is_err(), "of every sender");
    }

    #[test]
    fn a_client_that_leaves_knows_whether_something_is_missing_at_the_end() {
        let mut account = Account::joined(&[10, 0], &[13, 0]);
        assert!(account.has(&[13, 0]), "which may have been before it");
        assert!(!account.has(&[14, 0]) && !account.has(&[13, 1]));
        enter(&mut account, 0, &[10, 11]).unwrap();
        assert!(account.has(&[12, 0]));
        assert!(!account.has(&[13, 0]), "once the run has begun");
        enter(&mut account, 0, &[12]).unwrap();
        enter(&mut account, 1, &[0]).unwrap();
        assert!(account.has(&[13, 1]) && account.received() == 4);
    }
}
