use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use slimy_rt::{
    async_trait,
    broker::{BrokerError, BrokerEvents, Health, NodeInfo, Position, Publication, RoomBroker},
};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::wire::{self, FromHub, Place, ToHub};

/// How long the hub may be silent, or take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// From one attempt to reach the hub to the next.
const PAUSE: Duration = Duration::from_millis(200);

/// One node's side. It has two lines: one to publish, one to follow the log.
#[derive(Debug)]
pub struct TcpBroker {
    hub: SocketAddr,
    publishing: tokio::sync::Mutex<Option<TcpStream>>,
    following: Mutex<Option<JoinHandle<()>>>,
}

impl TcpBroker {
    pub fn new(hub: SocketAddr) -> Self {
        Self {
            hub,
            publishing: tokio::sync::Mutex::default(),
            following: Mutex::default(),
        }
    }

    fn following(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.following
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line that follows the log, and the place behind which it begins.
async fn open(hub: SocketAddr, after: Option<&Place>) -> io::Result<(BufReader<TcpStream>, Place)> {
    let opening = async {
        let mut stream = TcpStream::connect(hub).await?;
        let follow = ToHub::Follow(after.cloned());
        stream.write_all(&wire::frame(&follow, &[])?).await?;
        let mut stream = BufReader::new(stream);
        match wire::read(&mut stream).await? {
            (FromHub::At(place), _) => Ok((stream, place)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    };
    timeout(PATIENCE, opening).await?
}

/// Follows the log for ever: listens, and opens the line again when it breaks.
async fn follow(
    hub: SocketAddr,
    mut line: BufReader<TcpStream>,
    mut at: Place,
    events: Arc<dyn BrokerEvents>,
) {
    loop {
        events.health(Health::Up);
        let Err(error) = listen(&mut line, &mut at, &*events).await;
        tracing::warn!(%error, "the line to the hub broke");
        events.health(Health::Down);
        let place = loop {
            sleep(PAUSE).await;
            if let Ok((again, place)) = open(hub, Some(&at)).await {
                line = again;
                break place;
            }
        };
        arrive(&mut at, place, &*events);
    }
}

/// Goes to a place. If it is not where we are, what lies between is lost, and that has to be said.
fn arrive(at: &mut Place, place: Place, events: &dyn BrokerEvents) {
    if *at != place {
        events.gap(Some(&at.position()), &place.position());
        *at = place;
    }
}

/// Reports what comes, until the line breaks. Awaiting `publications` before the next frame is read is the back-pressure.
async fn listen(
    line: &mut BufReader<TcpStream>,
    at: &mut Place,
    events: &dyn BrokerEvents,
) -> io::Result<Infallible> {
    loop {
        match timeout(PATIENCE, wire::read(line)).await?? {
            (FromHub::Alive, _) => {}
            (FromHub::Done, _) => return Err(io::ErrorKind::InvalidData.into()),
            (FromHub::At(place), _) => arrive(at, place, events),
            (FromHub::Entry(number), bytes) => {
                let before = at.position();
                at.number = number;
                let position = at.position();
                match Publication::from_bytes(&bytes) {
                    Ok(publication) => {
                        let delivered = (Some(position), Arc::new(publication));
                        events.publications(&[delivered]).await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a publication makes no sense");
                        events.gap(Some(&before), &position);
                    }
                }
            }
        }
    }
}

#[async_trait]
impl RoomBroker for TcpBroker {
    async fn start(
        &self,
        _: &NodeInfo,
        events: Arc<dyn BrokerEvents>,
    ) -> Result<Position, BrokerError> {
        let again = || BrokerError::Invalid("stop it before starting it again".into());
        if self.following().is_some() {
            return Err(again());
        }
        let opened = open(self.hub, None).await;
        let (line, place) = opened.map_err(|e| BrokerError::Unavailable(e.into()))?;
        let mut following = self.following();
        if following.is_some() {
            return Err(again());
        }
        let position = place.position();
        *following = Some(tokio::spawn(follow(self.hub, line, place, events)));
        Ok(position)
    }

    async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
        if self.following().is_none() {
            return Err(BrokerError::Stopped);
        }
        let invalid = |e: io::Error| BrokerError::Invalid(e.to_string().into());
        let mut frames = Vec::new();
        for publication in batch {
            let bytes = publication.to_bytes()?;
            frames.extend(wire::frame(&ToHub::Publish, &bytes).map_err(invalid)?);
        }
        frames.extend(wire::frame(&ToHub::Confirm, &[]).map_err(invalid)?);
        let mut kept = self.publishing.lock().await;
        // Taken out, and put back only when all went well: whatever interrupts us, nobody goes on in the middle of a conversation.
        let line = kept.take();
        let talking = async {
            let mut line = match line {
                Some(line) => line,
                None => TcpStream::connect(self.hub).await?,
            };
            line.write_all(&frames).await?;
            match wire::read(&mut line).await? {
                (FromHub::Done, _) => Ok(line),
                _ => Err(io::ErrorKind::InvalidData.into()),
            }
        };
        let talked = timeout(PATIENCE, talking).await.map_err(io::Error::from);
        match talked.and_then(|talked| talked) {
            Ok(line) => *kept = Some(line),
            // The hub may have it or not. The server publishes it again, with the same ids.
            Err(error) => return Err(BrokerError::Unavailable(error.into())),
        }
        Ok(())
    }

    async fn stop(&self) {
        let following = self.following().take();
        if let Some(following) = following {
            following.abort();
            let _ = following.await; // it says that it was aborted; what counts is that it has ended
        }
        *self.publishing.lock().await = None;
    }
}
