//! TLS from PEM files that can be read again while the server runs.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
    },
    server::TlsStream,
};

/// A certificate and its key, from two PEM files. Cheap to clone; every clone sees a [`reload`](Self::reload).
///
/// TLS 1.2 and 1.3, HTTP/1.1 by ALPN. The process's default crypto provider is neither used nor set.
#[derive(Clone)]
pub struct TlsConfig {
    shared: Arc<Shared>,
}

struct Shared {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
}

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or has no such PEM block.
    #[error("no {wanted} can be read from {}", path.display())]
    File {
        /// What the file should have.
        wanted: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: pem::Error,
    },
    /// The certificate and the key do not belong together, or are of no usable kind.
    #[error("the certificate in {} cannot be used with the key", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
}

impl TlsConfig {
    /// Reads a certificate chain (the server's own first) and its private key (PKCS #8, PKCS #1 or SEC1). Blocks on the file system.
    ///
    /// # Errors
    /// [`TlsError`] names the file.
    pub fn from_pem_files(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let current = ArcSwap::from(load(&certificate, &key)?);
        Ok(Self {
            shared: Arc::new(Shared {
                certificate,
                key,
                current,
            }),
        })
    }

    /// Reads both files again. Later handshakes use them; connections that are open stay as they are. Blocks on the file system.
    ///
    /// # Errors
    /// [`TlsError`] names the file; what was in use stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Shared {
            certificate, key, ..
        } = &*self.shared;
        self.shared.current.store(load(certificate, key)?);
        Ok(())
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.shared.current.load_full();
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("certificate", &self.shared.certificate)
            .field("key", &self.shared.key)
            .finish_non_exhaustive()
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.and_then(|chain| match chain.is_empty() {
        true => Err(pem::Error::NoItemsFound),
        false => Ok(chain),
    });
    let unreadable = |wanted, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File {
            wanted,
            path,
            source,
        }
    };
    let chain = chain.map_err(unreadable("certificate", certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable("private key", key))?;

    let unusable = |source| TlsError::Unusable {
        path: certificate.to_owned(),
        source,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
