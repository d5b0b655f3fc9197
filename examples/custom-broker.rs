//! cargo run --example custom-broker
//!
//! A broker of one's own: the nodes of one machine share a file. Each appends what it publishes, and reads what all have appended. The program
//! proves it by the conformance kit and prints the report.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use slimy_rt::{
    async_trait,
    broker::{BrokerError, BrokerEvents, Health, NodeInfo, Position, Publication, RoomBroker},
    conformance::{self, broker::BrokerFactory},
};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt, AsyncSeekExt},
    sync::Mutex,
    task::JoinHandle,
};

/// How often a node looks for what has been appended.
const LOOK: Duration = Duration::from_millis(5);
/// How much is read at once: longer than the longest publication.
const MAX_READ: u64 = 64 * 1024 * 1024;

/// One node's end of the file.
#[derive(Debug)]
struct SharedFile {
    path: PathBuf,
    reading: Mutex<Option<JoinHandle<()>>>,
}

impl SharedFile {
    fn new(path: PathBuf) -> Self {
        let reading = Mutex::new(None);
        Self { path, reading }
    }

    async fn open(&self) -> Result<File, BrokerError> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).read(true);
        file.open(&self.path).await.map_err(unavailable)
    }
}

fn unavailable(error: io::Error) -> BrokerError {
    BrokerError::Unavailable(error.into())
}

/// What is written whole behind `at`, which moves on.
async fn read(file: &mut File, at: &mut u64) -> io::Result<Vec<Arc<Publication>>> {
    file.seek(io::SeekFrom::Start(*at)).await?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_READ).read_to_end(&mut bytes).await?;
    let (mut rest, mut found) = (Bytes::from(bytes), Vec::new());
    while let Some((length, _)) = rest.split_first_chunk() {
        let end = 4 + u32::from_be_bytes(*length) as usize;
        if rest.len() < end {
            break; // Its writer is not done.
        }
        let publication = Publication::from_bytes(&rest.split_to(end).slice(4..));
        found.push(Arc::new(publication.map_err(io::Error::other)?));
    }
    *at += (read - rest.len()) as u64;
    Ok(found)
}

/// Reports what is appended behind `at`, for ever, and whether it can be read.
async fn follow(mut file: File, mut at: u64, events: Arc<dyn BrokerEvents>) {
    let mut told = None;
    loop {
        let found = read(&mut file, &mut at).await;
        let health = found.as_ref().map_or(Health::Down, |_| Health::Up);
        if told.replace(health) != Some(health) {
            events.health(health);
        }
        let batch: Vec<_> = found.into_iter().flatten().map(|p| (None, p)).collect();
        events.publications(&batch).await;
        tokio::time::sleep(LOOK).await;
    }
}

#[async_trait]
impl RoomBroker for SharedFile {
    async fn start(
        &self,
        _: &NodeInfo,
        events: Arc<dyn BrokerEvents>,
    ) -> Result<Position, BrokerError> {
        let mut reading = self.reading.lock().await;
        if reading.is_some() {
            return Err(BrokerError::Invalid("it is started already".into()));
        }
        let file = self.open().await?;
        let at = file.metadata().await.map_err(unavailable)?.len();
        *reading = Some(tokio::spawn(follow(file, at, events)));
        Ok(Position::new(at.to_string()))
    }

    async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
        if self.reading.lock().await.is_none() {
            return Err(BrokerError::Stopped);
        }
        let mut bytes = Vec::new();
        for publication in batch {
            let publication = publication.to_bytes()?;
            bytes.extend_from_slice(&(publication.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&publication);
        }
        // One write, so that nodes do not write into each other. Once begun it is done, whoever waits for it.
        let mut file = self.open().await?.into_std().await;
        let write = move || io::Write::write_all(&mut file, &bytes);
        let written = tokio::task::spawn_blocking(write).await;
        written
            .map_err(io::Error::other)
            .and_then(|written| written)
            .map_err(unavailable)
    }

    async fn stop(&self) {
        if let Some(reading) = self.reading.lock().await.take() {
            reading.abort();
            let _ = reading.await; // Its error says that it was aborted.
        }
    }
}

/// For each cluster of the kit a file of its own.
struct Files;

impl BrokerFactory for Files {
    type Cluster = PathBuf;
    type Broker = SharedFile;

    async fn cluster(&self) -> PathBuf {
        let name = slimy_rt::NodeId::random();
        std::env::temp_dir().join(format!("shared-file-{name}"))
    }

    async fn node(&self, path: &PathBuf) -> Option<SharedFile> {
        Some(SharedFile::new(path.clone()))
    }
}

#[tokio::main]
async fn main() -> Result<(), conformance::Failures> {
    println!("{}", conformance::broker::check(Files).await?);
    Ok(())
}
