//! Serves a tower service over HTTP/1.1 from a TCP listener: accepts, bounds, and stops in good order.

mod counts;

use std::{
    convert::Infallible,
    error::Error as StdError,
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    TryFutureExt,
    future::{Either, MapOk, Ready, ready},
};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{Either as BodyEither, Empty};
use hyper::{
    body::Incoming,
    rt::{Read, Write},
    server::conn::http1,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service;

pub use self::counts::{ServeBound, ServeCounts};
use super::forwarded::Peer;
#[cfg(feature = "tls")]
use super::tls::TlsConfig;

/// The most header lines in a request; more are answered by 431. It is hyper's own bound.
pub const MAX_HEADERS: usize = 100;

/// How many refused connections are told so at one time; further ones are closed without a word.
const MAX_REFUSALS: usize = 64;

const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How long a refused client may take to read why.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Pauses between attempts to accept while the process has no free file descriptor.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// How to serve. Every bound has a default.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// The time in which a request's headers must be complete; it also ends idle connections. 30 s.
    pub header_read_timeout: Duration,
    /// The most bytes of a request's line and headers; more are answered by 431. At least 8 KiB. 64 KiB.
    pub max_header_bytes: usize,
    /// The time in which a TLS handshake must be complete. 10 s.
    pub tls_handshake_timeout: Duration,
    /// The most TCP connections that speak HTTP at one time, 0 for no limit; more are answered by 503. Connections that were upgraded do not
    /// count: who upgraded them bounds them. 0.
    pub max_connections: usize,
    /// How long requests in flight may take after the shutdown began. 10 s.
    pub shutdown_timeout: Duration,
    /// Where it is counted how often each of these was reached.
    pub counts: ServeCounts,
    /// Serves over TLS. None.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsConfig>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(30),
            max_header_bytes: 64 * 1024,
            tls_handshake_timeout: Duration::from_secs(10),
            max_connections: 0,
            shutdown_timeout: Duration::from_secs(10),
            counts: ServeCounts::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// Serves `service` to whoever connects to `listener`, until `shutdown` is cancelled and the last connection has ended.
///
/// Each request carries a [`Peer`] extension. Over plain TCP an upgraded connection's socket comes back by downcasting to
/// `TokioIo<TcpStream>`. Requests that are no HTTP/1.1 are answered by 400 and never reach the service, an HTTP/2 preface closes
/// the connection; how long a *body* may take is for the
/// service to bound, since it alone knows whether it wants the body.
///
/// # Shutdown
/// No further connection is accepted and no further request read; requests in flight finish within
/// [`shutdown_timeout`](ServeConfig::shutdown_timeout), then the rest is dropped. An upgraded connection belongs to whoever upgraded it, and
/// is not waited for.
///
/// # Cancellation
/// Dropping the future closes the listener and every connection.
pub async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    config: ServeConfig,
    shutdown: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let connections = TaskTracker::new();
    let drop_all = CancellationToken::new();
    let _drop_all_with_me = drop_all.clone().drop_guard();
    let grace = config.shutdown_timeout;
    let places =
        (config.max_connections > 0).then(|| Arc::new(Semaphore::new(config.max_connections)));
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let http = Arc::new(http_builder(&config));
    let config = Arc::new(config);

    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let (stream, addr) = accepted;
        let place = match &places {
            None => None,
            Some(places) => match Arc::clone(places).try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => {
                    tracing::debug!(%addr, "connection refused: too many are open");
                    config.counts.add(ServeBound::MaxConnections, 1);
                    if let Ok(refusal) = Arc::clone(&refusals).try_acquire_owned() {
                        connections.spawn(refuse(stream, refusal));
                    }
                    continue;
                }
            },
        };
        let connection = Connection {
            http: Arc::clone(&http),
            service: service.clone(),
            config: Arc::clone(&config),
            addr,
            shutdown: shutdown.clone(),
        };
        let drop_all = drop_all.clone();
        connections.spawn(async move {
            let _place = place;
            drop_all.run_until_cancelled(connection.run(stream)).await;
        });
    }

    drop(listener);
    connections.close();
    if timeout(grace, connections.wait()).await.is_err() {
        let open = connections.len();
        tracing::warn!(open, "connections that did not finish in time are dropped");
        config.counts.add(ServeBound::ShutdownTimeout, open);
        drop_all.cancel();
        connections.wait().await;
    }
}

fn http_builder(config: &ServeConfig) -> http1::Builder {
    /// hyper panics below it.
    const MIN_HEADER_BYTES: usize = 8192;
    // Not hyper-util's `auto` builder: before it knows the protocol it has no timer, and a client that says nothing stays for ever.
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout)
        .max_buf_size(config.max_header_bytes.max(MIN_HEADER_BYTES));
    http
}

/// The next connection. Errors of the connection are its own; errors of the process, such as no free file descriptor, pass with time.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut failures: u64 = 0;
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                if failures > 0 {
                    tracing::info!(failures, "connections are accepted again");
                }
                return accepted;
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                if failures == 0 {
                    tracing::error!(%error, "no connection can be accepted; trying again");
                }
                failures += 1;
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Tells a client that there is no room for it. What it sent is read, since closing with unread input would reset the connection and lose
/// the answer.
async fn refuse(mut stream: TcpStream, _refusal: OwnedSemaphorePermit) {
    let answer = async {
        stream.write_all(REFUSAL).await?;
        stream.shutdown().await?;
        let mut sink = [0; 1024];
        while stream.read(&mut sink).await? > 0 {}
        io::Result::Ok(())
    };
    if !matches!(timeout(REFUSAL_TIMEOUT, answer).await, Ok(Ok(()))) {
        tracing::trace!("a refused client did not wait for the answer");
    }
}

/// One accepted connection.
struct Connection<S> {
    http: Arc<http1::Builder>,
    service: S,
    config: Arc<ServeConfig>,
    addr: SocketAddr,
    shutdown: CancellationToken,
}

impl<S, B> Connection<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    async fn run(self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(addr = %self.addr, %error, "TCP_NODELAY cannot be set");
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = self.config.tls.clone() {
            let handshake = timeout(self.config.tls_handshake_timeout, tls.accept(stream));
            match self.shutdown.run_until_cancelled(handshake).await {
                Some(Ok(Ok(stream))) => self.http(TokioIo::new(stream), true).await,
                Some(Ok(Err(error))) => {
                    tracing::debug!(addr = %self.addr, %error, "the TLS handshake failed");
                }
                Some(Err(_)) => {
                    self.config.counts.add(ServeBound::TlsHandshakeTimeout, 1);
                    tracing::debug!(addr = %self.addr, "the TLS handshake took too long")
                }
                None => {}
            }
            return;
        }
        self.http(TokioIo::new(stream), false).await;
    }

    async fn http<I>(self, io: I, secure: bool)
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let peer = Peer {
            addr: self.addr,
            secure,
        };
        let service = TowerToHyperService::new(Checked {
            service: self.service,
            peer,
            config: Arc::clone(&self.config),
        });
        let connection = self.http.serve_connection(io, service).with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            if error.is_timeout() {
                self.config.counts.add(ServeBound::HeaderReadTimeout, 1);
            } else if error.is_parse_too_large() {
                self.config.counts.add(ServeBound::MaxHeaderBytes, 1);
            }
            tracing::debug!(addr = %self.addr, %error, "the HTTP connection ended");
        }
    }
}

/// Tells the service who the peer is, and refuses what hyper lets through: it looks at its bound between reads, which may overshoot.
#[derive(Clone)]
struct Checked<S> {
    service: S,
    peer: Peer,
    config: Arc<ServeConfig>,
}

type CheckedBody<B> = BodyEither<B, Empty<<B as Body>::Data>>;
type CheckedResponse<B> = Response<CheckedBody<B>>;
type Passed<F, B> = MapOk<F, fn(Response<B>) -> CheckedResponse<B>>;

impl<S, R, B> Service<Request<R>> for Checked<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: Body,
{
    type Response = CheckedResponse<B>;
    type Error = S::Error;
    type Future = Either<Ready<Result<CheckedResponse<B>, S::Error>>, Passed<S::Future, B>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<R>) -> Self::Future {
        let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
        if header_bytes(&request) > self.config.max_header_bytes {
            self.config.counts.add(ServeBound::MaxHeaderBytes, 1);
            let mut answer = Response::new(BodyEither::Right(Empty::new()));
            *answer.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Either::Left(ready(Ok(closing(answer))));
        }
        request.extensions_mut().insert(self.peer);
        // A length beside `Transfer-Encoding` is not seen here: hyper drops it. A proxy may have believed it, so that nothing further of this
        // connection can be trusted (RFC 9112, section 6.3).
        let pass: fn(Response<B>) -> CheckedResponse<B> = if is_chunked {
            |answer| closing(answer.map(BodyEither::Left))
        } else {
            |answer| answer.map(BodyEither::Left)
        };
        Either::Right(self.service.call(request).map_ok(pass))
    }
}

/// The connection's last answer.
fn closing<B>(mut answer: Response<B>) -> Response<B> {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

/// A request's line and headers as they are written, but for white space that means nothing.
fn header_bytes<R>(request: &Request<R>) -> usize {
    let uri = request.uri();
    let target = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    target + request.headers().iter().map(line).sum::<usize>()
}

#[cfg(test)]
mod tests;
