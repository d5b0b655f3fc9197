//! Extractors: what handlers can take as arguments.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{
    Ack, Emitter, Event, Rejection, ServerSideEvent, Socket,
    handler::{Disconnect, Extract},
    state::Requirements,
};
use crate::{
    auth::Identity,
    protocol::{ArgumentError, Arguments, DisconnectReason, Placeholder},
    server::Access,
};

/// What can be had from a socket alone: an argument for every handler and middleware of a namespace.
///
/// Implement it for what your handlers ask of a socket again and again:
/// ```
/// use slimy_rt::events::{FromSocket, Namespace, Rejection, Socket};
///
/// struct Administrator(Socket);
///
/// impl FromSocket for Administrator {
///     async fn from_socket(socket: &Socket) -> Result<Self, Rejection> {
///         if !socket.access().role.is_admin() {
///             return Err(Rejection::new("not_authorized", "only administrators may do this"));
///         }
///         Ok(Self(socket.clone()))
///     }
/// }
///
/// let namespace = Namespace::new("/")
///     .on("restart", async |Administrator(socket): Administrator| tracing::info!(?socket, "restart"));
/// ```
///
/// # Errors
/// A [`Rejection`] keeps the handler from running. A client that asked for an answer gets it; one that connects is refused by it
/// in a connect middleware. `on_connect` and `on_disconnect` have nobody to tell: there it is logged.
///
/// # Cancellation
/// The future is dropped when the handler's time is over.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from a socket",
    note = "a socket has `Socket`, `Identity`, `Access`, `Emitter`, `State<S>`, `Data<T>`; `Payload<T>`, `Args<T>` and `Ack` come with an event only",
    note = "implement `FromSocket` for types of your own"
)]
pub trait FromSocket: Sized + Send {
    /// Takes it.
    fn from_socket(socket: &Socket) -> impl Future<Output = Result<Self, Rejection>> + Send;

    /// Says which [`State`](super::State) it needs, so that the server's `build` can tell when it is missing.
    fn requires(requirements: &mut Requirements) {
        let _ = requirements;
    }
}

/// What can be had from an event: an argument for its handlers and middleware. All that is [`FromSocket`] is this too.
///
/// ```
/// use slimy_rt::events::{Event, FromEvent, Rejection};
///
/// /// Texts that are not too long.
/// struct Text(String);
///
/// impl FromEvent for Text {
///     async fn from_event(event: &Event) -> Result<Self, Rejection> {
///         let text: String = event.arguments().parse(0)?;
///         match text.len() {
///             1..=500 => Ok(Self(text)),
///             length => Err(Rejection::new("text_length", format!("{length} bytes; 1 to 500 are allowed"))),
///         }
///     }
/// }
/// ```
///
/// # Errors
/// A [`Rejection`] keeps the handler from running and is the answer of a client that asked for one.
///
/// # Cancellation
/// The future is dropped when the handler's time is over.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from an event",
    note = "an event has `Payload<T>`, `Args<T>`, `Binary`, `Attachments`, `Arguments`, `Ack`, `Event`, and what its socket has: `Socket`, `Identity`, `Access`, `Emitter`, `State<S>`, `Data<T>`",
    note = "implement `FromEvent` or `FromSocket` for types of your own"
)]
pub trait FromEvent: Sized + Send {
    /// Takes it.
    fn from_event(event: &Event) -> impl Future<Output = Result<Self, Rejection>> + Send;

    /// Says which [`State`](super::State) it needs, so that the server's `build` can tell when it is missing.
    fn requires(requirements: &mut Requirements) {
        let _ = requirements;
    }
}

impl<T: FromSocket> FromEvent for T {
    async fn from_event(event: &Event) -> Result<Self, Rejection> {
        T::from_socket(event.socket()).await
    }

    fn requires(requirements: &mut Requirements) {
        T::requires(requirements);
    }
}

impl FromSocket for Socket {
    async fn from_socket(socket: &Socket) -> Result<Self, Rejection> {
        Ok(socket.clone())
    }
}

impl FromSocket for Identity {
    async fn from_socket(socket: &Socket) -> Result<Self, Rejection> {
        Ok(socket.identity().clone())
    }
}

/// What the user may see at this moment.
impl FromSocket for Access {
    async fn from_socket(socket: &Socket) -> Result<Self, Rejection> {
        Ok((*socket.access()).clone())
    }
}

impl FromSocket for Emitter {
    async fn from_socket(socket: &Socket) -> Result<Self, Rejection> {
        Ok(socket.emitter())
    }
}

/// A value that [`Socket::set_data`] put there; a rejection with the code `no_data` when nobody did.
#[derive(Clone, Debug)]
pub struct Data<T>(pub Arc<T>);

impl<T: Send + Sync + 'static> FromSocket for Data<T> {
    async fn from_socket(socket: &Socket) -> Result<Self, Rejection> {
        let missing = || {
            tracing::debug!(data = std::any::type_name::<T>(), "not set for this socket");
            Rejection::new("no_data", "this needs something that was not done before")
        };
        socket.data().map(Self).ok_or_else(missing)
    }
}

/// The event's first argument.
///
/// # Errors
/// A rejection with the code `invalid_payload` when it is missing or not a `T`.
#[derive(Clone, Copy, Debug)]
pub struct Payload<T>(pub T);

/// All of the event's arguments: a tuple with one type for each, or a `Vec`.
///
/// # Errors
/// A rejection with the code `invalid_payload` when they are not.
#[derive(Clone, Copy, Debug)]
pub struct Args<T>(pub T);

/// The event's first argument, which has to be binary.
///
/// # Errors
/// A rejection with the code `invalid_payload` when it is not.
#[derive(Clone, Debug)]
pub struct Binary(pub Bytes);

/// The event's binary attachments, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Attachments(pub Vec<Bytes>);

impl Attachments {
    /// What a placeholder among the arguments stands for. `None` when there is no such attachment: a client can write a placeholder without one.
    #[must_use]
    pub fn get(&self, placeholder: Placeholder) -> Option<&Bytes> {
        self.0.get(placeholder.num())
    }
}

impl<T: DeserializeOwned + Send> FromEvent for Payload<T> {
    async fn from_event(event: &Event) -> Result<Self, Rejection> {
        Ok(Self(event.arguments().parse(0)?))
    }
}

impl<T: DeserializeOwned + Send> FromEvent for Args<T> {
    async fn from_event(event: &Event) -> Result<Self, Rejection> {
        Ok(Self(event.arguments().parse_all()?))
    }
}

impl FromEvent for Binary {
    async fn from_event(event: &Event) -> Result<Self, Rejection> {
        let bytes = event.arguments().binary(0).cloned();
        bytes
            .map(Self)
            .ok_or_else(|| invalid("argument 0 is not binary"))
    }
}

impl FromEvent for Attachments {
    async fn from_event(event: &Event) -> Result<Self, Rejection> {
        Ok(Self(event.arguments().attachments().to_vec()))
    }
}

impl FromEvent for Arguments {
    async fn from_event(event: &Event) -> Result<Self, Rejection> {
        Ok(event.arguments().clone())
    }
}

impl FromEvent for Ack {
    async fn from_event(event: &Event) -> Result<Self, Rejection> {
        Ok(event.ack())
    }
}

impl FromEvent for Event {
    async fn from_event(event: &Event) -> Result<Self, Rejection> {
        Ok(event.clone())
    }
}

/// `None` instead of a rejection.
impl<T: FromEvent> FromEvent for Option<T> {
    async fn from_event(event: &Event) -> Result<Self, Rejection> {
        Ok(T::from_event(event).await.ok())
    }

    fn requires(requirements: &mut Requirements) {
        T::requires(requirements);
    }
}

macro_rules! option {
    ($($context:ty),*) => {
        $(
            /// `None` instead of a rejection.
            impl<T: Extract<$context>> Extract<$context> for Option<T> {
                async fn extract(context: &$context) -> Result<Self, Rejection> {
                    Ok(T::extract(context).await.ok())
                }

                fn requires(requirements: &mut Requirements) {
                    T::requires(requirements);
                }
            }
        )*
    };
}

option!(Socket, Disconnect, ServerSideEvent);

impl<T: FromEvent> Extract<Event> for T {
    async fn extract(event: &Event) -> Result<Self, Rejection> {
        T::from_event(event).await
    }

    fn requires(requirements: &mut Requirements) {
        T::requires(requirements);
    }
}

impl<T: FromSocket> Extract<Socket> for T {
    async fn extract(socket: &Socket) -> Result<Self, Rejection> {
        T::from_socket(socket).await
    }

    fn requires(requirements: &mut Requirements) {
        T::requires(requirements);
    }
}

impl<T: FromSocket> Extract<Disconnect> for T {
    async fn extract(disconnect: &Disconnect) -> Result<Self, Rejection> {
        T::from_socket(&disconnect.socket).await
    }

    fn requires(requirements: &mut Requirements) {
        T::requires(requirements);
    }
}

impl Extract<Disconnect> for DisconnectReason {
    async fn extract(disconnect: &Disconnect) -> Result<Self, Rejection> {
        Ok(disconnect.reason)
    }
}

impl Extract<ServerSideEvent> for ServerSideEvent {
    async fn extract(event: &ServerSideEvent) -> Result<Self, Rejection> {
        Ok(event.clone())
    }
}

impl Extract<ServerSideEvent> for Emitter {
    async fn extract(event: &ServerSideEvent) -> Result<Self, Rejection> {
        Ok(event.emitter().clone())
    }
}

impl Extract<ServerSideEvent> for Arguments {
    async fn extract(event: &ServerSideEvent) -> Result<Self, Rejection> {
        Ok(event.arguments().clone())
    }
}

impl<T: DeserializeOwned + Send> Extract<ServerSideEvent> for Payload<T> {
    async fn extract(event: &ServerSideEvent) -> Result<Self, Rejection> {
        Ok(Self(event.arguments().parse(0)?))
    }
}

impl<T: DeserializeOwned + Send> Extract<ServerSideEvent> for Args<T> {
    async fn extract(event: &ServerSideEvent) -> Result<Self, Rejection> {
        Ok(Self(event.arguments().parse_all()?))
    }
}

/// The code is `invalid_payload`; the text says which argument, where and why.
impl From<ArgumentError> for Rejection {
    fn from(error: ArgumentError) -> Self {
        invalid(match &error {
            ArgumentError::Invalid { source, .. } | ArgumentError::InvalidArguments { source } => {
                format!("{error}: {source}")
            }
            ArgumentError::Missing { .. } => error.to_string(),
        })
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::new("invalid_payload", message)
}
