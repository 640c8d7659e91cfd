//! A request: what is the same for every kind of it. Ids, the journal, faults, the form of answers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, DATE, HOST, HeaderValue},
    http::{request::Parts, uri::Authority},
};
use serde_json::json;
use uuid::Uuid;

use super::{Body, Door, Severed};
use crate::{
    deadline::Deadline,
    simulate::api::{
        calls::{Caller, Operation},
        control,
        faults::{Cut, Trouble},
        journal::Call,
        login::{self, Denial, Desk, Form},
        managed,
        refusal::{Ids, Refusal, Reply},
        route::{Page, Route},
        subscriptions::{self, Asked},
        tokens,
        world::World,
    },
};

/// A request, as far as every kind of it is alike.
pub(super) struct Visit<'a> {
    world: &'a Arc<World>,
    /// Scheme, host and port that were called.
    origin: String,
    ids: Ids,
    client_request_id: Option<String>,
}

impl<'a> Visit<'a> {
    pub(super) fn new(world: &'a Arc<World>, head: &Parts) -> Self {
        let host = text(&head.headers, HOST.as_str()).and_then(|host| host.parse::<Authority>().ok());
        let origin =
            host.map_or_else(|| world.origin().to_owned(), |host| format!("{}://{host}", world.scheme));
        let request = Uuid::now_v7().to_string();
        let client_request_id =
            text(&head.headers, "client-request-id").filter(|id| id.len() <= ID_BYTES_MAX).map(str::to_owned);
        let client = client_request_id.clone().unwrap_or_else(|| request.clone());
        Self { world, origin, ids: Ids { request, client }, client_request_id }
    }

    pub(super) async fn answer(
        &self,
        door: Door,
        head: &Parts,
        body: &[u8],
    ) -> Result<Response<Body>, Severed> {
        let refused = |refusal: Refusal| refusal.reply(&self.ids, self.world.now());
        let route = match (door, Route::of(&head.method, head.uri.path())) {
            (Door::Machines, Route::Machine(machine)) => Route::Machine(machine),
            (Door::Main, route) => route,
            (
                Door::Machines,
                Route::Graph { .. }
                | Route::Login { .. }
                | Route::Page(_)
                | Route::Control(_)
                | Route::NotFound
                | Route::NotAllowed,
            ) => Route::NotFound,
        };
        let reply = match route {
            Route::Graph { operation, version, id } => {
                return self.graph(head, body, operation, version, id).await;
            }
            Route::Login { operation, tenant } => return self.login(head, body, operation, tenant).await,
            Route::Machine(machine) => return self.machine(head, machine).await,
            Route::Page(page) => Reply::json(StatusCode::OK, self.page(&page)),
            Route::Control(path) => control::answer(self.world, &head.method, &path, body).await,
            Route::NotFound => {
                refused(Refusal::new(StatusCode::NOT_FOUND, "BadRequest", "Resource not found."))
            }
            Route::NotAllowed => {
                let words = "The method is not supported for this resource.";
                refused(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Request_BadRequest", words))
            }
        };
        Ok(self.response(reply, None))
    }

    async fn graph(
        &self,
        head: &Parts,
        body: &[u8],
        operation: Operation,
        version: &'static str,
        id: Option<String>,
    ) -> Result<Response<Body>, Severed> {
        let now = self.world.now();
        let authorization = text(&head.headers, AUTHORIZATION.as_str());
        let caller = tokens::caller(&self.world.key, authorization, &[&self.origin], now);
        let known = caller.as_ref().ok();
        let number = self.begin(head, operation, |call| {
            call.app = known.map(|caller| caller.app.clone());
            call.tenant = known.map(|caller| caller.tenant.clone());
            call.subscription = id.as_ref().map(|id| id.chars().take(NAME_CHARACTERS_MAX).collect());
        });
        let refused = |refusal: Refusal| refusal.reply(&self.ids, self.world.now());
        let work = async {
            let admitted = caller.and_then(|caller| self.admit(operation, caller));
            let asked = admitted.map(|caller| Asked {
                world: self.world,
                caller,
                origin: &self.origin,
                version,
                query: head.uri.query().unwrap_or_default(),
                number,
            });
            let media_type = text(&head.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
            let body = subscriptions::Body { media_type, bytes: body };
            match asked {
                Ok(asked) => asked.answer(operation, id.as_deref(), &body).await.unwrap_or_else(refused),
                Err(refusal) => refused(refusal),
            }
        };
        let fault = |status: StatusCode, retry_after, code: Option<String>| {
            let code = code.unwrap_or_else(|| code_of(status).to_owned());
            refused(Refusal { status, code, message: "As the simulation was told.".to_owned(), retry_after })
        };
        self.perform(operation, number, work, fault).await
    }

    async fn login(
        &self,
        head: &Parts,
        body: &[u8],
        operation: Operation,
        tenant: String,
    ) -> Result<Response<Body>, Severed> {
        let form = Form::read(body);
        let number = self.begin(head, operation, |call| {
            call.app = form.get("client_id").map(|app| app.chars().take(NAME_CHARACTERS_MAX).collect());
            call.tenant = Some(tenant.chars().take(NAME_CHARACTERS_MAX).collect());
        });
        let work = async {
            let now = self.world.now();
            let desk = Desk { tenant: &tenant, origin: &self.origin, now };
            let done = if operation == Operation::DeviceCode {
                login::device_code(self.world, desk, &form)
            } else {
                login::token(self.world, desk, &form)
            };
            done.map_or_else(|denial: Denial| denial.reply(now), |body| Reply::json(StatusCode::OK, body))
        };
        self.perform(operation, number, work, oauth_fault).await
    }

    async fn machine(&self, head: &Parts, machine: managed::Machine) -> Result<Response<Body>, Severed> {
        let number = self.begin(head, Operation::Identity, |_| {});
        let query = head.uri.query().unwrap_or_default();
        let work = async { managed::token(self.world, machine, &head.headers, query, self.world.now()) };
        self.perform(Operation::Identity, number, work, oauth_fault).await
    }

    /// Does it, unless it is to go wrong.
    async fn perform(
        &self,
        operation: Operation,
        number: u64,
        work: impl Future<Output = Reply>,
        fault: impl FnOnce(StatusCode, Option<u64>, Option<String>) -> Reply,
    ) -> Result<Response<Body>, Severed> {
        let mut cut = None;
        let reply = match self.world.trouble(operation) {
            None => work.await,
            Some(Trouble::Status { status, retry_after, code }) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                fault(status, retry_after, code)
            }
            Some(Trouble::Delay(delay)) => {
                let reply = work.await;
                Deadline::after(delay.min(DELAY_MAX)).passed().await;
                reply
            }
            Some(Trouble::Cut(Cut::Before)) => {
                self.world.add(number, |call| call.cut = Some(Cut::Before));
                return Err(Severed);
            }
            Some(Trouble::Cut(when @ (Cut::During | Cut::After))) => {
                cut = Some(when);
                work.await
            }
        };
        self.world.add(number, |call| {
            call.status = Some(reply.status.as_u16());
            call.cut = cut;
        });
        if cut == Some(Cut::After) { Err(Severed) } else { Ok(self.response(reply, cut)) }
    }

    fn admit(&self, operation: Operation, caller: Caller) -> Result<Caller, Refusal> {
        let Some(after) = self.world.throttled(operation, &caller) else { return Ok(caller) };
        let what = if operation == Operation::List { "list" } else { "write" };
        let message = format!(
            "Too many requests from Identifier:{} under category:throttle.aad.ags.subscriptionservice.dc.{what}. Please try again later.",
            caller.app
        );
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
        Err(Refusal { retry_after: Some(after), ..refusal })
    }

    fn begin(&self, head: &Parts, operation: Operation, more: impl FnOnce(&mut Call)) -> u64 {
        let mut call = Call {
            number: 0,
            at: self.world.now(),
            operation,
            method: head.method.to_string(),
            path: head.uri.path().chars().take(PATH_CHARACTERS_MAX).collect(),
            status: None,
            cut: None,
            request_id: self.ids.request.clone(),
            client_request_id: self.client_request_id.clone(),
            app: None,
            tenant: None,
            subscription: None,
        };
        more(&mut call);
        self.world.begin(call)
    }

    fn page(&self, page: &Page) -> serde_json::Value {
        match page {
            Page::Configuration(tenant) => login::configuration(&self.origin, tenant),
            Page::Keys => self.world.key.published(),
            Page::Instance => login::instance(&self.origin),
            Page::DeviceLogin => json!({
                "message": "Nobody types codes here: POST {\"userCode\": \"…\", \"approve\": true} to /simulate/device.",
            }),
        }
    }

    /// With what every answer has; `Date` is by our own clock.
    fn response(&self, reply: Reply, cut: Option<Cut>) -> Response<Body> {
        let Reply { status, headers, body } = reply;
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let is_empty = bytes.is_empty();
        let mut response = Response::new(Body::new(bytes, cut));
        *response.status_mut() = status;
        let all = response.headers_mut();
        let mut add = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                all.insert(name, value);
            }
        };
        for (name, value) in &headers {
            add(name, value);
        }
        add("request-id", &self.ids.request);
        add("client-request-id", &self.ids.client);
        add(DATE.as_str(), &httpdate::fmt_http_date(self.world.now()));
        if !is_empty {
            add(CONTENT_TYPE.as_str(), "application/json; charset=utf-8");
        }
        response
    }
}

fn oauth_fault(status: StatusCode, retry_after: Option<u64>, code: Option<String>) -> Reply {
    let error = code.unwrap_or_else(|| "temporarily_unavailable".to_owned());
    let body = json!({ "error": error, "error_description": "As the simulation was told.", "error_codes": [90_033] });
    let headers = retry_after.map(|after| ("retry-after", after.to_string())).into_iter().collect();
    Reply { status, headers, body: Some(body) }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The code that goes with a status, when nobody has named one.
fn code_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "InvalidAuthenticationToken",
        403 => "ExtensionError",
        404 => "ResourceNotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "GatewayTimeout",
        500.. => "InternalServerError",
        _ => "InvalidRequest",
    }
}

const ID_BYTES_MAX: usize = 255;
const PATH_CHARACTERS_MAX: usize = 1_000;
const NAME_CHARACTERS_MAX: usize = 255;
/// Longer than any client waits.
const DELAY_MAX: Duration = Duration::from_secs(600);
