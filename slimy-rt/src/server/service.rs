//! The HTTP side: a tower service that checks requests in the protocol's order and hands them to sessions.

use std::{
    borrow::Cow,
    convert::Infallible,
    error::Error as StdError,
    fmt,
    future::{Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower_service::Service;

use super::{
    Bound,
    connection::Opening,
    core::Core,
    forwarded::Client,
    link::{Command, LinkRef},
    origin::{Decision, is_preflight},
    polling::Ingress,
    stats::Refused,
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
    /// A new WebSocket session.
    OpenWebSocket(Accept),
    /// A session's packets.
    Poll(LinkRef),
    /// Packets for a session.
    Post(LinkRef),
    /// A session's upgrade.
    Upgrade(LinkRef, Accept),
}

/// How a WebSocket handshake is answered.
struct Accept {
    key: HeaderValue,
    protocol: Option<HeaderValue>,
}

impl SocketIoService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The checks of Engine.IO, in its order; but a foreign page is refused before anything else is looked at.
    fn check<B>(
        &self,
        request: &Request<B>,
        decision: &Decision,
    ) -> Result<Wanted, HandshakeError> {
        if *decision == Decision::Foreign {
            self.core.stats.add_refused(Refused::Origin);
            return Err(HandshakeError::Forbidden);
        }
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let transport = query.transport.ok_or(HandshakeError::TransportUnknown)?;
        if *decision == Decision::Malformed {
            return Err(HandshakeError::BadRequest);
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
                Ok(Wanted::Upgrade(link, accept(request)?))
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
        Ok(Wanted::OpenWebSocket(accept(request)?))
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
                match error {
                    HandshakeError::Forbidden => {
                        tracing::info!(address = %client.addr, %error, "refused")
                    }
                    _ => tracing::debug!(address = %client.addr, %error, "refused a request"),
                }
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
            Wanted::OpenWebSocket(accept) => Outcome::Now(match open(core, &request, client) {
                Ok(opening) => {
                    let within = self.core.config.upgrade_timeout;
                    let upgraded = hyper::upgrade::on(&mut request);
                    let core = Arc::clone(&self.core);
                    self.core.tasks.spawn(async move {
                        match tokio::time::timeout(within, upgraded).await {
                            // A task of its own: this one is larger, and what it waited with is no longer needed.
                            Ok(Ok(upgraded)) => {
                                core.tasks.spawn(opening.websocket(upgraded).run());
                            }
                            Ok(Err(error)) => tracing::debug!(%error, "an upgrade failed"),
                            Err(_) => core.stats.reached(Bound::UpgradeTimeout),
                        }
                    });
                    switching(accept)
                }
                Err(reason) => unavailable(reason),
            }),
            Wanted::Upgrade(link, accept) => {
                let within = self.core.config.upgrade_timeout;
                let upgraded = hyper::upgrade::on(&mut request);
                let stats = Arc::clone(&self.core.stats);
                self.core.tasks.spawn(async move {
                    match tokio::time::timeout(within, upgraded).await {
                        Ok(Ok(upgraded)) => {
                            if !link.send(Command::Ingress(Ingress::Upgrade(upgraded))) {
                                tracing::debug!("an upgrade came after its session's end");
                            }
                        }
                        Ok(Err(error)) => tracing::debug!(%error, "an upgrade failed"),
                        Err(_) => stats.reached(Bound::UpgradeTimeout),
                    }
                });
                Outcome::Now(switching(accept))
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
    /// Reads what the protocol knows; a parameter that is there twice has no value that anyone could mean.
    fn parse(query: &str) -> Self {
        let mut transport = Parameter::default();
        let mut version = Parameter::default();
        let mut sid = Parameter::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "transport" => transport.set(value),
                "EIO" => version.set(value),
                "sid" => sid.set(value),
                _ => {}
            }
        }
        let transport = transport.value().and_then(|name| {
            [Transport::Polling, Transport::WebSocket]
                .into_iter()
                .find(|t| t.as_str() == name)
        });
        // Two session ids are none that is known; an empty one is as good as none.
        let sid = match &sid {
            Parameter::Twice => Some(""),
            sid => sid.value().filter(|sid| !sid.is_empty()),
        };
        Self {
            transport,
            version_is_4: version.value() == Some("4"),
            sid: sid.map(Into::into),
        }
    }
}

/// A parameter's value, unless it came twice.
#[derive(Default)]
enum Parameter<'a> {
    #[default]
    Absent,
    Once(Cow<'a, str>),
    Twice,
}

impl<'a> Parameter<'a> {
    fn set(&mut self, value: Cow<'a, str>) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Twice => Self::Twice,
        };
    }

    fn value(&self) -> Option<&str> {
        match self {
            Self::Once(value) => Some(value),
            Self::Absent | Self::Twice => None,
        }
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
            core.stats.reached(full.bound());
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
            let is_first = link.payload_bound() < core.config.max_payload;
            core.stats.reached(if is_first {
                Bound::MaxPayloadBeforeConnect
            } else {
                Bound::MaxPayload
            });
            return status(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Ok(Err(_)) => return bad_request(),
        Err(_) => {
            core.stats.reached(Bound::BodyTimeout);
            return status(StatusCode::REQUEST_TIMEOUT);
        }
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

/// The answer to a WebSocket handshake, when it is a valid one (RFC 6455, section 4.2).
fn accept<B>(request: &Request<B>) -> Result<Accept, HandshakeError> {
    let headers = request.headers();
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    // What follows the headers would be frames to one reader and a body to another.
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || only(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
        || headers.get_all(header::CONTENT_LENGTH).iter().count() > 1;
    if has_body {
        return Err(HandshakeError::BadRequest);
    }
    let version = only(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
    let key = only(header::SEC_WEBSOCKET_KEY)
        .filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16));
    let (Some(key), Some(b"13"), Version::HTTP_11) = (key, version, request.version()) else {
        return Err(HandshakeError::BadRequest);
    };
    let accept = derive_accept_key(key.as_bytes());
    let key = HeaderValue::from_str(&accept).map_err(|_| HandshakeError::BadRequest)?;
    // As the reference server does, since clients that offer protocols fail when none is chosen.
    let offered = headers
        .get(header::SEC_WEBSOCKET_PROTOCOL)
        .and_then(|v| v.to_str().ok());
    let first = offered
        .and_then(|offered| offered.split(',').next())
        .map(str::trim);
    let protocol = first.and_then(|first| HeaderValue::from_str(first).ok());
    Ok(Accept {
        key,
        protocol: protocol.filter(|protocol| !protocol.is_empty()),
    })
}

fn switching(accept: Accept) -> Answer {
    let mut answer = status(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.key);
    if let Some(protocol) = accept.protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
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
    plain_headers(&mut answer, TEXT);
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
