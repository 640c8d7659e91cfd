//! What to do about a receiver that was not reached: a sentence for each error that those meet who begin.

use std::io;

use rustls::{CertificateError, InvalidMessage};
use url::Url;

use crate::{error::Chain, simulate::receiver::Unreached};

/// The error with its causes, and what to do about it if that is known.
pub(super) fn explained(error: &Unreached, url: &Url) -> String {
    let words = Chain(error).to_string();
    match advice(error, url) {
        Some(advice) => format!("{words}; {advice}"),
        None => words,
    }
}

/// What to do about it.
pub(super) fn advice(error: &Unreached, url: &Url) -> Option<&'static str> {
    match error {
        Unreached::Tls(error) => tls(error),
        Unreached::Http(error)
            if url.scheme() == "http" && (error.is_parse() || error.is_incomplete_message()) =>
        {
            Some("if TLS is spoken there, the URL begins with https://")
        }
        Unreached::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Some("nobody listens there: is the receiver running, and is this its port?")
        }
        Unreached::Late(_)
        | Unreached::Connect(_)
        | Unreached::Http(_)
        | Unreached::Url
        | Unreached::Answer => None,
    }
}

fn tls(error: &io::Error) -> Option<&'static str> {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidCertificate(error)) = cause {
        return certificate(error);
    }
    let is_no_tls = matches!(cause, Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)))
        || error.kind() == io::ErrorKind::UnexpectedEof;
    is_no_tls
        .then_some("does it speak TLS there? Without it the URL begins with http://, on this machine alone")
}

fn certificate(error: &CertificateError) -> Option<&'static str> {
    if *error == CertificateError::UnknownIssuer {
        return Some(
            "name the authority that has signed its certificate with --ca FILE, or believe every certificate with \
             --insecure",
        );
    }
    if matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) {
        return Some(
            "the certificate is for another name: ask for the host that it names, with --connect ADDR:PORT if need \
             be, or believe every certificate with --insecure",
        );
    }
    if matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        return Some("the certificate has run out; --insecure believes every one, Graph does not");
    }
    let is_authority =
        matches!(error, CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity"));
    is_authority.then_some(
        "the receiver shows the certificate of an authority (CA:TRUE) as its own: sign one for it without that, or \
         believe every certificate with --insecure",
    )
}
