//! The stand-in for login and Graph: that it keeps the service's rules, and that everything can be made to go wrong.

mod control;
mod faults;
mod login;
mod manual;
mod notify;
mod subscriptions;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use graphhook::simulate::api::Options;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::api::Stand;
use crate::support::certs::{Authority, Files};
use crate::support::site::{Content, Site, answer};

/// A receiver of the tests' own, over TLS, until dropped.
struct Receiver {
    site: Site,
    seen: Arc<Seen>,
    files: Files,
    _directory: TempDir,
}

/// What a receiver has got, and how it answers handshakes.
#[derive(Default)]
struct Seen {
    manner: Mutex<Manner>,
    /// Paths with queries, media types and bodies.
    posts: Mutex<Vec<(String, String, String)>>,
}

/// How a receiver answers handshakes.
#[derive(Clone, Default)]
enum Manner {
    /// As it must.
    #[default]
    Right,
    /// With this status, media type and body.
    Answers(u16, &'static str, &'static str),
}

impl Content for Seen {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        #[expect(
            clippy::disallowed_methods,
            reason = "our own program asks, and the test may hold what it says"
        )]
        let body = Limited::new(body, 1 << 20).collect().await.expect("a body").to_bytes();
        let target = head.uri.path_and_query().expect("a path").to_string();
        let media_type =
            head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let body = String::from_utf8(body.to_vec()).expect("text");
        self.posts.lock().expect(NO_PANIC).push((target, media_type.to_owned(), body));
        let query = head.uri.query().unwrap_or_default().as_bytes();
        let token = url::form_urlencoded::parse(query).find(|(name, _)| name == "validationToken");
        let Some((_, token)) = token else { return answer(202, "") };
        let (status, media_type, body) = match self.manner.lock().expect(NO_PANIC).clone() {
            Manner::Right => (200, "text/plain; charset=utf-8", token.into_owned()),
            Manner::Answers(status, media_type, body) => (status, media_type, body.to_owned()),
        };
        let mut response = answer(status, body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        response
    }
}

impl Receiver {
    async fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Authority::generate().write_into(directory.path());
        let seen = Arc::<Seen>::default();
        let site = Site::open(Some(&files), |_| Arc::clone(&seen)).await;
        Self { site, seen, files, _directory: directory }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.site.origin)
    }

    fn behaves(&self, manner: Manner) {
        *self.seen.manner.lock().expect(NO_PANIC) = manner;
    }

    /// What came since the last look.
    fn posts(&self) -> Vec<(String, String, String)> {
        std::mem::take(&mut *self.seen.posts.lock().expect(NO_PANIC))
    }

    /// The items of what came since the last look, handshakes left out.
    fn items(&self) -> Vec<Value> {
        let bodies = self.posts().into_iter().map(|(_, _, body)| body).filter(|body| !body.is_empty());
        let items = |body: String| {
            let body: Value = serde_json::from_str(&body).expect("JSON");
            body["value"].as_array().expect("an array").clone()
        };
        bodies.flat_map(items).collect()
    }
}

/// A stand-in and a receiver that it believes by its authority.
async fn both() -> (Stand, Receiver) {
    both_with(|_| {}).await
}

async fn both_with(change: impl FnOnce(&mut Options)) -> (Stand, Receiver) {
    let (stand, receiver) = (Stand::with(change).await, Receiver::open().await);
    stand.api.believe(&receiver.files.ca).expect("an authority");
    (stand, receiver)
}

const SUBSCRIPTIONS: &str = "/v1.0/subscriptions";
const NO_PANIC: &str = "nobody panics with it held";
