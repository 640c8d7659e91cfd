//! One pair of files, and what is known of its content.

use std::time::SystemTime;

use crate::{
    config::PairFiles,
    error::Chain,
    listener::tls::{Digest, Identity, Pem, TlsError},
};

/// One pair of files, and what is known of its content.
pub(super) struct Watched {
    pub(super) files: PairFiles,
    /// Tells the content that is served.
    pub(super) served: Digest,
    /// Another content of the files, as seen at the last look.
    seen: Option<Digest>,
    /// A content that was refused, and why.
    refused: Option<(Digest, String)>,
    /// Whether it was said that what is served has expired.
    outlived: bool,
}

impl Watched {
    pub(super) fn new(files: PairFiles, served: Digest) -> Self {
        Self { files, served, seen: None, refused: None, outlived: false }
    }

    /// The same, where the end of what is served was spoken of before, or not.
    pub(super) fn told(self, outlived: bool) -> Self {
        Self { outlived, ..self }
    }

    pub(super) fn is_told(&self) -> bool {
        self.outlived
    }

    /// Why the content of the files is not served, if it is not.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_ref().map(|(_, why)| why.as_str())
    }

    /// Judges what stands in the files now: something to serve instead, something to complain of, or nothing new.
    ///
    /// Nothing is judged before two looks have seen the same: what is half written, or a certificate whose key is
    /// still to come, is not complained of; and half a chain, which would pass for a whole one, is not taken. What
    /// is not valid yet is judged again at every look, and complained of once.
    pub(super) fn found(
        &mut self,
        found: Result<Pem, TlsError>,
        now: SystemTime,
    ) -> Option<Result<Identity, String>> {
        let digest = match &found {
            Ok(pem) => pem.digest(),
            Err(error) => Digest::of([Chain(error).to_string().as_bytes()]),
        };
        if digest == self.served {
            (self.seen, self.refused) = (None, None);
            return None;
        }
        if self.seen.replace(digest) != Some(digest) {
            return None;
        }
        let identity = found.and_then(|pem| pem.identity());
        match identity.and_then(|identity| identity.fit(now).map(|_| identity)) {
            Ok(identity) => {
                *self = Self::new(self.files.clone(), digest);
                Some(Ok(identity))
            }
            Err(_) if self.refused.as_ref().is_some_and(|(refused, _)| *refused == digest) => None,
            Err(error) => {
                let why = Chain(&error).to_string();
                self.refused = Some((digest, why.clone()));
                Some(Err(why))
            }
        }
    }

    /// Whether what is served has expired, and nobody has said so.
    pub(super) fn outlives(&mut self, is_expired: bool) -> bool {
        is_expired && !std::mem::replace(&mut self.outlived, is_expired)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A certificate and its key, PEM.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(["localhost".to_owned()]).expect("a name").self_signed(&key);
        (certificate.expect("a certificate").pem(), key.serialize_pem())
    }

    fn write(directory: &Path, certificate: &str, key: &str) -> PairFiles {
        let (certificate_file, private_key) = (directory.join("cert"), directory.join("key"));
        fs::write(&certificate_file, certificate).expect("written");
        fs::write(&private_key, key).expect("written");
        PairFiles { certificate: certificate_file, private_key }
    }

    #[derive(Debug, PartialEq)]
    enum Saw {
        Nothing,
        Bad,
        Good,
    }

    #[test]
    fn what_two_looks_do_not_agree_on_is_not_judged() {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        let (old, new) = (pair(), pair());
        let files = write(directory, &old.0, &old.1);
        let served = Pem::read(&files).expect("a pair").digest();
        let mut watched = Watched::new(files, served);
        let mut look = |(chain, key): (&str, &str)| {
            let read = Pem::read(&write(directory, chain, key));
            let saw = match watched.found(read, SystemTime::now()) {
                None => Saw::Nothing,
                Some(Err(_)) => Saw::Bad,
                Some(Ok(_)) => Saw::Good,
            };
            (saw, watched.refused().is_some())
        };
        let mismatch = (new.0.as_str(), old.1.as_str());
        assert_eq!(look(mismatch), (Saw::Nothing, false));
        assert_eq!(look((&new.0, &new.1)), (Saw::Nothing, false));
        assert_eq!(look((&old.0, &old.1)), (Saw::Nothing, false));
        assert_eq!(look(mismatch), (Saw::Nothing, false));
        assert_eq!(look(mismatch), (Saw::Bad, true));
        assert_eq!(look(mismatch), (Saw::Nothing, true));
        assert_eq!(look((&new.0, &new.1)), (Saw::Nothing, true));
        assert_eq!(look((&new.0, &new.1)), (Saw::Good, false));
        assert_eq!(look((&new.0, &new.1)), (Saw::Nothing, false));
    }

    #[test]
    fn what_has_expired_is_told_once() {
        let mut watched = Watched::new(write(Path::new("/tmp"), "", ""), Digest::of([]));
        assert_eq!(
            [false, true, true, true].map(|is_expired| watched.outlives(is_expired)),
            [false, true, false, false]
        );
    }
}
