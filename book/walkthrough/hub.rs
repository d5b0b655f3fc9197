use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use slimy_rt::NodeId;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::wire::{self, FromHub, Place, ToHub};

/// How many publications the log keeps; the oldest go first.
const MAX_ENTRIES: usize = 10_000;

/// The log that all nodes share, and the process that serves it.
#[derive(Debug)]
pub struct Hub {
    log: Mutex<Log>,
    end: watch::Sender<u64>,
}

#[derive(Debug)]
struct Log {
    epoch: String,
    /// Publications as bytes: the hub has no need to read them.
    entries: VecDeque<Bytes>,
    /// The number of the last publication; they are numbered from 1.
    end: u64,
}

impl Log {
    /// The number of the last publication that is no longer here.
    fn dropped(&self) -> u64 {
        self.end - self.entries.len() as u64
    }

    fn place(&self, number: u64) -> Place {
        let epoch = self.epoch.clone();
        Place { epoch, number }
    }
}

impl Hub {
    /// An empty log. Its epoch is random: it is not taken for the one before.
    pub fn new() -> Arc<Self> {
        let log = Log {
            epoch: NodeId::random().to_string(),
            entries: VecDeque::new(),
            end: 0,
        };
        Arc::new(Self {
            log: Mutex::new(log),
            end: watch::Sender::new(0),
        })
    }

    /// Serves nodes. Dropping the future cuts all lines and keeps the log.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut nodes = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        nodes.spawn(Arc::clone(&self).talk(stream));
                    }
                    Err(_) => sleep(Duration::from_millis(100)).await,
                },
                Some(_) = nodes.join_next() => {}
            }
        }
    }

    async fn talk(self: Arc<Self>, mut stream: TcpStream) -> io::Result<()> {
        loop {
            match wire::read(&mut stream).await? {
                (ToHub::Publish, publication) => self.append(publication),
                (ToHub::Confirm, _) => {
                    let done = wire::frame(&FromHub::Done, &[])?;
                    stream.write_all(&done).await?;
                }
                (ToHub::Follow(after), _) => return self.feed(stream, after).await,
            }
        }
    }

    fn append(&self, publication: Bytes) {
        let mut log = self.log();
        log.end += 1;
        log.entries.push_back(publication);
        if log.entries.len() > MAX_ENTRIES {
            log.entries.pop_front();
        }
        self.end.send_replace(log.end);
    }

    /// Tells one node of everything, at the node's own pace: a slow one holds up no other.
    async fn feed(&self, mut stream: TcpStream, after: Option<Place>) -> io::Result<()> {
        // Subscribed before the first look, so that nothing comes in between unseen.
        let mut end = self.end.subscribe();
        let mut at = {
            let log = self.log();
            let known = |place: &Place| place.epoch == log.epoch && place.number <= log.end;
            match after {
                None => log.end,
                Some(place) if known(&place) => place.number,
                // It comes from another log, and has seen nothing of this one.
                Some(_) => log.dropped(),
            }
        };
        let mut told = false;
        loop {
            let (place, next) = {
                let log = self.log();
                if at < log.dropped() {
                    (at, told) = (log.dropped(), false); // too slow: it goes on where there is something
                }
                let skip = usize::try_from(at - log.dropped()).unwrap_or(usize::MAX);
                (log.place(at), log.entries.get(skip).cloned())
            };
            let frame = match next {
                _ if !told => wire::frame(&FromHub::At(place), &[])?,
                Some(publication) => {
                    at += 1;
                    wire::frame(&FromHub::Entry(at), &publication)?
                }
                None => match timeout(Duration::from_secs(1), end.changed()).await {
                    Ok(_) => continue,
                    Err(_) => wire::frame(&FromHub::Alive, &[])?,
                },
            };
            told = true;
            stream.write_all(&frame).await?;
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
