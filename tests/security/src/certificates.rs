//! Certificates: good ones by an authority of our own, and every wrong kind.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;

/// Who signs.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, PEM.
    pub pem: String,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
    acceptor_parts: (rustls::pki_types::CertificateDer<'static>, Vec<u8>),
}

/// When a certificate holds, in days from now.
#[derive(Debug, Clone, Copy)]
pub struct Days {
    /// The first day.
    pub from: i64,
    /// The last day.
    pub to: i64,
}

/// Now.
pub const VALID: Days = Days { from: -1, to: 30 };
/// Not any more.
pub const EXPIRED: Days = Days { from: -30, to: -1 };
/// Not yet.
pub const FUTURE: Days = Days { from: 1, to: 30 };

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("an authority").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }
}

impl Authority {
    /// A certificate for these names and addresses.
    pub fn certify(&self, names: &[&str], days: Days) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params(names, days).signed_by(&key, &self.issuer).expect("a certificate");
        Identity::new(&certificate, &key)
    }
}

impl Identity {
    /// A certificate that vouches for itself.
    pub fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self::new(&params(names, VALID).self_signed(&key).expect("a certificate"), &key)
    }

    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            acceptor_parts: (certificate.der().clone(), key.serialize_der()),
        }
    }

    /// Greets clients with it.
    pub fn acceptor(&self) -> TlsAcceptor {
        let (certificate, key) = self.acceptor_parts.clone();
        let key = PrivateKeyDer::try_from(key).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("key and certificate belong together");
        TlsAcceptor::from(Arc::new(config))
    }
}

fn params(names: &[&str], days: Days) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = OffsetDateTime::now_utc() + Duration::days(days.from);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(days.to);
    params
}
