//! Handlers: async functions over extractors.

use std::{fmt, pin::Pin, sync::Arc};

use super::{Rejection, Socket, state::Requirements};
use crate::protocol::DisconnectReason;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An async function (or a closure that returns a future) of up to eight arguments, each taken from `C`.
///
/// It is implemented for functions; there is no need to implement it otherwise. What the arguments can be depends on what is handled:
///
/// | `C` | given to | arguments |
/// |---|---|---|
/// | [`Event`](super::Event) | `on`, `on_concurrent`, `fallback`, `event_middleware` | [`FromEvent`](super::FromEvent) |
/// | [`Socket`] | `on_connect`, `on_access_change`, `connect_middleware` | [`FromSocket`](super::FromSocket) |
/// | [`Disconnect`] | `on_disconnect` | [`FromSocket`](super::FromSocket) and [`DisconnectReason`] |
/// | [`ServerSideEvent`](super::ServerSideEvent) | `on_server_side` | itself, `Payload`, `Args`, `Arguments`, `Emitter`, `State` |
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not an async function of extractors",
    note = "a handler is `async fn(…) -> …` or `async |…| …` with at most 8 arguments, each of which can be taken from a `{C}`",
    note = "its future must be `Send`: nothing that is not `Send` may be held across an `.await`",
    note = "for an `Event` that is `Payload<T>`, `Args<T>`, `Socket`, `Ack`, `State<S>`, `Data<T>`, `Identity`, `Emitter` or what implements `FromEvent`; elsewhere what implements `FromSocket`"
)]
pub trait Handler<C, Args>: Send + Sync + 'static {
    /// What the function returns.
    type Output: Send;

    /// Takes the arguments and calls the function.
    fn call(&self, context: C) -> impl Future<Output = Result<Self::Output, Rejection>> + Send;

    /// Says which [`State`](super::State) the arguments need.
    fn requires(requirements: &mut Requirements);
}

/// An argument of a handler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from a `{C}`",
    note = "implement `FromSocket` or `FromEvent` for types of your own"
)]
pub trait Extract<C>: Sized + Send {
    /// Takes it.
    fn extract(context: &C) -> impl Future<Output = Result<Self, Rejection>> + Send;

    /// Says which [`State`](super::State) it needs.
    fn requires(requirements: &mut Requirements) {
        let _ = requirements;
    }
}

/// What `on_disconnect` handlers are given.
#[derive(Clone)]
pub struct Disconnect {
    pub(crate) socket: Socket,
    pub(crate) reason: DisconnectReason,
}

impl fmt::Debug for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disconnect")
            .field("socket", &self.socket)
            .field("reason", &self.reason)
            .finish()
    }
}

macro_rules! handler {
    ($($argument:ident)*) => {
        impl<C, F, R, $($argument,)*> Handler<C, ($($argument,)*)> for F
        where
            C: Send + Sync + 'static,
            F: Fn($($argument),*) -> R + Send + Sync + 'static,
            R: Future<Output: Send> + Send,
            $($argument: Extract<C>,)*
        {
            type Output = R::Output;

            #[allow(non_snake_case, unused_variables, reason = "arguments are named like their types, and there may be none")]
            async fn call(&self, context: C) -> Result<R::Output, Rejection> {
                $(let $argument = $argument::extract(&context).await?;)*
                Ok(self($($argument),*).await)
            }

            #[allow(unused_variables, reason = "a function may have no arguments")]
            fn requires(requirements: &mut Requirements) {
                $($argument::requires(requirements);)*
            }
        }
    };
}

handler!();
handler!(A);
handler!(A B);
handler!(A B D);
handler!(A B D E);
handler!(A B D E G);
handler!(A B D E G H);
handler!(A B D E G H I);
handler!(A B D E G H I J);

/// A handler of any shape; the arguments' rejections go to `answer`, and so does what it returns.
pub(crate) type Erased<C, T> = Arc<dyn Fn(C) -> BoxFuture<T> + Send + Sync>;

/// Forgets what a handler's arguments were.
pub(crate) fn erase<C, Args, H, T>(
    handler: H,
    finish: impl Fn(Result<H::Output, Rejection>) -> T + Copy + Send + Sync + 'static,
) -> Erased<C, T>
where
    C: Send + Sync + 'static,
    H: Handler<C, Args>,
    T: 'static,
    Args: 'static,
{
    let handler = Arc::new(handler);
    // The call itself belongs into the future: a panic in either is caught where it is polled.
    Arc::new(move |context| {
        let handler = Arc::clone(&handler);
        Box::pin(async move { finish(handler.call(context).await) })
    })
}
