//! One event to one socket, with how it is to be sent.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{AckError, EmitError, Socket, answers::Question};
use crate::{
    protocol::{Arguments, EventData, Frame},
    server::Bound,
};

/// How an event is sent to one socket: made by [`Socket::timeout`] and [`Socket::volatile`].
#[must_use = "nothing is sent before `emit`"]
pub struct SocketEmit<'a> {
    socket: &'a Socket,
    timeout: Option<Duration>,
    volatile: bool,
}

impl<'a> SocketEmit<'a> {
    pub(super) fn new(socket: &'a Socket) -> Self {
        Self {
            socket,
            timeout: None,
            volatile: false,
        }
    }

    /// Waits so long for an answer, instead of `Config::ack_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// May be dropped when the client does not keep up.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Sends an event with one argument.
    ///
    /// # Errors
    /// As [`Socket::emit`].
    pub fn emit<T: Serialize + ?Sized>(self, event: &str, payload: &T) -> Result<(), EmitError> {
        self.emit_data(&EventData::new(event, payload)?)
    }

    /// Sends an event with several arguments: a tuple, as in `emit_args("moved", &("e2", "e4"))`.
    ///
    /// # Errors
    /// As `emit`, and when they are no array.
    pub fn emit_args<T: Serialize + ?Sized>(
        self,
        event: &str,
        arguments: &T,
    ) -> Result<(), EmitError> {
        self.emit_data(&EventData::args(event, arguments)?)
    }

    /// Sends an event with any arguments and attachments.
    ///
    /// # Errors
    /// As [`Socket::emit_data`].
    pub fn emit_data(self, event: &EventData) -> Result<(), EmitError> {
        self.socket.publish(event, self.volatile)
    }

    /// Sends an event with one argument and waits for the client's answer.
    ///
    /// # Errors
    /// As [`Socket::emit_with_ack`].
    ///
    /// # Cancellation
    /// Dropping the future gives the answer up; if it was polled, the event has been sent all the same.
    pub async fn emit_with_ack<T: Serialize + Sync + ?Sized>(
        self,
        event: &str,
        payload: &T,
    ) -> Result<Arguments, AckError> {
        let event = EventData::new(event, payload).map_err(EmitError::from)?;
        self.emit_data_with_ack(&event).await
    }

    /// Sends an event with any arguments and attachments and waits for the client's answer.
    ///
    /// # Errors
    /// As [`Socket::emit_with_ack`].
    ///
    /// # Cancellation
    /// As [`SocketEmit::emit_with_ack`].
    pub async fn emit_data_with_ack(self, event: &EventData) -> Result<Arguments, AckError> {
        let Self {
            socket,
            timeout,
            volatile,
        } = self;
        let config = socket.config();
        let bound = config.max_pending_acks;
        let timeout = timeout.unwrap_or(config.ack_timeout);
        let mut question = Question::new(socket, bound).ok_or(AckError::TooMany(bound))?;
        let frame = Frame::event(socket.namespace(), Some(question.id()), event);
        socket.send_frame(frame, volatile)?;
        tokio::time::timeout(timeout, question.answer())
            .await
            .map_err(|_| {
                socket.stats().reached(Bound::AckTimeout);
                AckError::Timeout(timeout)
            })?
            .ok_or(AckError::Disconnected)
    }
}

impl fmt::Debug for SocketEmit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketEmit")
            .field("socket", self.socket)
            .field("timeout", &self.timeout)
            .field("volatile", &self.volatile)
            .finish()
    }
}
