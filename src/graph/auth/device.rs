//! A user signs in, somewhere else, with a code that we show ("Microsoft identity platform and the OAuth 2.0 device
//! authorization grant flow", <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code>; RFC 8628).

use std::time::Duration;

use serde::Deserialize;

use super::{
    super::{claims::TokenClaims, envelope::cleaned},
    AuthError, OAuthError,
    source::{TOKEN, User},
};
use crate::{config, config::SignIn, deadline::Deadline, secret::Secret};

/// What the user is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prompt {
    /// The code that he enters.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The platform's own words for both.
    pub message: String,
    /// How long the code is good.
    pub expires_in: Duration,
}

/// A user has signed in, and the refresh token is kept.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// What he has consented to, if the token can be read.
    pub claims: Option<TokenClaims>,
}

#[derive(Deserialize)]
struct Body {
    device_code: String,
    user_code: String,
    #[serde(alias = "verification_url")]
    verification_uri: String,
    #[serde(default)]
    message: String,
    expires_in: u64,
    interval: Option<u64>,
}

/// One question whether he has done it.
enum Polled {
    Done(SignedIn),
    NotYet,
    TooOften,
}

/// Lets a user sign in: `tell` shows him what he needs. The refresh token is kept for the daemon and for all commands.
///
/// # Errors
///
/// [`AuthError`]; among others when he does not want to, or takes too long.
pub async fn sign_in(settings: &config::Graph, mut tell: impl FnMut(&Prompt)) -> Result<SignedIn, AuthError> {
    let SignIn::DeviceCode { scopes } = &settings.sign_in else { return Err(AuthError::NoUser) };
    let user = User::new(settings, scopes).await?;
    user.store.prepare().await?;
    let form = [("client_id", user.client_id.as_str()), ("scope", &user.scope)];
    let body = user.endpoint.post("devicecode", &form, &[]).await?;
    let body: Body =
        serde_json::from_slice(&body).map_err(|_| AuthError::Answer("it holds no device code"))?;
    let device_code = Secret::new(body.device_code);
    let expires_in = Duration::from_secs(body.expires_in.clamp(1, EXPIRES_SECONDS_MAX));
    let end = Deadline::after(expires_in);
    tell(&Prompt {
        user_code: cleaned(&body.user_code, WORD_CHARS_MAX, &[]),
        verification_uri: cleaned(&body.verification_uri, WORD_CHARS_MAX, &[]),
        message: cleaned(&body.message, WORD_CHARS_MAX, &[&device_code]),
        expires_in,
    });
    let mut interval = Duration::from_secs(body.interval.unwrap_or(INTERVAL_SECONDS).clamp(1, 60));
    let waited = end.limit(async {
        loop {
            Deadline::after(interval).passed().await;
            match poll(&user, &device_code).await? {
                Polled::Done(signed_in) => return Ok(signed_in),
                Polled::NotYet => {}
                Polled::TooOften => interval += SLOWER,
            }
        }
    });
    waited.await.map_err(|_| AuthError::Expired)?
}

async fn poll(user: &User, device_code: &Secret) -> Result<Polled, AuthError> {
    let form = [
        ("client_id", user.client_id.as_str()),
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", device_code.expose()),
    ];
    match user.endpoint.post(TOKEN, &form, &[device_code]).await {
        Ok(body) => {
            let granted = user.granted(&body, None).await?;
            Ok(Polled::Done(SignedIn { claims: TokenClaims::read(&granted.access) }))
        }
        Err(AuthError::Refused(said)) => not_yet(said),
        // He may be typing all the same.
        Err(AuthError::Unanswered(_) | AuthError::Busy { .. }) => Ok(Polled::TooOften),
        Err(error) => Err(error),
    }
}

fn not_yet(said: OAuthError) -> Result<Polled, AuthError> {
    match said.error.as_str() {
        "authorization_pending" => Ok(Polled::NotYet),
        "slow_down" => Ok(Polled::TooOften),
        "authorization_declined" | "access_denied" => Err(AuthError::Declined),
        "expired_token" | "code_expired" => Err(AuthError::Expired),
        _ => Err(AuthError::Refused(said)),
    }
}

/// RFC 8628, section 3.5: where the server does not say it.
const INTERVAL_SECONDS: u64 = 5;
/// The same section, of `slow_down`.
const SLOWER: Duration = Duration::from_secs(5);
const EXPIRES_SECONDS_MAX: u64 = 60 * 60;
const WORD_CHARS_MAX: usize = 400;
