//! An identity platform: it signs validation tokens, and publishes its keys as Microsoft's does, or does not.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::LOCATION;
use hyper::{Request, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use super::certs::Authority;
use super::daemon::Configuration;
use super::site::{Content, Site, answer};

/// The app that subscribes.
pub const APP: &str = "925bff9f-f6e2-4a69-b858-f71ea2b9b6d0";
/// A tenant that it subscribes to.
pub const TENANT: &str = "8afd02d6-ebdd-4270-a515-c749898ea5c5";
/// Another one.
pub const OTHER_TENANT: &str = "9f4ebab6-520d-49c0-85cc-7b25c78d4a93";
/// Microsoft Graph Change Tracking.
pub const PUBLISHER: &str = "0bf30f3b-4a52-48df-9a82-234910c4a086";

/// An identity platform, until dropped.
pub struct Issuer {
    site: Site,
    shared: Arc<Shared>,
    files: TempDir,
}

struct Shared {
    origin: String,
    manner: watch::Sender<Manner>,
    /// The last one signs; all are published.
    keys: Mutex<Vec<Key>>,
    /// Paths that were asked for, in order.
    asked: Mutex<Vec<String>>,
}

/// How it answers.
#[derive(Clone, Debug, Default)]
pub enum Manner {
    /// With what it has.
    #[default]
    Serves,
    /// With this status and body, whatever is asked.
    Answers(u16, String),
    /// With this key set, and an honest configuration.
    Publishes(String),
    /// With a redirect to this URL.
    Redirects(String),
    /// Not at all, until it behaves otherwise.
    Hangs,
}

/// A key that signs.
#[derive(Clone)]
pub struct Key {
    /// Its id.
    pub id: String,
    pair: Arc<KeyPair>,
}

impl Key {
    /// A new one.
    pub fn generate(id: &str) -> Self {
        Self { id: id.to_owned(), pair: Arc::new(KeyPair::generate(KeySize::Rsa2048).expect("a key")) }
    }

    /// As a key set has it.
    pub fn published(&self) -> Value {
        let public = self.pair.public_key();
        let number = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA", "use": "sig", "kid": self.id,
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
            "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
        })
    }

    /// A token with this head and these claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        self.pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).expect("it signs");
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// The head of a token that it signs.
    pub fn header(&self) -> Value {
        json!({ "typ": "JWT", "alg": "RS256", "x5t": self.id, "kid": self.id })
    }

    /// The private key, PKCS#8, DER.
    pub fn pkcs8(&self) -> Vec<u8> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().expect("DER");
        der.as_ref().to_vec()
    }
}

/// Claims of a good token of version 1.0, from an hour ago to seven hours from now.
pub fn claims_v1(tenant: &str) -> Value {
    json!({
        "aud": APP, "iss": format!("https://sts.windows.net/{tenant}/"),
        "iat": now() - 3600, "nbf": now() - 3600, "exp": now() + 7 * 3600,
        "appid": PUBLISHER, "appidacr": "2", "tid": tenant, "ver": "1.0",
    })
}

/// The same of version 2.0.
pub fn claims_v2(tenant: &str) -> Value {
    json!({
        "aud": APP, "iss": format!("https://login.microsoftonline.com/{tenant}/v2.0"),
        "iat": now() - 3600, "nbf": now() - 3600, "exp": now() + 7 * 3600,
        "azp": PUBLISHER, "azpacr": "2", "tid": tenant, "ver": "2.0",
    })
}

/// Unix time, as tokens have it.
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is right").as_secs()
}

impl Issuer {
    /// One with one key.
    pub async fn open() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let certificates = Authority::generate().write_into(directory.path());
        let mut shared = None;
        let site = Site::open(Some(&certificates), |origin| {
            let content = Arc::new(Shared {
                origin: origin.to_owned(),
                manner: watch::Sender::default(),
                keys: Mutex::new(vec![Key::generate("key-1")]),
                asked: Mutex::default(),
            });
            Arc::clone(shared.insert(content))
        });
        let site = site.await;
        Self { site, shared: shared.expect("it was opened"), files: directory }
    }

    /// A configuration in which it is believed, for [`APP`] and both tenants.
    pub fn trusted(&self, configuration: Configuration, deliver: &str) -> Configuration {
        let documents = format!(r#"["{}", "{}"]"#, self.url(V2_CONFIGURATION), self.url(V1_CONFIGURATION));
        configuration
            .set("rich", "deliver", &format!("{deliver:?}"))
            .set("rich", "app_ids", &format!("[{APP:?}]"))
            .set("rich", "tenants", &format!("[{TENANT:?}, {OTHER_TENANT:?}]"))
            .set("rich", "key_documents", &documents)
            .set("rich", "ca_file", &format!("{:?}", self.ca_file()))
    }

    /// The certificate of its authority, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.site.origin)
    }

    /// Answers so from now on.
    pub fn behaves(&self, manner: Manner) {
        self.shared.manner.send_replace(manner);
    }

    /// The key that signs now.
    pub fn key(&self) -> Key {
        self.shared.keys().last().expect("there is always one").clone()
    }

    /// Signs with a new key from now on, and publishes the old ones still.
    pub fn roll(&self, id: &str) -> Key {
        let key = Key::generate(id);
        self.shared.keys().push(key.clone());
        key
    }

    /// Publishes nothing but the key that signs now.
    pub fn retire_old_keys(&self) {
        let mut keys = self.shared.keys();
        let last = keys.pop().expect("there is always one");
        *keys = vec![last];
    }

    /// A good token of version 2.0.
    pub fn token(&self, tenant: &str) -> String {
        let key = self.key();
        key.sign(&key.header(), &claims_v2(tenant))
    }

    /// A good token of version 1.0.
    pub fn token_v1(&self, tenant: &str) -> String {
        let key = self.key();
        key.sign(&key.header(), &claims_v1(tenant))
    }

    /// How often key sets were asked for.
    pub fn times_asked_for_keys(&self) -> usize {
        let asked = self.shared.asked.lock().expect("nobody panics with it held");
        asked.iter().filter(|path| path.ends_with("keys")).count()
    }

    /// All paths that were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("nobody panics with it held").clone()
    }
}

impl Shared {
    fn keys(&self) -> MutexGuard<'_, Vec<Key>> {
        self.keys.lock().expect("nobody panics with it held")
    }
}

impl Content for Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        self.asked.lock().expect("nobody panics with it held").push(path.clone());
        let mut manner = self.manner.subscribe();
        let manner = manner.wait_for(|manner| !matches!(manner, Manner::Hangs)).await;
        let manner = manner.expect("the sender is ours").clone();
        let configuration = |keys: &str| json!({ "jwks_uri": format!("{}{keys}", self.origin) }).to_string();
        match (manner, path.as_str()) {
            (Manner::Answers(status, body), _) => answer(status, body),
            (Manner::Redirects(url), _) => {
                let mut answer = answer(302, "elsewhere");
                answer.headers_mut().insert(LOCATION, url.parse().expect("a URL"));
                answer
            }
            (_, V1_CONFIGURATION) => answer(200, configuration(V1_KEYS)),
            (_, V2_CONFIGURATION) => answer(200, configuration(V2_KEYS)),
            (Manner::Publishes(keys), V1_KEYS | V2_KEYS) => answer(200, keys),
            (Manner::Serves, V1_KEYS | V2_KEYS) => {
                let keys: Vec<Value> = self.keys().iter().map(Key::published).collect();
                answer(200, json!({ "keys": keys }).to_string())
            }
            (Manner::Serves | Manner::Publishes(_) | Manner::Hangs, _) => answer(404, "nothing here"),
        }
    }
}

/// Path of the OpenID configuration for tokens of version 1.0.
pub const V1_CONFIGURATION: &str = "/common/.well-known/openid-configuration";
/// The same of version 2.0.
pub const V2_CONFIGURATION: &str = "/common/v2.0/.well-known/openid-configuration";
const V1_KEYS: &str = "/common/discovery/keys";
const V2_KEYS: &str = "/common/discovery/v2.0/keys";
