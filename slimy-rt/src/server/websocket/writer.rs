//! The writing side of a WebSocket, until a shard takes it.

use std::{future::poll_fn, sync::Arc, task::Poll};

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
    Other {
        stream: WriteHalf<TokioIo<Upgraded>>,
        mailbox: Arc<Mailbox>,
    },
}

impl Writer {
    pub(super) fn tcp(half: OwnedWriteHalf) -> Self {
        Self::Tcp(half)
    }

    pub(super) fn other(stream: WriteHalf<TokioIo<Upgraded>>) -> Self {
        Self::Other {
            stream,
            mailbox: Arc::default(),
        }
    }

    /// Sends a small frame at once; `false` when the fresh connection does not even take that.
    pub(crate) fn try_send(&self, frame: &Arc<Frame>) -> bool {
        let bytes = frame.websocket();
        match self {
            Self::Tcp(half) => half
                .try_write(bytes)
                .is_ok_and(|written| written == bytes.len()),
            // Written once the task runs, before anything else.
            Self::Other { mailbox, .. } => mailbox.push(frame, GATHER_BYTES),
        }
    }

    /// The outlet for a shard. Another stream's task begins to write.
    pub(crate) fn into_outlet(self, link: &LinkRef) -> Outlet {
        match self {
            Self::Tcp(half) => Outlet::Tcp(half),
            Self::Other { stream, mailbox } => {
                tokio::spawn(write(stream, Arc::clone(&mailbox), Arc::clone(link)));
                Outlet::Mailbox(mailbox)
            }
        }
    }
}

/// Writes what the mailbox gets until it is sealed.
async fn write(mut stream: WriteHalf<TokioIo<Upgraded>>, mailbox: Arc<Mailbox>, link: LinkRef) {
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
            wait(&mailbox).await;
            continue;
        }
        let written = async {
            stream.write_all(&gathered).await?;
            stream.flush().await
        };
        let written = tokio::select! {
            written = written => written,
            () = aborted(&mailbox) => break,
        };
        if let Err(e) = written {
            tracing::debug!(error = %e, "cannot write");
            link.send(Command::WriteFailed { slow: false });
            break;
        }
    }
    if !mailbox.is_aborted()
        && let Err(e) = stream.shutdown().await
    {
        tracing::trace!(error = %e, "cannot shut the writing side down");
    }
    link.set_flushed();
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
