//! What an operator wants to know of a certificate.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::TlsError;

/// What an operator wants to know of a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// Names and addresses it is good for, in lower case.
    pub hosts: Vec<String>,
    /// Begin of its validity, unix time.
    pub not_before: i64,
    /// End of its validity, unix time.
    pub not_after: i64,
    /// Whether it vouches for itself.
    pub is_self_signed: bool,
    /// Certificates in the file, its own among them.
    pub chain_len: usize,
    /// Whether each certificate of the file was issued by the next.
    pub is_in_order: bool,
}

/// Where the present lies in a certificate's life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Validity {
    /// Before its begin.
    NotYet,
    /// Within, with this much left.
    Valid(Duration),
    /// After its end.
    Expired,
}

impl Facts {
    /// Where `now` lies in its life.
    pub fn validity(&self, now: SystemTime) -> Validity {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        match u64::try_from(self.not_after - now) {
            _ if now < self.not_before => Validity::NotYet,
            Ok(left) => Validity::Valid(Duration::from_secs(left)),
            Err(_) => Validity::Expired,
        }
    }

    /// Reads the first certificate of a chain.
    ///
    /// # Errors
    ///
    /// [`TlsError::NotX509`]
    pub fn of(chain: &[CertificateDer<'_>]) -> Result<Self, TlsError> {
        let certificate = chain.first().ok_or(TlsError::NotX509)?;
        let (_, x509) = X509Certificate::from_der(certificate).map_err(|_| TlsError::NotX509)?;
        let names = x509.subject_alternative_name().ok().flatten();
        let hosts = names.into_iter().flat_map(|names| &names.value.general_names).filter_map(host).collect();
        let validity = x509.validity();
        Ok(Self {
            hosts,
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            is_self_signed: x509.issuer() == x509.subject(),
            chain_len: chain.len(),
            is_in_order: is_in_order(chain),
        })
    }
}

/// By names alone: what a client makes of the signatures is its own affair.
fn is_in_order(chain: &[CertificateDer<'_>]) -> bool {
    let chain: Result<Vec<_>, _> = chain.iter().map(|der| X509Certificate::from_der(der)).collect();
    chain.is_ok_and(|chain| chain.windows(2).all(|pair| pair[0].1.issuer() == pair[1].1.subject()))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "only names and addresses are hosts")]
fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}
