//! What a client sees of the server's bounds and of its shutdown.

use std::future::{Ready, ready};

use bytes::Bytes;
use http_body_util::Full;
use tokio::{sync::Notify, task::JoinHandle};

use super::*;

/// Answers the peer's address; `/slow` when it is told to; `/upgrade` with an upgrade that echoes one byte.
#[derive(Clone, Default)]
struct Answers {
    go_on: Arc<Notify>,
}

impl Service<Request<Incoming>> for Answers {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        let peer = *request.extensions().get::<Peer>().expect("a peer");
        let answer = |text: String| Ok(Response::new(Full::new(Bytes::from(text))));
        match request.uri().path() {
            "/slow" => {
                let go_on = Arc::clone(&self.go_on);
                Box::pin(async move {
                    go_on.notified().await;
                    answer("slow".into())
                })
            }
            "/upgrade" => {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let upgraded = upgrade.await.expect("upgraded");
                    let parts = upgraded
                        .downcast::<TokioIo<TcpStream>>()
                        .expect("a TCP stream");
                    let mut stream = parts.io.into_inner();
                    stream.write_all(b"raw").await.expect("written");
                });
                let mut response = Response::new(Full::default());
                *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
                response
                    .headers_mut()
                    .insert(http::header::UPGRADE, http::HeaderValue::from_static("raw"));
                Box::pin(ready(Ok(response)))
            }
            _ => {
                let ready: Ready<_> = ready(answer(format!("{} {}", peer.addr.ip(), peer.secure)));
                Box::pin(ready)
            }
        }
    }
}

struct Running {
    addr: SocketAddr,
    shutdown: CancellationToken,
    service: Answers,
    task: JoinHandle<()>,
}

async fn start(config: ServeConfig) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, shutdown, service) = (
        listener.local_addr().unwrap(),
        CancellationToken::new(),
        Answers::default(),
    );
    let task = tokio::spawn(serve(listener, service.clone(), config, shutdown.clone()));
    Running {
        addr,
        shutdown,
        service,
        task,
    }
}

/// Sends `request` and reads until the server closes.
async fn ask(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn requests_carry_their_peer() {
    let server = start(ServeConfig::default()).await;
    assert!(
        ask(server.addr, GET)
            .await
            .ends_with("\r\n\r\n127.0.0.1 false")
    );
}

#[tokio::test]
async fn headers_are_bounded_in_bytes_number_and_time() {
    let config = ServeConfig {
        header_read_timeout: Duration::from_millis(200),
        ..ServeConfig::default()
    };
    let counts = config.counts.clone();
    let server = start(config).await;
    let long = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    assert!(ask(server.addr, &long).await.starts_with("HTTP/1.1 431"));
    // Beside hyper's own bound, which reads may overshoot.
    let line = format!("x: {}\r\n", "x".repeat(9_000));
    let longer = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", line.repeat(8));
    assert!(ask(server.addr, &longer).await.starts_with("HTTP/1.1 431"));
    let many = format!(
        "GET / HTTP/1.1\r\n{}\r\n",
        "a: b\r\n".repeat(MAX_HEADERS + 1)
    );
    assert!(ask(server.addr, &many).await.starts_with("HTTP/1.1 431"));
    let most = format!(
        "GET / HTTP/1.1\r\n{}connection: close\r\n\r\n",
        "a: b\r\n".repeat(MAX_HEADERS - 1)
    );
    assert!(ask(server.addr, &most).await.starts_with("HTTP/1.1 200"));
    counted(&counts, ServeBound::MaxHeaderBytes, 3).await;
    assert!(
        ask(server.addr, "nonsense\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 400")
    );
    // A client that says nothing at all, and one that wants another protocol.
    let silent = timeout(Duration::from_secs(5), ask(server.addr, ""));
    assert_eq!(silent.await.unwrap(), "");
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_eq!(ask(server.addr, preface).await, "", "closed");
    // Half a request: closed, not kept for ever.
    let closed = timeout(
        Duration::from_secs(5),
        ask(server.addr, "GET / HTTP/1.1\r\n"),
    );
    assert_eq!(closed.await.unwrap(), "");
    counted(&counts, ServeBound::HeaderReadTimeout, 2).await;
}

/// A connection is counted as it ends, which its peer may see first.
async fn counted(counts: &ServeCounts, bound: ServeBound, times: u64) {
    let counted = async {
        while counts.reached(bound) < times {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), counted).await.unwrap();
    assert_eq!(counts.reached(bound), times);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_tls_handshake_is_bounded_in_time() {
    let folder = std::env::temp_dir().join(format!("tls-{}", crate::NodeId::random()));
    std::fs::create_dir(&folder).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-subj", "/CN=localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let tls = TlsConfig::from_pem_files(&cert, &key).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let config = ServeConfig {
        tls_handshake_timeout: Duration::from_millis(100),
        tls: Some(tls),
        ..ServeConfig::default()
    };
    let counts = config.counts.clone();
    let server = start(config).await;
    assert_eq!(ask(server.addr, "").await, "", "closed");
    counted(&counts, ServeBound::TlsHandshakeTimeout, 1).await;
}

#[tokio::test]
async fn connections_past_the_limit_are_refused_until_one_ends() {
    let config = ServeConfig {
        max_connections: 1,
        ..ServeConfig::default()
    };
    let counts = config.counts.clone();
    let server = start(config).await;
    // Connections are accepted in their order: the first has the only place.
    let mut first = TcpStream::connect(server.addr).await.unwrap();
    let request = b"GET /slow HTTP/1.1\r\nconnection: close\r\n\r\n";
    first.write_all(request).await.unwrap();
    assert!(ask(server.addr, GET).await.starts_with("HTTP/1.1 503"));
    assert_eq!(counts.reached(ServeBound::MaxConnections), 1);
    server.service.go_on.notify_one();
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("slow"));
    timeout(Duration::from_secs(5), async {
        while !ask(server.addr, GET).await.starts_with("HTTP/1.1 200") {}
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn upgraded_connections_give_back_their_socket() {
    let server = start(ServeConfig::default()).await;
    let answer = ask(
        server.addr,
        "GET /upgrade HTTP/1.1\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n",
    );
    assert!(answer.await.ends_with("\r\n\r\nraw"));
}

#[tokio::test]
async fn shutdown_lets_requests_in_flight_finish() {
    let server = start(ServeConfig::default()).await;
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut start = [0; 12];
    idle.read_exact(&mut start).await.unwrap();
    let mut busy = TcpStream::connect(server.addr).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    // A later connection's answer shows that the earlier one was accepted.
    ask(server.addr, GET).await;

    server.shutdown.cancel();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    server.service.go_on.notify_one();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("slow"));
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn shutdown_drops_what_does_not_finish() {
    let config = ServeConfig {
        shutdown_timeout: Duration::from_millis(100),
        ..ServeConfig::default()
    };
    let counts = config.counts.clone();
    let server = start(config).await;
    let busy = tokio::spawn(ask(server.addr, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"));
    ask(server.addr, GET).await;
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert_eq!(busy.await.unwrap(), "");
    assert_eq!(counts.reached(ServeBound::ShutdownTimeout), 1);
}
