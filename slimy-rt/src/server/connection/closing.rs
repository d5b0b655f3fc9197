//! How a connection ends: what is pending is written, the peer is told, and what was begun comes to its end.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{Connection, Transport};
use crate::{
    protocol::{DisconnectReason, Frame, close_frame, session::Refusal},
    server::{Bound, polling::Answered, shard::Job},
};

/// A connection that is over, but for what is left to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) until: Instant,
    flushed: bool,
    /// A polling client that is sent away is told by its next GET; one that broke the rules is not waited for.
    lingers: bool,
}

impl Closing {
    /// From here on it is only the peer that is waited for.
    fn flushed(&mut self, now: Instant, patience: Duration) {
        if !self.flushed {
            self.flushed = true;
            self.until = self.until.min(now + patience);
        }
    }
}

/// The code of a close that the server itself wants (RFC 6455, section 7.4.1).
pub(super) fn close_code(reason: DisconnectReason) -> u16 {
    match reason {
        DisconnectReason::ServerShuttingDown => 1001,
        _ => 1000,
    }
}

impl Connection {
    /// Ends the session: its sockets leave, and what is pending is written before `code`.
    pub(super) fn close(&mut self, reason: DisconnectReason, code: Option<u16>, now: Instant) {
        if !self.session.close() {
            return;
        }
        self.candidate = None;
        self.layer.close(&self.core, reason);
        let lingers = matches!(
            reason,
            DisconnectReason::ServerShuttingDown
                | DisconnectReason::ForcedServerClose
                | DisconnectReason::ForcedClose
        );
        let mut last = None;
        match &mut self.transport {
            Transport::Polling(polling) => {
                polling.end_post(Err(Refusal::Session));
                // A client that said goodbye itself is only let go.
                let goodbye = reason == DisconnectReason::TransportClose;
                last = Some(if goodbye {
                    Frame::noop()
                } else {
                    Frame::close()
                });
            }
            Transport::WebSocket(_) => {
                last = code.map(|code| Frame::control(close_frame(code, "")));
            }
            Transport::Gone => {}
        }
        let (key, last) = (self.link.key, last.map(Arc::new));
        self.core.sequencer.push(key, [Job::Close { key, last }]);
        if !(lingers && matches!(self.transport, Transport::Polling(_))) {
            self.core.remove_session(&self.id);
        }
        let until = self.core.closing_until(reason, now);
        self.closing = Some(Closing {
            until,
            flushed: false,
            lingers,
        });
    }

    pub(super) fn poll_closing(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let Some(closing) = &mut self.closing else {
            return Poll::Pending;
        };
        let patience = self.core.config.close_timeout;
        if self.link.is_flushed() {
            closing.flushed(now, patience);
        }
        let late = now >= closing.until;
        let gone = match &mut self.transport {
            Transport::Gone => true,
            Transport::Polling(polling) => {
                // First the mark, then the look: the shard seals the mailbox when all that was said before is in it.
                let aborted = polling.poll_held(cx).is_ready();
                let sealed = polling.is_sealed();
                if sealed {
                    // What is in it is for the client to fetch.
                    closing.flushed(now, patience);
                }
                let told = sealed && polling.answer(None) == Answered::Yes && polling.is_done();
                let waits = polling.is_holding() || closing.lingers && !aborted;
                late || told || sealed && !waits
            }
            // Once all is written, a short read to the end: closing with unread input would reset the connection.
            Transport::WebSocket(websocket) => {
                late || websocket.poll_drain(cx).is_ready() && closing.flushed
            }
        };
        if gone {
            if late && !matches!(self.transport, Transport::Gone) {
                self.core.stats.reached(Bound::CloseTimeout);
            }
            self.transport = Transport::Gone;
            self.core.remove_session(&self.id);
        }
        if gone && self.layer.has_ended() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
