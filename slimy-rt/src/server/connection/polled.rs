//! A connection's dealings with HTTP requests.

use std::time::Instant;

use bytestring::ByteString;
use tokio::sync::oneshot;

use super::{Connection, Transport, polling, websocket::WebSocket};
use crate::{
    protocol::{
        DisconnectReason,
        engine::{Packet, decode_payload},
        session::{Poll, Refusal},
    },
    server::polling::Ingress,
};

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
                    let bound = self.core.first_payload_bound();
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
        if let (Some(closing), Transport::Polling(polling)) =
            (&mut self.closing, &mut self.transport)
        {
            // The last GET: what is pending, and that it is over.
            polling.hold(answer);
            polling.answer(Some(Packet::Close));
            closing.lingers = polling.has_pending();
            return;
        }
        match self.session.poll_opened(now) {
            Ok(poll) => {
                if let Transport::Polling(polling) = &mut self.transport {
                    polling.hold(answer);
                }
                let nothing = match poll {
                    Poll::Hold => None,
                    Poll::AnswerNow => Some(Packet::Noop),
                };
                self.answer_poll(nothing);
            }
            Err(refusal) => {
                respond(answer, Err(refusal));
                self.refused(Err(refusal), now);
            }
        }
    }

    /// Answers a held GET when there is something to say. Says whether it did.
    pub(super) fn answer_poll(&mut self, nothing: Option<Packet>) -> bool {
        let Transport::Polling(polling) = &mut self.transport else {
            return false;
        };
        let answered = polling.answer(nothing);
        if answered {
            self.session.poll_answered();
        }
        answered
    }

    fn posted(
        &mut self,
        body: Option<ByteString>,
        answer: oneshot::Sender<Result<(), Refusal>>,
        now: Instant,
    ) {
        match (body, &mut self.transport) {
            (Some(body), Transport::Polling(polling)) if !self.session.is_closed() => {
                polling.begin_post(
                    decode_payload(body, self.core.config.max_payload_packets),
                    answer,
                );
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
