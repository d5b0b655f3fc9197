//! What handlers give back: answers to events, and refusals.

use std::{borrow::Cow, fmt};

use serde::Serialize;
use serde_json::{Value, json};

use super::{AckError, ClusterError, EmitError, JoinError};
use crate::{
    protocol::{AckData, EncodeError},
    session::SessionError,
};

/// What a handler may return: its answer to the event.
///
/// `()` answers nothing, which leaves the answer to an [`Ack`](super::Ack) that the handler took. An answer that the client did not ask for is not sent.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no answer to an event",
    label = "a handler returned this",
    note = "return `()` for no answer, `Answer(value)` to send a value that implements `serde::Serialize`, or a `Result` of answers such as `Result<Answer<T>, Rejection>`"
)]
pub trait IntoAck {
    /// The answer's arguments; `None` when there is no answer.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    fn into_ack(self) -> Result<Option<AckData>, EncodeError>;
}

impl IntoAck for () {
    fn into_ack(self) -> Result<Option<AckData>, EncodeError> {
        Ok(None)
    }
}

impl IntoAck for AckData {
    fn into_ack(self) -> Result<Option<AckData>, EncodeError> {
        Ok(Some(self))
    }
}

impl IntoAck for EncodeError {
    /// It is the server's own mistake.
    fn into_ack(self) -> Result<Option<AckData>, EncodeError> {
        Err(self)
    }
}

impl<A: IntoAck> IntoAck for Option<A> {
    fn into_ack(self) -> Result<Option<AckData>, EncodeError> {
        self.map_or(Ok(None), A::into_ack)
    }
}

impl<A: IntoAck, E: IntoAck> IntoAck for Result<A, E> {
    fn into_ack(self) -> Result<Option<AckData>, EncodeError> {
        match self {
            Ok(answer) => answer.into_ack(),
            Err(answer) => answer.into_ack(),
        }
    }
}

/// What a handler that nobody waits for may return: nothing, or an error that is logged.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that can be logged",
    label = "a handler returned this",
    note = "`on_connect`, `on_access_change` and `on_disconnect` have nobody to answer: return `()` or `Result<(), Rejection>`"
)]
pub trait IntoOutcome {
    /// How it went.
    ///
    /// # Errors
    /// Why it did not go well.
    fn into_outcome(self) -> Result<(), Rejection>;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<(), Rejection> {
        Ok(())
    }
}

impl<E: Into<Rejection>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Result<(), Rejection> {
        self.map_err(E::into)
    }
}

/// A value as the answer to an event.
///
/// ```
/// use slimy_rt::events::{Answer, Namespace, Payload};
///
/// let namespace = Namespace::new("/")
///     .on("double", async |Payload(number): Payload<i64>| Answer(2 * number));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer<T>(pub T);

impl<T: Serialize> IntoAck for Answer<T> {
    fn into_ack(self) -> Result<Option<AckData>, EncodeError> {
        AckData::new(&self.0).map(Some)
    }
}

/// Why an event is not handled. The client that asked for an answer gets `{"code": …, "error": …}`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    code: Cow<'static, str>,
    message: Cow<'static, str>,
}

impl Rejection {
    /// A refusal; `code` is for programs, `message` for people.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }

    /// The server's own mistake, or that of what it depends on; clients are told no more.
    #[must_use]
    pub const fn server_error() -> Self {
        Self {
            code: Cow::Borrowed("server_error"),
            message: Cow::Borrowed("server_error"),
        }
    }

    /// The same, with the cause written to the log as an error. For errors that no client should read:
    /// `load().await.map_err(Rejection::internal)?`.
    #[must_use]
    pub fn internal(error: impl std::error::Error) -> Self {
        tracing::error!(error = %crate::server::cluster::chain(&error), "a handler failed");
        Self::server_error()
    }

    /// The word for programs.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The text for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

macro_rules! internal {
    ($($error:ty)*) => {
        $(
            /// As [`Rejection::internal`].
            impl From<$error> for Rejection {
                fn from(error: $error) -> Self {
                    Self::internal(error)
                }
            }
        )*
    };
}

internal!(EncodeError AckError ClusterError SessionError);

/// A socket that has gone is no error of the server's: nobody gets the answer.
impl From<EmitError> for Rejection {
    fn from(error: EmitError) -> Self {
        match error {
            EmitError::Disconnected => Self::server_error(),
            error => Self::internal(error),
        }
    }
}

/// The code is `too_many_rooms`, `invalid_room` or `not_connected`.
impl From<JoinError> for Rejection {
    fn from(error: JoinError) -> Self {
        let code = match &error {
            JoinError::TooManyRooms { .. } => "too_many_rooms",
            JoinError::Name(_) => "invalid_room",
            JoinError::NotConnected => "not_connected",
        };
        Self::new(code, error.to_string())
    }
}

impl IntoAck for Rejection {
    fn into_ack(self) -> Result<Option<AckData>, EncodeError> {
        AckData::new(&json!({"code": self.code, "error": self.message})).map(Some)
    }
}

/// Why a socket is not let into a namespace: the client's `connect_error` event gets the message and the data.
#[derive(Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    message: Cow<'static, str>,
    data: Option<Value>,
}

impl ConnectError {
    /// A refusal without data.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            data: None,
        }
    }

    /// Adds what the client finds in the error's `data`.
    #[must_use]
    pub fn data(mut self, data: impl Into<Value>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// A message that is its own code, as the chat's clients expect it.
    pub(crate) fn coded(code: &'static str) -> Self {
        Self::new(code).data(json!({"code": code}))
    }

    pub(crate) fn parts(&self) -> (&str, Option<&Value>) {
        (&self.message, self.data.as_ref())
    }
}

/// Shows the message only: the data is the program's own.
impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectError")
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl From<JoinError> for ConnectError {
    fn from(error: JoinError) -> Self {
        Rejection::from(error).into()
    }
}

/// The message is the text for people, the data has the code.
impl From<Rejection> for ConnectError {
    fn from(rejection: Rejection) -> Self {
        let data = json!({"code": rejection.code});
        Self::new(rejection.message).data(data)
    }
}
