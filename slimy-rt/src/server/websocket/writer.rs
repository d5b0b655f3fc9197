//! The writing side of a WebSocket, until a shard takes it.

use std::{
    future::poll_fn,
    sync::{Arc, OnceLock},
    task::Poll,
};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncWriteExt, WriteHalf},
    net::tcp::OwnedWriteHalf,
};

use super::super::{
    link::{Command, LinkRef},
    shard::{Mailbox, Outlet},
};
use crate::protocol::Frame;

/// How much is gathered for one write: one TLS record's payload.
const GATHER_BYTES: usize = 16 * 1024;

/// The writing side.
#[derive(Debug)]
pub(crate) enum Writer {
    /// A plain socket, which the shard writes to itself.
    Tcp(OwnedWriteHalf),
    /// Another stream, written by a task of its own.
    Task(WriterTask),
}

/// A handle to the task that writes a stream; dropping it before a shard takes the mailbox ends the task.
#[derive(Debug)]
pub(crate) struct WriterTask {
    shared: Arc<Shared>,
    taken: bool,
}

#[derive(Debug, Default)]
struct Shared {
    mailbox: Arc<Mailbox>,
    /// Whom to tell of a failure and of the end, once that is known.
    link: OnceLock<LinkRef>,
}

impl Writer {
    pub(super) fn tcp(half: OwnedWriteHalf) -> Self {
        Self::Tcp(half)
    }

    pub(super) fn task(stream: WriteHalf<TokioIo<Upgraded>>) -> Self {
        let shared = Arc::<Shared>::default();
        tokio::spawn(write(stream, Arc::clone(&shared)));
        Self::Task(WriterTask {
            shared,
            taken: false,
        })
    }

    /// Sends a small frame at once; `false` when the fresh connection does not even take that.
    pub(crate) fn try_send(&self, frame: &Arc<Frame>) -> bool {
        let bytes = frame.websocket();
        match self {
            Self::Tcp(half) => half
                .try_write(bytes)
                .is_ok_and(|written| written == bytes.len()),
            Self::Task(task) => task.shared.mailbox.push(frame, GATHER_BYTES),
        }
    }

    /// The outlet for a shard.
    pub(crate) fn into_outlet(self, link: &LinkRef) -> Outlet {
        match self {
            Self::Tcp(half) => Outlet::Tcp(half),
            Self::Task(mut task) => {
                task.taken = true;
                // Set once: a writer is turned into an outlet once.
                let _ = task.shared.link.set(Arc::clone(link));
                if task.shared.mailbox.is_aborted() {
                    task.shared.failed();
                }
                Outlet::Mailbox(Arc::clone(&task.shared.mailbox))
            }
        }
    }
}

impl Drop for WriterTask {
    fn drop(&mut self) {
        if !self.taken {
            self.shared.mailbox.abort();
        }
    }
}

impl Shared {
    /// The stream is broken. Told by the task, or by whoever sets the link later.
    fn failed(&self) {
        self.mailbox.abort();
        if let Some(link) = self.link.get() {
            link.send(Command::WriteFailed { slow: false });
            link.set_flushed();
        }
    }
}

/// Writes what the mailbox gets until it is sealed.
async fn write(mut stream: WriteHalf<TokioIo<Upgraded>>, shared: Arc<Shared>) {
    let mailbox = &*shared.mailbox;
    let mut gathered = Vec::new();
    loop {
        gathered.clear();
        while gathered.len() < GATHER_BYTES
            && let Some(frame) = mailbox.pop()
        {
            gathered.extend_from_slice(frame.websocket());
        }
        if gathered.is_empty() {
            if mailbox.is_done() {
                break;
            }
            gathered = Vec::new(); // an idle connection keeps no buffer
            wait(mailbox).await;
            continue;
        }
        let written = async {
            stream.write_all(&gathered).await?;
            stream.flush().await
        };
        let written = tokio::select! {
            written = written => written,
            () = aborted(mailbox) => return shared.failed(),
        };
        if let Err(e) = written {
            tracing::debug!(error = %e, "cannot write");
            return shared.failed();
        }
        if let Some(link) = shared.link.get() {
            link.release_control(mailbox.take_control());
        }
    }
    let shut_down = tokio::select! {
        shut_down = stream.shutdown() => shut_down,
        () = aborted(mailbox) => Ok(()),
    };
    if let Err(e) = shut_down {
        tracing::trace!(error = %e, "cannot shut the writing side down");
    }
    if let Some(link) = shared.link.get() {
        link.set_flushed();
    }
}

async fn wait(mailbox: &Mailbox) {
    poll_fn(|cx| {
        mailbox.register(cx.waker());
        if mailbox.is_empty() && !mailbox.is_done() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

async fn aborted(mailbox: &Mailbox) {
    poll_fn(|cx| {
        mailbox.register(cx.waker());
        if mailbox.is_aborted() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
