//! Where spans go, and what a collector is told beside.

use std::collections::BTreeMap;

use hyper::{
    HeaderMap, Uri,
    header::{HeaderName, HeaderValue},
};

use super::{
    super::{
        Collector, Traces,
        raw::{RawSecret, RawTraces},
    },
    Resolver,
};
use crate::trace::Sample;

impl Resolver<'_> {
    pub(super) fn traces(&mut self, raw: RawTraces) -> Traces {
        let sample = Sample::ratio(raw.sample).unwrap_or_else(|| {
            self.problem("traces.sample", "expected a ratio from 0 to 1");
            Sample::ALL
        });
        let endpoint = raw.endpoint.filter(|endpoint| !endpoint.is_empty());
        let headers = self.headers("traces.headers", raw.headers);
        // It is read when it is needed; but that it is not there is better said now.
        drop(self.file("traces.ca_file", raw.ca_file.as_deref()));
        if endpoint.is_none() && (!headers.is_empty() || raw.ca_file.is_some()) {
            self.warning("traces", "nothing is exported without traces.endpoint");
        }
        let endpoint = endpoint.and_then(|endpoint| {
            let endpoint = collector_url(&endpoint);
            endpoint.map_err(|message| self.problem("traces.endpoint", message)).ok()
        });
        if endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme_str() == Some("http")) {
            if raw.ca_file.is_some() {
                self.problem("traces.ca_file", "there is no TLS in http://");
            }
            if !headers.is_empty() {
                self.warning("traces.endpoint", "the headers are sent without encryption");
            }
        }
        let collector = endpoint.map(|endpoint| Collector { endpoint, ca_file: raw.ca_file, headers });
        Traces { sample, collector }
    }

    fn headers(&mut self, key: &str, raw: BTreeMap<String, RawSecret>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in raw {
            let key = format!("{key}.{name}");
            let Some(value) = self.secret(&key, value) else { continue };
            let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
            match parsed.zip(HeaderValue::from_str(value.expose()).ok()) {
                Some((name, _)) if OUR_HEADERS.contains(&name.as_str()) => {
                    self.problem(&key, "graphhook sets this header itself");
                }
                Some((name, mut value)) => {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                None => self.problem(&key, "expected a header's name and a value of printable characters"),
            }
        }
        headers
    }
}

/// Checks a collector's URL. It is shown, so that nothing secret may stand in it.
fn collector_url(text: &str) -> Result<Uri, &'static str> {
    let uri: Uri = text.parse().map_err(|_| EXPECTED_COLLECTOR)?;
    let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    if !has_scheme || uri.host().is_none_or(str::is_empty) || uri.path() == "/" {
        return Err(EXPECTED_COLLECTOR);
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) || uri.query().is_some() {
        return Err("what is secret goes into traces.headers: a URL is shown");
    }
    Ok(uri)
}

const EXPECTED_COLLECTOR: &str = "expected a URL with its path, such as \"http://127.0.0.1:4318/v1/traces\"";
/// Headers of a request to a collector that are not for the configuration.
const OUR_HEADERS: [&str; 6] =
    ["connection", "content-length", "content-type", "host", "transfer-encoding", "user-agent"];
