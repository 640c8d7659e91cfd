//! Our answers as Graph judges them: the window of [`throttling`](super::throttling), its gauges and its clock.

use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

use super::{
    labels::Throttled,
    series::{Labelled, gauges},
    throttling::{Answers, Outlook, Prediction, Waited},
};

/// The gauges of Graph's ten-minute rules.
#[derive(Debug)]
pub struct Graph {
    begun: Instant,
    judged: Mutex<Judged>,
    slow_ratio: Gauge<f64, AtomicU64>,
    drop_ratio: Gauge<f64, AtomicU64>,
    throttled: Labelled<Throttled, Gauge>,
}

#[derive(Debug)]
struct Judged {
    answers: Answers,
    told: Prediction,
    /// Since somebody asked last.
    has_dropped: bool,
}

impl Graph {
    pub(super) fn register(registry: &mut Registry, begun: Instant) -> Self {
        let (slow_ratio, drop_ratio) = (Gauge::default(), Gauge::default());
        let help = "Share of our answers to Graph in ten minutes that took longer than 3 s";
        registry.register("graph_slow_ratio", help, slow_ratio.clone());
        let help = "Share of our answers to Graph in ten minutes that took longer than 10 s";
        registry.register("graph_drop_ratio", help, drop_ratio.clone());
        let help = "1 while Graph's rules make it delay (slow) or drop (drop) new notifications";
        let throttled = gauges(registry, "graph_throttled_predicted", help);
        let judged =
            Mutex::new(Judged { answers: Answers::default(), told: Prediction::Good, has_dropped: false });
        Self { begun, judged, slow_ratio, drop_ratio, throttled }
    }

    /// Notes an answer; returns what Graph will do now, if that is new.
    pub fn answered(&self, now: Instant, waited: Waited) -> Option<Prediction> {
        let time = self.since_begun(now);
        let mut judged = self.judged();
        judged.answers.note(time, waited);
        let predicted = judged.answers.outlook(time).predicted;
        judged.has_dropped |= predicted == Prediction::Drop;
        let is_new = std::mem::replace(&mut judged.told, predicted) != predicted;
        is_new.then_some(predicted)
    }

    /// How it stands.
    pub fn outlook(&self, now: Instant) -> Outlook {
        self.judged().answers.outlook(self.since_begun(now))
    }

    /// Whether Graph was to drop anything since this was asked last, however shortly.
    pub fn take_dropped(&self) -> bool {
        std::mem::take(&mut self.judged().has_dropped)
    }

    pub(super) fn show(&self, now: Instant) {
        let Outlook { slow_ratio, drop_ratio, predicted, answers: _ } = self.outlook(now);
        self.slow_ratio.set(slow_ratio);
        self.drop_ratio.set(drop_ratio);
        let (slow, drop) = match predicted {
            Prediction::Good => (0, 0),
            Prediction::Slow => (1, 0),
            Prediction::Drop => (0, 1),
        };
        self.throttled.of_label(Throttled::Slow).set(slow);
        self.throttled.of_label(Throttled::Drop).set(drop);
    }

    fn since_begun(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    fn judged(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
