//! Where tokens come from: one of the five ways of signing in.

use std::time::SystemTime;

use super::{
    AuthError,
    assertion::Assertion,
    command::Program,
    endpoint::{Endpoint, Granted},
    identity::Identity,
    store::Store,
};
use crate::{config, config::SignIn, secret::Secret};

/// One of the ways.
pub(super) enum Source {
    /// An app shows who it is.
    App { endpoint: Endpoint, client_id: String, scope: String, proof: Proof },
    /// A user has let the app act for him.
    User(User),
    /// The machine we run on is somebody.
    Identity(Identity),
    /// A program knows.
    Program(Program),
}

/// How an app shows that it is itself.
pub(super) enum Proof {
    Secret(Secret),
    Certificate(Box<Assertion>),
}

/// A user who has signed in.
pub(super) struct User {
    pub(super) endpoint: Endpoint,
    pub(super) client_id: String,
    pub(super) scope: String,
    pub(super) store: Store,
}

impl Source {
    pub(super) async fn new(settings: &config::Graph) -> Result<Self, AuthError> {
        let graph = super::super::base(&settings.url);
        let app = async |proof| {
            let endpoint = Endpoint::new(settings).await?;
            let scope = format!("{graph}/.default");
            Ok(Self::App { endpoint, client_id: settings.client_id.clone(), scope, proof })
        };
        match &settings.sign_in {
            SignIn::ClientSecret(secret) => app(Proof::Secret(secret.clone())).await,
            SignIn::Certificate { certificate, private_key } => {
                let assertion = Assertion::new(certificate, private_key, &settings.client_id)?;
                app(Proof::Certificate(Box::new(assertion))).await
            }
            SignIn::DeviceCode { scopes } => Ok(Self::User(User::new(settings, scopes).await?)),
            SignIn::ManagedIdentity { endpoint, header, identity } => {
                let identity = Identity::new(settings, endpoint, header.clone(), identity.as_deref()).await?;
                Ok(Self::Identity(identity))
            }
            SignIn::Command(command) => Ok(Self::Program(Program::new(command))),
        }
    }

    /// Asks for a token.
    pub(super) async fn fetch(&self) -> Result<Granted, AuthError> {
        match self {
            Self::App { endpoint, client_id, scope, proof } => app(endpoint, client_id, scope, proof).await,
            Self::User(user) => user.fetch().await,
            Self::Identity(identity) => identity.fetch().await,
            Self::Program(program) => program.run().await,
        }
    }
}

/// "Microsoft identity platform and the OAuth 2.0 client credentials flow",
/// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>.
async fn app(endpoint: &Endpoint, client_id: &str, scope: &str, proof: &Proof) -> Result<Granted, AuthError> {
    let mut form = vec![("client_id", client_id), ("scope", scope), ("grant_type", "client_credentials")];
    let signed;
    let secret = match proof {
        Proof::Secret(secret) => {
            form.push(("client_secret", secret.expose()));
            secret
        }
        Proof::Certificate(assertion) => {
            signed = assertion.sign(&endpoint.url(TOKEN), SystemTime::now())?;
            form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
            form.push(("client_assertion", signed.expose()));
            &signed
        }
    };
    let body = endpoint.post(TOKEN, &form, &[secret]).await?;
    Granted::read(&body, SystemTime::now())
}

impl User {
    pub(super) async fn new(settings: &config::Graph, scopes: &[String]) -> Result<Self, AuthError> {
        Ok(Self {
            endpoint: Endpoint::new(settings).await?,
            client_id: settings.client_id.clone(),
            scope: scope(&super::super::base(&settings.url), scopes),
            store: Store::new(&settings.directory),
        })
    }

    /// Trades the refresh token in. Another process may have done so a moment ago, and the platform may take each but
    /// once: then the one that was left for us is good.
    async fn fetch(&self) -> Result<Granted, AuthError> {
        let nobody = AuthError::SignInAgain { why: None };
        let refresh = self.store.load().await?.ok_or(nobody)?;
        match self.trade(&refresh).await {
            Err(AuthError::SignInAgain { why }) => match self.store.load().await? {
                Some(newer) if newer != refresh => self.trade(&newer).await,
                Some(_) | None => Err(AuthError::SignInAgain { why }),
            },
            traded => traded,
        }
    }

    async fn trade(&self, refresh: &Secret) -> Result<Granted, AuthError> {
        let form = [
            ("client_id", self.client_id.as_str()),
            ("scope", &self.scope),
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose()),
        ];
        match self.endpoint.post(TOKEN, &form, &[refresh]).await {
            Err(AuthError::Refused(said)) if NEEDS_USER.contains(&said.error.as_str()) => {
                Err(AuthError::SignInAgain { why: Some(said) })
            }
            answer => self.granted(&answer?, Some(refresh)).await,
        }
    }

    /// Reads an answer. The new refresh token is on disk before anybody uses the access token.
    pub(super) async fn granted(&self, body: &[u8], before: Option<&Secret>) -> Result<Granted, AuthError> {
        let granted = Granted::read(body, SystemTime::now())?;
        match &granted.refresh {
            Some(refresh) if Some(refresh) != before => self.store.save(refresh).await?,
            None if before.is_none() => {
                return Err(AuthError::Answer("no refresh token: offline_access was not granted"));
            }
            Some(_) | None => {}
        }
        Ok(granted)
    }
}

/// What the user is asked for: scopes without a host are Graph's.
fn scope(graph: &str, scopes: &[String]) -> String {
    let mut named: Vec<String> = scopes
        .iter()
        .filter(|scope| !scope.eq_ignore_ascii_case(OFFLINE))
        .map(|scope| if scope.contains("://") { scope.clone() } else { format!("{graph}/{scope}") })
        .collect();
    named.push(OFFLINE.to_owned());
    named.join(" ")
}

pub(super) const TOKEN: &str = "token";
const OFFLINE: &str = "offline_access";
/// What a refresh token is refused with where the user must sign in again.
const NEEDS_USER: [&str; 3] = ["invalid_grant", "interaction_required", "consent_required"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_without_a_host_are_graphs() {
        for (scopes, expected) in [
            (&["Presence.Read.All"][..], "https://graph.example/Presence.Read.All offline_access"),
            (&["offline_access", "https://x/A.B"], "https://x/A.B offline_access"),
            (&[], "offline_access"),
        ] {
            let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
            assert_eq!(scope("https://graph.example", &scopes), expected);
        }
    }
}
