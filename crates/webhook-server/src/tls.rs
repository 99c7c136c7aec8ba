//! TLS on the sidecar's own listener, and the client that knows it by its certificate.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use rustls::{
    ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, server::TlsStream};
use tokio_util::either::Either;

use crate::{config::Config, listener::Caller, private::check_not_world_readable};

/// A handshake must be over within this time.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// A caller's connection: by the port, with TLS or without; or by the socket.
pub type Stream = Either<Either<TcpStream, TlsStream<TcpStream>>, UnixStream>;

/// Turns an accepted connection into one that may speak HTTP.
#[derive(Clone)]
pub struct Greeter(Option<TlsAcceptor>);

impl std::fmt::Debug for Greeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Greeter(TLS)" } else { "Greeter(plaintext)" })
    }
}

impl Greeter {
    /// Greets with the certificate of `[server] tls_cert_file`; without one, in plaintext.
    ///
    /// # Errors
    /// A file cannot be read, the key is open to everybody, or key and certificate do not belong together.
    pub fn new(config: &Config) -> Result<Self> {
        match (&config.tls_cert_file, &config.tls_key_file) {
            (Some(certificate), Some(key)) => acceptor(certificate, key).map(|acceptor| Self(Some(acceptor))),
            _ => Ok(Self(None)),
        }
    }

    /// Whether callers speak TLS.
    pub fn is_tls(&self) -> bool {
        self.0.is_some()
    }

    /// The connection, or none when there was no handshake in time. Nobody is between the ends of a socket, so there is
    /// no TLS on it.
    pub async fn greet(&self, caller: Caller) -> Option<Stream> {
        let stream = match caller {
            Caller::Tcp(stream) => stream,
            Caller::Unix(stream) => return Some(Either::Right(stream)),
        };
        let Some(acceptor) = &self.0 else { return Some(Either::Left(Either::Left(stream))) };
        match tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some(Either::Left(Either::Right(stream))),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a caller made no TLS session");
                None
            }
            Err(_) => None,
        }
    }
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    check_not_world_readable(key)?;
    let key_place = key.display();
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(|| format!("server.tls_key_file {key_place} holds no private key in PEM"))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| format!("use {} with {key_place}", certificate.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// For the sidecar's own commands: trusts the very certificate that this file names, under any address, and no other.
///
/// # Errors
/// The file cannot be read.
pub fn connector_of(certificate: &Path) -> Result<TlsConnector> {
    let pinned = Pinned { certificate: certificates(certificate)?.swap_remove(0), provider: provider() };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let place = path.display();
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = read
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(|| format!("server.tls_cert_file {place} cannot be used"))?;
    if chain.is_empty() {
        bail!("server.tls_cert_file {place} holds no certificate in PEM");
    }
    Ok(chain)
}

/// Whoever holds the key of this certificate is the one that is meant; names and dates do not matter then.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *shown == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
