//! A connection's dealings with HTTP requests.

use std::time::Instant;

use bytestring::ByteString;
use tokio::sync::oneshot;

use super::{Connection, Transport, polling, websocket::WebSocket};
use crate::{
    protocol::{
        DisconnectReason,
        engine::DecodeError,
        session::{Poll, Refusal},
    },
    server::{
        Bound,
        polling::{Answered, Ingress},
    },
};

/// A `6`, when there is nothing else to say.
pub(super) const NOOP: &[u8] = b"6";

impl Connection {
    pub(super) fn ingress(&mut self, ingress: Ingress, now: Instant) {
        match ingress {
            Ingress::Poll(answer) => self.poll_opened(answer, now),
            Ingress::PostOpened(answer) => {
                let result = self.session.post_opened(now);
                respond(answer, result);
                self.refused(result, now);
            }
            Ingress::Posted(body, answer) => self.posted(body, answer, now),
            Ingress::PostFailed => self.session.post_answered(),
            Ingress::Upgrade(upgraded) => {
                // One that may not take over is closed by dropping it.
                if self.session.upgrade_opened(now) {
                    let bound = self.payload_bound();
                    let fragments = self.core.config.max_fragments;
                    self.candidate = Some(Box::new(WebSocket::new(upgraded, bound, fragments)));
                }
            }
        }
    }

    fn poll_opened(
        &mut self,
        answer: oneshot::Sender<Result<bytes::Bytes, Refusal>>,
        now: Instant,
    ) {
        if self.closing.is_some()
            && let Transport::Polling(polling) = &mut self.transport
        {
            // The last GET: it is answered with what is pending, and that it is over.
            return polling.hold(answer);
        }
        match self.session.poll_opened(now) {
            Ok(poll) => {
                if let Transport::Polling(polling) = &mut self.transport {
                    polling.hold(answer);
                }
                let nothing = match poll {
                    Poll::Hold => None,
                    Poll::AnswerNow => Some(NOOP),
                };
                self.answer_poll(nothing, now);
            }
            Err(refusal) => {
                respond(answer, Err(refusal));
                self.refused(Err(refusal), now);
            }
        }
    }

    /// Answers a held GET when there is something to say, or else with `nothing`. Says whether it did.
    pub(super) fn answer_poll(&mut self, nothing: Option<&'static [u8]>, now: Instant) -> bool {
        let Transport::Polling(polling) = &mut self.transport else {
            return false;
        };
        match polling.answer(nothing) {
            Answered::No => return false,
            Answered::Yes => self.session.poll_answered(),
            Answered::Aborted => self.close(DisconnectReason::TransportError, None, now),
        }
        true
    }

    fn posted(
        &mut self,
        body: Option<ByteString>,
        answer: oneshot::Sender<Result<(), Refusal>>,
        now: Instant,
    ) {
        let Transport::Polling(polling) = &mut self.transport else {
            // It took so long that the client has upgraded meanwhile.
            return respond(answer, Err(Refusal::Request));
        };
        match body {
            Some(body) if !self.session.is_closed() => {
                polling.begin_post(body, self.core.config.max_payload_packets, answer);
            }
            _ => {
                respond(answer, Err(Refusal::Session));
                self.close(DisconnectReason::ParseError, None, now);
            }
        }
    }

    pub(super) fn polling_read(&mut self, read: polling::Read, now: Instant) {
        let result = match read {
            polling::Read::Packet(packet) => self.packet(packet, now),
            polling::Read::Malformed(error) => {
                tracing::debug!(%error, "malformed payload");
                if error == DecodeError::TooManyPackets {
                    self.core.stats.reached(Bound::MaxPayloadPackets);
                }
                Err(DisconnectReason::ParseError)
            }
            polling::Read::PostDone => {
                self.session.post_answered();
                if let Transport::Polling(polling) = &mut self.transport {
                    polling.end_post(Ok(()));
                }
                return;
            }
            polling::Read::Aborted => Err(DisconnectReason::TransportError),
        };
        match result {
            Ok(()) => {}
            Err(DisconnectReason::TransportClose) => {
                // A client that says goodbye did nothing wrong: its POST is answered as usual.
                if let Transport::Polling(polling) = &mut self.transport {
                    polling.end_post(Ok(()));
                }
                self.close(DisconnectReason::TransportClose, None, now);
            }
            Err(reason) => self.close(reason, None, now),
        }
    }

    /// A request against the rules; some end the session.
    fn refused(&mut self, result: Result<(), Refusal>, now: Instant) {
        if result == Err(Refusal::Session) {
            self.close(DisconnectReason::TransportError, None, now);
        }
    }
}

fn respond<T>(answer: oneshot::Sender<T>, value: T) {
    // The error means that the client gave its request up.
    let _ = answer.send(value);
}
