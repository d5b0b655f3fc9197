//! What Redis says by itself on the reader's connection: publications as they are put into the log, or that there is something to be read.

use std::{
    convert::Infallible,
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use tokio::{sync::Notify, time::timeout};

use super::super::lock;

/// How many publications may wait for the reader, and how many bytes of them. Of more, none waits: the log has them.
const MAX_WAITING: usize = 4_096;
const MAX_WAITING_BYTES: usize = 8 * 1024 * 1024;

/// Whoever knows the channels hears this. A cheap clone.
#[derive(Clone, Debug, Default)]
pub(in crate::redis) struct Pushes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Pushed>,
    bytes: usize,
    is_due: bool,
}

/// A publication of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pushed {
    pub(super) epoch: Box<str>,
    pub(super) number: u64,
    pub(super) bytes: Bytes,
}

/// What the reader has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// To tell of these, which are all that came since the last ones.
    Tell(Vec<Pushed>),
    /// To look at the log and the inbox.
    Look,
}

impl Pushes {
    /// Takes what Redis says; never waits.
    pub(in crate::redis) fn take(&self, info: PushInfo) -> Result<(), Infallible> {
        let pushed = match info.kind {
            PushKind::Message => Pushed::read(info.data),
            PushKind::Disconnection => None,
            _ => return Ok(()),
        };
        lock(&self.0.state).add(pushed);
        self.0.arrived.notify_one();
        Ok(())
    }

    /// Waits for something to do, at most so long.
    pub(super) async fn next(&self, most: Duration) -> Next {
        let come = async {
            loop {
                if let Some(next) = lock(&self.0.state).next() {
                    return next;
                }
                self.0.arrived.notified().await;
            }
        };
        timeout(most, come).await.unwrap_or(Next::Look)
    }
}

impl State {
    /// `None`: there is something to be read.
    fn add(&mut self, pushed: Option<Pushed>) {
        let Some(pushed) = pushed.filter(|_| !self.is_due) else {
            self.is_due = true;
            return self.forget();
        };
        self.bytes += pushed.bytes.len();
        self.waiting.push(pushed);
        if self.waiting.len() > MAX_WAITING || self.bytes > MAX_WAITING_BYTES {
            self.is_due = true;
            self.forget();
        }
    }

    /// What is looked for in the log need not wait here.
    fn forget(&mut self) {
        self.waiting = Vec::new();
        self.bytes = 0;
    }

    fn next(&mut self) -> Option<Next> {
        if mem::take(&mut self.is_due) {
            return Some(Next::Look);
        }
        self.bytes = 0;
        let waiting = mem::take(&mut self.waiting);
        (!waiting.is_empty()).then_some(Next::Tell(waiting))
    }
}

impl Pushed {
    /// Reads the arguments of a push: a channel, and the epoch, the number and the bytes with colons between. `None`: it is no publication.
    fn read(arguments: Vec<Value>) -> Option<Self> {
        let Some(Value::BulkString(text)) = arguments.into_iter().nth(1) else {
            return None;
        };
        let mut bytes = Bytes::from(text);
        let mut part = || {
            let end = bytes.iter().position(|byte| *byte == b':')?;
            let part = bytes.split_to(end);
            let _colon = bytes.split_to(1);
            String::from_utf8(part.into()).ok()
        };
        let (epoch, number) = (part()?, part()?);
        Some(Self {
            epoch: epoch.into(),
            number: number.parse().ok()?,
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    fn say(pushes: &Pushes, text: &str) {
        let data = [b"channel".as_slice(), text.as_bytes()];
        let data = data.map(|part| Value::BulkString(part.to_vec())).into();
        let kind = PushKind::Message;
        pushes.take(PushInfo { kind, data }).unwrap();
    }

    fn pushed(number: u64, text: &'static str) -> Pushed {
        Pushed {
            epoch: "e-_p0".into(),
            number,
            bytes: Bytes::from_static(text.as_bytes()),
        }
    }

    #[tokio::test]
    async fn what_comes_is_told_together_and_in_its_order() {
        let pushes = Pushes::default();
        say(&pushes, "e-_p0:1:one: and more");
        say(&pushes, "e-_p0:3:");
        let expected = vec![pushed(1, "one: and more"), pushed(3, "")];
        assert_eq!(pushes.next(SOON).await, Next::Tell(expected));
        assert_eq!(pushes.next(SOON).await, Next::Look, "nothing comes");
    }

    #[tokio::test]
    async fn whatever_else_comes_is_looked_for_with_all_that_waits() {
        for text in ["", "no number", "e:x:y"] {
            let pushes = Pushes::default();
            say(&pushes, "e-_p0:1:one");
            say(&pushes, text);
            say(&pushes, "e-_p0:2:two");
            assert_eq!(pushes.next(Duration::MAX).await, Next::Look);
            say(&pushes, "e-_p0:3:three");
            let expected = vec![pushed(3, "three")];
            assert_eq!(pushes.next(SOON).await, Next::Tell(expected), "{text}");
        }
    }

    #[tokio::test]
    async fn a_reader_who_is_busy_finds_a_bounded_number() {
        let (many, large) = (Pushes::default(), Pushes::default());
        for number in 0..=MAX_WAITING {
            say(&many, &format!("e:{number}:x"));
        }
        let text = "x".repeat(MAX_WAITING_BYTES / 2);
        for number in 0..3 {
            say(&large, &format!("e:{number}:{text}"));
        }
        for pushes in [many, large] {
            let waiting = |state: &State| (state.waiting.capacity(), state.bytes);
            assert_eq!(waiting(&lock(&pushes.0.state)), (0, 0));
            assert_eq!(pushes.next(SOON).await, Next::Look);
        }
    }

    #[tokio::test]
    async fn the_connections_end_is_noticed() {
        let pushes = Pushes::default();
        let (kind, data) = (PushKind::Disconnection, Vec::new());
        pushes.take(PushInfo { kind, data }).unwrap();
        assert_eq!(pushes.next(Duration::MAX).await, Next::Look);
    }
}
