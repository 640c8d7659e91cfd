//! An identity platform of our own: it signs validation tokens, and serves its OpenID configuration and its key set.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::MapErr};
use hyper::{
    Method, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
    http::request::Parts,
};
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    identity::{Identity, IdentityError, Shown},
    kept,
    serve::{self, Severed, accept, bind},
    signing::SigningKey,
    vouching::Voucher,
};
use crate::blocking::off_thread;

/// Who signs validation tokens.
#[derive(Clone, Debug)]
pub struct Issuer {
    key: Arc<SigningKey>,
    identity: Identity,
}

/// An issuer whose documents can be fetched, until dropped.
#[derive(Debug)]
pub struct Serving {
    origin: String,
    authority: Option<String>,
    _serving: JoinSet<()>,
}

/// Why there is no issuer.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It has nothing to show.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its key cannot be kept, or read again.
    #[error("cannot use the signing key {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system has no random numbers.
    #[error("the system gave no key")]
    NoKey,
}

impl Issuer {
    /// One that nobody has heard of before.
    ///
    /// # Errors
    ///
    /// [`IssuerError::NoKey`]
    pub async fn throwaway() -> Result<Self, IssuerError> {
        // It takes a while.
        let key = off_thread(SigningKey::generate).await.ok_or(IssuerError::NoKey)?;
        Ok(Self { key: Arc::new(key), identity: Identity::Throwaway })
    }

    /// The one that a directory keeps: its signing key, and what it shows to those who fetch its documents. What is missing
    /// is made.
    ///
    /// # Errors
    ///
    /// [`IssuerError::NoKey`], [`IssuerError::File`]
    pub async fn kept(directory: &Path) -> Result<Self, IssuerError> {
        let path = directory.join(SIGNING_KEY);
        let key = off_thread(move || kept_key(path)).await?;
        Ok(Self { key: Arc::new(key), identity: Identity::Kept(directory.to_owned()) })
    }

    /// A token; `None` if the system has no random numbers.
    pub fn token(&self, voucher: &Voucher<'_>) -> Option<String> {
        voucher.sign(&self.key)
    }

    /// Serves the documents at this address.
    ///
    /// # Errors
    ///
    /// [`IssuerError::Bind`], [`IssuerError::Identity`]
    pub async fn serve(&self, listen: SocketAddr) -> Result<Serving, IssuerError> {
        let identity = self.identity.clone();
        let Shown { acceptor, authority } = off_thread(move || identity.shown()).await?;
        let bound = bind(listen).await.map_err(|source| IssuerError::Bind { address: listen, source });
        let (listener, address) = bound?;
        let origin = format!("https://{address}");
        let documents = Documents { key: Arc::clone(&self.key), origin: origin.clone() };
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, acceptor, documents));
        Ok(Serving { origin, authority, _serving: serving })
    }
}

impl Serving {
    /// The URLs of the OpenID configurations, for tokens of version 2.0 and 1.0.
    pub fn key_documents(&self) -> [String; 2] {
        [V2_CONFIGURATION, V1_CONFIGURATION].map(|path| format!("{}{path}", self.origin))
    }

    /// Whom to believe for them, PEM.
    pub fn authority(&self) -> &str {
        self.authority.as_deref().unwrap_or_default()
    }
}

fn kept_key(path: PathBuf) -> Result<SigningKey, IssuerError> {
    let failed = |source| IssuerError::File { path: path.clone(), source };
    match kept::read(&path) {
        Ok(text) => SigningKey::from_pem(&text)
            .ok_or_else(|| failed(io::Error::other("it is no RSA key in PEM (PKCS #8)"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = SigningKey::generate().ok_or(IssuerError::NoKey)?;
            kept::write(&path, &key.to_pem().ok_or(IssuerError::NoKey)?, 0o600).map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}

/// What can be fetched, below `common` and every tenant.
#[derive(Clone, Debug)]
struct Documents {
    key: Arc<SigningKey>,
    origin: String,
}

impl serve::Inside for Documents {
    type Body = MapErr<Full<Bytes>, fn(std::convert::Infallible) -> Severed>;

    async fn answer(self, head: Parts, _: Bytes) -> Result<Response<Self::Body>, Severed> {
        let body = match head.method {
            Method::GET => self.find(head.uri.path()),
            _ => None,
        };
        let status = if body.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        let mut response = Response::new(body.map_err((|never| match never {}) as fn(_) -> _));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

impl Documents {
    fn find(&self, path: &str) -> Option<String> {
        let (tenant, rest) = path.strip_prefix('/')?.split_once('/')?;
        let keys = match rest {
            ".well-known/openid-configuration" => "discovery/keys",
            "v2.0/.well-known/openid-configuration" => "discovery/v2.0/keys",
            "discovery/keys" | "discovery/v2.0/keys" => return Some(self.key.published().to_string()),
            _ => return None,
        };
        let issuer = if rest.starts_with("v2.0") {
            "https://login.microsoftonline.com/{tenantid}/v2.0"
        } else {
            "https://sts.windows.net/{tenantid}/"
        };
        let jwks_uri = format!("{}/{tenant}/{keys}", self.origin);
        let configuration = json!({
            "issuer": issuer, "jwks_uri": jwks_uri, "id_token_signing_alg_values_supported": ["RS256"],
        });
        Some(configuration.to_string())
    }
}

/// Where receivers look that know of no tenant.
const V2_CONFIGURATION: &str = "/common/v2.0/.well-known/openid-configuration";
const V1_CONFIGURATION: &str = "/common/.well-known/openid-configuration";
const SIGNING_KEY: &str = "issuer-signing-key.pem";
