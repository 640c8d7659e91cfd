//! Resource data: who vouches for it, and the keys that open it.

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use hyper::Uri;

use super::{
    super::{
        Rich, RichKey,
        raw::{Cloud, Deliver, RawRich, RawRichKey},
    },
    Resolver,
};
use crate::verify::{Expectations, certificate::Certificate, decrypt::PrivateKey, keys::KeySource};

/// What differs from cloud to cloud. Issuers of version 1.0 and 2.0
/// (<https://learn.microsoft.com/answers/questions/1190472>), and the identity platform's OpenID configurations.
struct Defaults {
    issuer_v1: &'static str,
    issuer_v2: &'static str,
    login: &'static str,
}

impl Cloud {
    fn defaults(self) -> Defaults {
        match self {
            Self::Global => Defaults {
                issuer_v1: "https://sts.windows.net/{tenant}/",
                issuer_v2: "https://login.microsoftonline.com/{tenant}/v2.0",
                login: "https://login.microsoftonline.com",
            },
            Self::UsGovernment => Defaults {
                issuer_v1: "https://sts.windows.net/{tenant}/",
                issuer_v2: "https://login.microsoftonline.us/{tenant}/v2.0",
                login: "https://login.microsoftonline.us",
            },
            Self::China => Defaults {
                issuer_v1: "https://sts.chinacloudapi.cn/{tenant}/",
                issuer_v2: "https://login.partner.microsoftonline.cn/{tenant}/v2.0",
                login: "https://login.partner.microsoftonline.cn",
            },
        }
    }
}

impl Resolver<'_> {
    /// Nothing is checked unless `deliver` says what becomes of it: without that, everything else is a mistake.
    pub(super) fn rich(&mut self, raw: RawRich) -> Option<Rich> {
        let Some(deliver) = raw.deliver else {
            if raw != RawRich::default() {
                self.problem(
                    "rich.deliver",
                    "missing: \"sealed\" or \"opened\"; without it nothing is checked",
                );
            }
            return None;
        };
        let Defaults { issuer_v1, issuer_v2, login } = raw.cloud.defaults();
        let documents = match raw.key_documents.as_slice() {
            [] => ["/common/v2.0", "/common"]
                .map(|place| format!("{login}{place}/.well-known/openid-configuration"))
                .to_vec(),
            documents => documents.to_vec(),
        };
        // It is read when it is needed; but that it is not there, or of no use, is better said now.
        let authorities = self.file("rich.ca_file", raw.ca_file.as_deref());
        if authorities.is_some_and(|pem| crate::client::roots(pem.as_bytes()).is_err()) {
            self.problem("rich.ca_file", "no certificate in PEM");
        }
        let expectations = Expectations {
            app_ids: self.guids("rich.app_ids", &raw.app_ids),
            tenants: self.guids("rich.tenants", &raw.tenants),
            issuer_v1: self.issuer("rich.issuer_v1", raw.issuer_v1, issuer_v1),
            issuer_v2: self.issuer("rich.issuer_v2", raw.issuer_v2, issuer_v2),
            publisher: self.guid("rich.publisher", &raw.publisher),
            clock_skew: raw.clock_skew.0,
        };
        if expectations.clock_skew > CLOCK_SKEW_MAX {
            self.problem("rich.clock_skew", "at most 1 hour: a token must end at some time");
        }
        let documents = documents.iter().enumerate();
        let documents = documents.filter_map(|(index, url)| self.document(index, url)).collect();
        if raw.refresh_keys_after.0 < REFRESHED_OFTEN {
            self.warning("rich.refresh_keys_after", "the identity platform is asked very often");
        }
        let signing_keys = KeySource {
            documents,
            ca_file: raw.ca_file,
            refresh_after: self.time("rich.refresh_keys_after", raw.refresh_keys_after),
        };
        if deliver == Deliver::Opened && raw.keys.is_empty() {
            self.problem(
                "rich.keys",
                "nothing can be opened without a key: `graphhook rich keygen` makes one",
            );
        }
        let keys = self.rich_keys(raw.keys);
        Some(Rich { deliver, expectations, signing_keys, keys })
    }

    fn guids(&mut self, key: &str, ids: &[String]) -> HashSet<String> {
        if ids.is_empty() {
            self.problem(key, "name at least one: no token would be believed");
        }
        let ids = ids.iter().enumerate();
        ids.map(|(index, id)| self.guid(&format!("{key}.{index}"), id)).collect()
    }

    /// In lower case, as it is compared.
    pub(super) fn guid(&mut self, key: &str, id: &str) -> String {
        // Of the ways to write one, tokens know the one with 36 characters.
        if uuid::Uuid::try_parse(id).is_err() || id.len() != 36 {
            self.problem(key, "expected an id such as \"11111111-2222-4333-8444-555555555555\"");
        }
        id.to_ascii_lowercase()
    }

    fn issuer(&mut self, key: &str, given: Option<String>, default: &str) -> String {
        let Some(form) = given else { return default.to_owned() };
        if form.matches("{tenant}").count() != 1 || !form.starts_with("https://") {
            self.problem(key, "expected an https:// URL with {tenant} in it");
        }
        form
    }

    fn document(&mut self, index: usize, url: &str) -> Option<Uri> {
        let uri = url.parse().ok().filter(|uri: &Uri| {
            uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty())
        });
        let uri =
            uri.filter(|uri| uri.authority().is_some_and(|authority| !authority.as_str().contains('@')));
        if uri.is_none() {
            let key = format!("rich.key_documents.{index}");
            self.problem(&key, "expected the https:// URL of an OpenID configuration or a key set");
        }
        uri
    }

    fn rich_keys(&mut self, raw: Vec<RawRichKey>) -> Vec<RichKey> {
        let (mut keys, mut ids) = (Vec::new(), HashSet::new());
        for (index, RawRichKey { id, private_key, certificate }) in raw.into_iter().enumerate() {
            let key = format!("rich.keys.{index}");
            let id = id.unwrap_or_default();
            if !(1..=ID_CHARACTERS_MAX).contains(&id.chars().count())
                || id.chars().any(char::is_control)
                || id.trim() != id
            {
                let message = "expected the encryptionCertificateId of subscriptions, 1 to 128 characters, none of them white space at an end";
                self.problem(&format!("{key}.id"), message);
            } else if !ids.insert(id.clone()) {
                self.problem(&format!("{key}.id"), "another key has this id");
            }
            let place = format!("{key}.private_key");
            let Some(private_key) = private_key else {
                let message = "missing: one of { file = … }, { env = … }, { credential = … }, or PEM text";
                self.problem(&place, message);
                continue;
            };
            let Some(pem) = self.secret(&place, private_key) else { continue };
            let private_key = match PrivateKey::from_pem(pem.expose()) {
                Ok(private_key) => Arc::new(private_key),
                Err(error) => {
                    self.problem(&place, error.to_string());
                    continue;
                }
            };
            let certificate = certificate
                .and_then(|path| self.certificate(&format!("{key}.certificate"), &path, &private_key));
            keys.push(RichKey { id, private_key, certificate });
        }
        keys
    }

    /// The certificate in a file, if it is one for this key.
    fn certificate(&mut self, key: &str, path: &Path, private_key: &PrivateKey) -> Option<Certificate> {
        let text = self.file(key, Some(path))?;
        match Certificate::from_pem(&text) {
            Ok(certificate) if certificate.public() == private_key.public() => Some(certificate),
            Ok(_) => {
                self.problem(key, format!("{}: the certificate of another key", path.display()));
                None
            }
            Err(error) => {
                self.problem(key, format!("{}: {error}", path.display()));
                None
            }
        }
    }
}

/// Graph's own bound.
const ID_CHARACTERS_MAX: usize = 128;
/// Keys are published some time before they are used, and asked for when a token names one that is not known.
const REFRESHED_OFTEN: Duration = Duration::from_secs(5 * 60);
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60 * 60);
