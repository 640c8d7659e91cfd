//! The certificates that are served, and what becomes of others that are found in their place.

mod watched;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::SystemTime};

use tracing::{error, info};

use self::watched::Watched;
use super::ServeError;
use crate::{
    config::{PairFiles, Tls, TlsSource, UnknownHost},
    error::Chain,
    listener::tls::{Digest, Identity, Pem, Served, TlsError, Validity},
    metrics::{Metrics, TlsReload},
};

/// What is served, and the pairs of files that are watched, in the order of the places they are served in.
///
/// Where certificates come from an authority there are no files: their places are empty at first, and somebody else
/// fills them.
pub(super) struct Certificates {
    served: Arc<Served>,
    watched: Vec<Watched>,
    metrics: Arc<Metrics>,
}

/// A pair that was read and judged: it can be served.
pub(super) struct Candidate {
    files: PairFiles,
    digest: Digest,
    identity: Arc<Identity>,
}

impl Certificates {
    /// Reads every pair; none when a proxy terminates TLS. One that nobody trusts is served all the same, and loudly:
    /// handshakes that fail at the client are no worse than a daemon that does not start, and the next pair is taken
    /// without a restart.
    pub(super) fn load(tls: &Tls, metrics: &Arc<Metrics>) -> Result<Option<Self>, ServeError> {
        let (mut places, mut watched) = (Vec::new(), Vec::new());
        match &tls.source {
            TlsSource::Off => return Ok(None),
            TlsSource::Acme(acme) => places.resize(acme.domains.len(), None),
            TlsSource::Files(pairs) => {
                for files in pairs {
                    let (identity, first) = first(files).map_err(|source| ServeError::Certificate {
                        file: files.certificate.clone(),
                        source,
                    })?;
                    places.push(Some(Arc::new(identity)));
                    watched.push(first);
                }
            }
        }
        let served = Served::new(places, tls.unknown_host, Arc::clone(metrics));
        Ok(Some(Self { served, watched, metrics: Arc::clone(metrics) }))
    }

    /// What new connections are shown.
    pub(super) fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// Tells the contents that are served.
    pub(super) fn digests(&self) -> Vec<Digest> {
        self.watched.iter().map(|watched| watched.served).collect()
    }

    /// The pairs of files, in order.
    pub(super) fn files(&self) -> Vec<PairFiles> {
        self.watched.iter().map(|watched| watched.files.clone()).collect()
    }

    /// Why the content of files is not served, by the certificate's, where it is not.
    pub(super) fn refused(&self) -> BTreeMap<PathBuf, String> {
        let refused =
            |watched: &Watched| Some((watched.files.certificate.clone(), watched.refused()?.to_owned()));
        self.watched.iter().filter_map(refused).collect()
    }

    /// New connections are shown these from now on, in place of all that was there.
    pub(super) fn adopt(&mut self, candidates: Vec<Candidate>, unknown_host: UnknownHost) {
        let before = self.digests();
        self.served.swap(candidates.iter().map(|candidate| Arc::clone(&candidate.identity)), unknown_host);
        for candidate in candidates.iter().filter(|candidate| !before.contains(&candidate.digest)) {
            self.taken(&candidate.identity);
        }
        let is_told = |digest| self.watched.iter().any(|before| before.served == digest && before.is_told());
        let watched = candidates
            .into_iter()
            .map(|Candidate { files, digest, .. }| Watched::new(files, digest).told(is_told(digest)));
        self.watched = watched.collect();
    }

    /// As [`Certificates::adopt`], where certificates do not come from files.
    pub(super) fn answer_unknown(&self, unknown_host: UnknownHost) {
        self.served.answer_unknown(unknown_host);
    }

    /// Looks at what [`Certificates::files`] hold now.
    pub(super) fn found(&mut self, found: Vec<Result<Pem, TlsError>>, now: SystemTime) {
        for (place, found) in found.into_iter().enumerate() {
            match self.watched[place].found(found, now) {
                Some(Ok(identity)) => {
                    let identity = Arc::new(identity);
                    self.served.put(place, Arc::clone(&identity));
                    self.taken(&identity);
                }
                Some(Err(why)) => self.complain(place, &why),
                None => {}
            }
        }
        self.tell_outlived(now);
    }

    fn taken(&self, Identity { facts, file, .. }: &Identity) {
        self.metrics.tls_reloads.count(TlsReload::Taken);
        let file = file.as_ref().map(|file| file.display().to_string());
        info!(file, hosts = ?facts.hosts, not_after = facts.not_after, "new certificate");
    }

    fn complain(&self, place: usize, why: &str) {
        self.metrics.tls_reloads.count(TlsReload::Refused);
        let file = self.watched[place].files.certificate.display();
        error!(event = "certificate_refused", %file, error = why, "the new certificate cannot be served; the one before stays");
    }

    /// It stays in its place: a client that does not trust it is no worse off than without any.
    fn tell_outlived(&mut self, now: SystemTime) {
        for (watched, Identity { facts, .. }) in
            self.watched.iter_mut().zip(self.served.identities().iter().map(|identity| &**identity))
        {
            if watched.outlives(facts.validity(now) == Validity::Expired) {
                let file = watched.files.certificate.display();
                error!(event = "certificate_expired", %file, hosts = ?facts.hosts, "the certificate has expired; Graph does not deliver to it");
            }
        }
    }
}

impl Candidate {
    /// Reads and judges a pair. What is served already is not judged again: that it has expired meanwhile must not
    /// keep a new secret out.
    pub(super) fn read(files: PairFiles, served: &[Digest], now: SystemTime) -> Result<Self, TlsError> {
        let pem = Pem::read(&files)?;
        let (digest, identity) = (pem.digest(), pem.identity()?);
        if !served.contains(&digest) {
            identity.fit(now)?;
        }
        Ok(Self { files, digest, identity: Arc::new(identity) })
    }
}

fn first(files: &PairFiles) -> Result<(Identity, Watched), TlsError> {
    let pem = Pem::read(files)?;
    let identity = pem.identity()?;
    let fit = identity.fit(SystemTime::now());
    let watched = Watched::new(files.clone(), pem.digest()).told(matches!(fit, Err(TlsError::Expired)));
    if let Err(error) = fit {
        let (file, error) = (files.certificate.display(), Chain(&error));
        error!(event = "certificate_unfit", %file, hosts = ?identity.facts.hosts, %error, "Graph does not deliver to this certificate");
    }
    Ok((identity, watched))
}
