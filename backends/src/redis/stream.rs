//! Connections to the server: over TCP, and over TLS with what is trusted.

use std::{fs, io, path::Path, sync::Arc};

use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, Pipeline, ProtocolVersion,
    RedisConnectionInfo, RedisFuture, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OnceCell,
    task::{JoinHandle, spawn_blocking},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use super::{
    broker::Pushes,
    error::{RedisError, closed, refused, unverified},
};

/// What a TLS connection trusts.
#[derive(Clone, Default)]
pub(super) struct Tls {
    authorities: Option<Arc<[CertificateDer<'static>]>>,
    /// Made at the first connection: to find the platform's authorities takes a while.
    connector: Arc<OnceCell<TlsConnector>>,
}

impl Tls {
    /// Trusts the authorities in this PEM file alone.
    pub(super) fn only(path: &Path) -> Result<Self, RedisError> {
        let unusable = |why: String| {
            refused(format!(
                "cannot use the authority's certificates in {}: {why}",
                path.display()
            ))
        };
        let pem = fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates.map_err(|error| unusable(error.to_string()))?;
        // What cannot be used is found out now.
        trusting(&certificates).map_err(|error| unusable(error.to_string()))?;
        if certificates.is_empty() {
            return Err(unusable("there are none in PEM".into()));
        }
        Ok(Self {
            authorities: Some(certificates.into()),
            connector: Arc::default(),
        })
    }

    async fn connector(&self) -> Result<&TlsConnector, RedisError> {
        self.connector
            .get_or_try_init(async || {
                let roots = match &self.authorities {
                    Some(certificates) => {
                        trusting(certificates).map_err(|error| refused(error.to_string()))?
                    }
                    None => spawn_blocking(platform_roots)
                        .await
                        .map_err(|error| refused(error.to_string()))??,
                };
                // Named, since the process's default one is the program's to set.
                let config =
                    ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
                        .with_safe_default_protocol_versions()
                        .map_err(|error| refused(error.to_string()))?;
                let config = config.with_root_certificates(roots).with_no_client_auth();
                Ok(TlsConnector::from(Arc::new(config)))
            })
            .await
    }
}

fn trusting(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone())?;
    }
    Ok(roots)
}

/// The platform's authorities, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
fn platform_roots() -> Result<RootCertStore, RedisError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A platform has some that are too odd for rustls.
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found
            .errors
            .first()
            .map_or_else(String::new, |error| format!(" ({error})"));
        return Err(refused(format!(
            "this machine trusts no authority{why}: install its certificates (`ca-certificates`), or name Redis' with `authority_file`"
        )));
    }
    Ok(roots)
}

/// A connection, whose task ends with the last clone, whatever it waits for then.
#[derive(Clone)]
pub(super) struct Connection {
    inner: MultiplexedConnection,
    _driver: Arc<Driver>,
}

struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Connects, says who this is, and selects the database.
    pub(super) async fn open(
        info: &ConnectionInfo,
        tls: Option<&Tls>,
        mut config: AsyncConnectionConfig,
        pushes: Option<Pushes>,
    ) -> Result<Self, RedisError> {
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(refused("the URL must name a host"));
        };
        let stream = TcpStream::connect((host.as_str(), *port)).await;
        let stream = stream.map_err(redis::RedisError::from)?;
        stream.set_nodelay(true).map_err(redis::RedisError::from)?;
        let mut settings = info.redis_settings().clone();
        if let Some(pushes) = pushes {
            settings = settings.set_protocol(ProtocolVersion::RESP3);
            config = config.set_push_sender(move |push| pushes.take(push));
        }
        let (inner, driver) = match tls {
            None => login(&settings, stream, config).await?,
            Some(tls) => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| refused("no certificate can be for the host in the URL"))?;
                let stream = tls.connector().await?.connect(name, stream).await;
                let stream = stream.map_err(not_secure)?;
                login(&settings, stream, config).await?
            }
        };
        let driver = Arc::new(Driver(driver));
        Ok(Self {
            inner,
            _driver: driver,
        })
    }

    /// Hears these channels, too, or no longer.
    pub(super) async fn follow(
        &mut self,
        channels: &[String],
        is_heard: bool,
    ) -> redis::RedisResult<()> {
        if channels.is_empty() {
            return Ok(());
        }
        if is_heard {
            self.inner.subscribe(channels).await
        } else {
            self.inner.unsubscribe(channels).await
        }
    }
}

/// Says who this is, and starts what drives the connection.
async fn login(
    settings: &RedisConnectionInfo,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    config: AsyncConnectionConfig,
) -> Result<(MultiplexedConnection, JoinHandle<()>), RedisError> {
    let (inner, driver) = MultiplexedConnection::new_with_config(settings, stream, config)
        .await
        .map_err(not_taken)?;
    Ok((inner, tokio::spawn(driver)))
}

/// What a connection's early end means: whoever accepted it has no words for it, or they were lost with it.
fn not_taken(error: redis::RedisError) -> RedisError {
    if error.is_io_error() && !error.is_timeout() {
        return closed(error);
    }
    error.into()
}

/// What a handshake's failure means.
fn not_secure(error: io::Error) -> RedisError {
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => unverified(error.into()),
        _ => not_taken(error.into()),
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.inner.req_packed_command(command)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.inner.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
