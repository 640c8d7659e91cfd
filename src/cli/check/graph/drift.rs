//! Drift.
use crate::{config, graph::{Graph, subscription::Subscription}};
use super::super::report::Finding;
pub(super) async fn drift(_: &Graph, _: &config::Graph, _: &config::Config, _: Vec<Subscription>, _: Option<String>) -> Vec<Finding> { Vec::new() }
