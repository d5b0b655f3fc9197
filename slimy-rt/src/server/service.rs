//! The HTTP side: a tower service that checks requests in the protocol's order and hands them to sessions.

use std::{
    convert::Infallible,
    error::Error as StdError,
    fmt,
    future::{Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower_service::Service;

use super::{
    connection::Opening,
    core::Core,
    forwarded::Client,
    link::{Command, LinkRef},
    origin::{Decision, is_preflight},
    polling::Ingress,
};
use crate::{
    auth::Handshake,
    protocol::{engine::HandshakeError, session::Transport},
};

/// Serves Engine.IO, and Socket.IO over it, at whatever path it is mounted.
///
/// A cheap clone. Over plain TCP it has to be served by hyper (axum does), so that a WebSocket's socket can be taken over.
#[derive(Clone)]
pub struct SocketIoService {
    core: Arc<Core>,
}

type Answer = Response<Full<Bytes>>;
type BoxFuture = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

/// What a request asks for.
struct Query {
    transport: Option<Transport>,
    version_is_4: bool,
    sid: Option<Box<str>>,
}

/// A request that has passed the checks.
enum Wanted {
    /// A new polling session.
    Open,
    /// A new WebSocket session, with the key to answer.
    OpenWebSocket(HeaderValue),
    /// A session's packets.
    Poll(LinkRef),
    /// Packets for a session.
    Post(LinkRef),
    /// A session's upgrade, with the key to answer.
    Upgrade(LinkRef, HeaderValue),
}

impl SocketIoService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The checks of Engine.IO, in its order; the application's veto is the origin's.
    fn check<B>(
        &self,
        request: &Request<B>,
        decision: &Decision,
    ) -> Result<Wanted, HandshakeError> {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let transport = query.transport.ok_or(HandshakeError::TransportUnknown)?;
        match decision {
            Decision::Malformed => return Err(HandshakeError::BadRequest),
            Decision::Foreign => return Err(HandshakeError::Forbidden),
            _ => {}
        }
        let upgrade = asks_for_websocket(request.headers());
        let Some(sid) = query.sid else {
            return self.check_handshake(request, transport, upgrade, query.version_is_4);
        };
        let link = self
            .core
            .session(&sid)
            .ok_or(HandshakeError::SessionUnknown)?;
        if !query.version_is_4 {
            return Err(HandshakeError::BadRequest);
        }
        match (transport, upgrade, request.method()) {
            (Transport::WebSocket, true, &Method::GET) => {
                Ok(Wanted::Upgrade(link, accept_key(request.headers())?))
            }
            (Transport::Polling, false, &Method::GET) => Ok(Wanted::Poll(link)),
            (Transport::Polling, false, &Method::POST) => Ok(Wanted::Post(link)),
            _ => Err(HandshakeError::BadRequest),
        }
    }

    fn check_handshake<B>(
        &self,
        request: &Request<B>,
        transport: Transport,
        upgrade: bool,
        version_is_4: bool,
    ) -> Result<Wanted, HandshakeError> {
        if request.method() != Method::GET {
            return Err(HandshakeError::BadHandshakeMethod);
        }
        if upgrade != (transport == Transport::WebSocket) {
            return Err(HandshakeError::BadRequest);
        }
        if !version_is_4 {
            return Err(HandshakeError::UnsupportedVersion);
        }
        if !upgrade {
            return Ok(Wanted::Open);
        }
        Ok(Wanted::OpenWebSocket(accept_key(request.headers())?))
    }

    fn answer<B>(&self, mut request: Request<B>, decision: &Decision, client: Client) -> Outcome
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let wanted = match self.check(&request, decision) {
            Ok(wanted) => wanted,
            Err(error) => {
                let upgrade = asks_for_websocket(request.headers());
                tracing::debug!(address = %client.addr, %error, "refused a request");
                return Outcome::Now(refuse(error, upgrade));
            }
        };
        let core = Arc::clone(&self.core);
        match wanted {
            Wanted::Open => Outcome::Now(match open(core, &request, client) {
                Ok(opening) => {
                    let (connection, body) = opening.polling();
                    self.core.tasks.spawn(connection.run());
                    packets(Bytes::from(body))
                }
                Err(reason) => unavailable(reason),
            }),
            Wanted::OpenWebSocket(key) => Outcome::Now(match open(core, &request, client) {
                Ok(opening) => {
                    let within = self.core.config.upgrade_timeout;
                    let upgraded = hyper::upgrade::on(&mut request);
                    self.core.tasks.spawn(async move {
                        match tokio::time::timeout(within, upgraded).await {
                            Ok(Ok(upgraded)) => Box::pin(opening.websocket(upgraded).run()).await,
                            Ok(Err(error)) => tracing::debug!(%error, "an upgrade failed"),
                            Err(_) => tracing::debug!("an upgrade took too long"),
                        }
                    });
                    switching(key)
                }
                Err(reason) => unavailable(reason),
            }),
            Wanted::Upgrade(link, key) => {
                let within = self.core.config.upgrade_timeout;
                let upgraded = hyper::upgrade::on(&mut request);
                self.core.tasks.spawn(async move {
                    match tokio::time::timeout(within, upgraded).await {
                        Ok(Ok(upgraded)) => {
                            if !link.send(Command::Ingress(Ingress::Upgrade(upgraded))) {
                                tracing::debug!("an upgrade came after its session's end");
                            }
                        }
                        Ok(Err(error)) => tracing::debug!(%error, "an upgrade failed"),
                        Err(_) => tracing::debug!("an upgrade took too long"),
                    }
                });
                Outcome::Now(switching(key))
            }
            Wanted::Poll(link) => Outcome::Later(Box::pin(poll(link))),
            Wanted::Post(link) => Outcome::Later(Box::pin(post(core, link, request))),
        }
    }
}

enum Outcome {
    Now(Answer),
    Later(Pin<Box<dyn Future<Output = Answer> + Send>>),
}

impl<B> Service<Request<B>> for SocketIoService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let client = self
            .core
            .proxies
            .client(request.extensions(), request.headers());
        let decision = self.core.origins.decide(request.headers(), &client);
        if is_preflight(request.method(), request.headers()) {
            let refused = || refuse(HandshakeError::Forbidden, false);
            let answer = decision.preflight().unwrap_or_else(refused);
            return ResponseFuture(Inner::Now(ready(Ok(answer))));
        }
        ResponseFuture(match self.answer(request, &decision, client) {
            Outcome::Now(mut answer) => {
                decision.cors(answer.headers_mut());
                Inner::Now(ready(Ok(answer)))
            }
            Outcome::Later(answer) => Inner::Later(Box::pin(async move {
                let mut answer = answer.await;
                decision.cors(answer.headers_mut());
                Ok(answer)
            })),
        })
    }
}

impl fmt::Debug for SocketIoService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketIoService").finish_non_exhaustive()
    }
}

/// The answer to a request.
pub struct ResponseFuture(Inner);

enum Inner {
    Now(Ready<Result<Answer, Infallible>>),
    Later(BoxFuture),
}

impl Future for ResponseFuture {
    type Output = Result<Answer, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Now(ready) => Pin::new(ready).poll(cx),
            Inner::Later(future) => future.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl Query {
    fn parse(query: &str) -> Self {
        let mut parsed = Self {
            transport: None,
            version_is_4: false,
            sid: None,
        };
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "transport" => {
                    parsed.transport = [Transport::Polling, Transport::WebSocket]
                        .into_iter()
                        .find(|transport| transport.as_str() == value);
                }
                "EIO" => parsed.version_is_4 = value == "4",
                "sid" => parsed.sid = Some(value.into()),
                _ => {}
            }
        }
        parsed
    }
}

/// Makes room for a new session, or says why it is refused with 503.
fn open<B>(core: Arc<Core>, request: &Request<B>, client: Client) -> Result<Opening, &'static str> {
    if core.is_closing() {
        return Err("the server is shutting down");
    }
    let permit = match core.admission.admit(client.addr, Instant::now()) {
        Ok(permit) => permit,
        Err(full) => {
            tracing::warn!(address = %client.addr, %full, "refused a handshake");
            return Err("too many connections");
        }
    };
    let handshake = Handshake::builder(request.headers(), client.addr)
        .query(request.uri().query().unwrap_or_default())
        .secure(client.secure)
        .build();
    Ok(Opening {
        core,
        handshake,
        permit,
    })
}

/// Waits for a session's packets. Dropping it is how a client gives its GET up.
async fn poll(link: LinkRef) -> Answer {
    let (sender, receiver) = oneshot::channel();
    link.send(Command::Ingress(Ingress::Poll(sender)));
    match receiver.await {
        Ok(Ok(body)) => packets(body),
        Ok(Err(_)) => refuse(HandshakeError::BadRequest, false),
        // The session ended without looking.
        Err(_) => refuse(HandshakeError::SessionUnknown, false),
    }
}

async fn post<B>(core: Arc<Core>, link: LinkRef, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let bad_request = || refuse(HandshakeError::BadRequest, false);
    let unfinished = Unfinished(Some(Arc::clone(&link)));
    let (sender, receiver) = oneshot::channel();
    link.send(Command::Ingress(Ingress::PostOpened(sender)));
    if !matches!(receiver.await, Ok(Ok(()))) {
        unfinished.finish();
        return bad_request();
    }
    let is_text = request.headers().get(header::CONTENT_TYPE) != Some(&OCTET_STREAM);
    let body = Limited::new(request.into_body(), link.payload_bound()).collect();
    let body = match tokio::time::timeout(core.config.body_timeout, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(e)) if e.is::<LengthLimitError>() => {
            return status(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Ok(Err(_)) => return bad_request(),
        Err(_) => return status(StatusCode::REQUEST_TIMEOUT),
    };
    unfinished.finish();
    let body = if is_text {
        ByteString::try_from(body).ok()
    } else {
        None
    };
    let (sender, receiver) = oneshot::channel();
    link.send(Command::Ingress(Ingress::Posted(body, sender)));
    match receiver.await {
        Ok(Ok(())) => {
            let mut answer = Response::new(Full::from("ok"));
            plain_headers(&mut answer, HTML);
            answer
        }
        Ok(Err(_)) | Err(_) => bad_request(),
    }
}

/// Tells the session that a POST did not come to its end, also when the client has gone.
struct Unfinished(Option<LinkRef>);

impl Unfinished {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(link) = self.0.take() {
            link.send(Command::Ingress(Ingress::PostFailed));
        }
    }
}

const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");
const HTML: HeaderValue = HeaderValue::from_static("text/html");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Whether the request asks for a WebSocket (RFC 6455, section 4.2.1).
fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let has = |name, token: &str| {
        let values = headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|t| t.trim().eq_ignore_ascii_case(token))
    };
    has(header::UPGRADE, "websocket") && has(header::CONNECTION, "upgrade")
}

/// The answer to the client's key, when the handshake is a valid one.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, HandshakeError> {
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|key| key.len() == 24);
    match (key, version.map(HeaderValue::as_bytes)) {
        (Some(key), Some(b"13")) => HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
            .map_err(|_| HandshakeError::BadRequest),
        _ => Err(HandshakeError::BadRequest),
    }
}

fn switching(key: HeaderValue) -> Answer {
    let mut answer = status(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    answer
}

fn packets(body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    plain_headers(&mut answer, TEXT);
    answer
}

fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

fn unavailable(message: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(message));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    plain_headers(&mut answer, TEXT);
    answer
}

/// A refused upgrade is a plain 400 with the message; anything else gets the error as JSON.
fn refuse(error: HandshakeError, upgrade: bool) -> Answer {
    let body = if upgrade {
        error.message().into()
    } else {
        error.json()
    };
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    plain_headers(&mut answer, if upgrade { HTML } else { JSON });
    if upgrade {
        answer
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

fn plain_headers(answer: &mut Answer, content_type: HeaderValue) {
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}
