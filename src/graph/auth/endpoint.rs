//! The endpoints of the identity platform, and what they answer.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde::{Deserialize, Deserializer};

use super::{super::error::Cause, AuthError};
use crate::{client::Client, config, secret::Secret};

/// Where tokens of one tenant are had.
pub(super) struct Endpoint {
    client: Client,
    url: String,
    within: Duration,
}

/// A token, and how long it lives, if that was said.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) access: Secret,
    pub(super) life: Option<Duration>,
    pub(super) refresh: Option<Secret>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(alias = "accessToken")]
    access_token: String,
    #[serde(default, deserialize_with = "number")]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    expires_on: Option<u64>,
    #[serde(default)]
    refresh_token: Option<String>,
    /// Of programs; without an offset it is in nobody knows which zone.
    #[serde(default, rename = "expiresOn")]
    at: Option<String>,
}

impl Endpoint {
    pub(super) async fn new(settings: &config::Graph) -> Result<Self, AuthError> {
        let client = super::super::client_for(&settings.login_url, settings.ca_file.as_ref()).await;
        Ok(Self {
            client: client.map_err(AuthError::Setup)?,
            url: format!("{}/{}/oauth2/v2.0", super::super::base(&settings.login_url), settings.tenant),
            within: settings.answer_within,
        })
    }

    /// The URL of one of them.
    pub(super) fn url(&self, of: &str) -> String {
        format!("{}/{of}", self.url)
    }

    /// Asks one of them. What is among `secrets` is in no error.
    pub(super) async fn post(
        &self,
        of: &str,
        form: &[(&str, &str)],
        secrets: &[&Secret],
    ) -> Result<Bytes, AuthError> {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post(self.url(of))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Full::new(Bytes::from(form)))
            .map_err(|error| AuthError::Setup(Cause::new(error)))?;
        let answer = self.client.send(request, self.within).await;
        granted_or_not(answer.map_err(|error| AuthError::Unanswered(Cause::new(error)))?, secrets)
    }
}

/// The body of a success.
pub(super) fn granted_or_not(answer: Response<Bytes>, secrets: &[&Secret]) -> Result<Bytes, AuthError> {
    let (head, body) = answer.into_parts();
    if head.status == StatusCode::OK {
        Ok(body)
    } else {
        Err(AuthError::of(head.status, &head.headers, &body, secrets))
    }
}

impl Granted {
    /// Reads an answer, whichever of the endpoints and programs gave it.
    pub(super) fn read(body: &[u8], now: SystemTime) -> Result<Self, AuthError> {
        let body: Body =
            serde_json::from_slice(body).map_err(|_| AuthError::Answer("it holds no access token"))?;
        let access = Secret::new(body.access_token);
        let refresh = body.refresh_token.filter(|token| !token.is_empty()).map(Secret::new);
        let unix = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let until = |end: Duration| end.saturating_sub(unix);
        let has_zone = |at: &&String| at.ends_with('Z') || at.contains('+');
        let life = body
            .expires_in
            .map(Duration::from_secs)
            .or_else(|| body.expires_on.map(|end| until(Duration::from_secs(end))))
            .or_else(|| body.at.as_ref().filter(has_zone).and_then(|at| crate::moment::read(at)).map(until));
        if is_token(access.expose()) {
            Ok(Self { access, life, refresh })
        } else {
            Err(AuthError::Answer("its access token is none"))
        }
    }
}

/// What can stand in a header, and is no page of a proxy.
pub(super) fn is_token(text: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A number, or the same as text: managed identities write it so.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Whole(u64),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Number::deserialize(deserializer)? {
        Number::Whole(number) => Some(number),
        Number::Text(text) => text.parse().ok(),
        Number::Other(_) => None,
    })
}

/// Tokens with hundreds of groups and roles in them stay under a quarter of this.
const TOKEN_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_told_in_many_ways() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_852_400);
        for (body, expected) in [
            (r#"{"access_token":"t","expires_in":3599}"#, Some(3599)),
            (r#"{"access_token":"t","expires_in":"3599"}"#, Some(3599)),
            (r#"{"access_token":"t","expires_on":"1790852460"}"#, Some(60)),
            (r#"{"access_token":"t","expires_on":1790852460}"#, Some(60)),
            (r#"{"access_token":"t","expires_on":1}"#, Some(0)),
            (r#"{"access_token":"t","expires_in":60,"expires_on":1}"#, Some(60)),
            (r#"{"accessToken":"t","expiresOn":"2026-10-01T11:01:00Z"}"#, Some(60)),
            (
                r#"{"accessToken":"t","expiresOn":"2026-10-01 11:01:00.000000","expires_on":1790852460}"#,
                Some(60),
            ),
            (r#"{"accessToken":"t","expiresOn":"2026-10-01 11:01:00.000000"}"#, None),
            (r#"{"access_token":"t","expires_in":null}"#, None),
            (r#"{"access_token":"t","expires_in":-5}"#, None),
            (r#"{"access_token":"t"}"#, None),
        ] {
            let granted = Granted::read(body.as_bytes(), now).expect(body);
            assert_eq!(granted.life, expected.map(Duration::from_secs), "{body}");
        }
    }

    #[test]
    fn what_is_no_token_is_not_taken() {
        for body in [
            "",
            "<html>",
            "{}",
            "[]",
            r#"{"access_token":""}"#,
            r#"{"access_token":"a b"}"#,
            r#"{"access_token":"a\r\nX: y"}"#,
            r#"{"access_token":7}"#,
        ] {
            Granted::read(body.as_bytes(), SystemTime::UNIX_EPOCH).expect_err(body);
        }
    }
}
