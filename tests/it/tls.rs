//! TLS of the public listener as clients meet it: names, versions, suites, sessions, certificates of their own.
//!
//! Names such as T4 stand for the tests in `docs/evidence.md`.

mod clients;
mod names;
mod sessions;
mod suites;

use std::path::Path;

use crate::support::certs::Pair;

const REFUSED: &str = r#"graphhook_connections_failed_total{reason="tls_error"}"#;

/// Writes pairs into a directory; returns what belongs into `server.tls.certificates`.
fn further(directory: &Path, pairs: &[(&str, &Pair)]) -> String {
    let entries = pairs.iter().map(|(name, pair)| {
        let file = |kind: &str| directory.join(format!("{name}-{kind}.pem"));
        let (certificate, key) = (file("cert"), file("key"));
        pair.write(&certificate, &key);
        format!("{{ certificate = \"{}\", private_key = \"{}\" }}", certificate.display(), key.display())
    });
    format!("[{}]", entries.collect::<Vec<_>>().join(", "))
}
