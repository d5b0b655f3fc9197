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
    /// The body's length.
    bytes: usize,
    answer: oneshot::Sender<Result<(), Refusal>>,
}

/// What became of a held GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// There is none, or nothing to say.
    No,
    Yes,
    /// The client had given it up.
    Aborted,
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

    /// Whether all that will ever be said has been taken.
    pub(crate) fn is_done(&self) -> bool {
        self.mailbox.is_done()
    }

    /// Whether what is said last has been said.
    pub(crate) fn is_sealed(&self) -> bool {
        self.mailbox.is_sealed()
    }

    /// Answers the held GET with what is pending, or else with `nothing` when that is given.
    pub(crate) fn answer(&mut self, nothing: Option<&'static [u8]>) -> Answered {
        if self.held.is_none() {
            return Answered::No;
        }
        let mut body = BytesMut::new();
        let next = |is_first: bool| {
            if is_first {
                self.mailbox.pop()
            } else {
                // The stock client forgets an event that comes in one answer with the close.
                self.mailbox.pop_before_last()
            }
        };
        while body.len() < MAX_ANSWER_BYTES
            && let Some(frame) = next(body.is_empty())
        {
            let packets = frame.polling();
            if !body.is_empty() && !packets.is_empty() {
                body.extend_from_slice(&[SEPARATOR]);
            }
            body.extend_from_slice(&packets);
        }
        if body.is_empty() {
            body.extend_from_slice(nothing.unwrap_or_default());
        }
        if body.is_empty() {
            return Answered::No;
        }
        let Some(held) = self.held.take() else {
            return Answered::No;
        };
        // What was taken for a client that has gone cannot be sent again.
        held.send(Ok(body.freeze()))
            .map_or(Answered::Aborted, |()| Answered::Yes)
    }

    /// Begins to handle a POST's packets.
    pub(crate) fn begin_post(
        &mut self,
        body: ByteString,
        max_packets: usize,
        answer: oneshot::Sender<Result<(), Refusal>>,
    ) {
        let bytes = body.len();
        let packets = engine::decode_payload(body, max_packets);
        self.post = Some(Post {
            packets,
            bytes,
            answer,
        });
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
            Some(Ok(packet)) => Read::Packet(unpinned(packet, post.bytes)),
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

/// Copies what is small beside the buffer it is a part of: a queued event must not pin much more than is counted for it.
pub(crate) fn unpinned(packet: Packet, buffer: usize) -> Packet {
    match packet {
        Packet::Message(text) if text.len() < buffer / 2 => {
            Packet::Message(ByteString::from(&*text))
        }
        Packet::Binary(bytes) if bytes.len() < buffer / 2 => {
            Packet::Binary(Bytes::copy_from_slice(&bytes))
        }
        packet => packet,
    }
}
