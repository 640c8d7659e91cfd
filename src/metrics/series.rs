//! Making metrics: registered with name, help and unit, and present at zero from the start.

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

use super::labels::Label;

/// One metric for each value of a label.
#[derive(Debug)]
pub struct Labelled<L, M>(Vec<(L, M)>);

/// One counter for each value of a label.
pub type Counters<L> = Labelled<L, Counter>;

impl<L: Label, M: Clone> Labelled<L, M> {
    pub(super) fn of<C: MetricConstructor<M>>(family: &Family<L::Labels, M, C>) -> Self {
        Self(L::all().into_iter().map(|label| (label, family.get_or_create_owned(&label.labels()))).collect())
    }

    /// The metric of this value.
    pub fn of_label(&self, label: L) -> &M {
        let found = self.0.iter().find(|(other, _)| *other == label);
        // A value outside its own set would be a mistake of this file; in earnest, count it somewhere.
        debug_assert!(found.is_some(), "a label outside its set");
        found.or(self.0.last()).map(|(_, metric)| metric).expect("a label set is never empty")
    }
}

impl<L: Label> Counters<L> {
    /// Counts one.
    pub fn count(&self, label: L) {
        self.of_label(label).inc();
    }

    /// Counts several.
    pub fn count_many(&self, label: L, many: usize) {
        if many > 0 {
            self.of_label(label).inc_by(many as u64);
        }
    }

    pub(super) fn sum(&self) -> u64 {
        self.0.iter().map(|(_, counter)| counter.get()).sum()
    }

    /// How many there have been.
    pub fn get(&self, label: L) -> u64 {
        self.of_label(label).get()
    }
}

pub(super) fn counters<L: Label>(registry: &mut Registry, name: &str, help: &str) -> Counters<L> {
    let family = Family::<L::Labels, Counter>::default();
    registry.register(name, help, family.clone());
    Labelled::of(&family)
}

pub(super) fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

pub(super) fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

pub(super) fn bytes(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
    gauge
}

/// A gauge for each value of a label.
pub(super) fn gauges<L: Label>(registry: &mut Registry, name: &str, help: &str) -> Labelled<L, Gauge> {
    let family = Family::<L::Labels, Gauge>::default();
    registry.register(name, help, family.clone());
    Labelled::of(&family)
}

/// A moment, as unix time.
pub(super) fn moment(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
    gauge
}

/// A time that something takes.
pub(super) fn seconds(registry: &mut Registry, name: &str, help: &str, histogram: Histogram) -> Histogram {
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

/// Edges at Graph's limits: 3 s for a first answer, 10 s for a repeated one.
pub(super) fn answer_times() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 3.0, 5.0, 10.0])
}

/// Of requests to others, which may go around the world, and wait there for a handshake with us.
pub(super) fn request_times() -> Histogram {
    Histogram::new([0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0])
}

pub(super) fn confirm_times() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

/// From a confirm in time to a spool that had to wait for a broker over night.
pub(super) fn delivery_times() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0,
        14_400.0, 86_400.0,
    ])
}

/// How many items a POST may hold.
pub(super) fn batch_sizes() -> Histogram {
    Histogram::new([
        0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0,
    ])
}
