//! What is told of our own requests to Graph, and of the tokens for them.

use std::time::{Duration, SystemTime};

use prometheus_client::{
    metrics::{gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{
    labels::{GraphAnswer, TokenFetch},
    series::{Counters, counters, moment, request_times, seconds},
};
use crate::graph::operation::Operation;

/// Series of `[graph]`.
#[derive(Debug)]
pub struct GraphApi {
    /// Requests by what they were for and how they ended; each try counts.
    pub requests: Counters<(Operation, GraphAnswer)>,
    /// Time of a request, with its connection.
    pub request_duration: Histogram,
    /// Fetches of tokens by how they ended.
    pub tokens: Counters<TokenFetch>,
    token_expires: Gauge,
    clock_offset: Gauge,
}

impl GraphApi {
    pub(super) fn register(r: &mut Registry) -> Self {
        Self {
            requests: counters(r, "graph_requests", "Requests to Graph's subscription API"),
            request_duration: seconds(
                r,
                "graph_request_duration",
                "Time of a request to Graph, with its connection",
                request_times(),
            ),
            tokens: counters(r, "graph_tokens", "Fetches of access tokens for Graph"),
            token_expires: moment(
                r,
                "graph_token_expires_timestamp",
                "When our access token ends, unix time; 0 without one",
            ),
            clock_offset: moment(
                r,
                "graph_clock_offset",
                "Graph's clock less ours at the last answer; 0 while both may be right",
            ),
        }
    }

    /// There is a token until then.
    pub fn token_expires(&self, end: SystemTime) {
        let since = end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.token_expires.set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    }

    /// Graph's clock less ours.
    pub fn clock_offset(&self, seconds: i64) {
        self.clock_offset.set(seconds);
    }
}
