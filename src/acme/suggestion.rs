//! What an authority suggests about the renewal of a certificate (ARI, RFC 9773).

use std::time::{Duration, SystemTime};

use instant_acme::CertificateIdentifier;
use rustls::pki_types::{CertificateDer, Der};
use serde::Deserialize;
use x509_parser::{
    extensions::ParsedExtension,
    prelude::{FromDer, X509Certificate},
};

use super::{
    client::{Client, RequestError},
    schedule::Window,
};

/// What the authority suggests, if it suggests anything, and when to ask again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Suggestion {
    pub(super) window: Option<Window>,
    pub(super) ask_again: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    renewal_info: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenewalInfo {
    suggested_window: Dates,
}

#[derive(Deserialize)]
struct Dates {
    start: String,
    end: String,
}

/// The name that a certificate has for the authority, if it has one (section 4.1).
pub(super) fn name(certificate: &CertificateDer<'_>) -> Option<CertificateIdentifier<'static>> {
    let (_, x509) = X509Certificate::from_der(certificate).ok()?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "one extension is looked for")]
    let issuer = x509.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(issuer) => issuer.key_identifier.as_ref(),
        _ => None,
    })?;
    let serial = Der::from_slice(x509.tbs_certificate.raw_serial());
    Some(CertificateIdentifier::new(Der::from_slice(issuer.0), serial))
}

/// Asks. An authority that has nothing to say about renewals is asked again all the same: it may learn.
pub(super) async fn ask(
    client: &Client,
    directory: &str,
    name: &CertificateIdentifier<'static>,
) -> Result<Suggestion, RequestError> {
    let (body, _) = client.get(directory).await?;
    let Ok(Directory { renewal_info: Some(url) }) = serde_json::from_slice(&body) else {
        return Ok(Suggestion { window: None, ask_again: SELDOM });
    };
    let (body, again) = client.get(&format!("{url}/{name}")).await?;
    Ok(understand(&body, again, SystemTime::now()))
}

fn understand(body: &[u8], again: Option<SystemTime>, now: SystemTime) -> Suggestion {
    let dates = serde_json::from_slice(body).ok().map(|RenewalInfo { suggested_window }| suggested_window);
    let window = dates.and_then(|Dates { start, end }| {
        let [start, end] = [start, end].map(|date| humantime::parse_rfc3339(&date).ok());
        start.zip(end).map(|(start, end)| Window { start, end })
    });
    let again = again.and_then(|again| again.duration_since(now).ok());
    Suggestion { window, ask_again: again.unwrap_or(USUALLY).clamp(OFTEN, SELDOM) }
}

/// Bounds, and the usual pause, of section 4.3.2.
const OFTEN: Duration = Duration::from_secs(60);
const USUALLY: Duration = Duration::from_secs(6 * 60 * 60);
const SELDOM: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, Issuer, KeyIdMethod, KeyPair};

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[track_caller]
    fn check(body: &str, again: Option<u64>, window: Option<(u64, u64)>, ask_again: Duration) {
        let at = |seconds| NOW + Duration::from_secs(seconds);
        let window = window.map(|(start, end)| Window { start: at(start), end: at(end) });
        let found = understand(body.as_bytes(), again.map(at), NOW);
        assert_eq!(found, Suggestion { window, ask_again });
    }

    #[test]
    fn a_window_is_two_dates_in_utc() {
        let body = |start: &str, end: &str| {
            format!(r#"{{"suggestedWindow":{{"start":"{start}","end":"{end}"}},"explanationURL":"x"}}"#)
        };
        let good = body("1970-01-01T00:00:07Z", "1970-01-01T01:00:00Z");
        check(&good, Some(21_600), Some((7, 3600)), USUALLY);
        check(&body("1970-01-01T00:00:07Z", "soon"), None, None, USUALLY);
        check("[]", Some(1), None, OFTEN);
        check("", Some(1_000_000), None, SELDOM);
    }

    /// The example of RFC 9773, section 4.1.
    #[test]
    fn a_certificate_is_named_by_its_issuer_and_its_serial() {
        let key = KeyPair::generate().expect("a key");
        let issuer = "69:88:5B:6B:87:46:40:41:E1:B3:7B:84:7B:A0:AE:2C:DE:01:C8:D4";
        let issuer = issuer.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect();
        let mut authority = CertificateParams::default();
        authority.key_identifier_method = KeyIdMethod::PreSpecified(issuer);
        let mut params = CertificateParams::default();
        params.serial_number = Some(vec![0x87, 0x65, 0x43, 0x21].into());
        params.use_authority_key_identifier_extension = true;
        let named = |params: &CertificateParams| {
            let certificate = params.signed_by(&key, &Issuer::from_params(&authority, &key)).expect("signed");
            name(certificate.der()).map(|name| name.to_string())
        };
        assert_eq!(named(&params).as_deref(), Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"));
        params.use_authority_key_identifier_extension = false;
        assert_eq!(named(&params), None);
    }
}
