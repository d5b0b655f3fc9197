//! HTTP long-polling as the connection's task sees it: requests come in, answers go out.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use hyper::upgrade::Upgraded;
use tokio::sync::oneshot;

use super::shard::Mailbox;
use crate::protocol::{
    engine::{self, DecodeError, Packet, SEPARATOR},
    session::Refusal,
};

/// How much one answer carries before the rest waits for the next GET.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// A request for a session, on its way from the HTTP service to the connection's task.
#[derive(Debug)]
pub(crate) enum Ingress {
    /// A GET.
    Poll(oneshot::Sender<Result<Bytes, Refusal>>),
    /// A POST's headers.
    PostOpened(oneshot::Sender<Result<(), Refusal>>),
    /// Its body; `None` when it is not UTF-8 text.
    Posted(Option<ByteString>, oneshot::Sender<Result<(), Refusal>>),
    /// It did not come, or was too large; the session survives.
    PostFailed,
    /// A WebSocket with the session's id.
    Upgrade(Upgraded),
}

/// The polling side of a connection.
#[derive(Debug)]
pub(crate) struct Polling {
    mailbox: Arc<Mailbox>,
    held: Option<oneshot::Sender<Result<Bytes, Refusal>>>,
    post: Option<Post>,
}

#[derive(Debug)]
struct Post {
    packets: engine::Payload,
    answer: oneshot::Sender<Result<(), Refusal>>,
}

/// What a polling client did.
#[derive(Debug)]
pub(crate) enum Read {
    Packet(Packet),
    Malformed(DecodeError),
    /// All packets of a POST have been handled.
    PostDone,
    /// The held GET was given up.
    Aborted,
}

impl Polling {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            mailbox,
            held: None,
            post: None,
        }
    }

    /// Keeps a GET until there is something to say.
    pub(crate) fn hold(&mut self, answer: oneshot::Sender<Result<Bytes, Refusal>>) {
        self.held = Some(answer);
    }

    pub(crate) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Whether frames wait for the next GET.
    pub(crate) fn has_pending(&self) -> bool {
        !self.mailbox.is_empty()
    }

    /// Answers the held GET with what is pending, and with `last`. Says whether it was answered.
    pub(crate) fn answer(&mut self, last: Option<Packet>) -> bool {
        let nothing = last.is_none() && self.mailbox.is_empty();
        if nothing || self.held.is_none() {
            return false;
        }
        let mut body = BytesMut::new();
        let mut push = |packets: &[u8]| {
            if !body.is_empty() {
                body.extend_from_slice(&[SEPARATOR]);
            }
            body.extend_from_slice(packets);
            body.len()
        };
        let mut len = 0;
        while len < MAX_ANSWER_BYTES
            && let Some(frame) = self.mailbox.pop()
        {
            let packets = frame.polling();
            if !packets.is_empty() {
                len = push(&packets);
            }
        }
        match last {
            Some(Packet::Close) => len = push(b"1"),
            Some(_) if len == 0 => len = push(b"6"),
            Some(_) | None => {}
        }
        if len == 0 {
            return false;
        }
        let Some(held) = self.held.take() else {
            return false;
        };
        if held.send(Ok(body.freeze())).is_err() {
            tracing::debug!("a GET was given up while it was answered");
        }
        true
    }

    /// Begins to handle a POST's packets.
    pub(crate) fn begin_post(
        &mut self,
        packets: engine::Payload,
        answer: oneshot::Sender<Result<(), Refusal>>,
    ) {
        self.post = Some(Post { packets, answer });
    }

    /// Answers the POST.
    pub(crate) fn end_post(&mut self, result: Result<(), Refusal>) {
        if let Some(post) = self.post.take() {
            // The error means that the client does not wait for it.
            let _ = post.answer.send(result);
        }
    }

    /// The next packet of the POST that is being handled.
    pub(crate) fn poll_read(&mut self) -> Poll<Read> {
        let Some(post) = &mut self.post else {
            return Poll::Pending;
        };
        Poll::Ready(match post.packets.next() {
            Some(Ok(packet)) => Read::Packet(packet),
            Some(Err(e)) => Read::Malformed(e),
            None => Read::PostDone,
        })
    }

    /// Answers the held GET when there is something, and notices when it is given up.
    pub(crate) fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        self.mailbox.register(cx.waker());
        let Some(held) = &mut self.held else {
            return Poll::Pending;
        };
        if held.poll_closed(cx).is_ready() {
            self.held = None;
            return Poll::Ready(Read::Aborted);
        }
        Poll::Pending
    }
}
