//! The certificate that is served, and what becomes of others that are found in its place.

use std::{sync::Arc, time::SystemTime};

use tracing::{error, info};

use crate::{
    config::TlsSource,
    error::Chain,
    listener::tls::{Digest, Identity, Pem, Served, TlsError},
    metrics::{Metrics, TlsReload},
};

/// The pair of certificate and key that is served.
pub(super) struct Certificate {
    served: Arc<Served>,
    digest: Digest,
    /// Another content of the files, as seen at the last look.
    seen: Option<Digest>,
    /// A content that was refused, and why.
    refused: Option<(Digest, String)>,
    metrics: Arc<Metrics>,
}

impl Certificate {
    /// Reads the first pair. One that nobody trusts is served all the same, and loudly: handshakes that fail at the
    /// client are no worse than a daemon that does not start, and the next pair is taken without a restart.
    pub(super) fn load(source: &TlsSource, metrics: &Arc<Metrics>) -> Result<Option<Self>, TlsError> {
        let TlsSource::Files(pairs) = source else {
            return Ok(None);
        };
        let pem = Pem::read(&pairs[0].certificate, &pairs[0].private_key)?;
        let identity = pem.identity()?;
        metrics.certificate(&identity.facts.hosts, identity.facts.not_after, &[]);
        if let Err(error) = identity.fit(SystemTime::now()) {
            error!(hosts = ?identity.facts.hosts, %error, "Graph does not deliver to this certificate");
        }
        Ok(Some(Self {
            served: Arc::new(Served::new(identity)),
            digest: pem.digest(),
            seen: None,
            refused: None,
            metrics: Arc::clone(metrics),
        }))
    }

    /// What new connections are shown.
    pub(super) fn shown(&self) -> &Arc<Served> {
        &self.served
    }

    /// Tells the content that is served.
    pub(super) fn served(&self) -> Digest {
        self.digest
    }

    /// Why the content of the files is not served, if it is not.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused.as_ref().map(|(_, why)| why.clone())
    }

    /// New connections are shown this from now on.
    pub(super) fn take(&mut self, digest: Digest, identity: Identity) {
        let facts = identity.facts.clone();
        let before = self.served.swap(identity);
        (self.digest, self.seen, self.refused) = (digest, None, None);
        self.metrics.certificate(&facts.hosts, facts.not_after, &before.hosts);
        self.metrics.tls_reloads.count(TlsReload::Taken);
        info!(hosts = ?facts.hosts, not_after = facts.not_after, "new certificate");
    }

    /// Judges what stands in the files now.
    ///
    /// Nothing is judged before two looks have seen the same: what is half written, or a certificate whose key is
    /// still to come, is not complained of; and half a chain, which would pass for a whole one, is not taken.
    pub(super) fn found(&mut self, found: Result<Pem, TlsError>, now: SystemTime) {
        let digest = match &found {
            Ok(pem) => pem.digest(),
            Err(error) => Digest::of([Chain(error).to_string().as_bytes()]),
        };
        if digest == self.digest {
            (self.seen, self.refused) = (None, None);
            return;
        }
        if self.seen.replace(digest) != Some(digest) {
            return;
        }
        let identity = found.and_then(|pem| pem.identity());
        match identity.and_then(|identity| identity.fit(now).map(|()| identity)) {
            Ok(identity) => self.take(digest, identity),
            Err(error) => self.refuse(digest, &error),
        }
    }

    /// Says so once for each content; a pair that is not valid yet is tried again at every look.
    fn refuse(&mut self, digest: Digest, error: &TlsError) {
        if self.refused.as_ref().is_some_and(|(refused, _)| *refused == digest) {
            return;
        }
        let why = Chain(error).to_string();
        error!(error = %why, "the new certificate cannot be served; the one before stays");
        self.metrics.tls_reloads.count(TlsReload::Refused);
        self.refused = Some((digest, why));
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::config::PairFiles;

    /// A certificate and its key, PEM.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(["localhost".to_owned()]).expect("a name").self_signed(&key);
        (certificate.expect("a certificate").pem(), key.serialize_pem())
    }

    fn files(directory: &Path) -> TlsSource {
        TlsSource::Files(vec![PairFiles {
            certificate: directory.join("cert"),
            private_key: directory.join("key"),
        }])
    }

    fn write(directory: &Path, certificate: &str, key: &str) {
        fs::write(directory.join("cert"), certificate).expect("written");
        fs::write(directory.join("key"), key).expect("written");
    }

    #[test]
    fn what_two_looks_do_not_agree_on_is_not_judged() {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        let (old, new, metrics) = (pair(), pair(), Metrics::new());
        write(directory, &old.0, &old.1);
        let loaded = Certificate::load(&files(directory), &metrics).expect("a pair");
        let mut certificate = loaded.expect("there is TLS");
        let first = certificate.served();
        let mut look = |(chain, key): (&str, &str)| {
            write(directory, chain, key);
            let read = Pem::read(&directory.join("cert"), &directory.join("key"));
            certificate.found(read, SystemTime::now());
            (certificate.served() == first, certificate.refused().is_some())
        };
        let (kept, quiet) = (true, false);
        let mismatch = (new.0.as_str(), old.1.as_str());
        assert_eq!(look(mismatch), (kept, quiet));
        assert_eq!(look((&new.0, &new.1)), (kept, quiet));
        assert_eq!(look((&old.0, &old.1)), (kept, quiet));
        assert_eq!(look(mismatch), (kept, quiet));
        assert_eq!(look(mismatch), (kept, true));
        assert_eq!(look(mismatch), (kept, true));
        assert_eq!(metrics.tls_reloads.get(TlsReload::Refused), 1);
        assert_eq!(look((&new.0, &new.1)), (kept, true));
        assert_eq!(look((&new.0, &new.1)), (false, quiet));
        assert_eq!(metrics.tls_reloads.get(TlsReload::Taken), 1);
    }
}
