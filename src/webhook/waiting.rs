//! How long Graph waits for an answer of ours.

use std::time::Instant;

use tracing::{info, warn};

use crate::{
    metrics::{
        Graph,
        throttling::{Prediction, Waited},
    },
    verify::Verified,
};

/// Graph, waiting for the answer to a request of its own: one with a genuine item, for anybody else could make our
/// answers look quick or slow. Handshakes have an allowance of their own, and anybody can make them.
///
/// What fails before its items are known is not judged: it is answered at once, or its body came too slowly.
pub(super) struct Waiting<'a>(Option<Wait<'a>>);

struct Wait<'a> {
    begun: Instant,
    graph: &'a Graph,
    is_answered: bool,
}

impl<'a> Waiting<'a> {
    /// Waits since `begun`, if it is Graph.
    pub(super) fn of(verified: &Verified<'_>, begun: Instant, graph: &'a Graph) -> Self {
        let is_graph = !verified.authentic().is_empty();
        // Made only if wanted: dropping one counts.
        Self(is_graph.then(|| Wait { begun, graph, is_answered: false }))
    }

    /// The answer is known.
    pub(super) fn end(mut self) {
        if let Some(wait) = &mut self.0 {
            wait.is_answered = true;
        }
    }
}

impl Drop for Wait<'_> {
    /// Whoever has gone before the answer drops the request, and this with it.
    fn drop(&mut self) {
        let now = Instant::now();
        let time = now.duration_since(self.begun);
        let waited = if self.is_answered { Waited::Answered(time) } else { Waited::InVain(time) };
        match self.graph.answered(now, waited) {
            None => {}
            Some(Prediction::Good) => info!("our answers are quick enough again"),
            Some(Prediction::Slow) => warn!(
                event = "graph_slow_predicted",
                "over 10 % of our answers take longer than 3 s: Graph will send notifications ten minutes late"
            ),
            Some(Prediction::Drop) => warn!(
                event = "graph_drop_predicted",
                "over 15 % of our answers take longer than 10 s: Graph will drop notifications"
            ),
        }
    }
}
